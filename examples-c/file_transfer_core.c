/* Sends and receives one file. file_transfer.h describes the bytes on the wire.
 *
 * transfer_send and transfer_receive have the steps in their order. Each step returns whether it worked. If not, it
 * has written down the problem. */
#define _GNU_SOURCE /* for pread and clock_gettime under -std=c11 */

#include "file_transfer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define BLOCK_SIZE ((size_t)256 * 1024)

/* Time limit of one block. A whole file may take any time. */
#define BLOCK_TIMEOUT_MS 30000

struct header {
    uint8_t magic[8];
    uint8_t size[8];
};
_Static_assert(sizeof(struct header) == 16, "bytes alone, so that no compiler puts padding between them");

static const uint8_t magic[8] = {'F', 'I', 'L', 'E', 'X', 'F', 'R', '2'};

static bool problem(struct transfer *t, const char *sentence) {
    snprintf(t->problem, sizeof t->problem, "%s", sentence);
    return false;
}

/* The library's statuses and -errno share one number space. One function has the texts of both. */
static bool cannot(struct transfer *t, const char *what, iouringnet_status status) {
    snprintf(t->problem, sizeof t->problem, "cannot %s: %s", what, iouringnet_strerror(status));
    return false;
}

static void report(const struct transfer *t, const char *what, uint64_t done) {
    if (t->progress != NULL)
        t->progress(t, what, done);
}

