/* Each field of the config and of the options, set to what is not its default, and its effect read back.
   Rule: Transfers and arguments. */

#include "inside.h"

/* ---- what sockets are set to ---- */

#define SETTER(field) \
    static void set_##field(iouringnet_config *config, int64_t value) { \
        config->field = (__typeof__(config->field))value; \
    }

SETTER(nodelay)
SETTER(keepalive_ms)
SETTER(send_buffer)
SETTER(recv_buffer)

struct row {
    const char *name;
    void (*set)(iouringnet_config *config, int64_t value);
    int64_t value;
    int level, option, want;
};

static const struct row rows[] = {
    {"nodelay 0", set_nodelay, 0, IPPROTO_TCP, TCP_NODELAY, 1},
    {"nodelay on", set_nodelay, IOURINGNET_ON, IPPROTO_TCP, TCP_NODELAY, 1},
    {"nodelay off", set_nodelay, IOURINGNET_OFF, IPPROTO_TCP, TCP_NODELAY, 0},
    {"nodelay of the system", set_nodelay, IOURINGNET_SYSTEM, IPPROTO_TCP, TCP_NODELAY, 0},
    {"no keepalive", set_keepalive_ms, 0, SOL_SOCKET, SO_KEEPALIVE, 0},
    {"keepalive", set_keepalive_ms, 90000, SOL_SOCKET, SO_KEEPALIVE, 1},
    {"keepalive of 90 s", set_keepalive_ms, 90000, IPPROTO_TCP, TCP_KEEPIDLE, 90},
    {"keepalive of 1 ms", set_keepalive_ms, 1, IPPROTO_TCP, TCP_KEEPIDLE, 1},
    {"keepalive of 1.001 s", set_keepalive_ms, 1001, IPPROTO_TCP, TCP_KEEPIDLE, 2},
    {"keepalive of a year", set_keepalive_ms, 365ll * 86400 * 1000, IPPROTO_TCP, TCP_KEEPIDLE, 32767},
    /* the kernel doubles both, for its own needs */
    {"send buffer", set_send_buffer, 40000, SOL_SOCKET, SO_SNDBUF, 80000},
    {"receive buffer", set_recv_buffer, 50000, SOL_SOCKET, SO_RCVBUF, 100000},
};

TEST(sockets_are_set_as_the_config_says) {
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct row *row = &rows[i];
        iouringnet_config config = config_of_mode();
        struct pair p;

        row->set(&config, row->value);
        p = tcp_pair_with(&config);
        for (int end = 0; end < 2; end++) {
            int fd = descriptor_of(end ? p.b.sink : p.a.sink);
            int got = socket_option(fd, row->level, row->option);

            if (got != row->want)
                fprintf(stderr, "%s, the %s end:\n", row->name, end ? "accepted" : "dialled");
            CHECK_EQ(got, row->want);
        }
        pair_close(&p);
    }
}

/* ---- how a listener is bound ---- */

static int bound(iouringnet_net *net, const iouringnet_bind_options *options) {
    iouringnet_listener *listener;
    iouringnet_address address;

    CHECK_OK(net_bind(net, "127.0.0.1:0", options, &listener));
    CHECK_OK(listener_address(listener, &address));
    return descriptor_with(port_of(address.text), -1);
}

/* of a listener the kernel tells there how long its queue may be */
static unsigned backlog_of(int fd) {
    return tcp_info_of(fd).tcpi_sacked;
}

TEST(listeners_are_bound_as_their_options_say) {
    iouringnet_net *net = net_of_mode();
    iouringnet_bind_options options;
    FILE *file = fopen("/proc/sys/net/core/somaxconn", "re");
    unsigned most = 0;
    int fd;

    CHECK(file != NULL && fscanf(file, "%u", &most) == 1);
    fclose(file);
    fd = bound(net, NULL);
    CHECK_EQ(backlog_of(fd), most < 4096 ? most : 4096);
    CHECK_EQ(socket_option(fd, SOL_SOCKET, SO_REUSEADDR), 1);
    CHECK_EQ(socket_option(fd, SOL_SOCKET, SO_REUSEPORT), 0);

    iouringnet_bind_options_init(&options);
    options.backlog = 7;
    options.reuse_port = IOURINGNET_ON;
    fd = bound(net, &options);
    CHECK_EQ(backlog_of(fd), 7);
    CHECK_EQ(socket_option(fd, SOL_SOCKET, SO_REUSEADDR), 1);
    CHECK_EQ(socket_option(fd, SOL_SOCKET, SO_REUSEPORT), 1);

    options.backlog = 1;
    options.reuse_port = IOURINGNET_OFF;
    fd = bound(net, &options);
    CHECK_EQ(backlog_of(fd), 1);
    CHECK_EQ(socket_option(fd, SOL_SOCKET, SO_REUSEPORT), 0);
    CHECK_OK(net_stop(net));
}

