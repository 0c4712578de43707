/* What the servers with libuv share: how they listen, tell their address and run. */
#ifndef PEER_LIBUV_H
#define PEER_LIBUV_H

#include "server.h"

#include <signal.h>
#include <uv.h>

static inline void check(int status, const char *what) {
    if (status == 0)
        return;
    fprintf(stderr, "%s: %s\n", what, uv_strerror(status));
    exit(1);
}

/* Serves on a free port until somebody ends the program. Returns the program's exit status. */
static inline int serve(uv_connection_cb on_connection) {
    uv_loop_t *loop = uv_default_loop();
    uv_tcp_t server;
    struct sockaddr_in address;
    int size = sizeof address;
    char text[32];

    signal(SIGPIPE, SIG_IGN); /* a client that resets its connection would end the program */
    check(uv_tcp_init(loop, &server), "uv_tcp_init");
    check(uv_ip4_addr("127.0.0.1", 0, &address), "uv_ip4_addr");
    check(uv_tcp_bind(&server, (const struct sockaddr *)&address, 0), "uv_tcp_bind");
    check(uv_listen((uv_stream_t *)&server, BACKLOG, on_connection), "uv_listen");
    check(uv_tcp_getsockname(&server, (struct sockaddr *)&address, &size), "uv_tcp_getsockname");
    snprintf(text, sizeof text, "127.0.0.1:%d", ntohs(address.sin_port));
    announce(text);
    return uv_run(loop, UV_RUN_DEFAULT);
}

#endif
