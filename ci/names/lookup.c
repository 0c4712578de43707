/* usage: lookup LIBRARY: a program that asks for functions by name finds each under both names, and with the version. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>

int main(int count, char **arguments) {
    void *library = count == 2 ? dlopen(arguments[1], RTLD_NOW | RTLD_LOCAL) : NULL;
    void *function = library ? dlsym(library, "net_start") : NULL;

    if (!function) {
        fprintf(stderr, "%s\n", count == 2 ? dlerror() : "usage: lookup LIBRARY");
        return 2;
    }
    return dlsym(library, "iouringnet_net_start") != function || dlvsym(library, "net_start", "IOURINGNET_0.2") != function ||
           dlvsym(library, "iouringnet_net_start", "IOURINGNET_0.2") != function;
}
