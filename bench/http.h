/* What the servers of HTTP have in common: the parser, and the one answer, whose body has 100 bytes.
 * wrk.py and peer_nginx.py have the same body. Every connection lasts until the client ends it. */
#ifndef BENCH_HTTP_H
#define BENCH_HTTP_H

#include <http_parser.h>
#include <stdbool.h>
#include <stddef.h>

#define HTTP_BODY "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789"
#define HTTP_ANSWER \
    "HTTP/1.1 200 OK\r\nServer: bench\r\nContent-Type: text/plain\r\nContent-Length: 100\r\n\r\n" HTTP_BODY

struct http {
    http_parser parser;
    unsigned due; /* answers that the server has still to send; the server counts them down */
};

static inline int http_on_request(http_parser *parser) {
    ((struct http *)parser->data)->due++;
    return 0;
}

static inline void http_init(struct http *http) {
    http_parser_init(&http->parser, HTTP_REQUEST);
    http->parser.data = http;
    http->due = 0;
}

/* Takes all of the bytes; false: this is not HTTP, or it leaves HTTP. */
static inline bool http_take(struct http *http, const void *data, size_t size) {
    static const http_parser_settings settings = {.on_message_complete = http_on_request};
    return http_parser_execute(&http->parser, &settings, data, size) == size && !http->parser.upgrade;
}

#endif
