/* Adoptions that fail late: the socket has been looked at, and nothing of it has changed.
   Rule: Descriptors. */

#include "filter.h"
#include "inside.h"

#include <fcntl.h>
#include <sys/syscall.h>

struct adoption {
    iouringnet_net *net;
    iouringnet_address address;
    int fds[2], listening;
    iouringnet_sink *sink;
    iouringnet_stream *stream;
    iouringnet_listener *listener;
};

static void adoption_begin(struct adoption *a) {
    a->net = net_of_mode();
    raw_pair(a->fds);
    a->listening = raw_listen(&a->address);
}

static void refused(struct adoption *a, iouringnet_status want) {
    a->sink = (iouringnet_sink *)a;
    a->stream = (iouringnet_stream *)a;
    a->listener = (iouringnet_listener *)a;
    CHECK_STATUS(connection_adopt(a->net, a->fds[0], &a->sink, &a->stream), want);
    CHECK_STATUS(listener_adopt(a->net, a->listening, NULL, &a->listener), want);
    CHECK(a->sink == (void *)a && a->stream == (void *)a && a->listener == (void *)a);
}

static void is_as_it_was(int fd) {
    CHECK_EQ(fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
    CHECK_EQ(socket_option(fd, SOL_SOCKET, SO_OOBINLINE), 0);
    CHECK_EQ(socket_option(fd, IPPROTO_TCP, TCP_NODELAY), 0); /* the config's is on */
}

/* the caller goes on with both sockets; afterwards the library takes them */
static void goes_on_and_is_adopted(struct adoption *a) {
    char got[5];
    int peer, own;

    is_as_it_was(a->fds[0]);
    is_as_it_was(a->listening);
    EVENTUALLY(stats_of(a->net).listeners == 0);
    CHECK_EQ(stats_of(a->net).connections, 0);
    raw_send(a->fds[0], "hello", 5);
    raw_recv(a->fds[1], got, 5);
    raw_send(a->fds[1], "world", 5);
    raw_recv(a->fds[0], got, 5);
    peer = raw_dial(a->address.text);
    own = raw_accept(a->listening);
    raw_close(own);
    raw_close(peer);

    CHECK_OK(connection_adopt(a->net, a->fds[0], &a->sink, &a->stream));
    CHECK_OK(listener_adopt(a->net, a->listening, NULL, &a->listener));
    CHECK_OK(sink_send(a->sink, "again", 5, NULL));
    raw_recv(a->fds[1], got, 5);
    CHECK_MEM(got, "again", 5);
    connection_close(a->sink, a->stream);
    raw_close(a->fds[1]);
    CHECK_OK(net_stop(a->net));
}

static void *adopts_without_options(void *user) {
    refuse_call(SYS_setsockopt, EPERM, THIS_THREAD);
    refused(user, -EPERM);
    return NULL;
}

TEST(a_socket_whose_options_cannot_be_set_stays_as_it_is) {
    struct adoption a;

    adoption_begin(&a);
    join(spawn(adopts_without_options, &a));
    goes_on_and_is_adopted(&a);
}

/* ---- no handle is left ---- */

#ifndef __SANITIZE_ADDRESS__
/* The table of handles has room for HANDLES, and then needs memory for as many again, which is more than MEMORY. */
enum { HANDLES = 64 * ((1 << 12) - 1), MEMORY = 4 << 20 };

/* Takes all handles that there are; returns how many. */
static int take_handles(iouringnet_buffer **buffers, struct rlimit *before) {
    iouringnet_status status = 0;
    int count = 0;

    while (count < HANDLES - 1000)
        CHECK_OK(iouringnet_buffer_make(NULL, 0, &buffers[count++]));
    *before = limit_memory(MEMORY);
    while (count < HANDLES && (status = iouringnet_buffer_make(NULL, 0, &buffers[count])) == 0)
        count++;
    CHECK_STATUS(status, IOURINGNET_LIMIT);
    return count;
}

static void never_freed(void *user, void *data, size_t size) {
    (void)user, (void)data, (void)size;
    CHECK(false && "the caller owns the memory");
}
#endif

/* once */ TEST(without_a_handle_the_caller_keeps_what_it_has) {
#ifdef __SANITIZE_ADDRESS__
    SKIP("the sanitizer's allocator ends a process that is out of memory");
#else
    iouringnet_buffer **buffers = take(HANDLES * sizeof *buffers), *made = (iouringnet_buffer *)buffers;
    static char memory[4096];
    struct adoption a;
    struct rlimit before;
    int count;

    adoption_begin(&a);
    count = take_handles(buffers, &before);
    refused(&a, IOURINGNET_LIMIT);
    CHECK_STATUS(iouringnet_buffer_adopt(memory, sizeof memory, never_freed, NULL, &made), IOURINGNET_LIMIT);
    CHECK_STATUS(iouringnet_buffer_slice(buffers[0], 0, 0, &made), IOURINGNET_LIMIT);
    CHECK(made == (iouringnet_buffer *)buffers);
    /* one handle is free, and a connection needs two */
    iouringnet_buffer_release(buffers[--count]);
    CHECK_STATUS(connection_adopt(a.net, a.fds[0], &a.sink, &a.stream), IOURINGNET_LIMIT);
    CHECK_OK(iouringnet_buffer_make(NULL, 0, &buffers[count++]));
    CHECK_EQ(setrlimit(RLIMIT_AS, &before), 0);
    while (count > 0)
        iouringnet_buffer_release(buffers[--count]);
    free(buffers);
    goes_on_and_is_adopted(&a);
#endif
}
