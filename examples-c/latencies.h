/* The times of single messages: percentiles, and a picture of how they are spread. */
#ifndef LATENCIES_H
#define LATENCIES_H

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define SAMPLES_MAX 1000000u
#define PICTURE_WIDTH 40

/* What a row of the picture has: times of at most so many nanoseconds. */
static const struct {
    uint32_t most;
    const char *name;
} rows[] = {
    {1000, "1 us"},        {2000, "2 us"},        {5000, "5 us"},        {10000, "10 us"},    {20000, "20 us"},
    {50000, "50 us"},      {100000, "100 us"},    {200000, "200 us"},    {500000, "500 us"},  {1000000, "1 ms"},
    {2000000, "2 ms"},     {5000000, "5 ms"},     {10000000, "10 ms"},   {20000000, "20 ms"}, {50000000, "50 ms"},
    {100000000, "100 ms"}, {200000000, "200 ms"}, {500000000, "500 ms"}, {1000000000, "1 s"}, {UINT32_MAX, "longer"},
};
enum { ROWS = sizeof rows / sizeof *rows };

struct latencies {
    uint32_t p50, p99; /* nanoseconds; 0: nothing was measured */
    size_t count, counts[ROWS];
};

static uint32_t samples[SAMPLES_MAX];
static size_t sample_count;

static inline void add_sample(uint64_t nanoseconds) {
    if (sample_count < SAMPLES_MAX)
        samples[sample_count++] = nanoseconds < UINT32_MAX ? (uint32_t)nanoseconds : UINT32_MAX;
}

static inline int compare_samples(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

/* Sums the samples up, and drops them. */
static inline struct latencies take_latencies(void) {
    struct latencies all = {.count = sample_count};
    if (sample_count > 0) {
        qsort(samples, sample_count, sizeof samples[0], compare_samples);
        all.p50 = samples[sample_count / 2];
        all.p99 = samples[sample_count * 99 / 100];
    }
    int row = 0;
    for (size_t i = 0; i < sample_count; i++) {
        while (samples[i] > rows[row].most)
            row++;
        all.counts[row]++;
    }
    sample_count = 0;
    return all;
}

/* Prints a bar for each row from the first to the last with a sample. The longest bar has the whole width. */
static inline void print_picture(const char *what, const struct latencies *all) {
    static const char full[] = "########################################";
    size_t highest = 1;
    int first = ROWS, last = -1;
    for (int row = 0; row < ROWS; row++) {
        if (all->counts[row] == 0)
            continue;
        first = first < row ? first : row;
        last = row;
        highest = highest > all->counts[row] ? highest : all->counts[row];
    }
    printf("\n%-17s %zu times there and back\n", what, all->count);
    for (int row = first; row <= last; row++) {
        int width = (int)((double)all->counts[row] / (double)highest * PICTURE_WIDTH + 0.5);
        if (width == 0 && all->counts[row] > 0)
            width = 1; /* few are not none */
        printf("  %s %6s %6.2f %%  %.*s\n", row < ROWS - 1 ? "up to" : "     ", rows[row].name,
               (double)all->counts[row] * 100 / (double)all->count, width, full);
    }
}

#endif
