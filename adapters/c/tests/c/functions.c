/* Every function of the interface, and every error that a caller can bring about. */
#include <sys/resource.h>

#include "harness.h"

static void versions(void) {
  CHECK(sessile_abi_version() == SESSILE_ABI_VERSION);
  CHECK(strcmp(sessile_version(), EXPECTED_VERSION) == 0);
}

static void messages(void) {
  static const int codes[] = {
      SESSILE_ERROR_OK,           SESSILE_ERROR_NULL,         SESSILE_ERROR_ARGUMENT,
      SESSILE_ERROR_CAPACITY,     SESSILE_ERROR_WEIGHT,       SESSILE_ERROR_MEMORY,
      SESSILE_ERROR_NAME,         SESSILE_ERROR_NOT_ATTACHED, SESSILE_ERROR_LIBSSL,
      SESSILE_ERROR_PANIC,        SESSILE_ERROR_EXPIRED,      SESSILE_ERROR_OVER_WEIGHT,
      SESSILE_ERROR_NOT_RESUMABLE, SESSILE_ERROR_GARBAGE,     SESSILE_ERROR_CONTEXT,
      SESSILE_ERROR_STORE_DISABLED, SESSILE_ERROR_CONTENTION, SESSILE_ERROR_ADDRESS,
      SESSILE_ERROR_REVOKED,      SESSILE_ERROR_RECURSION,    SESSILE_ERROR_REFUSED};
  const size_t count = sizeof codes / sizeof codes[0];
  const char *unknown = sessile_strerror(-1);
  CHECK(unknown != NULL && strcmp(unknown, sessile_strerror(64)) == 0);
  for (size_t one = 0; one < count; one++) {
    const char *message = sessile_strerror(codes[one]);
    CHECK(strlen(message) > 0 && strcmp(message, unknown) != 0);
    for (size_t other = 0; other < one; other++)
      CHECK(strcmp(message, sessile_strerror(codes[other])) != 0);
  }
}

static void configurations(void) {
  sessile_config *config = sessile_config_new();
  sessile_store *store = NULL;
  size_t sessions;
  CHECK(config != NULL);
  OK(sessile_config_set_capacity(config, 0));
  OK(sessile_config_set_bytes(config, 1 << 20, 1 << 14));
  OK(sessile_config_set_garbage_limit(config, 1 << 24));
  OK(sessile_config_set_timeout(config, 600));
  OK(sessile_config_set_deadline(config, 3600));
  OK(sessile_config_set_policy(config, SESSILE_POLICY_FIFO));
  OK(sessile_config_set_policy(config, SESSILE_POLICY_SOONEST_EXPIRY));
  OK(sessile_config_set_policy(config, SESSILE_POLICY_LRU));
  OK(sessile_config_set_protect_reused(config, 1));
  OK(sessile_config_set_reusable(config, 1));
  OK(sessile_config_set_mode(config, SSL_SESS_CACHE_SERVER | SSL_SESS_CACHE_UPDATE_TIME));
  ANSWERS(SESSILE_ERROR_ARGUMENT, sessile_config_set_policy(config, 3));
  ANSWERS(SESSILE_ERROR_ARGUMENT, sessile_config_set_mode(config, 1u << 15));
  ANSWERS(SESSILE_ERROR_ARGUMENT, sessile_config_set_mode(config, UINT64_MAX));
  ANSWERS(SESSILE_ERROR_WEIGHT, sessile_config_set_bytes(config, 0, 0));
  ANSWERS(SESSILE_ERROR_WEIGHT, sessile_config_set_bytes(config, 1 << 10, 1 << 11));
  OK(sessile_new(config, &store));
  OK(sessile_capacity(store, &sessions));
  CHECK(sessions == 0);
  OK(sessile_resize(store, 100, &sessions));
  CHECK(sessions == 0);
  ANSWERS(SESSILE_ERROR_CAPACITY, sessile_resize(store, SIZE_MAX / 2, NULL));
  OK(sessile_capacity(store, &sessions));
  CHECK(sessions == 100);
  sessile_free(store);
  OK(sessile_config_set_capacity(config, SIZE_MAX / 2));
  ANSWERS(SESSILE_ERROR_CAPACITY, sessile_new(config, &store));
  CHECK(store == NULL);
  sessile_config_free(config);
}

static int count_one(SSL_SESSION *session, void *count) {
  (void)session;
  return ++*(int *)count < 2;
}

