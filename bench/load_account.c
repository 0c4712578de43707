/* What the kernel says about the server, of the load generator: CPU time, context switches, memory, system calls. Its one
 * invariant: the kernel alone is asked, so that the server does nothing for it. */
#define _GNU_SOURCE

#include "load_account.h"
#include "load_base.h"

#include <dirent.h>
#include <limits.h>
#include <linux/perf_event.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

uint64_t field(const char *text, const char *name) {
    const char *at = strstr(text, name);
    return at ? strtoull(at + strlen(name), NULL, 10) : 0;
}

bool read_text(const char *path, char *text, size_t size) {
    FILE *file = fopen(path, "re");
    if (!file)
        return false;
    size_t got = fread(text, 1, size - 1, file);
    text[got] = 0;
    fclose(file);
    return got > 0;
}

/* CPU time is that of the process's clock, the sum over its threads, those that have ended included. Context switches are
 * summed over the threads that live now: where threads come and go with connections, they are too few. */
struct account take_account(pid_t pid) {
    struct account sum = {0};
    char path[64 + NAME_MAX], text[4096];
    clockid_t clock;
    struct timespec used;
    if (pid == 0)
        return sum;
    if (clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &used) != 0)
        fail("the server is gone");
    sum.cpu_ns = (uint64_t)used.tv_sec * SECOND + (uint64_t)used.tv_nsec;
    snprintf(path, sizeof path, "/proc/%d/task", pid);
    DIR *tasks = opendir(path);
    if (!tasks)
        fail("the server is gone");
    for (struct dirent *task; (task = readdir(tasks));) {
        if (task->d_name[0] == '.')
            continue;
        sum.threads++;
        snprintf(path, sizeof path, "/proc/%d/task/%s/status", pid, task->d_name);
        if (read_text(path, text, sizeof text)) {
            sum.switches += field(text, "\nvoluntary_ctxt_switches:") + field(text, "\nnonvoluntary_ctxt_switches:");
            sum.rss_kib = field(text, "\nVmRSS:"); /* the process's, the same for each thread */
        }
    }
    closedir(tasks);
    return sum;
}

/* System calls, counted by the kernel's tracepoint at their entry: one event for each thread, and none where tracing is not
 * allowed or not there. Counting slows every call, so that the other figures of such a run are not to be used. */
#define MOST_THREADS 2048
static int call_events[MOST_THREADS];
static int call_event_count;

void begin_counting_calls(pid_t pid) {
    char path[64], text[32];
    if (!read_text("/sys/kernel/tracing/events/raw_syscalls/sys_enter/id", text, sizeof text) &&
        !read_text("/sys/kernel/debug/tracing/events/raw_syscalls/sys_enter/id", text, sizeof text))
        return;
    struct perf_event_attr attribute = {
        .type = PERF_TYPE_TRACEPOINT, .size = sizeof attribute, .config = strtoull(text, NULL, 10)};
    snprintf(path, sizeof path, "/proc/%d/task", pid);
    DIR *tasks = opendir(path);
    for (struct dirent *task; tasks && (task = readdir(tasks)) && call_event_count < MOST_THREADS;) {
        if (task->d_name[0] == '.')
            continue;
        int event = (int)syscall(SYS_perf_event_open, &attribute, atoi(task->d_name), -1, -1, PERF_FLAG_FD_CLOEXEC);
        if (event >= 0)
            call_events[call_event_count++] = event;
    }
    if (tasks)
        closedir(tasks);
}

bool calls_counted(uint64_t *sum) {
    *sum = 0;
    for (int i = 0; i < call_event_count; i++) {
        uint64_t count;
        if (read(call_events[i], &count, sizeof count) == sizeof count)
            *sum += count;
    }
    return call_event_count > 0;
}
