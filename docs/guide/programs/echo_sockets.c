/* echo_sockets: the task of docs/guide/11-coming-from.md with blocking sockets, and a thread for each client. */
#define _GNU_SOURCE /* for struct timeval and sigset_t under -std=c11 */

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

/* [callbacks] */
static struct timeval idle;

/* send(2) may take a part, a signal may interrupt it, and a peer that is gone must not raise SIGPIPE. */
static bool send_all(int fd, const char *data, size_t size) {
    while (size > 0) {
        ssize_t sent = send(fd, data, size, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0)
            return false; /* EAGAIN: the client has read nothing for so long */
        data += sent;
        size -= (size_t)sent;
    }
    return true;
}

static void *serve_client(void *user) {
    int fd = (int)(intptr_t)user;
    char data[64 << 10];
    for (;;) {
        ssize_t size = recv(fd, data, sizeof data, 0);
        if (size < 0 && errno == EINTR)
            continue;
        if (size <= 0 || !send_all(fd, data, (size_t)size))
            break; /* ended, reset, or EAGAIN: quiet for too long */
    }
    close(fd); /* resets the connection if the client has sent more meanwhile */
    return NULL;
}

static void *accept_clients(void *user) {
    int listener = (int)(intptr_t)user, on = 1;
    for (;;) {
        pthread_t thread;
        int fd = accept(listener, NULL, NULL);
        if (fd < 0) {
            if (errno == EMFILE || errno == ENFILE)
                usleep(10000); /* or this loop spins */
            continue;
        }
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &idle, sizeof idle);
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &idle, sizeof idle);
        if (pthread_create(&thread, NULL, serve_client, (void *)(intptr_t)fd) == 0)
            pthread_detach(thread);
        else
            close(fd);
    }
    return NULL;
}
/* [end] */

int main(int argc, char **argv) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    sigset_t signals;
    pthread_t thread;
    int number, on = 1, listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (argc != 3)
        return 2;
    address.sin_port = htons((uint16_t)atoi(argv[1]));
    idle = (struct timeval){atol(argv[2]) / 1000, atol(argv[2]) % 1000 * 1000};
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (listener < 0 || bind(listener, (struct sockaddr *)&address, size) != 0 || listen(listener, 4096) != 0 ||
        getsockname(listener, (struct sockaddr *)&address, &size) != 0 ||
        pthread_create(&thread, NULL, accept_clients, (void *)(intptr_t)listener) != 0) {
        perror("echo_sockets");
        return 1;
    }
    printf("listening on 127.0.0.1:%d\n", ntohs(address.sin_port));
    fflush(stdout);
    sigwait(&signals, &number);
    return 0; /* bytes that wait in the process are lost */
}