static void nulls(void) {
  SSL_CTX *context = server_context(TLS1_2_VERSION);
  SSL_SESSION *session = SSL_SESSION_new();
  sessile_store *store = store_for(10), *other;
  sessile_config *config = sessile_config_new();
  sessile_statistics statistics;
  ANSWERS(SESSILE_ERROR_NULL, sessile_config_set_capacity(NULL, 1));
  ANSWERS(SESSILE_ERROR_NULL, sessile_config_set_bytes(NULL, 1, 1));
  ANSWERS(SESSILE_ERROR_NULL, sessile_config_set_garbage_limit(NULL, 1));
  ANSWERS(SESSILE_ERROR_NULL, sessile_config_set_timeout(NULL, 1));
  ANSWERS(SESSILE_ERROR_NULL, sessile_config_set_deadline(NULL, 1));
  ANSWERS(SESSILE_ERROR_NULL, sessile_config_set_policy(NULL, 0));
  ANSWERS(SESSILE_ERROR_NULL, sessile_config_set_protect_reused(NULL, 0));
  ANSWERS(SESSILE_ERROR_NULL, sessile_config_set_reusable(NULL, 0));
  ANSWERS(SESSILE_ERROR_NULL, sessile_config_set_mode(NULL, 0));
  ANSWERS(SESSILE_ERROR_NULL, sessile_new(NULL, &other));
  CHECK(other == NULL);
  ANSWERS(SESSILE_ERROR_NULL, sessile_new(config, NULL));
  ANSWERS(SESSILE_ERROR_NULL, sessile_attach(NULL, context, NAME, sizeof NAME));
  ANSWERS(SESSILE_ERROR_NULL, sessile_attach(store, NULL, NAME, sizeof NAME));
  ANSWERS(SESSILE_ERROR_NULL, sessile_attach(store, context, NULL, 0));
  ANSWERS(SESSILE_ERROR_ARGUMENT, sessile_attach(store, context, NAME, SIZE_MAX));
  ANSWERS(SESSILE_ERROR_NULL, sessile_detach(NULL));
  ANSWERS(SESSILE_ERROR_NULL, sessile_of(NULL, &other));
  ANSWERS(SESSILE_ERROR_NULL, sessile_of(context, NULL));
  ANSWERS(SESSILE_ERROR_NULL, sessile_revoke(NULL, NAME, sizeof NAME));
  ANSWERS(SESSILE_ERROR_NULL, sessile_revoke(store, NULL, 0));
  ANSWERS(SESSILE_ERROR_NULL, sessile_add(NULL, session, NULL));
  ANSWERS(SESSILE_ERROR_NULL, sessile_add(store, NULL, NULL));
  ANSWERS(SESSILE_ERROR_NULL, sessile_remove(NULL, session, NULL));
  ANSWERS(SESSILE_ERROR_NULL, sessile_remove(store, NULL, NULL));
  ANSWERS(SESSILE_ERROR_NULL, sessile_remove_exactly(NULL, session, NULL));
  ANSWERS(SESSILE_ERROR_NULL, sessile_remove_exactly(store, NULL, NULL));
  ANSWERS(SESSILE_ERROR_NULL, sessile_set_session_timeout(NULL, session, 1));
  ANSWERS(SESSILE_ERROR_NULL, sessile_set_session_timeout(store, NULL, 1));
  ANSWERS(SESSILE_ERROR_ARGUMENT, sessile_set_session_timeout(store, session, UINT64_MAX));
  ANSWERS(SESSILE_ERROR_NULL, sessile_flush(NULL, 0, NULL));
  ANSWERS(SESSILE_ERROR_ARGUMENT, sessile_flush(store, -1, NULL));
  ANSWERS(SESSILE_ERROR_NULL, sessile_collect(NULL));
  ANSWERS(SESSILE_ERROR_NULL, sessile_for_each(NULL, count_one, NULL));
  ANSWERS(SESSILE_ERROR_NULL, sessile_for_each(store, NULL, NULL));
  ANSWERS(SESSILE_ERROR_NULL, sessile_resize(NULL, 1, NULL));
  ANSWERS(SESSILE_ERROR_NULL, sessile_capacity(NULL, NULL));
  ANSWERS(SESSILE_ERROR_NULL, sessile_capacity(store, NULL));
  ANSWERS(SESSILE_ERROR_NULL, sessile_set_timeout(NULL, 1, NULL));
  ANSWERS(SESSILE_ERROR_NULL, sessile_set_mode(NULL, 0, NULL));
  ANSWERS(SESSILE_ERROR_ARGUMENT, sessile_set_mode(store, 1u << 15, NULL));
  ANSWERS(SESSILE_ERROR_NULL, sessile_stats(NULL, &statistics, sizeof statistics));
  ANSWERS(SESSILE_ERROR_NULL, sessile_stats(store, NULL, sizeof statistics));
  ANSWERS(SESSILE_ERROR_ARGUMENT, sessile_stats(store, &statistics, 0));
  ANSWERS(SESSILE_ERROR_ARGUMENT, sessile_stats(store, &statistics, 9));
  ANSWERS(SESSILE_ERROR_NULL, sessile_metrics(NULL, NULL, NULL));
  ANSWERS(SESSILE_ERROR_NULL, sessile_metrics(store, NULL, NULL));
  ANSWERS(SESSILE_ERROR_NULL, sessile_set_hooks(NULL, NULL));
  sessile_free(NULL);
  sessile_config_free(NULL);
  sessile_config_free(config);
  sessile_free(store);
  SSL_SESSION_free(session);
  SSL_CTX_free(context);
}

