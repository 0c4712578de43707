/* The bytes that every measurement sends, and that the receiving end compares with.
 *
 * Its one invariant: byte number n of connection c is pattern(31 c + n), so that each end of a comparison, and of a send, is
 * a pointer into one table, and a lost, doubled, swapped or foreign byte cannot pass. */
#ifndef BENCH_PATTERN_H
#define BENCH_PATTERN_H

#include <stddef.h>
#include <stdint.h>

#define PERIOD 65521              /* of the pattern: a prime, so that no message size divides it */
#define MOST_PIECE (1024 * 1024u) /* so much of it lies behind every pointer into it */

#ifdef __cplusplus
extern "C" {
#endif

extern unsigned char pattern[PERIOD + MOST_PIECE];

/* Once, before anything else here. */
void fill_pattern(void);

#ifdef __cplusplus
}
#endif

static inline const unsigned char *pattern_at(uint64_t number, uint64_t offset) {
    return pattern + (number * 31 + offset) % PERIOD;
}

#endif
