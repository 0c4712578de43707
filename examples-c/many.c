/* many: thousands of connections at the same time, by callbacks, in bounded memory.
 *
 * What it teaches:
 *   - net_dial_async: dials do not wait for one another, and the program bounds how many are under way;
 *   - back-pressure on the sending side: post until IOURINGNET_FULL, and go on when the watch reports room.
 *     Then the config's post_mark bounds the unsent bytes, however slowly the peer reads;
 *   - that thousands of connections need two threads and no mutex: one thread runs every callback;
 *   - how main waits for callbacks: on a semaphore of its own, with a deadline.
 *
 * Each client uploads 256 KiB. The server checks every byte and answers with the number of bytes that it received.
 *
 * To compile it:   cc -o many many.c -liouringnet -pthread
 * To try it:       ./many 5000
 */
#define _GNU_SOURCE /* for clock_gettime and struct timespec under -std=c11 */

#include <errno.h>
#include <inttypes.h>
#include <iouringnet.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "start.h"

#define DEFAULT_CONNECTIONS 2000
#define MOST_CONNECTIONS 25000 /* each takes a port of the system's range for clients, which has some 28,000 */
#define DIALS_AT_ONCE 64
#define UPLOAD_SIZE ((uint64_t)256 * 1024)
#define POST_SIZE ((size_t)4096)
#define POST_MARK ((size_t)16 * 1024)
#define SOCKET_BUFFER ((size_t)16 * 1024)
#define DEFAULT_SECONDS 60
#define MOST_SECONDS 3600

/* The bytes of every upload: byte n is n modulo 251. 251 is a prime, so the server notices a piece that is lost or
 * comes twice. The table has the length of the longest piece that is compared at once, and one period more. */
#define PERIOD 251
#define PIECE_MAX ((size_t)64 * 1024)
static unsigned char pattern[PIECE_MAX + PERIOD];

/* One thread runs all callbacks, so the counts need no lock. Main reads them when the net has stopped. */
static struct {
    iouringnet_net *net;
    iouringnet_address server;
    struct client *clients;
    unsigned wanted, dialled, answered; /* dials begun, dials that have ended */
    unsigned accepted;
    int uploading;
    unsigned succeeded, failed;
    unsigned open, open_at_most; /* connections, as the server sees them */
    uint64_t fulls;
    sem_t finished;
} run;

static void upload_when_all_are_open(void);

static int failed(const char *what, iouringnet_status status) {
    fprintf(stderr, "many: cannot %s: %s\n", what, iouringnet_strerror(status));
    return 1;
}

static int is_pattern(const unsigned char *data, size_t size, uint64_t offset) {
    while (size > 0) {
        size_t piece = size < PIECE_MAX ? size : PIECE_MAX;
        if (memcmp(data, pattern + offset % PERIOD, piece) != 0)
            return 0;
        data += piece;
        offset += piece;
        size -= piece;
    }
    return 1;
}

/* --- The server: checks and counts bytes, and answers with the count -------------------------------------- */

struct upload {
    iouringnet_sink *sink;
    iouringnet_stream *stream;
    uint64_t received;
    int damaged;
};

static size_t on_upload(void *user, iouringnet_status status, const void *data, size_t size) {
    struct upload *u = user;
    if (status == IOURINGNET_OK) {
        u->damaged |= !is_pattern(data, size, u->received);
        u->received += size;
        return size;
    }
    if (status == IOURINGNET_EOF && !u->damaged) {
        sink_post(u->sink, &u->received, sizeof u->received); /* if it fails, the client gets no answer */
        connection_close(u->sink, u->stream);
    } else {
        connection_abort(u->sink, u->stream);
    }
    return 0;
}

static void on_upload_end(void *user, iouringnet_status status) {
    (void)status;
    run.open--;
    free(user);
}

static void on_connection(void *user, const iouringnet_completion *done) {
    static const iouringnet_connection_callbacks callbacks = {sizeof callbacks, on_upload, NULL, on_upload_end};
    (void)user;
    if (done->status != IOURINGNET_OK)
        return; /* the listener is closed */
    run.accepted++;
    struct upload *u = calloc(1, sizeof *u);
    if (u != NULL) {
        u->sink = done->sink;
        u->stream = done->stream;
    }
    if (u == NULL || connection_watch(u->sink, u->stream, &callbacks, u) != IOURINGNET_OK) {
        connection_abort(done->sink, done->stream); /* the client gets the reset, and counts a failure */
        free(u);
    } else {
        run.open++;
        if (run.open > run.open_at_most)
            run.open_at_most = run.open;
    }
    upload_when_all_are_open();
}

/* --- The clients: connect; when all are connected, upload and read the answer ------------------------------ */

struct client {
    iouringnet_sink *sink;
    iouringnet_stream *stream;
    uint64_t posted;
    int confirmed;
};

