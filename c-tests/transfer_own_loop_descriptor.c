/* The descriptor of a program's own loop: readable exactly while net_dispatch has something to do. */

#include "own_loop.h"

#include <sys/epoll.h>

static int descriptor_of_net(iouringnet_net *net) {
    int fd = -1;

    CHECK_OK(net_fd(net, &fd));
    CHECK(fd >= 0);
    dispatch_all(net); /* the first net_fd makes it readable once */
    CHECK(!is_readable(fd, 0));
    return fd;
}

/* waits for it, and finds it readable again and again until it is dispatched */
static void becomes_readable(int fd) {
    CHECK(is_readable(fd, WAIT_MS));
    CHECK(is_readable(fd, 0));
}

/* what was readable is done, and then there is nothing to do */
static void is_dispatched(iouringnet_net *net, int fd) {
    CHECK_OK(net_dispatch(net, 0));
    dispatch_all(net);
    CHECK(!is_readable(fd, 0));
}

static void count_call(void *user, const iouringnet_completion *done) {
    if (done->status == 0)
        ++*(int *)user;
}

struct taken {
    size_t size;
    iouringnet_status status;
};

static size_t takes(void *user, iouringnet_status status, const void *data, size_t size) {
    struct taken *taken = user;

    (void)data;
    if (status == 0)
        taken->size += size;
    taken->status = status;
    return size;
}

TEST(bytes_make_it_readable) {
    iouringnet_net *net = own_loop();
    int fd = descriptor_of_net(net), same = -1;
    struct dialled dialled = dialled_in(net);
    struct taken taken = {0, 0};

    CHECK_OK(net_fd(net, &same));
    CHECK_EQ(same, fd);
    CHECK_OK(watch_data(dialled.stream, takes, &taken));
    dispatch_all(net);
    CHECK(!is_readable(fd, 0));
    for (size_t i = 1; i <= 3; i++) {
        raw_send(dialled.peer, "abcd", 4);
        becomes_readable(fd);
        is_dispatched(net, fd);
        CHECK_EQ(taken.size, 4 * i);
    }
    raw_half_close(dialled.peer);
    becomes_readable(fd);
    is_dispatched(net, fd);
    CHECK_STATUS(taken.status, IOURINGNET_EOF);
    raw_close(dialled.peer);
    CHECK_OK(net_stop(net));
}

TEST(a_paused_peer_does_not_make_it_readable) {
    iouringnet_net *net = own_loop();
    int fd = descriptor_of_net(net);
    struct dialled dialled = dialled_in(net);
    struct taken taken = {0, 0};

    CHECK_OK(watch_data(dialled.stream, takes, &taken));
    CHECK_OK(stream_pause(dialled.stream));
    dispatch_all(net);
    raw_send(dialled.peer, "abcd", 4);
    EVENTUALLY(raw_unacknowledged(dialled.peer) == 0);
    dispatch_all(net);
    CHECK(!is_readable(fd, 50));
    CHECK_EQ(taken.size, 0);
    CHECK_OK(stream_resume(dialled.stream));
    becomes_readable(fd);
    DISPATCH_UNTIL(net, taken.size == 4);
    raw_close(dialled.peer);
    CHECK_OK(net_stop(net));
}

TEST(a_connection_makes_it_readable) {
    iouringnet_net *net = own_loop();
    int fd = descriptor_of_net(net), peer, calls = 0;
    iouringnet_address address;
    iouringnet_listener *listener = bind_loopback(net, &address);

    CHECK_OK(listener_watch(listener, count_call, &calls));
    dispatch_all(net);
    CHECK(!is_readable(fd, 0));
    peer = raw_dial(address.text);
    becomes_readable(fd);
    is_dispatched(net, fd);
    CHECK_EQ(calls, 1);
    raw_close(peer);
    CHECK_OK(net_stop(net));
}

/* What a callback begins may be over at once. Its callback is then left for the next turn. */
struct chain {
    iouringnet_sink *sink;
    int left;
};

static void flushes_again(void *user, const iouringnet_completion *done) {
    struct chain *chain = user;

    CHECK_OK(done->status);
    if (--chain->left > 0)
        CHECK_OK(sink_flush_async(chain->sink, flushes_again, chain, NULL));
}

