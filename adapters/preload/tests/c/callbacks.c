/*
 * What a program sees of libssl's session cache: answers, counters and callbacks, printed. Nothing
 * of Sessile is in it. Run with and without the preloaded library it prints the same.
 */
#include "tls.h"

static int told_new, told_get, told_remove;
static SSL_SESSION *kept;

static int on_new(SSL *ssl, SSL_SESSION *session) {
  (void)ssl;
  told_new++;
  SSL_SESSION_free(kept);
  kept = session;
  return 1;
}

static SSL_SESSION *on_get(SSL *ssl, const unsigned char *id, int length, int *copy) {
  unsigned int kept_length = 0;
  const unsigned char *kept_id = kept == NULL ? NULL : SSL_SESSION_get_id(kept, &kept_length);
  (void)ssl;
  told_get++;
  if (kept_id == NULL || (int)kept_length != length || memcmp(kept_id, id, kept_length) != 0)
    return NULL;
  *copy = 1;
  return kept;
}

static void on_remove(SSL_CTX *context, SSL_SESSION *session) {
  CHECK(context != NULL && session != NULL);
  told_remove++;
}

static void show(const char *when, SSL_CTX *context) {
  printf("%s: number %ld accept %ld good %ld hits %ld cb_hits %ld timeouts %ld full %ld size %ld, "
         "new %d get %d remove %d\n",
         when, SSL_CTX_sess_number(context), SSL_CTX_sess_accept(context),
         SSL_CTX_sess_accept_good(context), SSL_CTX_sess_hits(context),
         SSL_CTX_sess_cb_hits(context), SSL_CTX_sess_timeouts(context),
         SSL_CTX_sess_cache_full(context), SSL_CTX_sess_get_cache_size(context), told_new, told_get,
         told_remove);
}

/* Of a client that offers no id of its own making. */
static SSL_CTX *quiet_client(void) {
  SSL_CTX *client = client_context();
  CHECK(SSL_CTX_set_max_proto_version(client, TLS1_2_VERSION));
  return client;
}

static SSL_CTX *server_with_name(void) {
  SSL_CTX *server = server_context(TLS1_2_VERSION);
  CHECK(SSL_CTX_set_session_id_context(server, (const unsigned char *)"callbacks", 9));
  SSL_CTX_set_options(server, SSL_OP_NO_TICKET);
  CHECK(SSL_CTX_sess_set_cache_size(server, 100) == SSL_SESSION_CACHE_MAX_SIZE_DEFAULT);
  SSL_CTX_set_timeout(server, 500);
  return server;
}

static void set_callbacks(SSL_CTX *server) {
  SSL_CTX_sess_set_new_cb(server, on_new);
  SSL_CTX_sess_set_get_cb(server, on_get);
  SSL_CTX_sess_set_remove_cb(server, on_remove);
  CHECK(SSL_CTX_sess_get_new_cb(server) == on_new);
  CHECK(SSL_CTX_sess_get_get_cb(server) == on_get);
  CHECK(SSL_CTX_sess_get_remove_cb(server) == on_remove);
}

/* Longer than libssl takes, and than what there is to read. */
static void refuse_lengths(SSL_CTX *server) {
  SSL *ssl = SSL_new(server);
  const unsigned char *name = (const unsigned char *)"callbacks";
  printf("lengths %d %d\n", SSL_CTX_set_session_id_context(server, name, (unsigned int)-1),
         SSL_set_session_id_context(ssl, name, (unsigned int)-1));
  SSL_free(ssl);
}

/* The program's callbacks are set before the first connection, or after it. */
static void play(int is_early) {
  SSL_CTX *server = server_with_name(), *client = quiet_client();
  SSL_SESSION *session = NULL, *first;
  printf("length %d\n", SSL_CTX_set_session_id_context(server, (const unsigned char *)"callbacks",
                                                      (unsigned int)-1));
  told_new = told_get = told_remove = 0;
  if (is_early)
    set_callbacks(server);
  CHECK(visit(server, client, NULL) == 0);
  set_callbacks(server);
  CHECK(visit(server, client, &session) == 0);
  show("two visits", server);
  refuse_lengths(server);
  CHECK(visit(server, client, &session) == 1);
  show("resumed", server);

  printf("again %d\n", SSL_CTX_add_session(server, kept));
  printf("removed %d\n", SSL_CTX_remove_session(server, kept));
  show("one removed", server);
  printf("removed again %d, resumable %d\n", SSL_CTX_remove_session(server, kept),
         SSL_SESSION_is_resumable(kept));

  first = kept;
  kept = NULL;
  CHECK(visit(server, client, &session) == 0);
  SSL_SESSION_free(first);
  printf("mode %ld\n", SSL_CTX_set_session_cache_mode(
                           server, SSL_SESS_CACHE_SERVER | SSL_SESS_CACHE_NO_INTERNAL));
  CHECK(visit(server, client, &session) == 1);
  show("external only", server);
  printf("mode %ld\n", SSL_CTX_set_session_cache_mode(server, SSL_SESS_CACHE_SERVER));
  printf("timeout %ld\n", SSL_CTX_set_timeout(server, 700));
  printf("size %ld\n", SSL_CTX_sess_set_cache_size(server, 50));
  CHECK(visit(server, client, NULL) == 0);
  SSL_CTX_flush_sessions(server, -5);
  show("flushed before 1970", server);
  SSL_CTX_flush_sessions(server, 0);
  show("flushed", server);
  SSL_SESSION_free(kept);
  kept = NULL;
  CHECK(visit(server, client, &session) == 0);
  CHECK(visit(server, client, &session) == 1);
  show("once more", server);
  SSL_SESSION_free(kept);
  kept = NULL;
  SSL_SESSION_free(session);
  SSL_CTX_free(client);
  SSL_CTX_free(server);
}

