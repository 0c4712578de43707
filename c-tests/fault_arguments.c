/* Bad input: each wrong argument has its status, starts nothing and writes nothing.
   Rule: Transfers and arguments. */

#include "support.h"

#include <sched.h>

/* ---- addresses ---- */

TEST(addresses_that_cannot_be_parsed_have_a_status_of_their_own) {
    static const char *const bad[] = {
        "",
        ":",
        "127.0.0.1",
        "127.0.0.1:",
        "127.0.0.1:65536",
        "127.0.0.1:-1",
        "127.0.0.1:x",
        "127.0.0.1:80x",
        "127.0.0.1: 80",
        "127.0.0.1:99999999999999999999",
        "[::1]",
        "[::1",
        "[::1]:",
        "[::1]80",
        "::1:80",
        "[127.0.0.1]:80",
        "[::1]:65536",
        "[]:80",
        ":80",
        "[:::1]:80",
        "127.0.0.1:80:80",
        "[fe80::1%]:80",
    };
    iouringnet_net *net = net_of_mode();
    iouringnet_sink *sink = (iouringnet_sink *)&net;
    iouringnet_stream *stream = (iouringnet_stream *)&net;
    iouringnet_listener *listener = (iouringnet_listener *)&net;
    iouringnet_op *op = (iouringnet_op *)&net;
    char name[1000];

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        if (net_dial_async(net, bad[i], NULL, never, NULL, &op) != IOURINGNET_ADDRESS)
            fprintf(stderr, "the address is \"%s\"\n", bad[i]);
        CHECK_STATUS(net_dial_async(net, bad[i], NULL, never, NULL, &op), IOURINGNET_ADDRESS);
        CHECK_STATUS(net_dial(net, bad[i], NULL, &sink, &stream), IOURINGNET_ADDRESS);
        CHECK_STATUS(net_bind(net, bad[i], NULL, &listener), IOURINGNET_ADDRESS);
    }
    /* longer than any host name, and than any buffer of the library */
    memset(name, 'a', sizeof name);
    memcpy(name + sizeof name - 4, ":80", 4);
    CHECK_STATUS(net_dial(net, name, NULL, &sink, &stream), IOURINGNET_ADDRESS);
    CHECK_STATUS(net_bind(net, name, NULL, &listener), IOURINGNET_ADDRESS);
    /* bytes that are no text at all */
    CHECK_STATUS(net_dial(net, "\xff\xfe\x80:80", NULL, &sink, &stream), IOURINGNET_ADDRESS);
    CHECK_STATUS(net_dial(net, NULL, NULL, &sink, &stream), IOURINGNET_INVALID);
    CHECK_STATUS(net_bind(net, NULL, NULL, &listener), IOURINGNET_INVALID);
    CHECK(sink == (iouringnet_sink *)&net && stream == (iouringnet_stream *)&net);
    CHECK(listener == (iouringnet_listener *)&net && op == (iouringnet_op *)&net);
    CHECK_EQ(stats_of(net).operations, 0);
    CHECK_OK(net_stop(net));
}

/* one mode */ TEST(each_status_has_a_nearest_errno) {
    CHECK_EQ(iouringnet_errno(0), 0);
    CHECK_EQ(iouringnet_errno(-ECONNREFUSED), ECONNREFUSED);
    CHECK_EQ(iouringnet_errno(IOURINGNET_EOF), ENODATA);
    CHECK_EQ(iouringnet_errno(IOURINGNET_TIMEOUT), ETIMEDOUT);
    CHECK_EQ(iouringnet_errno(IOURINGNET_ADDRESS), EDESTADDRREQ);
    CHECK_EQ(iouringnet_errno(1), EINVAL);
    CHECK_EQ(iouringnet_errno(INT32_MIN), EINVAL);
}

static iouringnet_status made(const char *host, int port, const char *want) {
    iouringnet_address address;
    iouringnet_status status;

    memset(&address, 'x', sizeof address);
    status = iouringnet_address_make(&address, host, port);
    if (status != 0)
        CHECK_EQ(address.text[0], 'x');
    else
        CHECK_MEM(address.text, want, strlen(want) + 1);
    return status;
}

