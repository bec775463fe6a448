/* A store in C, for the programs beside this file. */
#ifndef HARNESS_H
#define HARNESS_H

#include "sessile.h"
#include "tls.h"

/* That a call answers a code. */
#define ANSWERS(code, call)                                                   \
  do {                                                                        \
    enum sessile_error answered = (call);                                     \
    if (answered != (code)) {                                                 \
      fprintf(stderr, "%s:%d: %s: %s\n", __FILE__, __LINE__, #call,           \
              sessile_strerror(answered));                                    \
      exit(1);                                                                \
    }                                                                         \
  } while (0)

#define OK(call) ANSWERS(SESSILE_ERROR_OK, call)

static const unsigned char NAME[] = "www.example.org";

/* Sessions that are alive, by libssl's own count. */
static int living_index;
static long living;

static void on_session_free(void *parent, void *data, CRYPTO_EX_DATA *ad, int index, long argl,
                            void *argp) {
  (void)parent, (void)ad, (void)index, (void)argl, (void)argp;
  if (data != NULL)
    __atomic_fetch_sub((long *)data, 1, __ATOMIC_RELAXED);
}

/* Counts a session until it is freed. */
static inline void watch(SSL_SESSION *session) {
  CHECK(SSL_SESSION_set_ex_data(session, living_index, &living));
  __atomic_fetch_add(&living, 1, __ATOMIC_RELAXED);
}

static inline void start(void) {
  living_index = SSL_SESSION_get_ex_new_index(0, NULL, NULL, NULL, on_session_free);
  CHECK(living_index >= 0);
}

static inline sessile_store *store_for(size_t sessions) {
  sessile_config *config = sessile_config_new();
  sessile_store *store;
  OK(sessile_config_set_capacity(config, sessions));
  OK(sessile_new(config, &store));
  sessile_config_free(config);
  return store;
}

static inline sessile_statistics counted(const sessile_store *store) {
  sessile_statistics statistics;
  OK(sessile_stats(store, &statistics, sizeof statistics));
  return statistics;
}

static int keep_first(SSL_SESSION *session, void *place) {
  SSL_SESSION_up_ref(session);
  *(SSL_SESSION **)place = session;
  return 0;
}

/* Some session that is stored, with a reference of the caller's. */
static inline SSL_SESSION *any_stored(const sessile_store *store) {
  SSL_SESSION *session = NULL;
  OK(sessile_for_each(store, keep_first, &session));
  CHECK(session != NULL);
  return session;
}

/* A copy under an id of its own, which can be resumed. */
static inline SSL_SESSION *copy_of(const SSL_SESSION *session, unsigned number) {
  unsigned char id[32] = "copy";
  SSL_SESSION *copy = SSL_SESSION_dup(session);
  memcpy(id + 4, &number, sizeof number);
  CHECK(copy != NULL && SSL_SESSION_set1_id(copy, id, sizeof id));
  watch(copy);
  return copy;
}

#endif
