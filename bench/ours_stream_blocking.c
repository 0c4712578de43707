/* ours_stream_blocking: one-way streams (stream.h) with the library's blocking calls, one thread for each connection.
 *
 *   --no-first-try  by the two loops alone
 *   --engine NAME   over io_uring or epoll
 *   --no-spin       asleep whenever there is nothing to do */
#define _GNU_SOURCE

#include "ours.h"
#include "stream.h"

static void download(const struct accepted *c, const struct stream_request *request) {
    uint64_t offset = 0;
    while (sink_send(c->sink, pattern_at(request->number, offset), request->send_size, NULL) == IOURINGNET_OK)
        offset += request->send_size;
}

static void upload(const struct accepted *c, const struct stream_request *request) {
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

static void serve(const struct accepted *c) {
    struct stream_request request;
    if (stream_recv(c->stream, &request, sizeof request, NULL) == IOURINGNET_OK && request.send_size <= MOST_PIECE &&
        sink_send(c->sink, &request, sizeof request, NULL) == IOURINGNET_OK) {
        if (request.send_size > 0)
            download(c, &request);
        else
            upload(c, &request);
    }
}

int main(int argc, char **argv) {
    fill_pattern();
    struct ours ours = start_ours(argc, argv);
    return serve_ours_in_threads(&ours, serve);
}
