/* instructions: how many instructions an echo server spends in user space on one message.
 *
 *   instructions [--connections N] [--rounds N] [--profile FILE] SERVER [ARGUMENT...]
 *
 * It starts the server, opens connections, warms both up at full speed, and then counts: while all threads of the server are
 * held, one message goes out on each connection; then the threads are single-stepped until every reply is back and all of
 * them sleep in the kernel again. One thread runs at a time, until it sleeps, on one processor, without randomised
 * addresses: what is left to chance is little, and neither the machine's speed nor its load is in the figure. What the kernel
 * does is not in it, either. Prints one line of name=value. x86-64 only.
 *
 * Exit codes: 0 counted, 1 failed, 77 cannot be done here.
 *
 * Its one invariant: an instruction counts when it is over, which is when the thread's place has moved on. So a string
 * instruction counts once and not for each step that it takes, and a system call when it returns.
 */
#define _GNU_SOURCE

#include "server.h"

#include <inttypes.h>
#include <signal.h>

#if !defined __x86_64__
int main(void) {
    fprintf(stderr, "instructions: x86-64 only\n");
    return 77;
}
#else

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/personality.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <time.h>

#define MESSAGE 64
#define MOST_CONNECTIONS 4000
#define MOST_ROUNDS 1000
#define MOST_THREADS 64
#define PLACES (1u << 17)    /* different instructions that are told apart; a power of two */
#define TURN 2000000         /* steps of one thread before another has its turn: more than it needs, unless it spins */
#define MOST_STEPS 100000000 /* of all rounds */
#define SECONDS 300          /* for all */
#define PATIENCE_MS 3000     /* for a reply while the server sleeps */
#define UNCOUNTED 1          /* rounds that are stepped before those that count */

struct thread {
    pid_t tid;
    int stat;  /* its file in /proc, which tells whether it sleeps */
    bool runs; /* in the kernel, as far as is known; otherwise it is stopped */
    bool gone;
    bool enters;   /* the next step enters the kernel, and may sleep there */
    bool restarts; /* that is the call before its place, which the kernel begins again */
    int signal;    /* to be delivered by the next step */
    uint64_t place;
    uint64_t visit; /* of the vDSO: its number; 0 outside */
};

struct place {
    uint64_t address, count;
    uint64_t visit; /* of the vDSO, the last that came by */
    bool call;      /* a system call */
};

static pid_t server;
static struct thread threads[MOST_THREADS];
static int thread_count;
static struct place places[PLACES];
static unsigned places_used;
static int sockets[MOST_CONNECTIONS], connections = 64;
static uint64_t vdso_from, vdso_to, visits;
static uint64_t steps, counted, calls;
static bool counting;

static _Noreturn void fail(const char *what) {
    fprintf(stderr, "instructions: %s\n", what);
    if (server > 0)
        kill(server, SIGKILL);
    exit(1);
}

static _Noreturn void fail_errno(const char *what) {
    fprintf(stderr, "instructions: %s: %s\n", what, strerror(errno));
    if (server > 0)
        kill(server, SIGKILL);
    exit(1);
}

/* A server that waits for ever in the middle of a step. */
static void on_alarm(int signal) {
    static const char text[] = "instructions: out of time\n";
    (void)signal;
    ssize_t n = write(2, text, sizeof text - 1);
    if (server > 0)
        kill(server, SIGKILL);
    _exit(n < 0 ? 2 : 1);
}

static int64_t now_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000LL + t.tv_nsec / 1000000;
}

/* ---- The client ---- */

static void fill(unsigned char *message, int connection, unsigned round) {
    uint32_t x = ((uint32_t)connection << 12 ^ round) * 2654435761u + 1;
    for (int i = 0; i < MESSAGE; i++) {
        x ^= x << 13, x ^= x >> 17, x ^= x << 5;
        message[i] = (unsigned char)x;
    }
}

