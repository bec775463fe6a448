/*
 * Sessile: a lock-free TLS session cache behind OpenSSL's SSL_CTX. See sessile(3).
 *
 * Generated from the source by cbindgen; do not edit.
 */

#ifndef SESSILE_H
#define SESSILE_H

#include <stddef.h>
#include <stdint.h>
#include <time.h>
#include <openssl/ssl.h>

// Changes when a program that was compiled before cannot run any more; the number of the shared
// library.
#define SESSILE_ABI_VERSION 0

// What a function answers.
typedef enum sessile_error {
  // Done.
  SESSILE_ERROR_OK = 0,
  // An argument is a null pointer.
  SESSILE_ERROR_NULL = 1,
  // An argument is out of range.
  SESSILE_ERROR_ARGUMENT = 2,
  // More sessions than a table can hold.
  SESSILE_ERROR_CAPACITY = 3,
  // A limit in bytes of 0, or one of a session above that of all together.
  SESSILE_ERROR_WEIGHT = 4,
  // There is no memory.
  SESSILE_ERROR_MEMORY = 5,
  // The context was attached under another name.
  SESSILE_ERROR_NAME = 6,
  // The context has no store.
  SESSILE_ERROR_NOT_ATTACHED = 7,
  // libssl failed; its queue of errors says why.
  SESSILE_ERROR_LIBSSL = 8,
  // A defect of the library: the operation was given up, what was said is on standard error.
  SESSILE_ERROR_PANIC = 9,
  // The session is expired.
  SESSILE_ERROR_EXPIRED = 32,
  // The session is larger than a session may be.
  SESSILE_ERROR_OVER_WEIGHT = 33,
  // The session has no id, or is marked not resumable.
  SESSILE_ERROR_NOT_RESUMABLE = 34,
  // Too much memory of removed sessions waits for an operation that was interrupted.
  SESSILE_ERROR_GARBAGE = 35,
  // The session was not made in an attached context.
  SESSILE_ERROR_CONTEXT = 36,
  // The mode says that nothing is stored.
  SESSILE_ERROR_STORE_DISABLED = 37,
  // Other threads in the middle of an add held every place that the session could have.
  SESSILE_ERROR_CONTENTION = 38,
  // The session lies at an address that the table cannot hold.
  SESSILE_ERROR_ADDRESS = 39,
  // The name was revoked after the session was made.
  SESSILE_ERROR_REVOKED = 40,
  // Hooks that add sessions are nested too deep.
  SESSILE_ERROR_RECURSION = 41,
  // The session is refused for a reason that this version of the interface does not name.
  SESSILE_ERROR_REFUSED = 63,
} sessile_error;

// Why a session left a store.
typedef enum sessile_cause {
  // Another one with its id replaced it.
  SESSILE_CAUSE_REPLACED = 0,
  // It was removed by call, or found not to be resumable.
  SESSILE_CAUSE_REMOVED = 1,
  // It was taken for its single use.
  SESSILE_CAUSE_TAKEN = 2,
  // There was no room.
  SESSILE_CAUSE_EVICTED = 3,
  // It was found to be expired.
  SESSILE_CAUSE_EXPIRED = 4,
  // By `sessile_flush`.
  SESSILE_CAUSE_FLUSHED = 5,
} sessile_cause;

// What a session is wanted for.
typedef enum sessile_operation {
  // It may be used again: it stays where it is found.
  SESSILE_OPERATION_GET = 0,
  // It is for one use: a tier must give it to one caller only, and forget it.
  SESSILE_OPERATION_TAKE = 1,
  // It is to be removed.
  SESSILE_OPERATION_REMOVE = 2,
} sessile_operation;

// The order in which sessions are evicted.
typedef enum sessile_policy {
  // The least recently used goes first; the default.
  SESSILE_POLICY_LRU = 0,
  // The one stored first goes first, as in BoringSSL and OpenSSL 1.1.1.
  SESSILE_POLICY_FIFO = 1,
  // The one that expires soonest goes first, as in OpenSSL 3.
  SESSILE_POLICY_SOONEST_EXPIRY = 2,
} sessile_policy;