static void contexts(int version) {
  SSL_CTX *server = server_context(version), *client = client_context();
  sessile_store *store = store_for(100), *found;
  SSL_SESSION *session = NULL, *spent;
  ANSWERS(SESSILE_ERROR_NOT_ATTACHED, sessile_detach(server));
  ANSWERS(SESSILE_ERROR_NOT_ATTACHED, sessile_of(server, &found));
  CHECK(found == NULL);
  OK(sessile_attach(store, server, NAME, sizeof NAME));
  OK(sessile_of(server, &found));
  CHECK(found != NULL && found != store);
  sessile_free(found);
  CHECK(visit(server, client, &session) == 0);
  spent = session;
  SSL_SESSION_up_ref(spent);
  CHECK(visit(server, client, &session) == 1);
  /* TLS 1.3 resumes a session once, TLS 1.2 again and again. */
  CHECK(visit(server, client, &spent) == (version == TLS1_2_VERSION));
  SSL_SESSION_free(spent);
  ANSWERS(SESSILE_ERROR_NAME, sessile_attach(store, server, NAME, 3));
  OK(sessile_detach(server));
  ANSWERS(SESSILE_ERROR_NOT_ATTACHED, sessile_detach(server));
  spent = NULL;
  CHECK(visit(server, client, &spent) == 0);
  CHECK(visit(server, client, &spent) == 0);
  SSL_SESSION_free(spent);
  OK(sessile_attach(store, server, NAME, sizeof NAME));
  CHECK(visit(server, client, &session) == 1);
  OK(sessile_revoke(store, NAME, sizeof NAME));
  CHECK(visit(server, client, &session) == 0);
  CHECK(visit(server, client, &session) == 1);
  CHECK(counted(store).resumed == 3u + (version == TLS1_2_VERSION));
  SSL_SESSION_free(session);
  SSL_CTX_free(client);
  SSL_CTX_free(server);
  sessile_free(store);
}

/* The handle goes before the context, and the context before the handle. */
static void lifetimes(void) {
  SSL_CTX *server = server_context(TLS1_2_VERSION), *client = client_context();
  sessile_store *store = store_for(100);
  SSL_SESSION *session = NULL, *stored;
  OK(sessile_attach(store, server, NAME, sizeof NAME));
  CHECK(visit(server, client, &session) == 0);
  sessile_free(store);
  CHECK(visit(server, client, &session) == 1);
  OK(sessile_of(server, &store));
  SSL_CTX_free(server);
  CHECK(counted(store).number == 1 && counted(store).resumed == 1);
  stored = any_stored(store);
  sessile_free(store);
  CHECK(SSL_SESSION_get_protocol_version(stored) == TLS1_2_VERSION);
  SSL_SESSION_free(stored);
  SSL_SESSION_free(session);
  SSL_CTX_free(client);
}