static void connect_all(const struct sockaddr_in *address) {
    for (int c = 0; c < connections; c++) {
        struct linger reset = {.l_onoff = 1};
        sockets[c] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (sockets[c] < 0 || connect(sockets[c], (const struct sockaddr *)address, sizeof *address) != 0)
            fail_errno("connect");
        set_nodelay(sockets[c]);
        /* Thousands of connections would leave as many ports waiting for a minute. */
        setsockopt(sockets[c], SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    }
}

static void send_all(unsigned round) {
    unsigned char message[MESSAGE];
    for (int c = 0; c < connections; c++) {
        fill(message, c, round);
        if (send(sockets[c], message, MESSAGE, MSG_NOSIGNAL | MSG_DONTWAIT) != MESSAGE)
            fail_errno("send");
    }
}

/* Whether the replies from connection `from` on are there. */
static int replies_there(int from) {
    unsigned char byte[MESSAGE];
    while (from < connections && recv(sockets[from], byte, MESSAGE, MSG_PEEK | MSG_DONTWAIT) == MESSAGE)
        from++;
    return from;
}

static void check_replies(unsigned round) {
    unsigned char message[MESSAGE], reply[MESSAGE];
    for (int c = 0; c < connections; c++) {
        size_t got = 0;
        while (got < MESSAGE) {
            struct pollfd readable = {.fd = sockets[c], .events = POLLIN};
            ssize_t n = poll(&readable, 1, PATIENCE_MS) == 1 ? recv(sockets[c], reply + got, MESSAGE - got, 0) : -1;
            if (n <= 0)
                fail("a reply did not come");
            got += (size_t)n;
        }
        fill(message, c, round);
        if (memcmp(message, reply, MESSAGE) != 0)
            fail("the echo differs from what was sent");
    }
}

/* ---- Places ---- */

/* What is known of the instruction at `address`; `t` is stopped. */
static struct place *place_at(const struct thread *t, uint64_t address) {
    unsigned i = (unsigned)(address * 0x9e3779b97f4a7c15u >> 40) & (PLACES - 1);
    for (; places[i].address != 0; i = (i + 1) & (PLACES - 1))
        if (places[i].address == address)
            return &places[i];
    if (++places_used > PLACES / 4 * 3)
        fail("too many different instructions");
    long word = ptrace(PTRACE_PEEKTEXT, t->tid, address & ~7ull, 0);
    unsigned code = (unsigned)((uint64_t)word >> (address & 7) * 8) & 0xffff;
    if ((address & 7) == 7)
        code |= ((unsigned)ptrace(PTRACE_PEEKTEXT, t->tid, address + 1, 0) & 0xff) << 8;
    places[i] = (struct place){.address = address, .call = code == 0x050f};
    return &places[i];
}

/* ---- Threads of the server ---- */

static uint64_t reg(const struct thread *t, size_t offset) {
    errno = 0;
    long value = ptrace(PTRACE_PEEKUSER, t->tid, offset, 0);
    if (errno != 0)
        fail_errno("PTRACE_PEEKUSER");
    return (uint64_t)value;
}
#define REG(t, name) reg(t, offsetof(struct user, regs.name))

static struct thread *add_thread(pid_t tid) {
    char path[64];
    if (thread_count == MOST_THREADS)
        fail("too many threads");
    struct thread *t = &threads[thread_count++];
    snprintf(path, sizeof path, "/proc/%d/task/%d/stat", server, tid);
    *t = (struct thread){.tid = tid, .runs = true, .stat = open(path, O_RDONLY | O_CLOEXEC)};
    return t;
}

static bool sleeps(const struct thread *t) {
    char text[256];
    ssize_t n = pread(t->stat, text, sizeof text - 1, 0);
    text[n > 0 ? n : 0] = 0;
    const char *state = strrchr(text, ')');
    return state && state[1] == ' ' && state[2] == 'S';
}

/* The instruction at `place` is over. */
static void count(const struct thread *t, struct place *place) {
    if (++steps > MOST_STEPS)
        fail("too many steps");
    /* The vDSO reads the clock again if that has ticked meanwhile, which single steps give it the time for. */
    bool again = t->visit != 0 && place->visit == t->visit;
    place->visit = t->visit;
    if (counting && !again) {
        place->count++;
        counted++;
        calls += place->call;
    }
}

/* Takes note of what waitpid said. */
static void on_wait(struct thread *t, int status) {
    if (WIFEXITED(status) || WIFSIGNALED(status)) {
        t->gone = true;
        t->runs = false;
        if (t->tid == server)
            fail("the server ended");
        return;
    }
    int event = status >> 16, signal = WSTOPSIG(status);
    if (event == PTRACE_EVENT_CLONE) {
        unsigned long tid;
        if (ptrace(PTRACE_GETEVENTMSG, t->tid, 0, &tid) == 0)
            add_thread((pid_t)tid);
    }
    t->runs = false;
    t->signal = event != 0 || signal == SIGTRAP ? 0 : signal;
    uint64_t place = REG(t, rip);
    bool restarts = false;
    if (place == t->place || t->enters || event != 0) {
        /* ERESTARTSYS to ERESTART_RESTARTBLOCK, seen only by a tracer: the call begins again with the next step. */
        int64_t result = (int64_t)REG(t, rax);
        restarts = result <= -512 && result >= -516 && (int64_t)REG(t, orig_rax) >= 0;
    }
    if (t->place != place && t->place != 0)
        count(t, place_at(t, t->place));
    else if (t->restarts && !restarts && event == 0)
        count(t, place_at(t, place - 2)); /* `syscall` has two bytes */
    if (place < vdso_from || place >= vdso_to)
        t->visit = 0;
    else if (t->visit == 0)
        t->visit = ++visits;
    t->place = place;
    t->restarts = restarts;
    t->enters = restarts || place_at(t, place)->call;
}

/* Sees whether the thread has stopped; true if it has. */
static bool stopped(struct thread *t) {
    int status;
    if (!t->runs)
        return true;
    pid_t result = waitpid(t->tid, &status, __WALL | WNOHANG);
    if (result < 0)
        fail_errno("waitpid");
    if (result == 0)
        return false;
    on_wait(t, status);
    return true;
}

/* One step; true if the thread stands after it, false if it sleeps. */
static bool step(struct thread *t) {
    bool enters = t->enters;
    if (ptrace(PTRACE_SINGLESTEP, t->tid, 0, (long)t->signal) != 0)
        fail_errno("PTRACE_SINGLESTEP");
    t->runs = true;
    if (!enters) {
        int status;
        if (waitpid(t->tid, &status, __WALL) < 0)
            fail_errno("waitpid");
        on_wait(t, status);
        return true;
    }
    for (unsigned tries = 1;; tries++) {
        if (stopped(t))
            return true;
        if (tries % 4 == 0 && sleeps(t) && !stopped(t))
            return false;
        sched_yield();
    }
}

static void find_vdso(void) {
    char path[64], line[4200];
    snprintf(path, sizeof path, "/proc/%d/maps", server);
    FILE *maps = fopen(path, "re");
    if (!maps)
        fail_errno(path);
    while (fgets(line, sizeof line, maps))
        if (strstr(line, "[vdso]") && sscanf(line, "%" SCNx64 "-%" SCNx64, &vdso_from, &vdso_to) != 2)
            fail(path);
    fclose(maps);
}

static void seize_all(void) {
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/task", server);
    DIR *tasks = opendir(path);
    if (!tasks)
        fail_errno(path);
    for (struct dirent *task; (task = readdir(tasks));) {
        pid_t tid = atoi(task->d_name);
        if (tid == 0)
            continue;
        if (ptrace(PTRACE_SEIZE, tid, 0, (long)(PTRACE_O_TRACECLONE | PTRACE_O_EXITKILL)) == 0) {
            add_thread(tid);
        } else if (tid == server) {
            fprintf(stderr, "instructions: tracing is not permitted here: %s\n", strerror(errno));
            kill(server, SIGKILL);
            exit(77);
        } /* else a worker of the kernel's */
    }
    closedir(tasks);
}

/* Stops all threads in user space, each before the system call that it will sleep in: a thread that is taken out of such a
 * call goes on to the next, unless the kernel itself begins the call again. */
static void hold_all(void) {
    for (int i = 0; i < thread_count; i++) {
        struct thread *t = &threads[i];
        if (t->gone)
            continue;
        if (!stopped(t)) {
            if (ptrace(PTRACE_INTERRUPT, t->tid, 0, 0) != 0)
                fail_errno("PTRACE_INTERRUPT");
            while (!stopped(t))
                sched_yield();
        }
        for (int left = 100000; !t->gone && !t->enters; left--) {
            if (left == 0)
                fail("a thread does not go back to sleep");
            step(t);
        }
    }
}

/* Steps all threads, one after another, until each of them sleeps. */
static void run_until_asleep(void) {
    int quiet = 0; /* looks at all threads that found them asleep */
    while (quiet < 2) {
        quiet++;
        for (int i = 0; i < thread_count; i++) {
            struct thread *t = &threads[i];
            if (t->gone || (!stopped(t) && sleeps(t)))
                continue;
            quiet = 0;
            if (t->runs) {
                sched_yield();
                continue;
            }
            for (int left = TURN; left > 0 && !t->gone && step(t); left--)
                ;
        }
    }
}

/* ---- The run ---- */

static struct sockaddr_in start_server(char **command) {
    int ends[2];
    char line[128];
    size_t size = 0;
    if (pipe2(ends, O_CLOEXEC) != 0)
        fail_errno("pipe2");
    server = fork();
    if (server < 0)
        fail_errno("fork");
    if (server == 0) {
        /* The same addresses each time, and none that are looked up only when they are first called. */
        personality(ADDR_NO_RANDOMIZE);
        setenv("LD_BIND_NOW", "1", 1);
        dup2(ends[1], 1);
        execv(command[0], command);
        fprintf(stderr, "instructions: %s: %s\n", command[0], strerror(errno));
        _exit(127);
    }
    close(ends[1]);
    struct pollfd readable = {.fd = ends[0], .events = POLLIN};
    while (!memchr(line, '\n', size)) {
        ssize_t n = poll(&readable, 1, 10000) == 1 ? read(ends[0], line + size, sizeof line - 1 - size) : -1;
        if (n <= 0)
            fail("the server did not say where it listens");
        size += (size_t)n;
    }
    line[size] = 0;
    struct sockaddr_in address = {.sin_family = AF_INET};
    unsigned port;
    char host[64];
    if (sscanf(line, "listening on %63[0-9.]:%u", host, &port) != 2 || inet_pton(AF_INET, host, &address.sin_addr) != 1)
        fail("the server said something else than where it listens");
    address.sin_port = htons((uint16_t)port);
    return address;
}

/* One round: the instructions of all threads between two sleeps. */
static uint64_t measure(unsigned round, bool counts) {
    uint64_t before = counted;
    hold_all();
    send_all(round);
    counting = counts;
    int64_t until = now_ms() + PATIENCE_MS;
    for (int there = 0;;) {
        run_until_asleep();
        int more = replies_there(there);
        if (more == connections)
            break;
        if (more > there)
            until = now_ms() + PATIENCE_MS;
        there = more;
        if (now_ms() > until)
            fail("the server sleeps, and a reply did not come");
        sched_yield();
    }
    counting = false;
    check_replies(round);
    return counted - before;
}

static int by_size(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* One line for each instruction: how often, its offset in its file, the file. */
static void write_profile(const char *path) {
    char name[64], line[4200];
    snprintf(name, sizeof name, "/proc/%d/maps", server);
    FILE *maps = fopen(name, "re"), *out = fopen(path, "we");
    if (!maps || !out)
        fail_errno(path);
    while (fgets(line, sizeof line, maps)) {
        uint64_t from, to, offset;
        char mode[8], file[4096] = "[anonymous]";
        if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %7s %" SCNx64 " %*s %*s %4095[^\n]", &from, &to, mode, &offset,
                   file) < 4)
            continue;
        for (unsigned i = 0; i < PLACES; i++)
            if (places[i].count > 0 && places[i].address >= from && places[i].address < to)
                fprintf(out, "%" PRIu64 " %#" PRIx64 " %s\n", places[i].count, places[i].address - from + offset, file);
    }
    fclose(maps);
    if (fclose(out) != 0)
        fail_errno(path);
}

