/* What counts of a run, and the lines that report it. */
#ifndef BENCH_LOAD_MEASURE_H
#define BENCH_LOAD_MEASURE_H

#include "load_account.h"

#include <stdbool.h>
#include <stdint.h>

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

#endif
