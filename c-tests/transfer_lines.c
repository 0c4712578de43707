/* Lines: a fill until a mark finds the mark wherever it comes, takes no byte, has a bound that the peer cannot
   exceed, and looks at no byte twice.
   Rule: Lines. */

#include "inside.h"

enum { READ_BUFFER = 1000, MAX = 5000 };

static struct mixed lines(void) {
    iouringnet_config config = config_of_mode();

    config.read_buffer = READ_BUFFER;
    config.buffer_max = MAX;
    return mixed_pair_with(&config, 0);
}

static void say(int peer, const char *text) {
    raw_send(peer, text, strlen(text));
}

/* the next line is `want`, which ends with the mark */
static void expect_line(iouringnet_stream *stream, const char *mark, const char *want) {
    const void *shown;
    size_t size = 77, shown_size;

    CHECK_OK(stream_fill_until(stream, mark, strlen(mark), MAX, &size));
    CHECK_EQ(size, strlen(want));
    CHECK_OK(stream_peek(stream, size, &shown, &shown_size));
    CHECK_EQ(shown_size, size);
    CHECK_MEM(shown, want, size);
    CHECK_OK(stream_consume(stream, size));
}

TEST(lines_come_one_by_one) {
    struct mixed m = lines();

    say(m.peer, "one\r\n\r\nthree\nstill\rthree\r\nfo");
    expect_line(m.stream, "\r\n", "one\r\n");
    expect_line(m.stream, "\r\n", "\r\n");
    expect_line(m.stream, "\r\n", "three\nstill\rthree\r\n");
    say(m.peer, "ur\r\n");
    expect_line(m.stream, "\r\n", "four\r\n");
    mixed_close(&m);
}

struct line {
    iouringnet_stream *stream;
    const char *mark;
    iouringnet_status status;
    size_t size;
    struct waiter waiter;
};

static void *fills(void *user) {
    struct line *line = user;

    waiter_begins(&line->waiter);
    line->status = stream_fill_until(line->stream, line->mark, strlen(line->mark), MAX, &line->size);
    return NULL;
}

/* A thread waits for a mark, which comes byte for byte, after beginnings of it that do not go on. */
TEST(a_mark_may_come_in_pieces) {
    const char *marks[] = {"\n", "\r\n", "aaab", "0123456789abcdef"};
    const char *texts[] = {"x\n", "\r\rx\r\n", "aaaaaab", "0123456780123456789abcdef"};

    for (int i = 0; i < 4; i++) {
        struct mixed m = lines();
        struct line line = {.stream = m.stream, .mark = marks[i]};
        pthread_t thread = spawn(fills, &line);

        for (const char *at = texts[i]; *at; at++) {
            waiter_sleeps(&line.waiter);
            raw_send(m.peer, at, 1);
            if (at[1])
                EVENTUALLY(raw_unacknowledged(m.peer) == 0);
        }
        join(thread);
        CHECK_OK(line.status);
        CHECK_EQ(line.size, strlen(texts[i]));
        mixed_close(&m);
    }
}

TEST(a_line_may_be_as_long_as_max) {
    struct mixed m = lines();
    char line[MAX], got[MAX];
    size_t size;

    memset(line, 'l', sizeof line);
    line[MAX - 1] = '\n';
    raw_send(m.peer, line, MAX);
    raw_send(m.peer, "next\n", 5);
    CHECK_STATUS(stream_fill_until(m.stream, "\n", 1, MAX - 1, &size), IOURINGNET_TOO_BIG);
    CHECK_EQ(size, 0);
    CHECK_STATUS(stream_fill_until(m.stream, "\n", 1, 1, NULL), IOURINGNET_TOO_BIG);
    /* all of it is still there */
    CHECK_OK(stream_fill_until(m.stream, "\n", 1, MAX, &size));
    CHECK_EQ(size, MAX);
    CHECK_OK(stream_recv(m.stream, got, MAX, NULL));
    CHECK_MEM(got, line, MAX);
    expect_line(m.stream, "\n", "next\n");
    mixed_close(&m);
}

