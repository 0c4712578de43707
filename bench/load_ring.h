/* How the modes for echo servers receive and send. */
#ifndef BENCH_LOAD_RING_H
#define BENCH_LOAD_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* For so many connections and messages of so many bytes. */
void open_ring(int connections, size_t size);
/* Receives on `fd` from the next wait on. Each receive calls `received`, until one says that the receiving does not go on. An
 * owner's address is even. */
void ring_receive(int fd, void *owner);
/* Sends with the next wait. Until then the memory must stay as it is. If `waits`, the send waits for room, its memory must stay
 * until `sent` is called, and `sent` is always called. Otherwise `sent` is called only if the send fell short. */
void ring_send(int fd, void *owner, const void *data, size_t size, bool waits);
/* Submits, and waits for something to come, or so long; 0: does not wait. */
void ring_wait(int64_t most_ns);
/* Hands out what has come. A result is a number of bytes, 0 at the end, or an errno below zero: ENOBUFS, where `data` had no
 * memory, ends a receive and nothing else. */
void ring_deliver(void (*received)(void *owner, const unsigned char *data, int result, bool goes_on),
                  void (*sent)(void *owner, int result));

#endif
