/* peer_libevent_events: an echo server with libevent's plain events, one to read and one to write for each connection. Its
 * bufferevents (peer_libevent) are shorter and cost half as much again, since they arm and disarm the writing of every message.
 * Its one invariant: while bytes of a connection wait for room, nothing is received from it. */
#define _GNU_SOURCE

#include "server.h"

#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/listener.h>
#include <signal.h>

struct connection {
    struct event *readable, *writable; /* one of them is armed */
    struct evbuffer *kept;             /* what the socket did not take */
};

static unsigned char incoming[64 * 1024];

static void arm(struct event *event) {
    if (event_add(event, NULL) != 0)
        die("event_add");
}

static void hang_up(struct connection *c) {
    evutil_socket_t fd = event_get_fd(c->readable);
    event_free(c->readable);
    event_free(c->writable);
    evbuffer_free(c->kept);
    free(c);
    evutil_closesocket(fd);
}

static void on_readable(evutil_socket_t fd, short events, void *user) {
    (void)events;
    struct connection *c = user;
    ssize_t size = recv(fd, incoming, sizeof incoming, 0);
    if (size < 0 && errno == EAGAIN)
        return;
    if (size <= 0) {
        hang_up(c);
        return;
    }
    ssize_t sent = send(fd, incoming, (size_t)size, MSG_NOSIGNAL);
    if (sent == size)
        return;
    if (sent < 0 && errno != EAGAIN) {
        hang_up(c);
        return;
    }
    size_t out = sent > 0 ? (size_t)sent : 0;
    if (evbuffer_add(c->kept, incoming + out, (size_t)size - out) != 0)
        die("evbuffer_add");
    event_del(c->readable);
    arm(c->writable);
}

static void on_writable(evutil_socket_t fd, short events, void *user) {
    (void)events;
    struct connection *c = user;
    if (evbuffer_write(c->kept, fd) < 0 && errno != EAGAIN) {
        hang_up(c);
        return;
    }
    if (evbuffer_get_length(c->kept) > 0)
        return;
    event_del(c->writable);
    arm(c->readable);
}

static void on_connection(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *peer, int size,
                          void *user) {
    (void)peer, (void)size, (void)user;
    set_nodelay(fd);
    struct event_base *base = evconnlistener_get_base(listener);
    struct connection *c = malloc(sizeof *c);
    if (!c)
        die("malloc");
    c->kept = evbuffer_new();
    c->readable = event_new(base, fd, EV_READ | EV_PERSIST, on_readable, c);
    c->writable = event_new(base, fd, EV_WRITE | EV_PERSIST, on_writable, c);
    if (!c->kept || !c->readable || !c->writable)
        die("event_new");
    arm(c->readable);
}

int main(void) {
    signal(SIGPIPE, SIG_IGN); /* a client that resets its connection would end the program */
    raise_descriptor_limit();
    struct event_base *base = event_base_new();
    if (!base)
        die("event_base_new");
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    struct evconnlistener *listener =
        evconnlistener_new_bind(base, on_connection, NULL, LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, BACKLOG,
                                (struct sockaddr *)&address, (int)size);
    if (!listener || getsockname(evconnlistener_get_fd(listener), (struct sockaddr *)&address, &size) != 0)
        die("evconnlistener_new_bind");
    char text[32];
    snprintf(text, sizeof text, "127.0.0.1:%d", ntohs(address.sin_port));
    announce(text);
    return event_base_dispatch(base);
}
