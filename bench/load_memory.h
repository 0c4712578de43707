/* What idle connections cost the server and the kernel in memory. */
#ifndef BENCH_LOAD_MEMORY_H
#define BENCH_LOAD_MEMORY_H

#include <stdint.h>

struct memory {
    uint64_t rss_kib, slab_kib;
};

struct memory settled_memory(void);
void report_memory(const struct memory *before, const struct memory *after);

#endif