/* Server and client share a processor: a step is a switch from one to the other and back. */
static void keep_to_one_processor(void) {
    cpu_set_t allowed, one;
    if (sched_getaffinity(0, sizeof allowed, &allowed) != 0)
        return;
    for (int cpu = CPU_SETSIZE - 1; cpu >= 0; cpu--)
        if (CPU_ISSET(cpu, &allowed)) {
            CPU_ZERO(&one);
            CPU_SET(cpu, &one);
            sched_setaffinity(0, sizeof one, &one);
            return;
        }
}

static int number(const char *text, int most) {
    char *end;
    long value = strtol(text, &end, 10);
    if (*end != 0 || value < 1 || value > most)
        fail("a number is out of range");
    return (int)value;
}

int main(int argc, char **argv) {
    int rounds = 4, at = 1;
    const char *profile = NULL;
    for (; at + 1 < argc && strncmp(argv[at], "--", 2) == 0; at += 2) {
        if (strcmp(argv[at], "--connections") == 0)
            connections = number(argv[at + 1], MOST_CONNECTIONS);
        else if (strcmp(argv[at], "--rounds") == 0)
            rounds = number(argv[at + 1], MOST_ROUNDS);
        else if (strcmp(argv[at], "--profile") == 0)
            profile = argv[at + 1];
        else
            break;
    }
    if (at >= argc || argv[at][0] == '-') {
        fprintf(stderr, "usage: instructions [--connections N] [--rounds N] [--profile FILE] SERVER [ARGUMENT...]\n");
        return 1;
    }
    signal(SIGALRM, on_alarm);
    alarm(SECONDS);
    keep_to_one_processor();
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    struct sockaddr_in address = start_server(argv + at);
    connect_all(&address);

    unsigned round = 0;
    for (unsigned warm = 20 + 2000 / (unsigned)connections; warm > 0; warm--, round++) {
        send_all(round);
        check_replies(round);
    }
    find_vdso();
    seize_all();
    for (int i = 0; i < UNCOUNTED; i++)
        measure(round++, false);
    static uint64_t results[MOST_ROUNDS];
    for (int i = 0; i < rounds; i++)
        results[i] = measure(round++, true);
    qsort(results, (size_t)rounds, sizeof *results, by_size);
    if (profile)
        write_profile(profile);
    const char *name = strrchr(argv[at], '/');
    /* The mean of the middle two: some servers do the same in every second round only. */
    double middle = (double)(results[(rounds - 1) / 2] + results[rounds / 2]) / 2;
    printf("server=%s", name ? name + 1 : argv[at]);
    for (int i = at + 1; i < argc; i++)
        printf("%s%s", i == at + 1 ? " arguments=" : ",", argv[i]);
    printf(" connections=%d rounds=%d instructions_per_msg=%.1f spread=%.4f calls_per_msg=%.3f threads=%d\n",
           connections, rounds, middle / connections, (double)(results[rounds - 1] - results[0]) / middle,
           (double)calls / rounds / connections, thread_count);
    kill(server, SIGKILL);
    while (waitpid(-1, NULL, __WALL) > 0)
        ;
    return fflush(stdout) == 0 ? 0 : 1;
}
#endif
