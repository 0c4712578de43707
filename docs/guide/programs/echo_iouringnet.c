/* echo_iouringnet: the task of docs/guide/11-coming-from.md. Sends back what each client sends, holds a client back that does
 * not read, ends a connection that is quiet for a while, and sends what is left before it ends on a signal. */
#define _GNU_SOURCE /* for sigset_t and sigwait under -std=c11 */

#include <iouringnet.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

/* [callbacks] */
struct client {
    iouringnet_sink *sink;
    iouringnet_stream *stream;
};

static size_t on_data(void *user, iouringnet_status status, const void *data, size_t size) {
    struct client *c = user;
    if (status == 0)
        status = sink_post(c->sink, data, size);
    if (status == 0)
        return size;
    if (status == IOURINGNET_FULL) /* 1 MiB waits: the client does not read */
        stream_pause(c->stream);
    else /* the client has ended its side, was quiet for too long, or is gone */
        connection_close(c->sink, c->stream);
    return 0;
}

static void on_room(void *user, iouringnet_status status) {
    struct client *c = user;
    if (status == 0)
        stream_resume(c->stream);
    else
        connection_close(c->sink, c->stream);
}

static void on_end(void *user, iouringnet_status status) {
    (void)status;
    free(user);
}

static void on_connection(void *user, const iouringnet_completion *done) {
    static const iouringnet_connection_callbacks callbacks = {sizeof callbacks, on_data, on_room, on_end};
    (void)user;
    struct client *c = done->status == 0 ? malloc(sizeof *c) : NULL;
    if (c != NULL)
        *c = (struct client){done->sink, done->stream};
    if (c == NULL || connection_watch(c->sink, c->stream, &callbacks, c) != 0) {
        connection_abort(done->sink, done->stream);
        free(c);
    }
}
/* [end] */

/* [main] */
static iouringnet_status serve(iouringnet_net *net, const char *port, const sigset_t *signals) {
    iouringnet_listener *listener;
    iouringnet_address address;
    int number;
    iouringnet_status status = iouringnet_address_make(&address, "127.0.0.1", (uint16_t)atoi(port));
    if (status == 0)
        status = net_bind(net, address.text, NULL, &listener);
    if (status == 0)
        status = listener_watch(listener, on_connection, NULL);
    if (status == 0)
        status = listener_address(listener, &address);
    if (status == 0) {
        printf("listening on %s\n", address.text);
        fflush(stdout);
        sigwait(signals, &number);
    }
    return status;
}

int main(int argc, char **argv) {
    sigset_t signals;
    iouringnet_net *net;
    iouringnet_config config;
    if (argc != 3)
        return 2;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    iouringnet_config_init(&config);
    config.idle_timeout_ms = atol(argv[2]);
    iouringnet_status status = net_start(&config, &net);
    if (status == 0) {
        status = serve(net, argv[1], &signals);
        net_stop(net);
    }
    if (status != 0)
        fprintf(stderr, "%s\n", iouringnet_strerror(status));
    return status != 0;
}
/* [end] */
