/* No call of the library is a cancellation point: a thread that pthread_cancel ends comes back from its call
   first, with the call's own result, and ends at its next cancellation point. Nothing aborts, nothing leaks.
   Promise 2. */

#include "support.h"

#include <netdb.h>
#include <sys/uio.h>

/* ---- lookups; this program's own, since no name that the C library looks up is known everywhere ---- */

int getaddrinfo(const char *restrict node, const char *restrict service, const struct addrinfo *restrict hints,
                struct addrinfo **restrict result) {
    static struct sockaddr_in at;
    static struct addrinfo info;

    (void)service;
    (void)hints;
    CHECK(strcmp(node, "name.example") == 0);
    pthread_testcancel(); /* as every read of a file or a socket is */
    at.sin_family = AF_INET;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    info.ai_family = AF_INET;
    info.ai_addr = (struct sockaddr *)&at;
    info.ai_addrlen = sizeof at;
    *result = &info;
    return 0;
}

void freeaddrinfo(struct addrinfo *info) {
    (void)info;
}

/* ---- a thread that is cancelled before or during its calls ---- */

struct scene {
    iouringnet_net *net;
    iouringnet_listener *listener;
    iouringnet_address address;
    iouringnet_sink *sink; /* its peer is a plain socket */
    iouringnet_stream *stream;
    int peer;
    iouringnet_op *op;
    iouringnet_status wanted;
    char into[64];
};

struct caller {
    struct scene *scene;
    iouringnet_status (*calls)(struct scene *scene);
    bool cancelled_before;
    iouringnet_status status;
    atomic_int thread; /* set as it begins */
    atomic_int returned;
};

static void *caller_run(void *user) {
    struct caller *caller = user;

    if (caller->cancelled_before)
        CHECK_EQ(pthread_cancel(pthread_self()), 0);
    atomic_store(&caller->thread, thread_id());
    caller->status = caller->calls(caller->scene);
    atomic_store(&caller->returned, 1);
    for (;;)
        pause(); /* a cancellation point */
    return NULL;
}

static void join_cancelled(pthread_t thread, struct caller *caller) {
    struct timespec end;
    void *result = NULL;

    CHECK_EQ(clock_gettime(CLOCK_REALTIME, &end), 0);
    end.tv_sec += WAIT_MS / 1000;
    CHECK_EQ(pthread_timedjoin_np(thread, &result, &end), 0);
    CHECK_EQ(caller->returned, 1);
    CHECK(result == PTHREAD_CANCELED);
}

static struct scene scene_open(void) {
    struct scene scene = {0};

    scene.net = net_of_mode();
    scene.listener = bind_loopback(scene.net, &scene.address);
    scene.peer = raw_peer(scene.net, &scene.sink, &scene.stream);
    return scene;
}

static void scene_close(struct scene *scene) {
    raw_close(scene->peer);
    sink_close(scene->sink);
    stream_close(scene->stream);
    listener_close(scene->listener);
    CHECK_OK(net_stop(scene->net));
}

/* ---- a cancel that comes before the calls ---- */

static iouringnet_status start_and_stop(struct scene *scene) {
    iouringnet_config config = config_of_mode();
    iouringnet_net *net;

    (void)scene;
    CHECK_OK(net_start(&config, &net));
    return net_stop(net);
}

static iouringnet_status start_in_vain(struct scene *scene) {
    iouringnet_config config = config_of_mode();
    iouringnet_net *net;

    (void)scene;
    config.recv_cpu = 100000; /* its second thread ends at once, and the first is ended */
    CHECK(net_start(&config, &net) != 0);
    return 0;
}

static iouringnet_status look_around(struct scene *scene) {
    iouringnet_probe_result probe;
    iouringnet_stats stats;
    iouringnet_sink_info info;

    iouringnet_probe_result_init(&probe);
    iouringnet_stats_init(&stats);
    iouringnet_sink_info_init(&info);
    CHECK_OK(iouringnet_probe(&probe));
    CHECK_OK(net_stats(scene->net, &stats));
    CHECK_OK(sink_info(scene->sink, &info));
    return listener_address(scene->listener, &scene->address);
}

static iouringnet_status bind_by(struct scene *scene, const char *address) {
    iouringnet_listener *listener;

    CHECK_OK(net_bind(scene->net, address, NULL, &listener));
    listener_close(listener);
    return 0;
}

static iouringnet_status bind_and_close(struct scene *scene) {
    return bind_by(scene, "127.0.0.1:0");
}

static iouringnet_status bind_by_name(struct scene *scene) {
    bind_by(scene, "localhost:0"); /* the hosts file's */
    return bind_by(scene, "name.example:0");
}

