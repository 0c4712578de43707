/* The addresses of a name race (RFC 8305): an address that says nothing delays the next one by 250 ms, one that refuses by
   nothing, and the first to connect wins.

   This program defines getaddrinfo itself. Every name has the addresses that the test has set.
   Rule: Names and addresses. */

#include "inside.h"
#include "own_namespace.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netdb.h>

enum { DELAY_MS = 250, PLACES_MAX = 4 };

/* an address, and what is there */
struct place {
    struct sockaddr_storage at;
    int fd;        /* -1: nobody listens, so it refuses */
    int queued[8]; /* of a place that says nothing: its queue is full, and the kernel drops what comes */
};

static struct place places[PLACES_MAX];
static size_t place_count;
static int port;

int getaddrinfo(const char *restrict node, const char *restrict service, const struct addrinfo *restrict hints,
                struct addrinfo **restrict result) {
    (void)node;
    (void)service;
    (void)hints;
    *result = NULL;
    for (size_t i = place_count; i > 0; i--) {
        struct addrinfo *info = take(sizeof *info);

        memset(info, 0, sizeof *info);
        info->ai_family = places[i - 1].at.ss_family;
        info->ai_socktype = SOCK_STREAM;
        info->ai_addr = (struct sockaddr *)&places[i - 1].at;
        info->ai_addrlen = sizeof places[i - 1].at;
        info->ai_next = *result;
        *result = info;
    }
    return 0;
}

void freeaddrinfo(struct addrinfo *info) {
    while (info) {
        struct addrinfo *next = info->ai_next;

        free(info);
        info = next;
    }
}

/* ---- places ---- */

static socklen_t size_of(const struct place *place) {
    return place->at.ss_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
}

/* a new place at this number, where nobody listens yet; the first one finds the port */
static struct place *place(const char *ip) {
    struct place *place = &places[place_count++];
    struct sockaddr_in *four = (struct sockaddr_in *)&place->at;
    struct sockaddr_in6 *six = (struct sockaddr_in6 *)&place->at;

    CHECK(place_count <= PLACES_MAX);
    memset(place, 0, sizeof *place);
    if (port == 0) {
        iouringnet_address free_now;

        raw_close(raw_listen(&free_now));
        port = port_of(free_now.text);
    }
    place->fd = -1;
    for (int i = 0; i < 8; i++)
        place->queued[i] = -1;
    if (inet_pton(AF_INET, ip, &four->sin_addr) == 1) {
        four->sin_family = AF_INET;
        four->sin_port = htons((uint16_t)port);
    } else {
        CHECK_EQ(inet_pton(AF_INET6, ip, &six->sin6_addr), 1);
        six->sin6_family = AF_INET6;
        six->sin6_port = htons((uint16_t)port);
    }
    return place;
}

