/* A net_wake in a signal handler that meets the end of its net: the handler never has the last reference to the net. */

#include "own_loop.h"

static __thread volatile sig_atomic_t in_handler;
static atomic_int freed_in_handlers;

#if defined(__GLIBC__) && !defined(__SANITIZE_ADDRESS__)
#define COUNTS_FREES 1
extern void __libc_free(void *memory);

/* in the place of libc's, for the library too */
void free(void *memory) {
    if (memory != NULL && in_handler)
        atomic_fetch_add(&freed_in_handlers, 1);
    __libc_free(memory);
}
#else
#define COUNTS_FREES 0
#endif

static iouringnet_net *woken;
static atomic_bool is_over;

static void wakes_in_handler(int signal) {
    (void)signal;
    in_handler = 1;
    if (net_wake(woken) == IOURINGNET_BAD_HANDLE)
        atomic_store(&is_over, true);
    in_handler = 0;
}

static void *is_interrupted(void *user) {
    (void)user;
    while (!atomic_load(&is_over))
        sched_yield();
    return NULL;
}

static void *interrupts(void *user) {
    while (!atomic_load(&is_over))
        CHECK_EQ(pthread_kill(*(pthread_t *)user, SIGUSR1), 0);
    return NULL;
}

TEST(a_signal_handler_that_meets_a_stop_frees_nothing) {
    int64_t end = now_ms() + 5000; /* the two threads leave a loaded machine little */
    struct sigaction action = {.sa_handler = wakes_in_handler, .sa_flags = SA_RESTART};

    if (!COUNTS_FREES)
        SKIP("this program cannot count what is freed");
    CHECK_EQ(sigaction(SIGUSR1, &action, NULL), 0);
    for (int i = 0; i < 600 && now_ms() < end; i++) {
        struct result stopped = RESULT;
        pthread_t one, two;

        woken = own_loop();
        atomic_store(&is_over, false);
        one = spawn(is_interrupted, NULL);
        two = spawn(interrupts, &one);
        CHECK_OK(net_stop_async(woken, result_store, &stopped, NULL));
        while (net_dispatch(woken, 10) != IOURINGNET_STOPPED)
            ;
        join(two);
        join(one);
    }
    CHECK_EQ(freed_in_handlers, 0);
}