static iouringnet_status bind_to_a_taken_port(struct scene *scene) {
    iouringnet_listener *listener;

    CHECK_STATUS(net_bind(scene->net, scene->address.text, NULL, &listener), -EADDRINUSE);
    return 0;
}

static iouringnet_status dial_by(struct scene *scene, const char *address) {
    iouringnet_sink *sinks[2];
    iouringnet_stream *streams[2];

    CHECK_OK(net_dial(scene->net, address, NULL, &sinks[0], &streams[0]));
    CHECK_OK(listener_accept(scene->listener, &sinks[1], &streams[1]));
    connection_abort(sinks[0], NULL);
    stream_close(streams[0]);
    sink_close(sinks[1]);
    stream_close(streams[1]);
    return 0;
}

static iouringnet_status dial_and_accept(struct scene *scene) {
    return dial_by(scene, scene->address.text);
}

static iouringnet_status dial_by_name(struct scene *scene) {
    char name[80];

    snprintf(name, sizeof name, "localhost%s", strrchr(scene->address.text, ':'));
    dial_by(scene, name);
    snprintf(name, sizeof name, "name.example%s", strrchr(scene->address.text, ':'));
    return dial_by(scene, name);
}

static iouringnet_status dial_in_vain(struct scene *scene) {
    iouringnet_sink *sink;
    iouringnet_stream *stream;

    CHECK_STATUS(net_dial(scene->net, "127.0.0.1:1", NULL, &sink, &stream), -ECONNREFUSED);
    return 0;
}

static iouringnet_status use_ops(struct scene *scene) {
    iouringnet_op *op;

    CHECK_OK(net_call(scene->net, 0, NULL, NULL, &op));
    CHECK_OK(op_wait(op, WAIT_MS, NULL));
    CHECK_OK(op_release(op));
    /* a connection that nobody collects closes with its op */
    CHECK_OK(net_dial_async(scene->net, scene->address.text, NULL, NULL, NULL, &op));
    CHECK_OK(op_wait(op, WAIT_MS, NULL));
    CHECK_OK(op_release(op));
    CHECK_OK(listener_accept_async(scene->listener, NULL, NULL, &op));
    CHECK_OK(op_wait(op, WAIT_MS, NULL));
    CHECK_OK(op_release(op));
    CHECK_OK(listener_accept_async(scene->listener, NULL, NULL, &op));
    CHECK_OK(op_cancel(op));
    CHECK_OK(op_wait(op, WAIT_MS, NULL));
    return op_release(op);
}

static iouringnet_status send_in_every_way(struct scene *scene) {
    struct iovec part = {(void *)(uintptr_t) "part", 4};
    iouringnet_op *op;

    CHECK_OK(sink_send(scene->sink, "send", 4, NULL));
    CHECK_OK(sink_sendv(scene->sink, &part, 1, NULL));
    CHECK_OK(sink_send_async(scene->sink, "send", 4, NULL, NULL, &op));
    CHECK_OK(op_wait(op, WAIT_MS, NULL));
    CHECK_OK(op_release(op));
    CHECK_OK(sink_sendv_async(scene->sink, &part, 1, ignore_completion, NULL, NULL));
    CHECK_OK(sink_post(scene->sink, "post", 4));
    CHECK_OK(sink_set_timeout(scene->sink, WAIT_MS));
    CHECK_OK(watch_sink(scene->sink, ignore_status, NULL, NULL));
    return sink_flush(scene->sink);
}

static iouringnet_status receive_in_every_way(struct scene *scene) {
    const void *shown;
    iouringnet_op *op;
    size_t size;
    char got[4];

    CHECK_OK(stream_fill(scene->stream, 4));
    CHECK_OK(stream_peek(scene->stream, 4, &shown, &size));
    CHECK_OK(stream_consume(scene->stream, 4));
    CHECK_OK(stream_recv(scene->stream, got, 4, NULL));
    CHECK_OK(stream_recv_async(scene->stream, got, 4, NULL, NULL, &op));
    CHECK_OK(op_wait(op, WAIT_MS, NULL));
    CHECK_OK(op_release(op));
    CHECK_OK(stream_fill_async(scene->stream, 4, ignore_completion, NULL, NULL));
    return stream_recv_some(scene->stream, got, 4, NULL);
}

static iouringnet_status meet_a_reset(struct scene *scene) {
    iouringnet_sink *sink;
    iouringnet_stream *stream;
    char got[4];
    int peer = raw_dial(scene->address.text);

    CHECK_OK(listener_accept(scene->listener, &sink, &stream));
    raw_reset(peer);
    CHECK_STATUS(stream_recv(stream, got, 4, NULL), -ECONNRESET);
    CHECK_STATUS(sink_send(sink, "send", 4, NULL), -ECONNRESET);
    sink_close(sink);
    stream_close(stream);
    return 0;
}

