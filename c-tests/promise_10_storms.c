/* Promise 10: a stop amid connections that keep coming ends each watch once. */

#include "support.h"

#include <arpa/inet.h>

struct storm {
    struct sockaddr_in at;
    atomic_bool over;
};

/* connects and closes without a pause */
static void *storm_run(void *user) {
    struct storm *storm = user;

    while (!storm->over) {
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

        CHECK(fd >= 0);
        (void)!connect(fd, (struct sockaddr *)&storm->at, sizeof storm->at); /* refused, once the net has stopped */
        close(fd);
    }
    return NULL;
}

TEST(a_stop_amid_connections_ends_an_accept_watch_once) {
    enum { ROUNDS = 100 };

    for (int i = 0; i < ROUNDS; i++) {
        iouringnet_net *net = net_of_mode();
        iouringnet_address address;
        iouringnet_listener *listener = bind_loopback(net, &address);
        struct storm storm = {.at = {.sin_family = AF_INET}};
        struct ending watch = ENDING;
        pthread_t thread;

        storm.at.sin_port = htons((uint16_t)atoi(strrchr(address.text, ':') + 1));
        storm.at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        CHECK_OK(listener_watch(listener, ending_store, &watch));
        thread = spawn(storm_run, &storm);
        EVENTUALLY(watch.events > 20);
        CHECK_OK(net_stop(net));
        storm.over = true;
        join(thread);
        CHECK_EQ(watch.ends, 1);
        CHECK_STATUS(watch.status, IOURINGNET_STOPPED);
    }
}
