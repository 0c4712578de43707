/* Many threads do everything at random to the same few connections, of which most are closed, reset or
   busy at any moment. Nothing may crash or hang, every accepted operation completes once, every watch is
   told its end once, and afterwards everything is back where it was. */

#include "support.h"

enum { THREADS = 6, SLOTS = 24, STEPS = 4000, SIZE_MOST = 300000 };

struct chaos {
    iouringnet_net *nets[2];
    iouringnet_address addresses[2];
    /* handles that any thread may use or replace at any moment; stale ones are as good as live ones */
    struct {
        _Atomic(iouringnet_sink *) sink;
        _Atomic(iouringnet_stream *) stream;
    } slots[SLOTS];
    atomic_uint next;
    atomic_int accepted, completed;
    atomic_int armed, ended;
};

static uint64_t random_next(uint64_t *state) {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

/* puts a connection into a slot; what was there is closed, one way or another */
static void chaos_keep(struct chaos *chaos, iouringnet_sink *sink, iouringnet_stream *stream) {
    unsigned at = atomic_fetch_add(&chaos->next, 1);
    iouringnet_sink *old_sink = atomic_exchange(&chaos->slots[at % SLOTS].sink, sink);
    iouringnet_stream *old_stream = atomic_exchange(&chaos->slots[at % SLOTS].stream, stream);

    if (at & 1)
        connection_abort(old_sink, NULL);
    stream_close(old_stream);
    sink_close(old_sink);
}

/* one async operation: its memory lives exactly until its completion, and a sanitizer sees who uses it later */
struct errand {
    struct chaos *chaos;
    size_t size;
    char *memory;
};

static struct errand *errand_new(struct chaos *chaos, size_t size) {
    struct errand *errand = take(sizeof *errand);

    *errand = (struct errand){chaos, size, take(size)};
    memset(errand->memory, 0x55, size);
    return errand;
}

static void errand_free(struct errand *errand) {
    memset(errand->memory, 0xdd, errand->size);
    free(errand->memory);
    free(errand);
}

static void errand_done(void *user, const iouringnet_completion *done) {
    struct errand *errand = user;

    CHECK(done->bytes <= errand->size);
    if (done->sink)
        chaos_keep(errand->chaos, done->sink, done->stream);
    atomic_fetch_add(&errand->chaos->completed, 1);
    errand_free(errand);
}

/* the call's own result: a refused one started nothing, so its memory is the caller's again */
static void errand_begun(struct errand *errand, iouringnet_status status) {
    if (status == 0)
        return;
    atomic_fetch_sub(&errand->chaos->accepted, 1);
    errand_free(errand);
}

static struct errand *errand_begin(struct chaos *chaos, size_t size) {
    atomic_fetch_add(&chaos->accepted, 1);
    return errand_new(chaos, size);
}

static void accepted_on(void *user, const iouringnet_completion *done) {
    struct chaos *chaos = user;

    if (done->status == 0)
        chaos_keep(chaos, done->sink, done->stream);
    else
        atomic_fetch_add(&chaos->ended, 1);
}

static void end_on(void *user, iouringnet_status status) {
    struct chaos *chaos = user;

    (void)status;
    atomic_fetch_add(&chaos->ended, 1);
}

static size_t data_on(void *user, iouringnet_status status, const void *data, size_t size) {
    struct chaos *chaos = user;
    unsigned char first = 0;

    if (status != 0) {
        CHECK(data == NULL && size == 0);
        atomic_fetch_add(&chaos->ended, 1);
        return 0;
    }
    CHECK(size > 0);
    first = *(const unsigned char *)data;
    CHECK(first == 0x55);
    /* leave half now and then */
    return size > 1 && (size & 1) ? size / 2 : size;
}

static void watch_armed(struct chaos *chaos, iouringnet_status status) {
    if (status != 0)
        atomic_fetch_sub(&chaos->armed, 1);
}

static void chaos_step(struct chaos *chaos, uint64_t dice, iouringnet_op **op) {
    iouringnet_net *net = chaos->nets[dice >> 8 & 1];
    iouringnet_sink *sink = atomic_load(&chaos->slots[(dice >> 16) % SLOTS].sink);
    iouringnet_stream *stream = atomic_load(&chaos->slots[(dice >> 16) % SLOTS].stream);
    size_t size = (dice >> 24) % (dice & 1 << 9 ? SIZE_MOST : 200) + 1;
    iouringnet_op **keep = *op ? NULL : op;
    struct errand *errand;
    const void *data;
    size_t shown;

    switch (dice % 32) {
    case 0:
    case 1:
    case 2:
        errand = errand_begin(chaos, 1);
        errand_begun(errand,
                     net_dial_async(net, chaos->addresses[dice >> 10 & 1].text, NULL, errand_done, errand, keep));
        break;
    case 3:
    case 4:
    case 5:
    case 6:
        errand = errand_begin(chaos, size);
        errand_begun(errand, sink_send_async(sink, errand->memory, size, errand_done, errand, keep));
        break;
    case 7: {
        struct iovec parts[2];

        errand = errand_begin(chaos, size);
        parts[0] = (struct iovec){errand->memory, size / 2};
        parts[1] = (struct iovec){errand->memory + size / 2, size - size / 2};
        errand_begun(errand, sink_sendv_async(sink, parts, 2, errand_done, errand, keep));
        break;
    }
    case 8:
    case 9:
        errand = errand_begin(chaos, size);
        errand_begun(errand, stream_recv_async(stream, errand->memory, size, errand_done, errand, keep));
        break;
    case 10:
    case 11:
        errand = errand_begin(chaos, size);
        errand_begun(errand, stream_recv_some_async(stream, errand->memory, size, errand_done, errand, keep));
        break;
    case 12:
        errand = errand_begin(chaos, size);
        errand_begun(errand, stream_fill_async(stream, size, errand_done, errand, keep));
        break;
    case 13:
        errand = errand_begin(chaos, 1);
        errand_begun(errand, sink_flush_async(sink, errand_done, errand, keep));
        break;
    case 14:
        errand = errand_begin(chaos, 1);
        errand_begun(errand, net_call(net, (int64_t)(size % 20), errand_done, errand, keep));
        break;
    case 15:
        errand = errand_new(chaos, size);
        sink_post(sink, errand->memory, size);
        errand_free(errand);
        break;
    case 16:
        atomic_fetch_add(&chaos->armed, 1);
        watch_armed(chaos, watch_data(stream, data_on, chaos));
        break;
    case 17: stream_unwatch(stream); break;
    case 18: stream_pause(stream); break;
    case 19: stream_resume(stream); break;
    case 20:
        atomic_fetch_add(&chaos->armed, 1);
        watch_armed(chaos, watch_sink(sink, ignore_status, end_on, chaos));
        break;
    case 21: {
        static const iouringnet_connection_callbacks both = {sizeof both, NULL, NULL, end_on};

        atomic_fetch_add(&chaos->armed, 1);
        watch_armed(chaos, connection_watch(sink, stream, &both, chaos));
        break;
    }
    case 22: sink_set_timeout(sink, size % 4 ? (int64_t)(size % 4) * 3 : IOURINGNET_NO_TIMEOUT); break;
    case 23: stream_set_timeout(stream, size % 3 ? IOURINGNET_NO_TIMEOUT : (int64_t)(size % 10)); break;
    case 24:
        if (stream_peek(stream, size, &data, &shown) == 0)
            CHECK(shown <= size);
        stream_consume(stream, size % 100);
        break;
    case 25:
        if (*op) {
            CHECK_OK(op_cancel(*op));
            CHECK_OK(op_release(*op));
            *op = NULL;
        }
        break;
    case 26:
        if (*op) {
            iouringnet_status status = op_wait(*op, 1, NULL);
            CHECK(status == 0 || status == IOURINGNET_PENDING);
            CHECK_OK(op_release(*op));
            *op = NULL;
        }
        break;
    case 27: sink_close(sink); break;
    case 28: stream_close(stream); break;
    case 29: connection_abort(dice >> 10 & 1 ? sink : NULL, stream); break;
    case 30:
        stats_of(net);
        connection_set_idle_timeout(sink, stream, size % 4 ? (int64_t)(size % 4) * 3 : IOURINGNET_NO_TIMEOUT);
        break;
    case 31: {
        /* blocking calls too, with a limit of their own */
        char byte;
        if (sink_set_timeout(sink, 2) == 0)
            sink_send(sink, "U", 1, NULL);
        if (stream_set_timeout(stream, 2) == 0)
            stream_recv(stream, &byte, 1, NULL);
        break;
    }
    }
}

struct chaos_thread {
    struct chaos *chaos;
    uint64_t seed;
};

static void *chaos_run(void *user) {
    struct chaos_thread *thread = user;
    uint64_t state = thread->seed;
    iouringnet_op *op = NULL;

    for (int i = 0; i < STEPS; i++)
        chaos_step(thread->chaos, random_next(&state), &op);
    if (op)
        CHECK_OK(op_release(op));
    return NULL;
}

static void chaos(uint64_t seed, const iouringnet_config *config) {
    struct footprint before = footprint();
    struct chaos chaos;
    struct chaos_thread each[THREADS];
    pthread_t threads[THREADS];

    watchdog(180);
    memset(&chaos, 0, sizeof chaos);
    for (int i = 0; i < 2; i++) {
        chaos.nets[i] = net_with(config);
        chaos.armed++;
        CHECK_OK(listener_watch(bind_loopback(chaos.nets[i], &chaos.addresses[i]), accepted_on, &chaos));
    }
    for (int i = 0; i < THREADS; i++) {
        each[i] = (struct chaos_thread){&chaos, (seed * THREADS + (uint64_t)i + 1) * 0x9e3779b97f4a7c15u};
        threads[i] = spawn(chaos_run, &each[i]);
    }
    for (int i = 0; i < THREADS; i++)
        join(threads[i]);
    for (int i = 0; i < 2; i++) {
        iouringnet_status status = net_stop(chaos.nets[i]);
        CHECK(status == 0 || status == IOURINGNET_TIMEOUT);
    }
    CHECK_EQ(chaos.completed, chaos.accepted);
    CHECK_EQ(chaos.ended, chaos.armed);
    footprint_returns(before);
}

static iouringnet_config chaos_config(void) {
    iouringnet_config config = config_of_mode();

    config.shutdown_timeout_ms = 500;
    config.close_timeout_ms = 300;
    return config;
}

TEST(everything_at_random) {
    iouringnet_config config = chaos_config();

    for (uint64_t seed = 0; seed < 3; seed++)
        chaos(seed, &config);
}

TEST(everything_at_random_with_tight_bounds) {
    iouringnet_config config = chaos_config();

    config.ring_entries = 8;
    config.max_operations = 32;
    config.read_buffer = 64;
    config.buffer_max = 1000;
    config.post_mark = 100;
    config.send_buffer = 4096;
    config.recv_buffer = 4096;
    config.spin_us = IOURINGNET_NO_SPIN;
    for (uint64_t seed = 10; seed < 13; seed++)
        chaos(seed, &config);
}

TEST(everything_at_random_unbuffered) {
    iouringnet_config config = chaos_config();

    config.read_buffer = IOURINGNET_UNBUFFERED;
    for (uint64_t seed = 20; seed < 23; seed++)
        chaos(seed, &config);
}