TEST(a_mark_that_ends_behind_max_is_too_late) {
    struct mixed m = lines();
    size_t size;

    say(m.peer, "12345\r\n");
    CHECK_OK(stream_fill(m.stream, 7));
    CHECK_STATUS(stream_fill_until(m.stream, "\r\n", 2, 6, &size), IOURINGNET_TOO_BIG);
    CHECK_EQ(size, 0);
    CHECK_OK(stream_fill_until(m.stream, "\r\n", 2, 7, &size));
    CHECK_EQ(size, 7);
    mixed_close(&m);
}

/* so many bytes without a mark are too many already, though the peer sends no more */
TEST(a_line_of_max_bytes_without_an_end_is_too_big) {
    struct mixed m = lines();
    char line[MAX];
    size_t size = 77;

    memset(line, 'l', sizeof line);
    CHECK_OK(stream_set_timeout(m.stream, WAIT_MS));
    raw_send(m.peer, line, MAX);
    CHECK_STATUS(stream_fill_until(m.stream, "\n", 1, MAX, &size), IOURINGNET_TOO_BIG);
    CHECK_EQ(size, 0);
    mixed_close(&m);
}

/* A peer that sends without an end is held back, and what it sent stays. */
TEST(a_line_without_an_end_is_bounded) {
    enum { LINE = 3 << 20 };
    struct mixed m = lines();
    char *line = take(LINE), *got = take(LINE);
    struct result filled = RESULT;
    size_t size;
    ssize_t sent;

    pattern_fill(line, LINE, 0, 1);
    for (size_t i = 0; i < LINE; i++)
        line[i] |= 1; /* no '\n' */
    CHECK_OK(stream_fill_until_async(m.stream, "\n", 1, MAX, result_store, &filled, NULL));
    sent = send(m.peer, line, LINE, MSG_DONTWAIT);
    CHECK(sent > MAX);
    CHECK_STATUS(result_wait(&filled), IOURINGNET_TOO_BIG);
    CHECK_EQ(filled.done.bytes, 0);
    CHECK_STATUS(stream_fill_until(m.stream, "\n", 1, MAX, &size), IOURINGNET_TOO_BIG);
    CHECK_OK(stream_recv(m.stream, got, (size_t)sent, NULL));
    CHECK_MEM(got, line, (size_t)sent);
    free(line);
    free(got);
    mixed_close(&m);
}

/* the bytes of a line that fails can be received, and looked at again */
TEST(a_line_that_fails_stays) {
    struct mixed m = lines();
    struct result filled = RESULT;
    iouringnet_op *op;
    char got[5];
    size_t size = 77;

    CHECK_OK(stream_set_timeout(m.stream, 50));
    say(m.peer, "hello");
    CHECK_STATUS(stream_fill_until(m.stream, "\n", 1, MAX, &size), IOURINGNET_TIMEOUT);
    CHECK_EQ(size, 0);
    CHECK_OK(stream_set_timeout(m.stream, IOURINGNET_NO_TIMEOUT));
    CHECK_OK(stream_fill_until_async(m.stream, "\n", 1, MAX, result_store, &filled, &op));
    CHECK_OK(op_cancel(op));
    CHECK_STATUS(result_wait(&filled), IOURINGNET_CANCELLED);
    CHECK_EQ(filled.done.bytes, 0);
    CHECK_OK(op_release(op));
    CHECK_OK(stream_fill_until(m.stream, "lo", 2, MAX, &size));
    CHECK_EQ(size, 5);
    raw_half_close(m.peer);
    CHECK_STATUS(stream_fill_until(m.stream, "\n", 1, MAX, &size), IOURINGNET_EOF);
    CHECK_EQ(size, 0);
    CHECK_OK(stream_fill_until(m.stream, "lo", 2, MAX, &size));
    CHECK_EQ(size, 5);
    CHECK_OK(stream_recv(m.stream, got, 5, NULL));
    CHECK_MEM(got, "hello", 5);
    CHECK_STATUS(stream_recv(m.stream, got, 1, NULL), IOURINGNET_EOF);
    mixed_close(&m);
}

