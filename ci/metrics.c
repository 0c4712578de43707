/* metrics: prints what net_metrics says of a net that has worked, to standard output. The numbers of net_stats go to standard
   error, one "FIELD NUMBER" in each line. Nothing happens between the two. */
#include <iouringnet.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void print_stats(const iouringnet_stats *stats) {
#define PRINT(field) fprintf(stderr, "%s %llu\n", #field, (unsigned long long)stats->field)
    PRINT(send_enters);
    PRINT(send_entries);
    PRINT(send_completions);
    PRINT(send_wakes);
    PRINT(recv_enters);
    PRINT(recv_entries);
    PRINT(recv_completions);
    PRINT(recv_wakes);
    PRINT(callbacks);
    PRINT(connections);
    PRINT(listeners);
    PRINT(operations);
    PRINT(accept_errors);
    PRINT(drains_timed_out);
    PRINT(drains_shed);
}

/* Both of the same moment: 1,000 tries are far more than it takes. */
static int print_both(iouringnet_net *net) {
    static char text[8192];
    iouringnet_stats before, after;
    for (int tries = 0; tries < 1000; tries++) {
        usleep(1000);
        iouringnet_stats_init(&before);
        iouringnet_stats_init(&after);
        if (net_stats(net, &before) != 0 || net_metrics(net, text, sizeof text, NULL) != 0 ||
            net_stats(net, &after) != 0)
            return 1;
        if (memcmp(&before, &after, sizeof before) != 0)
            continue;
        printf("%s", text);
        print_stats(&after);
        return 0;
    }
    return 1;
}

/* One message over one connection, whose ends are both open when the numbers are printed. */
static int work(iouringnet_net *net) {
    iouringnet_listener *listener;
    iouringnet_address address;
    iouringnet_sink *sink, *accepted_sink;
    iouringnet_stream *stream, *accepted_stream;
    iouringnet_op *op;
    char message[5];
    if (net_bind(net, "127.0.0.1:0", NULL, &listener) != 0 || listener_address(listener, &address) != 0 ||
        net_call(net, 60000, NULL, NULL, &op) != 0 || net_dial(net, address.text, NULL, &sink, &stream) != 0 ||
        listener_accept(listener, &accepted_sink, &accepted_stream) != 0 || sink_send(sink, "hello", 5, NULL) != 0 ||
        stream_recv(accepted_stream, message, sizeof message, NULL) != 0)
        return 1;
    int result = print_both(net);
    op_cancel(op);
    op_wait(op, IOURINGNET_NO_TIMEOUT, NULL);
    op_release(op);
    return result;
}

int main(void) {
    iouringnet_net *net;
    if (net_start(NULL, &net) != 0)
        return 1;
    int result = work(net);
    net_stop(net);
    return result;
}
