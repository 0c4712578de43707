/* What the examples of a program's own loop share: an echo on a net, and the reading of their one argument.
 *
 * All callbacks run in net_dispatch, on the thread that calls it. Nothing here depends on the loop around it. */
#ifndef OWN_LOOP_ECHO_H
#define OWN_LOOP_ECHO_H

#include <iouringnet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "start.h"

struct connection {
    iouringnet_sink *sink;
    iouringnet_stream *stream;
};

/* Sends back what comes. If the client does not read, TCP holds it back until there is room again. */
static inline size_t on_data(void *user, iouringnet_status status, const void *data, size_t size) {
    struct connection *c = user;
    iouringnet_status posted = status == IOURINGNET_OK ? sink_post(c->sink, data, size) : status;
    if (posted == IOURINGNET_OK)
        return size;
    if (posted == IOURINGNET_FULL)
        stream_pause(c->stream);
    else
        connection_close(c->sink, c->stream); /* the client has ended, or the connection is broken */
    return 0;
}

static inline void on_room(void *user, iouringnet_status status) {
    struct connection *c = user;
    if (status == IOURINGNET_OK)
        stream_resume(c->stream);
    else
        connection_close(c->sink, c->stream);
}

static inline void on_end(void *user, iouringnet_status status) {
    (void)status;
    free(user);
}

static inline void on_connection(void *user, const iouringnet_completion *done) {
    static const iouringnet_connection_callbacks callbacks = {sizeof callbacks, on_data, on_room, on_end};
    (void)user;
    if (done->status != IOURINGNET_OK)
        return; /* the listener is closed */
    struct connection *c = malloc(sizeof *c);
    if (c != NULL) {
        c->sink = done->sink;
        c->stream = done->stream;
        if (connection_watch(c->sink, c->stream, &callbacks, c) == IOURINGNET_OK)
            return;
        free(c);
    }
    connection_abort(done->sink, done->stream);
}

/* Starts a net that this thread dispatches, with an echo at `address`. NULL: it has said why not. */
static inline iouringnet_net *start_echo(const char *program, const char *address) {
    iouringnet_config config;
    iouringnet_config_init(&config);
    config.dispatch = IOURINGNET_BY_CALLER;
    iouringnet_net *net = start_net(program, &config);
    if (net == NULL)
        return NULL;
    if (listen_on(net, program, address, on_connection, NULL) == IOURINGNET_OK)
        return net;
    net_stop(net);
    return NULL;
}

/* The address that the command line names. NULL: it has printed the usage, and `*code` is the exit code. */
static inline const char *address_of(const char *program, int argc, char **argv, int *code) {
    char usage[256];
    snprintf(usage, sizeof usage,
             "usage: %s [ADDRESS]\n"
             "  ADDRESS  where to echo, HOST:PORT; default: 127.0.0.1:7000; port 0 takes a free one\n",
             program);
    answer_questions(argc, argv, usage);
    if (argc == 1)
        return "127.0.0.1:7000";
    if (argc == 2 && argv[1][0] != '-')
        return argv[1];
    *code = refuse_arguments(usage);
    return NULL;
}

/* Stops the net on the thread that dispatches it: net_stop runs the callbacks that are left. Returns the exit code. */
static inline int stop_echo(const char *program, iouringnet_net *net, iouringnet_status status) {
    iouringnet_status stopped = net_stop(net);
    if (status == IOURINGNET_OK && stopped != IOURINGNET_TIMEOUT) /* some client may not have read its echo */
        status = stopped;
    if (status == IOURINGNET_OK)
        return 0;
    fprintf(stderr, "%s: %s\n", program, iouringnet_strerror(status));
    return 1;
}

#endif