TEST(an_address_is_made_of_a_host_and_a_port) {
    static const char *const bad[] = {"",         "a b",          "::1:",      "[::1", "::1]",
                                      "[::1]:80", "127.0.0.1:80", "256.1.1.1", "\xff"};
    char name[123], whole[129];
    iouringnet_address address;

    CHECK_OK(made("127.0.0.1", 80, "127.0.0.1:80"));
    CHECK_OK(made("0.0.0.0", 0, "0.0.0.0:0"));
    CHECK_OK(made("::1", 65535, "[::1]:65535"));
    CHECK_OK(made("[::1]", 80, "[::1]:80"));
    CHECK_OK(made("fe80::1%lo", 80, "[fe80::1%lo]:80"));
    CHECK_OK(made("www.example.org", 443, "www.example.org:443"));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        CHECK_STATUS(made(bad[i], 80, ""), IOURINGNET_ADDRESS);
    CHECK_STATUS(made("127.0.0.1", -1, ""), IOURINGNET_ADDRESS);
    CHECK_STATUS(made("127.0.0.1", 65536, ""), IOURINGNET_ADDRESS);
    CHECK_STATUS(made("fe80::1%nosuchif0", 80, ""), -ENODEV);
    CHECK_STATUS(made(NULL, 80, ""), IOURINGNET_INVALID);
    CHECK_STATUS(iouringnet_address_make(NULL, "a", 80), IOURINGNET_INVALID);

    /* 127 characters fit, and 128 do not */
    memset(name, 'a', sizeof name);
    name[60] = '.';
    name[122] = 0;
    snprintf(whole, sizeof whole, "%s:1000", name);
    CHECK_EQ(strlen(whole), sizeof address.text - 1);
    CHECK_OK(made(name, 1000, whole));
    CHECK_STATUS(made(name, 10000, ""), -ENAMETOOLONG);
}

TEST(an_address_that_was_made_can_be_bound_and_dialled) {
    iouringnet_net *net = net_of_mode();
    iouringnet_listener *listener;
    iouringnet_address address, bound;
    iouringnet_sink *sink;
    iouringnet_stream *stream;

    CHECK_OK(iouringnet_address_make(&address, "::1", 0));
    if (net_bind(net, address.text, NULL, &listener) != 0)
        SKIP("there is no IPv6 here");
    CHECK_OK(listener_address(listener, &bound));
    CHECK_OK(iouringnet_address_make(&address, "::1", atoi(strrchr(bound.text, ':') + 1)));
    CHECK_MEM(address.text, bound.text, strlen(bound.text) + 1);
    CHECK_OK(net_dial(net, address.text, NULL, &sink, &stream));
    sink_close(sink);
    stream_close(stream);
    CHECK_OK(net_stop(net));
}

static bool is_unknown_name(iouringnet_status status) {
    /* a machine without name service cannot know that the name does not exist */
    return status == IOURINGNET_NAME || status == IOURINGNET_NAME_AGAIN || status == IOURINGNET_TIMEOUT;
}

TEST(names_that_do_not_resolve_are_told) {
    iouringnet_net *net = net_of_mode();
    iouringnet_sink *sink = (iouringnet_sink *)&net;
    iouringnet_stream *stream = (iouringnet_stream *)&net;
    iouringnet_dial_options options;
    struct result dial = RESULT;

    iouringnet_dial_options_init(&options);
    options.timeout_ms = 5000;
    CHECK(is_unknown_name(net_dial(net, "no-such-host.invalid:80", &options, &sink, &stream)));
    CHECK(sink == (iouringnet_sink *)&net && stream == (iouringnet_stream *)&net);
    CHECK_OK(net_dial_async(net, "no-such-host.invalid:80", &options, result_store, &dial, NULL));
    CHECK(is_unknown_name(result_wait(&dial)));
    CHECK(dial.done.sink == NULL && dial.done.stream == NULL);
    EVENTUALLY(stats_of(net).operations == 0);
    CHECK_OK(net_stop(net));
}

TEST(an_unknown_interface_is_told) {
    iouringnet_net *net = net_of_mode();
    iouringnet_sink *sink;
    iouringnet_stream *stream;

    CHECK_STATUS(net_dial(net, "[fe80::1%nosuchif0]:80", NULL, &sink, &stream), -ENODEV);
    CHECK_OK(net_stop(net));
}