// Settings of a store. Used by one thread at a time.
typedef struct sessile_config sessile_config;

// A handle of a store: a session cache for any number of contexts. Any number of threads may use
// it at a time.
typedef struct sessile_store sessile_store;

// What a store does not have. Lent for the call.
typedef struct sessile_query {
  // The session id.
  const unsigned char *id;
  // The length of the id, 1 to 32.
  size_t id_length;
  // 32 bytes that stand for the name that the context was attached under.
  const unsigned char *context;
  // The version on the wire, such as `TLS1_3_VERSION`.
  int protocol;
  // What is to be done with it.
  enum sessile_operation operation;
} sessile_query;

// The functions of an external tier. Each may be null. They are called by the thread whose
// operation caused it, after it took effect, and by any number of threads at a time; they may use
// the store.
typedef struct sessile_hooks {
  // `sizeof(sessile_hooks)`, so that later versions can add to it.
  size_t size;
  // Given to each function.
  void *user;
  // A session was stored. It is lent for the call.
  void (*on_added)(void *user, SSL_SESSION *session);
  // A session left. It is lent for the call.
  void (*on_removed)(void *user, SSL_SESSION *session, enum sessile_cause cause);
  // Nothing is stored under an id that a client offers: the answer is a session of the tier, of
  // which one reference is given away, or null.
  SSL_SESSION *(*on_miss)(void *user, const struct sessile_query *query);
  // Nothing is stored under an id that is to be removed.
  void (*on_absent)(void *user, const struct sessile_query *query);
  // No function will be called any more: `user` may be freed.
  void (*release)(void *user);
} sessile_hooks;

// The counters of a store, over all its contexts. When nothing runs,
// `added - (removed + taken + evicted + expired + flushed)` is `number`.
typedef struct sessile_statistics {
  // Sessions stored now (`SSL_CTX_sess_number`).
  uint64_t number;
  // Lookups that handed out a session.
  uint64_t hits;
  // Lookups that found nothing that may be used (`SSL_CTX_sess_misses`).
  uint64_t misses;
  // Lookups that found an expired session (`SSL_CTX_sess_timeouts`).
  uint64_t timeouts;
  // Lookups of an id that is stored under other names only.
  uint64_t context_misses;
  // Sessions that the hooks supplied (`SSL_CTX_sess_cb_hits`).
  uint64_t tier_hits;
  // Sessions evicted because there was no room (`SSL_CTX_sess_cache_full`).
  uint64_t cache_full;
  // Handshakes started (`SSL_CTX_sess_accept`).
  uint64_t accept;
  // Handshakes completed (`SSL_CTX_sess_accept_good`).
  uint64_t accept_good;
  // Renegotiations started (`SSL_CTX_sess_accept_renegotiate`).
  uint64_t accept_renegotiate;
  // Handshakes that resumed (`SSL_CTX_sess_hits`).
  uint64_t resumed;
  // Adds of a new id.
  uint64_t added;
  // Adds that replaced another session.
  uint64_t replaced;
  // Adds of what was stored already.
  uint64_t identical;
  // Adds that were refused.
  uint64_t rejected;
  // Sessions removed by call, or found not to be resumable.
  uint64_t removed;
  // Sessions taken for their single use.
  uint64_t taken;
  // Sessions evicted; the same as `cache_full`.
  uint64_t evicted;
  // Expired sessions removed by a lookup or an add.
  uint64_t expired;
  // Sessions removed by `sessile_flush`.
  uint64_t flushed;
  // Removed sessions that are not freed yet.
  uint64_t garbage_sessions;
  // Their bytes.
  uint64_t garbage_bytes;
} sessile_statistics;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

// Makes a configuration with OpenSSL's defaults: 20480 sessions, and a timeout of 7200 seconds.
// To be freed with `sessile_config_free`. Null without memory.
struct sessile_config *sessile_config_new(void);

