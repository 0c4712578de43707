/* ours_blocking: the echo server with the library's blocking calls, one thread for each connection.
 *
 *   --cpu N         the connections' threads keep to that processor, and they alone; only as the first option
 *   --no-first-try  by the two loops alone
 *   --engine NAME   over io_uring or epoll
 *   --no-spin       asleep whenever there is nothing to do
 *   --async         each call begun by an async one, and its op waited for */
#define _GNU_SOURCE

#include "ours.h"

#define BUFFER (64 * 1024)

static bool with_ops;
static int cpu = NO_CPU;

/* Waits for an op and gives it back. Returns the operation's own status. */
static iouringnet_status wait_for(iouringnet_op *op, size_t *bytes) {
    iouringnet_completion done;
    iouringnet_completion_init(&done);
    iouringnet_status status = op_wait(op, IOURINGNET_NO_TIMEOUT, &done);
    if (status == IOURINGNET_OK)
        status = done.status;
    *bytes = done.bytes;
    op_release(op);
    return status;
}

static iouringnet_status receive(iouringnet_stream *stream, char *into, size_t *size) {
    if (!with_ops)
        return stream_recv_some(stream, into, BUFFER, size);
    iouringnet_op *op;
    iouringnet_status status = stream_recv_some_async(stream, into, BUFFER, NULL, NULL, &op);
    return status == IOURINGNET_OK ? wait_for(op, size) : status;
}

static iouringnet_status send_all(iouringnet_sink *sink, const char *data, size_t size) {
    if (!with_ops)
        return sink_send(sink, data, size, NULL);
    iouringnet_op *op;
    iouringnet_status status = sink_send_async(sink, data, size, NULL, NULL, &op);
    return status == IOURINGNET_OK ? wait_for(op, &size) : status;
}

static void echo(const struct accepted *c) {
    keep_to_cpu(cpu);
    char buffer[BUFFER];
    for (;;) {
        size_t size;
        if (receive(c->stream, buffer, &size) != IOURINGNET_OK || send_all(c->sink, buffer, size) != IOURINGNET_OK)
            break;
    }
}

int main(int argc, char **argv) {
    if (argc > 2 && strcmp(argv[1], "--cpu") == 0) {
        cpu = cpu_of(argv[2]);
        argv += 2, argc -= 2;
    }
    if (argc > 1 && strcmp(argv[argc - 1], "--async") == 0) {
        with_ops = true;
        argc--;
    }
    struct ours ours = start_ours(argc, argv);
    return serve_ours_in_threads(&ours, echo);
}
