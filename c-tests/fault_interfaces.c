/* Addresses of one link, which name their interface.

   Each test has a network namespace of its own, in which the loopback interface has an address of that kind.
   Rule: Names and addresses. */

#include "support.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>

/* struct in6_ifreq of linux/ipv6.h, which excludes netinet/in.h */
struct address_of_interface {
    struct in6_addr address;
    uint32_t prefix;
    int index;
};

/* the kernel readies an address some time after it was given */
static bool is_ready(const struct address_of_interface *local) {
    struct sockaddr_in6 at = {.sin6_family = AF_INET6, .sin6_addr = local->address};
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool bound;

    at.sin6_scope_id = (uint32_t)local->index;
    CHECK(fd >= 0);
    bound = bind(fd, (struct sockaddr *)&at, sizeof at) == 0;
    CHECK_EQ(close(fd), 0);
    return bound;
}

/* the loopback interface, called `name` from now on, has fe80::1 */
static void interface_named(const char *name) {
    struct ifreq lo = {.ifr_name = "lo"};
    struct address_of_interface local = {.prefix = 64};
    int fd;

    if (unshare(CLONE_NEWNET) != 0)
        SKIP("a network namespace cannot be made here");
    fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        SKIP("there is no IPv6 here");
    snprintf(lo.ifr_newname, sizeof lo.ifr_newname, "%s", name);
    if (strcmp(name, "lo") != 0 && ioctl(fd, SIOCSIFNAME, &lo) != 0)
        SKIP("an interface cannot be named here");
    memset(&lo, 0, sizeof lo);
    snprintf(lo.ifr_name, sizeof lo.ifr_name, "%s", name);
    lo.ifr_flags = IFF_UP | IFF_RUNNING;
    CHECK_EQ(ioctl(fd, SIOCSIFFLAGS, &lo), 0);
    local.index = (int)if_nametoindex(name);
    CHECK_EQ(inet_pton(AF_INET6, "fe80::1", &local.address), 1);
    if (ioctl(fd, SIOCSIFADDR, &local) != 0)
        SKIP("an interface cannot have an IPv6 address here");
    CHECK_EQ(close(fd), 0);
    EVENTUALLY(is_ready(&local));
}

static void is_reached(iouringnet_net *net, iouringnet_listener *listener, const char *address) {
    iouringnet_sink *sinks[2];
    iouringnet_stream *streams[2];

    CHECK_OK(net_dial(net, address, NULL, &sinks[0], &streams[0]));
    CHECK_OK(listener_accept(listener, &sinks[1], &streams[1]));
    for (int i = 0; i < 2; i++) {
        sink_close(sinks[i]);
        stream_close(streams[i]);
    }
}

static void an_interface_is_known_as(const char *name) {
    iouringnet_net *net;
    iouringnet_listener *listener;
    iouringnet_address address;
    char text[96], start[64];

    interface_named(name);
    net = net_of_mode();
    snprintf(start, sizeof start, "[fe80::1%%%s]:", name);
    snprintf(text, sizeof text, "%s0", start);
    CHECK_OK(net_bind(net, text, NULL, &listener));
    CHECK_OK(listener_address(listener, &address));
    CHECK_EQ(strncmp(address.text, start, strlen(start)), 0);
    is_reached(net, listener, address.text);
    snprintf(text, sizeof text, "[fe80::1%%%u]:%s", if_nametoindex(name), strrchr(address.text, ':') + 1);
    is_reached(net, listener, text);
    CHECK_OK(net_stop(net));
}

TEST(an_interface_goes_by_its_name_or_number) {
    an_interface_is_known_as("lo");
}

/* no interface has this number */
TEST(an_interface_may_have_a_number_for_its_name) {
    an_interface_is_known_as("77");
}