// Frees a configuration; null is ignored. Stores made with it stay.
void sessile_config_free(struct sessile_config *config);

// The largest number of sessions; 0 is any number.
enum sessile_error sessile_config_set_capacity(struct sessile_config *config, size_t sessions);

// The largest size of all sessions together and of one of them, in bytes as `i2d_SSL_SESSION`
// encodes them. No limit unless set.
enum sessile_error sessile_config_set_bytes(struct sessile_config *config,
                                            size_t all,
                                            size_t largest);

// The most bytes of removed sessions that an interrupted thread can keep from being freed. Near
// it, sessions are refused. 64 MiB unless set.
enum sessile_error sessile_config_set_garbage_limit(struct sessile_config *config, size_t bytes);

// The timeout of sessions, in seconds.
enum sessile_error sessile_config_set_timeout(struct sessile_config *config, uint64_t seconds);

// The longest time after a full handshake in which anything is resumed from it, in seconds: a day
// unless set. Resumptions do not extend it.
enum sessile_error sessile_config_set_deadline(struct sessile_config *config, uint64_t seconds);

// The order of eviction, one of `sessile_policy`.
enum sessile_error sessile_config_set_policy(struct sessile_config *config, unsigned int policy);

// Whether sessions that were used are kept before those that never were, unless 0. 0 unless set.
enum sessile_error sessile_config_set_protect_reused(struct sessile_config *config, int protect);

// Whether a TLS 1.3 session may be resumed more than once, unless 0; then there is no early data.
// 0 unless set.
enum sessile_error sessile_config_set_reusable(struct sessile_config *config, int reusable);

// The mode, in the flags of `SSL_CTX_set_session_cache_mode(3)`; `SSL_SESS_CACHE_SERVER` unless
// set.
enum sessile_error sessile_config_set_mode(struct sessile_config *config, uint64_t flags);

// Makes a store the session cache of a context, under a name: contexts resume each other's
// sessions if, and only if, they have the same store and the same name. Let the name say how
// clients are authenticated.
//
// The first time, this sets callbacks, mode, options, id context and timeout of the context, which
// no other thread may use meanwhile, as with libssl's own setters. Later it sets nothing and may
// be called while handshakes run: the store takes the place of the one that was there. The name
// must then be the same.
//
// The context keeps the store alive.
enum sessile_error sessile_attach(const struct sessile_store *store,
                                  SSL_CTX *context,
                                  const unsigned char *name,
                                  size_t name_length);

// Takes the store away from a context; at any time, also while handshakes run there. What was set
// on the context stays: it resumes nothing until a store is attached again.
enum sessile_error sessile_detach(SSL_CTX *context);

// Another handle of the store that a context has, in `*store`, to be freed with `sessile_free`;
// null after an error.
enum sessile_error sessile_of(SSL_CTX *context, struct sessile_store **store);

// Ends every session of the contexts of one name at once, also of handshakes under way.
enum sessile_error sessile_revoke(const struct sessile_store *store,
                                  const unsigned char *name,
                                  size_t name_length);

// The message of an error code: a string that lives for ever and is not to be freed. Never null.
const char *sessile_strerror(int error);

// Sets the hooks of a store in place of those that it has; null removes them. The structure is
// copied. Operations under way may still call the former ones, until their `release` is called.
//
// A function that adds to the store is called again for what it adds. Sixteen calls deep, the add
// is refused.
enum sessile_error sessile_set_hooks(const struct sessile_store *store,
                                     const struct sessile_hooks *hooks);

// Stores a session, with a reference of the store's own. `*changed` becomes 0 if this very session
// was stored already, and else 1; another one with its id is replaced. `changed` may be null.
enum sessile_error sessile_add(const struct sessile_store *store,
                               SSL_SESSION *session,
                               int *changed);