TEST(a_port_can_be_bound_again_beside_old_connections) {
    iouringnet_net *net = net_of_mode();
    iouringnet_address address;
    iouringnet_listener *listener = bind_loopback(net, &address);
    iouringnet_sink *sink;
    iouringnet_stream *stream;
    int fd = raw_dial(address.text);

    CHECK_OK(listener_accept(listener, &sink, &stream));
    sink_close(sink); /* this end first: its socket is the one that stays in TIME_WAIT */
    raw_expect_eof(fd);
    raw_close(fd);
    stream_close(stream);
    EVENTUALLY(stats_of(net).connections == 0);
    listener_close(listener);
    EVENTUALLY(stats_of(net).listeners == 0);
    CHECK_OK(net_bind(net, address.text, NULL, &listener));
    CHECK_OK(net_stop(net));
}

/* ---- rings, buffers, bounds and times ---- */

/* how many rings this process has with so many entries */
static int rings_of(unsigned entries) {
    int rings = 0;

    for (int fd = 3; fd < 64; fd++) {
        char path[64], line[128];
        unsigned mask;
        FILE *file;

        snprintf(path, sizeof path, "/proc/self/fdinfo/%d", fd);
        file = fopen(path, "re");
        if (file == NULL)
            continue;
        while (fgets(line, sizeof line, file) != NULL)
            if (sscanf(line, "SqMask: %x", &mask) == 1 && mask == entries - 1)
                rings++;
        fclose(file);
    }
    return rings;
}

TEST(rings_have_as_many_entries_as_the_config_says) {
    static const unsigned sizes[][2] = {{0, 256}, {8, 8}, {24, 32}, {64, 64}};

    about_io_uring();
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        iouringnet_config config = config_of_mode();
        iouringnet_net *net;

        config.ring_entries = sizes[i][0];
        net = net_with(&config);
        CHECK_EQ(rings_of(sizes[i][1]), 2);
        CHECK_OK(net_stop(net));
    }
}

TEST(buffers_are_as_large_as_the_config_says) {
    iouringnet_config config = config_of_mode();
    struct pair p;
    char into[200];
    size_t count = 99;

    config.read_buffer = 100;
    config.buffer_max = 5000;
    config.timeout_ms = 100;
    p = tcp_pair_with(&config);
    CHECK_OK(sink_send(p.a.sink, "0123456789", 10, NULL));
    /* below the size of the buffer all or nothing, from that size on what there is */
    CHECK_STATUS(stream_recv(p.b.stream, into, 99, &count), IOURINGNET_TIMEOUT);
    CHECK_EQ(count, 0);
    CHECK_STATUS(stream_recv(p.b.stream, into, 100, &count), IOURINGNET_TIMEOUT);
    CHECK_EQ(count, 10);
    CHECK_MEM(into, "0123456789", 10);
    CHECK_STATUS(stream_fill(p.b.stream, 5000), IOURINGNET_TIMEOUT);
    CHECK_STATUS(stream_fill(p.b.stream, 5001), IOURINGNET_TOO_BIG);
    pair_close(&p);
}

TEST(bounds_are_where_the_config_says) {
    enum { MARK = 200000, PIECE = 65536 };
    iouringnet_config config = config_of_mode();
    struct mixed m;
    iouringnet_op *ops[3], *op;

    config.post_mark = MARK;
    config.max_operations = 3;
    m = mixed_pair_with(&config, 0);
    jam_sink(m.sink); /* by posts of 64 KiB, until one is refused */
    CHECK_BETWEEN(unsent_of(m.sink), MARK, MARK + PIECE - 1);
    for (int i = 0; i < 3; i++)
        CHECK_OK(net_call(m.net, 60000, NULL, NULL, &ops[i]));
    CHECK_EQ(stats_of(m.net).operations, 3);
    CHECK_STATUS(net_call(m.net, 60000, NULL, NULL, &op), IOURINGNET_LIMIT);
    for (int i = 0; i < 3; i++) {
        CHECK_OK(op_cancel(ops[i]));
        CHECK_STATUS(op_finish(ops[i], NULL), IOURINGNET_CANCELLED);
    }
    connection_abort(m.sink, NULL);
    mixed_close(&m);
}

