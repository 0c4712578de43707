/* The mode --dialled. */
#ifndef BENCH_LOAD_DIALLED_H
#define BENCH_LOAD_DIALLED_H

void run_dialled(void);

#endif
