/* Receives that the loop looks at after their deadline, or after a cancel, while their bytes came meanwhile: what came in
   time is delivered, and no byte is lost or received twice.
   Rule: Timeouts. */

#include "support.h"

/* ---- the cases ---- */

enum { BUFFER = 1000, MANY = 200, SEED = 5, ROOM = 24000 };
enum want { EXACT, SOME, FILL };
enum cut { AT_THE_DEADLINE, BY_A_CANCEL };

/* `receives` wait one behind the other, each of `size`. While the loop does nothing, `in_time` bytes come, then the
   deadline or the cancel, then `late` bytes, and then the end of the stream, where `ends` says so. */
struct row {
    enum want kind;
    int receives;
    size_t size, in_time, late;
    bool ends;
};

static const struct row rows[] = {
    {EXACT, 1, 10, 10, 0, false},
    {EXACT, 1, 10, 6, 0, false},
    {EXACT, 1, 10, 6, 4, false},
    {EXACT, 1, 10, 0, 10, false},
    {EXACT, 1, 10, 25, 7, false},
    {EXACT, 1, 10, 6, 0, true},
    {EXACT, 1, 10, 10, 0, true},
    /* from the size of the read buffer on a receive counts what it took */
    {EXACT, 1, 3000, 3000, 0, false},
    {EXACT, 1, 3000, 2500, 0, false},
    {EXACT, 1, 3000, 2500, 500, false},
    {EXACT, 1, 3000, 0, 3000, false},
    {EXACT, 1, 3000, 4000, 10, false},
    {EXACT, 1, 3000, 2500, 0, true},
    {SOME, 1, 100, 100, 0, false},
    {SOME, 1, 100, 1, 0, false},
    {SOME, 1, 100, 150, 20, false},
    {SOME, 1, 100, 0, 50, false},
    {SOME, 1, 3000, 200, 100, false},
    {SOME, 1, 3000, 200, 0, true},
    {FILL, 1, 1500, 1500, 0, false},
    {FILL, 1, 1500, 700, 0, false},
    {FILL, 1, 1500, 700, 800, false},
    {FILL, 1, 100, 0, 0, true},
    {EXACT, 4, 10, 40, 0, false},
    {EXACT, 4, 10, 25, 0, false},
    {EXACT, 4, 10, 25, 15, false},
    {EXACT, 4, 10, 25, 0, true},
    {EXACT, 4, 700, 1500, 0, false},
    {EXACT, 4, 700, 2100, 700, false},
    {EXACT, 3, 1200, 2400, 0, false},
    {EXACT, 3, 1200, 2000, 100, false},
    {SOME, 3, 400, 900, 0, false},
    {FILL, 3, 600, 500, 0, false},
};
enum { ROWS = sizeof rows / sizeof *rows };

/* more receives than the loop waits for when a deadline has passed: it has to ask the kernel for what the last ones want */
static const struct row many_rows[] = {
    {EXACT, MANY, 100, 20000, 0, false},
    {EXACT, MANY, 100, 15050, 0, false},
    {EXACT, MANY, 100, 15050, 4950, false},
    {EXACT, MANY, 100, 15050, 0, true},
};
enum { MANY_ROWS = sizeof many_rows / sizeof *many_rows };

struct late {
    struct mixed m;
    iouringnet_op *ops[MANY];
    char *into; /* of all receives */
};

static void begin(struct late *late, const struct row *row) {
    for (int i = 0; i < row->receives; i++) {
        char *into = late->into + (size_t)i * row->size;

        if (row->kind == EXACT)
            CHECK_OK(stream_recv_async(late->m.stream, into, row->size, NULL, NULL, &late->ops[i]));
        else if (row->kind == SOME)
            CHECK_OK(stream_recv_some_async(late->m.stream, into, row->size, NULL, NULL, &late->ops[i]));
        else
            CHECK_OK(stream_fill_async(late->m.stream, row->size, NULL, NULL, &late->ops[i]));
    }
}

static void send_pattern(int fd, size_t size, size_t offset) {
    char data[ROOM];

    pattern_fill(data, size, offset, SEED);
    raw_send(fd, data, size);
}

