/* own_loop_epoll: an echo server inside a loop of the program over epoll.
 *
 * What it teaches:
 *   - net_fd: a descriptor that is readable whenever the net has something to do, its timers included;
 *   - that it takes its place beside others: here a descriptor for signals and one that ticks each second;
 *   - net_dispatch with timeout 0, which never waits: the program's loop does.
 *
 * The echo itself is in own_loop_echo.h.
 *
 * To compile it:   cc -o own_loop_epoll own_loop_epoll.c -liouringnet
 * To try it:       ./own_loop_epoll &   then   nc -N 127.0.0.1 7000 < some_file | cmp - some_file
 */
#define _GNU_SOURCE /* for sigset_t under -std=c11 */

#include <errno.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "own_loop_echo.h"

static int watch(int loop, int fd) {
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    return epoll_ctl(loop, EPOLL_CTL_ADD, fd, &event);
}

/* Reads how often the descriptor has ticked. */
static void tick(int ticks, iouringnet_net *net) {
    uint64_t count;
    iouringnet_stats stats;
    iouringnet_stats_init(&stats);
    if (read(ticks, &count, sizeof count) == (ssize_t)sizeof count && net_stats(net, &stats) == IOURINGNET_OK)
        fprintf(stderr, "own_loop_epoll: connections: %llu\n", (unsigned long long)stats.connections);
}

/* Runs until a signal comes. */
static iouringnet_status run(int loop, int net_descriptor, int signals, int ticks, iouringnet_net *net) {
    for (;;) {
        struct epoll_event event;
        int count = epoll_wait(loop, &event, 1, -1);
        if (count < 0 && errno != EINTR)
            return -errno;
        if (count <= 0)
            continue;
        if (event.data.fd == signals)
            return IOURINGNET_OK;
        if (event.data.fd == ticks)
            tick(ticks, net);
        if (event.data.fd == net_descriptor) {
            iouringnet_status status = net_dispatch(net, 0);
            if (status != IOURINGNET_OK && status != IOURINGNET_TIMEOUT)
                return status;
        }
    }
}

int main(int argc, char **argv) {
    int code, net_descriptor;
    const char *address = address_of("own_loop_epoll", argc, argv, &code);
    if (address == NULL)
        return code;

    sigset_t wanted;
    sigemptyset(&wanted);
    sigaddset(&wanted, SIGINT);
    sigaddset(&wanted, SIGTERM);
    sigprocmask(SIG_BLOCK, &wanted, NULL);
    int signals = signalfd(-1, &wanted, SFD_CLOEXEC);
    int ticks = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    int loop = epoll_create1(EPOLL_CLOEXEC);
    struct itimerspec each_second = {{1, 0}, {1, 0}};
    if (signals < 0 || ticks < 0 || loop < 0 || timerfd_settime(ticks, 0, &each_second, NULL) != 0) {
        perror("own_loop_epoll");
        return 1;
    }

    iouringnet_net *net = start_echo("own_loop_epoll", address);
    if (net == NULL)
        return 1;
    iouringnet_status status = net_fd(net, &net_descriptor);
    if (status == IOURINGNET_OK && (watch(loop, signals) || watch(loop, ticks) || watch(loop, net_descriptor)))
        status = -errno;
    if (status == IOURINGNET_OK)
        status = run(loop, net_descriptor, signals, ticks, net);

    close(loop); /* before net_stop, which closes the net's descriptor */
    close(ticks);
    close(signals);
    return stop_echo("own_loop_epoll", net, status);
}
