/* SHA-256 as FIPS 180-4 describes it, in plain C: sha256_start, sha256_add as often as needed, sha256_finish.
 * A program that has a cryptographic library uses that library instead. */
#ifndef SHA256_H
#define SHA256_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define SHA256_SIZE 32
#define SHA256_BLOCK 64

struct sha256 {
    uint32_t state[8];
    uint64_t size;               /* bytes added so far */
    uint8_t block[SHA256_BLOCK]; /* the last size % SHA256_BLOCK of them */
};

static inline uint32_t sha256_rotate(uint32_t x, int bits) {
    return (x >> bits) | (x << (32 - bits));
}

static inline uint32_t sha256_load(const uint8_t *p) {
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static inline void sha256_store(uint8_t *p, uint32_t x) {
    p[0] = (uint8_t)(x >> 24);
    p[1] = (uint8_t)(x >> 16);
    p[2] = (uint8_t)(x >> 8);
    p[3] = (uint8_t)x;
}

/* Section 6.2.2. */
static inline void sha256_compress(uint32_t state[8], const uint8_t *block) {
    static const uint32_t k[64] = {
        0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
        0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
        0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
        0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
        0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
        0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
        0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
        0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
    };
    uint32_t w[64];
    for (int t = 0; t < 16; t++)
        w[t] = sha256_load(block + 4 * t);
    for (int t = 16; t < 64; t++) {
        uint32_t s0 = sha256_rotate(w[t - 15], 7) ^ sha256_rotate(w[t - 15], 18) ^ (w[t - 15] >> 3);
        uint32_t s1 = sha256_rotate(w[t - 2], 17) ^ sha256_rotate(w[t - 2], 19) ^ (w[t - 2] >> 10);
        w[t] = w[t - 16] + s0 + w[t - 7] + s1;
    }

    uint32_t a = state[0], b = state[1], c = state[2], d = state[3];
    uint32_t e = state[4], f = state[5], g = state[6], h = state[7];
    for (int t = 0; t < 64; t++) {
        uint32_t s1 = sha256_rotate(e, 6) ^ sha256_rotate(e, 11) ^ sha256_rotate(e, 25);
        uint32_t t1 = h + s1 + ((e & f) ^ (~e & g)) + k[t] + w[t];
        uint32_t s0 = sha256_rotate(a, 2) ^ sha256_rotate(a, 13) ^ sha256_rotate(a, 22);
        uint32_t t2 = s0 + ((a & b) ^ (a & c) ^ (b & c));
        h = g;
        g = f;
        f = e;
        e = d + t1;
        d = c;
        c = b;
        b = a;
        a = t1 + t2;
    }
    state[0] += a;
    state[1] += b;
    state[2] += c;
    state[3] += d;
    state[4] += e;
    state[5] += f;
    state[6] += g;
    state[7] += h;
}

static inline void sha256_start(struct sha256 *s) {
    static const uint32_t first[8] = {
        0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
    };
    memcpy(s->state, first, sizeof first);
    s->size = 0;
}

static inline void sha256_add(struct sha256 *s, const void *data, size_t size) {
    const uint8_t *p = data;
    size_t held = s->size % SHA256_BLOCK;
    s->size += size;
    if (held > 0) {
        size_t missing = SHA256_BLOCK - held;
        if (size < missing) {
            memcpy(s->block + held, p, size);
            return;
        }
        memcpy(s->block + held, p, missing);
        sha256_compress(s->state, s->block);
        p += missing;
        size -= missing;
    }
    for (; size >= SHA256_BLOCK; p += SHA256_BLOCK, size -= SHA256_BLOCK)
        sha256_compress(s->state, p);
    if (size > 0)
        memcpy(s->block, p, size);
}

/* Section 5.1.1: a one bit, zeroes, and the length in bits at the end of a block. */
static inline void sha256_finish(struct sha256 *s, uint8_t digest[SHA256_SIZE]) {
    static const uint8_t padding[SHA256_BLOCK] = {0x80};
    uint64_t bits = s->size * 8;
    size_t held = s->size % SHA256_BLOCK;
    uint8_t length[8];
    sha256_store(length, (uint32_t)(bits >> 32));
    sha256_store(length + 4, (uint32_t)bits);
    sha256_add(s, padding, held < 56 ? 56 - held : 120 - held);
    sha256_add(s, length, sizeof length);
    for (int i = 0; i < 8; i++)
        sha256_store(digest + 4 * i, s->state[i]);
}

static inline void sha256_of(const void *data, size_t size, uint8_t digest[SHA256_SIZE]) {
    struct sha256 hash;
    sha256_start(&hash);
    sha256_add(&hash, data, size);
    sha256_finish(&hash, digest);
}

#endif
