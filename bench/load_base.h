/* What every file of the load generator may use: its units of time, and how it ends when it has found a fault. Its one
 * invariant: it knows no other file of the load generator. */
#ifndef BENCH_LOAD_BASE_H
#define BENCH_LOAD_BASE_H

#include <stdio.h>
#include <stdlib.h>

#define SECOND 1000000000LL
#define NO_PROGRESS (5 * SECOND) /* so long without a byte is a failure */

static inline void fail(const char *what) {
    fprintf(stderr, "load: %s\n", what);
    exit(1);
}

#endif
