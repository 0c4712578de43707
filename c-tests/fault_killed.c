/* A server that is killed leaves its port free at once, so that the next one can bind it.
   Promise 14. */

#include "support.h"

/* the child listens in one of these ways, and then does nothing */
enum way { WATCHES, ACCEPTS, SERVES_ONE, WAYS };

static size_t ignore_data(void *user, iouringnet_status status, const void *data, size_t size) {
    (void)user, (void)status, (void)data;
    return size;
}

/* a connection whose stream waits for bytes; and the next accept */
static void serve_one(iouringnet_listener *listener, const iouringnet_address *address) {
    iouringnet_sink *sink;
    iouringnet_stream *stream;

    raw_dial(address->text);
    CHECK_OK(listener_accept(listener, &sink, &stream));
    CHECK_OK(watch_data(stream, ignore_data, NULL));
    CHECK_OK(listener_accept_async(listener, ignore_completion, NULL, NULL));
}

static void listen_for_ever(enum way way, int tell) {
    iouringnet_net *net = net_of_mode();
    iouringnet_address address;
    iouringnet_listener *listener = bind_loopback(net, &address);

    if (way == WATCHES)
        CHECK_OK(listener_watch(listener, ignore_completion, NULL));
    else if (way == ACCEPTS)
        CHECK_OK(listener_accept_async(listener, ignore_completion, NULL, NULL));
    if (way == SERVES_ONE)
        serve_one(listener, &address);
    settle(net); /* the loop has begun to accept */
    CHECK_EQ(write(tell, &address, sizeof address), sizeof address);
    for (;;)
        pause();
}

/* the address of a server that has just been killed */
static iouringnet_address kill_a_server(enum way way) {
    iouringnet_address address;
    int told[2], status;
    pid_t pid;

    CHECK_EQ(pipe(told), 0);
    pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        child_begin();
        listen_for_ever(way, told[1]);
    }
    close(told[1]);
    CHECK_EQ(read(told[0], &address, sizeof address), sizeof address);
    close(told[0]);
    CHECK_EQ(kill(pid, SIGKILL), 0);
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    return address;
}

/* as the library binds: a connection of the dead server does not hinder it, a listener does */
static bool can_bind(const iouringnet_address *address) {
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool bound;

    CHECK(fd >= 0);
    at.sin_port = htons((uint16_t)atoi(strrchr(address->text, ':') + 1));
    CHECK_EQ(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one), 0);
    bound = bind(fd, (struct sockaddr *)&at, sizeof at) == 0 && listen(fd, 1) == 0;
    close(fd);
    return bound;
}

TEST(the_port_of_a_killed_server_is_free_at_once) {
    enum { TRIES = 20 };

    need_engine();
    for (enum way way = 0; way < WAYS; way++) {
        int refused = 0;

        for (int i = 0; i < TRIES; i++) {
            iouringnet_address address = kill_a_server(way);
            bool bound = can_bind(&address);

            refused += !bound;
            if (!bound)
                EVENTUALLY(can_bind(&address));
        }
        fprintf(stderr, "way %d: %d of %d refused at first\n", (int)way, refused, TRIES);
        CHECK(refused <= TRIES / 10);
    }
}
