/* The mode "memory" of the load generator, what idle connections cost: the server's memory and the kernel's small objects
 * (slab), with none of them open and with all. Both ends of a connection live in the same kernel, so that of the slab only the
 * difference between two servers says something about them. Its one invariant: no connection comes or goes while memory
 * settles. */
#define _GNU_SOURCE

#include "load_memory.h"
#include "load_account.h"
#include "load_base.h"
#include "load_options.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#define INTERVAL_MS 50
#define MOST_INTERVALS 60
#define STILL 4            /* intervals without a change: settled */
#define SLAB_DRIFT_KIB 256 /* other processes use it, too */

static struct memory memory_now(void) {
    char path[64], text[8192];
    struct memory m;
    snprintf(path, sizeof path, "/proc/%d/smaps_rollup", options.pid); /* exact, as VmRSS of its status is not */
    if (!read_text(path, text, sizeof text))
        fail("the server is gone, or its memory may not be looked at");
    m.rss_kib = field(text, "\nRss:");
    if (!read_text("/proc/meminfo", text, sizeof text))
        fail("cannot read /proc/meminfo");
    m.slab_kib = field(text, "\nSlab:");
    return m;
}

static uint64_t distance(uint64_t a, uint64_t b) {
    return a > b ? a - b : b - a;
}

struct memory settled_memory(void) {
    struct memory last = memory_now();
    for (int turns = 0, still = 0; turns < MOST_INTERVALS && still < STILL; turns++) {
        nanosleep(&(struct timespec){.tv_nsec = INTERVAL_MS * 1000000L}, NULL);
        struct memory now = memory_now();
        bool same = now.rss_kib == last.rss_kib && distance(now.slab_kib, last.slab_kib) <= SLAB_DRIFT_KIB;
        still = same ? still + 1 : 0;
        last = now;
    }
    return last;
}

void report_memory(const struct memory *before, const struct memory *after) {
    double connections = options.idle;
    printf("connections=%d rss_bytes_per_conn=%.1f slab_bytes_per_conn=%.1f rss_kib=%" PRIu64 "\n", options.idle,
           ((double)after->rss_kib - (double)before->rss_kib) * 1024 / connections,
           ((double)after->slab_kib - (double)before->slab_kib) * 1024 / connections, after->rss_kib);
    if (fflush(stdout) != 0)
        fail("cannot write");
}
