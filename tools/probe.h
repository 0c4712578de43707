/* What iouringnet-probe finds out, and the two forms in which it prints that. */
#ifndef PROBE_H
#define PROBE_H

#include <iouringnet.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/resource.h>

enum { FEATURES = 7, LIMITS = 3, SETTINGS = 6, VARIABLES = 3, ADVICE_MAX = 3 };

/* A feature of io_uring that the library uses if the kernel has it. */
struct feature {
    const char *name;
    uint32_t bit;
    const char *since; /* the version of Linux */
};
extern const struct feature features[FEATURES];

/* A sysctl. */
struct setting {
    const char *name;
    char value[64]; /* empty: this system does not have it */
};

struct limit {
    const char *name, *bounds;
    int resource;
    struct rlimit value;
};

/* Environment variables that the library reads. */
extern const char *const variables[VARIABLES];

/* The answer. */
struct system {
    char version[16]; /* of the library */
    iouringnet_probe_result probe;
    struct limit limits[LIMITS];
    struct setting settings[SETTINGS];
    bool has_seccomp_filter;
    char advice[ADVICE_MAX][256];
    size_t advice_count;
};

/* system.c: asks the library and the system. */
void look(struct system *here);

/* text.c: for people. */
void print_text(const struct system *here);

/* json.c: for programs. */
void print_json(const struct system *here);

#endif
