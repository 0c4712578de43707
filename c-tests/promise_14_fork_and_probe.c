/* Promise 14: a forked child is refused at once, whatever it calls, and takes nothing away from its parent;
   where io_uring is not to be had the probe says why (fault_refused.c has those cases). */

#include "support.h"

#include <sys/utsname.h>

/* a child that says when its checks have passed, and then lives until `release` is closed */
struct child {
    pid_t pid;
    int release[2];
    int said[2];
    bool passed;
};

/* true in the child, which must go on to child_end */
static bool child_fork(struct child *child) {
    child->passed = false;
    CHECK_EQ(pipe(child->release), 0);
    CHECK_EQ(pipe(child->said), 0);
    child->pid = fork();
    CHECK(child->pid >= 0);
    if (child->pid == 0) {
        child_begin();
        close(child->release[1]);
        close(child->said[0]);
        return true;
    }
    close(child->release[0]);
    close(child->said[1]);
    return false;
}

/* the child: says that its checks held, then lives on until it is released */
_Noreturn static void child_end(struct child *child) {
    char byte;

    if (write(child->said[1], "k", 1) != 1)
        _exit(1);
    /* the end of the pipe, or of the parent */
    if (read(child->release[0], &byte, 1) != 0)
        _exit(1);
    _exit(0);
}

static void child_passed_its_checks(struct child *child) {
    char byte = 0;

    /* the end of the pipe instead: a check failed there, and has said which */
    CHECK_EQ(read(child->said[0], &byte, 1), 1);
    CHECK_EQ(byte, 'k');
    child->passed = true;
}

static void child_release(struct child *child) {
    if (!child->passed)
        child_passed_its_checks(child);
    close(child->release[1]);
    close(child->said[0]);
    CHECK_EQ(child_wait(child->pid), 0);
}

static void check_refused(const struct handles *h) {
    iouringnet_probe_result probe;
    iouringnet_net *net = (iouringnet_net *)&probe;

    every_call_gives(IOURINGNET_FORKED, KIND_ALL, *h, "a live handle in a forked child");
    CHECK_STATUS(net_start(NULL, &net), IOURINGNET_FORKED);
    CHECK(net == (iouringnet_net *)&probe);
    /* texts and the probe work */
    CHECK_EQ(iouringnet_version(), IOURINGNET_VERSION);
    CHECK(strcmp(iouringnet_errname(IOURINGNET_FORKED), "IOURINGNET_FORKED") == 0);
    CHECK(strlen(iouringnet_strerror(IOURINGNET_FORKED)) > 0);
    iouringnet_probe_result_init(&probe);
    CHECK_OK(iouringnet_probe(&probe));
    CHECK_OK(probe.status);
}

static struct handles live_handles(int *peer) {
    struct handles h;
    iouringnet_address address;

    h.net = net_of_mode();
    h.listener = bind_loopback(h.net, &address);
    *peer = raw_peer(h.net, &h.sink, &h.stream);
    CHECK_OK(net_call(h.net, 3600 * 1000, NULL, NULL, &h.op));
    return h;
}

TEST(every_call_in_a_forked_child_is_refused) {
    struct handles h;
    struct child child;
    iouringnet_address address;
    char got[4];
    int peer;

    h = live_handles(&peer);
    if (child_fork(&child)) {
        check_refused(&h);
        child_end(&child);
    }
    child_passed_its_checks(&child);
    /* the void calls of the child did nothing either: all of it still works here */
    CHECK_OK(sink_send(h.sink, "ping", 4, NULL));
    raw_recv(peer, got, 4);
    raw_send(peer, "pong", 4);
    CHECK_OK(stream_recv(h.stream, got, 4, NULL));
    CHECK_OK(listener_address(h.listener, &address));
    raw_close(raw_dial(address.text));
    CHECK_STATUS(op_wait(h.op, 0, NULL), IOURINGNET_PENDING);
    child_release(&child);
    CHECK_OK(net_stop(h.net));
    CHECK_STATUS(op_finish(h.op, NULL), IOURINGNET_STOPPED);
    raw_close(peer);
}

TEST(a_forked_child_of_a_stopped_net_is_refused_too) {
    struct handles h;
    struct child child;
    int peer;

    h = live_handles(&peer);
    CHECK_OK(net_stop(h.net));
    if (child_fork(&child)) {
        check_refused(&h);
        child_end(&child);
    }
    child_passed_its_checks(&child);
    child_release(&child);
    CHECK_OK(op_release(h.op));
    raw_close(peer);
}

TEST(the_peer_gets_its_fin_while_a_child_lives) {
    struct mixed m = mixed_pair();
    struct child child;
    char got[4];

    if (child_fork(&child))
        child_end(&child);
    CHECK_OK(sink_send(m.sink, "last", 4, NULL));
    sink_close(m.sink);
    stream_close(m.stream);
    raw_recv(m.peer, got, 4);
    raw_expect_eof(m.peer);
    raw_close(m.peer);
    EVENTUALLY(stats_of(m.net).connections == 0);
    child_release(&child);
    CHECK_OK(net_stop(m.net));
}