/* what each receive says, and that together with what can be received afterwards every byte is there once */
static void look(struct late *late, const struct row *row, size_t read_buffer, iouringnet_status cut) {
    size_t sent = row->in_time + row->late, took = 0, rest;
    iouringnet_status end = row->ends ? IOURINGNET_EOF : cut, status;
    char left[ROOM];

    for (int i = 0; i < row->receives; i++) {
        char *into = late->into + (size_t)i * row->size;
        iouringnet_completion done;
        size_t wanted = row->kind == SOME ? 1 : row->size;

        iouringnet_completion_init(&done);
        status = op_finish(late->ops[i], &done);
        if (cut == IOURINGNET_TIMEOUT && took + wanted <= row->in_time)
            CHECK_OK(status); /* it was all there */
        if (status != 0)
            CHECK(status == cut || status == end);
        if (sent - took < wanted)
            CHECK(status != 0);
        if (row->kind == FILL) {
            CHECK_EQ(done.bytes, 0);
            continue; /* it takes nothing */
        }
        if (status == 0)
            CHECK_BETWEEN(done.bytes, wanted, row->size);
        else if (row->kind == SOME || row->size < read_buffer)
            CHECK_EQ(done.bytes, 0);
        pattern_check(into, done.bytes, took, SEED);
        took += done.bytes;
    }
    CHECK_OK(stream_set_timeout(late->m.stream, row->ends ? IOURINGNET_NO_TIMEOUT : 0));
    for (rest = sent - took; rest > 0; rest = sent - took) {
        size_t count = 0;

        CHECK_OK(stream_recv_some(late->m.stream, left, sizeof left, &count));
        CHECK_BETWEEN(count, 1, rest);
        pattern_check(left, count, took, SEED);
        took += count;
    }
    CHECK_STATUS(stream_recv_some(late->m.stream, left, 1, NULL), row->ends ? IOURINGNET_EOF : IOURINGNET_TIMEOUT);
}

/* all rows at once, each on a connection of its own; false: the deadline was over before the bytes were there */
static bool round_of(const struct row *chosen, int count, enum cut cut, size_t read_buffer, int64_t limit_ms) {
    iouringnet_config config = config_of_mode();
    iouringnet_net *net;
    static struct late lates[ROWS];
    struct busy busy = BUSY;
    int64_t deadline;
    bool in_time;

    config.read_buffer = read_buffer;
    net = net_with(&config);
    for (int i = 0; i < count; i++) {
        lates[i].m = mixed_pair_in(net, 0);
        lates[i].into = take((size_t)chosen[i].receives * chosen[i].size);
        if (cut == AT_THE_DEADLINE)
            CHECK_OK(stream_set_timeout(lates[i].m.stream, limit_ms));
    }
    deadline = now_ms() + limit_ms; /* no receive's is earlier */
    for (int i = 0; i < count; i++)
        if (read_buffer != IOURINGNET_UNBUFFERED || chosen[i].kind != FILL)
            begin(&lates[i], &chosen[i]);
    settle(net); /* those at the front are in the kernel */
    busy_begin(&busy, net);
    for (int i = 0; i < count; i++)
        send_pattern(lates[i].m.peer, chosen[i].in_time, 0);
    in_time = cut == BY_A_CANCEL || now_ms() < deadline;
    if (cut == BY_A_CANCEL)
        for (int i = 0; i < count; i++)
            for (int k = 0; k < chosen[i].receives; k++)
                if (read_buffer != IOURINGNET_UNBUFFERED || chosen[i].kind != FILL)
                    CHECK_OK(op_cancel(lates[i].ops[k]));
    while (cut == AT_THE_DEADLINE && now_ms() < deadline + limit_ms)
        nap(); /* until every deadline has passed */
    for (int i = 0; i < count; i++) {
        send_pattern(lates[i].m.peer, chosen[i].late, chosen[i].in_time);
        if (chosen[i].ends)
            raw_half_close(lates[i].m.peer);
    }
    busy_end(&busy);
    for (int i = 0; i < count; i++) {
        size_t buffer = read_buffer == IOURINGNET_UNBUFFERED ? 0 : read_buffer;

        if (in_time && (buffer != 0 || chosen[i].kind != FILL))
            look(&lates[i], &chosen[i], buffer, cut == BY_A_CANCEL ? IOURINGNET_CANCELLED : IOURINGNET_TIMEOUT);
        connection_abort(lates[i].m.sink, NULL);
        mixed_close(&lates[i].m);
    }
    CHECK_OK(net_stop(net));
    for (int i = 0; i < count; i++)
        free(lates[i].into);
    return in_time;
}

static void rounds_until_valid(const struct row *chosen, int count, size_t read_buffer) {
    for (int64_t limit_ms = 150; limit_ms < 10000; limit_ms *= 2)
        if (round_of(chosen, count, AT_THE_DEADLINE, read_buffer, limit_ms))
            return;
    SKIP("too busy: the bytes seldom come before the deadline");
}

TEST(what_came_before_a_deadline_that_has_passed_is_received_and_the_rest_stays) {
    rounds_until_valid(rows, ROWS, BUFFER);
}

TEST(what_came_before_a_deadline_that_has_passed_is_received_without_a_buffer) {
    rounds_until_valid(rows, ROWS, IOURINGNET_UNBUFFERED);
}

TEST(what_came_for_many_receives_before_their_deadline_is_received) {
    rounds_until_valid(many_rows, MANY_ROWS, 100);
    rounds_until_valid(many_rows, MANY_ROWS, IOURINGNET_UNBUFFERED);
}

TEST(what_came_before_a_cancel_is_received_now_or_later) {
    for (int i = 0; i < 5; i++) {
        round_of(rows, ROWS, BY_A_CANCEL, BUFFER, 0);
        round_of(rows, ROWS, BY_A_CANCEL, IOURINGNET_UNBUFFERED, 0);
    }
}