TEST(operations_take_the_time_that_the_config_says) {
    enum { LIMIT_MS = 150 };
    iouringnet_config config = config_of_mode();
    struct mixed m;
    struct result received = RESULT;
    char *waste = take(16 << 20), byte;
    int64_t began;
    size_t sent;

    config.timeout_ms = LIMIT_MS;
    m = mixed_pair_with(&config, 0);
    began = now_ms();
    CHECK_STATUS(stream_recv(m.stream, &byte, 1, NULL), IOURINGNET_TIMEOUT);
    CHECK_BETWEEN(now_ms() - began, LIMIT_MS - 1, patient(5000));
    began = now_ms();
    CHECK_OK(stream_recv_async(m.stream, &byte, 1, result_store, &received, NULL));
    CHECK_STATUS(result_wait(&received), IOURINGNET_TIMEOUT);
    CHECK_BETWEEN(now_ms() - began, LIMIT_MS - 1, patient(5000));
    memset(waste, 1, 16 << 20);
    began = now_ms();
    CHECK_STATUS(sink_send(m.sink, waste, 16 << 20, &sent), IOURINGNET_TIMEOUT);
    CHECK_BETWEEN(now_ms() - began, LIMIT_MS - 1, patient(5000));
    CHECK_BETWEEN(sent, 1, (16 << 20) - 1);
    connection_abort(m.sink, NULL);
    mixed_close(&m);
    free(waste);
}

TEST(a_dial_has_the_limit_of_its_options_or_the_configs) {
    enum { CONFIG_MS = 300, OPTIONS_MS = 600 };
    static const struct {
        int64_t ms;       /* of the options */
        int64_t at_least; /* -1: no limit */
    } dials[] = {{0, CONFIG_MS}, {OPTIONS_MS, OPTIONS_MS}, {IOURINGNET_NO_TIMEOUT, -1}};
    struct full_listener full = full_listener();
    iouringnet_config config = config_of_mode();
    iouringnet_net *net;
    iouringnet_op *ops[3], *plain;
    int64_t began;

    config.dial_timeout_ms = CONFIG_MS;
    net = net_with(&config);
    began = now_ms();
    CHECK_OK(net_dial_async(net, full.address.text, NULL, NULL, NULL, &plain));
    for (int i = 0; i < 3; i++) {
        iouringnet_dial_options options;

        iouringnet_dial_options_init(&options);
        options.timeout_ms = dials[i].ms;
        CHECK_OK(net_dial_async(net, full.address.text, &options, NULL, NULL, &ops[i]));
    }
    CHECK_STATUS(op_finish(plain, NULL), IOURINGNET_TIMEOUT);
    CHECK(now_ms() - began >= CONFIG_MS - 1);
    for (int i = 0; i < 2; i++) {
        CHECK_STATUS(op_finish(ops[i], NULL), IOURINGNET_TIMEOUT);
        CHECK(now_ms() - began >= dials[i].at_least - 1);
    }
    CHECK_STATUS(op_wait(ops[2], CONFIG_MS, NULL), IOURINGNET_PENDING);
    CHECK_OK(op_cancel(ops[2]));
    CHECK_STATUS(op_finish(ops[2], NULL), IOURINGNET_CANCELLED);
    CHECK_OK(net_stop(net));
    full_listener_close(&full);
}

/* ---- the first try and the spin ---- */

/* entries of the send loop for ten sends that find room */
static uint64_t entries_of_ten_sends(uint32_t first_try) {
    iouringnet_config config;
    iouringnet_net *net;
    struct pair p;
    char got[10];
    uint64_t entries;

    iouringnet_config_init(&config);
    config.first_try = first_try;
    net = net_with(&config);
    p = tcp_pair_in(net, net);
    for (int i = 0; i < 10; i++) {
        CHECK_OK(sink_send(p.a.sink, "x", 1, NULL));
        CHECK_OK(stream_recv(p.b.stream, got, 1, NULL));
    }
    pair_close(&p);
    EVENTUALLY(stats_of(net).connections == 0);
    EVENTUALLY(thread_sleeps(thread_named("iouringnet-send")));
    entries = stats_of(net).send_entries;
    CHECK_OK(net_stop(net));
    return entries;
}

/* the loop's own entry, which watches for its wake-ups, is there in each mode */
/* one mode */ TEST(the_first_try_is_made_where_the_config_says) {
    uint64_t none = entries_of_ten_sends(IOURINGNET_ON);

    CHECK_BETWEEN(none, 0, 3);
    CHECK_EQ(entries_of_ten_sends(0), none);
    CHECK_BETWEEN(entries_of_ten_sends(IOURINGNET_OFF), none + 10, none + 12);
}