static void count(int success) {
    if (success)
        run.succeeded++;
    else
        run.failed++;
    if (run.succeeded + run.failed == run.wanted)
        sem_post(&run.finished);
}

/* Posts until everything is posted or the sink is full. Called at the start, and then whenever there is room. */
static void upload_more(struct client *c) {
    while (c->posted < UPLOAD_SIZE) {
        iouringnet_status status = sink_post(c->sink, pattern + c->posted % PERIOD, POST_SIZE);
        if (status == IOURINGNET_FULL) {
            run.fulls++;
            return; /* nothing was taken; on_room calls again */
        }
        if (status != IOURINGNET_OK) {
            connection_abort(c->sink, c->stream);
            return;
        }
        c->posted += POST_SIZE;
    }
    sink_close(c->sink); /* the server gets the end of the stream, and answers */
}

static void on_room(void *user, iouringnet_status status) {
    struct client *c = user;
    if (status == IOURINGNET_OK)
        upload_more(c);
    else
        connection_abort(c->sink, c->stream); /* the connection is broken, and no answer comes */
}

static size_t on_answer(void *user, iouringnet_status status, const void *data, size_t size) {
    struct client *c = user;
    uint64_t arrived;
    if (status != IOURINGNET_OK) {
        connection_close(c->sink, c->stream);
        return 0;
    }
    if (size < sizeof arrived)
        return 0; /* part of the answer; the next call shows it again, joined with the rest */
    memcpy(&arrived, data, sizeof arrived);
    c->confirmed = arrived == UPLOAD_SIZE;
    return size;
}

/* The client is done. Main frees all clients together. */
static void on_client_end(void *user, iouringnet_status status) {
    struct client *c = user;
    count(c->confirmed && status == IOURINGNET_OK);
}

static void begin_upload(struct client *c) {
    static const iouringnet_connection_callbacks callbacks = {sizeof callbacks, on_answer, on_room, on_client_end};
    if (c->sink == NULL)
        return; /* its dial failed and is counted */
    if (connection_watch(c->sink, c->stream, &callbacks, c) == IOURINGNET_OK) {
        upload_more(c);
    } else {
        connection_abort(c->sink, c->stream);
        count(0);
    }
}

static void dial_more(void);

static void on_dialled(void *user, const iouringnet_completion *done) {
    struct client *c = user;
    run.answered++;
    if (done->status == IOURINGNET_OK) {
        c->sink = done->sink;
        c->stream = done->stream;
    } else {
        failed("connect", done->status);
        count(0);
    }
    dial_more();
    upload_when_all_are_open();
}

/* A dial succeeds when the kernel has the connection. This may be before the listener's watch gets it. The uploads
 * wait for both. Therefore all connections are open at the same time. */
static void upload_when_all_are_open(void) {
    unsigned refused = run.failed; /* until now only dials can have failed */
    if (run.uploading || run.answered < run.wanted || run.accepted + refused < run.wanted)
        return;
    run.uploading = 1;
    for (unsigned i = 0; i < run.wanted; i++)
        begin_upload(&run.clients[i]);
}

/* Keeps a bounded number of dials under way, so that the listener's backlog does not overflow. A refused dial ends
 * the run, because no callback would count it. */
static void dial_more(void) {
    while (run.dialled < run.wanted && run.dialled - run.answered < DIALS_AT_ONCE) {
        struct client *c = &run.clients[run.dialled];
        iouringnet_status status = net_dial_async(run.net, run.server.text, NULL, on_dialled, c, NULL);
        if (status != IOURINGNET_OK) {
            failed("dial", status);
            sem_post(&run.finished);
            return;
        }
        run.dialled++;
    }
}

static void on_start(void *user, const iouringnet_completion *done) {
    (void)user;
    if (done->status == IOURINGNET_OK)
        dial_more();
}

/* --- Main: limits, start, wait, report ------------------------------------------------------------------- */

/* This process has both ends of a connection, so each needs two descriptors. Returns how many connections fit. */
static unsigned raise_descriptor_limit(unsigned wanted) {
    const rlim_t others = 64; /* standard files, rings, listener */
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return wanted;
    rlim_t needed = (rlim_t)wanted * 2 + others;
    if (limit.rlim_cur < needed) {
        limit.rlim_cur = limit.rlim_max < needed ? limit.rlim_max : needed;
        setrlimit(RLIMIT_NOFILE, &limit); /* if it fails, the next call reads the old limit */
        getrlimit(RLIMIT_NOFILE, &limit);
    }
    if (limit.rlim_cur >= needed)
        return wanted;
    return limit.rlim_cur > others ? (unsigned)((limit.rlim_cur - others) / 2) : 0;
}