/* A connection that is used again and copied: each is freed with what is its own. */
static void copied_connection(void) {
  SSL_CTX *server = server_context(TLS1_2_VERSION), *client = client_context();
  sessile_store *store = store_for(10);
  SSL *near = SSL_new(client), *far, *copy;
  BIO *one, *other;
  OK(sessile_attach(store, server, NAME, sizeof NAME));
  far = SSL_new(server);
  CHECK(near != NULL && far != NULL && BIO_new_bio_pair(&one, 0, &other, 0));
  SSL_set_bio(near, one, one);
  SSL_set_bio(far, other, other);
  SSL_set_connect_state(near);
  SSL_set_accept_state(far);
  for (int round = 0; round < 20; round++) {
    SSL_do_handshake(near);
    SSL_do_handshake(far);
  }
  CHECK(SSL_is_init_finished(far) && counted(store).accept_good == 1);
  SSL_shutdown(far);
  CHECK(SSL_clear(far));
  copy = SSL_dup(far);
  CHECK(copy != NULL && copy != far);
  SSL_free(far);
  SSL_free(copy);
  SSL_free(near);
  SSL_CTX_free(client);
  SSL_CTX_free(server);
  sessile_free(store);
}

/* Two contexts of one name resume each other's sessions, of another name they do not. */
static void names(void) {
  SSL_CTX *client = client_context();
  SSL_CTX *first = server_context(TLS1_3_VERSION), *second = server_context(TLS1_3_VERSION);
  SSL_CTX *third = server_context(TLS1_3_VERSION);
  sessile_store *store = store_for(100);
  SSL_SESSION *session = NULL;
  OK(sessile_attach(store, first, NAME, sizeof NAME));
  OK(sessile_attach(store, second, NAME, sizeof NAME));
  OK(sessile_attach(store, third, NAME, 3));
  CHECK(visit(first, client, &session) == 0);
  CHECK(visit(second, client, &session) == 1);
  CHECK(visit(third, client, &session) == 0);
  CHECK(counted(store).context_misses == 1);
  SSL_SESSION_free(session);
  /* The end of a context is not that of the sessions of its name. */
  session = NULL;
  CHECK(visit(first, client, &session) == 0);
  SSL_CTX_free(first);
  CHECK(visit(second, client, &session) == 1);
  SSL_SESSION_free(session);
  SSL_CTX_free(second);
  SSL_CTX_free(third);
  SSL_CTX_free(client);
  sessile_free(store);
}

/* A store with one session, and that session. */
static sessile_store *store_with(SSL_CTX *server, size_t sessions, SSL_SESSION **stored) {
  sessile_store *store = store_for(sessions);
  SSL_CTX *client = client_context();
  OK(sessile_attach(store, server, NAME, sizeof NAME));
  CHECK(visit(server, client, NULL) == 0);
  *stored = any_stored(store);
  SSL_CTX_free(client);
  return store;
}

static void sessions(void) {
  SSL_CTX *server = server_context(TLS1_2_VERSION);
  SSL_SESSION *stored, *twin, *copies[4];
  sessile_store *store = store_with(server, 4, &stored);
  int changed = 7, removed = 7, visited = 0;
  size_t flushed = 7;
  sessile_statistics statistics;
  OK(sessile_add(store, stored, &changed));
  CHECK(changed == 0);
  twin = SSL_SESSION_dup(stored);
  OK(sessile_remove_exactly(store, twin, &removed));
  CHECK(removed == 0);
  OK(sessile_add(store, twin, &changed));
  CHECK(changed == 1);
  OK(sessile_remove(store, stored, &removed));
  CHECK(removed == 1);
  OK(sessile_remove(store, stored, &removed));
  CHECK(removed == 0);
  for (unsigned one = 0; one < 4; one++) {
    copies[one] = copy_of(stored, one);
    OK(sessile_add(store, copies[one], &changed));
    CHECK(changed == 1);
  }
  OK(sessile_for_each(store, count_one, &visited));
  CHECK(visited == 2);
  OK(sessile_set_session_timeout(store, copies[0], 10));
  CHECK(SSL_SESSION_get_timeout(copies[0]) == 10);
  OK(sessile_flush(store, time(NULL) + 100, &flushed));
  CHECK(flushed == 1);
  OK(sessile_remove_exactly(store, copies[1], &removed));
  CHECK(removed == 1);
  OK(sessile_resize(store, 1, &flushed));
  CHECK(flushed == 4);
  statistics = counted(store);
  CHECK(statistics.number == 1 && statistics.evicted == 1 && statistics.cache_full == 1);
  OK(sessile_flush(store, 0, &flushed));
  CHECK(flushed == 1);
  statistics = counted(store);
  CHECK(statistics.added == 5 && statistics.replaced == 1 && statistics.identical == 1);
  CHECK(statistics.removed == 2 && statistics.flushed == 2 && statistics.number == 0);
  for (unsigned one = 0; one < 4; one++)
    SSL_SESSION_free(copies[one]);
  OK(sessile_collect(store));
  CHECK(living == 0 && counted(store).garbage_sessions == 0);
  SSL_SESSION_free(twin);
  SSL_SESSION_free(stored);
  sessile_free(store);
  SSL_CTX_free(server);
}

