/* What /proc says of this process: its threads, their names and states, its descriptors and its memory.
   A thread that ends meanwhile counts as gone, never as an error. */

#ifndef PROC_H
#define PROC_H

#include "harness.h"

#include <dirent.h>
#include <sys/syscall.h>

/* ---- threads ---- */

/* the directory of a process's threads; 0: of this one */
static inline void tasks_path(char *path, size_t room, pid_t process) {
    if (process == 0)
        snprintf(path, room, "/proc/self/task");
    else
        snprintf(path, room, "/proc/%d/task", (int)process);
}

static inline pid_t thread_id(void) {
    return (pid_t)syscall(SYS_gettid);
}

/* the first line of a file about a thread that begins with `prefix`, behind it and without its end; false: there is none */
static inline bool thread_line(pid_t process, pid_t thread, const char *file, const char *prefix, char *line,
                               int room) {
    char tasks[32], path[64];
    bool found = false;
    FILE *open;

    tasks_path(tasks, sizeof tasks, process);
    snprintf(path, sizeof path, "%s/%d/%s", tasks, (int)thread, file);
    open = fopen(path, "re");
    if (open == NULL)
        return false;
    while (!found && fgets(line, room, open) != NULL)
        found = strncmp(line, prefix, strlen(prefix)) == 0;
    fclose(open);
    if (found) {
        memmove(line, line + strlen(prefix), strlen(line + strlen(prefix)) + 1);
        line[strcspn(line, "\n")] = 0;
    }
    return found;
}

/* the state and the flags of a thread as proc(5) has them; false: it is gone */
static inline bool thread_stat(pid_t process, pid_t thread, char *state, unsigned *flags) {
    char line[512];
    const char *name_ends;

    if (!thread_line(process, thread, "stat", "", line, sizeof line))
        return false;
    name_ends = strrchr(line, ')');
    CHECK(name_ends != NULL);
    CHECK_EQ(sscanf(name_ends + 1, " %c %*d %*d %*d %*d %*d %u", state, flags), 2);
    return true;
}

/* 'S': it waits in the kernel, 'T': it is stopped; 0: it is gone */
static inline char thread_state(pid_t process, pid_t thread) {
    unsigned flags;
    char state;

    return thread_stat(process, thread, &state, &flags) ? state : 0;
}

/* The kernel lists a thread for a moment after a join of it has returned. */
static inline bool thread_is_ending(pid_t process, pid_t thread) {
    enum { EXITING = 4 }; /* PF_EXITING of the kernel */
    unsigned flags;
    char state;

    return !thread_stat(process, thread, &state, &flags) || (flags & EXITING) != 0;
}

static inline bool thread_sleeps(pid_t thread) {
    char state = thread_state(0, thread);

    CHECK(state != 0);
    return state == 'S';
}

/* the threads of a process, or of this one if that is 0, into `threads`, without those that are ending; 0: there is no such
   process */
static inline size_t threads_of(pid_t process, pid_t *threads, size_t room) {
    char path[32];
    size_t count = 0;
    DIR *tasks;

    tasks_path(path, sizeof path, process);
    tasks = opendir(path);
    if (tasks == NULL)
        return 0;
    for (struct dirent *task; (task = readdir(tasks)) != NULL;) {
        pid_t thread = (pid_t)atoi(task->d_name);

        if (task->d_name[0] == '.' || thread_is_ending(process, thread))
            continue;
        CHECK(count < room);
        threads[count++] = thread;
    }
    closedir(tasks);
    return count;
}

enum { MOST_THREADS = 4096 };

static inline size_t count_threads(void) {
    pid_t threads[MOST_THREADS];

    return threads_of(0, threads, MOST_THREADS);
}

/* the threads of this process whose name begins so, into `named`, which may be NULL */
static inline size_t threads_named(const char *prefix, pid_t *named, size_t room) {
    pid_t threads[MOST_THREADS];
    size_t count = threads_of(0, threads, MOST_THREADS), found = 0;
    char name[64];

    CHECK(count > 0);
    for (size_t i = 0; i < count; i++) {
        if (!thread_line(0, threads[i], "comm", prefix, name, sizeof name))
            continue;
        CHECK(named == NULL || found < room);
        if (named != NULL)
            named[found] = threads[i];
        found++;
    }
    return found;
}

/* the one thread of this process that has this name */
static inline pid_t thread_named(const char *name) {
    pid_t thread;

    CHECK_EQ(threads_named(name, &thread, 1), 1);
    return thread;
}

/* threads of the kernel that work for io_uring of this process */
static inline size_t kernel_workers(void) {
    return threads_named("iou-wrk", NULL, 0);
}

/* ---- what a test leaves ---- */

struct footprint {
    size_t descriptors, threads;
};

static inline struct footprint footprint(void) {
    struct footprint now = {count_entries("/proc/self/fd"), count_threads()};
    return now;
}

/* waits until there are as many descriptors and threads as there were */
static inline void footprint_returns(struct footprint before) {
    EVENTUALLY(count_entries("/proc/self/fd") == before.descriptors);
    EVENTUALLY(count_threads() == before.threads);
}

static inline size_t mapped_bytes(void) {
    FILE *file = fopen("/proc/self/statm", "re");
    size_t pages = 0;

    CHECK(file != NULL && fscanf(file, "%zu", &pages) == 1);
    fclose(file);
    return pages * (size_t)sysconf(_SC_PAGESIZE);
}

#endif
