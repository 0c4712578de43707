/* demo: shows in half a minute what the library does, and measures it. `make demo` runs it. It needs 512 MiB in TMPDIR. A
 * terminal shows how far each step is.
 *
 * In one process, over loopback:
 *   1. the code of file_transfer sends a file of 256 MiB over one connection, and compares both checksums;
 *   2. 1,000 connections echo small messages at the same time, by callbacks;
 *   3. one connection plays ping-pong with blocking calls;
 *   4. two tables show how fast it was, and what each of the four loops did, and two pictures how long a message took.
 *
 * What it teaches: how parts like the other examples work together in one program. The server's side has one net and
 * the client's side another, so that each side can use a CPU of its own.
 *
 * To compile it:   cc -O2 -o demo demo.c file_transfer_core.c -liouringnet -pthread
 */
#define _GNU_SOURCE /* for mkostemp, asprintf and clock_gettime under -std=c11 */

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <iouringnet.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "bar.h"
#include "file_transfer.h"
#include "latencies.h"
#include "start.h"

#define MIB ((uint64_t)1024 * 1024)
#define SECOND ((uint64_t)1000000000)
#define ECHO_CONNECTIONS 1000u
#define DIALS_AT_ONCE 64u
#define PINGS_MAX 50000u
#define MESSAGE_SIZE 64
#define BAR_PAUSE (SECOND / 10)
#define OTHERS_MAX 0.15  /* share of the processors; the demo mentions a larger one */
#define TIMEOUT_MS 10000 /* nothing here takes so long unless it has failed */

/* How much each step does. */
static uint64_t file_size = 256 * MIB;
static uint64_t step_time = 2 * SECOND;

static iouringnet_net *server_net;
static iouringnet_net *client_net;

/* One line of the first table. */
struct result {
    const char *name;
    uint64_t amount; /* bytes, or messages there and back */
    uint64_t nanoseconds;
    struct latencies latencies;
};

static bool failed(const char *what, iouringnet_status status) {
    fprintf(stderr, "demo: cannot %s: %s\n", what, iouringnet_strerror(status));
    return false;
}

