/* One file over one connection: the part of file_transfer that the demo uses as well.
 *
 * On the wire: 8 bytes that name the protocol, and the length of the file in 8 bytes; then the file; then its
 * SHA-256 in 32 bytes; then, the other way, one byte: 1 if what arrived has that length and that SHA-256, else 0.
 * The SHA-256 comes last, so that the receiver need not wait for it before the first byte of the file.
 * Numbers are big-endian.
 *
 * Both functions block, and neither closes the connection or the file. */
#ifndef FILE_TRANSFER_H
#define FILE_TRANSFER_H

#include <iouringnet.h>
#include <stdbool.h>
#include <stdint.h>

#include "sha256.h"

struct transfer;

/* Called now and then, with what is being done and how far it is. */
typedef void (*transfer_progress)(const struct transfer *transfer, const char *what, uint64_t done);

struct transfer {
    transfer_progress progress;  /* may be NULL */
    uint64_t size;               /* of the file: known once the transfer has begun */
    uint8_t digest[SHA256_SIZE]; /* of the file on this side */
    uint64_t nanoseconds;        /* from the first byte of the file to its last */
    char problem[160];           /* a sentence, where the transfer failed */
};

/* Sends the regular file `file`, and waits until the receiver has verified it. */
bool transfer_send(struct transfer *transfer, iouringnet_sink *sink, iouringnet_stream *stream, int file);

/* Receives into the regular file `file`, open for reading and writing and empty, and verifies what is in it. */
bool transfer_receive(struct transfer *transfer, iouringnet_sink *sink, iouringnet_stream *stream, int file);

#endif
