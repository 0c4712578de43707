/* chat: what one client says, all others hear. Works only in callbacks.
 *
 * What it teaches:
 *   - one buffer for all: iouringnet_buffer_make copies a message once, and sink_post_buffer sends it to each client behind a
 *     head. However many clients are slow, there is one copy;
 *   - what to do about slow readers: a client with `post_mark` unsent bytes is dropped, and nobody waits for it;
 *   - lines without a buffer of one's own: what on_data does not consume, the library shows again;
 *   - one watch for a connection: its `end` comes last and frees the client.
 *
 * To compile it:   cc -o chat chat.c -liouringnet
 * To try it:       ./chat &   then in two terminals   nc 127.0.0.1 7000
 */
#define _GNU_SOURCE /* for sigset_t, sigwait and memrchr under -std=c11 */

#include <iouringnet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "serve.h"

#define DEFAULT_ADDRESS "127.0.0.1:7000"
#define LINE_MAX_SIZE (64 << 10)       /* a client that sends a longer line is dropped */
#define UNSENT_MAX_SIZE (256 << 10)    /* so is one that has not read so much */
#define SOCKET_BUFFER_SIZE (128 << 10) /* what the kernel holds for each client beside that */

struct client {
    iouringnet_sink *sink;
    iouringnet_stream *stream;
    unsigned number;
    struct client *next, *previous;
};

/* All clients, in a circle. Callbacks alone use it, and one thread runs all of them. */
static struct client clients = {.next = &clients, .previous = &clients};
static unsigned newest;

/* Sends a head and the text of a buffer to everybody but `from`. */
static void tell_others(const struct client *from, const char *head, const void *text, size_t size) {
    iouringnet_buffer *message;
    if (iouringnet_buffer_make(text, size, &message) != IOURINGNET_OK) {
        fprintf(stderr, "chat: no memory for a message\n");
        return;
    }
    for (struct client *c = clients.next; c != &clients; c = c->next) {
        /* IOURINGNET_FULL: it does not read. Other errors: its connection is broken or closed already. Either way
         * its `end` follows, and an abort of a closed connection does no harm. */
        if (c != from && sink_post_buffer(c->sink, head, strlen(head), message) != IOURINGNET_OK)
            connection_abort(c->sink, c->stream);
    }
    iouringnet_buffer_release(message); /* sinks that have not sent it keep it */
}

/* Gets bytes from a client, and consumes whole lines. */
static size_t on_data(void *user, iouringnet_status status, const void *data, size_t size) {
    struct client *c = user;
    if (status != IOURINGNET_OK) { /* the client has ended the stream, or its line is too long */
        connection_close(c->sink, c->stream);
        return 0;
    }
    const char *last = memrchr(data, '\n', size);
    if (last == NULL)
        return 0; /* the library shows these bytes again, with what follows */
    size_t lines = (size_t)(last + 1 - (const char *)data);
    char head[32];
    snprintf(head, sizeof head, "guest %u: ", c->number);
    tell_others(c, head, data, lines);
    return lines;
}

/* The last callback of a client, whoever has ended its connection. */
static void on_end(void *user, iouringnet_status status) {
    struct client *c = user;
    char text[32];
    c->next->previous = c->previous;
    c->previous->next = c->next;
    snprintf(text, sizeof text, "guest %u %s\n", c->number, status == IOURINGNET_CLOSED ? "is dropped" : "leaves");
    tell_others(NULL, "* ", text, strlen(text));
    free(c);
}

/* The listener's watch gets each new connection. */
static void on_connection(void *user, const iouringnet_completion *done) {
    static const iouringnet_connection_callbacks callbacks = {sizeof callbacks, on_data, NULL, on_end};
    (void)user;
    if (done->status != IOURINGNET_OK)
        return; /* the listener is closed */
    struct client *c = calloc(1, sizeof *c);
    if (c == NULL || connection_watch(done->sink, done->stream, &callbacks, c) != IOURINGNET_OK) {
        connection_abort(done->sink, done->stream);
        free(c);
        return;
    }
    *c = (struct client){done->sink, done->stream, ++newest, clients.next, &clients};
    c->next->previous = c->previous->next = c;
    char text[32];
    snprintf(text, sizeof text, "guest %u joins\n", c->number);
    tell_others(NULL, "* ", text, strlen(text));
}

static const char usage[] =
    "usage: chat [ADDRESS]\n"
    "  ADDRESS  where to listen, HOST:PORT; default: " DEFAULT_ADDRESS "; port 0 takes a free one\n";

int main(int argc, char **argv) {
    const char *address = argc > 1 ? argv[1] : DEFAULT_ADDRESS;
    answer_questions(argc, argv, usage);
    if (argc > 2 || address[0] == '-')
        return refuse_arguments(usage);

    sigset_t signals = block_signals();
    iouringnet_config config;
    iouringnet_config_init(&config);
    config.buffer_max = LINE_MAX_SIZE;
    config.post_mark = UNSENT_MAX_SIZE;
    config.send_buffer = SOCKET_BUFFER_SIZE;
    iouringnet_net *net = start_net("chat", &config);
    if (net == NULL)
        return 1;
    return stop_serving(net, serve_on(net, "chat", address, on_connection, NULL, &signals));
}