TEST(an_address_of_another_host_cannot_be_bound) {
    iouringnet_net *net = net_of_mode();
    iouringnet_listener *listener = (iouringnet_listener *)&net;

    /* 192.0.2.0/24 is for documentation: no interface has it */
    CHECK_STATUS(net_bind(net, "192.0.2.1:0", NULL, &listener), -EADDRNOTAVAIL);
    CHECK(listener == (iouringnet_listener *)&net);
    CHECK_EQ(stats_of(net).listeners, 0);
    CHECK_OK(net_stop(net));
}

/* ---- NULL and lengths ---- */

TEST(null_arguments_are_invalid) {
    struct pair p = tcp_pair();
    iouringnet_net *net = p.a.net;
    iouringnet_address address;
    iouringnet_listener *listener = bind_loopback(net, &address);
    iouringnet_sink *sink = (iouringnet_sink *)&p;
    iouringnet_stream *stream = (iouringnet_stream *)&p;
    iouringnet_op *op = (iouringnet_op *)&p;
    const void *data;
    char into[4];
    size_t size;

    CHECK_STATUS(net_start(NULL, NULL), IOURINGNET_INVALID);
    CHECK_STATUS(iouringnet_probe(NULL), IOURINGNET_INVALID);
    CHECK_STATUS(net_stats(net, NULL), IOURINGNET_INVALID);
    CHECK_STATUS(net_metrics(net, NULL, 1, NULL), IOURINGNET_INVALID);
    CHECK_STATUS(net_dial(net, address.text, NULL, NULL, &stream), IOURINGNET_INVALID);
    CHECK_STATUS(net_dial(net, address.text, NULL, &sink, NULL), IOURINGNET_INVALID);
    CHECK_STATUS(net_bind(net, "127.0.0.1:0", NULL, NULL), IOURINGNET_INVALID);
    CHECK_STATUS(listener_accept(listener, NULL, &stream), IOURINGNET_INVALID);
    CHECK_STATUS(listener_accept(listener, &sink, NULL), IOURINGNET_INVALID);
    CHECK_STATUS(listener_watch(listener, NULL, NULL), IOURINGNET_INVALID);
    CHECK_STATUS(listener_address(listener, NULL), IOURINGNET_INVALID);
    CHECK_STATUS(sink_send(p.a.sink, NULL, 4, NULL), IOURINGNET_INVALID);
    CHECK_STATUS(sink_send_async(p.a.sink, NULL, 4, never, NULL, &op), IOURINGNET_INVALID);
    CHECK_STATUS(sink_sendv(p.a.sink, NULL, 1, NULL), IOURINGNET_INVALID);
    CHECK_STATUS(sink_sendv_async(p.a.sink, NULL, 1, never, NULL, &op), IOURINGNET_INVALID);
    CHECK_STATUS(sink_post(p.a.sink, NULL, 4), IOURINGNET_INVALID);
    CHECK_STATUS(sink_info(p.a.sink, NULL), IOURINGNET_INVALID);
    CHECK_STATUS(stream_recv(p.a.stream, NULL, 4, NULL), IOURINGNET_INVALID);
    CHECK_STATUS(stream_recv_async(p.a.stream, NULL, 4, never, NULL, &op), IOURINGNET_INVALID);
    CHECK_STATUS(stream_recv_some(p.a.stream, NULL, 4, NULL), IOURINGNET_INVALID);
    CHECK_STATUS(stream_recv_some_async(p.a.stream, NULL, 4, never, NULL, &op), IOURINGNET_INVALID);
    CHECK_STATUS(stream_peek(p.a.stream, 4, NULL, &size), IOURINGNET_INVALID);
    CHECK_STATUS(stream_peek(p.a.stream, 4, &data, NULL), IOURINGNET_INVALID);

    /* neither a callback nor an op: nobody would ever hear of it */
    CHECK_STATUS(net_call(net, 0, NULL, NULL, NULL), IOURINGNET_INVALID);
    CHECK_STATUS(net_dial_async(net, address.text, NULL, NULL, NULL, NULL), IOURINGNET_INVALID);
    CHECK_STATUS(listener_accept_async(listener, NULL, NULL, NULL), IOURINGNET_INVALID);
    CHECK_STATUS(sink_send_async(p.a.sink, "data", 4, NULL, NULL, NULL), IOURINGNET_INVALID);
    CHECK_STATUS(sink_flush_async(p.a.sink, NULL, NULL, NULL), IOURINGNET_INVALID);
    CHECK_STATUS(stream_recv_async(p.a.stream, into, 4, NULL, NULL, NULL), IOURINGNET_INVALID);
    CHECK_STATUS(stream_recv_some_async(p.a.stream, into, 4, NULL, NULL, NULL), IOURINGNET_INVALID);
    CHECK_STATUS(stream_fill_async(p.a.stream, 4, NULL, NULL, NULL), IOURINGNET_INVALID);

    CHECK(sink == (iouringnet_sink *)&p && stream == (iouringnet_stream *)&p && op == (iouringnet_op *)&p);
    CHECK_OK(sink_send(p.a.sink, "data", 4, NULL));
    CHECK_OK(stream_recv(p.b.stream, into, 4, NULL));
    CHECK_MEM(into, "data", 4);
    pair_close(&p);
}

