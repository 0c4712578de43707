/* Dials by name while lookups hang, while dials end before their lookup, and with many addresses.

   This program defines getaddrinfo itself, so the library's lookups come here:
     hang...     waits until the test ends or opens `go`
     list...     gives the addresses that the test has set
     good...     gives 127.0.0.1
   Each name is counted.
   Rule: Names and addresses. */

#include "support.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <sched.h>
#include <sys/mount.h>

/* The library's numbers, from docs/CONTRACT.md. */
enum { THREADS_MAX = 64, OF_ONE_NAME_MAX = 8, WAITING_MAX = 1024 };

static struct latch go = LATCH(1);
static atomic_int lookups, hanging, good_lookups, answers_read;
static struct in_addr *list;
static size_t list_count;

static struct addrinfo *one_address(struct in_addr ip) {
    struct addrinfo *info = take(sizeof *info);
    struct sockaddr_in *at = take(sizeof *at);

    memset(info, 0, sizeof *info);
    memset(at, 0, sizeof *at);
    at->sin_family = AF_INET;
    at->sin_addr = ip;
    info->ai_family = AF_INET;
    info->ai_socktype = SOCK_STREAM;
    info->ai_addr = (struct sockaddr *)at;
    info->ai_addrlen = sizeof *at;
    return info;
}

int getaddrinfo(const char *restrict node, const char *restrict service, const struct addrinfo *restrict hints,
                struct addrinfo **restrict result) {
    struct in_addr loopback = {htonl(INADDR_LOOPBACK)};

    (void)service;
    (void)hints;
    atomic_fetch_add(&lookups, 1);
    if (strncmp(node, "list", 4) == 0) {
        *result = NULL;
        for (size_t i = list_count; i > 0; i--) {
            struct addrinfo *info = one_address(list[i - 1]);

            info->ai_next = *result;
            *result = info;
        }
        return 0;
    }
    if (strncmp(node, "good", 4) == 0) {
        atomic_fetch_add(&good_lookups, 1);
        *result = one_address(loopback);
        return 0;
    }
    if (strncmp(node, "hang", 4) == 0) {
        atomic_fetch_add(&hanging, 1);
        latch_wait(&go);
    }
    return EAI_NONAME;
}

void freeaddrinfo(struct addrinfo *info) {
    while (info) {
        struct addrinfo *next = info->ai_next;

        free(info->ai_addr);
        free(info);
        info = next;
    }
    atomic_fetch_add(&answers_read, 1);
}

/* ---- helpers ---- */

static const char *port_of(const iouringnet_address *address) {
    return strrchr(address->text, ':') + 1;
}

static struct in_addr ip_of(const char *text) {
    struct in_addr ip;

    CHECK_EQ(inet_pton(AF_INET, text, &ip), 1);
    return ip;
}

static iouringnet_dial_options within(int timeout_ms) {
    iouringnet_dial_options options;

    iouringnet_dial_options_init(&options);
    options.timeout_ms = timeout_ms;
    return options;
}

static iouringnet_op *dial_begin(iouringnet_net *net, const char *name, int timeout_ms) {
    iouringnet_dial_options options = within(timeout_ms);
    iouringnet_op *op;
    char text[64];

    snprintf(text, sizeof text, "%s:7000", name);
    CHECK_OK(net_dial_async(net, text, &options, NULL, NULL, &op));
    return op;
}

/* dials by as many different names as there are ops, whose lookups hang */
static void dials_that_hang(iouringnet_net *net, iouringnet_op **ops, int count, int timeout_ms) {
    char name[32];

    for (int i = 0; i < count; i++) {
        snprintf(name, sizeof name, "hang-%d.example", i);
        ops[i] = dial_begin(net, name, timeout_ms);
    }
}

static void dials_cancelled(iouringnet_op **ops, int count) {
    for (int i = 0; i < count; i++)
        CHECK_OK(op_cancel(ops[i]));
    for (int i = 0; i < count; i++)
        CHECK_STATUS(op_finish(ops[i], NULL), IOURINGNET_CANCELLED);
}

