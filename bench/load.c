/* load: the other side of all programs that are measured: the client of servers, and the server of those that dial.
 *
 * It keeps connections busy, checks every byte that comes back, and prints what it saw and what the kernel's accounting
 * says about the server, on one line of name=value. run.py reads that line. Here are the command line, what all modes share
 * (load.h), and the modes for echo servers:
 *
 *   closed loop  each connection has so many messages in flight and sends the next when one has come back;
 *   open loop    (--rate) messages leave at fixed moments, whatever the server does, and their latency counts from the
 *                moment at which they should have left: a server that stalls is charged for all that had to wait;
 *   blocking     (--blocking) one connection, send(2) and recv(2) without readiness: the plain ping-pong;
 *   reconnect    (--reconnect) the closed loop with a new connection for each message, which ends in good order;
 *   silent       (--silent) the same without a message: a connection is made, and both ends close it.
 *
 * Its one invariant: every byte is that of the pattern (pattern.h), in both directions.
 */
#define _GNU_SOURCE

#include "load.h"

#include <dirent.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/perf_event.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>

#define MOST_IN_FLIGHT 4096 /* of one connection */

struct connection {
    int fd;
    bool waits_for_room; /* EPOLLOUT is armed */
    uint64_t number;     /* where in the pattern it starts */
    uint64_t asked, sent, received; /* bytes: to be sent so far, handed to the kernel, come back */
    uint64_t begun, ended;          /* messages; at most MOST_IN_FLIGHT between them */
    int64_t *starts;                /* of the messages in flight, a ring of `places` */
    uint64_t places;
};

struct options options;
unsigned char incoming[IO_SIZE];

int64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * SECOND + t.tv_nsec;
}

void fail(const char *what) {
    fprintf(stderr, "load: %s\n", what);
    exit(1);
}

static const unsigned char *expected(const struct connection *c, uint64_t offset) {
    return pattern_at(c->number, offset);
}

/* ---- Latencies: buckets of one sixty-fourth of their power of two, so that a figure is at most 1.6 % off ---- */

#define SUB_BITS 6
#define SUBS (1u << SUB_BITS)
#define BUCKETS ((40 - SUB_BITS + 1) * SUBS) /* up to 2^40 ns, 18 minutes */

static uint64_t buckets[BUCKETS];
static uint64_t latencies;
static int64_t longest;

static unsigned bucket_of(uint64_t ns) {
    if (ns < SUBS)
        return (unsigned)ns;
    unsigned shift = 63u - (unsigned)__builtin_clzll(ns) - SUB_BITS;
    unsigned bucket = (shift + 1) * SUBS + (unsigned)((ns >> shift) - SUBS);
    return bucket < BUCKETS ? bucket : BUCKETS - 1;
}

/* The middle of a bucket: the inverse of bucket_of. */
static double value_of(unsigned bucket) {
    if (bucket < SUBS)
        return bucket;
    unsigned shift = bucket / SUBS - 1;
    return ((double)(bucket % SUBS + SUBS) + 0.5) * (double)(1ull << shift);
}

static void record_latency(int64_t ns) {
    buckets[bucket_of(ns > 0 ? (uint64_t)ns : 0)]++;
    latencies++;
    if (ns > longest)
        longest = ns;
}

static double percentile_us(double part) {
    uint64_t rank = (uint64_t)(part * (double)latencies), seen = 0;
    for (unsigned b = 0; b < BUCKETS; b++) {
        seen += buckets[b];
        if (seen > rank)
            return (value_of(b) < (double)longest ? value_of(b) : (double)longest) / 1000;
    }
    return (double)longest / 1000;
}

/* ---- What the kernel says about the server ---- */

/* The number behind `name` in a status file, or 0. */
uint64_t field(const char *text, const char *name) {
    const char *at = strstr(text, name);
    return at ? strtoull(at + strlen(name), NULL, 10) : 0;
}

bool read_text(const char *path, char *text, size_t size) {
    FILE *file = fopen(path, "re");
    if (!file)
        return false;
    size_t got = fread(text, 1, size - 1, file);
    text[got] = 0;
    fclose(file);
    return got > 0;
}

/* CPU time is that of the process's clock, the sum over its threads, those that have ended included. Context switches are
 * summed over the threads that live now: where threads come and go with connections, they are too few. */
