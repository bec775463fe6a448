/*
 * A load on the session cache behind SSL_CTX, whichever it is:
 *
 *     load THREADS MILLISECONDS SESSIONS VERSION OWN
 *
 * fills the cache with SESSIONS, resumes in THREADS at once for a while, in memory, and then adds
 * and removes OWN sessions in each thread. Prints names and numbers.
 */
#include <pthread.h>
#include <time.h>

#include "tls.h"

enum { THREADS_MAX = 64 };

struct worker {
  pthread_t thread;
  unsigned number;
  long handshakes, resumed, failed, server_ns, refused;
  /* When adding began, when it ended and removing began, and when that ended. */
  long begin_ns, middle_ns, end_ns;
};

static SSL_CTX *server;
static SSL_SESSION *pattern;
static pthread_barrier_t start_line;
static long milliseconds;
static unsigned own;

static long read_ns(clockid_t clock) {
  struct timespec now;
  clock_gettime(clock, &now);
  return now.tv_sec * 1000000000L + now.tv_nsec;
}

static long now_ns(void) { return read_ns(CLOCK_MONOTONIC); }

static int keep_pattern(SSL *ssl, SSL_SESSION *session) {
  (void)ssl;
  SSL_SESSION_free(pattern);
  pattern = session;
  return 1;
}

/* A copy under an id of its own. */
static SSL_SESSION *copy_of_pattern(unsigned thread, unsigned number) {
  unsigned char id[32] = {0};
  SSL_SESSION *copy = SSL_SESSION_dup(pattern);
  /* libssl hashes by the first four bytes, which are random in sessions of its own. */
  unsigned mixed = (thread * 1000003u + number) * 2654435761u;
  memcpy(id, &mixed, sizeof mixed);
  memcpy(id + 4, &thread, sizeof thread);
  memcpy(id + 8, &number, sizeof number);
  CHECK(copy != NULL && SSL_SESSION_set1_id(copy, id, sizeof id));
  return copy;
}

/* One handshake in memory, of which only the server's part is timed, in the processor's time. */
static void handshake(struct worker *worker, SSL_CTX *client_side, SSL_SESSION **session) {
  SSL *near = SSL_new(client_side), *far = SSL_new(server);
  BIO *one, *other;
  char buffer[8];
  int near_done = 0, far_done = 0;
  CHECK(near != NULL && far != NULL && BIO_new_bio_pair(&one, 0, &other, 0));
  SSL_set_bio(near, one, one);
  SSL_set_bio(far, other, other);
  SSL_set_connect_state(near);
  SSL_set_accept_state(far);
  SSL_set_app_data(near, session);
  if (*session != NULL)
    CHECK(SSL_set_session(near, *session));
  for (int round = 0; round < 10 && !(near_done && far_done); round++) {
    near_done = SSL_do_handshake(near) == 1;
    long before = read_ns(CLOCK_THREAD_CPUTIME_ID);
    far_done = SSL_do_handshake(far) == 1;
    worker->server_ns += read_ns(CLOCK_THREAD_CPUTIME_ID) - before;
  }
  worker->handshakes++;
  if (near_done && far_done) {
    worker->resumed += SSL_session_reused(far);
    /* TLS 1.3 tickets come with the first data. */
    CHECK(SSL_write(far, "x", 1) == 1 && SSL_read(near, buffer, sizeof buffer) == 1);
    SSL_shutdown(near);
    SSL_shutdown(far);
  } else {
    worker->failed++;
  }
  SSL_free(near);
  SSL_free(far);
  ERR_clear_error();
}

static void add_and_remove(struct worker *worker) {
  SSL_SESSION **mine = calloc(own, sizeof *mine);
  CHECK(mine != NULL);
  for (unsigned one = 0; one < own; one++)
    mine[one] = copy_of_pattern(worker->number + 1, one);
  pthread_barrier_wait(&start_line);
  worker->begin_ns = now_ns();
  for (unsigned one = 0; one < own; one++)
    worker->refused += SSL_CTX_add_session(server, mine[one]) != 1;
  pthread_barrier_wait(&start_line);
  worker->middle_ns = now_ns();
  for (unsigned one = 0; one < own; one++)
    worker->refused += SSL_CTX_remove_session(server, mine[one]) != 1;
  worker->end_ns = now_ns();
  for (unsigned one = 0; one < own; one++)
    SSL_SESSION_free(mine[one]);
  free(mine);
}

