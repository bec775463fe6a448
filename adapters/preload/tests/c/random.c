/*
 * Random calls of libssl's session cache, the same for the same seeds, and what each answers. Two
 * contexts: connections to the first one that ask for a certain host are moved to the second one.
 * Nothing of Sessile is in it.
 *
 * Left out is what is meant to differ: an eviction, a host that changes, the single use of TLS 1.3.
 */
#include "tls.h"

enum { SLOTS = 4, CALLS = 60 };

struct slot {
  SSL_SESSION *of_client, *of_server;
};

static int version = TLS1_2_VERSION;
static unsigned long state;
static SSL_CTX *contexts[2], *client;
/* Sessions of connections that stay, and of those that are moved. */
static struct slot slots[2][SLOTS];
static int told[2][3];
static SSL_SESSION *supplied;

static unsigned below(unsigned limit) {
  state = state * 6364136223846793005ul + 1442695040888963407ul;
  return (unsigned)(state >> 33) % limit;
}

#define CALLBACKS(which)                                                                           \
  static int new_of_##which(SSL *ssl, SSL_SESSION *session) {                                      \
    (void)ssl, (void)session;                                                                      \
    told[which][0]++;                                                                              \
    return 0;                                                                                      \
  }                                                                                                \
  static SSL_SESSION *get_of_##which(SSL *ssl, const unsigned char *id, int length, int *copy) {   \
    (void)ssl;                                                                                     \
    told[which][1]++;                                                                              \
    return supply(id, length, copy);                                                               \
  }                                                                                                \
  static void remove_of_##which(SSL_CTX *context, SSL_SESSION *session) {                          \
    CHECK(context != NULL && session != NULL);                                                     \
    told[which][2]++;                                                                              \
  }

/* Forgets the server's sessions, which libssl marks when it flushes them. */
static void forget(void) {
  for (int one = 0; one < 2 * SLOTS; one++) {
    SSL_SESSION_free(slots[one / SLOTS][one % SLOTS].of_server);
    slots[one / SLOTS][one % SLOTS].of_server = NULL;
  }
  SSL_SESSION_free(supplied);
  supplied = NULL;
}

/* The session that the program keeps, if that is the one. */
static SSL_SESSION *supply(const unsigned char *id, int length, int *copy) {
  unsigned int kept = 0;
  const unsigned char *own = supplied == NULL ? NULL : SSL_SESSION_get_id(supplied, &kept);
  *copy = 1;
  return own != NULL && (int)kept == length && memcmp(own, id, kept) == 0 ? supplied : NULL;
}

CALLBACKS(0)
CALLBACKS(1)

static int on_name(SSL *ssl, int *alert, void *unused) {
  const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
  (void)alert, (void)unused;
  if (name != NULL && strcmp(name, "moved.example") == 0)
    SSL_set_SSL_CTX(ssl, contexts[1]);
  return SSL_TLSEXT_ERR_OK;
}

static void set_callbacks(int which) {
  SSL_CTX *context = contexts[which];
  int kinds = (int)below(8);
  SSL_CTX_sess_set_new_cb(context, kinds & 1 ? which ? new_of_1 : new_of_0 : NULL);
  SSL_CTX_sess_set_get_cb(context, kinds & 2 ? which ? get_of_1 : get_of_0 : NULL);
  SSL_CTX_sess_set_remove_cb(context, kinds & 4 ? which ? remove_of_1 : remove_of_0 : NULL);
  printf("callbacks of %d: %d%d%d", which, SSL_CTX_sess_get_new_cb(context) != NULL,
         SSL_CTX_sess_get_get_cb(context) != NULL, SSL_CTX_sess_get_remove_cb(context) != NULL);
}

