/* The log callback: what it is told at which level, and that it cannot call back into the library.
   Rule: Transfers and arguments. */

#include "support.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

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

struct lines {
    pthread_mutex_t lock;
    size_t count;
    char text[512][256];
};

static void keep_line(void *user, int32_t level, const char *text) {
    struct lines *lines = user;

    if (level < IOURINGNET_LOG_DEBUG)
        return;
    pthread_mutex_lock(&lines->lock);
    if (lines->count < 512)
        snprintf(lines->text[lines->count++], sizeof lines->text[0], "%s", text);
    pthread_mutex_unlock(&lines->lock);
}

/* how many lines have `what`, and both of two addresses if they are not NULL */
static int lines_with(struct lines *lines, const char *what, const char *one, const char *other) {
    int found = 0;

    pthread_mutex_lock(&lines->lock);
    for (size_t i = 0; i < lines->count; i++) {
        const char *text = lines->text[i];

        found += strstr(text, what) && (!one || strstr(text, one)) && (!other || strstr(text, other));
    }
    pthread_mutex_unlock(&lines->lock);
    return found;
}

static iouringnet_net *net_with_lines(struct lines *lines, uint32_t level) {
    iouringnet_config config = config_of_mode();

    config.log = keep_line;
    config.log_user = lines;
    config.log_level = level;
    return net_with(&config);
}

struct failing_dial {
    iouringnet_net *net;
    const char *address;
    struct result dialled;
};

static void dial_in_callback(void *user, const iouringnet_completion *done) {
    struct failing_dial *dial = user;

    CHECK_OK(done->status);
    CHECK_OK(net_dial_async(dial->net, dial->address, NULL, result_store, &dial->dialled, NULL));
}

/* on the net's own thread, in each mode: the log has no lines of other threads */
TEST(a_failed_dial_has_a_line_with_its_address_and_error) {
    static struct lines lines = {.lock = PTHREAD_MUTEX_INITIALIZER};
    struct failing_dial dial = {net_with_lines(&lines, IOURINGNET_LOG_DEBUG), "127.0.0.1:1", RESULT};

    CHECK_OK(net_call(dial.net, 0, dial_in_callback, &dial, NULL));
    CHECK_STATUS(result_wait(&dial.dialled), -ECONNREFUSED);
    CHECK(lines_with(&lines, "could not be dialled", "address=127.0.0.1:1 ", "error=") >= 1);
    /* the dial as a whole has a line if it was over on the loop */
    CHECK_EQ(lines_with(&lines, "a dial has failed", NULL, NULL),
             lines_with(&lines, "a dial has failed", "address=\"127.0.0.1:1\" ", "error="));
    CHECK_OK(net_stop(dial.net));
}

TEST(a_name_that_could_not_be_dialled_is_in_its_line) {
    static struct lines lines = {.lock = PTHREAD_MUTEX_INITIALIZER};
    iouringnet_net *net = net_with_lines(&lines, IOURINGNET_LOG_DEBUG);
    struct result dialled = RESULT;
    iouringnet_op *op;

    CHECK_OK(net_dial_async(net, "no-such-host.invalid:1", NULL, result_store, &dialled, &op));
    CHECK_OK(op_cancel(op)); /* before a name server answers, or after */
    CHECK(result_wait(&dialled) != IOURINGNET_OK);
    EVENTUALLY(lines_with(&lines, "a dial has failed", "address=\"no-such-host.invalid:1\" ", "error=") == 1);
    CHECK_OK(op_release(op));
    CHECK_OK(net_stop(net));
}

TEST(the_lines_of_an_operation_name_the_peer) {
    static struct lines lines = {.lock = PTHREAD_MUTEX_INITIALIZER};
    iouringnet_net *net = net_with_lines(&lines, IOURINGNET_LOG_TRACE);
    iouringnet_config config = config_of_mode();
    iouringnet_net *dialling = net_with(&config);
    struct pair p = tcp_pair_in(dialling, net);
    char peer[160];
    iouringnet_sink_info info;

    iouringnet_sink_info_init(&info);
    CHECK_OK(sink_info(p.b.sink, &info));
    snprintf(peer, sizeof peer, "peer=%s", info.peer.text);
    echo(&p);
    EVENTUALLY(lines_with(&lines, "submitted", "kind=\"receive", peer) >= 1);
    EVENTUALLY(lines_with(&lines, "completed", "kind=\"receive", peer) >= 1);
    CHECK_EQ(lines_with(&lines, "submitted", "kind=\"receive", NULL),
             lines_with(&lines, "submitted", "kind=\"receive", peer));
    pair_close(&p);
    CHECK_OK(net_stop(dialling));
    CHECK_OK(net_stop(net));
}

static size_t close_at_the_end(void *user, iouringnet_status status, const void *data, size_t size) {
    struct pair *p = user;

    (void)data;
    if (status == IOURINGNET_EOF)
        connection_close(p->b.sink, p->b.stream);
    return size;
}

static void store_end(void *user, iouringnet_status status) {
    (void)user;
    CHECK_OK(status);
}

TEST(the_lines_of_a_connection_name_both_ends_from_its_accept_to_its_end) {
    static const iouringnet_connection_callbacks callbacks = {sizeof callbacks, close_at_the_end, NULL, store_end};
    static struct lines lines = {.lock = PTHREAD_MUTEX_INITIALIZER};
    iouringnet_net *net = net_with_lines(&lines, IOURINGNET_LOG_DEBUG);
    iouringnet_config config = config_of_mode();
    iouringnet_net *dialling = net_with(&config);
    struct pair p = tcp_pair_in(dialling, net);
    char local[160], peer[160];
    iouringnet_sink_info info;

    iouringnet_sink_info_init(&info);
    CHECK_OK(sink_info(p.b.sink, &info));
    snprintf(local, sizeof local, "local=%s", info.local.text);
    snprintf(peer, sizeof peer, "peer=%s", info.peer.text);
    EVENTUALLY(lines_with(&lines, "accepted a connection", peer, NULL) == 1);
    CHECK_OK(connection_watch(p.b.sink, p.b.stream, &callbacks, &p));
    connection_close(p.a.sink, p.a.stream);
    EVENTUALLY(lines_with(&lines, "a connection is over", local, peer) == 1);
    CHECK_EQ(lines_with(&lines, "fd=", NULL, NULL), 0);
    CHECK_OK(net_stop(dialling));
    CHECK_OK(net_stop(net));
}

TEST(a_log_callback_cannot_call_the_library) {
    struct log log = {0};

    echo_with_log(IOURINGNET_LOG_TRACE, &log);
    CHECK(log.refused > 0);
    CHECK_EQ(log.others, 0);
}
