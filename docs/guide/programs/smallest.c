/* smallest: the first program of the guide: sends five bytes to an echo server, and prints the five that come back. */
#include <iouringnet.h>
#include <stdio.h>

int main(int argc, char **argv) {
    const char *address = argc > 1 ? argv[1] : "127.0.0.1:7000";
    iouringnet_net *net;
    iouringnet_sink *sink;
    iouringnet_stream *stream;
    char answer[5];

    iouringnet_status status = net_start(NULL, &net);
    if (status == 0) {
        status = net_dial(net, address, NULL, &sink, &stream);
        if (status == 0) {
            status = sink_send(sink, "hello", 5, NULL);
            if (status == 0)
                status = stream_recv(stream, answer, 5, NULL);
            sink_close(sink);
            stream_close(stream);
        }
        net_stop(net);
    }
    if (status == 0)
        printf("%.5s\n", answer);
    else
        fprintf(stderr, "%s\n", iouringnet_strerror(status));
    return status != 0;
}