/* connects to a raw listener of 127.0.0.1 by this name, long before what hangs ends */
static void connects_by(iouringnet_net *net, const char *name) {
    iouringnet_dial_options options = within(10000);
    iouringnet_address address;
    iouringnet_sink *sink;
    iouringnet_stream *stream;
    int listener = raw_listen(&address), fd;
    char text[64];

    snprintf(text, sizeof text, "%s:%s", name, port_of(&address));
    CHECK_OK(net_dial(net, text, &options, &sink, &stream));
    fd = raw_accept(listener);
    sink_close(sink);
    stream_close(stream);
    raw_close(fd);
    raw_close(listener);
}

/* whether /etc/hosts is as everywhere */
static void need_localhost_in_hosts(void) {
    FILE *file = fopen("/etc/hosts", "re");
    char line[1024], ip[64], name[64];
    bool found = false;

    while (file && fgets(line, sizeof line, file))
        found = found || (sscanf(line, "%63s %63s", ip, name) == 2 && strcmp(ip, "127.0.0.1") == 0 &&
                          strcmp(name, "localhost") == 0);
    if (file)
        fclose(file);
    if (!found)
        SKIP("/etc/hosts does not have 127.0.0.1 localhost");
}

/* ---- lookups that hang ---- */

TEST(eight_lookups_that_hang_do_not_delay_another_name) {
    iouringnet_net *net = net_of_mode();
    iouringnet_op *ops[8];

    dials_that_hang(net, ops, 8, IOURINGNET_NO_TIMEOUT);
    EVENTUALLY(hanging == 8);
    connects_by(net, "good.example");
    CHECK_EQ(good_lookups, 1);
    dials_cancelled(ops, 8);
    CHECK_OK(net_stop(net));
}

TEST(a_name_of_the_hosts_file_waits_for_no_lookup) {
    enum { COUNT = THREADS_MAX + 16 };
    iouringnet_net *net;
    iouringnet_op *ops[COUNT];

    need_localhost_in_hosts();
    net = net_of_mode();
    dials_that_hang(net, ops, COUNT, 200);
    for (int i = 0; i < COUNT; i++)
        CHECK_STATUS(op_finish(ops[i], NULL), IOURINGNET_TIMEOUT);
    dials_that_hang(net, ops, COUNT, IOURINGNET_NO_TIMEOUT);
    connects_by(net, "localhost");
    connects_by(net, "LocalHost");
    dials_cancelled(ops, COUNT);
    CHECK_EQ(good_lookups, 0);
    CHECK_EQ(lookups, hanging);
    CHECK_OK(net_stop(net));
}

TEST(a_name_of_the_hosts_file_is_bound_without_a_lookup) {
    iouringnet_net *net;
    iouringnet_listener *listener;

    need_localhost_in_hosts();
    net = net_of_mode();
    CHECK_OK(net_bind(net, "localhost:0", NULL, &listener));
    CHECK_EQ(lookups, 0);
    CHECK_OK(net_stop(net));
}

TEST(a_number_is_never_looked_up) {
    iouringnet_net *net = net_of_mode();
    iouringnet_op *ops[THREADS_MAX];
    iouringnet_sink *sink;
    iouringnet_stream *stream;
    iouringnet_status refused = access("/proc/net/if_inet6", F_OK) == 0 ? -ECONNREFUSED : -EAFNOSUPPORT;
    int before;

    dials_that_hang(net, ops, THREADS_MAX, IOURINGNET_NO_TIMEOUT);
    EVENTUALLY(hanging == THREADS_MAX);
    before = lookups;
    connects_by(net, "127.0.0.1");
    CHECK_STATUS(net_dial(net, "[::1]:1", NULL, &sink, &stream), refused);
    CHECK_STATUS(net_dial(net, "127.0.0.1.:80", NULL, &sink, &stream), IOURINGNET_ADDRESS);
    CHECK_EQ(lookups, before);
    dials_cancelled(ops, THREADS_MAX);
    CHECK_OK(net_stop(net));
}