static uint64_t nanoseconds_now(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static size_t next_block(uint64_t left) {
    return left < BLOCK_SIZE ? (size_t)left : BLOCK_SIZE;
}

/* Reads exactly `size` bytes of the file. */
static bool read_block(struct transfer *t, int file, uint8_t *block, size_t size, uint64_t offset) {
    while (size > 0) {
        ssize_t got = pread(file, block, size, (off_t)offset);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return cannot(t, "read the file", -errno);
        if (got == 0)
            return problem(t, "the file became shorter while it was read");
        block += got;
        size -= (size_t)got;
        offset += (uint64_t)got;
    }
    return true;
}

static bool write_block(struct transfer *t, int file, const uint8_t *block, size_t size, uint64_t offset) {
    while (size > 0) {
        ssize_t put = pwrite(file, block, size, (off_t)offset);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return cannot(t, "write the file", -errno);
        block += put;
        size -= (size_t)put;
        offset += (uint64_t)put;
    }
    return true;
}

/* The SHA-256 of the file's first t->size bytes. Both sides compute it after the transfer, at the same time.
 * Therefore the receiver verifies the file on its disk, not the bytes that passed by. */
static bool hash_file(struct transfer *t, int file, uint8_t *block, const char *what) {
    struct sha256 hash;
    sha256_start(&hash);
    for (uint64_t done = 0; done < t->size;) {
        size_t size = next_block(t->size - done);
        if (!read_block(t, file, block, size, done))
            return false;
        sha256_add(&hash, block, size);
        done += size;
        report(t, what, done);
    }
    sha256_finish(&hash, t->digest);
    return true;
}

static bool send_header(struct transfer *t, iouringnet_sink *sink) {
    struct header header;
    memcpy(header.magic, magic, sizeof magic);
    for (int i = 0; i < 8; i++)
        header.size[i] = (uint8_t)(t->size >> (56 - 8 * i));
    iouringnet_status status = sink_send(sink, &header, sizeof header, NULL);
    return status == IOURINGNET_OK || cannot(t, "send the header", status);
}

static bool receive_header(struct transfer *t, iouringnet_stream *stream) {
    struct header header;
    iouringnet_status status = stream_recv(stream, &header, sizeof header, NULL);
    if (status != IOURINGNET_OK)
        return cannot(t, "receive the header", status);
    if (memcmp(header.magic, magic, sizeof magic) != 0)
        return problem(t, "the other side does not speak this protocol");
    t->size = 0;
    for (int i = 0; i < 8; i++)
        t->size = t->size << 8 | header.size[i];
    if (t->size > INT64_MAX)
        return problem(t, "the other side announced a file of an impossible length");
    return true;
}

static bool send_content(struct transfer *t, iouringnet_sink *sink, int file, uint8_t *block) {
    uint64_t start = nanoseconds_now();
    for (uint64_t done = 0; done < t->size;) {
        size_t size = next_block(t->size - done);
        if (!read_block(t, file, block, size, done))
            return false;
        iouringnet_status status = sink_send(sink, block, size, NULL);
        if (status != IOURINGNET_OK)
            return cannot(t, "send the file", status);
        done += size;
        report(t, "sending", done);
    }
    t->nanoseconds = nanoseconds_now() - start;
    return true;
}

/* Blocks of this size go straight from the kernel to `block`, past the stream's read buffer. */
static bool receive_content(struct transfer *t, iouringnet_stream *stream, int file, uint8_t *block) {
    uint64_t start = nanoseconds_now();
    for (uint64_t done = 0; done < t->size;) {
        size_t size = next_block(t->size - done);
        iouringnet_status status = stream_recv(stream, block, size, NULL);
        if (status == IOURINGNET_EOF)
            return problem(t, "the sender stopped in the middle of the file");
        if (status != IOURINGNET_OK)
            return cannot(t, "receive the file", status);
        if (!write_block(t, file, block, size, done))
            return false;
        done += size;
        report(t, "receiving", done);
    }
    t->nanoseconds = nanoseconds_now() - start;
    return true;
}

static bool send_digest(struct transfer *t, iouringnet_sink *sink) {
    iouringnet_status status = sink_send(sink, t->digest, sizeof t->digest, NULL);
    return status == IOURINGNET_OK || cannot(t, "send the checksum", status);
}

static bool receive_digest(struct transfer *t, iouringnet_stream *stream, uint8_t announced[SHA256_SIZE]) {
    stream_set_timeout(stream, IOURINGNET_NO_TIMEOUT); /* the sender reads all of the file again */
    iouringnet_status status = stream_recv(stream, announced, SHA256_SIZE, NULL);
    if (status == IOURINGNET_EOF)
        return problem(t, "the sender gave up before it had told the checksum");
    return status == IOURINGNET_OK || cannot(t, "receive the checksum", status);
}

/* After a send that succeeded the kernel has the bytes, but nobody may have read them. Only the other side knows
 * that the file has arrived. Therefore the sender waits for its answer. */
static bool await_verdict(struct transfer *t, iouringnet_stream *stream) {
    uint8_t verdict;
    stream_set_timeout(stream, IOURINGNET_NO_TIMEOUT); /* the receiver reads all of the file again */
    iouringnet_status status = stream_recv(stream, &verdict, 1, NULL);
    if (status == IOURINGNET_EOF)
        return problem(t, "the receiver gave up before it had verified the file");
    if (status != IOURINGNET_OK)
        return cannot(t, "receive the receiver's verdict", status);
    return verdict == 1 || problem(t, "the receiver says that what arrived is not the file");
}

static bool give_verdict(struct transfer *t, iouringnet_sink *sink, bool good) {
    uint8_t verdict = good ? 1 : 0;
    iouringnet_status status = sink_send(sink, &verdict, 1, NULL);
    if (!good)
        return problem(t, "the checksum of what arrived is not that of the file");
    return status == IOURINGNET_OK || cannot(t, "confirm to the sender", status);
}

static bool find_size(struct transfer *t, int file) {
    struct stat info;
    if (fstat(file, &info) != 0)
        return cannot(t, "find the size of the file", -errno);
    if (!S_ISREG(info.st_mode))
        return problem(t, "only a regular file can be sent");
    t->size = (uint64_t)info.st_size;
    return true;
}

bool transfer_send(struct transfer *t, iouringnet_sink *sink, iouringnet_stream *stream, int file) {
    uint8_t *block = malloc(BLOCK_SIZE);
    if (block == NULL)
        return problem(t, "no memory for a block of the file");
    sink_set_timeout(sink, BLOCK_TIMEOUT_MS);
    bool good = find_size(t, file) && send_header(t, sink) && send_content(t, sink, file, block) &&
                hash_file(t, file, block, "hashing") && send_digest(t, sink) && await_verdict(t, stream);
    free(block);
    return good;
}

bool transfer_receive(struct transfer *t, iouringnet_sink *sink, iouringnet_stream *stream, int file) {
    uint8_t *block = malloc(BLOCK_SIZE);
    if (block == NULL)
        return problem(t, "no memory for a block of the file");
    uint8_t announced[SHA256_SIZE];
    sink_set_timeout(sink, BLOCK_TIMEOUT_MS);
    stream_set_timeout(stream, BLOCK_TIMEOUT_MS);
    bool good = receive_header(t, stream) && receive_content(t, stream, file, block) &&
                hash_file(t, file, block, "verifying") && receive_digest(t, stream, announced) &&
                give_verdict(t, sink, memcmp(announced, t->digest, sizeof announced) == 0);
    free(block);
    return good;
}