struct account take_account(pid_t pid) {
    struct account sum = {0};
    char path[64 + NAME_MAX], text[4096];
    clockid_t clock;
    struct timespec used;
    if (pid == 0)
        return sum;
    if (clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &used) != 0)
        fail("the server is gone");
    sum.cpu_ns = (uint64_t)used.tv_sec * SECOND + (uint64_t)used.tv_nsec;
    snprintf(path, sizeof path, "/proc/%d/task", pid);
    DIR *tasks = opendir(path);
    if (!tasks)
        fail("the server is gone");
    for (struct dirent *task; (task = readdir(tasks));) {
        if (task->d_name[0] == '.')
            continue;
        sum.threads++;
        snprintf(path, sizeof path, "/proc/%d/task/%s/status", pid, task->d_name);
        if (read_text(path, text, sizeof text)) {
            sum.switches += field(text, "\nvoluntary_ctxt_switches:") + field(text, "\nnonvoluntary_ctxt_switches:");
            sum.rss_kib = field(text, "\nVmRSS:"); /* the process's, the same for each thread */
        }
    }
    closedir(tasks);
    return sum;
}

/* System calls, counted by the kernel's tracepoint at their entry: one event for each thread, and none where tracing is not
 * allowed or not there. Counting slows every call, so that the other figures of such a run are not to be used. */
#define MOST_THREADS 2048
static int call_events[MOST_THREADS];
static int call_event_count;

static void begin_counting_calls(pid_t pid) {
    char path[64], text[32];
    if (!read_text("/sys/kernel/tracing/events/raw_syscalls/sys_enter/id", text, sizeof text) &&
        !read_text("/sys/kernel/debug/tracing/events/raw_syscalls/sys_enter/id", text, sizeof text))
        return;
    struct perf_event_attr attribute = {
        .type = PERF_TYPE_TRACEPOINT, .size = sizeof attribute, .config = strtoull(text, NULL, 10)};
    snprintf(path, sizeof path, "/proc/%d/task", pid);
    DIR *tasks = opendir(path);
    for (struct dirent *task; tasks && (task = readdir(tasks)) && call_event_count < MOST_THREADS;) {
        if (task->d_name[0] == '.')
            continue;
        int event = (int)syscall(SYS_perf_event_open, &attribute, atoi(task->d_name), -1, -1, PERF_FLAG_FD_CLOEXEC);
        if (event >= 0)
            call_events[call_event_count++] = event;
    }
    if (tasks)
        closedir(tasks);
}

static uint64_t calls_counted(void) {
    uint64_t sum = 0;
    for (int i = 0; i < call_event_count; i++) {
        uint64_t count;
        if (read(call_events[i], &count, sizeof count) == sizeof count)
            sum += count;
    }
    return sum;
}

/* ---- The measured part of the run ---- */

int64_t start;
static int64_t from; /* of the part that counts */
bool counting, done;
uint64_t counted;
int64_t last_progress;
static uint64_t dropped; /* messages not sent for want of room */
int64_t counted_from;
static int64_t counted_to;
static struct account before, after;
static int64_t own_cpu_ns; /* of this program: where it is busy all the time, it is what is measured */
static uint64_t calls;

/* One from before the counted part would be charged for the moment
 * in which the account was taken, so that its latency is left out. */
void count(int64_t at, int64_t now) {
    counted += counting;
    if ((counting || done) && at >= counted_from)
        record_latency(now - at);
}

static int64_t own_cpu(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return t.tv_sec * SECOND + t.tv_nsec;
}

void begin_counting(void) {
    before = take_account(options.pid);
    if (options.calls && options.pid != 0)
        begin_counting_calls(options.pid);
    own_cpu_ns = -own_cpu();
    counted_from = now_ns();
    counted_to = counted_from + (int64_t)(options.seconds * SECOND);
    counting = true;
}

void end_counting(const struct account *served) {
    counted_to = now_ns();
    own_cpu_ns += own_cpu();
    calls = calls_counted();
    struct account now = take_account(options.pid);
    after = served ? *served : now;
    after.cpu_ns = now.cpu_ns;
    counting = false;
    done = true;
}

/* The accounts are taken next to the clock readings that bound the messages counted. The counted part lasts until a message
 * has come back, if that takes longer. */
void keep_time(int64_t now) {
    if (!counting && !done && now >= from)
        begin_counting();
    else if (counting && now >= counted_to && counted > 0)
        end_counting(NULL);
    if (now - last_progress > NO_PROGRESS)
        fail("nothing has come for 5 seconds");
}

