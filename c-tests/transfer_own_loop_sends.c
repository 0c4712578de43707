/* A program's own loop: the sends of the callbacks of one turn leave together, by a ring that only sends, where that is
   cheaper than a system call for each. The loop itself waits by epoll. IOURINGNET_SENDS asks for one way or the other; the
   harness asks for entries. What a send promises is the same either way. */

#include "filter.h"
#include "own_loop.h"

#include <sys/syscall.h>

/* ---- which way they leave ---- */

/* a ring of this process, by the kernel's word */
static bool has_ring(void) {
    for (int fd = 3; fd < 64; fd++) {
        char path[64], target[64] = "";

        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        if (readlink(path, target, sizeof target - 1) > 0 && strcmp(target, "anon_inode:[io_uring]") == 0)
            return true;
    }
    return false;
}

/* sends by a ring are possible here, the mode does not forbid them, and there is a first try, which they take the place of */
static bool ring_is_expected(void) {
    iouringnet_probe_result probe;

    iouringnet_probe_result_init(&probe);
    CHECK_OK(iouringnet_probe(&probe));
    return probe.engine == IOURINGNET_ENGINE_IO_URING && (probe.features & IOURINGNET_FEATURE_SILENT_SENDS) != 0 &&
           config_of_mode().first_try != IOURINGNET_OFF;
}

enum { PEERS = 10 };

struct posting {
    struct dialled to[PEERS];
    int posts;
};

static void post_to_all(void *user, const iouringnet_completion *done) {
    struct posting *posting = user;

    CHECK_OK(done->status);
    for (int i = 0; i < PEERS; i++)
        CHECK_OK(sink_post(posting->to[i].sink, "post", 4));
    posting->posts++;
}

/* posts to ten peers in one turn. Returns the entries of the receive loop for that. */
static uint64_t entries_of_ten_posts(iouringnet_net *net, struct posting *posting) {
    uint64_t before;

    dispatch_all(net);
    before = stats_of(net).recv_entries;
    posting->posts = 0;
    CHECK_OK(net_call(net, 0, post_to_all, posting, NULL));
    DISPATCH_UNTIL(net, posting->posts == 1);
    for (int i = 0; i < PEERS; i++) {
        char got[4];

        raw_recv(posting->to[i].peer, got, 4);
        CHECK_MEM(got, "post", 4);
    }
    return stats_of(net).recv_entries - before;
}

static void dial_all(iouringnet_net *net, struct posting *posting) {
    for (int i = 0; i < PEERS; i++)
        posting->to[i] = dialled_in(net);
}

static void stop_all(iouringnet_net *net, struct posting *posting) {
    for (int i = 0; i < PEERS; i++) {
        sink_close(posting->to[i].sink);
        stream_close(posting->to[i].stream);
        raw_close(posting->to[i].peer);
    }
    CHECK_OK(net_stop(net));
}

static void ten_posts_take(uint64_t entries, bool ring) {
    iouringnet_net *net = own_loop();
    struct posting posting;

    CHECK_EQ(has_ring(), ring);
    CHECK_EQ(stats_of(net).engine, IOURINGNET_ENGINE_EPOLL);
    dial_all(net, &posting);
    CHECK_EQ(entries_of_ten_posts(net, &posting), entries);
    stop_all(net, &posting);
    CHECK(!has_ring());
}

TEST(posts_of_a_turn_leave_as_entries_unless_epoll_is_demanded) {
    bool ring = ring_is_expected();

    CHECK_EQ(setenv("IOURINGNET_SENDS", "entries", 1), 0);
    ten_posts_take(ring ? PEERS : 0, ring);
}

TEST(posts_of_a_turn_leave_by_calls_if_the_environment_asks) {
    CHECK_EQ(setenv("IOURINGNET_SENDS", "calls", 1), 0);
    ten_posts_take(0, false);
}

TEST(posts_of_a_turn_leave_by_calls_if_the_config_demands_epoll) {
    iouringnet_config config = own_loop_config();
    iouringnet_net *net;

    config.engine = IOURINGNET_ENGINE_EPOLL;
    CHECK_OK(net_start(&config, &net));
    CHECK(!has_ring());
    CHECK_OK(net_stop(net));
}

TEST(posts_of_a_turn_leave_by_calls_if_io_uring_is_refused) {
    refuse_call(SYS_io_uring_setup, EPERM, THIS_THREAD);
    ten_posts_take(0, false);
}

/* ---- more posts than a turn, a ring or a socket holds ---- */

enum { ECHOES = 40, ECHO_SIZE = 256 << 10, ECHO_PART = 16 << 10 };

struct echo {
    iouringnet_net *net;
    struct dialled to;
    uint32_t seed;
    atomic_bool over;
};

/* posts what it is shown: as a whole, or in two pieces, of which the turn takes the first and collects the second */
static size_t echo_shown(void *user, iouringnet_status status, const void *data, size_t size) {
    struct echo *echo = user;
    size_t first = echo->seed % 2 == 0 ? size : size / 2;

    if (status != 0)
        return size;
    CHECK_OK(sink_post(echo->to.sink, data, first));
    CHECK_OK(sink_post(echo->to.sink, (const char *)data + first, size - first));
    return size;
}

