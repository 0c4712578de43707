/* A session of a program with itself: it binds, dials, accepts, sends, receives and stops. Returns 0 if all went well. */

#include <iouringnet.h>
#include <string.h>

static int session(void) {
    iouringnet_net *net;
    iouringnet_listener *listener;
    iouringnet_address address;
    iouringnet_sink *sink, *other_sink;
    iouringnet_stream *stream, *other_stream;
    iouringnet_sink_info info;
    char got[5];

    iouringnet_sink_info_init(&info);
    if (net_start(NULL, &net) != 0)
        return 1;
    if (net_bind(net, "127.0.0.1:0", NULL, &listener) != 0 || listener_address(listener, &address) != 0 ||
        net_dial(net, address.text, NULL, &sink, &stream) != 0 ||
        listener_accept(listener, &other_sink, &other_stream) != 0)
        return 2;
    if (sink_send(sink, "hello", 5, NULL) != 0 || stream_recv(other_stream, got, 5, NULL) != 0 ||
        memcmp(got, "hello", 5) != 0 || sink_info(sink, &info) != 0)
        return 3;
    connection_close(sink, stream);
    connection_close(other_sink, other_stream);
    listener_close(listener);
    return net_stop(net) == 0 ? 0 : 4;
}