static sessile_store *reentered;
static enum sessile_error deepest;
static unsigned depth;

static void add_another(void *user, SSL_SESSION *session) {
  SSL_SESSION *copy = copy_of(session, ++depth);
  enum sessile_error answered = sessile_add(reentered, copy, NULL);
  (void)user;
  if (answered != SESSILE_ERROR_OK)
    deepest = answered;
  SSL_SESSION_free(copy);
}

static void refusals(void) {
  SSL_CTX *server = server_context(TLS1_2_VERSION), *other = server_context(TLS1_2_VERSION);
  SSL_SESSION *stored, *copy, *bare = SSL_SESSION_new();
  sessile_store *store = store_with(server, 100, &stored), *narrow;
  sessile_config *config = sessile_config_new();
  sessile_hooks hooks = {.size = sizeof hooks, .on_added = add_another};
  uint64_t former;
  copy = copy_of(stored, 1);
  SSL_SESSION_set_time(copy, time(NULL) - 100);
  SSL_SESSION_set_timeout(copy, 10);
  ANSWERS(SESSILE_ERROR_EXPIRED, sessile_add(store, copy, NULL));
  SSL_SESSION_set_timeout(copy, 1000);
  OK(sessile_config_set_bytes(config, 64, 64));
  OK(sessile_new(config, &narrow));
  ANSWERS(SESSILE_ERROR_OVER_WEIGHT, sessile_add(narrow, copy, NULL));
  ANSWERS(SESSILE_ERROR_NOT_RESUMABLE, sessile_add(store, bare, NULL));
  CHECK(SSL_SESSION_set1_id(bare, (const unsigned char *)"bare", 4));
  ANSWERS(SESSILE_ERROR_CONTEXT, sessile_add(store, bare, NULL));
  OK(sessile_set_mode(store, SSL_SESS_CACHE_SERVER | SSL_SESS_CACHE_NO_INTERNAL_STORE, &former));
  CHECK(former == SSL_SESS_CACHE_SERVER);
  ANSWERS(SESSILE_ERROR_STORE_DISABLED, sessile_add(store, copy, NULL));
  OK(sessile_set_mode(store, SSL_SESS_CACHE_SERVER, &former));
  CHECK(former == (SSL_SESS_CACHE_SERVER | SSL_SESS_CACHE_NO_INTERNAL_STORE));
  OK(sessile_set_timeout(store, 60, &former));
  CHECK(former == 7200);
  reentered = store;
  OK(sessile_set_hooks(store, &hooks));
  OK(sessile_add(store, copy, NULL));
  CHECK(deepest == SESSILE_ERROR_RECURSION && depth == 16);
  OK(sessile_set_hooks(store, NULL));
  /* libssl marks what it is asked to remove, stored or not. */
  SSL_CTX_remove_session(other, copy);
  ANSWERS(SESSILE_ERROR_NOT_RESUMABLE, sessile_add(store, copy, NULL));
  OK(sessile_revoke(store, NAME, sizeof NAME));
  ANSWERS(SESSILE_ERROR_REVOKED, sessile_add(store, stored, NULL));
  CHECK(counted(store).rejected >= 4);
  SSL_SESSION_free(copy);
  SSL_SESSION_free(bare);
  SSL_SESSION_free(stored);
  sessile_config_free(config);
  sessile_free(narrow);
  sessile_free(store);
  SSL_CTX_free(server);
  SSL_CTX_free(other);
  CHECK(living == 0);
}

/* An external tier: the last session that it was told of. */
struct tier {
  SSL_SESSION *kept;
  int added, removed[6], asked, absent, released, operation, protocol;
};

static void tier_added(void *user, SSL_SESSION *session) {
  struct tier *tier = user;
  tier->added++;
  SSL_SESSION_free(tier->kept);
  SSL_SESSION_up_ref(session);
  tier->kept = session;
}

