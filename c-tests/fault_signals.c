/* Signals that a thread brings on itself (SEGV, BUS, FPE, ILL, TRAP, SYS) reach the host's handlers on the
   library's threads too: crash reporters, virtual machines and sandboxes rest on them. Every other signal stays
   with the host's threads.
   Promise 11. */

#include "support.h"

#include <netdb.h>
#include <sys/mman.h>
#include <ucontext.h>

static const int synchronous[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS};
enum { SYNCHRONOUS = sizeof synchronous / sizeof *synchronous };

/* ---- faults that a handler mends, so that the code goes on ---- */

enum { PAGE = 4096, ANSWER = 42 };

static struct {
    char *guarded; /* a page that cannot be written until SEGV */
    char *beyond;  /* a page beyond the end of its file until BUS */
    int file;
    volatile int divisor;      /* 0 until FPE */
    pthread_t on[SYNCHRONOUS]; /* the thread that each handler ran on */
    atomic_int runs[SYNCHRONOUS];
} faults;

/* the registers of the code that met the fault */
static void step_over(void *context, int x86_64, int aarch64) {
    ucontext_t *at = context;

#if defined __x86_64__
    at->uc_mcontext.gregs[REG_RIP] += x86_64;
    (void)aarch64;
#elif defined __aarch64__
    at->uc_mcontext.pc += (unsigned)aarch64;
    (void)x86_64;
#else
    (void)at, (void)x86_64, (void)aarch64;
#endif
}

static void answer_call(void *context) {
    ucontext_t *at = context;

#if defined __x86_64__
    at->uc_mcontext.gregs[REG_RAX] = ANSWER;
#elif defined __aarch64__
    at->uc_mcontext.regs[0] = ANSWER;
#else
    (void)at;
#endif
}

static void mend(int signal, siginfo_t *info, void *context) {
    int failed = 0;

    for (int i = 0; i < SYNCHRONOUS; i++)
        if (synchronous[i] == signal) {
            faults.on[i] = pthread_self();
            atomic_fetch_add(&faults.runs[i], 1);
        }
    if (info->si_code <= 0)
        return; /* sent by a call, which returns */
    if (signal == SIGSEGV)
        failed = mprotect(faults.guarded, PAGE, PROT_READ | PROT_WRITE);
    else if (signal == SIGBUS)
        failed = ftruncate(faults.file, PAGE);
    else if (signal == SIGFPE)
        faults.divisor = 1;
    else if (signal == SIGILL)
        step_over(context, 2, 4);
    else if (signal == SIGTRAP)
        step_over(context, 0, 4);
    else if (signal == SIGSYS)
        answer_call(context);
    if (failed)
        _exit(1);
}

static void divide(void) {
#if defined __x86_64__
    int quotient = 84, rest = 0;

    /* the divisor is read from memory again when the handler returns */
    __asm__ volatile("idivl %2" : "+a"(quotient), "+d"(rest) : "m"(faults.divisor) : "cc");
    CHECK_EQ(quotient, 84);
#else
    CHECK_EQ(pthread_kill(pthread_self(), SIGFPE), 0); /* its division does not trap */
#endif
}

static void meet_illegal_instruction(void) {
#if defined __x86_64__
    __asm__ volatile("ud2");
#elif defined __aarch64__
    __asm__ volatile(".inst 0");
#else
    CHECK_EQ(pthread_kill(pthread_self(), SIGILL), 0);
#endif
}

static void meet_breakpoint(void) {
#if defined __x86_64__
    __asm__ volatile("int3");
#elif defined __aarch64__
    __asm__ volatile("brk #0");
#else
    CHECK_EQ(pthread_kill(pthread_self(), SIGTRAP), 0);
#endif
}

/* a call that a filter of this thread answers by SIGSYS; sent where no filter can be installed */
static void make_trapped_call(void) {
    struct filter filter = {.call = SYS_acct, .answer = SECCOMP_RET_TRAP};

    if (filter_install(&filter, THIS_THREAD))
        CHECK_EQ(syscall(SYS_acct, NULL), ANSWER);
    else
        CHECK_EQ(pthread_kill(pthread_self(), SIGSYS), 0);
}

static void meet_all(void *user) {
    *(pthread_t *)user = pthread_self();
    *(volatile char *)faults.guarded = 1;
    *(volatile char *)faults.beyond = 1;
    divide();
    meet_illegal_instruction();
    meet_breakpoint();
    make_trapped_call();
}

static void faults_prepare(void) {
    struct sigaction action;

    faults.guarded = mmap(NULL, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(faults.guarded != MAP_FAILED);
    faults.file = memfd_create("empty", MFD_CLOEXEC);
    CHECK(faults.file >= 0);
    faults.beyond = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, faults.file, 0);
    CHECK(faults.beyond != MAP_FAILED);
    memset(&action, 0, sizeof action);
    action.sa_sigaction = mend;
    action.sa_flags = SA_SIGINFO;
    for (int i = 0; i < SYNCHRONOUS; i++)
        CHECK_EQ(sigaction(synchronous[i], &action, NULL), 0);
}

