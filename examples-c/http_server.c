/* http_server: serves one file over HTTP/1.1. llhttp, the parser of Node.js, reads the requests.
 *
 * What it teaches:
 *   - one copy of a large file for all clients: a buffer adopts the mapped file (mapped_file.h), and sink_post_buffer
 *     posts it behind a head of its own;
 *   - keep-alive and pipelining: requests come in any number of pieces, and answers leave in the order of the requests;
 *   - back-pressure: while the sink has no room for an answer, the stream is paused, and the next requests stay unread;
 *   - a deadline for each request, which a client that sends a byte now and then cannot outlast, and a limit for the time
 *     in which no byte moves, for clients that ask for nothing more or do not read.
 *
 * To compile it:   cc -o http_server http_server.c -liouringnet -lllhttp
 * To try it:       ./http_server some_file &   then   curl http://127.0.0.1:8080/file | cmp - some_file
 */
#define _GNU_SOURCE /* for sigset_t and sigwait under -std=c11 */

#include <stdlib.h>

#include "http_request.h"
#include "mapped_file.h"
#include "serve.h"

#define DEFAULT_ADDRESS "127.0.0.1:8080"
enum { REQUEST_MS = 10000, IDLE_MS = 60000 };

static iouringnet_buffer *file;
static size_t file_size;

struct connection {
    iouringnet_sink *sink;
    iouringnet_stream *stream;
    struct http_request request;
    bool in_request;   /* the deadline of a request runs: its first bytes have come, or it is the first request */
    bool answer_waits; /* for room in the sink */
};

/* Posts the answer to the request that was read: all of it, or IOURINGNET_FULL and nothing. */
static iouringnet_status answer(const struct connection *c) {
    static const char hello[] = "Hello. The file is at /file.\n", unknown[] = "There is no such page.\n";
    bool is_head = c->request.parser.method == HTTP_HEAD, is_file = http_asks_for(&c->request, "/file");
    bool is_found = is_file || http_asks_for(&c->request, "/");
    const char *text = is_found ? hello : unknown;
    char bytes[256];
    int size =
        snprintf(bytes, sizeof bytes, "HTTP/1.1 %s\r\nContent-Length: %zu\r\nConnection: %s\r\n\r\n%s",
                 is_found ? "200 OK" : "404 Not Found", is_file ? file_size : strlen(text),
                 llhttp_should_keep_alive(&c->request.parser) ? "keep-alive" : "close", is_head || is_file ? "" : text);
    if (is_file && !is_head)
        return sink_post_buffer(c->sink, bytes, (size_t)size, file);
    return sink_post(c->sink, bytes, (size_t)size);
}

/* Answers the request that was read, and returns whether the next one may be read. */
static bool answered(struct connection *c) {
    iouringnet_status status = answer(c);
    c->answer_waits = status == IOURINGNET_FULL;
    if (c->answer_waits)
        stream_pause(c->stream); /* until on_room */
    else if (status != IOURINGNET_OK || !llhttp_should_keep_alive(&c->request.parser))
        connection_close(c->sink, c->stream); /* what was posted still goes out */
    else
        return true;
    return false;
}

static void bound_request(struct connection *c, bool in_request) {
    if (c->in_request != in_request)
        stream_set_deadline(c->stream, in_request ? REQUEST_MS : IOURINGNET_NO_TIMEOUT);
    c->in_request = in_request;
}

static size_t on_data(void *user, iouringnet_status status, const void *data, size_t size) {
    static const char bad[] = "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    struct connection *c = user;
    if (status != IOURINGNET_OK) { /* the last call: the client's end, a limit, our own close */
        connection_close(c->sink, c->stream);
        return 0;
    }
    size_t used = 0;
    while (used < size) {
        size_t more;
        enum http_read read = http_read(&c->request, (const char *)data + used, size - used, &more);
        used += more;
        bound_request(c, read == HTTP_PART);
        if (read == HTTP_BAD) {
            sink_post(c->sink, bad, sizeof bad - 1);
            connection_close(c->sink, c->stream);
        }
        if (read != HTTP_WHOLE || !answered(c))
            break;
    }
    return used;
}

static void on_room(void *user, iouringnet_status status) {
    struct connection *c = user;
    if (status != IOURINGNET_OK)
        connection_close(c->sink, c->stream); /* the client is gone */
    else if (!c->answer_waits || answered(c))
        stream_resume(c->stream);
}

static void on_end(void *user, iouringnet_status status) {
    (void)status;
    free(user);
}

static void on_connection(void *user, const iouringnet_completion *done) {
    static const iouringnet_connection_callbacks callbacks = {
        .size = sizeof callbacks, .data = on_data, .room = on_room, .end = on_end};
    (void)user;
    if (done->status != IOURINGNET_OK)
        return; /* the listener is closed */
    struct connection *c = calloc(1, sizeof *c);
    if (c == NULL) {
        connection_abort(done->sink, done->stream);
        return;
    }
    c->sink = done->sink;
    c->stream = done->stream;
    http_begin(&c->request);
    if (connection_watch(c->sink, c->stream, &callbacks, c) != IOURINGNET_OK) {
        connection_abort(c->sink, c->stream);
        free(c);
        return;
    }
    connection_set_idle_timeout(c->sink, c->stream, IDLE_MS);
    bound_request(c, true);
}

static const char usage[] = "usage: http_server FILE [ADDRESS]\n"
                            "  ADDRESS  HOST:PORT; default: " DEFAULT_ADDRESS "; port 0 takes a free one\n";

int main(int argc, char **argv) {
    answer_questions(argc, argv, usage);
    if (argc < 2 || argc > 3 || argv[1][0] == '-')
        return refuse_arguments(usage);
    if (!map_file(argv[1], &file, &file_size)) {
        fprintf(stderr, "http_server: cannot map %s\n", argv[1]);
        return 1;
    }
    int code = serve_until_signal("http_server", argc == 3 ? argv[2] : DEFAULT_ADDRESS, on_connection, NULL);
    iouringnet_buffer_release(file);
    return code;
}
