/* A kernel that is busy: it refuses a call in which a loop waits now and then, and takes it the next time. Kernels do so at a
   signal (EINTR). A ring also refuses where memory is short for a moment (EAGAIN), and where completions wait for room (EBUSY).

   This program defines syscall itself, so the library's calls come here.
   Promise 11. */

#include "own_syscall.h"
#include "support.h"

static atomic_int busy; /* the errno, or 0 */
static atomic_uint calls, refused;

/* counts a call; true: it is to be refused */
static bool is_refused(void) {
    if (atomic_load(&busy) == 0 || atomic_fetch_add(&calls, 1) % 3 == 2)
        return false;
    atomic_fetch_add(&refused, 1);
    errno = atomic_load(&busy);
    return true;
}

static bool fails(long number) {
    bool waits = number == SYS_io_uring_enter || number == SYS_epoll_pwait || number == SYS_epoll_pwait2;
    return waits && is_refused();
}

static void everything_goes_on(int error) {
    enum { SIZE = 2 << 20, COUNT = 4 };
    iouringnet_net *net = net_of_mode();
    struct pair pairs[COUNT];
    struct result sends[COUNT], receives[COUNT], timer = RESULT;
    char *data = take(SIZE), *got = take((size_t)COUNT * SIZE);

    pattern_fill(data, SIZE, 0, 5);
    atomic_store(&busy, error);
    for (int i = 0; i < COUNT; i++) {
        pairs[i] = tcp_pair_in(net, net);
        result_init(&sends[i]);
        result_init(&receives[i]);
        CHECK_OK(stream_recv_async(pairs[i].b.stream, got + (size_t)i * SIZE, SIZE, result_store, &receives[i], NULL));
        CHECK_OK(sink_send_async(pairs[i].a.sink, data, SIZE, result_store, &sends[i], NULL));
    }
    CHECK_OK(net_call(net, 20, result_store, &timer, NULL));
    for (int i = 0; i < COUNT; i++) {
        CHECK_OK(result_wait(&sends[i]));
        CHECK_OK(result_wait(&receives[i]));
        pattern_check(got + (size_t)i * SIZE, SIZE, 0, 5);
        pair_close(&pairs[i]);
    }
    CHECK_OK(result_wait(&timer));
    EVENTUALLY(atomic_load(&refused) > 0); /* at the latest when the loops have nothing left to do */
    CHECK_OK(net_stop(net));
    free(data);
    free(got);
}

TEST(a_kernel_without_memory_for_a_moment_stops_no_loop) {
    about_io_uring();
    everything_goes_on(EAGAIN);
}

TEST(a_kernel_without_room_for_completions_for_a_moment_stops_no_loop) {
    about_io_uring();
    everything_goes_on(EBUSY);
}

TEST(a_call_that_was_interrupted_stops_no_loop) {
    everything_goes_on(EINTR);
}
