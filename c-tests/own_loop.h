/* What the tests of a program's own loop share: a net that the test's thread dispatches, and short ways to dispatch it. */

#ifndef OWN_LOOP_H
#define OWN_LOOP_H

#include "support.h"

#include <poll.h>

static inline iouringnet_config own_loop_config(void) {
    iouringnet_config config = config_of_mode();

    config.dispatch = IOURINGNET_BY_CALLER;
    return config;
}

/* a net over epoll, whatever the mode's engine is */
static inline iouringnet_net *own_loop(void) {
    iouringnet_config config = own_loop_config();
    iouringnet_net *net;

    CHECK_OK(net_start(&config, &net));
    return net;
}

/* dispatches until the condition holds, for at most WAIT_MS */
#define DISPATCH_UNTIL(net, condition) \
    do { \
        int64_t dispatch_end = now_ms() + WAIT_MS; \
        while (!(condition)) { \
            iouringnet_status dispatch_status = net_dispatch((net), 1000); \
            CHECK(dispatch_status == 0 || dispatch_status == IOURINGNET_TIMEOUT); \
            if (now_ms() > dispatch_end) \
                check_true(false, "in time: " #condition, __FILE__, __LINE__); \
        } \
    } while (0)

/* does what there is to do, until there is nothing more */
static inline void dispatch_all(iouringnet_net *net) {
    iouringnet_status status;
    int turns = 0;

    while ((status = net_dispatch(net, 0)) == 0)
        CHECK(++turns < 10000);
    CHECK_STATUS(status, IOURINGNET_TIMEOUT);
}

static inline bool is_readable(int fd, int64_t ms) {
    struct pollfd poller = {.fd = fd, .events = POLLIN};

    CHECK(poll(&poller, 1, (int)ms) >= 0);
    CHECK((poller.revents & ~POLLIN) == 0);
    return poller.revents != 0;
}

/* a connection: the net's side by a dial, and its plain peer. Dispatches until it is there. */
struct dialled {
    iouringnet_sink *sink;
    iouringnet_stream *stream;
    int peer;
};

static inline struct dialled dialled_in(iouringnet_net *net) {
    struct dialled dialled;
    struct result dial = RESULT;
    iouringnet_address address;
    int listener = raw_listen(&address);

    CHECK_OK(net_dial_async(net, address.text, NULL, result_store, &dial, NULL));
    DISPATCH_UNTIL(net, dial.calls == 1);
    CHECK_OK(dial.done.status);
    dialled.sink = dial.done.sink;
    dialled.stream = dial.done.stream;
    dialled.peer = raw_accept(listener);
    raw_close(listener);
    return dialled;
}

#endif
