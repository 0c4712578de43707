/* line_client: asks a server that speaks in lines, such as redis, memcached or an SMTP server, and prints its answers.
 *
 * What it teaches:
 *   - stream_fill_until: a line in place, with a bound that the server cannot exceed;
 *   - stream_peek and stream_consume: bytes behind the line stay for the next call;
 *   - time limits: one for the dial, one for each request and one for each answer;
 *   - which failures are worth another try, and which are final;
 *   - dialling again after a growing pause, with chance in it, so that many clients do not come back at the same moment.
 *
 * To compile it:   cc -o line_client line_client.c -liouringnet
 * To try it:       ./line_client 127.0.0.1:6379 PING "SET color green" "INCR visits"      with a redis server
 */
#define _GNU_SOURCE /* for nanosleep and random under -std=c11 */

#include <iouringnet.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "start.h"

#define TIMEOUT_S 2
#define LONGEST_LINE 65536
#define FIRST_PAUSE_MS 100
#define LONGEST_PAUSE_MS 5000

struct server {
    iouringnet_net *net;
    const char *address;
    iouringnet_sink *sink;
    iouringnet_stream *stream; /* NULL: there is no connection */
    int tries;                 /* how many more there may be until an answer comes */
    int most_tries;
    long pause_ms;
};

static void hang_up(struct server *s) {
    connection_abort(s->sink, s->stream); /* an answer that comes late must not pass for that of the next request */
    s->sink = NULL;
    s->stream = NULL;
}

/* A pause of half of `pause_ms` to all of it. The next one is twice as long. */
static void pause_before_try(struct server *s) {
    long ms = s->pause_ms / 2 + random() % (s->pause_ms / 2 + 1);
    struct timespec time = {ms / 1000, ms % 1000 * 1000000};
    nanosleep(&time, NULL);
    s->pause_ms = s->pause_ms < LONGEST_PAUSE_MS / 2 ? 2 * s->pause_ms : LONGEST_PAUSE_MS;
}

static iouringnet_status dial(struct server *s) {
    iouringnet_dial_options options;
    iouringnet_dial_options_init(&options);
    options.timeout_ms = TIMEOUT_S * 1000;
    iouringnet_status status = net_dial(s->net, s->address, &options, &s->sink, &s->stream);
    if (status == IOURINGNET_OK) {
        sink_set_timeout(s->sink, TIMEOUT_S * 1000);
        stream_set_timeout(s->stream, TIMEOUT_S * 1000);
    }
    return status;
}

/* Sends one line, and prints the line that comes back. */
static iouringnet_status ask(struct server *s, const char *request) {
    struct iovec parts[] = {{(void *)(size_t)request, strlen(request)}, {(void *)(size_t) "\r\n", 2}};
    const void *line;
    size_t size;
    iouringnet_status status = s->stream == NULL ? dial(s) : IOURINGNET_OK;
    if (status == IOURINGNET_OK)
        status = sink_sendv(s->sink, parts, 2, NULL);
    if (status == IOURINGNET_OK)
        status = stream_fill_until(s->stream, "\n", 1, LONGEST_LINE, &size);
    if (status == IOURINGNET_OK)
        status = stream_peek(s->stream, size, &line, &size);
    if (status != IOURINGNET_OK)
        return status;
    fwrite(line, 1, size, stdout); /* with its end */
    fflush(stdout);
    return stream_consume(s->stream, size);
}

/* Whether the same request may succeed on a new connection. */
static bool is_worth_a_try(iouringnet_status status) {
    switch (status) {
    case IOURINGNET_ADDRESS:
    case IOURINGNET_NAME:
    case IOURINGNET_TOO_BIG: return false;
    default: return true; /* refused, reset, ended, late, not found at the moment */
    }
}

/* Returns 0 once an answer is printed. The request may reach the server twice, if its first answer is lost. */
static int ask_until_answered(struct server *s, const char *request) {
    s->tries = s->most_tries;
    s->pause_ms = FIRST_PAUSE_MS;
    for (;;) {
        iouringnet_status status = ask(s, request);
        if (status == IOURINGNET_OK)
            return 0;
        fprintf(stderr, "line_client: %s: %s\n", s->address, iouringnet_strerror(status));
        hang_up(s);
        if (--s->tries == 0 || !is_worth_a_try(status))
            return 1;
        pause_before_try(s);
    }
}

static const char usage[] = "usage: line_client ADDRESS [--tries N] REQUEST...\n"
                            "  ADDRESS    HOST:PORT of the server\n"
                            "  --tries N  how often to try each request; default: 5\n"
                            "  REQUEST    a line to send, without its end; the answer is one line\n"
                            "Each step of a try may take " TEXT_OF(TIMEOUT_S) " s.\n";

int main(int argc, char **argv) {
    struct server server = {.most_tries = 5};
    int first = 2;
    answer_questions(argc, argv, usage);
    if (argc > 3 && strcmp(argv[2], "--tries") == 0) {
        server.most_tries = atoi(argv[3]);
        first = 4;
    }
    if (argc <= first || argv[1][0] == '-' || server.most_tries < 1)
        return refuse_arguments(usage);
    srandom((unsigned)time(NULL) ^ (unsigned)getpid());
    server.address = argv[1];
    server.net = start_net("line_client", NULL);
    if (server.net == NULL)
        return 1;
    int code = 0;
    for (int i = first; i < argc && code == 0; i++)
        code = ask_until_answered(&server, argv[i]);
    connection_close(server.sink, server.stream);
    net_stop(server.net);
    return code;
}