static double seconds_now(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* Waits for the last client. False if the time limit passed. */
static int wait_until_finished(long seconds) {
    struct timespec deadline;
    clock_gettime(CLOCK_REALTIME, &deadline);
    deadline.tv_sec += seconds;
    int result;
    do
        result = sem_timedwait(&run.finished, &deadline);
    while (result != 0 && errno == EINTR);
    return result == 0;
}

static int connect_and_upload(long seconds) {
    iouringnet_listener *listener;
    iouringnet_status status = net_bind(run.net, "127.0.0.1:0", NULL, &listener);
    if (status != IOURINGNET_OK)
        return failed("bind", status);
    status = listener_address(listener, &run.server);
    if (status != IOURINGNET_OK)
        return failed("tell the address", status);
    status = listener_watch(listener, on_connection, NULL);
    if (status != IOURINGNET_OK)
        return failed("accept", status);
    /* The dials begin on the callback thread. From now on only that thread touches `run`. */
    status = net_call(run.net, 0, on_start, NULL, NULL);
    if (status != IOURINGNET_OK)
        return failed("begin", status);
    if (!wait_until_finished(seconds)) {
        fprintf(stderr, "many: not finished within %ld s\n", seconds);
        return 1;
    }
    return 0;
}

static void report(double seconds) {
    struct rusage usage;
    double bytes = (double)run.succeeded * (double)UPLOAD_SIZE;
    printf("%u connections, %u of them open at once, each confirmed %" PRIu64 " KiB\n", run.succeeded, run.open_at_most,
           UPLOAD_SIZE / 1024);
    printf("%.0f MB in %.2f s: %.0f MB/s\n", bytes / 1e6, seconds, bytes / 1e6 / seconds);
    printf("a full sink made its client wait %" PRIu64 " times\n", run.fulls);
    if (getrusage(RUSAGE_SELF, &usage) == 0)
        printf("memory of the process at its peak: %ld MiB\n", usage.ru_maxrss / 1024);
}

static const char usage[] =
    "usage: many [CONNECTIONS] [--seconds SECONDS] [--no-first-try]\n"
    "  CONNECTIONS     from 1 to " TEXT_OF(MOST_CONNECTIONS) "; default: " TEXT_OF(
        DEFAULT_CONNECTIONS) "\n"
                             "  SECONDS         the longest that it may take; default: " TEXT_OF(
                                 DEFAULT_SECONDS) "\n"
                                                  "  --no-first-try  send and receive by the loops alone, without "
                                                  "asking the kernel first\n";

int main(int argc, char **argv) {
    long wanted = DEFAULT_CONNECTIONS, limit = DEFAULT_SECONDS;
    iouringnet_config config;
    iouringnet_config_init(&config);
    answer_questions(argc, argv, usage);
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--no-first-try") == 0)
            config.first_try = IOURINGNET_OFF;
        else if (strcmp(argv[i], "--seconds") == 0 && i + 1 < argc) {
            if ((limit = strtol(argv[++i], NULL, 10)) < 1 || limit > MOST_SECONDS)
                return refuse_arguments(usage);
        } else if ((wanted = strtol(argv[i], NULL, 10)) < 1 || wanted > MOST_CONNECTIONS)
            return refuse_arguments(usage);
    }
    run.wanted = raise_descriptor_limit((unsigned)wanted);
    if (run.wanted == 0) {
        fprintf(stderr, "many: the limit of open files (ulimit -n) is too low for a single connection\n");
        return 1;
    }
    if (run.wanted < (unsigned)wanted)
        printf("the limit of open files (ulimit -n) allows %u connections\n", run.wanted);

    for (size_t i = 0; i < sizeof pattern; i++)
        pattern[i] = (unsigned char)(i % PERIOD);
    run.clients = calloc(run.wanted, sizeof *run.clients);
    if (run.clients == NULL || sem_init(&run.finished, 0, 0) != 0)
        return failed("prepare", -errno);

    /* Bounds on the memory of one connection, here and in the kernel. The defaults are larger. They suit programs
     * with fewer connections and faster networks. */
    config.post_mark = POST_MARK;
    config.send_buffer = SOCKET_BUFFER;
    config.recv_buffer = SOCKET_BUFFER;
    config.idle_timeout_ms = limit * 1000;
    run.net = start_net("many", &config);
    if (run.net == NULL)
        return 1;

    double start = seconds_now(CLOCK_MONOTONIC);
    int code = connect_and_upload(limit);
    double seconds = seconds_now(CLOCK_MONOTONIC) - start;

    iouringnet_status status = net_stop(run.net); /* from now on no callback runs, and main owns `run` again */
    if (status != IOURINGNET_OK)
        code = failed("stop", status);
    if (code == 0)
        report(seconds);
    if (run.succeeded < run.wanted) {
        fprintf(stderr, "many: %u of %u uploads were not confirmed\n", run.wanted - run.succeeded, run.wanted);
        code = 1;
    }
    sem_destroy(&run.finished);
    free(run.clients);
    return code;
}
