/* No descriptors left: accepting waits without spinning and goes on when some come back; dialling, binding
   and starting say so, and work afterwards.
   Rule: Watches. */

#include "support.h"

#include <arpa/inet.h>
#include <netinet/in.h>

enum { MOST = 512 };

/* takes every descriptor there is, so that the next one is refused */
struct hoard {
    int fds[MOST];
    int count;
};

/* the first thing in each test: an accept that is armed keeps the limit of the moment of its arming */
static void limit_descriptors(void) {
    struct rlimit limit;

    CHECK_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = MOST < limit.rlim_max ? MOST : limit.rlim_max;
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

static iouringnet_net *limited_net(void) {
    limit_descriptors();
    return net_of_mode();
}

static void hoard_all(struct hoard *hoard) {
    hoard->count = 0;
    for (;;) {
        int fd = fcntl(0, F_DUPFD_CLOEXEC, 0);

        if (fd < 0)
            break;
        CHECK(hoard->count < MOST);
        hoard->fds[hoard->count++] = fd;
    }
    CHECK_EQ(errno, EMFILE);
}

/* an accept that is just being armed holds a descriptor for a moment, and would leave one over */
static void hoard_all_after_arming(struct hoard *hoard, iouringnet_net *net) {
    settle(net);
    hoard_all(hoard);
}

static void hoard_free(struct hoard *hoard) {
    while (hoard->count > 0)
        CHECK_EQ(close(hoard->fds[--hoard->count]), 0);
}

/* a pair whose own listener has given its descriptor back already */
static struct pair settled_pair(iouringnet_net *net) {
    size_t before = count_entries("/proc/self/fd");
    struct pair pair = tcp_pair_in(net, net);

    EVENTUALLY(count_entries("/proc/self/fd") == before + 2);
    return pair;
}

/* sockets made while there were descriptors, to be connected when there are none */
static void clients_make(int *fds, int count) {
    for (int i = 0; i < count; i++) {
        struct timeval span = {WAIT_MS / 1000, 0};

        fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        CHECK(fds[i] >= 0);
        CHECK_EQ(setsockopt(fds[i], SOL_SOCKET, SO_RCVTIMEO, &span, sizeof span), 0);
    }
}

static void clients_connect(int *fds, int count, const char *address) {
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

    at.sin_port = htons((uint16_t)atoi(strrchr(address, ':') + 1));
    for (int i = 0; i < count; i++)
        CHECK_EQ(connect(fds[i], (struct sockaddr *)&at, sizeof at), 0);
}

static int64_t cpu_ms(void) {
    struct rusage usage;

    CHECK_EQ(getrusage(RUSAGE_SELF, &usage), 0);
    return (int64_t)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000 +
           (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1000;
}

/* for a second in which nothing can be accepted, the loop is mostly asleep */
static void check_no_spin(iouringnet_net *net) {
    iouringnet_stats before, after;
    int64_t began = now_ms(), cpu;

    EVENTUALLY(stats_of(net).accept_errors > 0);
    before = stats_of(net);
    cpu = cpu_ms();
    while (now_ms() < began + 1000)
        nap();
    after = stats_of(net);
    CHECK(after.accept_errors - before.accept_errors <= 50);
    CHECK(after.recv_enters - before.recv_enters <= 200);
    CHECK_BETWEEN(cpu_ms() - cpu, 0, 500);
}

struct accepted {
    struct latch latch;
    atomic_int count;
    iouringnet_sink *sinks[16];
    iouringnet_stream *streams[16];
    iouringnet_status end;
};

static void accepted_store(void *user, const iouringnet_completion *done) {
    struct accepted *accepted = user;

    if (done->status != 0) {
        accepted->end = done->status;
    } else {
        int at = atomic_fetch_add(&accepted->count, 1);
        accepted->sinks[at] = done->sink;
        accepted->streams[at] = done->stream;
    }
    latch_open(&accepted->latch);
}

TEST(a_watch_goes_on_when_descriptors_come_back) {
    enum { CLIENTS = 8 };
    iouringnet_net *net = limited_net();
    struct pair p = settled_pair(net);
    iouringnet_address address;
    iouringnet_listener *listener = bind_loopback(net, &address);
    struct accepted accepted = {LATCH(CLIENTS), 0, {0}, {0}, 0};
    struct hoard hoard;
    int clients[CLIENTS];
    char got[4];

    CHECK_OK(listener_watch(listener, accepted_store, &accepted));
    clients_make(clients, CLIENTS);
    hoard_all_after_arming(&hoard, net);
    clients_connect(clients, CLIENTS, address.text);
    check_no_spin(net);
    CHECK_EQ(accepted.count, 0);
    /* what is connected already needs no descriptor */
    CHECK_OK(sink_send(p.a.sink, "ping", 4, NULL));
    CHECK_OK(stream_recv(p.b.stream, got, 4, NULL));
    hoard_free(&hoard);
    latch_wait(&accepted.latch);
    CHECK_EQ(accepted.count, CLIENTS);
    for (int i = 0; i < CLIENTS; i++) {
        CHECK_OK(sink_send(accepted.sinks[i], "late", 4, NULL));
        sink_close(accepted.sinks[i]);
        stream_close(accepted.streams[i]);
    }
    for (int i = 0; i < CLIENTS; i++) {
        raw_recv(clients[i], got, 4);
        CHECK_MEM(got, "late", 4);
        raw_expect_eof(clients[i]);
        raw_close(clients[i]);
    }
    pair_close(&p);
    CHECK_OK(net_stop(net));
    CHECK_STATUS(accepted.end, IOURINGNET_STOPPED);
}

TEST(an_accept_goes_on_when_descriptors_come_back) {
    iouringnet_net *net = limited_net();
    iouringnet_address address;
    iouringnet_listener *listener = bind_loopback(net, &address);
    struct result accept = RESULT;
    struct hoard hoard;
    int client;

    clients_make(&client, 1);
    CHECK_OK(listener_accept_async(listener, result_store, &accept, NULL));
    hoard_all_after_arming(&hoard, net);
    clients_connect(&client, 1, address.text);
    check_no_spin(net);
    CHECK_EQ(accept.calls, 0);
    hoard_free(&hoard);
    CHECK_OK(result_wait(&accept));
    sink_close(accept.done.sink);
    stream_close(accept.done.stream);
    raw_expect_eof(client);
    raw_close(client);
    CHECK_OK(net_stop(net));
}

TEST(an_accept_goes_on_when_the_library_frees_one) {
    iouringnet_net *net = limited_net();
    struct pair p = settled_pair(net);
    iouringnet_address address;
    iouringnet_listener *listener = bind_loopback(net, &address);
    struct result accept = RESULT;
    struct hoard hoard;
    int client;

    clients_make(&client, 1);
    CHECK_OK(listener_accept_async(listener, result_store, &accept, NULL));
    hoard_all_after_arming(&hoard, net);
    clients_connect(&client, 1, address.text);
    EVENTUALLY(stats_of(net).accept_errors > 0);
    CHECK_EQ(accept.calls, 0);
    connection_abort(p.a.sink, NULL);
    stream_close(p.a.stream);
    CHECK_OK(result_wait(&accept));
    hoard_free(&hoard);
    sink_close(accept.done.sink);
    stream_close(accept.done.stream);
    raw_close(client);
    pair_close(&p);
    CHECK_OK(net_stop(net));
}

static void *accept_run(void *user) {
    iouringnet_sink *sink;
    iouringnet_stream *stream;

    CHECK_OK(listener_accept(user, &sink, &stream));
    sink_close(sink);
    stream_close(stream);
    return NULL;
}

TEST(a_blocking_accept_goes_on_when_descriptors_come_back) {
    iouringnet_net *net = limited_net();
    iouringnet_address address;
    iouringnet_listener *listener = bind_loopback(net, &address);
    struct hoard hoard;
    pthread_t thread;
    int client;

    clients_make(&client, 1);
    hoard_all(&hoard);
    clients_connect(&client, 1, address.text);
    /* here the first try, which needs no loop, meets the shortage */
    thread = spawn(accept_run, listener);
    check_no_spin(net);
    hoard_free(&hoard);
    join(thread);
    raw_expect_eof(client);
    raw_close(client);
    CHECK_OK(net_stop(net));
}

TEST(a_listener_closes_while_there_are_no_descriptors) {
    iouringnet_net *net = limited_net();
    iouringnet_address address;
    iouringnet_listener *listener = bind_loopback(net, &address);
    struct result accept = RESULT;
    struct hoard hoard;
    int client;

    clients_make(&client, 1);
    CHECK_OK(listener_accept_async(listener, result_store, &accept, NULL));
    hoard_all_after_arming(&hoard, net);
    clients_connect(&client, 1, address.text);
    EVENTUALLY(stats_of(net).accept_errors > 0);
    listener_close(listener);
    CHECK_STATUS(result_wait(&accept), IOURINGNET_CLOSED);
    hoard_free(&hoard);
    raw_close(client);
    CHECK_OK(net_stop(net));
}

TEST(dial_bind_and_start_say_that_there_are_no_descriptors) {
    iouringnet_net *net = limited_net(), *other = (iouringnet_net *)&net;
    iouringnet_address address;
    iouringnet_listener *listener = bind_loopback(net, &address), *second = (iouringnet_listener *)&net;
    iouringnet_sink *sink = (iouringnet_sink *)&net;
    iouringnet_stream *stream = (iouringnet_stream *)&net;
    iouringnet_config config = config_of_mode();
    struct result dial = RESULT, accept = RESULT;
    struct hoard hoard;
    iouringnet_status status;

    hoard_all(&hoard);
    for (int i = 0; i < 100; i++) {
        CHECK_STATUS(net_dial(net, address.text, NULL, &sink, &stream), -EMFILE);
        CHECK_STATUS(net_bind(net, "127.0.0.1:0", NULL, &second), -EMFILE);
        status = net_start(&config, &other);
        CHECK(status == -EMFILE || status == IOURINGNET_UNAVAILABLE);
    }
    CHECK_OK(net_dial_async(net, address.text, NULL, result_store, &dial, NULL));
    CHECK_STATUS(result_wait(&dial), -EMFILE);
    CHECK(other == (iouringnet_net *)&net && second == (iouringnet_listener *)&net);
    CHECK(sink == (iouringnet_sink *)&net && stream == (iouringnet_stream *)&net);
    hoard_free(&hoard);
    CHECK_EQ(stats_of(net).connections, 0);
    CHECK_EQ(stats_of(net).listeners, 1);

    CHECK_OK(listener_accept_async(listener, result_store, &accept, NULL));
    CHECK_OK(net_dial(net, address.text, NULL, &sink, &stream));
    CHECK_OK(result_wait(&accept));
    CHECK_OK(net_start(&config, &other));
    CHECK_OK(net_stop(other));
    CHECK_OK(net_stop(net));
}

TEST(a_failed_start_leaves_nothing) {
    struct hoard hoard;
    iouringnet_config config = config_of_mode();
    struct footprint before = footprint();
    iouringnet_net *net = limited_net();

    CHECK_OK(net_stop(net));
    footprint_returns(before);
    /* each start gets one descriptor more than the one before, so that each of its steps fails once */
    hoard_all(&hoard);
    for (int spare = 0; spare < 40; spare++) {
        iouringnet_status status = net_start(&config, &net);

        if (status == 0) {
            CHECK(spare > 0);
            CHECK_OK(net_stop(net));
            hoard_free(&hoard);
            break;
        }
        CHECK(status == -EMFILE || status == IOURINGNET_UNAVAILABLE);
        CHECK(hoard.count > 0);
        CHECK_EQ(close(hoard.fds[--hoard.count]), 0);
    }
    CHECK_EQ(hoard.count, 0);
    footprint_returns(before);
}
