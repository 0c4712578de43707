// The program of ci/install.sh and ci/packages.sh: a connection of a net to itself, in C and in C++.
#include <iouringnet.h>
#include <stdio.h>

static iouringnet_status talk(iouringnet_net *net, iouringnet_listener *listener) {
    iouringnet_address address;
    iouringnet_sink *sink, *answers;
    iouringnet_stream *stream, *questions;
    char got[5];

    iouringnet_status status = listener_address(listener, &address);
    if (status == 0)
        status = net_dial(net, address.text, NULL, &sink, &stream);
    if (status != 0)
        return status;
    status = listener_accept(listener, &answers, &questions);
    if (status == 0) {
        status = sink_send(answers, "hello", 5, NULL);
        if (status == 0)
            status = stream_recv(stream, got, 5, NULL);
        if (status == 0)
            printf("%.5s\n", got);
        connection_close(answers, questions);
    }
    connection_close(sink, stream);
    return status;
}

int main(void) {
    iouringnet_net *net;
    iouringnet_listener *listener;

    if (iouringnet_version() != IOURINGNET_VERSION)
        return 1;
    iouringnet_status status = net_start(NULL, &net);
    if (status == 0) {
        status = net_bind(net, "127.0.0.1:0", NULL, &listener);
        if (status == 0) {
            status = talk(net, listener);
            listener_close(listener);
        }
        net_stop(net);
    }
    if (status != 0)
        fprintf(stderr, "%s\n", iouringnet_strerror(status));
    return status != 0;
}
