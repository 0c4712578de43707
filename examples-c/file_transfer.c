/* file_transfer: sends a file of any size over one connection, or receives one and verifies it.
 *
 * What it teaches:
 *   - a small protocol with blocking calls: stream_recv receives a header of exact size, then blocks of content;
 *   - why a receiver verifies and answers: a send that succeeded has reached the kernel, not the other side;
 *   - two ways to end: after connection_close the other side gets the end of the stream. After connection_abort it gets a
 *     reset, so it cannot take half a file for a whole one;
 *   - listener_accept, and keepalive, which notices a peer that has vanished.
 *
 * To compile it:   cc -O2 -o file_transfer file_transfer.c file_transfer_core.c -liouringnet
 * To try it:       ./file_transfer receive 127.0.0.1:7001 copy &   then   ./file_transfer send 127.0.0.1:7001 some_file
 */
#define _GNU_SOURCE /* for asprintf under -std=c11 */

#include "file_transfer.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "start.h"

static int failed(const char *what, iouringnet_status status) {
    fprintf(stderr, "file_transfer: cannot %s: %s\n", what, iouringnet_strerror(status));
    return 1;
}

/* `name` is that of a file, or an address. */
static int failed_at(const char *what, const char *name, iouringnet_status status) {
    fprintf(stderr, "file_transfer: cannot %s %s: %s\n", what, name, iouringnet_strerror(status));
    return 1;
}

/* Draws the bar again if its percentage has changed. */
static void draw_bar(const struct transfer *transfer, const char *what, uint64_t done) {
    static const char full[] = "########################################";
    static int shown = -1;
    int percent = (int)((double)done / (double)transfer->size * 100);
    if (percent == shown)
        return;
    shown = percent;
    int width = percent * 40 / 100;
    fprintf(stderr, "\r%-9s [%-40.*s] %3d %%", what, width, full, percent);
    if (done == transfer->size)
        fprintf(stderr, "\n");
}

static void print_result(const struct transfer *t, const char *what) {
    double seconds = (double)t->nanoseconds / 1e9;
    printf("%s %" PRIu64 " bytes", what, t->size);
    if (t->nanoseconds > 0)
        printf(" in %.2f s (%.0f MB/s)", seconds, (double)t->size / 1e6 / seconds);
    printf(", verified\nSHA-256 ");
    for (int i = 0; i < SHA256_SIZE; i++)
        printf("%02x", t->digest[i]);
    printf("\n");
}

/* Closes the connection in order after a good transfer. Resets it after a bad one, so that the other side does
 * not take half a file for a whole one. */
static int finish(struct transfer *t, bool good, const char *what, iouringnet_sink *sink, iouringnet_stream *stream) {
    if (good) {
        connection_close(sink, stream);
        print_result(t, what);
    } else {
        connection_abort(sink, stream);
        fprintf(stderr, "file_transfer: %s\n", t->problem);
    }
    return good ? 0 : 1;
}

static int send_file(iouringnet_net *net, const char *address, const char *path, struct transfer *transfer) {
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return failed_at("open", path, -errno);

    iouringnet_sink *sink;
    iouringnet_stream *stream;
    int code;
    iouringnet_status status = net_dial(net, address, NULL, &sink, &stream);
    if (status == IOURINGNET_OK)
        code = finish(transfer, transfer_send(transfer, sink, stream, file), "sent", sink, stream);
    else
        code = failed_at("connect to", address, status);
    close(file);
    return code;
}

/* Binds, prints the address, and accepts one connection. */
static iouringnet_status accept_one(iouringnet_net *net, const char *address, iouringnet_sink **sink,
                                    iouringnet_stream **stream) {
    iouringnet_listener *listener;
    iouringnet_address bound;
    iouringnet_status status = net_bind(net, address, NULL, &listener);
    if (status != IOURINGNET_OK)
        return status;
    status = listener_address(listener, &bound);
    if (status == IOURINGNET_OK) {
        printf("listening on %s\n", bound.text);
        fflush(stdout);
        status = listener_accept(listener, sink, stream);
    }
    listener_close(listener);
    return status;
}

static int receive_into(iouringnet_net *net, const char *address, int file, struct transfer *transfer) {
    iouringnet_sink *sink;
    iouringnet_stream *stream;
    iouringnet_status status = accept_one(net, address, &sink, &stream);
    if (status != IOURINGNET_OK)
        return failed_at("accept a connection on", address, status);
    return finish(transfer, transfer_receive(transfer, sink, stream, file), "received", sink, stream);
}

/* Receives into PATH.part, and renames the file when it is verified. Therefore nobody finds half a file at PATH. */
static int receive_file(iouringnet_net *net, const char *address, const char *path, struct transfer *transfer) {
    struct stat info;
    if (stat(path, &info) == 0 && !S_ISREG(info.st_mode)) {
        fprintf(stderr, "file_transfer: '%s' is not a regular file\n", path);
        return 1;
    }
    char *part;
    if (asprintf(&part, "%s.part", path) < 0)
        return failed("make a name", -ENOMEM);

    int code;
    int file = open(part, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (file < 0) {
        code = failed_at("create", part, -errno);
    } else {
        code = receive_into(net, address, file, transfer);
        close(file);
        if (code == 0 && rename(part, path) != 0)
            code = failed_at("rename the file to", path, -errno);
        if (code != 0)
            unlink(part);
    }
    free(part);
    return code;
}

static const char usage[] =
    "usage: file_transfer send ADDRESS FILE\n"
    "       file_transfer receive ADDRESS OUTFILE\n"
    "  ADDRESS  HOST:PORT: where the receiver listens. It prints the port if it was told port 0\n"
    "  OUTFILE  gets its name when the file is verified; until then it is OUTFILE.part\n";

int main(int argc, char **argv) {
    answer_questions(argc, argv, usage);
    bool sender = argc == 4 && strcmp(argv[1], "send") == 0;
    bool receiver = argc == 4 && strcmp(argv[1], "receive") == 0;
    if (!sender && !receiver)
        return refuse_arguments(usage);

    iouringnet_config config;
    iouringnet_config_init(&config);
    config.keepalive_ms = 30000; /* notices a vanished peer while nothing is sent */
    iouringnet_net *net = start_net("file_transfer", &config);
    if (net == NULL)
        return 1;

    struct transfer transfer = {.progress = isatty(STDERR_FILENO) ? draw_bar : NULL};
    int code = sender ? send_file(net, argv[2], argv[3], &transfer) : receive_file(net, argv[2], argv[3], &transfer);
    iouringnet_status status = net_stop(net);
    if (status != IOURINGNET_OK)
        code = failed("stop", status);
    return code;
}
