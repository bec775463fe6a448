/*
 * Errors that need a thread in the middle of an operation. A signal stops it wherever it is, again
 * and again, until that is where the error comes from.
 *
 *   CONTENTION  the stopped thread has the one permit of the store in its hands
 *   GARBAGE     it is between the begin and the end of an operation, and so nothing is freed
 *   PANIC       as before, and the system has no time to tell: a defect, which the library reports
 *
 * Two errors are out of the reach of a program:
 *
 *   ADDRESS     malloc answers no address of more than 48 bits, unless the machine has 57 and the
 *               program asks for them; the test in Rust is `a_long_address_cannot_be_held`
 *   REFUSED     is for reasons of later versions; `every_reason_has_a_code` shows that none is left
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "harness.h"

enum { INTERRUPTIONS_MAX = 100000, REPLACEMENTS = 400, GARBAGE_BYTES = 16384 };
enum { ATTEMPTS = 3, SECONDS_OF_PATIENCE = 60 };

static int stopped[2], released[2], is_over;
static unsigned turns;
static __thread int is_without_time;

/* Stands before libc's, for the library too. */
int clock_gettime(clockid_t clock, struct timespec *time) {
  if (is_without_time) {
    errno = EINVAL;
    return -1;
  }
  return (int)syscall(SYS_clock_gettime, clock, time);
}

static void pass(int from, int to) {
  char byte = 0;
  int saved = errno;
  while (to >= 0 && write(to, &byte, 1) != 1)
    continue;
  while (from >= 0 && read(from, &byte, 1) != 1)
    continue;
  errno = saved;
}

static void stop(int number) {
  (void)number;
  pass(released[0], stopped[1]);
}

/* What the other thread does all the time: adds, of which each evicts, replaces or removes. */
struct work {
  sessile_store *store;
  SSL_SESSION *sessions[2];
};

static void *be_busy(void *argument) {
  const struct work *work = argument;
  while (!__atomic_load_n(&is_over, __ATOMIC_RELAXED)) {
    unsigned turn = __atomic_fetch_add(&turns, 1, __ATOMIC_RELAXED);
    sessile_add(work->store, work->sessions[turn % 2], NULL);
  }
  return NULL;
}

/* Waits until the other thread has begun another turn, and then for a part of it: a signal that is
 * sent before it runs again meets it where the last one did, and one that is sent at the begin of a
 * turn meets it there each time. */
static void await_moment(int nth) {
  unsigned before = __atomic_load_n(&turns, __ATOMIC_RELAXED);
  volatile unsigned spins = (unsigned)rand() % (1U << nth % 18);
  while (__atomic_load_n(&turns, __ATOMIC_RELAXED) == before)
    sched_yield();
  while (spins > 0)
    spins--;
}

/* Stops the other thread until `attempt` is answered by the code that is wanted. */
static void provoke(enum sessile_error wanted, struct work *work,
                    enum sessile_error (*attempt)(const struct work *, SSL_SESSION **),
                    SSL_SESSION **sessions) {
  enum sessile_error answered = SESSILE_ERROR_OK;
  pthread_t thread;
  int interruptions = 0;
  is_over = 0;
  CHECK(pthread_create(&thread, NULL, be_busy, work) == 0);
  for (; answered != wanted && interruptions < INTERRUPTIONS_MAX; interruptions++) {
    await_moment(interruptions);
    CHECK(pthread_kill(thread, SIGUSR1) == 0);
    pass(stopped[0], -1);
    answered = attempt(work, sessions);
    CHECK(answered == SESSILE_ERROR_OK || answered == wanted);
    pass(-1, released[1]);
  }
  __atomic_store_n(&is_over, 1, __ATOMIC_RELAXED);
  pthread_join(thread, NULL);
  CHECK(answered == wanted);
  printf("%s: at interruption %d\n", sessile_strerror(wanted), interruptions);
  /* Nothing of it is left behind. */
  OK(sessile_add(work->store, sessions[0], NULL));
  OK(sessile_flush(work->store, 0, NULL));
  OK(sessile_collect(work->store));
  CHECK(counted(work->store).number == 0 && counted(work->store).garbage_sessions == 0);
}

static enum sessile_error add_one(const struct work *work, SSL_SESSION **sessions) {
  return sessile_add(work->store, sessions[0], NULL);
}

/* Replaces one session by another, and back. */
static enum sessile_error replace_many(const struct work *work, SSL_SESSION **sessions) {
  enum sessile_error answered = SESSILE_ERROR_OK;
  for (int turn = 0; turn < REPLACEMENTS && answered == SESSILE_ERROR_OK; turn++)
    answered = sessile_add(work->store, sessions[turn % 2], NULL);
  return answered;
}

static enum sessile_error replace_without_time(const struct work *work, SSL_SESSION **sessions) {
  enum sessile_error answered;
  is_without_time = 1;
  answered = replace_many(work, sessions);
  is_without_time = 0;
  return answered;
}

static sessile_store *store_of(size_t sessions, size_t garbage) {
  sessile_config *config = sessile_config_new();
  sessile_store *store;
  OK(sessile_config_set_capacity(config, sessions));
  OK(sessile_config_set_garbage_limit(config, garbage));
  OK(sessile_new(config, &store));
  sessile_config_free(config);
  return store;
}

static void provoke_all(void) {
  const struct sigaction action = {.sa_handler = stop, .sa_flags = SA_RESTART};
  SSL_CTX *server = server_context(TLS1_2_VERSION), *client = client_context();
  sessile_store *first = store_for(10);
  SSL_SESSION *made, *twins[2];
  struct work work;
  CHECK(pipe(stopped) == 0 && pipe(released) == 0 && sigaction(SIGUSR1, &action, NULL) == 0);
  start();
  OK(sessile_attach(first, server, NAME, sizeof NAME));
  CHECK(visit(server, client, NULL) == 0);
  made = any_stored(first);
  for (unsigned one = 0; one < 2; one++) {
    work.sessions[one] = copy_of(made, one);
    twins[one] = copy_of(made, 2);
  }
  work.store = store_of(1, 1 << 26);
  provoke(SESSILE_ERROR_CONTENTION, &work, add_one, twins);
  sessile_free(work.store);
  work.store = store_of(10, GARBAGE_BYTES);
  provoke(SESSILE_ERROR_GARBAGE, &work, replace_many, twins);
  provoke(SESSILE_ERROR_PANIC, &work, replace_without_time, twins);
  sessile_free(work.store);
  for (int one = 0; one < 2; one++) {
    SSL_SESSION_free(work.sessions[one]);
    SSL_SESSION_free(twins[one]);
  }
  CHECK(living == 0);
  SSL_SESSION_free(made);
  sessile_free(first);
  SSL_CTX_free(client);
  SSL_CTX_free(server);
}

/* Now and then the thread is stopped while it holds a lock of malloc, for which the other one waits
 * then. So all of this is done by a child, and by another one if it comes to a standstill. */
int main(void) {
  for (int attempt = 0; attempt < ATTEMPTS; attempt++) {
    int status;
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
      alarm(SECONDS_OF_PATIENCE);
      provoke_all();
      return 0;
    }
    CHECK(waitpid(child, &status, 0) == child);
    if (WIFEXITED(status))
      return WEXITSTATUS(status);
    fprintf(stderr, "ended by signal %d\n", WTERMSIG(status));
    if (WTERMSIG(status) != SIGALRM)
      break;
  }
  return 1;
}
