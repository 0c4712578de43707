/* Promise 9, a shortage that is not the process's own, and one that a callback meets: closed connections pay for it, one
   for each try, and nobody waits in a callback. */

#include "support.h"

enum { HELD = 12, HELD_SIZE = 8 << 20, DESCRIPTORS = 256 };

static void hold_all(struct draining held[HELD], iouringnet_net *net, const char *data) {
    for (int i = 0; i < HELD; i++)
        draining_begin(&held[i], net, data, HELD_SIZE);
}

/* the first ones had to go, and no other did */
static void check_gone(struct draining held[HELD], iouringnet_net *net, int from, int to, iouringnet_status status) {
    for (int i = from; i < to; i++) {
        CHECK_STATUS(result_wait(&held[i].send), status);
        raw_expect_reset(held[i].peer);
    }
    EVENTUALLY(stats_of(net).drains_shed >= (uint64_t)to);
    settle(net);
    CHECK_EQ(stats_of(net).drains_shed, to);
    for (int i = to; i < HELD; i++)
        CHECK_EQ(held[i].send.calls, 0);
}

static void held_close(struct draining held[HELD]) {
    for (int i = 0; i < HELD; i++)
        raw_close(held[i].peer);
}

/* ---- a shortage of the whole machine ---- */

/* from now on no socket is made in this thread, for want of what `error` names */
static void refuse_sockets(int error) {
    refuse_call(SYS_socket, error, THIS_THREAD);
    refuse_call(SYS_accept4, error, THIS_THREAD);
}

/* a thread for which the machine has no socket left; the loops still get some */
struct poor {
    iouringnet_net *net;
    const char *address;
    int error;
    iouringnet_status bound, dialled;
    struct end end;
};

static void *poor_run(void *user) {
    struct poor *poor = user;
    iouringnet_listener *listener = NULL;

    refuse_sockets(poor->error);
    poor->bound = net_bind(poor->net, "127.0.0.1:0", NULL, &listener);
    poor->dialled = net_dial(poor->net, poor->address, NULL, &poor->end.sink, &poor->end.stream);
    return NULL;
}

static void pays_for(int error) {
    iouringnet_net *net = net_of_mode();
    struct draining held[HELD];
    iouringnet_address address;
    int plain = raw_listen(&address);
    struct poor poor = {.net = net, .address = address.text, .error = error};
    char *data = take(HELD_SIZE);

    memset(data, 1, HELD_SIZE);
    hold_all(held, net, data);
    join(spawn(poor_run, &poor));
    /* a bind tries again for each of its two descriptors; a dial goes on in the loop, which finds a socket */
    CHECK_STATUS(poor.bound, -error);
    CHECK_OK(poor.dialled);
    check_gone(held, net, 0, 2, -error);
    end_close(&poor.end);
    held_close(held);
    raw_close(plain);
    CHECK_OK(net_stop(net));
    free(data);
}

TEST(closed_connections_pay_for_descriptors_of_the_machine) {
    pays_for(ENFILE);
}

TEST(closed_connections_pay_for_buffers_of_the_kernel) {
    pays_for(ENOBUFS);
}

TEST(closed_connections_pay_for_memory_of_the_kernel) {
    pays_for(ENOMEM);
}

/* any other error of a thread's own costs nobody anything */
TEST(closed_connections_do_not_pay_for_what_is_refused) {
    iouringnet_net *net = net_of_mode();
    struct draining held[HELD];
    iouringnet_address address;
    int plain = raw_listen(&address);
    struct poor poor = {.net = net, .address = address.text, .error = EACCES};
    char *data = take(HELD_SIZE);

    memset(data, 1, HELD_SIZE);
    hold_all(held, net, data);
    join(spawn(poor_run, &poor));
    CHECK_STATUS(poor.bound, -EACCES);
    CHECK_STATUS(poor.dialled, rings_only() ? 0 : -EACCES);
    check_gone(held, net, 0, 0, 0);
    if (poor.dialled == 0)
        end_close(&poor.end);
    held_close(held);
    raw_close(plain);
    CHECK_OK(net_stop(net));
    free(data);
}

static void poor_loop(void *user) {
    (void)user;
    refuse_sockets(ENFILE);
}

/* the callback thread is the one that accepts */
TEST(an_accept_has_closed_connections_pay_for_descriptors_of_the_machine) {
    iouringnet_net *net = net_of_mode();
    struct draining held[HELD];
    iouringnet_address address;
    iouringnet_listener *listener = bind_loopback(net, &address);
    struct result accept = RESULT;
    char *data = take(HELD_SIZE);
    int peer;

    memset(data, 1, HELD_SIZE);
    hold_all(held, net, data);
    on_callback_thread(net, poor_loop, NULL);
    CHECK_OK(listener_accept_async(listener, result_store, &accept, NULL));
    /* as long as nobody dials, nobody pays */
    pass(200);
    CHECK_EQ(stats_of(net).accept_errors, 0);
    CHECK_EQ(stats_of(net).drains_shed, 0);
    peer = raw_dial(address.text);
    CHECK_STATUS(result_wait(&held[0].send), -ENFILE);
    raw_expect_reset(held[0].peer);
    CHECK(stats_of(net).accept_errors > 0);
    CHECK_EQ(accept.calls, 0);
    for (int i = 0; i < HELD; i++)
        raw_reset(held[i].peer);
    for (int i = 1; i < HELD; i++) /* else the stop could cut what the loop has not seen broken yet */
        CHECK(result_wait(&held[i].send) != 0);
    CHECK_OK(net_stop(net));
    CHECK_STATUS(accept.done.status, IOURINGNET_STOPPED);
    raw_close(peer);
    free(data);
}

/* ---- in a callback ---- */

enum { BINDS = 4 };

struct binding {
    iouringnet_net *net;
    iouringnet_status status[BINDS];
    int64_t fastest_ms;
};

/* the connections that are to go wait for this very callback to return */
static void binds(void *user) {
    struct binding *binding = user;
    iouringnet_listener *listener = NULL;

    for (int i = 0; i < BINDS; i++) {
        int64_t began = now_ms(), took;

        binding->status[i] = net_bind(binding->net, "127.0.0.1:0", NULL, &listener);
        took = now_ms() - began;
        if (i == 0 || took < binding->fastest_ms)
            binding->fastest_ms = took;
    }
}

TEST(a_bind_in_a_callback_waits_for_no_descriptor) {
    struct rlimit before, limit;
    iouringnet_net *net;
    struct draining held[HELD];
    struct binding binding = {0};
    char *data = take(HELD_SIZE);

    CHECK_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
    limit = before;
    limit.rlim_cur = DESCRIPTORS;
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
    net = net_of_mode();
    memset(data, 1, HELD_SIZE);
    hold_all(held, net, data);
    while (fcntl(0, F_DUPFD_CLOEXEC, 0) >= 0)
        ;
    CHECK_EQ(errno, EMFILE);
    binding.net = net;
    on_callback_thread(net, binds, &binding);
    for (int i = 0; i < BINDS; i++)
        CHECK_STATUS(binding.status[i], -EMFILE);
    /* outside of a callback each would wait for 100 ms */
    CHECK_BETWEEN(binding.fastest_ms, 0, 80);
    check_gone(held, net, 0, BINDS, -EMFILE);
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
    held_close(held);
    CHECK_OK(net_stop(net));
    free(data);
}
