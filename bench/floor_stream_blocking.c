/* floor_stream_blocking: one-way streams (stream.h) without any readiness. One thread for each connection, recv(2) and send(2)
 * that wait. */
#define _GNU_SOURCE

#include "server.h"
#include "stream.h"

static bool send_all(int fd, const void *data, size_t size) {
    const unsigned char *at = data;
    while (size > 0) {
        ssize_t sent = send(fd, at, size, MSG_NOSIGNAL);
        if (sent <= 0)
            return false;
        at += sent, size -= (size_t)sent;
    }
    return true;
}

static void download(int fd, const struct stream_request *request) {
    uint64_t offset = 0;
    while (send_all(fd, pattern_at(request->number, offset), request->send_size))
        offset += request->send_size;
}

static void upload(int fd, const struct stream_request *request) {
    struct upload u = {0};
    unsigned char buffer[STREAM_BUFFER];
    for (;;) {
        ssize_t size = recv(fd, buffer, sizeof buffer, 0);
        if (size < 0)
            return;
        if (size == 0)
            break;
        upload_took(&u, request->number, buffer, (size_t)size);
    }
    uint64_t answer = upload_answer(&u);
    send_all(fd, &answer, sizeof answer);
}

static void *serve(void *user) {
    int fd = (int)(intptr_t)user;
    struct stream_request request;
    if (recv(fd, &request, sizeof request, MSG_WAITALL) == sizeof request && request.send_size <= MOST_PIECE &&
        send_all(fd, &request, sizeof request)) {
        if (request.send_size > 0)
            download(fd, &request);
        else
            upload(fd, &request);
    }
    close(fd);
    return NULL;
}

int main(void) {
    fill_pattern();
    serve_in_threads(listen_here(0), serve);
}