TEST(a_handler_mends_a_fault_of_a_callback) {
    struct pair p = tcp_pair();
    pthread_t loop;
    char got[5];

    faults_prepare();
    on_callback_thread(p.a.net, meet_all, &loop);
    for (int i = 0; i < SYNCHRONOUS; i++) {
        CHECK_EQ(faults.runs[i], 1);
        CHECK(pthread_equal(faults.on[i], loop));
    }
    CHECK_EQ(*faults.guarded + *faults.beyond, 2);
    /* the net has noticed nothing */
    CHECK_OK(sink_send(p.a.sink, "hello", 5, NULL));
    CHECK_OK(stream_recv(p.b.stream, got, 5, NULL));
    CHECK_MEM(got, "hello", 5);
    pair_close(&p);
}

/* ---- all others ---- */

/* every signal that can be blocked but the synchronous ones */
static uint64_t blocked_in_the_library(void) {
    uint64_t bits = 0;
    sigset_t all;

    sigfillset(&all);
    sigdelset(&all, SIGKILL);
    sigdelset(&all, SIGSTOP);
    for (int i = 0; i < SYNCHRONOUS; i++)
        sigdelset(&all, synchronous[i]);
    for (int signal = 1; signal <= 64; signal++)
        if (sigismember(&all, signal) == 1)
            bits |= UINT64_C(1) << (signal - 1);
    return bits;
}

/* how many threads of the library have a name that begins so; each blocks what it should */
static size_t check_threads(const char *prefix) {
    pid_t threads[8];
    size_t found = threads_named(prefix, threads, sizeof threads / sizeof *threads);
    char blocked[256];

    for (size_t i = 0; i < found; i++) {
        CHECK(thread_line(0, threads[i], "status", "SigBlk:\t", blocked, sizeof blocked));
        CHECK_EQ(strtoull(blocked, NULL, 16), blocked_in_the_library());
    }
    return found;
}

static atomic_int name_threads;

/* the library's lookups come here, on a thread of the library */
int getaddrinfo(const char *restrict node, const char *restrict service, const struct addrinfo *restrict hints,
                struct addrinfo **restrict result) {
    (void)node;
    (void)service;
    (void)hints;
    (void)result;
    name_threads = (int)check_threads("iouringnet-name");
    return EAI_NONAME;
}

TEST(the_librarys_threads_block_all_but_the_synchronous_signals) {
    iouringnet_net *net = net_of_mode();
    iouringnet_sink *sink;
    iouringnet_stream *stream;

    CHECK(check_threads("iouringnet-send") == 1);
    CHECK(check_threads("iouringnet-recv") == 1);
    CHECK_STATUS(net_dial(net, "unknown.example:1", NULL, &sink, &stream), IOURINGNET_NAME);
    CHECK_EQ(name_threads, 1);
    CHECK_OK(net_stop(net));
}

static void no_handler(int signal) {
    (void)signal;
    CHECK(!"a handler runs although every thread of the host blocks its signal");
}

TEST(a_signal_to_the_process_waits_for_a_thread_of_the_hosts) {
    static const int sent[] = {SIGUSR1, SIGTERM, SIGHUP, SIGCHLD, SIGPROF, SIGURG, SIGWINCH, SIGIO};
    struct timespec soon = {WAIT_MS / 1000, 0};
    struct sigaction action;
    struct pair p;
    sigset_t set;

    memset(&action, 0, sizeof action);
    action.sa_handler = no_handler;
    sigemptyset(&set);
    for (size_t i = 0; i < sizeof sent / sizeof *sent; i++) {
        sigaddset(&set, sent[i]);
        CHECK_EQ(sigaction(sent[i], &action, NULL), 0);
    }
    p = tcp_pair(); /* before this thread blocks them: the library's threads do so by themselves */
    CHECK_EQ(pthread_sigmask(SIG_BLOCK, &set, NULL), 0);
    for (size_t i = 0; i < sizeof sent / sizeof *sent; i++) {
        sigset_t one;

        CHECK_EQ(kill(getpid(), sent[i]), 0);
        settle(p.a.net);
        sigemptyset(&one);
        sigaddset(&one, sent[i]);
        CHECK_EQ(sigtimedwait(&one, NULL, &soon), sent[i]);
    }
    pair_close(&p);
}

/* a host that blocks even the synchronous ones in its own thread: the library's threads do not take after it */
TEST(a_net_started_with_every_signal_blocked_leaves_the_same_six_open) {
    sigset_t all, before, after;
    iouringnet_net *net;

    sigfillset(&all);
    CHECK_EQ(pthread_sigmask(SIG_SETMASK, &all, &before), 0);
    CHECK_EQ(pthread_sigmask(SIG_SETMASK, NULL, &all), 0);
    net = net_of_mode();
    CHECK_EQ(check_threads("iouringnet-send") + check_threads("iouringnet-recv"), 2);
    CHECK_EQ(pthread_sigmask(SIG_SETMASK, &before, &after), 0);
    for (int signal = 1; signal <= 64; signal++)
        CHECK_EQ(sigismember(&all, signal), sigismember(&after, signal)); /* this thread's mask is its own */
    CHECK_OK(net_stop(net));
}
