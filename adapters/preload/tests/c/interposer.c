/* Another library that is preloaded, and has functions with the names of libssl's. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <openssl/ssl.h>
#include <stdio.h>

static int calls;

SSL_CTX *SSL_CTX_new(const SSL_METHOD *method) {
  SSL_CTX *(*next)(const SSL_METHOD *) = dlsym(RTLD_NEXT, "SSL_CTX_new");
  calls++;
  return next(method);
}

SSL *SSL_new(SSL_CTX *context) {
  SSL *(*next)(SSL_CTX *) = dlsym(RTLD_NEXT, "SSL_new");
  calls++;
  return next(context);
}

__attribute__((destructor)) static void report(void) { printf("calls %d\n", calls); }
