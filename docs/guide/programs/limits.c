/* limits: answers each line in capitals, and has a limit for everything that a client can make it wait for or keep. */
#define _GNU_SOURCE /* for sigset_t and sigwait under -std=c11 */

#include <ctype.h>
#include <iouringnet.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "serve.h"

enum { LINE_MAX_SIZE = 1024, UNSENT_MAX_SIZE = 64 << 10 };

static long line_ms; /* the time for one line, from its first byte on */

struct client {
    iouringnet_sink *sink;
    iouringnet_stream *stream;
    bool in_line; /* the deadline of a line runs */
};

/* [deadline] */
/* Starts the clock with the first byte of a line, and stops it with the last. Further bytes do not move it. */
static void bound_line(struct client *c, bool in_line) {
    if (c->in_line != in_line)
        stream_set_deadline(c->stream, in_line ? line_ms : IOURINGNET_NO_TIMEOUT);
    c->in_line = in_line;
}
/* [end] */

static iouringnet_status answer(struct client *c, const char *line, size_t size) {
    char text[LINE_MAX_SIZE];
    for (size_t i = 0; i < size; i++)
        text[i] = (char)toupper((unsigned char)line[i]);
    return sink_post(c->sink, text, size);
}

static size_t on_data(void *user, iouringnet_status status, const void *data, size_t size) {
    struct client *c = user;
    const char *bytes = data, *end;
    size_t used = 0;
    if (status != IOURINGNET_OK) { /* the last call */
        if (status == IOURINGNET_TIMEOUT)
            sink_post(c->sink, "too slow\n", 9);
        else if (status == IOURINGNET_TOO_BIG)
            sink_post(c->sink, "too long\n", 9);
        connection_close(c->sink, c->stream); /* what was posted still goes out */
        return 0;
    }
    while (used < size && (end = memchr(bytes + used, '\n', size - used)) != NULL) {
        size_t line = (size_t)(end + 1 - (bytes + used));
        status = line <= LINE_MAX_SIZE ? answer(c, bytes + used, line) : IOURINGNET_TOO_BIG;
        if (status == IOURINGNET_FULL)
            stream_pause(c->stream); /* until on_room */
        else if (status != IOURINGNET_OK)
            connection_abort(c->sink, c->stream);
        if (status != IOURINGNET_OK)
            break;
        used += line;
    }
    bound_line(c, used < size && status == IOURINGNET_OK);
    return used;
}

static void on_room(void *user, iouringnet_status status) {
    struct client *c = user;
    if (status == IOURINGNET_OK)
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
    if (done->status != IOURINGNET_OK)
        return; /* the listener is closed */
    struct client *c = malloc(sizeof *c);
    if (c != NULL)
        *c = (struct client){done->sink, done->stream, false};
    if (c == NULL || connection_watch(c->sink, c->stream, &callbacks, c) != IOURINGNET_OK) {
        connection_abort(done->sink, done->stream);
        free(c);
    }
}

int main(int argc, char **argv) {
    if (argc != 4 || argv[1][0] == '-') {
        fprintf(stderr, "usage: limits ADDRESS LINE_MS IDLE_MS\n");
        return 2;
    }
    sigset_t signals = block_signals();
    line_ms = atol(argv[2]);
    /* [config] */
    iouringnet_config config;
    iouringnet_config_init(&config);
    config.idle_timeout_ms = atol(argv[3]); /* neither side sends a byte */
    config.buffer_max = LINE_MAX_SIZE;      /* a line without an end */
    config.post_mark = UNSENT_MAX_SIZE;     /* answers that the client does not read */
    config.close_timeout_ms = 5000;         /* a closed connection whose client takes nothing */
    config.drain_timeout_ms = 30000;        /* a closed connection whose client takes a byte now and then */
    iouringnet_net *net = start_net("limits", &config);
    /* [end] */
    if (net == NULL)
        return 1;
    return stop_serving(net, serve_on(net, "limits", argv[1], on_connection, NULL, &signals));
}
