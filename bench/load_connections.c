/* The connections of the load generator, in all modes. Its one invariant: no call on a connection waits for ever. */
#define _GNU_SOURCE

#include "load_connections.h"
#include "load_base.h"
#include "load_options.h"
#include "server.h"

unsigned char incoming[IO_SIZE];

int connect_there(void) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        die("load: socket");
    /* Bounds connect, too. Non-blocking calls do not heed it. */
    struct timeval limit = {.tv_sec = NO_PROGRESS / SECOND};
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    /* Each connection that ends in good order keeps its port from others for a minute. Other programs use 127.0.0.1. */
    if (options.reconnect) {
        int on = 1;
        static uint32_t turn; /* of several addresses, since one has no more than 28,000 ports */
        uint32_t host = INADDR_LOOPBACK + 2 + turn++ % 8;
        struct sockaddr_in source = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(host)};
        setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
        if (bind(fd, (struct sockaddr *)&source, sizeof source) != 0)
            die("load: bind");
    }
    if (connect(fd, (struct sockaddr *)&options.address, sizeof options.address) != 0)
        die("load: connect");
    set_nodelay(fd);
    /* What is open when the program ends is reset: thousands of connections would leave as many ports waiting for a
     * minute. */
    struct linger reset = {.l_onoff = 1};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    return fd;
}

bool send_all(int fd, const void *data, size_t size) {
    const unsigned char *at = data;
    while (size > 0) {
        ssize_t n = send(fd, at, size, MSG_NOSIGNAL);
        if (n <= 0)
            return false;
        at += n, size -= (size_t)n;
    }
    return true;
}
