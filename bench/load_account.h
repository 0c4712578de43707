/* What the kernel says about the server. */
#ifndef BENCH_LOAD_ACCOUNT_H
#define BENCH_LOAD_ACCOUNT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct account {
    uint64_t cpu_ns, switches, threads, rss_kib;
};

struct account take_account(pid_t pid);

void begin_counting_calls(pid_t pid);
/* Those since then; false: they are not counted. */
bool calls_counted(uint64_t *sum);

bool read_text(const char *path, char *text, size_t size);
/* The number behind `name` in a status file, or 0. */
uint64_t field(const char *text, const char *name);

#endif
