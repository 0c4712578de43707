/* frames: messages with their length in front, as most protocols over TCP have them.
 *
 * What it teaches:
 *   - sink_sendv sends a frame from two pieces of memory: no copy, and no other thread's bytes between them;
 *   - frames in place: stream_fill waits until so many bytes are buffered, stream_peek shows them, and
 *     stream_consume consumes them. The program needs no buffer and no state of a half-read frame;
 *   - a program checks a length from the network before it uses it;
 *   - an end between frames is fine, and an end within a frame is an error.
 *
 * One process has both ends. Main sends frames, and a thread answers each with the same text in capitals.
 *
 * To compile it:   cc -o frames frames.c -liouringnet -pthread
 */
#define _GNU_SOURCE /* for struct iovec under -std=c11 */

#include <ctype.h>
#include <errno.h>
#include <iouringnet.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "start.h"

#define PREFIX_SIZE 4
#define FRAME_MAX ((size_t)64 * 1024) /* below the config's buffer_max, so that a whole frame fits */
#define TIMEOUT_MS 5000

/* The errors of this protocol. A status is 0, -errno or one of the library, so -errno serves here too. */
#define FRAME_CUT (-EPROTO)
#define FRAME_TOO_LONG (-EMSGSIZE)

static iouringnet_status send_frame(iouringnet_sink *sink, const char *text, size_t size) {
    unsigned char prefix[PREFIX_SIZE] = {
        (unsigned char)(size >> 24),
        (unsigned char)(size >> 16),
        (unsigned char)(size >> 8),
        (unsigned char)size,
    };
    struct iovec parts[] = {
        {.iov_base = prefix, .iov_len = sizeof prefix},
        {.iov_base = (void *)text, .iov_len = size}, /* iovec has no const; the library only reads */
    };
    return sink_sendv(sink, parts, 2, NULL);
}

/* Waits until `size` bytes are buffered, and shows them without consuming them. */
static iouringnet_status fill_and_peek(iouringnet_stream *stream, size_t size, const void **data) {
    size_t shown;
    iouringnet_status status = stream_fill(stream, size);
    if (status != IOURINGNET_OK)
        return status;
    return stream_peek(stream, size, data, &shown); /* after the fill, at least `size` */
}

/* True if the stream ended within a frame. A fill that fails leaves the bytes that arrived in the buffer. */
static int ended_within_frame(iouringnet_stream *stream) {
    const void *rest;
    size_t size;
    return stream_peek(stream, PREFIX_SIZE, &rest, &size) == IOURINGNET_OK && size > 0;
}

/* Waits for a whole frame and shows its text. The text is valid until the next call on this stream, and the caller
 * then calls drop_frame. IOURINGNET_EOF: the stream ended between two frames. */
static iouringnet_status peek_frame(iouringnet_stream *stream, const char **text, size_t *size) {
    const void *data;
    iouringnet_status status = fill_and_peek(stream, PREFIX_SIZE, &data);
    if (status == IOURINGNET_EOF && ended_within_frame(stream))
        return FRAME_CUT;
    if (status != IOURINGNET_OK)
        return status;

    const unsigned char *prefix = data;
    *size = (size_t)prefix[0] << 24 | (size_t)prefix[1] << 16 | (size_t)prefix[2] << 8 | prefix[3];
    if (*size > FRAME_MAX)
        return FRAME_TOO_LONG;

    /* The prefix is not consumed yet, so this shows the prefix and the text. */
    status = fill_and_peek(stream, PREFIX_SIZE + *size, &data);
    if (status == IOURINGNET_EOF)
        return FRAME_CUT;
    if (status == IOURINGNET_OK)
        *text = (const char *)data + PREFIX_SIZE;
    return status;
}

static iouringnet_status drop_frame(iouringnet_stream *stream, size_t size) {
    return stream_consume(stream, PREFIX_SIZE + size);
}

static void to_capitals(char *out, const char *text, size_t size) {
    for (size_t i = 0; i < size; i++)
        out[i] = (char)toupper((unsigned char)text[i]);
}

static int failed(const char *what, iouringnet_status status) {
    fprintf(stderr, "frames: cannot %s: %s\n", what, iouringnet_strerror(status));
    return 1;
}

/* The end that answers: accepts one connection, and answers frames until its end. */
static iouringnet_status answer_frames(iouringnet_sink *sink, iouringnet_stream *stream) {
    static char answer[FRAME_MAX];
    const char *text;
    size_t size;
    iouringnet_status status;
    while ((status = peek_frame(stream, &text, &size)) == IOURINGNET_OK) {
        to_capitals(answer, text, size);
        status = drop_frame(stream, size);
        if (status == IOURINGNET_OK)
            status = send_frame(sink, answer, size);
        if (status != IOURINGNET_OK)
            return status;
    }
    return status == IOURINGNET_EOF ? IOURINGNET_OK : status;
}

