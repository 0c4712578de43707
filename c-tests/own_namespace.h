/* A network namespace of a test's own, and links in it. The calling thread is in it, and threads that it makes. */

#ifndef OWN_NAMESPACE_H
#define OWN_NAMESPACE_H

#include "harness.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

static inline void own_namespace(void) {
    struct ifreq lo = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
    int fd;

    if (unshare(CLONE_NEWNET) != 0)
        SKIP("a network namespace cannot be made here");
    fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    CHECK(fd >= 0);
    CHECK_EQ(ioctl(fd, SIOCSIFFLAGS, &lo), 0);
    CHECK_EQ(close(fd), 0);
}

static inline void set_of_namespace(const char *path, const char *value) {
    FILE *file = fopen(path, "we");
    bool written = file && fputs(value, file) >= 0;

    if (!file || fclose(file) != 0 || !written)
        SKIP("this setting cannot be changed here");
}

/* A link that has this address, in a network of 256. No neighbour answers: the kernel waits some 10 ms for one, and then tells
   EHOSTUNREACH. The link lives until its descriptor is closed. */
static inline int link_without_neighbours(const char *ip) {
    struct ifreq link = {.ifr_name = "silent0", .ifr_flags = IFF_TAP | IFF_NO_PI};
    struct sockaddr_in address = {.sin_family = AF_INET}, mask = {.sin_family = AF_INET};
    int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC), any;

    if (fd < 0 || ioctl(fd, TUNSETIFF, &link) != 0)
        SKIP("a link cannot be made here");
    set_of_namespace("/proc/sys/net/ipv4/neigh/silent0/mcast_solicit", "1\n");
    set_of_namespace("/proc/sys/net/ipv4/neigh/silent0/retrans_time_ms", "10\n");
    any = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    CHECK(any >= 0);
    CHECK_EQ(inet_pton(AF_INET, ip, &address.sin_addr), 1);
    memcpy(&link.ifr_addr, &address, sizeof address);
    CHECK_EQ(ioctl(any, SIOCSIFADDR, &link), 0);
    CHECK_EQ(inet_pton(AF_INET, "255.255.255.0", &mask.sin_addr), 1);
    memcpy(&link.ifr_netmask, &mask, sizeof mask);
    CHECK_EQ(ioctl(any, SIOCSIFNETMASK, &link), 0);
    link.ifr_flags = IFF_UP | IFF_RUNNING;
    CHECK_EQ(ioctl(any, SIOCSIFFLAGS, &link), 0);
    CHECK_EQ(close(any), 0);
    return fd;
}

#endif