static void listens(struct place *place, int backlog) {
    int off = 0;

    place->fd = socket(place->at.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (place->fd < 0)
        SKIP("there is no IPv6 here");
    if (place->at.ss_family == AF_INET6)
        CHECK_EQ(setsockopt(place->fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off), 0);
    if (bind(place->fd, (struct sockaddr *)&place->at, size_of(place)) != 0)
        SKIP("the port is not free at every address");
    CHECK_EQ(listen(place->fd, backlog), 0);
}

static void refuses(const char *ip) {
    place(ip);
}

static struct place *answers(const char *ip) {
    struct place *made = place(ip);

    listens(made, 16);
    return made;
}

static struct place *says_nothing(const char *ip) {
    struct place *made = place(ip);

    listens(made, 0);
    for (int i = 0; i < 8; i++) {
        made->queued[i] = socket(made->at.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        CHECK(connect(made->queued[i], (struct sockaddr *)&made->at, size_of(made)) == 0 || errno == EINPROGRESS);
    }
    EVENTUALLY(queue_is_full(made->fd));
    return made;
}

static void places_close(void) {
    for (size_t i = 0; i < place_count; i++) {
        for (int k = 0; k < 8; k++)
            if (places[i].queued[k] >= 0)
                raw_close(places[i].queued[k]);
        if (places[i].fd >= 0)
            raw_close(places[i].fd);
    }
    place_count = 0;
}

/* ---- dials ---- */

static size_t descriptors(void) {
    return count_entries("/proc/self/fd");
}

static iouringnet_op *dial_begin(iouringnet_net *net, int timeout_ms, const char *from) {
    iouringnet_dial_options options;
    iouringnet_op *op;
    char text[64];

    iouringnet_dial_options_init(&options);
    options.timeout_ms = timeout_ms;
    options.from = from;
    snprintf(text, sizeof text, "race.example:%d", port);
    CHECK_OK(net_dial_async(net, text, &options, NULL, NULL, &op));
    return op;
}

/* the dial connects to this number */
static void connects_to(iouringnet_net *net, iouringnet_op *op, const char *ip) {
    iouringnet_completion done;
    iouringnet_sink_info info;
    iouringnet_address expected;

    CHECK_OK(op_finish(op, &done));
    iouringnet_sink_info_init(&info);
    CHECK_OK(sink_info(done.sink, &info));
    CHECK_OK(iouringnet_address_make(&expected, ip, port));
    if (strcmp(info.peer.text, expected.text) != 0)
        fprintf(stderr, "it connected to %s\n", info.peer.text);
    CHECK(strcmp(info.peer.text, expected.text) == 0);
    EVENTUALLY(stats_of(net).operations == 0);
    CHECK_EQ(stats_of(net).connections, 1);
    connection_abort(done.sink, NULL);
    stream_close(done.stream);
    EVENTUALLY(stats_of(net).connections == 0);
}

TEST(an_address_that_says_nothing_delays_the_next_one_by_250_ms) {
    iouringnet_net *net = net_of_mode();
    int64_t began;
    size_t before;

    says_nothing("127.0.0.1");
    answers("127.0.0.2");
    before = descriptors();
    began = now_ms();
    connects_to(net, dial_begin(net, 20000, NULL), "127.0.0.2");
    CHECK_BETWEEN(now_ms() - began, DELAY_MS - 1, patient(3000));
    EVENTUALLY(descriptors() == before); /* the first attempt is over too */
    CHECK_OK(net_stop(net));
    places_close();
}

/* the quickest of some dials, because other load delays some of them */
TEST(an_address_that_says_nothing_delays_the_next_one_by_no_more) {
    iouringnet_net *net = net_of_mode();
    int64_t end = now_ms() + WAIT_MS, quickest;
    const struct place *good;

    says_nothing("127.0.0.1");
    good = answers("127.0.0.2");
    do {
        int64_t began = now_ms();

        connects_to(net, dial_begin(net, IOURINGNET_NO_TIMEOUT, NULL), "127.0.0.2");
        quickest = now_ms() - began;
        raw_close(accept4(good->fd, NULL, NULL, SOCK_CLOEXEC)); /* its queue keeps its room */
    } while (quickest >= patient(2 * DELAY_MS) && now_ms() < end);
    CHECK(quickest < patient(2 * DELAY_MS));
    CHECK_OK(net_stop(net));
    places_close();
}

TEST(an_address_that_refuses_delays_nothing) {
    iouringnet_net *net = net_of_mode();
    int64_t began;

    refuses("127.0.0.3");
    refuses("127.0.0.4");
    answers("127.0.0.2");
    began = now_ms();
    for (int i = 0; i < 10; i++)
        connects_to(net, dial_begin(net, 20000, NULL), "127.0.0.2");
    CHECK(now_ms() - began < patient(10 * DELAY_MS));
    CHECK_OK(net_stop(net));
    places_close();
}

/* the one that refuses comes after 250 ms, and the next at once */
TEST(a_refusal_beside_silence_delays_nothing_more) {
    iouringnet_net *net = net_of_mode();
    int64_t began;

    says_nothing("127.0.0.1");
    refuses("127.0.0.3");
    answers("127.0.0.2");
    began = now_ms();
    connects_to(net, dial_begin(net, 20000, NULL), "127.0.0.2");
    CHECK_BETWEEN(now_ms() - began, DELAY_MS - 1, patient(3000));
    CHECK_OK(net_stop(net));
    places_close();
}

/* two addresses fail by themselves, some 10 ms after their begin, alone or beside one that says nothing */
static void fail_later(iouringnet_net *net, bool beside_silence) {
    int least = beside_silence ? DELAY_MS : 0;
    int64_t end = now_ms() + WAIT_MS, quickest;
    const struct place *good;

    if (beside_silence)
        says_nothing("127.0.0.1");
    refuses("10.1.2.3");
    refuses("10.1.2.4");
    good = answers("127.0.0.2");
    do {
        int64_t began = now_ms();

        connects_to(net, dial_begin(net, IOURINGNET_NO_TIMEOUT, NULL), "127.0.0.2");
        quickest = now_ms() - began;
        CHECK(quickest >= least - 1);
        raw_close(accept4(good->fd, NULL, NULL, SOCK_CLOEXEC)); /* its queue keeps its room */
    } while (quickest >= least + DELAY_MS - 1 && now_ms() < end);
    CHECK(quickest < least + DELAY_MS - 1); /* a delay for one of the two would be 250 ms */
    places_close();
}

/* the quickest of some dials, because other load delays some of them */
TEST(a_failure_after_a_while_delays_nothing_more) {
    iouringnet_net *net;
    int silent;

    own_namespace();
    silent = link_without_neighbours("10.1.2.1");
    net = net_of_mode();
    refuses("10.1.2.3");
    CHECK_STATUS(op_finish(dial_begin(net, IOURINGNET_NO_TIMEOUT, NULL), NULL), -EHOSTUNREACH);
    places_close();
    fail_later(net, false);
    fail_later(net, true);
    CHECK_OK(net_stop(net));
    raw_close(silent);
}

/* the first family says nothing: the other one is next, before the second address of the first */
TEST(the_families_take_turns) {
    iouringnet_net *net = net_of_mode();

    says_nothing("::1");
    answers("::ffff:127.0.0.5");
    answers("127.0.0.2");
    connects_to(net, dial_begin(net, 20000, NULL), "127.0.0.2");
    places_close();

    says_nothing("127.0.0.1");
    answers("127.0.0.2");
    answers("::1");
    connects_to(net, dial_begin(net, 20000, NULL), "::1");
    CHECK_OK(net_stop(net));
    places_close();
}

TEST(a_family_that_fails_leaves_the_other) {
    iouringnet_net *net = net_of_mode();
    int64_t began = now_ms();

    refuses("::1");
    refuses("2001:db8::1"); /* for documentation: no route, or nobody */
    answers("127.0.0.2");
    connects_to(net, dial_begin(net, 20000, NULL), "127.0.0.2");
    CHECK(now_ms() - began < patient(5000));
    CHECK_OK(net_stop(net));
    places_close();
}

/* all addresses are under way when the first one answers after all, at the kernel's second try */
TEST(a_late_answer_wins_too) {
    iouringnet_net *net = net_of_mode();
    struct place *late = says_nothing("127.0.0.1");
    size_t before;
    iouringnet_op *op;

    says_nothing("127.0.0.2");
    before = descriptors();
    op = dial_begin(net, IOURINGNET_NO_TIMEOUT, NULL);
    EVENTUALLY(descriptors() == before + 2);
    for (int64_t end = now_ms() + WAIT_MS; op_wait(op, 1, NULL) == IOURINGNET_PENDING;) {
        int fd = accept4(late->fd, NULL, NULL, SOCK_CLOEXEC);

        CHECK(now_ms() < end);
        if (fd >= 0)
            raw_close(fd);
    }
    connects_to(net, op, "127.0.0.1");
    EVENTUALLY(descriptors() == before);
    CHECK_OK(net_stop(net));
    places_close();
}

/* the last address refuses, but the first one may answer, and does at the kernel's second try */
TEST(a_refusal_at_the_end_leaves_those_that_say_nothing) {
    iouringnet_net *net = net_of_mode();
    struct place *late = says_nothing("127.0.0.1");
    iouringnet_op *op;

    refuses("127.0.0.3");
    op = dial_begin(net, IOURINGNET_NO_TIMEOUT, NULL);
    for (int64_t end = now_ms() + WAIT_MS; op_wait(op, 1, NULL) == IOURINGNET_PENDING;) {
        int fd = accept4(late->fd, NULL, NULL, SOCK_CLOEXEC);

        CHECK(now_ms() < end);
        if (fd >= 0)
            raw_close(fd);
    }
    connects_to(net, op, "127.0.0.1");
    CHECK_OK(net_stop(net));
    places_close();
}

static void all_say_nothing(void) {
    says_nothing("127.0.0.1");
    says_nothing("127.0.0.2");
    says_nothing("127.0.0.3");
}

TEST(one_deadline_covers_all_addresses) {
    iouringnet_net *net = net_of_mode();
    size_t before;
    int64_t began;

    all_say_nothing();
    before = descriptors();
    began = now_ms();
    CHECK_STATUS(op_finish(dial_begin(net, 700, NULL), NULL), IOURINGNET_TIMEOUT);
    CHECK_BETWEEN(now_ms() - began, 699, patient(5000));
    EVENTUALLY(descriptors() == before);
    CHECK_EQ(stats_of(net).operations, 0);
    began = now_ms();
    CHECK_STATUS(op_finish(dial_begin(net, 100, NULL), NULL), IOURINGNET_TIMEOUT); /* before the second address */
    CHECK_BETWEEN(now_ms() - began, 99, patient(5000));
    CHECK_OK(net_stop(net));
    places_close();
}

/* no attempt gets time of its own: the address that would answer is due when the dial's time is over */
TEST(an_address_that_is_due_behind_the_deadline_is_not_tried) {
    iouringnet_net *net = net_of_mode();
    const struct place *good;

    for (int silent = 1; silent <= 2; silent++) {
        for (int i = 0; i < silent; i++)
            says_nothing(i == 0 ? "127.0.0.1" : "127.0.0.3");
        good = answers("127.0.0.2");
        CHECK_STATUS(op_finish(dial_begin(net, silent * DELAY_MS - 50, NULL), NULL), IOURINGNET_TIMEOUT);
        CHECK(accept4(good->fd, NULL, NULL, SOCK_CLOEXEC) < 0 && errno == EAGAIN);
        places_close();
    }
    CHECK_OK(net_stop(net));
}

TEST(a_cancel_and_a_stop_end_all_attempts) {
    iouringnet_net *net = net_of_mode();
    struct result stopped = RESULT;
    size_t before;
    iouringnet_op *op;
    char text[64];

    all_say_nothing();
    before = descriptors();
    op = dial_begin(net, IOURINGNET_NO_TIMEOUT, NULL);
    EVENTUALLY(descriptors() == before + 3);
    CHECK_OK(op_cancel(op));
    CHECK_STATUS(op_finish(op, NULL), IOURINGNET_CANCELLED);
    EVENTUALLY(descriptors() == before);

    snprintf(text, sizeof text, "race.example:%d", port);
    CHECK_OK(net_dial_async(net, text, NULL, result_store, &stopped, NULL));
    EVENTUALLY(descriptors() == before + 3);
    CHECK_OK(net_stop(net));
    CHECK_STATUS(result_wait(&stopped), IOURINGNET_STOPPED);
    CHECK_EQ(stopped.calls, 1);
    places_close();
}

TEST(a_dial_from_an_address_skips_the_other_family) {
    iouringnet_net *net = net_of_mode();

    answers("::1");
    answers("127.0.0.2");
    connects_to(net, dial_begin(net, 20000, "127.0.0.9"), "127.0.0.2");
    connects_to(net, dial_begin(net, 20000, "::1"), "::1");
    places_close();
    answers("127.0.0.2");
    CHECK_STATUS(op_finish(dial_begin(net, 20000, "::1"), NULL), -EADDRNOTAVAIL);
    CHECK_OK(net_stop(net));
    places_close();
}