TEST(lines_keep_the_order_of_receives) {
    struct mixed m = lines();
    struct result first = RESULT, line = RESULT, last = RESULT;
    char into[2][4];

    CHECK_OK(stream_recv_async(m.stream, into[0], 4, result_store, &first, NULL));
    CHECK_OK(stream_fill_until_async(m.stream, "\n", 1, MAX, result_store, &line, NULL));
    CHECK_OK(stream_recv_async(m.stream, into[1], 4, result_store, &last, NULL));
    say(m.peer, "123\nab");
    CHECK_OK(result_wait(&first));
    settle(m.net);
    CHECK_EQ(line.calls + last.calls, 0); /* the mark of the receive before is not the line's */
    say(m.peer, "c\nde");
    CHECK_OK(result_wait(&line));
    CHECK_EQ(line.done.bytes, 4);
    CHECK_OK(result_wait(&last));
    CHECK_MEM(into[0], "123\n", 4);
    CHECK_MEM(into[1], "abc\n", 4);
    mixed_close(&m);
}

/* lines that callbacks ask for, one after the other */
struct chain {
    iouringnet_stream *stream;
    struct latch over;
    unsigned lines;
    iouringnet_status status;
};

static void next_line(void *user, const iouringnet_completion *done) {
    struct chain *chain = user;
    char want[32];
    const void *shown;
    size_t size;

    chain->status = done->status;
    if (done->status != 0) {
        latch_open(&chain->over);
        return;
    }
    CHECK_OK(stream_peek(chain->stream, done->bytes, &shown, &size));
    CHECK_EQ(size, snprintf(want, sizeof want, "line %u\r\n", chain->lines++));
    CHECK_MEM(shown, want, size);
    CHECK_OK(stream_consume(chain->stream, size));
    CHECK_OK(stream_fill_until_async(chain->stream, "\r\n", 2, MAX, next_line, chain, NULL));
}

TEST(callbacks_may_read_line_by_line) {
    enum { LINES = 20000 };
    struct mixed m = lines();
    struct chain chain = {m.stream, LATCH(1), 0, 0};
    char *text = take(LINES * 16);
    size_t size = 0;

    for (unsigned i = 0; i < LINES; i++)
        size += (size_t)sprintf(text + size, "line %u\r\n", i);
    CHECK_OK(stream_fill_until_async(m.stream, "\r\n", 2, MAX, next_line, &chain, NULL));
    for (size_t at = 0; at < size; at += at % 7 + 1 < size - at ? at % 7 + 1 : size - at) {
        if (at > 1000) { /* small pieces first, then all */
            raw_send(m.peer, text + at, size - at);
            break;
        }
        raw_send(m.peer, text + at, at % 7 + 1);
    }
    raw_half_close(m.peer);
    latch_wait(&chain.over);
    CHECK_STATUS(chain.status, IOURINGNET_EOF);
    CHECK_EQ(chain.lines, LINES);
    free(text);
    mixed_close(&m);
}

/* what this process has run so far, in microseconds: other load must not count */
static int64_t used_us(void) {
    struct timespec time;

    CHECK_EQ(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time), 0);
    return (int64_t)time.tv_sec * 1000000 + time.tv_nsec / 1000;
}

static int64_t time_of(iouringnet_stream *stream, const char *one, const char *other, size_t max) {
    enum { CALLS = 100 };
    int64_t began = used_us();

    for (int i = 0; i < CALLS; i++)
        CHECK_STATUS(stream_fill_until(stream, i % 2 ? one : other, 2, max, NULL), IOURINGNET_TIMEOUT);
    return used_us() - began;
}

