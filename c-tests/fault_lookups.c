/* Dials by name: what a lookup's answer and a shortage of threads make of them, and a dial behind a long callback.

   This program defines getaddrinfo itself, so the library's lookups come here:
     hang...     waits until the test opens `go`, and knows no such name
     again...    says that a later try may succeed
     link...     gives fe80::1 on the loopback interface
     good...     gives 127.0.0.1
     46..., 64...  gives 127.0.0.1 and fe80::1 without an interface, in this order and in the other one
   Rule: Names and addresses. */

#include "support.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <netdb.h>

static struct latch go = LATCH(1);
static atomic_int hanging, good_lookups;

static struct addrinfo *answer(int family, const void *address, size_t size) {
    struct addrinfo *info = take(sizeof *info);

    memset(info, 0, sizeof *info);
    info->ai_family = family;
    info->ai_socktype = SOCK_STREAM;
    info->ai_addr = take(size);
    info->ai_addrlen = (socklen_t)size;
    memcpy(info->ai_addr, address, size);
    return info;
}

int getaddrinfo(const char *restrict node, const char *restrict service, const struct addrinfo *restrict hints,
                struct addrinfo **restrict result) {
    (void)service;
    if (strncmp(node, "again", 5) == 0)
        return EAI_AGAIN;
    if (strncmp(node, "link", 4) == 0 && hints->ai_family != AF_INET) {
        struct sockaddr_in6 at = {.sin6_family = AF_INET6, .sin6_scope_id = if_nametoindex("lo")};

        CHECK_EQ(inet_pton(AF_INET6, "fe80::1", &at.sin6_addr), 1);
        *result = answer(AF_INET6, &at, sizeof at);
        return 0;
    }
    if (strncmp(node, "good", 4) == 0 && hints->ai_family != AF_INET6) {
        struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};

        atomic_fetch_add(&good_lookups, 1);
        *result = answer(AF_INET, &at, sizeof at);
        return 0;
    }
    if (strncmp(node, "46", 2) == 0 || strncmp(node, "64", 2) == 0) {
        struct sockaddr_in four = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
        struct sockaddr_in6 six = {.sin6_family = AF_INET6};
        struct addrinfo *of_four = answer(AF_INET, &four, sizeof four), *of_six;

        CHECK_EQ(inet_pton(AF_INET6, "fe80::1", &six.sin6_addr), 1);
        of_six = answer(AF_INET6, &six, sizeof six);
        *result = node[0] == '4' ? of_four : of_six;
        (*result)->ai_next = node[0] == '4' ? of_six : of_four;
        return 0;
    }
    atomic_fetch_add(&hanging, 1);
    latch_wait(&go);
    return EAI_NONAME;
}

void freeaddrinfo(struct addrinfo *info) {
    while (info != NULL) {
        struct addrinfo *next = info->ai_next;

        free(info->ai_addr);
        free(info);
        info = next;
    }
}

/* ---- answers ---- */

TEST(a_name_that_may_be_known_later_is_told_apart) {
    iouringnet_net *net = net_of_mode();
    struct result dial = RESULT;
    iouringnet_sink *sink;
    iouringnet_stream *stream;
    iouringnet_listener *listener;

    CHECK_STATUS(net_dial(net, "again.example:7000", NULL, &sink, &stream), IOURINGNET_NAME_AGAIN);
    CHECK_OK(net_dial_async(net, "again.example:7000", NULL, result_store, &dial, NULL));
    CHECK_STATUS(result_wait(&dial), IOURINGNET_NAME_AGAIN);
    CHECK_STATUS(net_bind(net, "again.example:0", NULL, &listener), IOURINGNET_NAME_AGAIN);
    latch_open(&go);
    CHECK_STATUS(net_dial(net, "unknown.example:7000", NULL, &sink, &stream), IOURINGNET_NAME);
    CHECK_OK(net_stop(net));
}

/* Without its interface the kernel refuses such an address as invalid. */
TEST(an_address_of_a_name_keeps_its_interface) {
    iouringnet_net *net = net_of_mode();
    iouringnet_sink *sink;
    iouringnet_stream *stream;
    iouringnet_status numeric = net_dial(net, "[fe80::1%lo]:7000", NULL, &sink, &stream);

    CHECK(numeric != 0);
    if (numeric == -EAFNOSUPPORT || numeric == -ENODEV)
        SKIP("there is no IPv6 or no interface lo here");
    CHECK(numeric != -EINVAL);
    CHECK_STATUS(net_dial(net, "link.example:7000", NULL, &sink, &stream), numeric);
    CHECK_OK(net_stop(net));
}

