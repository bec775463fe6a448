/*
 * A server with several threads, which all take connections from one listening socket.
 *
 *     server CERTIFICATE KEY PORT THREADS [SESSIONS]
 *
 * With SESSIONS it keeps that many sessions in a store of Sessile; without, it uses whatever
 * stands behind libssl's own functions: libssl's cache, or Sessile if libsessile_preload.so is
 * loaded before libssl. It ends at the end of its standard input, and prints what was counted by
 * the one or the other.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <openssl/err.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "sessile.h"

enum { THREADS_MAX = 64, SECONDS_OF_PATIENCE = 60 };

static SSL_CTX *context;
static sessile_store *store;
static int listener;

static void fail(const char *what) {
  fprintf(stderr, "%s: %s\n", what, strerror(errno));
  ERR_print_errors_fp(stderr);
  exit(1);
}

/* Everything is set before the first thread starts. */
static SSL_CTX *configure(const char *certificate, const char *key) {
  static const unsigned char id_context[] = "example";
  SSL_CTX *made = SSL_CTX_new(TLS_server_method());
  if (made == NULL || SSL_CTX_use_certificate_chain_file(made, certificate) != 1 ||
      SSL_CTX_use_PrivateKey_file(made, key, SSL_FILETYPE_PEM) != 1)
    fail("certificate and key");
  SSL_CTX_set_session_id_context(made, id_context, sizeof id_context - 1);
  /* Sessions stay here: the tickets that clients get are but names of them. */
  SSL_CTX_set_options(made, SSL_OP_NO_TICKET);
  return made;
}

static void attach(size_t sessions) {
  static const unsigned char name[] = "example: no client certificates";
  sessile_config *config = sessile_config_new();
  enum sessile_error error = sessile_config_set_capacity(config, sessions);
  if (error == SESSILE_ERROR_OK)
    error = sessile_new(config, &store);
  if (error == SESSILE_ERROR_OK)
    error = sessile_attach(store, context, name, sizeof name - 1);
  if (error != SESSILE_ERROR_OK) {
    fprintf(stderr, "the store: %s\n", sessile_strerror(error));
    exit(1);
  }
  sessile_config_free(config);
}

/* One line, which says whose counters they are. */
static void report(void) {
  sessile_statistics seen;
  size_t size;
  if (store == NULL) {
    printf("libssl's functions: accepted %ld, completed %ld, resumed %ld, stored %ld of %ld\n",
           SSL_CTX_sess_accept(context), SSL_CTX_sess_accept_good(context),
           SSL_CTX_sess_hits(context), SSL_CTX_sess_number(context),
           SSL_CTX_sess_get_cache_size(context));
  } else if (sessile_stats(store, &seen, sizeof seen) == SESSILE_ERROR_OK &&
             sessile_capacity(store, &size) == SESSILE_ERROR_OK) {
    printf("store of its own: accepted %llu, completed %llu, resumed %llu, stored %llu of %zu\n",
           (unsigned long long)seen.accept, (unsigned long long)seen.accept_good,
           (unsigned long long)seen.resumed, (unsigned long long)seen.number, size);
  }
}

static int listen_on(unsigned short port) {
  const int on = 1;
  const struct sockaddr_in address = {.sin_family = AF_INET,
                                      .sin_port = htons(port),
                                      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  int made = socket(AF_INET, SOCK_STREAM, 0);
  if (made < 0 || setsockopt(made, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
      bind(made, (const struct sockaddr *)&address, sizeof address) != 0 ||
      listen(made, SOMAXCONN) != 0)
    fail("cannot listen");
  return made;
}

/* One request and its answer. */
static void answer(int connection) {
  const struct timeval patience = {.tv_sec = SECONDS_OF_PATIENCE};
  char request[1024], response[64];
  SSL *ssl = SSL_new(context);
  setsockopt(connection, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  if (ssl != NULL && SSL_set_fd(ssl, connection) == 1 && SSL_accept(ssl) == 1) {
    int got = SSL_read(ssl, request, sizeof request);
    if (got > 0) {
      int length = snprintf(response, sizeof response, "HTTP/1.0 200 OK\r\n\r\nresumed: %d\n",
                            SSL_session_reused(ssl));
      SSL_write(ssl, response, length);
    }
    /* libssl forgets the TLS 1.2 session of a connection that is not closed so. */
    if (got > 0 || SSL_get_error(ssl, got) == SSL_ERROR_ZERO_RETURN)
      SSL_shutdown(ssl);
  }
  ERR_clear_error();
  SSL_free(ssl);
  close(connection);
}

static void *serve(void *unused) {
  (void)unused;
  for (;;) {
    int connection = accept(listener, NULL, NULL);
    if (connection >= 0)
      answer(connection);
    else if (errno != EINTR && errno != ECONNABORTED)
      return NULL;
  }
}

int main(int count, char **arguments) {
  pthread_t threads[THREADS_MAX];
  long running = count > 4 ? strtol(arguments[4], NULL, 10) : 0;
  char ignored[64];
  if (running < 1 || running > THREADS_MAX) {
    fprintf(stderr, "usage: %s CERTIFICATE KEY PORT THREADS [SESSIONS]\n", arguments[0]);
    return 2;
  }
  signal(SIGPIPE, SIG_IGN);
  context = configure(arguments[1], arguments[2]);
  if (count > 5)
    attach(strtoul(arguments[5], NULL, 10));
  listener = listen_on((unsigned short)strtoul(arguments[3], NULL, 10));
  for (long one = 0; one < running; one++)
    if (pthread_create(&threads[one], NULL, serve, NULL) != 0)
      fail("cannot start a thread");
  while (read(STDIN_FILENO, ignored, sizeof ignored) > 0)
    continue;
  shutdown(listener, SHUT_RDWR);
  for (long one = 0; one < running; one++)
    pthread_join(threads[one], NULL);
  report();
  sessile_free(store);
  SSL_CTX_free(context);
  return 0;
}