static void *feed(void *user) {
    struct echo *echo = user;
    char part[ECHO_PART];

    for (size_t at = 0; at < ECHO_SIZE; at += sizeof part) {
        pattern_fill(part, sizeof part, at, echo->seed);
        raw_send(echo->to.peer, part, sizeof part);
    }
    return NULL;
}

static void *check_echo(void *user) {
    struct echo *echo = user;
    char part[ECHO_PART];

    for (size_t at = 0; at < ECHO_SIZE; at += sizeof part) {
        raw_recv(echo->to.peer, part, sizeof part);
        pattern_check(part, sizeof part, at, echo->seed);
    }
    atomic_store(&echo->over, true);
    CHECK_OK(net_wake(echo->net));
    return NULL;
}

static void echo_to_all(uint32_t send_buffer, uint32_t ring_entries) {
    static struct echo echoes[ECHOES];
    iouringnet_config config = own_loop_config();
    pthread_t threads[2 * ECHOES];
    iouringnet_net *net;

    config.send_buffer = send_buffer;
    config.ring_entries = ring_entries;
    config.post_mark = (size_t)64 << 20; /* the callback does not look for FULL */
    CHECK_OK(net_start(&config, &net));
    for (int i = 0; i < ECHOES; i++) {
        struct echo *echo = &echoes[i];

        echo->net = net;
        echo->seed = (uint32_t)i;
        echo->to = dialled_in(net);
        CHECK_OK(watch_data(echo->to.stream, echo_shown, echo));
        threads[2 * i] = spawn(feed, echo);
        threads[2 * i + 1] = spawn(check_echo, echo);
    }
    for (int i = 0; i < ECHOES; i++)
        DISPATCH_UNTIL(net, atomic_load(&echoes[i].over));
    for (int i = 0; i < 2 * ECHOES; i++)
        join(threads[i]);
    for (int i = 0; i < ECHOES; i++) {
        connection_close(echoes[i].to.sink, echoes[i].to.stream);
        raw_close(echoes[i].to.peer);
    }
    CHECK_OK(net_stop(net));
}

TEST(what_callbacks_post_comes_whole) {
    echo_to_all(0, 0);
}

TEST(what_callbacks_post_comes_whole_in_short_tries) {
    echo_to_all(4096, 0);
}

TEST(what_callbacks_post_comes_whole_by_the_smallest_ring) {
    echo_to_all(0, 8);
}

/* ---- others who use the sink ---- */

enum { RECORD = 8, RECORDS = 2000 };

struct mixing {
    iouringnet_net *net;
    struct dialled to;
    int next;
    atomic_bool over;
};

static void post_record(void *user, const iouringnet_completion *done) {
    struct mixing *mixing = user;
    char record[16];
    int posts = 1 + mixing->next % 3;

    CHECK_OK(done->status);
    for (int i = 0; i < posts && mixing->next < RECORDS; i++) {
        snprintf(record, sizeof record, "C%07d", mixing->next++);
        CHECK_OK(sink_post(mixing->to.sink, record, RECORD));
    }
    if (mixing->next < RECORDS)
        CHECK_OK(net_call(mixing->net, 0, post_record, mixing, NULL));
}

static void *send_records(void *user) {
    struct mixing *mixing = user;
    char record[16];

    for (int i = 0; i < RECORDS; i++) {
        snprintf(record, sizeof record, "T%07d", i);
        if (i % 3 == 0)
            CHECK_OK(sink_send(mixing->to.sink, record, RECORD, NULL));
        else
            CHECK_OK(sink_post(mixing->to.sink, record, RECORD));
        if (i % 100 == 0)
            CHECK_OK(sink_flush(mixing->to.sink));
    }
    return NULL;
}

/* from callbacks, from a thread, and from the dispatching thread between its turns: each has its order */
static void *check_records(void *user) {
    struct mixing *mixing = user;
    int next[3] = {0, 0, 0};

    for (int i = 0; i < 3 * RECORDS; i++) {
        char record[16] = "", wanted[16];
        int whose;

        raw_recv(mixing->to.peer, record, RECORD);
        whose = record[0] == 'C' ? 0 : record[0] == 'T' ? 1 : 2;
        snprintf(wanted, sizeof wanted, "%c%07d", "CTB"[whose], next[whose]++);
        CHECK_MEM(record, wanted, RECORD);
    }
    atomic_store(&mixing->over, true);
    CHECK_OK(net_wake(mixing->net));
    return NULL;
}