/* One address refuses, and the kernel takes the other one for invalid. */
TEST(a_dial_has_the_error_of_the_last_address) {
    iouringnet_net *net = net_of_mode();
    iouringnet_address address;
    iouringnet_sink *sink;
    iouringnet_stream *stream;
    iouringnet_status invalid;
    char text[64];
    const char *port;

    unused_address(&address);
    port = strrchr(address.text, ':') + 1;
    snprintf(text, sizeof text, "[fe80::1]:%s", port);
    invalid = net_dial(net, text, NULL, &sink, &stream);
    CHECK(invalid != 0);
    if (invalid == -ECONNREFUSED)
        SKIP("an address of one link needs no interface here");
    CHECK_STATUS(net_dial(net, address.text, NULL, &sink, &stream), -ECONNREFUSED);
    snprintf(text, sizeof text, "46.example:%s", port);
    CHECK_STATUS(net_dial(net, text, NULL, &sink, &stream), invalid);
    snprintf(text, sizeof text, "64.example:%s", port);
    CHECK_STATUS(net_dial(net, text, NULL, &sink, &stream), -ECONNREFUSED);
    CHECK_OK(net_stop(net));
}

/* ---- what lookups leave ---- */

/* Each has a thread of 8 MiB of stack, of which the C library may keep some for the next ones. */
TEST(lookups_leave_no_stacks_of_their_threads) {
    enum { COUNT = 60, KEPT = 100 << 20 };
    iouringnet_net *net = net_of_mode();
    iouringnet_address address;
    size_t threads, before = 0;
    char text[64];

    unused_address(&address);
    snprintf(text, sizeof text, "good.example:%s", strrchr(address.text, ':') + 1);
    threads = count_threads();
    for (int i = 0; i < 2 * COUNT; i++) {
        iouringnet_sink *sink;
        iouringnet_stream *stream;

        if (i == COUNT)
            before = mapped_bytes();
        CHECK_STATUS(net_dial(net, text, NULL, &sink, &stream), -ECONNREFUSED);
        EVENTUALLY(count_threads() == threads); /* the next one needs a thread of its own */
    }
    CHECK_EQ(good_lookups, 2 * COUNT);
    CHECK_BETWEEN(mapped_bytes(), 0, before + KEPT);
    CHECK_OK(net_stop(net));
}

/* ---- a shortage of threads ---- */

/* without memory for its stack a thread cannot be had */
TEST(a_lookup_without_a_thread_is_refused_or_waits_for_one_that_runs) {
#ifdef __SANITIZE_ADDRESS__
    SKIP("the sanitizer's allocator ends a process that is out of memory");
#else
    iouringnet_net *net = net_of_mode();
    iouringnet_op *hangs, *waits, *refused = (iouringnet_op *)&net;
    iouringnet_completion done;
    iouringnet_address address;
    struct rlimit limit;
    int listener = raw_listen(&address), fd;
    char text[64];

    snprintf(text, sizeof text, "good.example:%s", strrchr(address.text, ':') + 1);
    limit = limit_memory(1 << 20);
    CHECK_STATUS(net_dial_async(net, text, NULL, never, NULL, &refused), -EAGAIN);
    CHECK_EQ(setrlimit(RLIMIT_AS, &limit), 0);
    CHECK(refused == (iouringnet_op *)&net);
    CHECK_EQ(stats_of(net).operations, 0);

    CHECK_OK(net_dial_async(net, "hang.example:7000", NULL, NULL, NULL, &hangs));
    EVENTUALLY(hanging == 1);
    limit = limit_memory(1 << 20);
    CHECK_OK(net_dial_async(net, text, NULL, NULL, NULL, &waits));
    CHECK_EQ(setrlimit(RLIMIT_AS, &limit), 0);
    settle(net);
    CHECK_EQ(good_lookups, 0);
    latch_open(&go);
    CHECK_STATUS(op_finish(hangs, NULL), IOURINGNET_NAME);
    CHECK_OK(op_finish(waits, &done));
    fd = raw_accept(listener);
    sink_close(done.sink);
    stream_close(done.stream);
    raw_close(fd);
    raw_close(listener);
    CHECK_OK(net_stop(net));
#endif
}

/* ---- a long callback ---- */

enum { DIAL_MS = 2500 };

struct begun {
    iouringnet_net *net;
    struct full_listener full;
    struct result dial;
};

/* The peer's queue has room again long before the time is over, and the kernel connects. */
static void dials_and_is_long(void *user) {
    struct begun *begun = user;
    iouringnet_dial_options options;
    int64_t end = now_ms() + DIAL_MS + 100;

    iouringnet_dial_options_init(&options);
    options.timeout_ms = DIAL_MS;
    CHECK_OK(net_dial_async(begun->net, begun->full.address.text, &options, result_store, &begun->dial, NULL));
    CHECK_EQ(listen(begun->full.fd, 64), 0);
    while (now_ms() < end)
        nap();
}

TEST(a_dial_behind_the_callback_that_began_it_is_in_time) {
    struct begun begun = {net_of_mode(), full_listener(), RESULT};

    on_callback_thread(begun.net, dials_and_is_long, &begun);
    CHECK_OK(result_wait(&begun.dial));
    connection_abort(begun.dial.done.sink, NULL);
    stream_close(begun.dial.done.stream);
    full_listener_close(&begun.full);
    CHECK_OK(net_stop(begun.net));
}