static iouringnet_status close_both(struct scene *scene) {
    sink_close(scene->sink);
    stream_close(scene->stream);
    return 0;
}

static iouringnet_status stop(struct scene *scene) {
    return net_stop(scene->net);
}

/* without a cancellation point of its own: raw_dial and raw_reset have some */
static iouringnet_status with_cancellation_off(struct scene *scene) {
    int before;
    iouringnet_status status;

    CHECK_EQ(pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &before), 0);
    status = meet_a_reset(scene);
    CHECK_EQ(pthread_setcancelstate(before, &before), 0);
    CHECK_EQ(before, PTHREAD_CANCEL_DISABLE); /* no call has turned it on */
    return status;
}

TEST(a_cancel_before_a_call_waits_for_its_end) {
    static iouringnet_status (*const each[])(struct scene * scene) = {
        start_and_stop,       start_in_vain,        look_around,           bind_and_close, bind_by_name,
        bind_to_a_taken_port, dial_and_accept,      dial_by_name,          dial_in_vain,   use_ops,
        send_in_every_way,    receive_in_every_way, with_cancellation_off, close_both,     stop,
    };
    struct scene scene;
    struct pair first = tcp_pair();
    struct footprint before;

    pair_close(&first); /* what the library keeps for ever is there */
    before = footprint();
    scene = scene_open();
    raw_send(scene.peer, "four and twenty bytes...", 24);
    for (size_t i = 0; i < sizeof each / sizeof *each; i++) {
        struct caller caller = {&scene, each[i], true, 0, 0, 0};

        fprintf(stderr, "calls of row %zu\n", i);
        join_cancelled(spawn(caller_run, &caller), &caller);
        CHECK_OK(caller.status);
    }
    raw_close(scene.peer);
    footprint_returns(before);
}

/* ---- a cancel that comes while the call waits ---- */

static iouringnet_status wait_in_accept(struct scene *scene) {
    iouringnet_sink *sink;
    iouringnet_stream *stream;
    iouringnet_status status = listener_accept(scene->listener, &sink, &stream);

    if (status == 0) {
        sink_close(sink);
        stream_close(stream);
    }
    return status;
}

static iouringnet_status wait_in_dial(struct scene *scene) {
    iouringnet_dial_options options;
    iouringnet_sink *sink;
    iouringnet_stream *stream;

    iouringnet_dial_options_init(&options);
    options.timeout_ms = 500;
    return net_dial(scene->net, scene->address.text, &options, &sink, &stream);
}

static iouringnet_status wait_in_send(struct scene *scene) {
    return sink_send(scene->sink, "more", 4, NULL);
}

static iouringnet_status wait_in_sendv(struct scene *scene) {
    struct iovec part = {(void *)(uintptr_t) "more", 4};

    return sink_sendv(scene->sink, &part, 1, NULL);
}

static iouringnet_status wait_in_flush(struct scene *scene) {
    return sink_flush(scene->sink);
}

static iouringnet_status wait_in_recv(struct scene *scene) {
    return stream_recv(scene->stream, scene->into, 4, NULL);
}

static iouringnet_status wait_in_recv_some(struct scene *scene) {
    return stream_recv_some(scene->stream, scene->into, 4, NULL);
}

static iouringnet_status wait_in_fill(struct scene *scene) {
    return stream_fill(scene->stream, 4);
}

static iouringnet_status wait_in_op_wait(struct scene *scene) {
    return op_wait(scene->op, IOURINGNET_NO_TIMEOUT, NULL);
}

static void peer_dials(struct scene *scene) {
    raw_close(raw_dial(scene->address.text));
}

static void peer_sends(struct scene *scene) {
    raw_send(scene->peer, "four", 4);
}

static void peer_resets(struct scene *scene) {
    raw_reset(scene->peer);
    scene->peer = -1;
}

static void listener_closes(struct scene *scene) {
    listener_close(scene->listener);
}

/* whatever the waiting thread lets go of last is its to free */
static void connection_goes(struct scene *scene) {
    connection_abort(scene->sink, NULL);
    stream_close(scene->stream);
}

static void time_passes(struct scene *scene) {
    (void)scene;
}