TEST(a_callback_that_is_left_keeps_it_readable) {
    iouringnet_net *net = own_loop();
    int fd = descriptor_of_net(net);
    struct dialled dialled = dialled_in(net);
    struct chain chain = {dialled.sink, 20};

    CHECK_OK(sink_flush_async(dialled.sink, flushes_again, &chain, NULL));
    while (chain.left > 0) {
        int left = chain.left;

        becomes_readable(fd);
        CHECK_OK(net_dispatch(net, 0));
        CHECK(chain.left < left);
    }
    dispatch_all(net);
    CHECK(!is_readable(fd, 0));
    raw_close(dialled.peer);
    CHECK_OK(net_stop(net));
}

/* ---- timers ---- */

TEST(a_timer_makes_it_readable_in_time) {
    iouringnet_net *net = own_loop();
    int fd = descriptor_of_net(net), calls = 0;
    int64_t began = now_ms();

    CHECK_OK(net_call(net, 120, count_call, &calls, NULL));
    dispatch_all(net);
    CHECK(!is_readable(fd, 0));
    becomes_readable(fd);
    CHECK_BETWEEN(now_ms() - began, 120, 120 + patient(2000));
    is_dispatched(net, fd);
    CHECK_EQ(calls, 1);
    CHECK_OK(net_stop(net));
}

TEST(an_earlier_timer_comes_first_and_a_later_one_still_comes) {
    iouringnet_net *net = own_loop();
    int fd = descriptor_of_net(net), late = 0, early = 0, last = 0;
    int64_t began = now_ms();

    CHECK_OK(net_call(net, 300, count_call, &late, NULL));
    dispatch_all(net);
    CHECK_OK(net_call(net, 100, count_call, &early, NULL));
    CHECK_OK(net_call(net, 400, count_call, &last, NULL));
    dispatch_all(net);
    becomes_readable(fd);
    CHECK_BETWEEN(now_ms() - began, 100, 299);
    is_dispatched(net, fd);
    CHECK_EQ(early, 1);
    becomes_readable(fd);
    CHECK_BETWEEN(now_ms() - began, 300, 399);
    is_dispatched(net, fd);
    CHECK_EQ(late, 1);
    becomes_readable(fd);
    is_dispatched(net, fd);
    CHECK_EQ(last, 1);
    CHECK_OK(net_stop(net));
}

/* Whoever asks for the descriptor when a timer already runs gets it for that timer, too. */
TEST(a_timer_that_runs_already_makes_it_readable) {
    iouringnet_net *net = own_loop();
    int fd, calls = 0;

    CHECK_OK(net_call(net, 100, count_call, &calls, NULL));
    dispatch_all(net);
    fd = descriptor_of_net(net);
    becomes_readable(fd);
    is_dispatched(net, fd);
    CHECK_EQ(calls, 1);
    CHECK_OK(net_stop(net));
}

/* A timer whose deadline nobody wants any more may wake the program up once. */
TEST(an_idle_net_does_not_spin) {
    iouringnet_net *net = own_loop();
    int fd = descriptor_of_net(net), turns = 0;
    struct dialled dialled = dialled_in(net);
    struct taken taken = {0, 0};
    iouringnet_op *soon, *later;
    int64_t end;

    CHECK_OK(watch_data(dialled.stream, takes, &taken));
    CHECK_OK(net_call(net, 100, NULL, NULL, &soon));
    CHECK_OK(net_call(net, 3600000, NULL, NULL, &later));
    dispatch_all(net);
    CHECK_OK(op_cancel(soon));
    end = now_ms() + 300;
    while (now_ms() < end) {
        if (is_readable(fd, 50)) {
            turns++;
            (void)net_dispatch(net, 0);
        }
    }
    CHECK_BETWEEN(turns, 1, 5);
    CHECK_STATUS(op_wait(soon, 0, NULL), 0);
    CHECK_OK(op_release(soon));
    CHECK_OK(op_cancel(later));
    dispatch_all(net);
    CHECK_OK(op_release(later));
    raw_close(dialled.peer);
    CHECK_OK(net_stop(net));
}

/* ---- other threads ---- */

struct other {
    iouringnet_net *net;
    int *calls;
};

static void *calls_from_elsewhere(void *user) {
    struct other *other = user;

    CHECK_OK(net_call(other->net, 0, count_call, other->calls, NULL));
    return NULL;
}

