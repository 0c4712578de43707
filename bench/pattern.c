/* The table behind pattern.h. */
#include "pattern.h"

unsigned char pattern[PERIOD + MOST_PIECE];

void fill_pattern(void) {
    uint32_t x = 2463534242u;
    for (size_t i = 0; i < PERIOD; i++) {
        x ^= x << 13, x ^= x >> 17, x ^= x << 5;
        pattern[i] = (unsigned char)x;
    }
    for (size_t i = PERIOD; i < sizeof pattern; i++)
        pattern[i] = pattern[i - PERIOD];
}