TEST(the_peer_gets_its_reset_while_a_child_lives) {
    iouringnet_net *net = net_of_mode();
    struct mixed m = mixed_pair_in(net, 0), jammed = mixed_pair_in(net, 0);
    struct child child;

    jam_sink(jammed.sink);
    if (child_fork(&child))
        child_end(&child);
    connection_abort(m.sink, NULL);
    connection_abort(jammed.sink, NULL);
    raw_expect_reset(m.peer);
    raw_expect_reset(jammed.peer);
    mixed_close(&m);
    mixed_close(&jammed);
    child_release(&child);
    CHECK_OK(net_stop(net));
}

TEST(a_stop_ends_connections_while_a_child_lives) {
    struct mixed m = mixed_pair();
    struct child child;
    char got[4];

    if (child_fork(&child))
        child_end(&child);
    CHECK_OK(sink_post(m.sink, "last", 4));
    CHECK_OK(net_stop(m.net));
    raw_recv(m.peer, got, 4);
    raw_expect_eof(m.peer);
    raw_close(m.peer);
    child_release(&child);
}

TEST(a_closed_listener_refuses_while_a_child_lives) {
    iouringnet_net *net = net_of_mode();
    iouringnet_address address;
    iouringnet_listener *listener = bind_loopback(net, &address), *again;
    struct result accept = RESULT;
    iouringnet_sink *sink;
    iouringnet_stream *stream;
    struct child child;

    CHECK_OK(listener_accept_async(listener, result_store, &accept, NULL));
    if (child_fork(&child))
        child_end(&child);
    listener_close(listener);
    CHECK_STATUS(result_wait(&accept), IOURINGNET_CLOSED);
    EVENTUALLY(stats_of(net).listeners == 0);
    CHECK_STATUS(net_dial(net, address.text, NULL, &sink, &stream), -ECONNREFUSED);
    /* and the port is free for a successor */
    CHECK_OK(net_bind(net, address.text, NULL, &again));
    child_release(&child);
    CHECK_OK(net_stop(net));
}

/* What works in every child starts nothing either: the child may then have nets. */
TEST(a_child_forked_before_the_first_net_has_nets_of_its_own) {
    iouringnet_probe_result probe;
    struct child child;

    need_engine();
    iouringnet_probe_result_init(&probe);
    CHECK_OK(iouringnet_probe(&probe));
    CHECK(strlen(iouringnet_strerror(IOURINGNET_EOF)) > 0);
    if (child_fork(&child)) {
        struct pair p = tcp_pair();
        char got[4];

        CHECK_OK(sink_send(p.a.sink, "ping", 4, NULL));
        CHECK_OK(stream_recv(p.b.stream, got, 4, NULL));
        pair_close(&p);
        child_end(&child);
    }
    child_passed_its_checks(&child);
    child_release(&child);
}

/* ---- forks while other threads are inside the library ---- */

struct talker {
    struct pair p;
    atomic_bool stop;
};

static void *talker_run(void *user) {
    struct talker *talker = user;

    while (!atomic_load(&talker->stop)) {
        char got[4];
        iouringnet_op *op;

        CHECK_OK(sink_send(talker->p.a.sink, "ping", 4, NULL));
        CHECK_OK(stream_recv(talker->p.b.stream, got, 4, NULL));
        CHECK_OK(net_call(talker->p.a.net, 3600 * 1000, NULL, NULL, &op));
        CHECK_OK(op_cancel(op));
        CHECK_STATUS(op_finish(op, NULL), IOURINGNET_CANCELLED);
    }
    return NULL;
}

TEST(a_child_forked_amid_calls_does_not_hang) {
    struct talker talkers[2] = {{tcp_pair(), false}, {tcp_pair(), false}};
    pthread_t threads[2];

    watchdog(120);
    for (int i = 0; i < 2; i++)
        threads[i] = spawn(talker_run, &talkers[i]);
    for (int i = 0; i < 50; i++) {
        pid_t pid = fork();

        CHECK(pid >= 0);
        if (pid == 0) {
            struct handles h = {talkers[0].p.a.net, NULL, talkers[0].p.a.sink, talkers[0].p.a.stream, NULL};

            /* a lock that a thread held at the fork is held for ever in here */
            child_begin();
            every_call_gives(IOURINGNET_FORKED, KIND_ALL, h, "a handle in a child forked amid calls");
            _exit(0);
        }
        CHECK_EQ(child_wait(pid), 0);
    }
    for (int i = 0; i < 2; i++) {
        atomic_store(&talkers[i].stop, true);
        join(threads[i]);
        pair_close(&talkers[i].p);
    }
}

static void fork_here(void *user) {
    struct handles h = handles_of(user);
    pid_t pid = fork();

    CHECK(pid >= 0);
    if (pid == 0) {
        child_begin();
        every_call_gives(IOURINGNET_FORKED, KIND_ALL, h, "a net, in a child forked inside a callback");
        _exit(0);
    }
    CHECK_EQ(child_wait(pid), 0);
}

