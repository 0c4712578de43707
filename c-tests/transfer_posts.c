/* Posts: when the idle limit begins for them, which calls the watch of their sink gets late, and that the posts of one callback on
   several sinks all go out.
   Rule: Watches. */

#include "support.h"

enum { SIZE = 8 << 20, LIMIT_MS = 400 };

/* a sink that takes any number of posts, and whose peer takes nothing */
struct posting {
    struct mixed m;
    struct ending watch;
    char *data;
};

static void posting_begin(struct posting *posting, size_t mark) {
    iouringnet_config config = config_of_mode();

    config.post_mark = mark;
    posting->m = mixed_pair_with(&config, 16384);
    posting->data = take(SIZE);
    memset(posting->data, 1, SIZE);
    ending_init(&posting->watch);
    CHECK_OK(ending_watch(posting->m.sink, &posting->watch));
}

static void posting_end(struct posting *posting) {
    mixed_close(&posting->m);
    CHECK_EQ(posting->watch.ends, 1);
    free(posting->data);
}

/* only what the peer takes is progress */
TEST(further_posts_do_not_renew_the_time_of_posts) {
    struct posting posting;

    posting_begin(&posting, 64 << 20);
    CHECK_OK(connection_set_idle_timeout(posting.m.sink, NULL, LIMIT_MS));
    CHECK_OK(sink_post(posting.m.sink, posting.data, SIZE));
    for (int64_t end = now_ms() + WAIT_MS; !latch_wait_ms(&posting.watch.latch, LIMIT_MS / 20);) {
        iouringnet_status status = sink_post(posting.m.sink, "more", 4);

        CHECK(status == 0 || status == IOURINGNET_TIMEOUT);
        CHECK(now_ms() < end);
    }
    CHECK_STATUS(ending_wait(&posting.watch), IOURINGNET_TIMEOUT);
    CHECK_STATUS(sink_post(posting.m.sink, "more", 4), IOURINGNET_TIMEOUT);
    posting_end(&posting);
}

TEST(a_limit_set_on_posts_that_wait_counts_from_then) {
    struct posting posting;
    int64_t began;

    posting_begin(&posting, 64 << 20);
    CHECK_OK(sink_post(posting.m.sink, posting.data, SIZE));
    pass(2 * LIMIT_MS);
    began = now_ms();
    CHECK_OK(connection_set_idle_timeout(posting.m.sink, NULL, LIMIT_MS));
    CHECK_STATUS(ending_wait(&posting.watch), IOURINGNET_TIMEOUT);
    CHECK_BETWEEN(now_ms() - began, LIMIT_MS - 1, WAIT_MS);
    posting_end(&posting);
}

/* 0 is one try for sends, and nothing for posts */
TEST(posts_have_no_limit_with_timeout_0) {
    struct posting posting;

    posting_begin(&posting, 64 << 20);
    CHECK_OK(sink_set_timeout(posting.m.sink, 0));
    CHECK_OK(sink_post(posting.m.sink, posting.data, SIZE));
    CHECK(!latch_wait_ms(&posting.watch.latch, LIMIT_MS));
    CHECK_OK(sink_post(posting.m.sink, "more", 4));
    connection_abort(posting.m.sink, NULL);
    CHECK_STATUS(ending_wait(&posting.watch), IOURINGNET_CLOSED);
    posting_end(&posting);
}

/* while a callback takes long, room comes and the sink breaks */
TEST(room_and_the_end_of_a_watch_are_both_told_after_a_long_callback) {
    struct posting posting;
    struct busy busy = BUSY;
    char *got = take(SIZE);

    posting_begin(&posting, 1 << 20);
    CHECK_OK(sink_post(posting.m.sink, posting.data, SIZE));
    CHECK_STATUS(sink_post(posting.m.sink, "more", 4), IOURINGNET_FULL);
    busy_begin(&busy, posting.m.net);
    raw_recv(posting.m.peer, got, SIZE);
    EVENTUALLY(unsent_of(posting.m.sink) == 0);
    raw_reset(posting.m.peer);
    EVENTUALLY(sink_post(posting.m.sink, "more", 4) == -ECONNRESET);
    CHECK_EQ(posting.watch.events, 0);
    busy_end(&busy);
    CHECK_STATUS(ending_wait(&posting.watch), -ECONNRESET);
    CHECK_EQ(posting.watch.events, 1);
    mixed_stop(&posting.m);
    CHECK_EQ(posting.watch.ends, 1);
    free(posting.data);
    free(got);
}

/* ---- several sinks ---- */

enum { SINKS = 3, POSTS = 3 };

static void posts_on_each_by_turns(void *user) {
    const struct pair *pairs = user;

    for (int turn = 0; turn < POSTS; turn++) {
        for (int i = 0; i < SINKS; i++)
            CHECK_OK(sink_post(pairs[i].a.sink, "post", 4));
    }
}

TEST(posts_of_one_callback_on_several_sinks_all_go_out) {
    iouringnet_net *net = net_of_mode();
    struct pair pairs[SINKS];
    char got[4 * POSTS];

    for (int i = 0; i < SINKS; i++)
        pairs[i] = tcp_pair_in(net, net);
    on_callback_thread(net, posts_on_each_by_turns, pairs);
    for (int i = 0; i < SINKS; i++) {
        CHECK_OK(stream_recv(pairs[i].b.stream, got, sizeof got, NULL));
        CHECK_MEM(got, "postpostpost", sizeof got);
        pair_close(&pairs[i]);
    }
    CHECK_OK(net_stop(net));
}