TEST(work_of_another_thread_makes_it_readable) {
    iouringnet_net *net = own_loop();
    int fd = descriptor_of_net(net), calls = 0;
    struct other other = {net, &calls};

    join(spawn(calls_from_elsewhere, &other));
    becomes_readable(fd);
    DISPATCH_UNTIL(net, calls == 1);
    dispatch_all(net);
    CHECK(!is_readable(fd, 0));
    CHECK_OK(net_stop(net));
}

static void *wakes(void *user) {
    CHECK_OK(net_wake(user));
    return NULL;
}

TEST(a_wake_makes_it_readable) {
    iouringnet_net *net = own_loop();
    int fd = descriptor_of_net(net);

    join(spawn(wakes, net));
    becomes_readable(fd);
    is_dispatched(net, fd);
    CHECK_OK(net_stop(net));
}

static void *stops(void *user) {
    CHECK_OK(net_stop(user));
    return NULL;
}

TEST(a_stop_makes_it_readable_until_it_is_carried_out) {
    iouringnet_net *net = own_loop();
    int fd = descriptor_of_net(net), turns = 0;
    struct dialled dialled = dialled_in(net);
    struct taken taken = {0, 0};
    iouringnet_status status = 0;
    pthread_t thread;

    CHECK_OK(watch_data(dialled.stream, takes, &taken));
    dispatch_all(net);
    raw_half_close(dialled.peer);
    raw_close(dialled.peer);
    thread = spawn(stops, net);
    while (status == 0 || status == IOURINGNET_TIMEOUT) {
        CHECK(is_readable(fd, WAIT_MS));
        status = net_dispatch(net, 0);
        CHECK(++turns < 1000);
    }
    CHECK_STATUS(status, IOURINGNET_STOPPED);
    join(thread);
    CHECK_STATUS(net_dispatch(net, 0), IOURINGNET_BAD_HANDLE);
    CHECK_STATUS(net_fd(net, &fd), IOURINGNET_BAD_HANDLE);
}

/* ---- in another loop ---- */

TEST(an_epoll_of_the_program_holds_it) {
    iouringnet_net *net = own_loop();
    int fd = descriptor_of_net(net), outer = epoll_create1(EPOLL_CLOEXEC), calls = 0;
    struct epoll_event event = {.events = EPOLLIN, .data = {.fd = fd}};
    struct dialled dialled = dialled_in(net);
    struct taken taken = {0, 0};

    CHECK(outer >= 0);
    CHECK_EQ(epoll_ctl(outer, EPOLL_CTL_ADD, fd, &event), 0);
    CHECK_OK(watch_data(dialled.stream, takes, &taken));
    CHECK_OK(net_call(net, 50, count_call, &calls, NULL));
    dispatch_all(net);
    CHECK_EQ(epoll_wait(outer, &event, 1, 0), 0);
    raw_send(dialled.peer, "abcd", 4);
    while (taken.size < 4 || calls < 1) {
        CHECK_EQ(epoll_wait(outer, &event, 1, (int)WAIT_MS), 1);
        CHECK_OK(net_dispatch(net, 0));
    }
    dispatch_all(net);
    CHECK_EQ(epoll_wait(outer, &event, 1, 0), 0);
    CHECK_EQ(close(outer), 0);
    raw_close(dialled.peer);
    CHECK_OK(net_stop(net));
}

/* ---- what it is not ---- */

TEST(a_net_with_a_thread_of_its_own_has_none) {
    iouringnet_net *net = net_of_mode();
    int fd = -7;

    CHECK_STATUS(net_fd(net, &fd), IOURINGNET_INVALID);
    CHECK_STATUS(net_wake(net), IOURINGNET_INVALID);
    CHECK_STATUS(net_dispatch(net, 0), IOURINGNET_INVALID);
    CHECK_EQ(fd, -7);
    CHECK_OK(net_stop(net));
}

TEST(nets_leave_no_descriptor_behind) {
    size_t before;

    CHECK_OK(net_stop(own_loop()));
    before = count_entries("/proc/self/fd");
    for (int i = 0; i < 3; i++) {
        iouringnet_net *net = own_loop();

        (void)descriptor_of_net(net);
        CHECK_OK(net_stop(net));
    }
    CHECK_EQ(count_entries("/proc/self/fd"), before);
}
