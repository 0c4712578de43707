/* Promise 11: nothing the peer, the network or the caller does stops a loop; no signal reaches the host
   because of the library; a loop that dies all the same fails every pending operation. */

#include "support.h"

#include <sys/mman.h>
#include <sys/time.h>

static void echo_once(struct pair *p) {
    char got[4];

    CHECK_OK(sink_send(p->a.sink, "ping", 4, NULL));
    CHECK_OK(stream_recv(p->b.stream, got, 4, NULL));
    CHECK_MEM(got, "ping", 4);
    CHECK_OK(sink_send(p->b.sink, "pong", 4, NULL));
    CHECK_OK(stream_recv(p->a.stream, got, 4, NULL));
    CHECK_MEM(got, "pong", 4);
}

/* ---- signals ---- */

TEST(a_host_with_default_sigpipe_survives_a_dead_peer) {
    struct pair p = tcp_pair();
    struct mixed dead[6];
    struct iovec part = {(void *)(uintptr_t) "data", 4}, parts[2] = {part, part};
    iouringnet_op *op;
    char byte;

    /* a harness that ignored it would hide the fault */
    CHECK(signal(SIGPIPE, SIG_DFL) != SIG_ERR);
    for (int i = 0; i < 6; i++) {
        dead[i] = mixed_pair_in(p.a.net, 0);
        raw_reset(dead[i].peer);
        /* the reset is here; the receive consumes the socket's error, so that the next send finds EPIPE */
        CHECK_STATUS(stream_recv(dead[i].stream, &byte, 1, NULL), -ECONNRESET);
    }
    CHECK_STATUS(sink_send(dead[0].sink, "data", 4, NULL), -ECONNRESET);
    CHECK_STATUS(sink_sendv(dead[1].sink, &part, 1, NULL), -ECONNRESET);
    CHECK_OK(sink_send_async(dead[2].sink, "data", 4, NULL, NULL, &op));
    CHECK_STATUS(op_finish(op, NULL), -ECONNRESET);
    CHECK_OK(sink_sendv_async(dead[3].sink, &part, 1, NULL, NULL, &op));
    CHECK_STATUS(op_finish(op, NULL), -ECONNRESET);
    EVENTUALLY(sink_post(dead[4].sink, "data", 4) == -ECONNRESET);
    /* several parts go by another system call */
    CHECK_STATUS(sink_sendv(dead[5].sink, parts, 2, NULL), -ECONNRESET);
    /* close has to send as well: a FIN into a dead connection */
    for (int i = 0; i < 6; i++)
        mixed_stop(&dead[i]);
    echo_once(&p);
    pair_close(&p);
}

TEST(a_waiting_send_meets_a_dead_peer_without_sigpipe) {
    struct mixed m = mixed_pair();
    struct result send = RESULT;

    CHECK(signal(SIGPIPE, SIG_DFL) != SIG_ERR);
    jam_sink(m.sink);
    CHECK_OK(sink_send_async(m.sink, "data", 4, result_store, &send, NULL));
    raw_reset(m.peer);
    CHECK_STATUS(result_wait(&send), -ECONNRESET);
    CHECK_STATUS(sink_send(m.sink, "data", 4, NULL), -ECONNRESET);
    mixed_stop(&m);
}

static void check_signals_blocked(void *user) {
    static const int signals[] = {SIGHUP,  SIGINT,  SIGQUIT, SIGTERM, SIGPIPE, SIGALRM,
                                  SIGCHLD, SIGUSR1, SIGUSR2, SIGPROF, SIGIO};
    sigset_t set;

    CHECK_EQ(pthread_sigmask(SIG_SETMASK, NULL, &set), 0);
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
        CHECK_EQ(sigismember(&set, signals[i]), 1);
    *(pid_t *)user = thread_id();
}

static atomic_int signals_seen;
static atomic_int wrong_thread;

