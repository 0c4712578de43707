/* The log callback: what it is told at which level, and that it cannot call back into the library.
   Rule: Transfers and arguments. */

#include "support.h"

#include <stdatomic.h>

struct log {
    atomic_int lines[6];
    atomic_int refused, others;
    iouringnet_net *_Atomic net;
};

static void count_lines(void *user, int32_t level, const char *text) {
    struct log *log = user;
    iouringnet_net *net = atomic_load(&log->net);
    iouringnet_stats stats;

    CHECK_BETWEEN(level, IOURINGNET_LOG_ERROR, IOURINGNET_LOG_TRACE);
    CHECK(text[0] != 0 && strchr(text, '\n') == NULL);
    atomic_fetch_add(&log->lines[level], 1);
    if (net != NULL) {
        iouringnet_stats_init(&stats);
        atomic_fetch_add(net_stats(net, &stats) == IOURINGNET_IN_CALLBACK ? &log->refused : &log->others, 1);
    }
}

/* a receive that waits for its bytes on the loop, in each mode */
static void echo(struct pair *p) {
    struct result recv = RESULT;
    char got[5];

    CHECK_OK(stream_recv_async(p->b.stream, got, 5, result_store, &recv, NULL));
    settle(p->b.net);
    CHECK_OK(sink_send(p->a.sink, "hello", 5, NULL));
    CHECK_OK(result_wait(&recv));
    CHECK_MEM(got, "hello", 5);
}

static void echo_with_log(uint32_t level, struct log *log) {
    iouringnet_config config = config_of_mode();
    iouringnet_net *net;
    struct pair p;

    config.log = count_lines;
    config.log_user = log;
    config.log_level = level;
    net = net_with(&config);
    atomic_store(&log->net, net);
    p = tcp_pair_in(net, net);
    echo(&p);
    pair_close(&p);
    CHECK_OK(net_stop(net));
}

TEST(the_log_tells_what_its_level_says) {
    struct log log = {0};

    echo_with_log(IOURINGNET_LOG_TRACE, &log);
    CHECK_EQ(log.lines[IOURINGNET_LOG_ERROR], 0);
    CHECK(log.lines[IOURINGNET_LOG_INFO] >= 4);  /* two loops begin and end */
    CHECK(log.lines[IOURINGNET_LOG_DEBUG] >= 2); /* a connection was accepted, and is over */
    CHECK(log.lines[IOURINGNET_LOG_TRACE] >= 2); /* at least a receive, submitted and completed */
}

TEST(the_log_tells_no_more_than_its_level) {
    struct log log = {0};

    echo_with_log(IOURINGNET_LOG_INFO, &log);
    CHECK(log.lines[IOURINGNET_LOG_INFO] >= 4);
    CHECK_EQ(log.lines[IOURINGNET_LOG_DEBUG], 0);
    CHECK_EQ(log.lines[IOURINGNET_LOG_TRACE], 0);
}

/* each level tells what it says and nothing beyond, also beside a net that tells more */
TEST(each_net_has_the_level_of_its_own) {
    struct log all = {0};
    iouringnet_config config = config_of_mode();
    iouringnet_net *net;

    config.log = count_lines;
    config.log_user = &all;
    config.log_level = IOURINGNET_LOG_TRACE;
    net = net_with(&config);
    for (uint32_t level = 0; level <= IOURINGNET_LOG_TRACE; level++) {
        uint32_t told = level == 0 ? IOURINGNET_LOG_WARN : level;
        struct log log = {0};

        echo_with_log(level, &log);
        CHECK_EQ(log.lines[IOURINGNET_LOG_ERROR], 0);
        CHECK_EQ(log.lines[IOURINGNET_LOG_WARN], 0);
        for (uint32_t i = IOURINGNET_LOG_INFO; i <= IOURINGNET_LOG_TRACE; i++)
            CHECK((log.lines[i] > 0) == (i <= told));
    }
    CHECK_OK(net_stop(net));
    CHECK(all.lines[IOURINGNET_LOG_INFO] >= 4);
}

TEST(a_net_tells_more_than_those_before_it) {
    for (uint32_t level = IOURINGNET_LOG_ERROR; level <= IOURINGNET_LOG_TRACE; level++) {
        struct log log = {0};

        echo_with_log(level, &log);
        for (uint32_t i = IOURINGNET_LOG_INFO; i <= IOURINGNET_LOG_TRACE; i++)
            CHECK((log.lines[i] > 0) == (i <= level));
    }
}

/* A quiet net begins, then one that tells a little more: neither takes anything away from one that tells everything. */
TEST(a_net_tells_everything_also_after_quieter_ones_have_begun) {
    struct log all = {0};
    iouringnet_config config = config_of_mode();
    iouringnet_net *net;

    config.log = count_lines;
    config.log_user = &all;
    config.log_level = IOURINGNET_LOG_TRACE;
    net = net_with(&config);
    for (uint32_t quiet = IOURINGNET_LOG_ERROR; quiet < IOURINGNET_LOG_TRACE; quiet++) {
        for (uint32_t more = quiet; more < IOURINGNET_LOG_TRACE; more++) {
            struct log others[2] = {{{0}, 0, 0, NULL}, {{0}, 0, 0, NULL}};
            int debug, trace;
            struct pair p;

            echo_with_log(quiet, &others[0]);
            echo_with_log(more, &others[1]);
            debug = atomic_load(&all.lines[IOURINGNET_LOG_DEBUG]);
            trace = atomic_load(&all.lines[IOURINGNET_LOG_TRACE]);
            p = tcp_pair_in(net, net);
            echo(&p);
            pair_close(&p);
            EVENTUALLY(atomic_load(&all.lines[IOURINGNET_LOG_DEBUG]) > debug);
            EVENTUALLY(atomic_load(&all.lines[IOURINGNET_LOG_TRACE]) > trace);
        }
    }
    CHECK_OK(net_stop(net));
}

TEST(a_log_callback_cannot_call_the_library) {
    struct log log = {0};

    echo_with_log(IOURINGNET_LOG_TRACE, &log);
    CHECK(log.refused > 0);
    CHECK_EQ(log.others, 0);
}