static void tier_removed(void *user, SSL_SESSION *session, enum sessile_cause cause) {
  (void)session;
  ((struct tier *)user)->removed[cause]++;
}

static SSL_SESSION *tier_miss(void *user, const sessile_query *query) {
  struct tier *tier = user;
  SSL_SESSION *answer = tier->kept;
  unsigned int length;
  const unsigned char *id = answer == NULL ? NULL : SSL_SESSION_get_id(answer, &length);
  tier->asked++;
  tier->operation = query->operation;
  tier->protocol = query->protocol;
  CHECK(query->context != NULL);
  if (id == NULL || length != query->id_length || memcmp(id, query->id, length) != 0)
    return NULL;
  tier->kept = NULL;
  return answer;
}

static void tier_absent(void *user, const sessile_query *query) {
  CHECK(query->operation == SESSILE_OPERATION_REMOVE && query->id_length == 32);
  ((struct tier *)user)->absent++;
}

static void tier_release(void *user) { ((struct tier *)user)->released++; }

static void hooks(int version) {
  SSL_CTX *server = server_context(version), *client = client_context();
  sessile_store *store = store_for(100);
  struct tier tier = {0};
  SSL_SESSION *session = NULL, *stored;
  sessile_hooks all = {.size = sizeof all,          .user = &tier,
                       .on_added = tier_added,      .on_removed = tier_removed,
                       .on_miss = tier_miss,        .on_absent = tier_absent,
                       .release = tier_release};
  sessile_hooks truncated = {.size = sizeof(size_t)};
  ANSWERS(SESSILE_ERROR_ARGUMENT, sessile_set_hooks(store, &truncated));
  OK(sessile_set_hooks(store, &all));
  OK(sessile_attach(store, server, NAME, sizeof NAME));
  CHECK(visit(server, client, &session) == 0);
  /* libssl of this version sends two tickets in TLS 1.3; the tier keeps the last, as the client. */
  CHECK(tier.added == (version == TLS1_2_VERSION ? 1 : 2));
  OK(sessile_flush(store, 0, NULL));
  CHECK(tier.removed[SESSILE_CAUSE_FLUSHED] == tier.added);
  /* A client that could also speak TLS 1.3 has offered an id of its own making to TLS 1.2. */
  tier.asked = 0;
  CHECK(visit(server, client, &session) == 1);
  CHECK(tier.asked == 1 && tier.protocol == version && counted(store).tier_hits == 1);
  CHECK(tier.operation ==
        (version == TLS1_2_VERSION ? SESSILE_OPERATION_GET : SESSILE_OPERATION_TAKE));
  stored = any_stored(store);
  OK(sessile_remove(store, stored, NULL));
  OK(sessile_remove(store, stored, NULL));
  CHECK(tier.removed[SESSILE_CAUSE_REMOVED] == 1 && tier.absent == 1);
  SSL_SESSION_free(stored);
  OK(sessile_set_hooks(store, NULL));
  CHECK(tier.released == 1);
  OK(sessile_set_hooks(store, &all));
  SSL_SESSION_free(session);
  SSL_CTX_free(client);
  SSL_CTX_free(server);
  sessile_free(store);
  CHECK(tier.released == 2);
  SSL_SESSION_free(tier.kept);
}

/* An external tier that keeps bytes, as one in another process would. */
struct bytes {
  unsigned char *der;
  int length, is_taken;
};

static void bytes_added(void *user, SSL_SESSION *session) {
  struct bytes *bytes = user;
  unsigned char *end;
  free(bytes->der);
  bytes->length = i2d_SSL_SESSION(session, NULL);
  bytes->der = end = malloc((size_t)bytes->length);
  CHECK(end != NULL && i2d_SSL_SESSION(session, &end) == bytes->length);
  bytes->is_taken = 0;
}

static SSL_SESSION *bytes_miss(void *user, const sessile_query *query) {
  struct bytes *bytes = user;
  const unsigned char *der = bytes->der;
  if (der == NULL || bytes->is_taken)
    return NULL;
  bytes->is_taken = query->operation == SESSILE_OPERATION_TAKE;
  return d2i_SSL_SESSION(NULL, &der, bytes->length);
}