TEST(one_name_that_hangs_leaves_threads_for_others) {
    enum { COUNT = OF_ONE_NAME_MAX + WAITING_MAX };
    static iouringnet_op *ops[COUNT];
    iouringnet_net *net = net_of_mode();
    iouringnet_op *op;

    for (int i = 0; i < COUNT; i++)
        ops[i] = dial_begin(net, "hang.example", IOURINGNET_NO_TIMEOUT);
    EVENTUALLY(hanging == OF_ONE_NAME_MAX);
    CHECK_STATUS(net_dial_async(net, "hang.example:1", NULL, NULL, NULL, &op), IOURINGNET_LIMIT);
    connects_by(net, "good.example");
    CHECK_EQ(hanging, OF_ONE_NAME_MAX);
    dials_cancelled(ops, COUNT);
    CHECK_OK(net_stop(net));
}

TEST(a_lookup_begins_when_another_one_has_ended) {
    enum { COUNT = THREADS_MAX };
    iouringnet_op *ops[COUNT];
    iouringnet_net *net = net_of_mode();
    struct result late = RESULT;

    dials_that_hang(net, ops, COUNT, IOURINGNET_NO_TIMEOUT);
    EVENTUALLY(hanging == COUNT);
    CHECK_OK(net_dial_async(net, "unknown.example:1", NULL, result_store, &late, NULL));
    settle(net);
    CHECK_EQ(lookups, COUNT);
    latch_open(&go);
    CHECK_STATUS(result_wait(&late), IOURINGNET_NAME);
    for (int i = 0; i < COUNT; i++)
        CHECK_STATUS(op_finish(ops[i], NULL), IOURINGNET_NAME);
    CHECK_EQ(lookups, COUNT + 1);
    CHECK_OK(net_stop(net));
}

TEST(a_lookup_that_waits_has_a_copy_of_its_name) {
    iouringnet_op *held[THREADS_MAX], *op;
    iouringnet_net *net = net_of_mode();
    iouringnet_address address;
    iouringnet_completion done;
    int listener = raw_listen(&address);
    char text[64];

    dials_that_hang(net, held, THREADS_MAX, IOURINGNET_NO_TIMEOUT);
    snprintf(text, sizeof text, "good.example:%s", port_of(&address));
    CHECK_OK(net_dial_async(net, text, NULL, NULL, NULL, &op));
    memset(text, 'x', sizeof text);
    latch_open(&go);
    CHECK_OK(op_finish(op, &done));
    raw_close(raw_accept(listener));
    sink_close(done.sink);
    stream_close(done.stream);
    for (int i = 0; i < THREADS_MAX; i++)
        CHECK_STATUS(op_finish(held[i], NULL), IOURINGNET_NAME);
    raw_close(listener);
    CHECK_OK(net_stop(net));
}

/* ---- a hosts file of the test's own ---- */

/* puts a new file in the place of /etc/hosts, for this process alone; the file is returned, to be written */
static FILE *hosts_file(void) {
    char path[] = "/tmp/iouringnet-hosts-XXXXXX";
    int fd;

    if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0)
        SKIP("a mount namespace cannot be made here");
    fd = mkostemp(path, O_CLOEXEC);
    CHECK(fd >= 0);
    if (mount(path, "/etc/hosts", NULL, MS_BIND, NULL) != 0) {
        unlink(path);
        SKIP("/etc/hosts cannot be mounted over here");
    }
    CHECK_EQ(unlink(path), 0);
    return fdopen(fd, "w");
}

static iouringnet_status dial_and_close(iouringnet_net *net, const char *host, const char *port) {
    iouringnet_sink *sink;
    iouringnet_stream *stream;
    char text[64];
    iouringnet_status status;

    snprintf(text, sizeof text, "%s:%s", host, port);
    status = net_dial(net, text, NULL, &sink, &stream);
    if (status == 0) {
        sink_close(sink);
        stream_close(stream);
    }
    return status;
}

