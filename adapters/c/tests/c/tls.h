/* Certificates and handshakes in memory. */
#ifndef TLS_H
#define TLS_H

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHECK(condition)                                                      \
  do {                                                                        \
    if (!(condition)) {                                                       \
      fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);         \
      ERR_print_errors_fp(stderr);                                            \
      exit(1);                                                                \
    }                                                                         \
  } while (0)

static inline SSL_CTX *server_context(int version) {
  EVP_PKEY *key = EVP_EC_gen("P-256");
  X509 *certificate = X509_new();
  X509_NAME *name = X509_get_subject_name(certificate);
  SSL_CTX *context = SSL_CTX_new(TLS_server_method());
  CHECK(key != NULL && certificate != NULL && context != NULL);
  X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"localhost", -1, -1,
                             0);
  X509_set_issuer_name(certificate, name);
  ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
  X509_gmtime_adj(X509_getm_notBefore(certificate), 0);
  X509_gmtime_adj(X509_getm_notAfter(certificate), 24 * 60 * 60);
  CHECK(X509_set_pubkey(certificate, key) && X509_sign(certificate, key, EVP_sha256()));
  CHECK(SSL_CTX_use_certificate(context, certificate) && SSL_CTX_use_PrivateKey(context, key));
  CHECK(SSL_CTX_set_min_proto_version(context, version));
  CHECK(SSL_CTX_set_max_proto_version(context, version));
  X509_free(certificate);
  EVP_PKEY_free(key);
  return context;
}

/* Keeps the newest session of a connection, at the connection. */
static inline int on_client_session(SSL *ssl, SSL_SESSION *session) {
  SSL_SESSION **place = SSL_get_app_data(ssl);
  if (place == NULL)
    return 0;
  SSL_SESSION_free(*place);
  *place = session;
  return 1;
}

static inline SSL_CTX *client_context(void) {
  SSL_CTX *context = SSL_CTX_new(TLS_client_method());
  CHECK(context != NULL);
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
  SSL_CTX_sess_set_new_cb(context, on_client_session);
  return context;
}

/* The host that clients ask for, unless it is null. */
static const char *host;

/* A whole connection. What was in `*session` is offered, the newest session takes its place.
 * Answers whether it was resumed; -1 if the handshake failed. */
static inline int visit(SSL_CTX *server_side, SSL_CTX *client_side, SSL_SESSION **session) {
  SSL *server = SSL_new(server_side), *client = SSL_new(client_side);
  BIO *near, *far;
  char buffer[8];
  int rounds, is_resumed = -1, client_done = 0, server_done = 0;
  CHECK(server != NULL && client != NULL && BIO_new_bio_pair(&near, 0, &far, 0));
  SSL_set_bio(client, near, near);
  SSL_set_bio(server, far, far);
  SSL_set_connect_state(client);
  SSL_set_accept_state(server);
  SSL_set_app_data(client, session);
  if (host != NULL)
    CHECK(SSL_set_tlsext_host_name(client, host));
  if (session != NULL && *session != NULL)
    CHECK(SSL_set_session(client, *session));
  for (rounds = 0; rounds < 20 && !(client_done && server_done); rounds++) {
    client_done = SSL_do_handshake(client) == 1;
    server_done = SSL_do_handshake(server) == 1;
  }
  if (client_done && server_done) {
    /* TLS 1.3 tickets come with the first data. */
    CHECK(SSL_write(server, "x", 1) == 1 && SSL_read(client, buffer, sizeof buffer) == 1);
    is_resumed = SSL_session_reused(server);
    SSL_shutdown(client);
    SSL_shutdown(server);
  }
  SSL_free(client);
  SSL_free(server);
  ERR_clear_error();
  return is_resumed;
}

#endif
