/* What the servers written in C have in common, so that they differ in nothing but what is measured: the listening socket,
 * the line that names its address, the sockets' options and the end of the program. SIGTERM has its default meaning. */
#ifndef BENCH_SERVER_H
#define BENCH_SERVER_H

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define BACKLOG 4096
#define MOST_DESCRIPTORS 65536 /* tables indexed by descriptor have this many places */

static inline void die(const char *what) {
    fprintf(stderr, "%s: %s\n", what, strerror(errno));
    exit(1);
}

/* A thousand connections are more descriptors than the usual soft limit has. */
static inline void raise_descriptor_limit(void) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        die("getrlimit");
    limit.rlim_cur = limit.rlim_max < MOST_DESCRIPTORS ? limit.rlim_max : MOST_DESCRIPTORS;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
        die("setrlimit");
}

/* run.py waits for this line. */
static inline void announce(const char *address) {
    printf("listening on %s\n", address);
    if (fflush(stdout) != 0)
        die("write");
}

/* Listens on a free port of 127.0.0.1 and names it. `kind` is 0 or SOCK_NONBLOCK. */
static inline int listen_here(int kind) {
    raise_descriptor_limit();
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | kind, 0);
    if (fd < 0)
        die("socket");
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    if (bind(fd, (struct sockaddr *)&address, size) != 0 || listen(fd, BACKLOG) != 0 ||
        getsockname(fd, (struct sockaddr *)&address, &size) != 0)
        die("listen");
    char text[32];
    snprintf(text, sizeof text, "127.0.0.1:%d", ntohs(address.sin_port));
    announce(text);
    return fd;
}

static inline void set_nodelay(int fd) {
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on); /* a connection that is gone already shows elsewhere */
}

#endif
