/* Promise 10: what a stop cuts, wherever it is at that moment: the stop says so, and each operation has its status. */

#include "support.h"

#include <poll.h>
#include <semaphore.h>

/* ---- a send whose thread does not run ---- */

static sem_t caught;
static int go[2];

/* where a signal keeps a thread: in the midst of its call, and with no lock held */
static void keep_thread(int number) {
    int error = errno;
    char byte;

    (void)number;
    sem_post(&caught);
    while (read(go[0], &byte, 1) < 0 && errno == EINTR)
        ;
    errno = error;
}

struct kept {
    struct sender sender;
    _Atomic pid_t thread;
};

static void *kept_run(void *user) {
    struct kept *kept = user;

    atomic_store(&kept->thread, thread_id());
    return sender_run(&kept->sender);
}

/* reads nothing, since the loop would send more */
static void *release_thread(void *user) {
    struct pollfd peer = {*(int *)user, 0, 0};

    CHECK_EQ(poll(&peer, 1, WAIT_MS), 1);
    CHECK_EQ(write(go[1], "g", 1), 1);
    return NULL;
}

/* The stop has asked the thread for its rest, and the time for orderly ends has passed before the thread has run. */
TEST(a_stop_tells_of_a_send_whose_thread_comes_back_late) {
    enum { SIZE = 64 << 20 };
    struct sigaction action;
    iouringnet_config config = config_of_mode();
    iouringnet_net *net;
    iouringnet_stream *stream;
    char *data = take(SIZE);
    struct kept kept = {{NULL, data, SIZE, 0, 0}, 0};
    pthread_t sends, releases;
    int peer;

    CHECK_EQ(sem_init(&caught, 0, 0), 0);
    CHECK_EQ(pipe(go), 0);
    memset(&action, 0, sizeof action);
    action.sa_handler = keep_thread;
    CHECK_EQ(sigaction(SIGUSR1, &action, NULL), 0);
    config.shutdown_timeout_ms = 200;
    net = net_with(&config);
    peer = raw_peer_sized(net, 16384, &kept.sender.sink, &stream);
    memset(data, 1, SIZE);
    sends = spawn(kept_run, &kept);
    EVENTUALLY(unsent_of(kept.sender.sink) > 0);
    EVENTUALLY(thread_sleeps(atomic_load(&kept.thread)));
    CHECK_EQ(pthread_kill(sends, SIGUSR1), 0);
    EVENTUALLY(sem_trywait(&caught) == 0);
    releases = spawn(release_thread, &peer);
    CHECK_STATUS(net_stop(net), IOURINGNET_TIMEOUT);
    join(releases);
    join(sends);
    CHECK_STATUS(kept.sender.status, IOURINGNET_STOPPED);
    CHECK_BETWEEN(kept.sender.sent, 1, SIZE - 1);
    raw_expect_reset(peer);
    raw_close(peer);
    CHECK_EQ(close(go[0]) + close(go[1]), 0);
    free(data);
}

/* ---- receives ---- */

/* Both ends are of one net: no receive takes the close of the other end for the end of its stream. */
TEST(a_stop_ends_every_receive_before_any_connection) {
    enum { PAIRS = 300, ROUNDS = 3 };

    need_descriptors(3 * PAIRS);
    for (int round = 0; round < ROUNDS; round++) {
        iouringnet_net *net = net_of_mode();
        struct result *recvs = take(2 * PAIRS * sizeof *recvs);
        char into[8];

        for (int i = 0; i < PAIRS; i++) {
            struct pair p = tcp_pair_in(net, net);

            result_init(&recvs[2 * i]);
            result_init(&recvs[2 * i + 1]);
            CHECK_OK(stream_recv_async(p.a.stream, into, 8, result_store, &recvs[2 * i], NULL));
            CHECK_OK(stream_recv_async(p.b.stream, into, 8, result_store, &recvs[2 * i + 1], NULL));
        }
        settle(net);
        CHECK_OK(net_stop(net));
        for (int i = 0; i < 2 * PAIRS; i++) {
            CHECK_EQ(recvs[i].calls, 1);
            CHECK_STATUS(recvs[i].done.status, IOURINGNET_STOPPED);
        }
        free(recvs);
    }
}
