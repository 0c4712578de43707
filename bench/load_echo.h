/* The modes for echo servers, and idle connections beside them. */
#ifndef BENCH_LOAD_ECHO_H
#define BENCH_LOAD_ECHO_H

void run_echo(void);

#endif
