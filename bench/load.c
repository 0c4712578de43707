/* load: the other side of all programs that are measured: the client of servers, and the server of those that dial.
 *
 * It keeps connections busy, checks every byte that comes back, and prints what it saw and what the kernel's accounting
 * says about the server, on one line of name=value. run.py reads that line.
 *
 *   load.c          the connections of all modes
 *   load_echo.c     the modes for echo servers
 *   load_ring.c     how these receive and send
 *   load_stream.c   --download, --upload
 *   load_posts.c    --posts
 *   load_dialled.c  --dialled
 *   load_memory.c   --memory
 *   load_options.c  the command line
 *   load_measure.c  what counts of a run, and the lines that report it
 *   load_account.c  what the kernel says about the server
 *
 * Its one invariant: every byte is that of the pattern (pattern.h), in both directions.
 */
#define _GNU_SOURCE

#include "load.h"

#include <sys/prctl.h>

unsigned char incoming[IO_SIZE];

void fail(const char *what) {
    fprintf(stderr, "load: %s\n", what);
    exit(1);
}

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

int main(int argc, char **argv) {
    parse_options(argc, argv);
    /* A last bound, should a blocking call of this program ever not return. */
    alarm((unsigned)(options.seconds + options.warmup) + 60);
    raise_descriptor_limit();
    fill_pattern();
    prctl(PR_SET_TIMERSLACK, 1);
    if (options.mode == DOWNLOAD)
        run_download();
    else if (options.mode == UPLOAD)
        run_upload();
    else if (options.mode == POSTS)
        run_posts();
    else if (options.mode == DIALLED)
        run_dialled();
    else
        run_echo();
    return 0;
}