TEST(a_child_forked_inside_a_callback_is_refused) {
    iouringnet_net *net = net_of_mode();

    on_callback_thread(net, fork_here, net);
    on_callback_thread(net, fork_here, net);
    CHECK_OK(net_stop(net));
}

/* ---- exec ---- */

TEST(a_program_started_by_exec_inherits_nothing) {
    iouringnet_net *net;
    iouringnet_address address;
    struct pair p;

    if (part_is("exec")) {
        char got[4];

        /* the descriptors of the parent's rings, sockets and wake-ups were closed by the exec */
        for (int fd = 3; fd < 64; fd++) {
            char path[64], target[64] = "";
            ssize_t length;

            snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
            length = readlink(path, target, sizeof target - 1);
            if (length < 0)
                continue;
            CHECK(strncmp(target, "socket:", 7) != 0);
            CHECK(strncmp(target, "anon_inode:", 11) != 0);
        }
        p = tcp_pair();
        CHECK_OK(sink_send(p.a.sink, "ping", 4, NULL));
        CHECK_OK(stream_recv(p.b.stream, got, 4, NULL));
        pair_close(&p);
        return;
    }
    net = net_of_mode();
    bind_loopback(net, &address);
    p = tcp_pair_in(net, net);
    CHECK_EQ(part_run(__func__, "exec"), 0);
    pair_close(&p);
    CHECK_OK(net_stop(net));
}

/* ---- the probe ---- */

static const uint32_t every_feature = IOURINGNET_FEATURE_DEFER_TASKRUN | IOURINGNET_FEATURE_COOP_TASKRUN |
                                      IOURINGNET_FEATURE_BUFFER_RING | IOURINGNET_FEATURE_NO_IOWAIT |
                                      IOURINGNET_FEATURE_MULTISHOT | IOURINGNET_FEATURE_SEND_MSG_RING |
                                      IOURINGNET_FEATURE_SILENT_SENDS;

TEST(the_probe_says_what_is_here) {
    iouringnet_probe_result probe, again;
    struct footprint before = footprint();
    iouringnet_net *net = net_of_mode();
    struct utsname names;

    CHECK_OK(net_stop(net));
    iouringnet_probe_result_init(&probe);
    CHECK_OK(iouringnet_probe(&probe));
    CHECK_OK(probe.status);
    CHECK_EQ(probe.error, 0);
    CHECK_EQ(uname(&names), 0);
    CHECK(memchr(probe.kernel, 0, sizeof probe.kernel) != NULL && strcmp(probe.kernel, names.release) == 0);
    CHECK(strlen(probe.text) > 0 && memchr(probe.text, 0, sizeof probe.text) != NULL);
    CHECK_EQ(probe.features & ~every_feature, 0);
    iouringnet_probe_result_init(&again);
    CHECK_OK(iouringnet_probe(&again));
    CHECK_EQ(again.features, probe.features);
    footprint_returns(before);
}

static const struct {
    const char *name;
    uint32_t bit;
} features[] = {
    {"defer_taskrun", IOURINGNET_FEATURE_DEFER_TASKRUN}, {"coop_taskrun", IOURINGNET_FEATURE_COOP_TASKRUN},
    {"buffer_ring", IOURINGNET_FEATURE_BUFFER_RING},     {"no_iowait", IOURINGNET_FEATURE_NO_IOWAIT},
    {"multishot", IOURINGNET_FEATURE_MULTISHOT},         {"send_msg_ring", IOURINGNET_FEATURE_SEND_MSG_RING},
    {"silent_sends", IOURINGNET_FEATURE_SILENT_SENDS},
};

/* what the text says is what the bits say; gives them */
static uint32_t probed_features(void) {
    iouringnet_probe_result probe;

    iouringnet_probe_result_init(&probe);
    CHECK_OK(iouringnet_probe(&probe));
    CHECK_OK(probe.status);
    for (size_t i = 0; i < sizeof features / sizeof *features; i++)
        CHECK_EQ((probe.features & features[i].bit) != 0, strstr(probe.text, features[i].name) != NULL);
    return probe.features;
}

TEST(the_probe_tells_the_features_that_a_net_would_use) {
    uint32_t found;

    need_engine();
    found = probed_features();
    for (size_t i = 0; i < sizeof features / sizeof *features; i++) {
        CHECK_EQ(setenv("IOURINGNET_FEATURES_OFF", features[i].name, 1), 0);
        CHECK_EQ(probed_features() & features[i].bit, 0);
        CHECK_EQ(unsetenv("IOURINGNET_FEATURES_OFF"), 0);
    }
    CHECK_EQ(probed_features() & found, found);
}

static void probe_here(void *user) {
    iouringnet_probe_result *probe = user;
    CHECK_OK(iouringnet_probe(probe));
}

TEST(the_probe_works_inside_a_callback) {
    iouringnet_net *net = net_of_mode();
    iouringnet_probe_result probe;

    iouringnet_probe_result_init(&probe);
    probe.status = IOURINGNET_PANIC;
    on_callback_thread(net, probe_here, &probe);
    CHECK_OK(probe.status);
    CHECK_OK(net_stop(net));
}