TEST(callbacks_a_thread_and_the_dispatching_thread_keep_their_orders) {
    iouringnet_config config = own_loop_config();
    struct mixing mixing = {0};
    pthread_t sender, reader;

    config.send_buffer = 4096;
    CHECK_OK(net_start(&config, &mixing.net));
    mixing.to = dialled_in(mixing.net);
    reader = spawn(check_records, &mixing);
    sender = spawn(send_records, &mixing);
    CHECK_OK(net_call(mixing.net, 0, post_record, &mixing, NULL));
    for (int i = 0; i < RECORDS; i++) {
        char record[16];
        iouringnet_status status = net_dispatch(mixing.net, 0);

        CHECK(status == 0 || status == IOURINGNET_TIMEOUT);
        snprintf(record, sizeof record, "B%07d", i);
        CHECK_OK(sink_post(mixing.to.sink, record, RECORD));
    }
    DISPATCH_UNTIL(mixing.net, atomic_load(&mixing.over));
    join(sender);
    join(reader);
    connection_close(mixing.to.sink, mixing.to.stream);
    raw_expect_eof(mixing.to.peer);
    raw_close(mixing.to.peer);
    CHECK_OK(net_stop(mixing.net));
}

/* ---- sends with a callback ---- */

enum { SENDS = 1000, SEND_ROOM = 40000 };

struct sending {
    iouringnet_net *net;
    struct dialled to;
    char data[SEND_ROOM];
    size_t at, size, all;
    int left;
    bool over;
};

static size_t size_of_send(int left) {
    return 1 + (size_t)left * 7919 % (left % 4 == 0 ? SEND_ROOM : 700);
}

/* the memory is lent until the callback: each piece is filled anew in the callback of the one before */
static void send_next(void *user, const iouringnet_completion *done) {
    struct sending *sending = user;

    CHECK_OK(done->status);
    if (done->bytes > 0) {
        CHECK_EQ(done->bytes, sending->size);
        sending->at += sending->size;
    }
    if (sending->left-- == 0) {
        sending->over = true;
        return;
    }
    sending->size = size_of_send(sending->left);
    pattern_fill(sending->data, sending->size, sending->at, 11);
    CHECK_OK(sink_send_async(sending->to.sink, sending->data, sending->size, send_next, sending, NULL));
}

static void *check_sends(void *user) {
    struct sending *sending = user;
    char got[5000];

    for (size_t at = 0, size; at < sending->all; at += size) {
        size = sending->all - at < sizeof got ? sending->all - at : sizeof got;
        raw_recv(sending->to.peer, got, size);
        pattern_check(got, size, at, 11);
    }
    return NULL;
}

static void send_a_chain(uint32_t send_buffer) {
    static struct sending sending;
    iouringnet_config config = own_loop_config();
    pthread_t reader;

    config.send_buffer = send_buffer;
    CHECK_OK(net_start(&config, &sending.net));
    sending.to = dialled_in(sending.net);
    sending.left = SENDS;
    for (int left = SENDS - 1; left >= 0; left--)
        sending.all += size_of_send(left);
    reader = spawn(check_sends, &sending);
    CHECK_OK(net_call(sending.net, 0, send_next, &sending, NULL));
    DISPATCH_UNTIL(sending.net, sending.over);
    join(reader);
    connection_close(sending.to.sink, sending.to.stream);
    raw_close(sending.to.peer);
    CHECK_OK(net_stop(sending.net));
}

TEST(a_chain_of_sends_completes_in_order) {
    send_a_chain(0);
}

TEST(a_chain_of_sends_that_fall_short_loses_nothing) {
    send_a_chain(4096);
}

/* ---- ends ---- */

/* the last turn before the stop has posted. The peers get all bytes, and then the end. */
TEST(a_stop_sends_what_the_last_turn_has_posted) {
    iouringnet_net *net = own_loop();
    struct posting posting = {.posts = 0};

    dial_all(net, &posting);
    CHECK_OK(net_call(net, 0, post_to_all, &posting, NULL));
    DISPATCH_UNTIL(net, posting.posts == 1);
    for (int i = 0; i < PEERS; i++) /* a peer that does not close would have the stop wait for it */
        raw_half_close(posting.to[i].peer);
    CHECK_OK(net_stop(net));
    for (int i = 0; i < PEERS; i++) {
        char got[4];

        raw_recv(posting.to[i].peer, got, 4);
        CHECK_MEM(got, "post", 4);
        raw_expect_eof(posting.to[i].peer);
        raw_close(posting.to[i].peer);
    }
}

TEST(a_loop_whose_ring_fails_dies) {
    iouringnet_net *net = own_loop();
    struct posting posting = {.posts = 0};

    if (!has_ring())
        SKIP("no sends by a ring in this mode");
    dial_all(net, &posting);
    dispatch_all(net);
    refuse_call(SYS_io_uring_enter, EPERM, THIS_THREAD);
    CHECK_OK(net_call(net, 0, post_to_all, &posting, NULL));
    for (int i = 0; i < 1000 && posting.posts == 0; i++)
        (void)net_dispatch(net, 1000);
    CHECK_EQ(posting.posts, 1);
    CHECK_STATUS(net_dispatch(net, 0), IOURINGNET_PANIC);
    for (int i = 0; i < PEERS; i++) {
        raw_expect_reset(posting.to[i].peer);
        raw_close(posting.to[i].peer);
    }
    CHECK_OK(net_stop(net));
}
