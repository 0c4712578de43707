/* A program that does not know the library: it loads a library that uses it, and says whether that went well. */

#include <dlfcn.h>
#include <stdio.h>

int main(int count, char **arguments) {
    void *loaded = count == 2 ? dlopen(arguments[1], RTLD_NOW | RTLD_LOCAL) : NULL;
    int *line = loaded ? dlsym(loaded, "constructor_failed_in_line") : NULL;
    int *status = loaded ? dlsym(loaded, "constructor_status") : NULL;

    if (!line || !status) {
        fprintf(stderr, "%s\n", count == 2 ? dlerror() : "usage: host LIBRARY");
        return 2;
    }
    if (*line != 0)
        fprintf(stderr, "constructor.c:%d: status %d\n", *line, *status);
    return *line != 0 || dlclose(loaded) != 0;
}