TEST(the_hosts_file_gives_a_name_all_its_addresses) {
    FILE *hosts = hosts_file();
    iouringnet_net *net = net_of_mode();
    iouringnet_listener *six;
    iouringnet_address address, of_six;
    int four = raw_listen(&address);
    char text[64];

    CHECK(fputs("# 127.0.0.1 comment.example\n"
                "127.0.0.1\tfirst Two.example # not.example\n"
                "::1 two.example\n",
                hosts) >= 0);
    CHECK_EQ(fflush(hosts), 0);

    /* over IPv4 where nobody listens at the other address, and IPv6 first where somebody does */
    CHECK_OK(dial_and_close(net, "two.example", port_of(&address)));
    raw_close(raw_accept(four));
    snprintf(text, sizeof text, "[::1]:%s", port_of(&address));
    if (net_bind(net, text, NULL, &six) == 0) {
        iouringnet_sink *sink;
        iouringnet_stream *stream;

        CHECK_OK(listener_address(six, &of_six));
        CHECK_OK(dial_and_close(net, "TWO.example", port_of(&of_six)));
        CHECK_OK(listener_accept(six, &sink, &stream));
        sink_close(sink);
        stream_close(stream);
    }
    CHECK_EQ(lookups, 0);

    CHECK_STATUS(dial_and_close(net, "comment.example", port_of(&address)), IOURINGNET_NAME);
    CHECK_STATUS(dial_and_close(net, "not.example", port_of(&address)), IOURINGNET_NAME);
    CHECK_EQ(lookups, 2);

    /* a line more counts at once; a large file is left to getaddrinfo */
    CHECK(fputs("127.0.0.1 late.example\n", hosts) >= 0);
    CHECK_EQ(fflush(hosts), 0);
    CHECK_OK(dial_and_close(net, "late.example", port_of(&address)));
    CHECK_EQ(lookups, 2);
    for (int i = 0; i < 2048; i++)
        CHECK(fputs("# thirty-two bytes with newline\n", hosts) >= 0);
    CHECK_EQ(fflush(hosts), 0);
    CHECK_STATUS(dial_and_close(net, "late.example", port_of(&address)), IOURINGNET_NAME);
    CHECK_EQ(lookups, 3);

    CHECK_EQ(fclose(hosts), 0);
    raw_close(four);
    CHECK_OK(net_stop(net));
}

TEST(a_bind_tries_each_address_of_a_name) {
    FILE *hosts = hosts_file();
    iouringnet_net *net = net_of_mode();
    iouringnet_listener *listener;
    iouringnet_address address;

    /* no host has the first one: it is for documentation */
    CHECK(fputs("192.0.2.1 two.example\n127.0.0.1 two.example\n192.0.2.1 one.example\n", hosts) >= 0);
    CHECK_EQ(fflush(hosts), 0);
    CHECK_OK(net_bind(net, "two.example:0", NULL, &listener));
    CHECK_OK(listener_address(listener, &address));
    CHECK_MEM(address.text, "127.0.0.1:", 10);
    CHECK_STATUS(net_bind(net, "one.example:0", NULL, &listener), -EADDRNOTAVAIL);
    CHECK_EQ(lookups, 0);
    CHECK_EQ(fclose(hosts), 0);
    CHECK_OK(net_stop(net));
}

/* ---- dials that end before their lookup ---- */

TEST(a_lookup_whose_dial_has_ended_is_not_made) {
    enum { COUNT = 300 };
    iouringnet_op *held[THREADS_MAX], *ops[COUNT];
    iouringnet_net *net = net_of_mode(), *other = net_of_mode();
    struct result stopped = RESULT, late = RESULT;

    dials_that_hang(net, held, THREADS_MAX, IOURINGNET_NO_TIMEOUT);
    for (int i = 0; i < COUNT; i++)
        ops[i] = dial_begin(net, "cancelled.example", IOURINGNET_NO_TIMEOUT);
    dials_cancelled(ops, COUNT);
    for (int i = 0; i < COUNT; i++)
        ops[i] = dial_begin(net, "late.example", 1);
    for (int i = 0; i < COUNT; i++)
        CHECK_STATUS(op_finish(ops[i], NULL), IOURINGNET_TIMEOUT);
    CHECK_OK(net_dial_async(other, "stopped.example:1", NULL, result_store, &stopped, NULL));
    CHECK_OK(net_stop(other));
    CHECK_STATUS(result_wait(&stopped), IOURINGNET_STOPPED);
    settle(net); /* the loop has let go of the last dial that it ended */

    CHECK_OK(net_dial_async(net, "unknown.example:1", NULL, result_store, &late, NULL));
    latch_open(&go);
    CHECK_STATUS(result_wait(&late), IOURINGNET_NAME);
    for (int i = 0; i < THREADS_MAX; i++)
        CHECK_STATUS(op_finish(held[i], NULL), IOURINGNET_NAME);
    CHECK_EQ(lookups, THREADS_MAX + 1);
    CHECK_OK(net_stop(net));
}