void start_clock(void) {
    start = last_progress = now_ns();
    from = start + (int64_t)(options.warmup * SECOND);
}

double counted_seconds(void) {
    return (double)(counted_to - counted_from) / SECOND;
}

void report_server(double units, const char *unit) {
    if (options.pid != 0)
        printf(" cpu_us_per_%s=%.3f switches_per_%s=%.4f rss_kib=%" PRIu64 " threads=%" PRIu64, unit,
               (double)(after.cpu_ns - before.cpu_ns) / 1000 / units, unit,
               (double)(after.switches - before.switches) / units, after.rss_kib, after.threads);
    if (call_event_count > 0)
        printf(" calls_per_%s=%.4f", unit, (double)calls / units);
    printf(" client_busy=%.3f\n", (double)own_cpu_ns / (counted_seconds() * SECOND));
    if (fflush(stdout) != 0)
        fail("cannot write");
}

void report(void) {
    double messages = (double)counted;
    printf("messages=%" PRIu64 " seconds=%.3f msgs_per_s=%.0f mib_per_s=%.1f p50_us=%.1f p99_us=%.1f p999_us=%.1f max_us=%.1f",
           counted, counted_seconds(), messages / counted_seconds(),
           messages * (double)options.size / counted_seconds() / 1048576, percentile_us(0.5), percentile_us(0.99),
           percentile_us(0.999), (double)longest / 1000);
    if (options.rate > 0)
        printf(" dropped=%" PRIu64, dropped);
    report_server(messages, "msg");
}

/* ---- Connections ---- */

int connect_there(void) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        die("load: socket");
    /* Bounds connect, too. Non-blocking calls do not heed it. */
    struct timeval limit = {.tv_sec = NO_PROGRESS / SECOND};
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    /* Each connection that ends in good order keeps its port from others for a minute. Other programs use 127.0.0.1. */
    if (options.reconnect) {
        int on = 1;
        static uint32_t turn; /* of several addresses, since one has no more than 28,000 ports */
        uint32_t host = INADDR_LOOPBACK + 2 + turn++ % 8;
        struct sockaddr_in source = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(host)};
        setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
        if (bind(fd, (struct sockaddr *)&source, sizeof source) != 0)
            die("load: bind");
    }
    if (connect(fd, (struct sockaddr *)&options.address, sizeof options.address) != 0)
        die("load: connect");
    set_nodelay(fd);
    /* What is open when the program ends is reset: thousands of connections would leave as many ports waiting for a
     * minute. */
    struct linger reset = {.l_onoff = 1};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    return fd;
}

bool send_all(int fd, const void *data, size_t size) {
    const unsigned char *at = data;
    while (size > 0) {
        ssize_t n = send(fd, at, size, MSG_NOSIGNAL);
        if (n <= 0)
            return false;
        at += n, size -= (size_t)n;
    }
    return true;
}

/* Waits for a message that was sent: the server has then accepted the connection and serves it. */
static void await_greeting(struct connection *c) {
    size_t got = 0;
    while (got < options.size) {
        ssize_t n = recv(c->fd, incoming, options.size - got < IO_SIZE ? options.size - got : IO_SIZE, 0);
        if (n == 0)
            fail("the server closed a connection");
        if (n < 0)
            die("load: recv");
        if (memcmp(incoming, expected(c, got), (size_t)n) != 0)
            fail("the echo differs from what was sent");
        got += (size_t)n;
    }
    c->asked = c->sent = c->received = options.size;
    c->begun = c->ended = 1;
}

static void open_connection(struct connection *c, uint64_t number, uint64_t places) {
    *c = (struct connection){.fd = connect_there(), .number = number, .places = places};
    if (places > 0 && !(c->starts = calloc(places, sizeof *c->starts)))
        fail("out of memory");
    if (!send_all(c->fd, expected(c, 0), options.size))
        die("load: send");
}

/* With one message on each, `at_once` at the same time. */
static void open_connections(struct connection *all, int count, uint64_t first_number, uint64_t places, int at_once) {
    for (int open = 0, greeted = 0; open < count;) {
        for (; open < count && open - greeted < at_once; open++)
            open_connection(&all[open], first_number + (uint64_t)open, places);
        for (; greeted < open; greeted++)
            await_greeting(&all[greeted]);
    }
}

