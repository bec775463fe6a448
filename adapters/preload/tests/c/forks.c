/* Processes that fork, and go on as servers. Nothing of Sessile is in it. */
#include <sys/wait.h>
#include <unistd.h>

#include "tls.h"

static SSL_CTX *server, *client;
static SSL_SESSION *session;

static SSL_CTX *sized_server(long sessions) {
  SSL_CTX *made = server_context(TLS1_2_VERSION);
  SSL_CTX_set_options(made, SSL_OP_NO_TICKET);
  SSL_CTX_sess_set_cache_size(made, sessions);
  return made;
}

static void wait_for_child(void) {
  int status;
  CHECK(wait(&status) > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static pid_t forked(void) {
  pid_t child = fork();
  CHECK(child >= 0);
  return child;
}

/* One more session in the store that it begins with, and a store of its own, which begins after
 * the grandchild. */
static void be_child(void) {
  SSL_CTX *own = sized_server(77);
  CHECK(visit(server, client, NULL) == 0);
  if (forked() == 0) {
    CHECK(visit(server, client, &session) == 1);
    exit(0);
  }
  wait_for_child();
  CHECK(visit(own, client, NULL) == 0);
  CHECK(visit(server, client, &session) == 1);
  exit(0);
}

int main(void) {
  server = sized_server(100);
  client = client_context();
  CHECK(SSL_CTX_set_max_proto_version(client, TLS1_2_VERSION));
  CHECK(visit(server, client, &session) == 0 && visit(server, client, &session) == 1);
  if (forked() == 0)
    be_child();
  wait_for_child();
  if (forked() == 0)
    exit(0);
  wait_for_child();
  CHECK(visit(server, client, &session) == 1);
  return 0;
}
