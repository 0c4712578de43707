/* What net_metrics writes: the numbers of net_stats as text, as much of it as the buffer has room for.
   Rule: Transfers and arguments. */

#include "inside.h"

#include <pthread.h>

enum { ENOUGH = 8192 }; /* as the header says */

/* The number of a metric. Fails if the text has it not exactly once. */
static uint64_t number_in(const char *text, const char *name) {
    char line[128];
    const char *found;

    snprintf(line, sizeof line, "\n%s ", name);
    found = strstr(text, line);
    if (found == NULL)
        fprintf(stderr, "no %s in:\n%s", name, text);
    CHECK(found != NULL);
    CHECK(strstr(found + 1, line) == NULL);
    return strtoull(found + strlen(line), NULL, 10);
}

static void check_numbers(const char *text, const iouringnet_stats *stats) {
    CHECK_EQ(number_in(text, "iouringnet_loop_enters_total{loop=\"send\"}"), stats->send_enters);
    CHECK_EQ(number_in(text, "iouringnet_loop_entries_total{loop=\"send\"}"), stats->send_entries);
    CHECK_EQ(number_in(text, "iouringnet_loop_completions_total{loop=\"send\"}"), stats->send_completions);
    CHECK_EQ(number_in(text, "iouringnet_loop_wakes_total{loop=\"send\"}"), stats->send_wakes);
    CHECK_EQ(number_in(text, "iouringnet_loop_enters_total{loop=\"recv\"}"), stats->recv_enters);
    CHECK_EQ(number_in(text, "iouringnet_loop_entries_total{loop=\"recv\"}"), stats->recv_entries);
    CHECK_EQ(number_in(text, "iouringnet_loop_completions_total{loop=\"recv\"}"), stats->recv_completions);
    CHECK_EQ(number_in(text, "iouringnet_loop_wakes_total{loop=\"recv\"}"), stats->recv_wakes);
    CHECK_EQ(number_in(text, "iouringnet_callbacks_total"), stats->callbacks);
    CHECK_EQ(number_in(text, "iouringnet_connections"), stats->connections);
    CHECK_EQ(number_in(text, "iouringnet_listeners"), stats->listeners);
    CHECK_EQ(number_in(text, "iouringnet_operations"), stats->operations);
    CHECK_EQ(number_in(text, "iouringnet_accept_errors_total"), stats->accept_errors);
    CHECK_EQ(number_in(text, "iouringnet_drains_timed_out_total"), stats->drains_timed_out);
    CHECK_EQ(number_in(text, "iouringnet_drains_shed_total"), stats->drains_shed);
}

/* Gets text and numbers of the same moment: nothing has happened between them. */
static iouringnet_stats text_and_stats(iouringnet_net *net, char *text) {
    iouringnet_stats before, after;
    size_t needed;
    bool same = false;

    for (int i = 0; i < 1000 && !same; i++) {
        before = stats_of(net);
        CHECK_OK(net_metrics(net, text, ENOUGH, &needed));
        after = stats_of(net);
        same = memcmp(&before, &after, sizeof before) == 0;
        if (!same)
            usleep(1000);
    }
    CHECK(same);
    CHECK_EQ(needed, strlen(text));
    return after;
}

TEST(the_metrics_are_the_numbers_of_the_statistics) {
    static char text[ENOUGH];
    iouringnet_net *net = net_of_mode();
    struct pair p = tcp_pair_in(net, net);
    iouringnet_address address;
    iouringnet_listener *listener = bind_loopback(net, &address);
    iouringnet_op *timer;
    iouringnet_stats stats;

    CHECK_OK(net_call(net, 60000, NULL, NULL, &timer));
    for (int i = 0; i < 5; i++) {
        struct result received = RESULT;
        char byte;

        CHECK_OK(stream_recv_async(p.b.stream, &byte, 1, result_store, &received, NULL));
        settle(net);
        CHECK_OK(sink_send(p.a.sink, "x", 1, NULL));
        CHECK_OK(result_wait(&received));
    }
    settle(net);
    stats = text_and_stats(net, text);
    check_numbers(text, &stats);
    CHECK(stats.callbacks >= 5);
    CHECK_EQ(stats.connections, 2);
    CHECK_EQ(stats.listeners, 1);
    CHECK_EQ(stats.operations, 1);
    CHECK(strstr(text, stats.engine == IOURINGNET_ENGINE_EPOLL
                           ? "\niouringnet_info{engine=\"epoll\",version=\""
                           : "\niouringnet_info{engine=\"io_uring\",version=\"") != NULL);
    CHECK(text[strlen(text) - 1] == '\n');

    CHECK_OK(op_cancel(timer));
    CHECK_STATUS(op_finish(timer, NULL), IOURINGNET_CANCELLED);
    listener_close(listener);
    pair_close(&p);
    CHECK_OK(net_stop(net));
}

/* Every size of a buffer. False: the net has counted something meanwhile, and the texts differ. */
static bool every_size_gets_the_beginning(iouringnet_net *net) {
    static char whole[ENOUGH], part[ENOUGH];
    iouringnet_stats before = text_and_stats(net, whole), after;
    size_t length = strlen(whole), needed;

    for (size_t size = 0; size <= length + 2; size++) {
        size_t fits = size > length ? length : size - 1;
        iouringnet_status status;

        memset(part, '#', sizeof part);
        needed = 77;
        status = net_metrics(net, size == 0 ? NULL : part, size, &needed);
        after = stats_of(net);
        if (memcmp(&before, &after, sizeof before) != 0)
            return false;
        CHECK_STATUS(status, size > length ? IOURINGNET_OK : IOURINGNET_TOO_BIG);
        CHECK_EQ(needed, length);
        CHECK(part[size == 0 ? 0 : fits + 1] == '#'); /* nothing behind the text and its zero byte */
        if (size > 0) {
            CHECK_EQ(strlen(part), fits);
            CHECK_MEM(part, whole, fits);
        }
    }
    return true;
}