TEST(ended_dials_do_not_count_against_the_bound) {
    enum { BATCH = 300 };
    iouringnet_op *held[THREADS_MAX], *ops[BATCH];
    iouringnet_net *net = net_of_mode();

    dials_that_hang(net, held, THREADS_MAX, IOURINGNET_NO_TIMEOUT);
    for (int batch = 0; batch < 8; batch++) {
        for (int i = 0; i < BATCH; i++)
            ops[i] = dial_begin(net, "ended.example", IOURINGNET_NO_TIMEOUT);
        dials_cancelled(ops, BATCH);
    }
    dials_cancelled(held, THREADS_MAX);
    CHECK_EQ(stats_of(net).operations, 0);
    CHECK_OK(net_stop(net));
}

TEST(names_beyond_the_bound_are_refused_and_leave_nothing) {
    enum { MOST = THREADS_MAX + WAITING_MAX };
    static iouringnet_op *ops[MOST];
    iouringnet_net *net = net_of_mode();
    iouringnet_op *op = (iouringnet_op *)&ops;
    iouringnet_sink *sink;
    iouringnet_stream *stream;

    dials_that_hang(net, ops, MOST, IOURINGNET_NO_TIMEOUT);
    CHECK_STATUS(net_dial_async(net, "more.example:7000", NULL, never, NULL, &op), IOURINGNET_LIMIT);
    CHECK(op == (iouringnet_op *)&ops);
    CHECK_STATUS(net_dial(net, "more.example:7000", NULL, &sink, &stream), IOURINGNET_LIMIT);
    CHECK_EQ(stats_of(net).operations, MOST);
    dials_cancelled(ops, MOST);
    CHECK_EQ(stats_of(net).operations, 0);
    CHECK_OK(net_stop(net));
}

TEST(a_stop_does_not_wait_for_lookups) {
    enum { COUNT = THREADS_MAX + 16 };
    iouringnet_op *ops[COUNT];
    iouringnet_net *net = net_of_mode();
    int64_t began;

    dials_that_hang(net, ops, COUNT, IOURINGNET_NO_TIMEOUT);
    EVENTUALLY(hanging == THREADS_MAX);
    began = now_ms();
    CHECK_OK(net_stop(net));
    CHECK(now_ms() - began < patient(4000)); /* the stop's own timeout is 5 s */
    for (int i = 0; i < COUNT; i++)
        CHECK_STATUS(op_finish(ops[i], NULL), IOURINGNET_STOPPED);
    CHECK_EQ(hanging, THREADS_MAX);
}

/* ---- the time that a dial takes ---- */

TEST(a_dial_times_out_while_its_name_is_being_looked_up) {
    iouringnet_net *net = net_of_mode();
    iouringnet_op *op = dial_begin(net, "hang.example", 100);
    int64_t began = now_ms();

    CHECK_STATUS(op_finish(op, NULL), IOURINGNET_TIMEOUT);
    CHECK(now_ms() - began < patient(5000));
    CHECK_OK(net_stop(net));
}

/* The config's limit is far above the options', and below that of the kernel and the default of 10 s. */
TEST(a_dial_times_out_when_it_says) {
    struct full_listener full = full_listener();
    iouringnet_dial_options options = within(50);
    iouringnet_config config = config_of_mode();
    iouringnet_net *net;
    iouringnet_sink *sink;
    iouringnet_stream *stream;
    int64_t began;

    config.dial_timeout_ms = 3000;
    net = net_with(&config);
    began = now_ms();
    CHECK_STATUS(net_dial(net, full.address.text, &options, &sink, &stream), IOURINGNET_TIMEOUT);
    CHECK_BETWEEN(now_ms() - began, 49, 2900);
    began = now_ms();
    CHECK_STATUS(net_dial(net, full.address.text, NULL, &sink, &stream), IOURINGNET_TIMEOUT);
    CHECK_BETWEEN(now_ms() - began, 2999, 9900);
    full_listener_close(&full);
    CHECK_OK(net_stop(net));
}