/* A search goes on where the last one ended, in the next call too. Another mark begins anew, as a comparison. */
TEST(no_byte_is_looked_at_twice) {
    enum { SIZE = 1 << 20, MOST = 2 << 20 };
    iouringnet_config config = config_of_mode();
    struct mixed m;
    char *much = take(SIZE);
    int64_t same, anew;

    config.buffer_max = MOST;
    m = mixed_pair_with(&config, 0);
    memset(much, '\r', SIZE);
    raw_send(m.peer, much, SIZE);
    CHECK_OK(stream_fill(m.stream, SIZE));
    CHECK_OK(stream_set_timeout(m.stream, 0));
    CHECK_STATUS(stream_fill_until(m.stream, "\r\n", 2, MOST, NULL), IOURINGNET_TIMEOUT);
    same = time_of(m.stream, "\r\n", "\r\n", MOST);
    anew = time_of(m.stream, "\r\n", "\r\t", MOST);
    fprintf(stderr, "100 calls: %d us, %d us from the beginning\n", (int)same, (int)anew);
    CHECK(4 * same < anew);
    free(much);
    mixed_close(&m);
}

/* what was searched in vain has gone, and the mark comes earlier than the search had come */
TEST(a_search_begins_anew_behind_what_was_taken) {
    for (int receives = 0; receives < 2; receives++) {
        struct mixed m = lines();
        char got[9];

        say(m.peer, "no mark: x");
        CHECK_OK(stream_fill(m.stream, 10));
        CHECK_OK(stream_set_timeout(m.stream, 0));
        CHECK_STATUS(stream_fill_until(m.stream, "\r\n", 2, MAX, NULL), IOURINGNET_TIMEOUT);
        CHECK_OK(stream_set_timeout(m.stream, WAIT_MS));
        if (receives)
            CHECK_OK(stream_recv(m.stream, got, 9, NULL));
        else
            CHECK_OK(stream_consume(m.stream, 9));
        say(m.peer, "\r\n");
        expect_line(m.stream, "\r\n", "x\r\n");
        mixed_close(&m);
    }
}

TEST(a_line_may_be_larger_than_the_read_buffer) {
    enum { SIZE = 1 << 20 };
    struct pair p = tcp_pair();
    struct result sent = RESULT;
    char *line = take(SIZE), *got = take(SIZE);
    size_t size;

    memset(line, 'x', SIZE);
    line[SIZE - 1] = '\n';
    CHECK_OK(sink_send_async(p.a.sink, line, SIZE, result_store, &sent, NULL));
    CHECK_OK(stream_fill_until(p.b.stream, "\n", 1, SIZE, &size));
    CHECK_EQ(size, SIZE);
    CHECK_OK(stream_recv(p.b.stream, got, SIZE, NULL));
    CHECK_MEM(got, line, SIZE);
    CHECK_OK(result_wait(&sent));
    pair_close(&p);
    free(line);
    free(got);
}

/* once */ TEST(lines_need_a_buffer_a_mark_and_a_bound) {
    iouringnet_config config = config_of_mode();
    struct mixed m = lines();
    iouringnet_op *op = (iouringnet_op *)&m;
    const char *mark = "0123456789abcdefg";
    size_t sizes[][2] = {{0, 10}, {17, 17}, {SIZE_MAX, MAX}, {3, 2}, {1, 0}, {1, MAX + 1}, {16, MAX + 1}};
    size_t size;

    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        size = 77;
        CHECK_STATUS(stream_fill_until(m.stream, mark, sizes[i][0], sizes[i][1], &size), IOURINGNET_INVALID);
        CHECK_EQ(size, 0);
        CHECK_STATUS(stream_fill_until_async(m.stream, mark, sizes[i][0], sizes[i][1], never, NULL, &op),
                     IOURINGNET_INVALID);
    }
    CHECK_STATUS(stream_fill_until(m.stream, NULL, 1, 10, &size), IOURINGNET_INVALID);
    CHECK_STATUS(stream_fill_until_async(m.stream, NULL, 1, 10, never, NULL, &op), IOURINGNET_INVALID);
    CHECK_STATUS(stream_fill_until_async(m.stream, "\n", 1, 10, NULL, NULL, NULL), IOURINGNET_INVALID);
    CHECK(op == (iouringnet_op *)&m);
    mixed_close(&m);

    config.read_buffer = IOURINGNET_UNBUFFERED;
    m = mixed_pair_with(&config, 0);
    CHECK_STATUS(stream_fill_until(m.stream, "\n", 1, 10, NULL), IOURINGNET_INVALID);
    mixed_close(&m);
}