static uint64_t nanoseconds_now(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* --- A listener on the server's net, on a free port ------------------------------------------------------- */

static bool listen_somewhere(iouringnet_listener **listener, iouringnet_address *address) {
    iouringnet_status status = net_bind(server_net, "127.0.0.1:0", NULL, listener);
    if (status != IOURINGNET_OK)
        return failed("bind", status);
    status = listener_address(*listener, address);
    if (status == IOURINGNET_OK)
        return true;
    listener_close(*listener);
    return failed("tell the address", status);
}

/* --- 1. A file --------------------------------------------------------------------------------------------- */

/* A file without a name. It vanishes with its descriptor, however this program ends. */
static int temporary_file(void) {
    const char *directory = getenv("TMPDIR");
    char *path;
    if (asprintf(&path, "%s/iouringnet-demo-XXXXXX", directory != NULL ? directory : "/tmp") < 0)
        return -1;
    int file = mkostemp(path, O_CLOEXEC);
    if (file >= 0)
        unlink(path);
    free(path);
    return file;
}

/* Numbers that differ from each other, so that the checksum notices a wrong order (xorshift64). */
static bool fill_file(int file) {
    static uint64_t block[32 * 1024];
    uint64_t x = nanoseconds_now() | 1;
    for (uint64_t done = 0; done < file_size; done += sizeof block) {
        bar_draw("preparing", done, file_size);
        for (size_t i = 0; i < sizeof block / sizeof block[0]; i++) {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            block[i] = x;
        }
        for (size_t written = 0; written < sizeof block;) {
            ssize_t more = write(file, (const char *)block + written, sizeof block - written);
            if (more < 0)
                return failed("fill the temporary file", -errno);
            written += (size_t)more;
        }
    }
    return true;
}

struct receiver {
    iouringnet_listener *listener;
    int file;
    struct transfer transfer;
    bool good;
};

static void *receive_file(void *argument) {
    struct receiver *r = argument;
    iouringnet_sink *sink;
    iouringnet_stream *stream;
    iouringnet_status status = listener_accept(r->listener, &sink, &stream);
    if (status != IOURINGNET_OK) {
        snprintf(r->transfer.problem, sizeof r->transfer.problem, "cannot accept: %s", iouringnet_strerror(status));
        return NULL;
    }
    r->good = transfer_receive(&r->transfer, sink, stream, r->file);
    if (r->good)
        connection_close(sink, stream);
    else
        connection_abort(sink, stream); /* so that the sender does not wait */
    return NULL;
}

static bool dial_and_send(const char *address, int file, struct transfer *transfer) {
    iouringnet_sink *sink;
    iouringnet_stream *stream;
    iouringnet_status status = net_dial(client_net, address, NULL, &sink, &stream);
    if (status != IOURINGNET_OK)
        return failed("connect", status);
    bool good = transfer_send(transfer, sink, stream, file);
    if (good)
        connection_close(sink, stream);
    else
        connection_abort(sink, stream);
    return good || (fprintf(stderr, "demo: sending: %s\n", transfer->problem), false);
}

static void print_digest(const char *what, const struct transfer *transfer) {
    printf("   %s  ", what);
    for (int i = 0; i < SHA256_SIZE; i++)
        printf("%02x", transfer->digest[i]);
    printf("\n");
}

/* Of the receiver, because it ends last. Its thread draws while this one sends. */
static void draw_transfer(const struct transfer *transfer, const char *what, uint64_t done) {
    bar_draw(what, done, transfer->size);
}

static bool transfer_file(int original, int copy, struct result *result) {
    struct transfer sent = {0};
    struct receiver receiver = {.file = copy, .transfer.progress = draw_transfer};
    iouringnet_address address;
    if (!fill_file(original) || !listen_somewhere(&receiver.listener, &address))
        return false;

    pthread_t thread;
    int error = pthread_create(&thread, NULL, receive_file, &receiver);
    if (error != 0)
        return failed("start a thread", -error);
    bool good = dial_and_send(address.text, original, &sent);
    listener_close(receiver.listener); /* ends the accept if the dial has failed */
    pthread_join(thread, NULL);
    bar_end();
    if (!receiver.good)
        fprintf(stderr, "demo: receiving: %s\n", receiver.transfer.problem);
    if (!good || !receiver.good)
        return false;

    print_digest("sent     SHA-256", &sent);
    print_digest("received SHA-256", &receiver.transfer);
    if (memcmp(sent.digest, receiver.transfer.digest, SHA256_SIZE) != 0) {
        fprintf(stderr, "demo: the checksums differ\n");
        return false;
    }
    printf("   they match\n");
    result->amount = receiver.transfer.size;
    result->nanoseconds = receiver.transfer.nanoseconds;
    return true;
}

static bool show_file(struct result *result) {
    printf("1. A file of %" PRIu64 " MiB over one connection\n", file_size / MIB);
    int original = temporary_file();
    int copy = temporary_file();
    bool good =
        original >= 0 && copy >= 0 ? transfer_file(original, copy, result) : failed("make a temporary file", -errno);
    if (original >= 0)
        close(original);
    if (copy >= 0)
        close(copy);
    return good;
}

/* --- 2. Many echo connections ------------------------------------------------------------------------------ */

/* The server's side, on the callback thread of its net. Each client has one message under way, so a sink is never
 * full here. echo_server.c shows what to do if it is. */
struct peer {
    iouringnet_sink *sink;
    iouringnet_stream *stream;
};

static size_t on_request(void *user, iouringnet_status status, const void *data, size_t size) {
    struct peer *peer = user;
    if (status != IOURINGNET_OK)
        connection_close(peer->sink, peer->stream);
    else if (sink_post(peer->sink, data, size) != IOURINGNET_OK)
        connection_abort(peer->sink, peer->stream);
    return size;
}

static void on_peer_end(void *user, iouringnet_status status) {
    (void)status;
    free(user);
}

static void on_connection(void *user, const iouringnet_completion *done) {
    static const iouringnet_connection_callbacks callbacks = {sizeof callbacks, on_request, NULL, on_peer_end};
    (void)user;
    if (done->status != IOURINGNET_OK)
        return; /* the listener is closed */
    struct peer *peer = malloc(sizeof *peer);
    if (peer != NULL)
        *peer = (struct peer){.sink = done->sink, .stream = done->stream};
    if (peer == NULL || connection_watch(done->sink, done->stream, &callbacks, peer) != IOURINGNET_OK) {
        connection_abort(done->sink, done->stream);
        free(peer);
    }
}

/* The client's side, on the callback thread of its net. */
struct echo_client {
    iouringnet_sink *sink;
    iouringnet_stream *stream;
    uint64_t sent_at;
    uint8_t message[MESSAGE_SIZE];
    bool intact; /* every message came back unchanged, and then the end */
};

/* Main reads it before it starts the clients, and again after `finished`. */
static struct {
    struct echo_client *clients;
    iouringnet_address server;
    unsigned wanted, dialled, connected, ended, good;
    uint64_t messages, start, deadline, last_answer;
    sem_t finished;
} echo;

static void count_end(bool good) {
    echo.ended++;
    echo.good += good;
    if (echo.ended == echo.wanted)
        sem_post(&echo.finished);
}

static void send_message(struct echo_client *c, uint64_t now) {
    uint64_t unique = echo.messages;
    memcpy(c->message, &unique, sizeof unique);
    c->sent_at = now;
    if (sink_post(c->sink, c->message, MESSAGE_SIZE) != IOURINGNET_OK)
        connection_abort(c->sink, c->stream);
}

static size_t on_answer(void *user, iouringnet_status status, const void *data, size_t size) {
    struct echo_client *c = user;
    if (status != IOURINGNET_OK) {
        c->intact = c->intact && status == IOURINGNET_EOF;
        connection_close(c->sink, c->stream);
        return 0;
    }
    if (size < MESSAGE_SIZE)
        return 0; /* part of the message; the next call shows it again, joined with the rest */
    uint64_t now = nanoseconds_now();
    c->intact = c->intact && size == MESSAGE_SIZE && memcmp(data, c->message, MESSAGE_SIZE) == 0;
    echo.messages++;
    echo.last_answer = now;
    add_sample(now - c->sent_at);
    if (now < echo.deadline)
        send_message(c, now);
    else
        sink_close(c->sink); /* the server answers with the end of the stream */
    return size;
}

static void on_client_end(void *user, iouringnet_status status) {
    struct echo_client *c = user;
    count_end(c->intact && status == IOURINGNET_OK);
}

static void start_echo(void) {
    static const iouringnet_connection_callbacks callbacks = {sizeof callbacks, on_answer, NULL, on_client_end};
    echo.start = nanoseconds_now();
    echo.deadline = echo.start + step_time;
    for (unsigned i = 0; i < echo.wanted; i++) {
        struct echo_client *c = &echo.clients[i];
        if (c->sink == NULL)
            continue; /* its dial failed and is counted */
        if (connection_watch(c->sink, c->stream, &callbacks, c) == IOURINGNET_OK) {
            c->intact = true;
            send_message(c, nanoseconds_now());
        } else {
            connection_abort(c->sink, c->stream);
            count_end(false);
        }
    }
}

static void dial_more(void);

static void on_dialled(void *user, const iouringnet_completion *done) {
    struct echo_client *c = user;
    c->sink = done->sink;
    c->stream = done->stream;
    echo.connected++;
    if (done->status != IOURINGNET_OK) {
        c->sink = NULL;
        failed("connect", done->status);
        count_end(false);
    }
    if (echo.connected < echo.wanted)
        dial_more();
    else
        start_echo();
}

/* Keeps a bounded number of dials under way, so that the listener's backlog does not overflow. */
static void dial_more(void) {
    while (echo.dialled < echo.wanted && echo.dialled - echo.connected < DIALS_AT_ONCE) {
        struct echo_client *c = &echo.clients[echo.dialled];
        iouringnet_status status = net_dial_async(client_net, echo.server.text, NULL, on_dialled, c, NULL);
        if (status != IOURINGNET_OK) { /* refused; no callback counts it, so the run is over */
            failed("dial", status);
            sem_post(&echo.finished);
            return;
        }
        echo.dialled++;
    }
}

static void on_start(void *user, const iouringnet_completion *done) {
    (void)user;
    if (done->status == IOURINGNET_OK)
        dial_more();
}

/* Waits a tenth of a second at most. */
static bool has_finished(void) {
    struct timespec end;
    clock_gettime(CLOCK_REALTIME, &end);
    end.tv_nsec += BAR_PAUSE;
    end.tv_sec += end.tv_nsec / (long)SECOND;
    end.tv_nsec %= (long)SECOND;
    return sem_timedwait(&echo.finished, &end) == 0;
}

static bool await_echo(void) {
    const uint64_t start = nanoseconds_now(), most = step_time + TIMEOUT_MS / 1000 * SECOND;
    uint64_t passed = 0;
    bool finished = false;
    while (!finished && passed < most) {
        bar_draw("echoing", passed, step_time);
        finished = has_finished();
        passed = nanoseconds_now() - start;
    }
    bar_end();
    if (!finished)
        fprintf(stderr, "demo: the echo connections did not finish in time\n");
    return finished;
}

static bool echo_everywhere(iouringnet_listener *listener, struct result *result) {
    iouringnet_status status = listener_watch(listener, on_connection, NULL);
    if (status != IOURINGNET_OK)
        return failed("accept", status);
    status = net_call(client_net, 0, on_start, NULL, NULL); /* on the thread that owns the clients */
    if (status != IOURINGNET_OK)
        return failed("begin", status);
    if (!await_echo())
        return false;
    if (echo.good != echo.wanted) {
        fprintf(stderr, "demo: %u of %u echo connections failed\n", echo.wanted - echo.good, echo.wanted);
        return false;
    }
    result->amount = echo.messages;
    result->nanoseconds = echo.last_answer - echo.start;
    result->latencies = take_latencies();
    printf("   %" PRIu64 " messages of %d bytes came back as they were sent\n", echo.messages, MESSAGE_SIZE);
    return true;
}

static bool show_echo(struct result *result) {
    iouringnet_listener *listener;
    printf("2. %u echo connections for %.1f seconds, by callbacks\n", echo.wanted, (double)step_time / SECOND);
    if (!listen_somewhere(&listener, &echo.server))
        return false;
    bool good = echo_everywhere(listener, result);
    listener_close(listener);
    return good;
}

/* --- 3. Ping-pong by blocking calls ------------------------------------------------------------------------ */

static void *answer_pings(void *listener) {
    iouringnet_sink *sink;
    iouringnet_stream *stream;
    uint8_t message[MESSAGE_SIZE];
    if (listener_accept(listener, &sink, &stream) != IOURINGNET_OK)
        return NULL; /* the dial failed, and main prints it */
    while (stream_recv(stream, message, sizeof message, NULL) == IOURINGNET_OK)
        if (sink_send(sink, message, sizeof message, NULL) != IOURINGNET_OK)
            break;
    sink_close(sink);
    stream_close(stream);
    return NULL;
}

static bool play(iouringnet_sink *sink, iouringnet_stream *stream, struct result *result) {
    uint8_t ping[MESSAGE_SIZE] = {0}, pong[MESSAGE_SIZE];
    uint64_t start = nanoseconds_now(), now = start, drawn = 0;
    uint32_t count = 0;
    while (count < PINGS_MAX && now - start < step_time) {
        if (now - drawn > BAR_PAUSE) {
            bar_draw("playing", now - start, step_time);
            drawn = now = nanoseconds_now(); /* the drawing is not a part of the ping */
        }
        memcpy(ping, &count, sizeof count);
        iouringnet_status status = sink_send(sink, ping, sizeof ping, NULL);
        if (status != IOURINGNET_OK)
            return failed("send", status);
        status = stream_recv(stream, pong, sizeof pong, NULL);
        if (status != IOURINGNET_OK)
            return failed("receive", status);
        if (memcmp(ping, pong, sizeof ping) != 0) {
            fprintf(stderr, "demo: a pong is not its ping\n");
            return false;
        }
        uint64_t then = now;
        now = nanoseconds_now();
        add_sample(now - then);
        count++;
    }
    result->amount = count;
    result->nanoseconds = now - start;
    result->latencies = take_latencies();
    bar_end();
    printf("   %" PRIu32 " times there and back\n", count);
    return true;
}

static bool show_ping_pong(struct result *result) {
    iouringnet_listener *listener;
    iouringnet_address address;
    printf("3. Ping-pong over one connection, by blocking calls\n");
    if (!listen_somewhere(&listener, &address))
        return false;
    pthread_t thread;
    int error = pthread_create(&thread, NULL, answer_pings, listener);
    if (error != 0)
        return failed("start a thread", -error);

    iouringnet_sink *sink;
    iouringnet_stream *stream;
    bool good;
    iouringnet_status status = net_dial(client_net, address.text, NULL, &sink, &stream);
    if (status == IOURINGNET_OK) {
        good = play(sink, stream, result);
        sink_close(sink); /* the other thread gets the end of its stream */
        stream_close(stream);
    } else {
        good = failed("connect", status);
        listener_close(listener); /* ends the accept */
    }
    pthread_join(thread, NULL);
    listener_close(listener);
    return good;
}

/* --- The tables -------------------------------------------------------------------------------------------- */

static void print_time(uint64_t nanoseconds) {
    if (nanoseconds < 1000000)
        printf("  %7.1f us", (double)nanoseconds / 1e3);
    else
        printf("  %7.1f ms", (double)nanoseconds / 1e6);
}

static void print_result(const struct result *result, const char *unit, double scale) {
    double seconds = (double)result->nanoseconds / 1e9;
    double amount = (double)result->amount / scale;
    printf("%-26s %10.0f %-4s %7.2f s %10.0f %s/s", result->name, amount, unit, seconds, amount / seconds, unit);
    if (result->latencies.p99 > 0) {
        print_time(result->latencies.p50);
        print_time(result->latencies.p99);
    }
    printf("\n");
}

static void print_loop(const char *name, uint64_t enters, uint64_t entries, uint64_t completions, uint64_t wakes) {
    printf("%-26s %10" PRIu64 " %12" PRIu64 " %12" PRIu64 " %10" PRIu64 "\n", name, enters, entries, completions,
           wakes);
}

static bool print_loops(iouringnet_net *net, const char *send_loop, const char *recv_loop) {
    iouringnet_stats stats;
    iouringnet_stats_init(&stats);
    iouringnet_status status = net_stats(net, &stats);
    if (status != IOURINGNET_OK)
        return failed("read the statistics", status);
    print_loop(send_loop, stats.send_enters, stats.send_entries, stats.send_completions, stats.send_wakes);
    print_loop(recv_loop, stats.recv_enters, stats.recv_entries, stats.recv_completions, stats.recv_wakes);
    return true;
}

/* The system may refuse io_uring, as in many containers. Then the loops use epoll. */
static const char *engine_of(iouringnet_net *net) {
    iouringnet_stats stats;
    iouringnet_stats_init(&stats);
    if (net_stats(net, &stats) != IOURINGNET_OK || stats.engine == IOURINGNET_ENGINE_IO_URING)
        return "io_uring, by loop";
    return "epoll, by loop";
}

static bool print_tables(const struct result *file, const struct result *many, const struct result *ping) {
    printf("\n%-26s %15s %9s %16s %11s %11s\n", "", "amount", "time", "rate", "p50", "p99");
    print_result(file, "MiB", 1024 * 1024);
    print_result(many, "msg", 1);
    print_result(ping, "msg", 1);
    printf("\n%-26s %10s %12s %12s %10s\n", engine_of(server_net), "enters", "entries", "completions", "wakes");
    return print_loops(server_net, "server: send loop", "server: receive loop") &&
           print_loops(client_net, "client: send loop", "client: receive loop");
}

/* --- Other programs, which spoil the figures ---------------------------------------------------------------- */

/* Seconds that the processors have worked for all programs since the machine started. Negative: unknown. */
static double seconds_of_all(void) {
    unsigned long long user, nice, system, steal;
    FILE *file = fopen("/proc/stat", "re");
    if (file == NULL)
        return -1;
    int fields = fscanf(file, "cpu %llu %llu %llu %*u %*u %*u %*u %llu", &user, &nice, &system, &steal);
    fclose(file);
    return fields == 4 ? (double)(user + nice + system + steal) / (double)sysconf(_SC_CLK_TCK) : -1;
}

static double seconds_of_this_program(void) {
    struct rusage usage;
    if (getrusage(RUSAGE_SELF, &usage) != 0)
        return 0;
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static struct {
    double all, own;
    uint64_t nanoseconds;
} start_of_run;

static void begin_run(void) {
    start_of_run.all = seconds_of_all();
    start_of_run.own = seconds_of_this_program();
    start_of_run.nanoseconds = nanoseconds_now();
}

static void print_others(void) {
    double all = seconds_of_all() - start_of_run.all;
    double own = seconds_of_this_program() - start_of_run.own;
    double seconds = (double)(nanoseconds_now() - start_of_run.nanoseconds) / 1e9;
    double share = (all - own) / (seconds * (double)sysconf(_SC_NPROCESSORS_ONLN));
    if (start_of_run.all >= 0 && share > OTHERS_MAX)
        printf("\nOther programs used %.0f %% of the processors meanwhile. An idle machine has better figures.\n",
               share * 100);
}

/* --- Main -------------------------------------------------------------------------------------------------- */

/* This process has both ends of a connection, so each needs two descriptors. Returns how many connections fit. */
static unsigned raise_descriptor_limit(unsigned wanted) {
    const rlim_t others = 64; /* standard files, rings, listeners, the file's two ends */
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

static bool show_everything(void) {
    struct result file = {.name = "one file"};
    struct result many = {.name = "echo connections"};
    struct result ping = {.name = "blocking ping-pong"};
    begin_run();
    bool good = show_file(&file) && show_echo(&many) && show_ping_pong(&ping) && print_tables(&file, &many, &ping);
    if (!good)
        return false;
    print_picture(many.name, &many.latencies);
    print_picture(ping.name, &ping.latencies);
    print_others();
    return true;
}

static bool stop(iouringnet_net *net) {
    iouringnet_status status = net_stop(net);
    return status == IOURINGNET_OK || failed("stop", status);
}

/* One net for each side. Both are stopped on every way out. */
static bool run_on_two_nets(const iouringnet_config *config) {
    server_net = start_net("demo", config);
    if (server_net == NULL)
        return false;
    client_net = start_net("demo", config);
    if (client_net == NULL) {
        stop(server_net);
        return false;
    }
    bool good = show_everything();
    good = stop(client_net) && good;
    good = stop(server_net) && good;
    return good;
}

static const char usage[] = "usage: demo [--quick] [--no-first-try]\n"
                            "  --quick         a file of 16 MiB, and a tenth of the time\n"
                            "  --no-first-try  send and receive by the loops alone, without asking the kernel first\n"
                            "It takes half a minute at most, and 512 MiB in TMPDIR (default: /tmp). A terminal gets a "
                            "progress bar, unless NO_COLOR\n"
                            "is set or TERM is dumb.\n";

int main(int argc, char **argv) {
    iouringnet_config config;
    iouringnet_config_init(&config);
    config.timeout_ms = TIMEOUT_MS;
    config.idle_timeout_ms = TIMEOUT_MS;
    answer_questions(argc, argv, usage);
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--no-first-try") == 0) {
            config.first_try = IOURINGNET_OFF;
        } else if (strcmp(argv[i], "--quick") == 0) {
            file_size = 16 * MIB;
            step_time = SECOND / 5;
        } else {
            return refuse_arguments(usage);
        }
    }

    setvbuf(stdout, NULL, _IOLBF, 0); /* print each line at once, also through a pipe */
    echo.wanted = raise_descriptor_limit(ECHO_CONNECTIONS);
    if (echo.wanted == 0) {
        fprintf(stderr, "demo: the limit of open files (ulimit -n) is too low for a single connection\n");
        return 1;
    }
    echo.clients = calloc(echo.wanted, sizeof *echo.clients);
    if (echo.clients == NULL || sem_init(&echo.finished, 0, 0) != 0) {
        failed("prepare", -errno);
        return 1;
    }
    bool good = run_on_two_nets(&config);
    sem_destroy(&echo.finished);
    free(echo.clients);
    return good ? 0 : 1;
}
