/* echo_libevent: the task of docs/guide/11-coming-from.md with libevent's bufferevents. */
#define _GNU_SOURCE /* for struct timeval and signal numbers under -std=c11 */

#include <arpa/inet.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/listener.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

/* [callbacks] */
enum { UNSENT_MAX = 1 << 20 };

static struct timeval idle;

static void on_read(struct bufferevent *client, void *user) {
    struct evbuffer *output = bufferevent_get_output(client);
    (void)user;
    bufferevent_read_buffer(client, output); /* moves the input to the output, without a copy */
    if (evbuffer_get_length(output) >= UNSENT_MAX) {
        bufferevent_disable(client, EV_READ); /* the client does not read */
        bufferevent_setwatermark(client, EV_WRITE, UNSENT_MAX / 2, 0);
    }
}

/* The output has fallen to the low mark of EV_WRITE. */
static void on_written(struct bufferevent *client, void *user) {
    (void)user;
    if (!(bufferevent_get_enabled(client) & EV_READ)) {
        bufferevent_setwatermark(client, EV_WRITE, 0, 0);
        bufferevent_enable(client, EV_READ);
    }
}

static void on_rest_written(struct bufferevent *client, void *user) {
    (void)user;
    bufferevent_free(client); /* also closes the socket */
}

static void on_event(struct bufferevent *client, short events, void *user) {
    (void)user;
    if (events & BEV_EVENT_EOF && evbuffer_get_length(bufferevent_get_output(client)) > 0) {
        /* the client has ended its side, and gets the rest */
        bufferevent_setcb(client, NULL, on_rest_written, on_event, NULL);
        bufferevent_setwatermark(client, EV_WRITE, 0, 0);
    } else {
        bufferevent_free(client); /* ended, failed, or quiet for too long */
    }
}

static void on_connection(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *peer, int size,
                          void *user) {
    int on = 1;
    (void)peer, (void)size, (void)user;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    struct bufferevent *client = bufferevent_socket_new(evconnlistener_get_base(listener), fd, BEV_OPT_CLOSE_ON_FREE);
    if (client == NULL) {
        evutil_closesocket(fd);
        return;
    }
    bufferevent_setcb(client, on_read, on_written, on_event, NULL);
    bufferevent_set_timeouts(client, &idle, &idle);
    bufferevent_enable(client, EV_READ | EV_WRITE);
}
/* [end] */

static void on_signal(evutil_socket_t number, short events, void *base) {
    (void)number, (void)events;
    event_base_loopexit(base, NULL); /* output that waits is lost */
}

int main(int argc, char **argv) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    if (argc != 3)
        return 2;
    address.sin_port = htons((uint16_t)atoi(argv[1]));
    idle = (struct timeval){atol(argv[2]) / 1000, atol(argv[2]) % 1000 * 1000};
    signal(SIGPIPE, SIG_IGN);
    struct event_base *base = event_base_new();
    struct event *terminate = evsignal_new(base, SIGTERM, on_signal, base);
    struct evconnlistener *listener =
        evconnlistener_new_bind(base, on_connection, NULL, LEV_OPT_CLOSE_ON_FREE | LEV_OPT_REUSEABLE, 4096,
                                (struct sockaddr *)&address, (int)size);
    if (listener == NULL || event_add(terminate, NULL) != 0 ||
        getsockname(evconnlistener_get_fd(listener), (struct sockaddr *)&address, &size) != 0) {
        perror("echo_libevent");
        return 1;
    }
    printf("listening on 127.0.0.1:%d\n", ntohs(address.sin_port));
    fflush(stdout);
    event_base_dispatch(base);
    evconnlistener_free(listener);
    event_free(terminate);
    event_base_free(base);
    return 0;
}
