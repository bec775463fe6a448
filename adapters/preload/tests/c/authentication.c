/*
 * Clients that a server verifies are not resumed where libssl's own cache would not resume them.
 * Nothing of Sessile is in it.
 */
#include "tls.h"

static SSL_CTX *inner;
static int moves;

static int move(SSL *ssl, int *alert, void *argument) {
  (void)alert, (void)argument;
  if (moves)
    SSL_set_SSL_CTX(ssl, inner);
  return SSL_TLSEXT_ERR_OK;
}

static int accept_any(int is_verified, X509_STORE_CTX *store) {
  (void)is_verified, (void)store;
  return 1;
}

/* A client with a certificate of its own, which is `*certificate` for as long as it lives. */
static SSL_CTX *person(int version, X509 **certificate) {
  SSL_CTX *other = server_context(version), *client = client_context();
  *certificate = SSL_CTX_get0_certificate(other);
  CHECK(SSL_CTX_use_certificate(client, *certificate));
  CHECK(SSL_CTX_use_PrivateKey(client, SSL_CTX_get0_privatekey(other)));
  SSL_CTX_free(other);
  *certificate = SSL_CTX_get0_certificate(client);
  return client;
}

/* Two contexts with one id context, each with authorities of its own; connections are moved from
 * one to the other, which has a port of its own too. */
static void authorities(int version) {
  X509 *certificate, *stranger;
  SSL_CTX *client = person(version, &certificate), *unknown = person(version, &stranger);
  SSL_CTX *outer = server_context(version), *both[2];
  SSL_SESSION *session = NULL;
  both[0] = outer;
  both[1] = inner = server_context(version);
  for (int one = 0; one < 2; one++) {
    CHECK(SSL_CTX_set_session_id_context(both[one], (const unsigned char *)"server", 6));
    SSL_CTX_set_verify(both[one], SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    SSL_CTX_set_options(both[one], SSL_OP_NO_TICKET);
  }
  CHECK(X509_STORE_add_cert(SSL_CTX_get_cert_store(outer), certificate));
  CHECK(X509_STORE_add_cert(SSL_CTX_get_cert_store(inner), stranger));
  SSL_CTX_set_tlsext_servername_callback(outer, move);
  moves = 1;
  CHECK(visit(outer, unknown, NULL) == 0);
  moves = 0;
  CHECK(visit(outer, client, &session) == 0 && session != NULL);
  CHECK(visit(inner, client, &session) == -1);
  SSL_SESSION_free(session);
  session = NULL;
  CHECK(visit(inner, unknown, &session) == 0 && session != NULL);
  CHECK(visit(outer, unknown, &session) == -1);
  SSL_SESSION_free(session);
  session = NULL;
  moves = 1;
  CHECK(visit(outer, unknown, &session) == 0 && visit(outer, unknown, &session) == 1);
  SSL_SESSION_free(session);
  SSL_CTX_free(client);
  SSL_CTX_free(unknown);
  SSL_CTX_free(outer);
  SSL_CTX_free(inner);
}

/* Without an id context libssl resumes nobody whom it would have to verify. */
static void no_id_context(int version) {
  X509 *certificate;
  SSL_CTX *client = person(version, &certificate), *server = server_context(version);
  SSL_SESSION *session = NULL;
  SSL_CTX_set_options(server, SSL_OP_NO_TICKET);
  CHECK(visit(server, client, &session) == 0 && session != NULL);
  SSL_CTX_set_verify(server, SSL_VERIFY_PEER, accept_any);
  CHECK(visit(server, client, &session) != 1);
  SSL_SESSION_free(session);
  session = NULL;
  CHECK(visit(server, client, &session) == 0 && session != NULL);
  SSL_CTX_set_verify(server, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
  CHECK(visit(server, client, &session) == -1);
  SSL_SESSION_free(session);
  SSL_CTX_free(client);
  SSL_CTX_free(server);
}

int main(void) {
  const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
  for (int one = 0; one < 2; one++) {
    authorities(versions[one]);
    no_id_context(versions[one]);
  }
  return 0;
}
