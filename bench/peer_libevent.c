/* peer_libevent: an echo server with bufferevents, as libevent's book has it: what is read moves to the output without a
 * copy. Its one invariant: a connection's bufferevent owns its descriptor. */
#define _GNU_SOURCE

#include "server.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/listener.h>
#include <signal.h>

static void on_read(struct bufferevent *connection, void *user) {
    (void)user;
    evbuffer_add_buffer(bufferevent_get_output(connection), bufferevent_get_input(connection));
}

static void on_event(struct bufferevent *connection, short events, void *user) {
    (void)user;
    if (events & (BEV_EVENT_EOF | BEV_EVENT_ERROR))
        bufferevent_free(connection);
}

static void on_connection(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *peer, int size,
                          void *user) {
    (void)peer, (void)size, (void)user;
    set_nodelay(fd);
    struct bufferevent *connection =
        bufferevent_socket_new(evconnlistener_get_base(listener), fd, BEV_OPT_CLOSE_ON_FREE);
    if (!connection)
        die("bufferevent_socket_new");
    bufferevent_setcb(connection, on_read, NULL, on_event, NULL);
    bufferevent_enable(connection, EV_READ | EV_WRITE);
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
