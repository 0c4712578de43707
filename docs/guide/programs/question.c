/* question: sends one question, does other work, and looks for the answer from time to time: an op and op_wait. */
#include <iouringnet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* [collect] */
/* Prints a dot every 20 ms until the operation is done. After `limit_ms` it cancels the operation. */
static iouringnet_completion collect(iouringnet_op *op, long limit_ms) {
    iouringnet_completion done;
    iouringnet_completion_init(&done);
    for (long waited = 0; op_wait(op, 20, &done) == IOURINGNET_PENDING; waited += 20) {
        putchar('.'); /* here the program does its other work */
        if (waited >= limit_ms)
            op_cancel(op);
    }
    op_release(op);
    return done;
}
/* [end] */

/* [ask] */
static iouringnet_status ask(iouringnet_net *net, const char *address, const char *question, long limit_ms) {
    iouringnet_sink *sink;
    iouringnet_stream *stream;
    iouringnet_op *op;
    char answer[256];
    size_t size = strlen(question);
    iouringnet_status status = net_dial(net, address, NULL, &sink, &stream);
    if (status != 0)
        return status;
    status = stream_recv_async(stream, answer, size, NULL, NULL, &op);
    if (status == 0) {
        iouringnet_status sent = sink_send(sink, question, size, NULL);
        if (sent != 0)
            op_cancel(op); /* no answer comes */
        status = collect(op, limit_ms).status;
        if (sent != 0)
            status = sent;
    }
    if (status == 0)
        printf(" %.*s\n", (int)size, answer);
    connection_close(sink, stream);
    return status;
}
/* [end] */

int main(int argc, char **argv) {
    iouringnet_net *net;
    if (argc != 4 || strlen(argv[2]) > 256) {
        fprintf(stderr, "usage: question ADDRESS QUESTION LIMIT_MS\n");
        return 2;
    }
    iouringnet_status status = net_start(NULL, &net);
    if (status == 0) {
        status = ask(net, argv[1], argv[2], atol(argv[3]));
        net_stop(net);
    }
    if (status != 0)
        fprintf(stderr, "question: %s\n", iouringnet_strerror(status));
    return status != 0;
}
