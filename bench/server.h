/* What the programs written in C have in common, so that they differ in nothing but what is measured: the listening socket,
 * the line that names its address, the threads of those that have one for each connection, the orders of those that dial, and the
 * sockets' options. SIGTERM has its default meaning. */
#ifndef BENCH_SERVER_H
#define BENCH_SERVER_H

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
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

/* The calling thread keeps to processor `cpu`; NO_CPU: anywhere. */
#define NO_CPU (-1)
static inline void keep_to_cpu(int cpu) {
    cpu_set_t set;
    if (cpu == NO_CPU)
        return;
    CPU_ZERO(&set);
    CPU_SET((unsigned)cpu, &set);
    if (sched_setaffinity(0, sizeof set, &set) != 0)
        die("sched_setaffinity");
}

/* The processor that "--cpu N" names. */
static inline int cpu_of(const char *text) {
    char *end;
    long cpu = strtol(text, &end, 10);
    errno = EINVAL;
    if (end == text || *end != 0 || cpu < 0 || cpu >= CPU_SETSIZE)
        die("--cpu");
    return (int)cpu;
}

/* What the threads of connections are started with: a stack for a buffer of 64 KiB and as much again. */
static inline void init_thread_attributes(pthread_attr_t *attributes) {
    pthread_attr_init(attributes);
    pthread_attr_setstacksize(attributes, 128 * 1024);
    pthread_attr_setdetachstate(attributes, PTHREAD_CREATE_DETACHED); /* they end with the process */
}

static inline pthread_t start_thread(const pthread_attr_t *attributes, void *(*run)(void *), void *user) {
    pthread_t thread;
    errno = pthread_create(&thread, attributes, run, user);
    if (errno != 0)
        die("pthread_create");
    return thread;
}

/* Waits for a connection to `listener`. */
static inline int accept_next(int listener) {
    for (;;) {
        int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        if (fd < 0 && (errno == EINTR || errno == ECONNABORTED))
            continue;
        if (fd < 0)
            die("accept");
        set_nodelay(fd);
        return fd;
    }
}

/* Calls `serve` for each connection, in a thread of its own, for ever. It is given the descriptor, which it closes. */
static inline void serve_in_threads(int listener, void *(*serve)(void *)) {
    pthread_attr_t attributes;
    init_thread_attributes(&attributes);
    for (;;)
        start_thread(&attributes, serve, (void *)(intptr_t)accept_next(listener));
}

/* "A:P" as an address. */
static inline struct sockaddr_in address_of(const char *text) {
    struct sockaddr_in address = {.sin_family = AF_INET};
    char host[INET_ADDRSTRLEN];
    const char *colon = strrchr(text, ':');
    size_t size = colon ? (size_t)(colon - text) : sizeof host;
    errno = EINVAL;
    if (size >= sizeof host)
        die("not an address");
    memcpy(host, text, size);
    host[size] = 0;
    address.sin_port = htons((uint16_t)strtoul(colon + 1, NULL, 10));
    if (inet_pton(AF_INET, host, &address.sin_addr) != 1)
        die("not an address");
    return address;
}

/* ---- Programs that dial ----
 *
 * They keep DIALS connections going: each connects, sends a message, receives one of the same size, closes, and begins anew
 * with what it has received. */

#define DIALS 8
#define DIAL_MESSAGE 64

struct orders {
    unsigned char message[DIAL_MESSAGE]; /* the first one of every connection */
    char target[32];
};

/* One connection to the announced address brings them: the message, and then the address up to the end. */
static inline struct orders take_orders(void) {
    struct orders orders = {.target = ""};
    char text[sizeof orders + 1];
    size_t got = 0;
    ssize_t n;
    int listener = listen_here(0);
    int fd = accept(listener, NULL, NULL);
    while ((n = recv(fd, text + got, sizeof text - got, 0)) > 0)
        got += (size_t)n;
    if (n < 0 || got <= DIAL_MESSAGE || got >= sizeof orders)
        die("orders");
    memcpy(&orders, text, got);
    close(fd);
    close(listener);
    return orders;
}

/* The other side ends while connections are under way. Then nothing is begun anew; all else is a fault. */
static inline void dial_failed(int error) {
    if (error == ECONNREFUSED || error == ECONNRESET || error == EPIPE)
        return;
    errno = error;
    die("dial");
}

#endif
