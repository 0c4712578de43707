/* usage: host LIBRARY...: loads each library of a user's, as plugins are loaded, and runs its session. Of two libraries, each
 * with a copy of ours, neither takes the other's handles. */

#include <dlfcn.h>
#include <iouringnet.h>
#include <stdio.h>

typedef int session_function(void);
typedef iouringnet_net *net_function(void);
typedef int stop_function(iouringnet_net *net);

/* POSIX has functions as pointers of dlsym; ISO C converts none. */
static void look_up(void *library, const char *name, void *function) {
    *(void **)function = dlsym(library, name);
}

int main(int count, char **arguments) {
    iouringnet_net *nets[2] = {NULL, NULL};
    stop_function *stops[2] = {NULL, NULL};

    for (int at = 0; at + 1 < count && at < 2; at++) {
        void *library = dlopen(arguments[at + 1], RTLD_NOW | RTLD_LOCAL);
        session_function *session = NULL;
        net_function *net = NULL;
        if (!library) {
            fprintf(stderr, "%s\n", dlerror());
            return 1;
        }
        look_up(library, "plugin_session", &session);
        look_up(library, "plugin_net", &net);
        look_up(library, "plugin_stop", &stops[at]);
        if (session() != 0)
            return 2;
        nets[at] = net();
    }
    if (count == 3 && (stops[0](nets[1]) != IOURINGNET_BAD_HANDLE || stops[1](nets[0]) != IOURINGNET_BAD_HANDLE)) {
        fprintf(stderr, "a copy of the library takes the handle of another\n");
        return 3;
    }
    for (int at = 0; at + 1 < count && at < 2; at++)
        if (stops[at](nets[at]) != 0)
            return 4;
    return 0;
}