TEST(a_length_of_zero_completes_at_once) {
    struct pair p = tcp_pair();
    struct iovec none = {NULL, 0};
    struct result results[6];
    size_t count = 99;
    char got[4];

    CHECK_OK(sink_send(p.a.sink, NULL, 0, &count));
    CHECK_EQ(count, 0);
    CHECK_OK(sink_sendv(p.a.sink, NULL, 0, NULL));
    CHECK_OK(sink_sendv(p.a.sink, &none, 1, NULL));
    CHECK_OK(sink_post(p.a.sink, NULL, 0));
    CHECK_OK(sink_flush(p.a.sink));
    count = 99;
    CHECK_OK(stream_recv(p.b.stream, NULL, 0, &count));
    CHECK_EQ(count, 0);
    CHECK_OK(stream_recv_some(p.b.stream, NULL, 0, NULL));
    CHECK_OK(stream_fill(p.b.stream, 0));
    CHECK_OK(stream_consume(p.b.stream, 0));
    for (int i = 0; i < 6; i++)
        result_init(&results[i]);
    CHECK_OK(sink_send_async(p.a.sink, NULL, 0, result_store, &results[0], NULL));
    CHECK_OK(sink_sendv_async(p.a.sink, NULL, 0, result_store, &results[1], NULL));
    CHECK_OK(sink_flush_async(p.a.sink, result_store, &results[2], NULL));
    CHECK_OK(stream_recv_async(p.b.stream, NULL, 0, result_store, &results[3], NULL));
    CHECK_OK(stream_recv_some_async(p.b.stream, NULL, 0, result_store, &results[4], NULL));
    CHECK_OK(stream_fill_async(p.b.stream, 0, result_store, &results[5], NULL));
    for (int i = 0; i < 6; i++) {
        CHECK_OK(result_wait(&results[i]));
        CHECK_EQ(results[i].done.bytes, 0);
    }
    CHECK_OK(sink_send(p.a.sink, "data", 4, NULL));
    CHECK_OK(stream_recv(p.b.stream, got, 4, NULL));
    CHECK_MEM(got, "data", 4);
    pair_close(&p);
    for (int i = 0; i < 6; i++)
        CHECK_EQ(results[i].calls, 1);
}

TEST(lengths_beyond_any_memory_are_invalid) {
    static const size_t lengths[] = {SIZE_MAX, SIZE_MAX - 1, (size_t)PTRDIFF_MAX + 1};
    struct pair p = tcp_pair();
    char data[4] = "dat";
    iouringnet_op *op = (iouringnet_op *)&p;

    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        struct iovec part = {data, lengths[i]};

        CHECK_STATUS(sink_send(p.a.sink, data, lengths[i], NULL), IOURINGNET_INVALID);
        CHECK_STATUS(sink_send_async(p.a.sink, data, lengths[i], never, NULL, &op), IOURINGNET_INVALID);
        CHECK_STATUS(sink_post(p.a.sink, data, lengths[i]), IOURINGNET_INVALID);
        CHECK_STATUS(sink_sendv(p.a.sink, &part, 1, NULL), IOURINGNET_INVALID);
        CHECK_STATUS(sink_sendv_async(p.a.sink, &part, 1, never, NULL, &op), IOURINGNET_INVALID);
        CHECK_STATUS(stream_recv(p.a.stream, data, lengths[i], NULL), IOURINGNET_INVALID);
        CHECK_STATUS(stream_recv_async(p.a.stream, data, lengths[i], never, NULL, &op), IOURINGNET_INVALID);
        CHECK_STATUS(stream_recv_some(p.a.stream, data, lengths[i], NULL), IOURINGNET_INVALID);
        CHECK(stream_consume(p.a.stream, lengths[i]) == IOURINGNET_INVALID);
    }
    /* parts that are fine alone and too long together */
    struct iovec parts[3] = {{data, PTRDIFF_MAX / 2}, {data, PTRDIFF_MAX / 2}, {data, PTRDIFF_MAX / 2}};
    CHECK_STATUS(sink_sendv(p.a.sink, parts, 3, NULL), IOURINGNET_INVALID);
    CHECK_STATUS(sink_sendv(p.a.sink, parts, SIZE_MAX / 2, NULL), IOURINGNET_INVALID);
    struct iovec holed[2] = {{data, 2}, {NULL, 2}};
    CHECK_STATUS(sink_sendv(p.a.sink, holed, 2, NULL), IOURINGNET_INVALID);
    CHECK(op == (iouringnet_op *)&p);
    /* nothing of all that was sent */
    CHECK_OK(sink_send(p.a.sink, "next", 4, NULL));
    CHECK_OK(stream_recv(p.b.stream, data, 4, NULL));
    CHECK_MEM(data, "next", 4);
    pair_close(&p);
}

