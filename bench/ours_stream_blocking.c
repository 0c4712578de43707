/* ours_stream_blocking: one-way streams (stream.h) with the library's blocking calls, one thread for each connection.
 *
 *   --no-first-try  by the two rings alone */
#define _GNU_SOURCE

#include "ours.h"
#include "stream.h"

#include <pthread.h>

struct connection {
    iouringnet_sink *sink;
    iouringnet_stream *stream;
};

static void download(const struct connection *c, const struct stream_request *request) {
    uint64_t offset = 0;
    while (sink_send(c->sink, pattern_at(request->number, offset), request->send_size, NULL) == IOURINGNET_OK)
        offset += request->send_size;
}

static void upload(const struct connection *c, const struct stream_request *request) {
    struct upload u = {0};
    char buffer[STREAM_BUFFER];
    size_t size;
    iouringnet_status status;
    while ((status = stream_recv_some(c->stream, buffer, sizeof buffer, &size)) == IOURINGNET_OK)
        upload_took(&u, request->number, buffer, size);
    uint64_t answer = upload_answer(&u);
    if (status == IOURINGNET_EOF)
        sink_send(c->sink, &answer, sizeof answer, NULL);
}

static void *serve(void *user) {
    struct connection c = *(struct connection *)user;
    free(user);
    struct stream_request request;
    if (stream_recv(c.stream, &request, sizeof request, NULL) == IOURINGNET_OK && request.send_size <= MOST_PIECE &&
        sink_send(c.sink, &request, sizeof request, NULL) == IOURINGNET_OK) {
        if (request.send_size > 0)
            download(&c, &request);
        else
            upload(&c, &request);
    }
    sink_close(c.sink);
    stream_close(c.stream);
    return NULL;
}

/* Ends when the net stops, and with it every wait of the other threads. */
static void *accept_all(void *user) {
    struct ours *ours = user;
    pthread_attr_t small;
    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, STREAM_BUFFER + 64 * 1024);
    pthread_attr_setdetachstate(&small, PTHREAD_CREATE_DETACHED); /* they end with the process */
    struct connection c;
    while (listener_accept(ours->listener, &c.sink, &c.stream) == IOURINGNET_OK) {
        struct connection *own = malloc(sizeof *own);
        if (!own)
            die("malloc");
        *own = c;
        pthread_t thread;
        errno = pthread_create(&thread, &small, serve, own);
        if (errno != 0)
            die("pthread_create");
    }
    pthread_attr_destroy(&small);
    return NULL;
}

int main(int argc, char **argv) {
    fill_pattern();
    struct ours ours = start_ours(argc, argv);
    pthread_t acceptor;
    errno = pthread_create(&acceptor, NULL, accept_all, &ours);
    if (errno != 0)
        die("pthread_create");
    announce_ours(&ours);
    wait_for_sigterm();
    int code = stop_net(ours.net);
    pthread_join(acceptor, NULL);
    return code;
}