/* A second process, with a store and a context of its own, resumes what the first one made. */
static void two_processes(int version) {
  SSL_CTX *first = server_context(version), *second = server_context(version);
  SSL_CTX *client = client_context();
  sessile_store *one = store_for(100), *other = store_for(100);
  struct bytes bytes = {0};
  SSL_SESSION *session = NULL;
  sessile_hooks tier = {
      .size = sizeof tier, .user = &bytes, .on_added = bytes_added, .on_miss = bytes_miss};
  OK(sessile_set_hooks(one, &tier));
  OK(sessile_set_hooks(other, &tier));
  OK(sessile_attach(one, first, NAME, sizeof NAME));
  OK(sessile_attach(other, second, NAME, sizeof NAME));
  CHECK(visit(first, client, &session) == 0);
  CHECK(visit(second, client, &session) == 1);
  CHECK(counted(other).tier_hits == 1 && counted(other).resumed == 1);
  SSL_SESSION_free(session);
  sessile_free(one);
  sessile_free(other);
  SSL_CTX_free(first);
  SSL_CTX_free(second);
  SSL_CTX_free(client);
  free(bytes.der);
}

static void see_metric(const char *name, const char *help, int can_fall, uint64_t value,
                       void *user) {
  uint64_t *seen = user;
  CHECK(strlen(name) > 0 && strlen(help) > 0 && (can_fall == 0 || can_fall == 1));
  seen[0]++;
  if (strcmp(name, "capacity") == 0)
    seen[1] = value;
}

static void statistics(void) {
  sessile_store *store = store_for(77);
  uint64_t short_one[2] = {9, 9}, seen[2] = {0}, long_one[32];
  memset(long_one, 9, sizeof long_one);
  OK(sessile_stats(store, (sessile_statistics *)short_one, sizeof short_one[0]));
  CHECK(short_one[0] == 0 && short_one[1] == 9);
  OK(sessile_stats(store, (sessile_statistics *)long_one, sizeof long_one));
  CHECK(long_one[31] == 0);
  OK(sessile_metrics(store, see_metric, seen));
  CHECK(seen[0] > 25 && seen[1] == 77);
  sessile_free(store);
}

/* No memory for a table of this size. */
static void exhausted(void) {
  struct rlimit limit = {1ul << 29, 1ul << 29};
  sessile_config *config = sessile_config_new();
  sessile_store *store;
  CHECK(setrlimit(RLIMIT_AS, &limit) == 0);
  OK(sessile_config_set_capacity(config, 80 * 1000 * 1000));
  ANSWERS(SESSILE_ERROR_MEMORY, sessile_new(config, &store));
  sessile_config_free(config);
}

static int is_refusing;

static void *refusing_malloc(size_t size, const char *file, int line) {
  (void)file, (void)line;
  return is_refusing ? NULL : malloc(size);
}

static void *refusing_realloc(void *block, size_t size, const char *file, int line) {
  (void)file, (void)line;
  return is_refusing ? NULL : realloc(block, size);
}

static void plain_free(void *block, const char *file, int line) {
  (void)file, (void)line;
  free(block);
}

/* libssl has no memory for the first context that is attached. */
static void libssl_fails(void) {
  SSL_CTX *server = server_context(TLS1_2_VERSION);
  sessile_store *store = store_for(10);
  is_refusing = 1;
  ANSWERS(SESSILE_ERROR_LIBSSL, sessile_attach(store, server, NAME, sizeof NAME));
  is_refusing = 0;
  OK(sessile_attach(store, server, NAME, sizeof NAME));
  sessile_free(store);
  SSL_CTX_free(server);
}

int main(int count, char **arguments) {
  const char *what = count > 1 ? arguments[1] : "all";
  if (strcmp(what, "libssl") == 0) {
    CHECK(CRYPTO_set_mem_functions(refusing_malloc, refusing_realloc, plain_free));
    libssl_fails();
    return 0;
  }
  if (strcmp(what, "exhausted") == 0) {
    exhausted();
    return 0;
  }
  if (strcmp(what, "leak") == 0) {
    /* For the sanitizer: a handle that is lost. */
    return store_for(10) == NULL;
  }
  start();
  versions();
  messages();
  configurations();
  nulls();
  contexts(TLS1_2_VERSION);
  contexts(TLS1_3_VERSION);
  lifetimes();
  copied_connection();
  names();
  sessions();
  refusals();
  hooks(TLS1_2_VERSION);
  hooks(TLS1_3_VERSION);
  two_processes(TLS1_2_VERSION);
  two_processes(TLS1_3_VERSION);
  statistics();
  puts("every function answered");
  return 0;
}
