/*
 * What an info callback is told, wherever and whenever it is set. Nothing of Sessile is in it.
 */
#include "tls.h"

enum place { NOWHERE, BEFORE, AFTER, CONNECTION, BOTH, PLACES };

static const char *names[] = {"nowhere", "before", "after", "connection", "both"};
static int told[2][3];

static void count(int which, int wherefore) {
  if (wherefore & SSL_CB_HANDSHAKE_START)
    told[which][0]++;
  else if (wherefore & SSL_CB_HANDSHAKE_DONE)
    told[which][1]++;
  else
    told[which][2]++;
}

static void of_context(const SSL *ssl, int wherefore, int value) {
  (void)value;
  CHECK(SSL_is_server(ssl));
  count(0, wherefore);
}

static void of_connection(const SSL *ssl, int wherefore, int value) {
  (void)value;
  CHECK(SSL_is_server(ssl));
  count(1, wherefore);
}

/* A connection, with a callback of its own if there is one. */
static void connect_with(SSL_CTX *server, SSL_CTX *client, SSL_SESSION **session, int has_own) {
  SSL *far = SSL_new(server), *near = SSL_new(client);
  BIO *one, *other;
  int far_done = 0, near_done = 0;
  CHECK(far != NULL && near != NULL && BIO_new_bio_pair(&one, 0, &other, 0));
  SSL_set_bio(near, one, one);
  SSL_set_bio(far, other, other);
  SSL_set_connect_state(near);
  SSL_set_accept_state(far);
  if (*session != NULL)
    CHECK(SSL_set_session(near, *session));
  if (has_own)
    SSL_set_info_callback(far, of_connection);
  for (int round = 0; round < 20 && !(near_done && far_done); round++) {
    near_done = SSL_do_handshake(near) == 1;
    far_done = SSL_do_handshake(far) == 1;
  }
  CHECK(near_done && far_done);
  printf(" resumed %d,", SSL_session_reused(far));
  SSL_SESSION_free(*session);
  *session = SSL_get1_session(near);
  SSL_shutdown(near);
  SSL_shutdown(far);
  SSL_free(near);
  SSL_free(far);
  ERR_clear_error();
}

static void play(enum place place) {
  SSL_CTX *server = server_context(TLS1_2_VERSION), *client = client_context();
  SSL_SESSION *session = NULL;
  memset(told, 0, sizeof told);
  SSL_CTX_set_options(server, SSL_OP_NO_TICKET);
  CHECK(SSL_CTX_set_max_proto_version(client, TLS1_2_VERSION));
  if (place == BEFORE)
    SSL_CTX_set_info_callback(server, of_context);
  printf("%s:", names[place]);
  connect_with(server, client, &session, place == CONNECTION || place == BOTH);
  if (place == AFTER || place == BOTH)
    SSL_CTX_set_info_callback(server, of_context);
  /* What it has read. */
  SSL_CTX_set_info_callback(server, SSL_CTX_get_info_callback(server));
  connect_with(server, client, &session, place == CONNECTION);
  connect_with(server, client, &session, place == BOTH);
  for (int which = 0; which < 2; which++)
    printf(" told %d %d %d", told[which][0], told[which][1], told[which][2]);
  printf("\n");
  SSL_SESSION_free(session);
  SSL_CTX_free(client);
  SSL_CTX_free(server);
}

int main(void) {
  for (enum place place = NOWHERE; place < PLACES; place++)
    play(place);
  return 0;
}