static void *answer_one_connection(void *listener) {
    iouringnet_sink *sink;
    iouringnet_stream *stream;
    iouringnet_status status = listener_accept(listener, &sink, &stream);
    if (status != IOURINGNET_OK) {
        if (status != IOURINGNET_CLOSED) /* main has given up, and prints why */
            failed("accept", status);
        return NULL;
    }
    stream_set_timeout(stream, TIMEOUT_MS);
    sink_set_timeout(sink, TIMEOUT_MS);
    status = answer_frames(sink, stream);
    if (status != IOURINGNET_OK)
        failed("answer", status);
    sink_close(sink);
    stream_close(stream);
    return NULL;
}

/* Sends one frame, and compares the answer with the expected one. */
static int ask(iouringnet_sink *sink, iouringnet_stream *stream, const char *text, size_t size) {
    static char expected[FRAME_MAX];
    const char *answer;
    size_t answer_size;
    to_capitals(expected, text, size);

    iouringnet_status status = send_frame(sink, text, size);
    if (status != IOURINGNET_OK)
        return failed("send a frame", status);
    status = peek_frame(stream, &answer, &answer_size);
    if (status != IOURINGNET_OK)
        return failed("receive a frame", status);
    if (answer_size != size || memcmp(answer, expected, size) != 0) {
        fprintf(stderr, "frames: the answer is not what was asked for\n");
        return 1;
    }
    int shown = size < 40 ? (int)size : 40;
    printf("%6zu bytes asked and answered: \"%.*s%s\"\n", size, shown, answer, size > 40 ? "..." : "");
    status = drop_frame(stream, answer_size);
    return status == IOURINGNET_OK ? 0 : failed("consume a frame", status);
}

static int ask_all(iouringnet_sink *sink, iouringnet_stream *stream) {
    static char large[FRAME_MAX];
    memset(large, 'x', sizeof large);
    const struct {
        const char *text;
        size_t size;
    } questions[] = {
        {"hello", 5},
        {"", 0},
        {"frames keep their bounds, however tcp cuts the bytes", 52},
        {large, sizeof large},
    };
    for (size_t i = 0; i < sizeof questions / sizeof questions[0]; i++)
        if (ask(sink, stream, questions[i].text, questions[i].size) != 0)
            return 1;
    return 0;
}

/* The end that asks. After sink_close the other end gets the end of the stream, between two frames, and closes its
 * own half. Therefore the last wait for a frame gets the end. */
static int converse(iouringnet_net *net, iouringnet_listener *listener) {
    iouringnet_address address;
    iouringnet_sink *sink;
    iouringnet_stream *stream;
    iouringnet_status status = listener_address(listener, &address);
    if (status == IOURINGNET_OK)
        status = net_dial(net, address.text, NULL, &sink, &stream);
    if (status != IOURINGNET_OK)
        return failed("connect", status);
    stream_set_timeout(stream, TIMEOUT_MS);
    sink_set_timeout(sink, TIMEOUT_MS);

    int code = ask_all(sink, stream);
    sink_close(sink);
    if (code == 0) {
        const char *text;
        size_t size;
        status = peek_frame(stream, &text, &size);
        if (status == IOURINGNET_EOF)
            printf("the stream ended between two frames, as it should\n");
        else
            code = failed("end the conversation", status);
    }
    stream_close(stream);
    return code;
}

static int play_both_ends(iouringnet_net *net) {
    iouringnet_listener *listener;
    iouringnet_status status = net_bind(net, "127.0.0.1:0", NULL, &listener);
    if (status != IOURINGNET_OK)
        return failed("bind", status);

    pthread_t answering;
    int error = pthread_create(&answering, NULL, answer_one_connection, listener);
    if (error != 0)
        return failed("start a thread", -error);
    int code = converse(net, listener);
    listener_close(listener); /* ends the thread's accept if it still waits */
    pthread_join(answering, NULL);
    return code;
}

static const char usage[] = "usage: frames\n"
                            "Sends frames to a thread of its own, over 127.0.0.1, and prints the answers.\n";

int main(int argc, char **argv) {
    answer_questions(argc, argv, usage);
    if (argc != 1)
        return refuse_arguments(usage);
    iouringnet_net *net = start_net("frames", NULL);
    if (net == NULL)
        return 1;
    int code = play_both_ends(net);
    iouringnet_status status = net_stop(net);
    if (status != IOURINGNET_OK)
        code = failed("stop", status);
    return code;
}
