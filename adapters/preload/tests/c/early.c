/*
 * Early data, which a program allows or not by a callback of its own: set on the context before the
 * first connection, or afterwards, or on a connection. Nothing of Sessile is in it.
 */
#include "tls.h"

enum place { NOWHERE, BEFORE, AFTER, CONNECTION, TAKEN_BACK, PLACES };

static const char *names[] = {"nowhere", "before", "after", "connection", "taken back"};
static int asked;

static int judge(SSL *ssl, void *answer) {
  CHECK(ssl != NULL && answer != NULL);
  asked++;
  return *(int *)answer;
}

/* A connection that begins with early data; whether they were accepted. */
static int begin_early(SSL *server, SSL *client) {
  char buffer[16];
  size_t count;
  int client_done = 0, server_done = 0;
  CHECK(SSL_write_early_data(client, "early", 5, &count) == 1 && count == 5);
  while (SSL_read_early_data(server, buffer, sizeof buffer, &count) ==
         SSL_READ_EARLY_DATA_SUCCESS)
    CHECK(count == 5 && memcmp(buffer, "early", 5) == 0);
  for (int rounds = 0; rounds < 20 && !(client_done && server_done); rounds++) {
    client_done = SSL_do_handshake(client) == 1;
    while (SSL_read_early_data(server, buffer, sizeof buffer, &count) ==
           SSL_READ_EARLY_DATA_SUCCESS)
      CHECK(count == 5 && memcmp(buffer, "early", 5) == 0);
    server_done = SSL_do_handshake(server) == 1;
  }
  CHECK(client_done && server_done && SSL_session_reused(server));
  return SSL_get_early_data_status(server) == SSL_EARLY_DATA_ACCEPTED;
}

static void play(enum place place, int answer) {
  SSL_CTX *server = server_context(TLS1_3_VERSION), *client = client_context();
  SSL *near, *far;
  SSL_SESSION *session = NULL;
  BIO *one, *other;
  int denial = 0, accepted;
  asked = 0;
  SSL_CTX_set_options(server, SSL_OP_NO_TICKET);
  CHECK(SSL_CTX_set_max_early_data(server, 100));
  if (place == BEFORE)
    SSL_CTX_set_allow_early_data_cb(server, judge, &answer);
  CHECK(visit(server, client, &session) == 0);
  if (place == AFTER)
    SSL_CTX_set_allow_early_data_cb(server, judge, &answer);
  if (place == CONNECTION || place == TAKEN_BACK)
    SSL_CTX_set_allow_early_data_cb(server, judge, &denial);
  near = SSL_new(client);
  far = SSL_new(server);
  if (place == CONNECTION)
    SSL_set_allow_early_data_cb(far, judge, &answer);
  if (place == TAKEN_BACK)
    SSL_set_allow_early_data_cb(far, NULL, NULL);
  CHECK(BIO_new_bio_pair(&one, 0, &other, 0) && SSL_set_session(near, session));
  SSL_set_bio(near, one, one);
  SSL_set_bio(far, other, other);
  SSL_set_connect_state(near);
  SSL_set_accept_state(far);
  accepted = begin_early(far, near);
  printf("%s, %d: accepted %d, asked %d\n", names[place], answer, accepted, asked);
  SSL_free(near);
  SSL_free(far);
  SSL_SESSION_free(session);
  SSL_CTX_free(client);
  SSL_CTX_free(server);
}

int main(void) {
  for (enum place place = NOWHERE; place < PLACES; place++)
    for (int answer = 0; answer < 2; answer++)
      play(place, answer);
  return 0;
}