static void count_signal(int signal) {
    (void)signal;
    atomic_fetch_add(&signals_seen, 1);
    if ((pid_t)syscall(SYS_gettid) != getpid())
        atomic_store(&wrong_thread, 1);
}

TEST(signals_never_run_on_the_loops_threads) {
    struct pair p = tcp_pair();
    struct sigaction action;
    pid_t loop = 0;

    memset(&action, 0, sizeof action);
    action.sa_handler = count_signal;
    CHECK_EQ(sigaction(SIGUSR1, &action, NULL), 0);
    on_callback_thread(p.a.net, check_signals_blocked, &loop);
    CHECK(loop != getpid());
    for (int i = 0; i < 1000; i++) {
        CHECK_EQ(kill(getpid(), SIGUSR1), 0);
        echo_once(&p);
    }
    CHECK(atomic_load(&signals_seen) > 0);
    CHECK_EQ(wrong_thread, 0);
    pair_close(&p);
}

TEST(a_storm_of_signals_interrupts_no_call) {
    struct itimerval each = {{0, 500}, {0, 500}}, none = {{0, 0}, {0, 0}};
    struct pair p = tcp_pair();
    struct sigaction action;

    memset(&action, 0, sizeof action);
    action.sa_handler = count_signal;
    action.sa_flags = 0; /* without SA_RESTART: the kernel gives EINTR where it can */
    CHECK_EQ(sigaction(SIGPROF, &action, NULL), 0);
    CHECK_EQ(sigaction(SIGVTALRM, &action, NULL), 0);
    CHECK_EQ(sigaction(SIGUSR1, &action, NULL), 0);
    CHECK_EQ(setitimer(ITIMER_PROF, &each, NULL), 0);
    CHECK_EQ(setitimer(ITIMER_VIRTUAL, &each, NULL), 0);
    for (int i = 0; i < 2000; i++) {
        iouringnet_op *op;
        char got[4];

        CHECK_OK(stream_recv_async(p.b.stream, got, 4, NULL, NULL, &op));
        CHECK_EQ(kill(getpid(), SIGUSR1), 0);
        CHECK_OK(sink_send(p.a.sink, "ping", 4, NULL));
        CHECK_OK(op_finish(op, NULL));
    }
    CHECK_EQ(setitimer(ITIMER_PROF, &none, NULL), 0);
    CHECK_EQ(setitimer(ITIMER_VIRTUAL, &none, NULL), 0);
    CHECK(atomic_load(&signals_seen) > 100);
    pair_close(&p);
}

TEST(a_process_stopped_and_continued_goes_on) {
    struct pair p = tcp_pair();
    pid_t parent = getpid(), pid = fork();
    struct timespec pause = {0, 5000000};

    CHECK(pid >= 0);
    if (pid == 0) {
        /* SIGCONT interrupts even calls whose thread blocks all signals */
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (int i = 0; i < 50; i++) {
            kill(parent, SIGSTOP);
            kill(parent, SIGCONT);
            nanosleep(&pause, NULL);
        }
        _exit(0);
    }
    for (;;) {
        int status;

        echo_once(&p);
        if (waitpid(pid, &status, WNOHANG) == pid)
            break;
    }
    echo_once(&p);
    pair_close(&p);
}

/* ---- what peers and callers do ---- */

TEST(peers_that_reset_at_every_moment_stop_nothing) {
    enum { PEERS = 200 };
    struct pair p = tcp_pair();
    char *data = take(1 << 20);

    memset(data, 1, 1 << 20);
    for (int i = 0; i < PEERS; i++) {
        struct mixed m = mixed_pair_in(p.a.net, 0);
        struct result recv = RESULT, send = RESULT;
        char into[64];

        if (i & 1)
            CHECK_OK(stream_recv_async(m.stream, into, sizeof into, result_store, &recv, NULL));
        if (i & 2)
            CHECK_OK(sink_send_async(m.sink, data, 1 << 20, result_store, &send, NULL));
        if (i & 4)
            raw_send(m.peer, "part of it", 10);
        if (i & 8)
            raw_half_close(m.peer);
        raw_reset(m.peer);
        if (i & 1)
            CHECK(result_wait(&recv) != 0);
        if (i & 2)
            result_wait(&send);
        sink_close(m.sink);
        stream_close(m.stream);
        if (i % 20 == 0)
            echo_once(&p);
    }
    echo_once(&p);
    EVENTUALLY(stats_of(p.a.net).connections == 2);
    pair_close(&p);
    free(data);
}

