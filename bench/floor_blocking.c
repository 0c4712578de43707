/* floor_blocking: the echo server without any readiness. One thread for each connection, recv(2) and send(2) that wait.
 *
 *   --cpu N  the connections' threads keep to that processor, and they alone */
#define _GNU_SOURCE

#include "server.h"

#define BUFFER (64 * 1024)

static int cpu = NO_CPU;

static void *echo(void *user) {
    int fd = (int)(intptr_t)user;
    unsigned char buffer[BUFFER];
    keep_to_cpu(cpu);
    for (;;) {
        ssize_t size = recv(fd, buffer, sizeof buffer, 0);
        if (size < 0 && errno == EINTR)
            continue;
        if (size <= 0)
            break;
        ssize_t out = 0;
        while (out < size) {
            ssize_t sent = send(fd, buffer + out, (size_t)(size - out), MSG_NOSIGNAL);
            if (sent < 0)
                break;
            out += sent;
        }
        if (out < size)
            break;
    }
    close(fd);
    return NULL;
}

int main(int argc, char **argv) {
    if (argc == 3 && strcmp(argv[1], "--cpu") == 0) {
        cpu = cpu_of(argv[2]);
    } else if (argc > 1) {
        fprintf(stderr, "usage: %s [--cpu N]\n", argv[0]);
        return 2;
    }
    serve_in_threads(listen_here(0), echo);
}
