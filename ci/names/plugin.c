/* A library of a user's that calls ours: over the shared library, or with the static one in it. */

#include "session.h"

int plugin_session(void);
int plugin_session(void) {
    return session();
}

/* A net of this copy of the library. */
iouringnet_net *plugin_net(void);
iouringnet_net *plugin_net(void) {
    iouringnet_net *net;
    return net_start(NULL, &net) == 0 ? net : NULL;
}

/* Whether this copy of the library knows the net. */
int plugin_stop(iouringnet_net *net);
int plugin_stop(iouringnet_net *net) {
    return net_stop(net);
}