static void *work(void *argument) {
  struct worker *worker = argument;
  SSL_CTX *client = client_context();
  SSL_SESSION *session = NULL;
  handshake(worker, client, &session);
  worker->handshakes = worker->server_ns = 0;
  pthread_barrier_wait(&start_line);
  for (long end = now_ns() + milliseconds * 1000000L; now_ns() < end;)
    handshake(worker, client, &session);
  SSL_SESSION_free(session);
  SSL_CTX_free(client);
  pthread_barrier_wait(&start_line);
  add_and_remove(worker);
  return NULL;
}

/* The server's session as it is stored, for copies; what is stored besides are copies too. */
static void fill(unsigned sessions) {
  SSL_CTX *client = client_context();
  SSL_SESSION *session = NULL;
  SSL_CTX_sess_set_new_cb(server, keep_pattern);
  CHECK(visit(server, client, &session) == 0 && pattern != NULL);
  SSL_CTX_sess_set_new_cb(server, NULL);
  for (unsigned one = 0; one < sessions; one++) {
    SSL_SESSION *copy = copy_of_pattern(0, one);
    CHECK(SSL_CTX_add_session(server, copy) == 1);
    SSL_SESSION_free(copy);
  }
  SSL_SESSION_free(session);
  SSL_CTX_free(client);
}

int main(int count, char **arguments) {
  static struct worker workers[THREADS_MAX], all;
  long add_ns, remove_ns;
  CHECK(count == 6);
  unsigned threads = (unsigned)atoi(arguments[1]), sessions = (unsigned)atoi(arguments[3]);
  int version = strcmp(arguments[4], "1.2") == 0 ? TLS1_2_VERSION : TLS1_3_VERSION;
  milliseconds = atol(arguments[2]);
  own = (unsigned)atoi(arguments[5]);
  CHECK(threads > 0 && threads <= THREADS_MAX && own > 0);
  server = server_context(version);
  SSL_CTX_set_options(server, SSL_OP_NO_TICKET);
  CHECK(SSL_CTX_set_session_id_context(server, (const unsigned char *)"load", 4));
  SSL_CTX_sess_set_cache_size(server, sessions + threads * own + 1000000);
  fill(sessions);
  CHECK(SSL_CTX_sess_number(server) >= (long)sessions);
  CHECK(pthread_barrier_init(&start_line, NULL, threads) == 0);
  for (unsigned one = 0; one < threads; one++) {
    workers[one].number = one;
    CHECK(pthread_create(&workers[one].thread, NULL, work, &workers[one]) == 0);
  }
  for (unsigned one = 0; one < threads; one++) {
    pthread_join(workers[one].thread, NULL);
    all.handshakes += workers[one].handshakes;
    all.resumed += workers[one].resumed;
    all.failed += workers[one].failed;
    all.refused += workers[one].refused;
    all.server_ns += workers[one].server_ns;
    if (one == 0 || workers[one].begin_ns < all.begin_ns)
      all.begin_ns = workers[one].begin_ns;
    if (one == 0 || workers[one].middle_ns < all.middle_ns)
      all.middle_ns = workers[one].middle_ns;
    if (workers[one].end_ns > all.end_ns)
      all.end_ns = workers[one].end_ns;
  }
  /* Of the process, per session: where threads wait for each other it does not fall with them. */
  add_ns = (all.middle_ns - all.begin_ns) / ((long)threads * own);
  remove_ns = (all.end_ns - all.middle_ns) / ((long)threads * own);
  printf("handshakes %ld resumed %ld failed %ld refused %ld per_second %ld server_ns %ld "
         "add_ns %ld remove_ns %ld\n",
         all.handshakes, all.resumed, all.failed, all.refused, all.handshakes * 1000 / milliseconds,
         all.server_ns / (all.handshakes ? all.handshakes : 1), add_ns, remove_ns);
  SSL_SESSION_free(pattern);
  SSL_CTX_free(server);
  return 0;
}