/* A server name callback that moves connections. */
static int on_name(SSL *ssl, int *alert, void *other) {
  const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
  (void)alert;
  if (name != NULL && strcmp(name, "two.example") == 0)
    SSL_set_SSL_CTX(ssl, other);
  return SSL_TLSEXT_ERR_OK;
}

/* Two contexts with one id context or two: connections of one host end in the second one. */
static void moved(const char *second_name) {
  SSL_CTX *first = server_with_name(), *second = server_with_name(), *client = quiet_client();
  SSL_SESSION *one = NULL, *two = NULL;
  CHECK(SSL_CTX_set_session_id_context(second, (const unsigned char *)second_name,
                                       (unsigned int)strlen(second_name)));
  SSL_CTX_set_tlsext_servername_callback(first, on_name);
  SSL_CTX_set_tlsext_servername_arg(first, second);
  for (int visits = 0; visits < 3; visits++) {
    host = "one.example";
    printf("one %d, ", visit(first, client, &one));
    host = "two.example";
    printf("two %d\n", visit(first, client, &two));
  }
  host = NULL;
  SSL_SESSION_free(one);
  SSL_SESSION_free(two);
  SSL_CTX_free(second);
  SSL_CTX_free(client);
  SSL_CTX_free(first);
}

/* The program sets an id context after the first connection, keeps sessions itself or lets clients
 * keep tickets, and resumes. */
static void late_id_context(int version, int has_tickets) {
  SSL_CTX *server = server_context(version), *client = client_context();
  SSL_SESSION *session = NULL, *of_other;
  SSL_CTX_set_session_cache_mode(server, SSL_SESS_CACHE_SERVER);
  SSL_CTX_set_options(server, SSL_OP_NO_TICKET);
  CHECK(visit(server, client, &session) == 0);
  set_callbacks(server);
  if (has_tickets)
    SSL_CTX_clear_options(server, SSL_OP_NO_TICKET);
  CHECK(SSL_CTX_set_session_id_context(server, (const unsigned char *)"late", 4));
  printf("of another id context %d, ", visit(server, client, &session));
  of_other = session;
  session = NULL;
  CHECK(SSL_CTX_set_session_id_context(server, (const unsigned char *)"later", 5));
  CHECK(visit(server, client, &session) == 0);
  for (int one = 0; one < 2; one++)
    printf("of its own %d, ", visit(server, client, &session));
  printf("once more of another %d\n", visit(server, client, &of_other));
  SSL_SESSION_free(kept);
  kept = NULL;
  SSL_SESSION_free(session);
  SSL_SESSION_free(of_other);
  SSL_CTX_free(client);
  SSL_CTX_free(server);
}

/* An external cache of encoded sessions, as several processes share one. */
static unsigned char *encoded;
static int encoded_length;

static int encode(SSL *ssl, SSL_SESSION *session) {
  unsigned char *end;
  (void)ssl;
  free(encoded);
  encoded_length = i2d_SSL_SESSION(session, NULL);
  encoded = end = malloc((size_t)encoded_length);
  CHECK(end != NULL && i2d_SSL_SESSION(session, &end) == encoded_length);
  return 0;
}

static SSL_SESSION *decode(SSL *ssl, const unsigned char *id, int length, int *copy) {
  const unsigned char *der = encoded;
  unsigned int own;
  SSL_SESSION *session = der == NULL ? NULL : d2i_SSL_SESSION(NULL, &der, encoded_length);
  (void)ssl;
  *copy = 0;
  if (session == NULL || memcmp(SSL_SESSION_get_id(session, &own), id, (size_t)length) != 0) {
    SSL_SESSION_free(session);
    return NULL;
  }
  return session;
}

