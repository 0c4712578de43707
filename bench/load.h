/* What the files of the load generator share, each part under the name of the file that owns it. Its one invariant: what one
 * mode alone needs is not here, but for its entry. */
#ifndef BENCH_LOAD_H
#define BENCH_LOAD_H

#include "pattern.h"
#include "server.h"

#include <stdint.h>

#define IO_SIZE (256 * 1024)
#define MOST_SIZE (64 * 1024) /* of a message: what a connection's buffers hold while nobody receives yet */
#define MOST_IN_FLIGHT 4096   /* messages of one connection */
#define SECOND 1000000000LL
#define NO_PROGRESS (5 * SECOND) /* so long without a byte is a failure */

/* ---- load_options.c ---- */

enum mode { CLOSED_LOOP, OPEN_LOOP, BLOCKING, DOWNLOAD, UPLOAD, POSTS, DIALLED, MEMORY };

struct options {
    struct sockaddr_in address;
    enum mode mode;
    int connections, in_flight, idle;
    size_t size;
    double seconds, warmup, rate;
    pid_t pid;
    bool calls, reconnect, silent; /* silent is a kind of reconnect */
};

extern struct options options;

/* Wrong ones end the program, with the usage. */
void parse_options(int argc, char **argv);

/* ---- load_account.c ---- */

struct account {
    uint64_t cpu_ns, switches, threads, rss_kib;
};

struct account take_account(pid_t pid);

void begin_counting_calls(pid_t pid);
/* Those since then; false: they are not counted. */
bool calls_counted(uint64_t *sum);

bool read_text(const char *path, char *text, size_t size);
/* The number behind `name` in a status file, or 0. */
uint64_t field(const char *text, const char *name);

/* ---- load_measure.c ---- */

int64_t now_ns(void);

/* The part of a run that counts. A mode starts the clock, adds to `counted` while `counting`, sets `last_progress` whenever
 * something has happened, and calls keep_time at every turn until `done`. Or it begins and ends the counting itself. */
extern bool counting, done;
extern uint64_t counted; /* messages, or bytes of streams */
extern uint64_t dropped; /* messages of an open loop that were not sent for want of room */
extern int64_t start, counted_from, last_progress;

void start_clock(void);
void keep_time(int64_t now);
double counted_seconds(void);
/* One message that left at `at` has come at `now`. */
void count(int64_t at, int64_t now);
/* The line of a mode that counted messages by `count`. */
void report(void);

void begin_counting(void);
/* `served`: the account of a moment at which the server's threads still lived, for all but its CPU time; NULL: now. */
void end_counting(const struct account *served);
/* Prints what the kernel says about the server for each `unit`, of which there were so many, and ends the line. */
void report_server(double units, const char *unit);

/* ---- load_ring.c ---- */

/* For so many connections and messages of so many bytes. */
void open_ring(int connections, size_t size);
/* What comes on `fd` is received from the next wait on, until `received` is told that it does not go on. An owner's address is
 * even. */
void ring_receive(int fd, void *owner);
/* Sends with the next wait; the memory stays as it is until then. One that does not wait for room is told only if it fell short,
 * one that waits always; and then its memory stays until it is told. */
void ring_send(int fd, void *owner, const void *data, size_t size, bool waits);
/* Submits, and waits for something to come, or so long; 0: does not wait. */
void ring_wait(int64_t most_ns);
/* Hands out what has come. A result is a number of bytes, 0 at the end, or an errno below zero: ENOBUFS, where `data` had no
 * memory, ends a receive and nothing else. */
void ring_deliver(void (*received)(void *owner, const unsigned char *data, int result, bool goes_on),
                  void (*sent)(void *owner, int result));

/* ---- load.c ---- */

extern unsigned char incoming[IO_SIZE];

void fail(const char *what);
/* A connection, on which calls that wait fail after NO_PROGRESS. */
int connect_there(void);
bool send_all(int fd, const void *data, size_t size);

/* ---- The modes ---- */

/* All whose server echoes, beside idle connections. */
void run_echo(void);
void run_download(void);
void run_upload(void);
void run_posts(void);
void run_dialled(void);

struct memory {
    uint64_t rss_kib, slab_kib;
};

struct memory settled_memory(void);
void report_memory(const struct memory *before, const struct memory *after);

#endif
