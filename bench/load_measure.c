/* What counts of a run, of the load generator: the clock, the counts, the latencies, and the lines that report them. Its one
 * invariant: the accounts of the server are taken next to the clock readings that bound what is counted. */
#define _GNU_SOURCE

#include "load_measure.h"
#include "load_base.h"
#include "load_options.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

int64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * SECOND + t.tv_nsec;
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

/* ---- The measured part of the run ---- */

int64_t start;
static int64_t from; /* of the part that counts */
bool counting, done;
uint64_t counted;
int64_t last_progress;
uint64_t dropped;
int64_t counted_from;
static int64_t counted_to;
static struct account before, after;
static int64_t own_cpu_ns; /* of this program: where it is busy all the time, it is what is measured */
static uint64_t calls;
static bool calls_known;

/* One from before the counted part would be charged for the moment in which the account was taken, so that its latency is left
 * out. */
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
    calls_known = calls_counted(&calls);
    struct account now = take_account(options.pid);
    after = served ? *served : now;
    after.cpu_ns = now.cpu_ns;
    counting = false;
    done = true;
}

/* The counted part lasts until a message has come back, if that takes longer. */
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
    if (calls_known)
        printf(" calls_per_%s=%.4f", unit, (double)calls / units);
    printf(" client_busy=%.3f\n", (double)own_cpu_ns / (counted_seconds() * SECOND));
    if (fflush(stdout) != 0)
        fail("cannot write");
}

void report(void) {
    double messages = (double)counted;
    printf("messages=%" PRIu64
           " seconds=%.3f msgs_per_s=%.0f mib_per_s=%.1f p50_us=%.1f p99_us=%.1f p999_us=%.1f max_us=%.1f",
           counted, counted_seconds(), messages / counted_seconds(),
           messages * (double)options.size / counted_seconds() / 1048576, percentile_us(0.5), percentile_us(0.99),
           percentile_us(0.999), (double)longest / 1000);
    if (options.rate > 0)
        printf(" dropped=%" PRIu64, dropped);
    report_server(messages, "msg");
}
