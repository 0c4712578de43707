/* One file over one connection. file_transfer and the demo share it.
 *
 * On the wire, in this order:
 *   - 8 bytes that name the protocol;
 *   - the length of the file, in 8 bytes, big-endian;
 *   - the file;
 *   - its SHA-256, in 32 bytes. It comes last, so that the sender can begin before it has read the whole file;
 *   - from the receiver, one byte: 1 if the file has that length and that SHA-256, else 0.
 *
 * Both functions block, and neither closes the connection or the file. */
#ifndef FILE_TRANSFER_H
#define FILE_TRANSFER_H

#include <iouringnet.h>
#include <stdbool.h>
#include <stdint.h>

#include "sha256.h"

struct transfer;

/* Called now and then with the current step and its progress. */
typedef void (*transfer_progress)(const struct transfer *transfer, const char *what, uint64_t done);

struct transfer {
    transfer_progress progress;  /* may be NULL */
    uint64_t size;               /* of the file; known when the transfer has begun */
    uint8_t digest[SHA256_SIZE]; /* of the file on this side */
    uint64_t nanoseconds;        /* from the first byte of the file to its last */
    char problem[160];           /* a sentence, if the transfer failed */
};

/* Sends the regular file `file`, and waits until the receiver has verified it. */
bool transfer_send(struct transfer *transfer, iouringnet_sink *sink, iouringnet_stream *stream, int file);

/* Receives into the regular file `file` and verifies it. The file is empty, and open for reading and writing. */
bool transfer_receive(struct transfer *transfer, iouringnet_sink *sink, iouringnet_stream *stream, int file);

#endif
