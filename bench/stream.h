/* One-way streams: what the client of a connection asks for, and what the receiving end of an upload keeps. Both ends are on
 * one machine, so that numbers have its byte order.
 *
 *   client                        server
 *   struct stream_request    ->
 *                            <-   the same 8 bytes: somebody serves this connection
 *   download                 <-   the pattern from offset 0, in sends of send_size, until the client closes
 *   upload                   ->   the pattern from offset 0, until the end of the stream
 *                            <-   8 bytes: how many came, or UPLOAD_WRONG
 */
#ifndef BENCH_STREAM_H
#define BENCH_STREAM_H

#include "pattern.h"

#include <stdbool.h>

#define STREAM_BUFFER (64 * 1024) /* what servers receive into */
#define UPLOAD_WRONG UINT64_MAX   /* the bytes that came are others than those that were sent */

struct stream_request {
    uint32_t send_size; /* bytes of each of the server's sends, at most MOST_PIECE; 0: an upload */
    uint32_t number;    /* of the connection: where in the pattern it starts */
};
#ifndef __cplusplus
_Static_assert(sizeof(struct stream_request) == 8, "goes over the wire as it is");
#endif

struct upload {
    uint64_t received;
    bool wrong;
};

/* Looks at two bytes of each piece only: the servers are measured at receiving. A byte lost or doubled shifts all that
 * follow, and shows nevertheless. */
static inline void upload_took(struct upload *u, uint32_t number, const void *data, size_t size) {
    const unsigned char *bytes = (const unsigned char *)data;
    if (size == 0)
        return;
    if (bytes[0] != *pattern_at(number, u->received) || bytes[size - 1] != *pattern_at(number, u->received + size - 1))
        u->wrong = true;
    u->received += size;
}

static inline uint64_t upload_answer(const struct upload *u) {
    return u->wrong ? UPLOAD_WRONG : u->received;
}

#endif