/* cancels a thread that sleeps within the call, then ends the wait: the call must return `wanted` */
static void cancel_amid(struct scene *scene, iouringnet_status (*call)(struct scene *scene),
                        void (*end)(struct scene *scene), iouringnet_status wanted) {
    struct caller caller = {scene, call, false, 0, 0, 0};
    pthread_t thread = spawn(caller_run, &caller);

    EVENTUALLY(atomic_load(&caller.thread) != 0);
    EVENTUALLY(thread_sleeps(caller.thread));
    CHECK_EQ(caller.returned, 0);
    CHECK_EQ(pthread_cancel(thread), 0);
    end(scene);
    join_cancelled(thread, &caller);
    CHECK_STATUS(caller.status, wanted);
}

/* the same in a connection of its own, after which the net goes on */
static void cancel_amid_transfer(bool jammed, iouringnet_status (*call)(struct scene *scene),
                                 void (*end)(struct scene *scene), iouringnet_status wanted) {
    struct scene scene = scene_open();

    if (jammed) {
        jam_sink(scene.sink);
        CHECK_OK(sink_send_async(scene.sink, "more", 4, ignore_completion, NULL, NULL));
    }
    cancel_amid(&scene, call, end, wanted);
    if (scene.peer >= 0)
        raw_close(scene.peer);
    connection_abort(scene.sink, NULL);
    stream_close(scene.stream);
    listener_close(scene.listener);
    CHECK_OK(net_stop(scene.net));
}

TEST(a_thread_cancelled_amid_a_send_comes_back_first) {
    cancel_amid_transfer(true, wait_in_send, connection_goes, IOURINGNET_CLOSED);
    cancel_amid_transfer(true, wait_in_sendv, peer_resets, -ECONNRESET);
    cancel_amid_transfer(true, wait_in_flush, connection_goes, IOURINGNET_CLOSED);
}

TEST(a_thread_cancelled_amid_a_receive_comes_back_first) {
    size_t descriptors;

    cancel_amid_transfer(false, wait_in_recv, peer_sends, 0);
    descriptors = count_entries("/proc/self/fd");
    cancel_amid_transfer(false, wait_in_recv, connection_goes, IOURINGNET_CLOSED);
    cancel_amid_transfer(false, wait_in_recv_some, peer_resets, -ECONNRESET);
    cancel_amid_transfer(false, wait_in_fill, peer_sends, 0);
    EVENTUALLY(count_entries("/proc/self/fd") == descriptors);
}

TEST(a_thread_cancelled_amid_an_accept_comes_back_first) {
    struct scene scene = scene_open();

    cancel_amid(&scene, wait_in_accept, peer_dials, 0);
    cancel_amid(&scene, wait_in_accept, listener_closes, IOURINGNET_CLOSED);
    scene_close(&scene);
}

TEST(a_thread_cancelled_amid_a_dial_comes_back_first) {
    struct full_listener full = full_listener();
    struct scene scene = scene_open();

    scene.address = full.address;
    cancel_amid(&scene, wait_in_dial, time_passes, IOURINGNET_TIMEOUT);
    scene_close(&scene);
    full_listener_close(&full);
}

TEST(a_thread_cancelled_amid_op_wait_comes_back_first) {
    struct scene scene = scene_open();

    CHECK_OK(stream_recv_async(scene.stream, scene.into, 4, NULL, NULL, &scene.op));
    cancel_amid(&scene, wait_in_op_wait, peer_sends, 0);
    CHECK_OK(op_release(scene.op));
    scene_close(&scene);
}

TEST(a_thread_cancelled_amid_net_stop_comes_back_first) {
    size_t threads = count_threads();
    iouringnet_config config = config_of_mode();
    struct scene scene = {0};

    config.shutdown_timeout_ms = 500;
    scene.net = net_with(&config);
    scene.peer = raw_peer(scene.net, &scene.sink, &scene.stream);
    jam_sink(scene.sink);
    CHECK_OK(sink_send_async(scene.sink, "more", 4, ignore_completion, NULL, NULL));
    cancel_amid(&scene, stop, time_passes, IOURINGNET_TIMEOUT);
    EVENTUALLY(count_threads() == threads);
    raw_close(scene.peer);
}

/* ---- the library's own threads ---- */

static void cancel_this_thread(void *user) {
    (void)user;
    CHECK_EQ(pthread_cancel(pthread_self()), 0);
    pthread_testcancel();
}

TEST(a_cancel_of_the_callback_thread_does_nothing) {
    struct pair p = tcp_pair();
    char got[5];

    on_callback_thread(p.a.net, cancel_this_thread, NULL);
    CHECK_OK(sink_send(p.a.sink, "hello", 5, NULL));
    CHECK_OK(stream_recv(p.b.stream, got, 5, NULL));
    CHECK_MEM(got, "hello", 5);
    pair_close(&p);
}