/* An idle connection must still be open, and nothing may have come on it. */
static void check_idle(const struct connection *c) {
    char byte;
    ssize_t n = recv(c->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    if (n >= 0 || (errno != EAGAIN && errno != EWOULDBLOCK))
        fail("an idle connection did not stay open and silent");
}

/* ---- The loops ---- */

static int poller;

static void wait_for_room(struct connection *c, bool room) {
    if (c->waits_for_room == room)
        return;
    struct epoll_event event = {.events = EPOLLIN | (room ? EPOLLOUT : 0u), .data.ptr = c};
    if (epoll_ctl(poller, EPOLL_CTL_MOD, c->fd, &event) != 0)
        die("load: epoll_ctl");
    c->waits_for_room = room;
}

/* Hands the kernel as much of what was asked for as it takes. */
static void push(struct connection *c) {
    while (c->sent < c->asked) {
        uint64_t left = c->asked - c->sent;
        ssize_t n = send(c->fd, expected(c, c->sent), left < IO_SIZE ? left : IO_SIZE, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
            wait_for_room(c, true);
            return;
        }
        if (n < 0)
            die("load: send");
        c->sent += (uint64_t)n;
    }
    wait_for_room(c, false);
}

/* One more message, to be sent by the next push. */
static void begin_message(struct connection *c, int64_t at) {
    c->starts[c->begun++ % c->places] = at;
    c->asked += options.size;
    if (options.silent)
        shutdown(c->fd, SHUT_WR);
}

/* A connection that has had its answer and has seen the server's end makes place for a new one, which sends at once. The
 * handshake with this very machine is over when connect returns. */
static void reopen(struct connection *c) {
    int64_t now = now_ns();
    close(c->fd); /* takes it out of the poller, too */
    c->fd = connect_there();
    c->number += (uint64_t)options.connections;
    c->asked = c->sent = c->received = c->begun = c->ended = 0;
    c->waits_for_room = false;
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
    if (epoll_ctl(poller, EPOLL_CTL_ADD, c->fd, &event) != 0)
        die("load: epoll_ctl");
    begin_message(c, now);
    push(c);
}

/* Takes what has come, and in the closed loop sends as many messages as have come back whole. */
static void pull(struct connection *c) {
    ssize_t n = recv(c->fd, incoming, sizeof incoming, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
        return;
    if (n == 0 && options.silent) {
        int64_t now = last_progress = now_ns();
        keep_time(now);
        count(c->starts[c->ended++ % c->places], now);
    }
    if (n == 0 && options.reconnect && c->begun > 0 && c->ended == c->begun) {
        reopen(c);
        return;
    }
    if (n == 0)
        fail("the server closed a connection");
    if (n < 0)
        die("load: recv");
    if (c->received + (uint64_t)n > c->sent)
        fail("more came back than was sent");
    if (memcmp(incoming, expected(c, c->received), (size_t)n) != 0)
        fail("the echo differs from what was sent");
    c->received += (uint64_t)n;
    int64_t now = last_progress = now_ns();
    keep_time(now);
    while (c->received >= (c->ended + 1) * options.size) {
        int64_t at = c->starts[c->ended++ % c->places];
        count(at, now);
        if (options.reconnect)
            shutdown(c->fd, SHUT_WR);
        else if (options.rate == 0 && !done)
            begin_message(c, now);
    }
    push(c);
}

static void serve_events(int timeout_ms) {
    struct epoll_event events[256];
    int n = epoll_wait(poller, events, 256, timeout_ms);
    if (n < 0 && errno != EINTR)
        die("load: epoll_wait");
    for (int i = 0; i < n; i++) {
        if (events[i].events & EPOLLOUT)
            push(events[i].data.ptr);
        if (events[i].events & ~(uint32_t)EPOLLOUT)
            pull(events[i].data.ptr);
    }
}

static void run_closed(struct connection *connections) {
    for (int i = 0; i < options.connections; i++) {
        int64_t now = now_ns();
        for (int k = 0; k < options.in_flight; k++)
            begin_message(&connections[i], now);
        push(&connections[i]);
    }
    while (!done) {
        serve_events(100);
        keep_time(now_ns());
    }
}

/* Message k is due at start + k / rate, on connection k mod N. Between due moments it polls without sleeping where the
 * next is nearer than a sleep is exact. */
static void run_open(struct connection *connections) {
    double gap = (double)SECOND / options.rate;
    uint64_t k = 0;
    while (!done) {
        int64_t now = now_ns();
        int64_t due = start + (int64_t)((double)k * gap);
        while (due <= now) {
            struct connection *c = &connections[k % (uint64_t)options.connections];
            if (c->begun - c->ended < c->places) {
                begin_message(c, due);
                push(c);
            } else if (counting) {
                dropped++; /* more are waiting than can be remembered: told, because their latency is in no figure */
            }
            k++;
            due = start + (int64_t)((double)k * gap);
        }
        keep_time(now);
        serve_events(due - now > 2000000 ? (int)((due - now) / 1000000 - 1) : 0);
    }
    /* What is still out is waited for: left out, the longest latencies would be missing. */
    for (int i = 0; i < options.connections; i++)
        while (connections[i].ended < connections[i].begun) {
            serve_events(100);
            keep_time(now_ns());
        }
}

static void run_blocking(struct connection *c) {
    while (!done) {
        int64_t at = now_ns();
        if (!send_all(c->fd, expected(c, c->sent), options.size))
            die("load: send");
        c->sent += options.size;
        for (size_t got = 0; got < options.size;) {
            ssize_t n = recv(c->fd, incoming, options.size - got < IO_SIZE ? options.size - got : IO_SIZE, 0);
            if (n == 0)
                fail("the server closed the connection");
            if (n < 0)
                die("load: recv");
            if (memcmp(incoming, expected(c, c->received), (size_t)n) != 0)
                fail("the echo differs from what was sent");
            c->received += (uint64_t)n, got += (size_t)n;
        }
        int64_t now = last_progress = now_ns();
        count(at, now);
        keep_time(now);
    }
}

/* ---- The command line ---- */

static void usage(void) {
    fprintf(stderr,
            "usage: load --address A:P [options]\n"
            "  --connections N  that send (1)           --idle N      that only stay open (0)\n"
            "  --in-flight N    on each of them (1)     --size N      bytes of a message, or of a stream's sends (64)\n"
            "  --seconds S      measured (1)            --warmup S    before that (0.2)\n"
            "  --rate R         messages per second of all connections: open loop; 0: closed (0)\n"
            "  --pid P          the server, for its CPU time, context switches and memory\n"
            "  --reconnect      a new connection for each message\n"
            "  --silent         a new connection each time, and no message\n"
            "  --calls          counts its system calls, which disturbs the other figures\n"
            "and in place of the closed or open loop one of\n"
            "  --blocking       one connection, without readiness\n"
            "  --download       a stream from the server on each connection\n"
            "  --upload         a stream to the server on each connection\n"
            "  --posts          messages of several threads of the server's on one connection\n"
            "  --dialled        the program at A:P dials: it is told whom, and keeps N connections going\n"
            "  --memory         what each of the idle connections costs\n");
    exit(2);
}

static double number(const char *text, double least, double most) {
    char *end;
    double n = text ? strtod(text, &end) : -1;
    if (!text || *end != 0 || !(n >= least && n <= most))
        usage();
    return n;
}

static void parse_address(const char *text) {
    char host[64];
    const char *colon = text ? strrchr(text, ':') : NULL;
    if (!colon || (size_t)(colon - text) >= sizeof host)
        usage();
    memcpy(host, text, (size_t)(colon - text));
    host[colon - text] = 0;
    options.address.sin_family = AF_INET;
    options.address.sin_port = htons((uint16_t)number(colon + 1, 1, 65535));
    if (inet_pton(AF_INET, host, &options.address.sin_addr) != 1)
        usage();
}

/* Whether `name` is an option without a value. */
static bool parse_switch(const char *name) {
    static const struct {
        const char *name;
        enum mode mode;
    } modes[] = {{"--blocking", BLOCKING},
                 {"--download", DOWNLOAD},
                 {"--upload", UPLOAD},
                 {"--posts", POSTS},
                 {"--dialled", DIALLED},
                 {"--memory", MEMORY}};
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++)
        if (strcmp(name, modes[i].name) == 0) {
            options.mode = modes[i].mode;
            return true;
        }
    if (strcmp(name, "--reconnect") == 0)
        return options.reconnect = true;
    if (strcmp(name, "--silent") == 0)
        return options.reconnect = options.silent = true;
    if (strcmp(name, "--calls") == 0)
        return options.calls = true;
    return false;
}

/* Options that the mode would not heed are refused, so that no figure is taken for another one. */
static void check_options(void) {
    bool loop = options.mode == CLOSED_LOOP || options.mode == OPEN_LOOP;
    bool stream = options.mode == DOWNLOAD || options.mode == UPLOAD;
    bool dialled = options.mode == DIALLED;
    if (options.address.sin_port == 0 || (!loop && (options.in_flight != 1 || options.rate > 0 || options.reconnect)) ||
        (!loop && !stream && !dialled && options.connections != 1) || ((stream || dialled) && options.idle != 0) ||
        (dialled && options.connections > 1000) ||
        (!stream && options.size > MOST_SIZE) || (options.reconnect && (options.in_flight != 1 || options.rate > 0)) ||
        (options.mode == MEMORY && (options.idle == 0 || options.pid == 0)))
        usage();
}

static void parse(int argc, char **argv) {
    options = (struct options){.connections = 1, .in_flight = 1, .size = 64, .seconds = 1, .warmup = 0.2};
    for (int i = 1; i < argc; i++) {
        const char *name = argv[i];
        if (parse_switch(name))
            continue;
        const char *value = argv[++i]; /* NULL at the end, which number and parse_address refuse */
        if (strcmp(name, "--address") == 0)
            parse_address(value);
        else if (strcmp(name, "--connections") == 0)
            options.connections = (int)number(value, 1, 20000);
        else if (strcmp(name, "--idle") == 0)
            options.idle = (int)number(value, 0, 20000);
        else if (strcmp(name, "--in-flight") == 0)
            options.in_flight = (int)number(value, 1, MOST_IN_FLIGHT);
        else if (strcmp(name, "--size") == 0)
            options.size = (size_t)number(value, 1, MOST_PIECE);
        else if (strcmp(name, "--seconds") == 0)
            options.seconds = number(value, 0.01, 3600);
        else if (strcmp(name, "--warmup") == 0)
            options.warmup = number(value, 0, 3600);
        else if (strcmp(name, "--rate") == 0)
            options.rate = number(value, 0, 1e8);
        else if (strcmp(name, "--pid") == 0)
            options.pid = (pid_t)number(value, 1, INT_MAX);
        else
            usage();
    }
    if (options.mode == CLOSED_LOOP && options.rate > 0)
        options.mode = OPEN_LOOP;
    check_options();
    if (options.silent)
        options.size = 0;
}

/* All modes whose server echoes, beside idle connections. */
static void run_echo(void) {
    struct connection *connections = calloc((size_t)options.connections, sizeof *connections);
    struct connection *idle = calloc((size_t)options.idle + 1, sizeof *idle);
    struct memory none_open = {0};
    poller = epoll_create1(EPOLL_CLOEXEC);
    if (!connections || !idle || poller < 0)
        fail("out of memory");
    if (options.mode == MEMORY)
        none_open = settled_memory();
    /* One after the other where memory is measured, so that the server need not keep the messages of many. */
    open_connections(idle, options.idle, (uint64_t)options.connections, 0, options.mode == MEMORY ? 1 : 64);
    if (options.mode == MEMORY) {
        struct memory all_open = settled_memory();
        for (int i = 0; i < options.idle; i++)
            check_idle(&idle[i]);
        report_memory(&none_open, &all_open);
        return;
    }
    open_connections(connections, options.connections, 0,
                     options.mode == OPEN_LOOP ? MOST_IN_FLIGHT : (uint64_t)options.in_flight, 64);
    for (int i = 0; i < options.connections; i++) {
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = &connections[i]};
        if (epoll_ctl(poller, EPOLL_CTL_ADD, connections[i].fd, &event) != 0)
            die("load: epoll_ctl");
    }

    start_clock();
    if (options.mode == BLOCKING)
        run_blocking(&connections[0]);
    else if (options.mode == OPEN_LOOP)
        run_open(connections);
    else
        run_closed(connections);

    for (int i = 0; i < options.idle; i++)
        check_idle(&idle[i]);
    report();
}

int main(int argc, char **argv) {
    parse(argc, argv);
    /* A last bound, should a blocking call of this program ever not return. */
    alarm((unsigned)(options.seconds + options.warmup) + 60);
    raise_descriptor_limit();
    fill_pattern();
    prctl(PR_SET_TIMERSLACK, 1);
    if (options.mode == DOWNLOAD)
        run_download();
    else if (options.mode == UPLOAD)
        run_upload();
    else if (options.mode == POSTS)
        run_posts();
    else if (options.mode == DIALLED)
        run_dialled();
    else
        run_echo();
    return 0;
}
