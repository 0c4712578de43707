/* The connections of all modes. */
#ifndef BENCH_LOAD_CONNECTIONS_H
#define BENCH_LOAD_CONNECTIONS_H

#include <stdbool.h>
#include <stddef.h>

#define IO_SIZE (256 * 1024)

extern unsigned char incoming[IO_SIZE];

/* A connection, on which calls that wait fail after NO_PROGRESS. */
int connect_there(void);
bool send_all(int fd, const void *data, size_t size);

#endif