TEST(more_than_was_shown_cannot_be_consumed) {
    struct pair p = tcp_pair();
    const void *data;
    size_t size;
    char got[4];

    CHECK_OK(sink_send(p.a.sink, "data", 4, NULL));
    CHECK_OK(stream_fill(p.b.stream, 4));
    CHECK_STATUS(stream_consume(p.b.stream, 5), IOURINGNET_INVALID);
    CHECK_OK(stream_peek(p.b.stream, 100, &data, &size));
    CHECK_EQ(size, 4);
    CHECK_MEM(data, "data", 4);
    CHECK_OK(stream_recv(p.b.stream, got, 4, NULL));
    pair_close(&p);
}

TEST(times_that_make_no_sense_are_invalid) {
    struct pair p = tcp_pair();
    iouringnet_dial_options options;
    iouringnet_address address;
    iouringnet_op *op = (iouringnet_op *)&p;

    unused_address(&address);
    iouringnet_dial_options_init(&options);
    options.timeout_ms = -2;
    CHECK_STATUS(net_dial_async(p.a.net, address.text, &options, never, NULL, NULL), IOURINGNET_INVALID);
    CHECK_STATUS(sink_set_timeout(p.a.sink, -2), IOURINGNET_INVALID);
    CHECK_STATUS(stream_set_timeout(p.a.stream, INT64_MIN), IOURINGNET_INVALID);
    CHECK_STATUS(net_call(p.a.net, -2, never, NULL, NULL), IOURINGNET_INVALID);
    /* the longest time is a time */
    CHECK_OK(sink_set_timeout(p.a.sink, INT64_MAX));
    CHECK_OK(stream_set_timeout(p.a.stream, INT64_MAX));
    CHECK_OK(net_call(p.a.net, INT64_MAX, NULL, NULL, &op));
    CHECK_STATUS(op_wait(op, 0, NULL), IOURINGNET_PENDING);
    CHECK_STATUS(op_wait(op, -2, NULL), IOURINGNET_INVALID);
    CHECK_OK(op_cancel(op));
    CHECK_STATUS(op_finish(op, NULL), IOURINGNET_CANCELLED);
    pair_close(&p);
}

/* ---- structs ---- */

TEST(a_config_of_a_wrong_size_is_invalid) {
    union {
        iouringnet_config config;
        unsigned char bytes[sizeof(iouringnet_config) + 64];
    } u;
    iouringnet_net *net = (iouringnet_net *)&u;
    static const size_t small[] = {0, 1, 4, sizeof(size_t), sizeof(size_t) + 1, sizeof(iouringnet_config) - 1};
    static const size_t huge[] = {SIZE_MAX, SIZE_MAX / 2, (size_t)1 << 40};

    need_engine();
    memset(&u, 0, sizeof u);
    for (size_t i = 0; i < sizeof small / sizeof *small; i++) {
        u.config.size = small[i];
        CHECK_STATUS(net_start(&u.config, &net), IOURINGNET_INVALID);
    }
    for (size_t i = 0; i < sizeof huge / sizeof *huge; i++) {
        u.config.size = huge[i];
        CHECK_STATUS(net_start(&u.config, &net), IOURINGNET_INVALID);
    }
    /* of a later version: fine while what is not known here is zero */
    u.config.size = sizeof u;
    u.bytes[sizeof u - 1] = 1;
    CHECK_STATUS(net_start(&u.config, &net), IOURINGNET_INVALID);
    u.bytes[sizeof u - 1] = 0;
    u.bytes[sizeof(iouringnet_config)] = 1;
    CHECK_STATUS(net_start(&u.config, &net), IOURINGNET_INVALID);
    u.bytes[sizeof(iouringnet_config)] = 0;
    CHECK(net == (iouringnet_net *)&u);
    CHECK_OK(net_start(&u.config, &net));
    CHECK_OK(net_stop(net));
}