/* What one process has made is resumed by another one. */
static void shared_sessions(int version) {
  SSL_CTX *servers[2], *client = client_context();
  SSL_SESSION *session = NULL;
  CHECK(SSL_CTX_set_max_proto_version(client, version));
  for (int one = 0; one < 2; one++) {
    servers[one] = server_context(version);
    CHECK(SSL_CTX_set_session_id_context(servers[one], (const unsigned char *)"shared", 6));
    SSL_CTX_set_options(servers[one], SSL_OP_NO_TICKET);
    SSL_CTX_sess_set_new_cb(servers[one], encode);
    SSL_CTX_sess_set_get_cb(servers[one], decode);
  }
  for (int one = 0; one < 6; one++) {
    printf("shared %d", visit(servers[one % 2], client, &session));
    if (version == TLS1_2_VERSION)
      printf(", number %ld, cb_hits %ld", SSL_CTX_sess_number(servers[one % 2]),
             SSL_CTX_sess_cb_hits(servers[one % 2]));
    printf("\n");
  }
  free(encoded);
  encoded = NULL;
  SSL_SESSION_free(session);
  SSL_CTX_free(client);
  SSL_CTX_free(servers[0]);
  SSL_CTX_free(servers[1]);
}

/* What the callbacks of two contexts were called for. */
enum { NEW, GET, REMOVE };
static int told[2][3];

#define CALLBACKS(which)                                                                           \
  static int new_of_##which(SSL *ssl, SSL_SESSION *session) {                                      \
    (void)ssl, (void)session;                                                                      \
    told[which][NEW]++;                                                                            \
    return 0;                                                                                      \
  }                                                                                                \
  static SSL_SESSION *get_of_##which(SSL *ssl, const unsigned char *id, int length, int *copy) {   \
    (void)ssl, (void)id, (void)length, (void)copy;                                                 \
    told[which][GET]++;                                                                            \
    return NULL;                                                                                   \
  }                                                                                                \
  static void remove_of_##which(SSL_CTX *context, SSL_SESSION *session) {                          \
    (void)context, (void)session;                                                                  \
    told[which][REMOVE]++;                                                                         \
  }

CALLBACKS(0)
CALLBACKS(1)

static void show_told(const char *when) {
  printf("%s: first %d %d %d, second %d %d %d\n", when, told[0][NEW], told[0][GET], told[0][REMOVE],
         told[1][NEW], told[1][GET], told[1][REMOVE]);
}

/* A connection that is moved keeps to the callbacks of the context that it was made of. `has` says
 * which of the contexts have any. */
static void moved_callbacks(const int has[2]) {
  SSL_CTX *first = server_with_name(), *second = server_with_name(), *client = quiet_client();
  SSL_SESSION *session = NULL;
  memset(told, 0, sizeof told);
  if (has[0]) {
    SSL_CTX_sess_set_new_cb(first, new_of_0);
    SSL_CTX_sess_set_get_cb(first, get_of_0);
    SSL_CTX_sess_set_remove_cb(first, remove_of_0);
  }
  if (has[1]) {
    SSL_CTX_sess_set_new_cb(second, new_of_1);
    SSL_CTX_sess_set_get_cb(second, get_of_1);
    SSL_CTX_sess_set_remove_cb(second, remove_of_1);
  }
  SSL_CTX_set_tlsext_servername_callback(first, on_name);
  SSL_CTX_set_tlsext_servername_arg(first, second);
  host = "two.example";
  CHECK(visit(first, client, &session) == 0);
  show_told("made");
  CHECK(visit(first, client, &session) == 1);
  show_told("resumed");
  CHECK((SSL_CTX_sess_get_new_cb(second) == new_of_1) == has[1]);
  SSL_CTX_sess_set_cache_size(first, 1);
  CHECK(visit(first, client, NULL) == 0);
  show_told("evicted");
  host = NULL;
  CHECK(visit(second, client, NULL) == 0);
  show_told("at the second's own port");
  SSL_CTX_flush_sessions(first, 0);
  CHECK(visit(first, client, &session) == 0);
  show_told("flushed");
  SSL_SESSION_free(session);
  SSL_CTX_free(client);
  SSL_CTX_free(second);
  SSL_CTX_free(first);
}

/* A context that is not one for a store is left as it is. */
static void client_alone(void) {
  SSL_CTX *client = client_context();
  SSL *ssl = SSL_new(client);
  printf("client: mode %ld, tickets %d\n", SSL_CTX_get_session_cache_mode(client),
         (SSL_CTX_get_options(client) & SSL_OP_NO_TICKET) == 0);
  SSL_free(ssl);
  SSL_CTX_free(client);
}

int main(void) {
  play(1);
  play(0);
  moved("callbacks");
  shared_sessions(TLS1_2_VERSION);
  shared_sessions(TLS1_3_VERSION);
  for (int one = 0; one < 4; one++)
    late_id_context(one & 1 ? TLS1_3_VERSION : TLS1_2_VERSION, one >> 1);
  for (int one = 0; one < 4; one++)
    moved_callbacks((const int[2]){one & 1, one >> 1});
  client_alone();
  return 0;
}