/* 127.0.0.1 swallows packets, 127.0.0.2 answers at the same port. */
TEST(an_address_that_swallows_packets_leaves_time_for_the_next) {
    struct full_listener full = full_listener();
    struct in_addr both[2] = {ip_of("127.0.0.1"), ip_of("127.0.0.2")};
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr = both[1]};
    iouringnet_dial_options options = within(4000);
    iouringnet_net *net = net_of_mode();
    iouringnet_sink *sink;
    iouringnet_stream *stream;
    int good = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), fd;
    char text[64];

    list = both;
    list_count = 2;
    at.sin_port = htons((uint16_t)atoi(port_of(&full.address)));
    if (bind(good, (struct sockaddr *)&at, sizeof at) != 0)
        SKIP("127.0.0.2 has no such port free");
    CHECK_EQ(listen(good, 10), 0);
    snprintf(text, sizeof text, "list.example:%s", port_of(&full.address));
    CHECK_OK(net_dial(net, text, &options, &sink, &stream));
    fd = raw_accept(good);
    sink_close(sink);
    stream_close(stream);
    raw_close(fd);
    raw_close(good);
    full_listener_close(&full);
    CHECK_OK(net_stop(net));
}

/* ---- many addresses ---- */

enum { ADDRESSES = 1000 };

static struct in_addr many[ADDRESSES];

/* A dial of a name with many addresses, at each of which nobody listens. Beside it runs a chain of callbacks,
   each of which begins the next. The chain counts its steps from the moment at which the library has the
   addresses to the end of the dial. */
struct chain {
    iouringnet_net *net;
    iouringnet_op *op;
    struct result dial;
    int steps, cancel_at, hold_at;
    int64_t hold_until;
    struct latch ended;
};

static void chain_step(void *user, const iouringnet_completion *done) {
    struct chain *chain = user;

    CHECK_OK(done->status);
    if (chain->dial.calls > 0) {
        latch_open(&chain->ended);
        return;
    }
    chain->steps += answers_read > 0;
    if (chain->steps > 0 && chain->steps == chain->cancel_at)
        CHECK_OK(op_cancel(chain->op));
    if (chain->steps > 0 && chain->steps == chain->hold_at)
        while (now_ms() < chain->hold_until)
            nap();
    CHECK_OK(net_call(chain->net, 0, chain_step, chain, NULL));
}

static iouringnet_status chain_beside_many(struct chain *chain, int timeout_ms) {
    iouringnet_dial_options options = within(timeout_ms);
    iouringnet_address address;
    char text[64];

    for (uint32_t i = 0; i < ADDRESSES; i++)
        many[i].s_addr = htonl(INADDR_LOOPBACK + 0x10000 + i);
    list = many;
    list_count = ADDRESSES;
    unused_address(&address);
    snprintf(text, sizeof text, "list.example:%s", port_of(&address));

    result_init(&chain->dial);
    latch_init(&chain->ended, 1);
    chain->net = net_of_mode();
    CHECK_OK(net_dial_async(chain->net, text, &options, result_store, &chain->dial, &chain->op));
    CHECK_OK(net_call(chain->net, 0, chain_step, chain, NULL));
    latch_wait(&chain->ended);
    CHECK_OK(op_release(chain->op));
    CHECK_OK(net_stop(chain->net));
    return result_wait(&chain->dial);
}

TEST(callbacks_run_between_the_addresses_of_a_name) {
    struct chain chain = {0};

    CHECK_STATUS(chain_beside_many(&chain, IOURINGNET_NO_TIMEOUT), -ECONNREFUSED);
    CHECK_EQ(lookups, 1);
    CHECK(chain.steps > ADDRESSES / 10);
}

TEST(a_dial_is_cancelled_between_two_addresses) {
    struct chain chain = {.cancel_at = 20};

    CHECK_STATUS(chain_beside_many(&chain, IOURINGNET_NO_TIMEOUT), IOURINGNET_CANCELLED);
}

TEST(a_dial_times_out_between_two_addresses) {
    struct chain chain = {.hold_at = 20, .hold_until = now_ms() + 600};

    CHECK_STATUS(chain_beside_many(&chain, 500), IOURINGNET_TIMEOUT);
}
