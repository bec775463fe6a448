/* Handshakes in several threads, while others attach, detach, resize, flush, and change hooks. */
#include <pthread.h>

#include "harness.h"

enum { CLIENTS = 4, HANDSHAKES = 60 };

/* An external tier that counts. Its functions lock: they are called by all threads. */
struct tier {
  pthread_mutex_t lock;
  long calls;
};

static int is_over, is_racing;
static long resumed, failed, released;
static SSL_CTX *server;
static sessile_store *stores[2];

static void count_call(void *user) {
  struct tier *tier = user;
  if (is_racing) {
    tier->calls++;
    return;
  }
  pthread_mutex_lock(&tier->lock);
  tier->calls++;
  pthread_mutex_unlock(&tier->lock);
}

static void tier_added(void *user, SSL_SESSION *session) {
  CHECK(SSL_SESSION_is_resumable(session));
  count_call(user);
}

static void tier_removed(void *user, SSL_SESSION *session, enum sessile_cause cause) {
  unsigned int length;
  CHECK(SSL_SESSION_get_id(session, &length) != NULL && length == 32);
  CHECK(cause <= SESSILE_CAUSE_FLUSHED);
  count_call(user);
}

static SSL_SESSION *tier_miss(void *user, const sessile_query *query) {
  CHECK(query->id_length > 0 && query->id_length <= 32);
  count_call(user);
  return NULL;
}

static void tier_release(void *user) {
  struct tier *tier = user;
  /* What other threads wrote is seen after their lock. */
  pthread_mutex_lock(&tier->lock);
  pthread_mutex_unlock(&tier->lock);
  pthread_mutex_destroy(&tier->lock);
  free(tier);
  __atomic_fetch_add(&released, 1, __ATOMIC_RELAXED);
}

static void set_tier(const sessile_store *store) {
  struct tier *tier = calloc(1, sizeof *tier);
  sessile_hooks hooks = {.size = sizeof hooks,       .user = tier,
                         .on_added = tier_added,     .on_removed = tier_removed,
                         .on_miss = tier_miss,       .release = tier_release};
  CHECK(tier != NULL && pthread_mutex_init(&tier->lock, NULL) == 0);
  OK(sessile_set_hooks(store, &hooks));
}

static void *be_clients(void *argument) {
  SSL_CTX *client = client_context();
  SSL_SESSION *session = NULL;
  (void)argument;
  for (int one = 0; one < HANDSHAKES; one++) {
    int outcome = visit(server, client, &session);
    __atomic_fetch_add(outcome < 0 ? &failed : &resumed, outcome != 0, __ATOMIC_RELAXED);
  }
  SSL_SESSION_free(session);
  SSL_CTX_free(client);
  return NULL;
}

/* Another context of the same store, attached and freed while handshakes run on the first. */
static void come_and_go(sessile_store *store) {
  SSL_CTX *context = server_context(TLS1_3_VERSION), *client = client_context();
  OK(sessile_attach(store, context, NAME, sizeof NAME));
  CHECK(visit(context, client, NULL) == 0);
  SSL_CTX_free(context);
  SSL_CTX_free(client);
}

static void *attach_and_detach(void *argument) {
  (void)argument;
  for (unsigned turn = 0; !__atomic_load_n(&is_over, __ATOMIC_RELAXED); turn++) {
    sessile_store *store = stores[turn % 2], *found;
    OK(sessile_attach(store, server, NAME, sizeof NAME));
    OK(sessile_of(server, &found));
    sessile_free(found);
    if (turn % 4 == 3)
      OK(sessile_detach(server));
    if (turn % 16 == 0)
      come_and_go(store);
  }
  OK(sessile_attach(stores[0], server, NAME, sizeof NAME));
  return NULL;
}

static int touch(SSL_SESSION *session, void *user) {
  *(long *)user += SSL_SESSION_get_timeout(session);
  return 1;
}

static void *manage(void *argument) {
  long sum = 0;
  (void)argument;
  for (unsigned turn = 0; !__atomic_load_n(&is_over, __ATOMIC_RELAXED); turn++) {
    const sessile_store *store = stores[turn % 2];
    OK(sessile_resize(store, 20 + turn % 100, NULL));
    OK(sessile_for_each(store, touch, &sum));
    CHECK(counted(store).number <= 120);
    OK(sessile_collect(store));
    if (turn % 8 == 0)
      set_tier(store);
    if (turn % 32 == 0)
      OK(sessile_flush(store, 0, NULL));
  }
  return NULL;
}

static void run(int version) {
  pthread_t clients[CLIENTS], attacher, manager;
  is_over = 0;
  server = server_context(version);
  for (int one = 0; one < 2; one++) {
    stores[one] = store_for(100);
    set_tier(stores[one]);
  }
  OK(sessile_attach(stores[0], server, NAME, sizeof NAME));
  /* What is made once for all is made here: a sanitizer sees nothing of how Rust's standard library
     orders that. */
  be_clients(NULL);
  resumed = 0;
  for (int one = 0; one < CLIENTS; one++)
    CHECK(pthread_create(&clients[one], NULL, be_clients, NULL) == 0);
  CHECK(pthread_create(&attacher, NULL, attach_and_detach, NULL) == 0);
  CHECK(pthread_create(&manager, NULL, manage, NULL) == 0);
  for (int one = 0; one < CLIENTS; one++)
    pthread_join(clients[one], NULL);
  __atomic_store_n(&is_over, 1, __ATOMIC_RELAXED);
  pthread_join(attacher, NULL);
  pthread_join(manager, NULL);
  for (int one = 0; one < 2; one++) {
    sessile_statistics seen = counted(stores[one]);
    CHECK(seen.added - (seen.removed + seen.taken + seen.evicted + seen.expired + seen.flushed) ==
          seen.number);
    sessile_free(stores[one]);
  }
  SSL_CTX_free(server);
  CHECK(failed == 0);
  printf("%s: %d handshakes, %ld resumed, 0 failed\n", version == TLS1_2_VERSION ? "1.2" : "1.3",
         CLIENTS * HANDSHAKES, resumed);
  resumed = 0;
}

int main(int count, char **arguments) {
  is_racing = count > 1 && strcmp(arguments[1], "race") == 0;
  run(TLS1_2_VERSION);
  run(TLS1_3_VERSION);
  CHECK(released > 0);
  return 0;
}
