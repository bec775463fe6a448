/* Loads libraries, and calls the function `run` of each, several times and in turns. They may have
 * one libssl, or each its own. */
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

enum { LIBRARIES_MAX = 4, TURNS = 2 };

int main(int count, char **arguments) {
  int (*run[LIBRARIES_MAX])(void), loaded = 0, flags = RTLD_NOW | RTLD_LOCAL;
  for (int one = 1; one < count && loaded < LIBRARIES_MAX; one++) {
    void *library;
    if (strcmp(arguments[one], "deep") == 0) {
      flags |= RTLD_DEEPBIND;
      continue;
    }
    library = dlopen(arguments[one], flags);
    run[loaded] = library == NULL ? NULL : (int (*)(void))dlsym(library, "run");
    if (run[loaded++] == NULL) {
      fprintf(stderr, "%s\n", dlerror());
      return 1;
    }
  }
  for (int turn = 0; turn < TURNS * loaded; turn++)
    if (run[turn % loaded]() != 0)
      return 1;
  return 0;
}
