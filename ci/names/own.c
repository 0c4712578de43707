/* Functions of a program that have names of the library's. Nothing may call them. */

#include <stdio.h>
#include <stdlib.h>

#define OWN(name)                                                                                                                                    \
    void name(void);                                                                                                                                 \
    void name(void) {                                                                                                                                \
        fputs(#name " of the program was called\n", stderr);                                                                                         \
        abort();                                                                                                                                     \
    }

OWN(net_start)
OWN(net_bind)
OWN(net_dial)
OWN(net_stop)
OWN(listener_accept)
OWN(listener_address)
OWN(listener_close)
OWN(connection_close)
OWN(sink_send)
OWN(sink_info)
OWN(stream_recv)
