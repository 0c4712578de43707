/* Reading the requests of one HTTP/1.1 connection, one at a time, by llhttp. */
#ifndef HTTP_REQUEST_H
#define HTTP_REQUEST_H

#include <llhttp.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

struct http_request {
    llhttp_t parser;
    char url[16]; /* the beginning of what is asked for: the server has few names */
    size_t url_size;
};

enum http_read { HTTP_PART, HTTP_WHOLE, HTTP_BAD };

static inline int http_on_begin(llhttp_t *parser) {
    ((struct http_request *)parser->data)->url_size = 0;
    return HPE_OK;
}

static inline int http_on_url(llhttp_t *parser, const char *text, size_t size) {
    struct http_request *request = parser->data;
    for (size_t i = 0; i < size && request->url_size < sizeof request->url; i++)
        request->url[request->url_size++] = text[i];
    return HPE_OK;
}

/* Stops the parser after each request: the answer goes out before the next one is read. */
static inline int http_on_complete(llhttp_t *parser) {
    (void)parser;
    return HPE_PAUSED;
}

/* The request must stay where it is. */
static inline void http_begin(struct http_request *request) {
    static const llhttp_settings_t settings = {
        .on_message_begin = http_on_begin, .on_url = http_on_url, .on_message_complete = http_on_complete};
    llhttp_init(&request->parser, HTTP_REQUEST, &settings);
    request->parser.data = request;
}

/* Reads to the end of one request at most, and sets `used` to the bytes that it has read. */
static inline enum http_read http_read(struct http_request *request, const char *data, size_t size, size_t *used) {
    llhttp_errno_t error = llhttp_execute(&request->parser, data, size);
    *used = error == HPE_PAUSED ? (size_t)(llhttp_get_error_pos(&request->parser) - data) : size;
    if (error == HPE_PAUSED)
        llhttp_resume(&request->parser);
    return error == HPE_PAUSED ? HTTP_WHOLE : error == HPE_OK ? HTTP_PART : HTTP_BAD;
}

static inline bool http_asks_for(const struct http_request *request, const char *name) {
    return request->url_size == strlen(name) && memcmp(request->url, name, request->url_size) == 0;
}

#endif