/* A connection to the first context, which puts its sessions into a slot. */
static void connect_to(struct slot *slot, const char *name, int is_closed) {
  SSL *far = SSL_new(contexts[0]), *near = SSL_new(client);
  BIO *one, *other;
  int far_done = 0, near_done = 0;
  char byte;
  CHECK(far != NULL && near != NULL && BIO_new_bio_pair(&one, 0, &other, 0));
  SSL_set_bio(near, one, one);
  SSL_set_bio(far, other, other);
  SSL_set_connect_state(near);
  SSL_set_accept_state(far);
  CHECK(SSL_set_tlsext_host_name(near, name));
  if (slot->of_client != NULL)
    CHECK(SSL_set_session(near, slot->of_client));
  for (int round = 0; round < 20 && !(near_done && far_done); round++) {
    near_done = SSL_do_handshake(near) == 1;
    far_done = SSL_do_handshake(far) == 1;
  }
  printf("%s: resumed %d", name, SSL_session_reused(far));
  /* Tickets come with the first data. */
  CHECK(near_done && far_done && SSL_write(far, "x", 1) == 1 && SSL_read(near, &byte, 1) == 1);
  SSL_SESSION_free(slot->of_client);
  SSL_SESSION_free(slot->of_server);
  slot->of_client = SSL_get1_session(near);
  slot->of_server = SSL_get1_session(far);
  if (is_closed) {
    SSL_shutdown(near);
    SSL_shutdown(far);
  }
  /* The client's own mark is of no interest. */
  SSL_set_shutdown(near, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
  SSL_free(near);
  SSL_free(far);
  ERR_clear_error();
}

static void call(void) {
  static const long modes[] = {SSL_SESS_CACHE_SERVER, SSL_SESS_CACHE_SERVER,
                               SSL_SESS_CACHE_SERVER | SSL_SESS_CACHE_NO_INTERNAL_LOOKUP,
                               SSL_SESS_CACHE_SERVER | SSL_SESS_CACHE_NO_INTERNAL_STORE,
                               SSL_SESS_CACHE_SERVER | SSL_SESS_CACHE_NO_INTERNAL};
  int is_moved = (int)below(2);
  long mode;
  struct slot *slot = &slots[is_moved][below(SLOTS)];
  switch (below(15)) {
  case 0:
    set_callbacks((int)below(2));
    break;
  case 1:
    mode = modes[below(version == TLS1_2_VERSION ? 5 : 2)];
    printf("mode %ld", SSL_CTX_set_session_cache_mode(contexts[0], mode));
    break;
  case 2:
    printf("timeout %ld", SSL_CTX_set_timeout(contexts[0], 500 + (long)below(500)));
    break;
  case 3:
    if (below(2)) {
      SSL_CTX_flush_sessions(contexts[0], 0);
      forget();
    } else {
      SSL_CTX_flush_sessions(contexts[0], time(NULL) + 100);
    }
    printf("flush");
    break;
  case 4:
    if (slot->of_server != NULL)
      printf("remove %d", SSL_CTX_remove_session(contexts[0], slot->of_server));
    break;
  case 5:
    if (slot->of_server != NULL && SSL_SESSION_is_resumable(slot->of_server) &&
        (SSL_CTX_get_session_cache_mode(contexts[0]) & SSL_SESS_CACHE_NO_INTERNAL_STORE) == 0)
      printf("add %d", SSL_CTX_add_session(contexts[0], slot->of_server));
    break;
  case 6:
    SSL_SESSION_free(supplied);
    supplied = slot->of_server;
    if (supplied != NULL)
      SSL_SESSION_up_ref(supplied);
    printf("supplied %d", supplied != NULL);
    break;
  case 7:
    if (below(4) == 0 && version == TLS1_2_VERSION)
      SSL_CTX_clear_options(contexts[0], SSL_OP_NO_TICKET);
    else
      SSL_CTX_set_options(contexts[0], SSL_OP_NO_TICKET);
    printf("tickets %d", (SSL_CTX_get_options(contexts[0]) & SSL_OP_NO_TICKET) == 0);
    break;
  default:
    connect_to(slot, is_moved ? "moved.example" : "stays.example", below(8) != 0);
  }
  printf(" | number %ld hits %ld cb_hits %ld", SSL_CTX_sess_number(contexts[0]),
         SSL_CTX_sess_hits(contexts[0]), SSL_CTX_sess_cb_hits(contexts[0]));
  for (int which = 0; which < 2; which++)
    printf(" | %d %d %d", told[which][0], told[which][1], told[which][2]);
  printf("\n");
}

static void play(unsigned long seed) {
  state = seed;
  printf("seed %lu\n", seed);
  memset(told, 0, sizeof told);
  client = client_context();
  CHECK(SSL_CTX_set_max_proto_version(client, version));
  for (int one = 0; one < 2; one++) {
    contexts[one] = server_context(version);
    CHECK(SSL_CTX_set_session_id_context(contexts[one], (const unsigned char *)"random", 6));
    SSL_CTX_set_options(contexts[one], SSL_OP_NO_TICKET);
    if (below(2)) {
      set_callbacks(one);
      printf("\n");
    }
  }
  SSL_CTX_set_tlsext_servername_callback(contexts[0], on_name);
  /* The store switches tickets off with the first connection. */
  connect_to(&slots[0][0], "stays.example", 1);
  printf("\n");
  for (int one = 0; one < CALLS; one++)
    call();
  forget();
  for (int one = 0; one < 2 * SLOTS; one++)
    SSL_SESSION_free(slots[one / SLOTS][one % SLOTS].of_client);
  memset(slots, 0, sizeof slots);
  SSL_CTX_free(contexts[1]);
  SSL_CTX_free(contexts[0]);
  SSL_CTX_free(client);
}

int main(int count, char **arguments) {
  unsigned long first = count > 1 ? strtoul(arguments[1], NULL, 10) : 1;
  unsigned long seeds = count > 2 ? strtoul(arguments[2], NULL, 10) : 1;
  if (count > 3 && strcmp(arguments[3], "1.3") == 0)
    version = TLS1_3_VERSION;
  for (unsigned long seed = first; seed < first + seeds; seed++)
    play(seed);
  return 0;
}