static int ascending(const void *a, const void *b) {
    int64_t left = *(const int64_t *)a, right = *(const int64_t *)b;
    return (left > right) - (left < right);
}

/* what the first wait on a fresh connection takes of the processor, in microseconds; the median of several */
static int64_t first_wait_us(int64_t spin_us) {
    enum { WAITS = 15 };
    iouringnet_config config = config_of_mode();
    iouringnet_net *net;
    int64_t took[WAITS];

    config.spin_us = spin_us;
    config.timeout_ms = 5;
    net = net_with(&config);
    for (int i = 0; i < WAITS; i++) {
        struct pair p = tcp_pair_in(net, net);
        int64_t began = processor_us();
        char byte;

        CHECK_STATUS(stream_recv(p.b.stream, &byte, 1, NULL), IOURINGNET_TIMEOUT);
        took[i] = processor_us() - began;
        pair_close(&p);
    }
    CHECK_OK(net_stop(net));
    qsort(took, WAITS, sizeof *took, ascending);
    return took[WAITS / 2];
}

/* threads of the whole machine that run or want to */
static int running(void) {
    FILE *file = fopen("/proc/loadavg", "re");
    int count = 0;

    CHECK(file != NULL);
    CHECK_EQ(fscanf(file, "%*f %*f %*f %d/", &count), 1);
    fclose(file);
    return count;
}

/* alone */ TEST(a_receive_spins_for_as_long_as_the_config_says) {
    cpu_set_t allowed;
    bool differs = false;

    CHECK_EQ(sched_getaffinity(0, sizeof allowed, &allowed), 0);
    if (rings_only() || CPU_COUNT(&allowed) == 1)
        SKIP("nobody spins here");
    /* a spin lets others run, which on a busy machine can take all of its time: then again */
    for (int i = 0; i < 5 && !differs; i++) {
        int64_t none = first_wait_us(IOURINGNET_NO_SPIN), usual = first_wait_us(0), longest = first_wait_us(1000);

        fprintf(stderr, "a wait took %jd us without a spin, %jd us with the usual one, %jd us with one of 1 ms\n",
                (intmax_t)none, (intmax_t)usual, (intmax_t)longest);
        differs = usual - none >= 25 && longest - usual >= 300;
    }
    if (!differs && running() > CPU_COUNT(&allowed))
        SKIP("others take the processors");
    CHECK(differs);
}

/* a receive that finds nothing sleeps, and does not ask on and on */
/* alone */ TEST(waiting_takes_no_processor) {
    enum { CONNECTIONS = 5, WAITS = 4, WAIT = 20 };
    iouringnet_net *net = net_of_mode();
    int64_t took = 0;

    for (int i = 0; i < CONNECTIONS; i++) {
        struct pair p = tcp_pair_in(net, net);
        int64_t began;
        char byte;

        CHECK_OK(stream_set_timeout(p.b.stream, WAIT));
        began = processor_us();
        for (int k = 0; k < WAITS; k++)
            CHECK_STATUS(stream_recv(p.b.stream, &byte, 1, NULL), IOURINGNET_TIMEOUT);
        took += processor_us() - began;
        pair_close(&p);
    }
    fprintf(stderr, "%d waits of %d ms took %jd us\n", CONNECTIONS * WAITS, WAIT, (intmax_t)took);
    CHECK(took < CONNECTIONS * WAITS * WAIT * 1000 / 10);
    CHECK_OK(net_stop(net));
}

/* nor does a send that waits for room, while there are bytes to receive that nobody wants */
/* alone */ TEST(waiting_for_room_takes_no_processor) {
    enum { SIZE = 32 << 20, WAIT = 1000 };
    struct mixed m = mixed_pair();
    char *data = take(SIZE);
    int64_t took;

    memset(data, 1, SIZE);
    raw_send(m.peer, "unread", 6);
    CHECK_OK(sink_set_timeout(m.sink, WAIT));
    took = processor_us();
    CHECK_STATUS(sink_send(m.sink, data, SIZE, NULL), IOURINGNET_TIMEOUT);
    took = processor_us() - took;
    fprintf(stderr, "a wait of %d ms took %jd us\n", WAIT, (intmax_t)took);
    CHECK(took < WAIT * 1000 / 20);
    mixed_close(&m);
    free(data);
}