// Removes whatever is stored under the id of a session, as `SSL_CTX_remove_session` since OpenSSL
// 1.1. `*removed` becomes 1 if something was; it may be null.
enum sessile_error sessile_remove(const struct sessile_store *store,
                                  SSL_SESSION *session,
                                  int *removed);

// Removes this very session, as `SSL_CTX_remove_session` before OpenSSL 1.1: nothing happens if
// another one is stored under its id. `*removed` becomes 1 if it was; it may be null.
enum sessile_error sessile_remove_exactly(const struct sessile_store *store,
                                          SSL_SESSION *session,
                                          int *removed);

// Changes the timeout of a session, in seconds, and of what is stored if it is this very session:
// `SSL_SESSION_set_timeout` alone is not told to the store.
enum sessile_error sessile_set_session_timeout(const struct sessile_store *store,
                                               SSL_SESSION *session,
                                               uint64_t seconds);

// Removes what is expired at a time, in seconds since 1970, or everything if that is 0. `*removed`
// becomes the number of sessions; it may be null.
enum sessile_error sessile_flush(const struct sessile_store *store, time_t time, size_t *removed);

// Frees what was removed and is not seen by a running operation any more. It happens by itself
// while the store is in use.
enum sessile_error sessile_collect(const struct sessile_store *store);

// Calls `visit` with each session that is stored, in no order, until it answers 0. It may use the
// store. The session is lent for the call.
enum sessile_error sessile_for_each(const struct sessile_store *store,
                                    int (*visit)(SSL_SESSION *session, void *user),
                                    void *user);

// Changes the largest number of sessions; 0 is any number. A smaller store evicts before the call
// returns. `*former` becomes the number before; it may be null.
enum sessile_error sessile_resize(const struct sessile_store *store,
                                  size_t sessions,
                                  size_t *former);

// The largest number of sessions, in `*sessions`; 0 is any number.
enum sessile_error sessile_capacity(const struct sessile_store *store, size_t *sessions);

// Changes the timeout, in seconds, of contexts that are attached from now on, and the longest time
// that sessions of those attached before are stored for. `*former` becomes the one before; it may
// be null.
enum sessile_error sessile_set_timeout(const struct sessile_store *store,
                                       uint64_t seconds,
                                       uint64_t *former);

// Changes the mode, in the flags of `SSL_CTX_set_session_cache_mode(3)`, for all contexts of the
// store; theirs stays. `*former` becomes the one before; it may be null.
enum sessile_error sessile_set_mode(const struct sessile_store *store,
                                    uint64_t flags,
                                    uint64_t *former);

// Writes the counters to `*statistics`, which is `size` bytes long: `sizeof(sessile_statistics)`.
// A program that was compiled with fewer of them gets those.
enum sessile_error sessile_stats(const struct sessile_store *store,
                                 struct sessile_statistics *statistics,
                                 size_t size);

// Calls `visit` with each counter and limit of a store, for an exporter: its name, in lower case
// and underscores, a sentence on what it counts, whether it can fall (1) or only rises (0), and
// its value. The strings are lent for the call.
enum sessile_error sessile_metrics(const struct sessile_store *store,
                                   void (*visit)(const char *name,
                                                 const char *help,
                                                 int can_fall,
                                                 uint64_t value,
                                                 void *user),
                                   void *user);

// Makes a store, with a table for as many sessions as it may hold. The handle in `*store` is to be
// freed with `sessile_free`; it is null after an error.
//
// The configuration may be freed or changed afterwards.
enum sessile_error sessile_new(const struct sessile_config *config, struct sessile_store **store);

// Frees a handle; null is ignored. The store lives on for as long as a context is attached to it,
// or another handle is there; its sessions are freed with it.
void sessile_free(struct sessile_store *store);

// The version of the library that runs, such as `0.1.0`: a string that lives for ever.
const char *sessile_version(void);

// The version of the binary interface of the library that runs: `SESSILE_ABI_VERSION` of the
// header that it was built with.
int sessile_abi_version(void);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* SESSILE_H */