TEST(memory_that_cannot_be_read_fails_its_send_alone) {
    iouringnet_net *net = net_of_mode();
    struct pair good = tcp_pair_in(net, net), p = tcp_pair_in(net, net), q = tcp_pair_in(net, net);
    char *none = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    iouringnet_op *op;
    size_t sent = 99;

    CHECK(none != MAP_FAILED);
    CHECK_STATUS(sink_send(p.a.sink, none, 4096, &sent), -EFAULT);
    CHECK_EQ(sent, 0);
    CHECK_OK(sink_send_async(q.a.sink, none, 4096, NULL, NULL, &op));
    CHECK_STATUS(op_finish(op, NULL), -EFAULT);
    echo_once(&good);
    CHECK_EQ(munmap(none, 4096), 0);
    pair_close(&good);
    pair_close(&p);
    pair_close(&q);
    CHECK_OK(net_stop(net));
}

/* ---- a loop that dies all the same ---- */

TEST(a_loop_that_dies_fails_every_pending_operation) {
    iouringnet_net *net = net_of_mode();
    struct pair p = tcp_pair_in(net, net), watched = tcp_pair_in(net, net);
    iouringnet_address address;
    iouringnet_listener *listener = bind_loopback(net, &address);
    struct full_listener full = full_listener();
    struct result recv = RESULT, accept = RESULT, timer = RESULT, dial = RESULT;
    struct ending watch = ENDING;
    iouringnet_op *op;
    iouringnet_completion done;
    iouringnet_status status;
    char into[8], byte;

    CHECK_OK(stream_recv_async(p.a.stream, into, 8, result_store, &recv, NULL));
    CHECK_OK(listener_accept_async(listener, result_store, &accept, NULL));
    CHECK_OK(net_call(net, 3600 * 1000, result_store, &timer, NULL));
    CHECK_OK(net_call(net, 3600 * 1000, NULL, NULL, &op));
    CHECK_OK(net_dial_async(net, full.address.text, NULL, result_store, &dial, NULL));
    CHECK_OK(watch_data(watched.b.stream, ending_store_data, &watch));
    refuse_waits(EPERM, EVERY_THREAD);
    /* both loops sleep in the call that is refused from now on; this wakes the one that has the callbacks */
    status = net_call(net, 0, ignore_completion, NULL, NULL);
    CHECK(status <= 0);
    CHECK_STATUS(result_wait(&recv), IOURINGNET_PANIC);
    CHECK_STATUS(result_wait(&accept), IOURINGNET_PANIC);
    CHECK_STATUS(result_wait(&timer), IOURINGNET_PANIC);
    CHECK_STATUS(result_wait(&dial), IOURINGNET_PANIC);
    CHECK_STATUS(ending_wait(&watch), IOURINGNET_PANIC);
    iouringnet_completion_init(&done);
    CHECK_OK(op_wait(op, WAIT_MS, &done));
    CHECK_STATUS(done.status, IOURINGNET_PANIC);
    CHECK_OK(op_release(op));
    /* later work is refused or fails, and nothing hangs */
    CHECK(stream_recv(p.b.stream, &byte, 1, NULL) != 0);
    CHECK(net_dial(net, address.text, NULL, &p.a.sink, &p.a.stream) != 0);
    net_stop(net);
    CHECK_STATUS(net_stop(net), IOURINGNET_BAD_HANDLE);
    CHECK_EQ(recv.calls + accept.calls + timer.calls + dial.calls + watch.ends, 5);
    full_listener_close(&full);
}
