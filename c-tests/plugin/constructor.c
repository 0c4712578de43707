/* A shared library whose constructor does everything with a net, while the thread that loads it holds the loader's
   lock. IOURINGNET_TEST_CONSTRUCTOR says in which way and to which echo server: w waits, c gets callbacks, n begins a
   dial and leaves the rest. What came of it is read by fault_loader.c. */

#define _GNU_SOURCE
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "iouringnet.h"

/* the line at which something was wrong; 0: nothing was. The loading test looks both up by name. */
int constructor_failed_in_line;
iouringnet_status constructor_status;
/* what a dial that was begun is left in */
iouringnet_net *constructor_net;
iouringnet_op *constructor_op;

#define HOLDS(condition) \
    do { \
        if (!(condition)) { \
            constructor_failed_in_line = __LINE__; \
            return; \
        } \
    } while (0)
#define HOLDS_OK(call) \
    do { \
        constructor_status = (call); \
        HOLDS(constructor_status == 0); \
    } while (0)

static atomic_size_t shown;

static size_t count_bytes(void *user, iouringnet_status status, const void *data, size_t size) {
    (void)user, (void)data;
    if (status == 0)
        atomic_fetch_add(&shown, size);
    return size;
}

static void nap(void) {
    struct timespec ms = {0, 1000000};

    nanosleep(&ms, NULL);
}

static void echo_by_waiting(iouringnet_net *net, const char *address) {
    iouringnet_sink *sink;
    iouringnet_stream *stream;
    char got[5];

    HOLDS_OK(net_dial(net, address, NULL, &sink, &stream));
    HOLDS_OK(sink_send(sink, "hello", 5, NULL));
    HOLDS_OK(stream_recv(stream, got, 5, NULL));
    HOLDS(memcmp(got, "hello", 5) == 0);
    sink_close(sink);
    stream_close(stream);
}

static void echo_by_callbacks(iouringnet_net *net, const char *address) {
    const iouringnet_connection_callbacks callbacks = {sizeof callbacks, count_bytes, NULL, NULL};
    iouringnet_completion done;
    iouringnet_op *op;

    HOLDS_OK(net_dial_async(net, address, NULL, NULL, NULL, &op));
    iouringnet_completion_init(&done);
    HOLDS_OK(op_wait(op, 20000, &done));
    HOLDS_OK(done.status);
    HOLDS_OK(op_release(op));
    HOLDS_OK(connection_watch(NULL, done.stream, &callbacks, NULL));
    HOLDS_OK(sink_post(done.sink, "hello", 5));
    for (int ms = 0; ms < 20000 && atomic_load(&shown) < 5; ms++)
        nap();
    HOLDS(atomic_load(&shown) == 5);
    sink_close(done.sink);
    stream_close(done.stream);
}

static void ignore_line(void *user, int32_t level, const char *text) {
    (void)user, (void)level, (void)text;
}

__attribute__((constructor)) static void at_load(void) {
    const char *wanted = getenv("IOURINGNET_TEST_CONSTRUCTOR");
    iouringnet_config config;
    iouringnet_net *net;

    if (!wanted)
        return;
    iouringnet_config_init(&config);
    if (getenv("IOURINGNET_TEST_FIRST_TRY") && strcmp(getenv("IOURINGNET_TEST_FIRST_TRY"), "off") == 0)
        config.first_try = IOURINGNET_OFF;
    config.log = ignore_line;
    config.log_level = IOURINGNET_LOG_TRACE;
    HOLDS_OK(net_start(&config, &net));
    if (wanted[0] == 'n') {
        constructor_net = net;
        HOLDS_OK(net_dial_async(net, wanted + 1, NULL, NULL, NULL, &constructor_op));
        return;
    }
    if (wanted[0] == 'w')
        echo_by_waiting(net, wanted + 1);
    else
        echo_by_callbacks(net, wanted + 1);
    if (constructor_failed_in_line == 0)
        HOLDS_OK(net_stop(net));
}