TEST(config_fields_out_of_range_are_invalid) {
    iouringnet_net *none = (iouringnet_net *)&none;
    size_t threads = count_threads(), descriptors = count_entries("/proc/self/fd");

#define REFUSED(field, value) \
    do { \
        iouringnet_config config = config_of_mode(); \
        iouringnet_net *net = none; \
        config.field = (value); \
        check_status(net_start(&config, &net), IOURINGNET_INVALID, #field " = " #value, __FILE__, __LINE__); \
        CHECK(net == none); \
    } while (0)
    REFUSED(ring_entries, 7);
    REFUSED(ring_entries, 32769);
    REFUSED(ring_entries, UINT32_MAX);
    REFUSED(nodelay, 4);
    REFUSED(first_try, 3);
    REFUSED(first_try, UINT32_MAX);
    REFUSED(send_buffer, (size_t)INT32_MAX + 1);
    REFUSED(recv_buffer, (size_t)INT32_MAX + 1);
    REFUSED(post_mark, (size_t)PTRDIFF_MAX + 1);
    REFUSED(keepalive_ms, -2);
    REFUSED(timeout_ms, -2);
    REFUSED(idle_timeout_ms, -2);
    REFUSED(dial_timeout_ms, INT64_MIN);
    REFUSED(close_timeout_ms, -5);
    REFUSED(shutdown_timeout_ms, -2);
    REFUSED(linger_ms, -2);
    REFUSED(drain_timeout_ms, -2);
    REFUSED(spin_us, -2);
    REFUSED(spin_us, 1001);
    REFUSED(send_cpu, -1);
    REFUSED(recv_cpu, -1);
    REFUSED(log_level, 6);
    REFUSED(engine, 3);
#undef REFUSED
    CHECK_EQ(count_threads(), threads);
    CHECK_EQ(count_entries("/proc/self/fd"), descriptors);
}

TEST(config_fields_at_their_bounds_are_accepted) {
#define ACCEPTED(field, value) \
    do { \
        iouringnet_config config = config_of_mode(); \
        iouringnet_net *net; \
        config.field = (value); \
        check_status(net_start(&config, &net), 0, #field " = " #value, __FILE__, __LINE__); \
        CHECK_OK(net_stop(net)); \
    } while (0)
    need_engine();
    ACCEPTED(ring_entries, 8);
    ACCEPTED(ring_entries, 32768);
    ACCEPTED(max_operations, UINT32_MAX);
    ACCEPTED(nodelay, IOURINGNET_SYSTEM);
    ACCEPTED(keepalive_ms, INT64_MAX);
    ACCEPTED(send_buffer, INT32_MAX);
    ACCEPTED(recv_buffer, INT32_MAX);
    ACCEPTED(read_buffer, (size_t)1 << 30);
    ACCEPTED(buffer_max, (size_t)1 << 30);
    ACCEPTED(post_mark, PTRDIFF_MAX);
    ACCEPTED(timeout_ms, INT64_MAX);
    ACCEPTED(idle_timeout_ms, INT64_MAX);
    ACCEPTED(dial_timeout_ms, INT64_MAX);
    ACCEPTED(close_timeout_ms, INT64_MAX);
    ACCEPTED(drain_timeout_ms, INT64_MAX);
    ACCEPTED(linger_ms, INT64_MAX);
    ACCEPTED(shutdown_timeout_ms, INT64_MAX);
    ACCEPTED(spin_us, 1000);
    ACCEPTED(log_level, IOURINGNET_LOG_TRACE);
#undef ACCEPTED
}

TEST(a_struct_of_4096_bytes_is_the_largest) {
    union {
        iouringnet_config config;
        unsigned char bytes[4097];
    } *large = take(sizeof *large);
    iouringnet_net *net;

    need_engine();
    for (size_t size = sizeof large->bytes - 1; size <= sizeof large->bytes; size++) {
        memset(large, 0, sizeof *large);
        iouringnet_struct_init(large, size);
        CHECK_STATUS(net_start(&large->config, &net), size <= 4096 ? 0 : IOURINGNET_INVALID);
        if (size <= 4096)
            CHECK_OK(net_stop(net));
    }
    free(large);
}

TEST(a_struct_without_room_for_its_size_is_left_as_it_is) {
    _Alignas(size_t) unsigned char memory[2 * sizeof(size_t)];
    size_t size;

    memset(memory, 0x55, sizeof memory);
    iouringnet_struct_init(NULL, sizeof memory);
    for (size_t small = 0; small < sizeof size; small++)
        iouringnet_struct_init(memory, small);
    for (size_t i = 0; i < sizeof memory; i++)
        CHECK_EQ(memory[i], 0x55);
    iouringnet_struct_init(memory, sizeof size);
    memcpy(&size, memory, sizeof size);
    CHECK_EQ(size, sizeof size);
    for (size_t i = sizeof size; i < sizeof memory; i++)
        CHECK_EQ(memory[i], 0x55);
}

TEST(options_of_a_wrong_size_are_invalid) {
    struct pair p = tcp_pair();
    iouringnet_dial_options dial;
    iouringnet_bind_options bind;
    iouringnet_listener *listener = (iouringnet_listener *)&p;
    iouringnet_sink *sink = (iouringnet_sink *)&p;
    iouringnet_stream *stream = (iouringnet_stream *)&p;

    memset(&dial, 0, sizeof dial);
    memset(&bind, 0, sizeof bind);
    CHECK_STATUS(net_dial(p.a.net, "127.0.0.1:9", &dial, &sink, &stream), IOURINGNET_INVALID);
    CHECK_STATUS(net_dial_async(p.a.net, "127.0.0.1:9", &dial, never, NULL, NULL), IOURINGNET_INVALID);
    CHECK_STATUS(net_bind(p.a.net, "127.0.0.1:0", &bind, &listener), IOURINGNET_INVALID);
    dial.size = SIZE_MAX;
    bind.size = SIZE_MAX;
    CHECK_STATUS(net_dial(p.a.net, "127.0.0.1:9", &dial, &sink, &stream), IOURINGNET_INVALID);
    CHECK_STATUS(net_bind(p.a.net, "127.0.0.1:0", &bind, &listener), IOURINGNET_INVALID);
    iouringnet_bind_options_init(&bind);
    bind.reuse_port = 3;
    CHECK_STATUS(net_bind(p.a.net, "127.0.0.1:0", &bind, &listener), IOURINGNET_INVALID);
    CHECK(listener == (iouringnet_listener *)&p && sink == (iouringnet_sink *)&p && stream == (iouringnet_stream *)&p);
    pair_close(&p);
}

TEST(outputs_that_were_not_initialised_are_invalid) {
    struct pair p = tcp_pair();
    iouringnet_stats stats;
    iouringnet_sink_info info;
    iouringnet_probe_result probe;
    iouringnet_completion done;
    iouringnet_op *op;

    memset(&stats, 0, sizeof stats);
    memset(&info, 0, sizeof info);
    memset(&probe, 0, sizeof probe);
    memset(&done, 0, sizeof done);
    CHECK_STATUS(net_stats(p.a.net, &stats), IOURINGNET_INVALID);
    CHECK_STATUS(sink_info(p.a.sink, &info), IOURINGNET_INVALID);
    CHECK_STATUS(iouringnet_probe(&probe), IOURINGNET_INVALID);
    CHECK_OK(net_call(p.a.net, 0, NULL, NULL, &op));
    CHECK_OK(op_wait(op, WAIT_MS, NULL));
    CHECK_STATUS(op_wait(op, 0, &done), IOURINGNET_INVALID);
    stats.size = 8;
    info.size = 8;
    probe.size = 8;
    done.size = 8;
    CHECK_STATUS(net_stats(p.a.net, &stats), IOURINGNET_INVALID);
    CHECK_STATUS(sink_info(p.a.sink, &info), IOURINGNET_INVALID);
    CHECK_STATUS(iouringnet_probe(&probe), IOURINGNET_INVALID);
    CHECK_STATUS(op_wait(op, 0, &done), IOURINGNET_INVALID);
    CHECK_OK(op_release(op));
    pair_close(&p);
}

TEST(outputs_of_a_later_version_are_filled_as_far_as_known) {
    struct {
        iouringnet_sink_info info;
        unsigned char later[32];
    } big;
    struct pair p = tcp_pair();

    memset(&big, 0xee, sizeof big);
    big.info.size = sizeof big;
    CHECK_OK(sink_info(p.a.sink, &big.info));
    CHECK(strncmp(big.info.local.text, "127.0.0.1:", 10) == 0);
    CHECK_EQ(big.info.unsent, 0);
    pair_close(&p);
}

/* ---- texts ---- */

TEST(every_status_has_a_name_and_a_text) {
    for (iouringnet_status status = -10020; status <= -10001; status++) {
        CHECK(strncmp(iouringnet_errname(status), "IOURINGNET_", 11) == 0);
        CHECK(strlen(iouringnet_strerror(status)) > 0);
    }
    CHECK(strcmp(iouringnet_errname(0), "IOURINGNET_OK") == 0);
    CHECK(strlen(iouringnet_strerror(-ECONNREFUSED)) > 0);
    /* numbers that are nobody's have a text all the same */
    for (iouringnet_status status = -20000; status < 20000; status += 7) {
        CHECK(iouringnet_errname(status) != NULL);
        CHECK(iouringnet_strerror(status) != NULL);
    }
    CHECK(iouringnet_strerror(INT32_MIN) != NULL && iouringnet_strerror(INT32_MAX) != NULL);
}

/* whether a thread of that name may run on CPU 0 alone */
static bool stays_on_cpu_0(const char *name) {
    cpu_set_t set;

    CHECK_EQ(sched_getaffinity(thread_named(name), sizeof set, &set), 0);
    return CPU_COUNT(&set) == 1 && CPU_ISSET(0, &set);
}

TEST(loops_stay_on_the_cpus_that_are_named) {
    iouringnet_config config = config_of_mode();
    iouringnet_net *net;
    cpu_set_t allowed;

    need_engine();
    CHECK_EQ(sched_getaffinity(0, sizeof allowed, &allowed), 0);
    if (!CPU_ISSET(0, &allowed))
        SKIP("CPU 0 is not allowed here");
    config.send_cpu = IOURINGNET_CPU(0);
    CHECK_OK(net_start(&config, &net));
    CHECK(stays_on_cpu_0("iouringnet-send"));
    CHECK(CPU_COUNT(&allowed) == 1 || !stays_on_cpu_0("iouringnet-recv"));
    CHECK_OK(net_stop(net));
    config.send_cpu = 0;
    config.recv_cpu = IOURINGNET_CPU(0);
    CHECK_OK(net_start(&config, &net));
    CHECK(stays_on_cpu_0("iouringnet-recv"));
    CHECK_OK(net_stop(net));
}

TEST(a_cpu_that_is_not_there_is_invalid) {
    iouringnet_config config = config_of_mode();
    iouringnet_net *net = NULL;

    need_engine();
    config.send_cpu = IOURINGNET_CPU(1023);
    CHECK_STATUS(net_start(&config, &net), IOURINGNET_INVALID);
    config.send_cpu = IOURINGNET_CPU(1000000);
    CHECK_STATUS(net_start(&config, &net), IOURINGNET_INVALID);
    config.send_cpu = 0;
    config.recv_cpu = IOURINGNET_CPU(1023);
    CHECK_STATUS(net_start(&config, &net), IOURINGNET_INVALID);
    CHECK(net == NULL);
}

TEST(a_refused_call_counts_nothing) {
    struct iovec part = {(void *)(uintptr_t) "data", 4};
    size_t count = 77;
    char into[4];

#define COUNTS_NOTHING(call) \
    do { \
        count = 77; \
        CHECK_STATUS((call), IOURINGNET_BAD_HANDLE); \
        CHECK_EQ(count, 0); \
    } while (0)

    COUNTS_NOTHING(sink_send(NULL, "data", 4, &count));
    COUNTS_NOTHING(sink_sendv(NULL, &part, 1, &count));
    COUNTS_NOTHING(stream_recv(NULL, into, 4, &count));
    COUNTS_NOTHING(stream_recv_some(NULL, into, 4, &count));
#undef COUNTS_NOTHING
}
