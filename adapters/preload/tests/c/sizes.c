/*
 * A cache of the default size, which is filled by several threads; with an argument, what so many
 * contexts that see one connection take of memory. Nothing of Sessile is in it.
 */
#include <malloc.h>
#include <pthread.h>

#include "tls.h"

enum { THREADS = 4, OWN = 2500 };

static SSL_CTX *server;
static SSL_SESSION *made;

static SSL_CTX *named_server(void) {
  SSL_CTX *context = server_context(TLS1_2_VERSION);
  SSL_CTX_set_options(context, SSL_OP_NO_TICKET);
  return context;
}

static int keep(SSL *ssl, SSL_SESSION *session) {
  (void)ssl;
  made = session;
  return 1;
}

static void *add(void *thread) {
  for (int one = 0; one < OWN; one++) {
    unsigned char id[32] = "size";
    SSL_SESSION *copy = SSL_SESSION_dup(made);
    memcpy(id + 4, &thread, sizeof thread);
    memcpy(id + 12, &one, sizeof one);
    CHECK(copy != NULL && SSL_SESSION_set1_id(copy, id, sizeof id));
    CHECK(SSL_CTX_add_session(server, copy) == 1);
    SSL_SESSION_free(copy);
  }
  return NULL;
}

static void show(const char *when) {
  printf("%s: size %ld, number %ld, full %ld\n", when, SSL_CTX_sess_get_cache_size(server),
         SSL_CTX_sess_number(server), SSL_CTX_sess_cache_full(server));
}

static void fill(SSL_CTX *client) {
  pthread_t threads[THREADS];
  server = named_server();
  SSL_CTX_sess_set_new_cb(server, keep);
  CHECK(visit(server, client, NULL) == 0);
  show("one visit");
  for (long one = 0; one < THREADS; one++)
    CHECK(pthread_create(&threads[one], NULL, add, (void *)one) == 0);
  for (int one = 0; one < THREADS; one++)
    pthread_join(threads[one], NULL);
  show("filled");
  printf("former %ld\n", SSL_CTX_sess_set_cache_size(server, 30000));
  show("larger");
  add((void *)(long)THREADS);
  show("filled further");
  SSL_CTX_flush_sessions(server, 0);
  printf("former %ld\n", SSL_CTX_sess_set_cache_size(server, 20));
  add(NULL);
  /* libssl keeps 19 of them. */
  CHECK(SSL_CTX_sess_number(server) == 19 || SSL_CTX_sess_number(server) == 20);
  printf("former %ld\n", SSL_CTX_sess_set_cache_size(server, 0));
  add(NULL);
  printf("without a limit: size %ld, number %ld\n", SSL_CTX_sess_get_cache_size(server),
         SSL_CTX_sess_number(server));
  SSL_SESSION_free(made);
  SSL_CTX_free(server);
}

static long in_use(void) {
  struct mallinfo2 info = mallinfo2();
  return (long)(info.uordblks + info.hblkhd);
}

static void weigh(SSL_CTX *client, int contexts) {
  SSL_CTX *all[contexts];
  long before;
  for (int one = 0; one < contexts; one++)
    all[one] = named_server();
  /* Whatever is made once. */
  CHECK(visit(all[0], client, NULL) == 0);
  before = in_use();
  for (int one = 1; one < contexts; one++)
    CHECK(visit(all[one], client, NULL) == 0);
  printf("%ld\n", (in_use() - before) / (contexts - 1));
  for (int one = 0; one < contexts; one++)
    SSL_CTX_free(all[one]);
}

int main(int count, char **arguments) {
  SSL_CTX *client = client_context();
  CHECK(SSL_CTX_set_max_proto_version(client, TLS1_2_VERSION));
  if (count > 1)
    weigh(client, atoi(arguments[1]));
  else
    fill(client);
  SSL_CTX_free(client);
  return 0;
}
