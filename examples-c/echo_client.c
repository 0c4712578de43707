/* echo_client: sends its standard input, or one message, and prints the answer.
 *
 * What it teaches:
 *   - the blocking calls: net_dial, sink_send, stream_recv. They read like the steps of the conversation;
 *   - that stream_recv receives exactly n bytes, or returns why it cannot;
 *   - timeouts: one for the dial, one for each send and one for each receive;
 *   - errors: iouringnet_strerror has the text for people, and the program branches on the IOURINGNET_ names;
 *   - the half-close: sink_close ends the own side, and the stream can still receive to its end.
 *
 * To compile it:   cc -o echo_client echo_client.c -liouringnet
 * To try it:       ./echo_client 127.0.0.1:7000 "hello"      with echo_server running
 */
#define _GNU_SOURCE /* for ssize_t and read under -std=c11 */

#include <errno.h>
#include <iouringnet.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "start.h"

#define TIMEOUT_S 5

static int failed(const char *what, iouringnet_status status) {
    fprintf(stderr, "echo_client: cannot %s: %s\n", what, iouringnet_strerror(status));
    return 1;
}

/* Sends `size` bytes, receives as many, and prints them. */
static int exchange(iouringnet_sink *sink, iouringnet_stream *stream, const char *data, size_t size) {
    char answer[4096];
    while (size > 0) {
        /* One piece at a time: the next goes out when the answer to this one is there. Otherwise a client that
         * sends without end would wait for a server that waits for the client. */
        size_t piece = size < sizeof answer ? size : sizeof answer;
        iouringnet_status status = sink_send(sink, data, piece, NULL);
        if (status != IOURINGNET_OK)
            return failed("send", status);
        status = stream_recv(stream, answer, piece, NULL);
        if (status == IOURINGNET_TIMEOUT) {
            fprintf(stderr, "echo_client: the server did not answer within %d ms\n", TIMEOUT_S * 1000);
            return 1;
        }
        if (status != IOURINGNET_OK)
            return failed("receive", status);
        if (fwrite(answer, 1, piece, stdout) != piece || fflush(stdout) != 0)
            return failed("print", -errno);
        data += piece;
        size -= piece;
    }
    return 0;
}

/* A terminal gives one line for each read. A pipe or a file gives what is there. */
static int exchange_input(iouringnet_sink *sink, iouringnet_stream *stream) {
    char input[4096];
    ssize_t size;
    while ((size = read(STDIN_FILENO, input, sizeof input)) > 0) {
        int code = exchange(sink, stream, input, (size_t)size);
        if (code != 0)
            return code;
    }
    return size == 0 ? 0 : failed("read the input", -errno);
}

/* Ends the own side, and checks that the server sends nothing more. */
static int say_goodbye(iouringnet_sink *sink, iouringnet_stream *stream) {
    char more;
    sink_close(sink);
    iouringnet_status status = stream_recv(stream, &more, 1, NULL);
    if (status == IOURINGNET_EOF)
        return 0;
    if (status != IOURINGNET_OK)
        return failed("end the conversation", status);
    fprintf(stderr, "echo_client: the server sent more than it was sent\n");
    return 1;
}

static int converse(iouringnet_net *net, const char *address, const char *message) {
    iouringnet_dial_options options;
    iouringnet_dial_options_init(&options);
    options.timeout_ms = TIMEOUT_S * 1000;

    iouringnet_sink *sink;
    iouringnet_stream *stream;
    iouringnet_status status = net_dial(net, address, &options, &sink, &stream);
    if (status != IOURINGNET_OK) {
        fprintf(stderr, "echo_client: cannot connect to %s: %s\n", address, iouringnet_strerror(status));
        return 1;
    }
    sink_set_timeout(sink, TIMEOUT_S * 1000);
    stream_set_timeout(stream, TIMEOUT_S * 1000);

    int code = message != NULL ? exchange(sink, stream, message, strlen(message)) : exchange_input(sink, stream);
    if (code == 0 && message != NULL)
        putchar('\n');
    if (code == 0)
        code = say_goodbye(sink, stream);
    sink_close(sink); /* harmless if the sink is closed already */
    stream_close(stream);
    return code;
}

static const char usage[] = "usage: echo_client ADDRESS [MESSAGE]\n"
                            "  ADDRESS  HOST:PORT of the server: 127.0.0.1:7000, [::1]:7000 or localhost:7000\n"
                            "  MESSAGE  what to send; without it, what standard input has\n"
                            "Each step may take " TEXT_OF(TIMEOUT_S) " s.\n";

int main(int argc, char **argv) {
    answer_questions(argc, argv, usage);
    if (argc < 2 || argc > 3 || argv[1][0] == '-')
        return refuse_arguments(usage);
    iouringnet_net *net = start_net("echo_client", NULL);
    if (net == NULL)
        return 1;
    int code = converse(net, argv[1], argc == 3 ? argv[2] : NULL);
    iouringnet_status status = net_stop(net);
    if (status != IOURINGNET_OK)
        code = failed("stop", status);
    return code;
}