TEST(a_buffer_that_is_too_small_gets_the_beginning) {
    iouringnet_net *net = net_of_mode();
    char part[16] = "untouched";
    size_t needed;

    EVENTUALLY(every_size_gets_the_beginning(net));
    CHECK_STATUS(net_metrics(net, NULL, 0, NULL), IOURINGNET_TOO_BIG);
    needed = 77;
    CHECK_STATUS(net_metrics(net, NULL, 1, &needed), IOURINGNET_INVALID);
    CHECK_EQ(needed, 0);
    CHECK_OK(net_stop(net));
    needed = 77;
    CHECK_STATUS(net_metrics(net, part, sizeof part, &needed), IOURINGNET_BAD_HANDLE);
    CHECK_EQ(needed, 0);
    CHECK_MEM(part, "untouched", 10);
}

/* Connections make the numbers longer, and nothing else. */
TEST(the_text_does_not_grow_with_what_is_open) {
    enum { PAIRS = 50 };
    static char text[ENOUGH];
    iouringnet_net *net = net_of_mode();
    struct pair pairs[PAIRS];
    size_t lines = 0, lines_then = 0;

    text_and_stats(net, text);
    for (const char *s = text; *s != 0; s++)
        lines += *s == '\n';
    for (int i = 0; i < PAIRS; i++)
        pairs[i] = tcp_pair_in(net, net);
    settle(net);
    CHECK_EQ(text_and_stats(net, text).connections, 2 * PAIRS);
    for (const char *s = text; *s != 0; s++)
        lines_then += *s == '\n';
    CHECK_EQ(lines_then, lines);
    for (int i = 0; i < PAIRS; i++)
        pair_close(&pairs[i]);
    CHECK_OK(net_stop(net));
}

struct asker {
    iouringnet_net *net;
    struct latch asked;
    char text[ENOUGH];
    uint64_t callbacks;
};

static void asks(void *user, const iouringnet_completion *done) {
    struct asker *asker = user;

    CHECK_OK(done->status);
    CHECK_OK(net_metrics(asker->net, asker->text, sizeof asker->text, NULL));
    asker->callbacks = stats_of(asker->net).callbacks;
    latch_open(&asker->asked);
}

TEST(metrics_are_told_inside_a_callback) {
    static struct asker asker = {.asked = LATCH(1)};

    asker.net = net_of_mode();
    CHECK_OK(net_call(asker.net, 0, asks, &asker, NULL));
    latch_wait(&asker.asked);
    CHECK_EQ(number_in(asker.text, "iouringnet_callbacks_total"), asker.callbacks);
    CHECK_OK(net_stop(asker.net));
}

static void *asks_often(void *argument) {
    struct asker *asker = argument;
    uint64_t last = 0;
    char text[ENOUGH];

    for (int i = 0; i < 200; i++) {
        uint64_t now;

        CHECK_OK(net_metrics(asker->net, text, sizeof text, NULL));
        now = number_in(text, "iouringnet_callbacks_total");
        CHECK(now >= last);
        last = now;
    }
    return NULL;
}

TEST(threads_may_ask_while_the_net_works) {
    enum { THREADS = 4, CALLS = 100 };
    static struct asker asker;
    pthread_t threads[THREADS];

    asker.net = net_of_mode();
    for (int i = 0; i < THREADS; i++)
        CHECK_EQ(pthread_create(&threads[i], NULL, asks_often, &asker), 0);
    for (int i = 0; i < CALLS; i++) {
        struct result called = RESULT;

        CHECK_OK(net_call(asker.net, 0, result_store, &called, NULL));
        CHECK_OK(result_wait(&called));
    }
    for (int i = 0; i < THREADS; i++)
        CHECK_EQ(pthread_join(threads[i], NULL), 0);
    CHECK_OK(net_stop(asker.net));
}

struct refusals {
    iouringnet_net *_Atomic net;
    atomic_int refused, others;
};

static void asks_in_the_log(void *user, int32_t level, const char *text) {
    struct refusals *refusals = user;
    iouringnet_net *net = atomic_load(&refusals->net);
    char into[16] = "untouched";
    size_t needed = 77;

    (void)level;
    (void)text;
    if (net == NULL)
        return;
    bool is_refused = net_metrics(net, into, sizeof into, &needed) == IOURINGNET_IN_CALLBACK && needed == 0 &&
                      strcmp(into, "untouched") == 0;
    atomic_fetch_add(is_refused ? &refusals->refused : &refusals->others, 1);
}

TEST(a_log_callback_may_not_ask) {
    iouringnet_config config = config_of_mode();
    static struct refusals refusals;
    iouringnet_net *net;

    config.log = asks_in_the_log;
    config.log_user = &refusals;
    config.log_level = IOURINGNET_LOG_INFO;
    net = net_with(&config);
    atomic_store(&refusals.net, net);
    CHECK_OK(net_stop(net)); /* each loop says that it has ended */
    CHECK(refusals.refused >= 1);
    CHECK_EQ(refusals.others, 0);
}
