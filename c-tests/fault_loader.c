/* Programs that use the library where the dynamic loader's lock is held, as in the constructor of a library that
   dlopen loads: nothing there may wait for a thread that waits for that lock.
   Promise 2. */

#include "support.h"

#include <dlfcn.h>

#define VARIABLE "IOURINGNET_TEST_CONSTRUCTOR"

/* sends back what it receives, to one connection after the other */
static void *echo_run(void *user) {
    int listener = *(int *)user;

    for (;;) {
        int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        char bytes[64];
        ssize_t got;

        if (fd < 0) {
            CHECK(errno == EINTR || errno == EAGAIN); /* a leak checker interrupts it at the end */
            continue;
        }
        while ((got = recv(fd, bytes, sizeof bytes, 0)) > 0)
            raw_send(fd, bytes, (size_t)got);
        raw_close(fd);
    }
    return NULL;
}

/* starts an echo server, and tells the constructor of it */
static void prepare(const char *way, const char *host) {
    static int listener;
    iouringnet_address address;
    char wanted[100];

    need_engine();
    listener = raw_listen(&address);
    CHECK_EQ(pthread_detach(spawn(echo_run, &listener)), 0);
    snprintf(wanted, sizeof wanted, "%s%s%s", way, host, strrchr(address.text, ':'));
    CHECK_EQ(setenv(VARIABLE, wanted, 1), 0);
}

static void *load(void) {
    void *loaded = dlopen(CONSTRUCTOR_LIBRARY, RTLD_NOW);
    iouringnet_status *status;
    int *line;

    if (!loaded)
        fprintf(stderr, "%s\n", dlerror());
    CHECK(loaded != NULL);
    line = dlsym(loaded, "constructor_failed_in_line");
    status = dlsym(loaded, "constructor_status");
    CHECK(line && status);
    CHECK_OK(*status);
    CHECK_EQ(*line, 0);
    return loaded;
}

/* the same in a program that has the library only by way of what it loads */
static void load_in_a_stranger(void) {
    pid_t pid = fork();

    CHECK(pid >= 0);
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        alarm(WAIT_MS / 1000);
        execl(PLUGIN_HOST, "plugin_host", CONSTRUCTOR_LIBRARY, (char *)NULL);
        _exit(126);
    }
    CHECK_EQ(child_wait(pid), 0);
}

TEST(a_constructor_starts_a_net_and_waits) {
    prepare("w", "127.0.0.1");
    load();
    load_in_a_stranger();
}

TEST(a_constructor_starts_a_net_and_gets_callbacks) {
    prepare("c", "127.0.0.1");
    load();
    load_in_a_stranger();
}

/* getaddrinfo may need the loader itself: within the constructor nobody can wait for a name */
TEST(a_dial_by_name_begun_in_a_constructor_ends_after_it) {
    iouringnet_completion done;
    iouringnet_net **net;
    iouringnet_op **op;
    void *loaded;

    prepare("n", "localhost");
    loaded = load();
    net = dlsym(loaded, "constructor_net");
    op = dlsym(loaded, "constructor_op");
    CHECK(net && op);
    iouringnet_completion_init(&done);
    CHECK_OK(op_finish(*op, &done));
    sink_close(done.sink);
    stream_close(done.stream);
    CHECK_OK(net_stop(*net));
}

/* ---- what would wait for the lock ---- */

static atomic_int registered;

/* What registers the destructor of a thread-local, and takes the loader's lock for it. The linker finds this one first. */
int __cxa_thread_atexit_impl(void (*destructor)(void *), void *object, void *library);
int __cxa_thread_atexit_impl(void (*destructor)(void *), void *object, void *library) {
    int (*real)(void (*)(void *), void *, void *) = NULL;
    void *found = dlsym(RTLD_NEXT, "__cxa_thread_atexit_impl");
    char name[17] = "";

    memcpy(&real, &found, sizeof real);
    prctl(PR_GET_NAME, name);
    if (strcmp(name, "iouringnet-send") == 0 || strcmp(name, "iouringnet-recv") == 0)
        CHECK(!"a loop's thread has no thread-local with a destructor");
    atomic_fetch_add(&registered, 1);
    return real(destructor, object, library);
}

enum { CLIENTS = 8, ROUNDS = 300, SIZE = 20000 };

static void ignore_line(void *user, int32_t level, const char *text) {
    (void)user, (void)level, (void)text;
}

static size_t send_back(void *user, iouringnet_status status, const void *data, size_t size) {
    iouringnet_sink *sink = user;

    if (status != 0)
        sink_close(sink);
    else if (sink_post(sink, data, size) != 0)
        connection_abort(sink, NULL);
    return size / 2 < 3000 ? size : size - 3000; /* some of it is kept now and then */
}

static void serve(void *user, const iouringnet_completion *done) {
    (void)user;
    if (done->status == 0) {
        CHECK_OK(watch_data(done->stream, send_back, done->sink));
        CHECK_OK(sink_set_timeout(done->sink, WAIT_MS));
    }
}

static void *talk(void *user) {
    const struct pair *p = user;
    char *data = take(SIZE);

    memset(data, 1, SIZE);
    for (int i = 0; i < ROUNDS; i++) {
        CHECK_OK(sink_send_async(p->a.sink, data, SIZE / 100, ignore_completion, NULL, NULL));
        CHECK_OK(net_call(p->a.net, 1, ignore_completion, NULL, NULL));
    }
    CHECK_OK(sink_flush(p->a.sink));
    for (int left = ROUNDS; left > 0; left--)
        CHECK_OK(stream_recv(p->b.stream, data, SIZE / 100, NULL));
    free(data);
    return NULL;
}

TEST(a_loops_thread_registers_no_destructor_of_a_thread_local) {
    iouringnet_config config = config_of_mode();
    iouringnet_net *net;
    iouringnet_listener *listener;
    iouringnet_address address;
    pthread_t threads[CLIENTS];
    struct pair p;
    char *data = take(SIZE);

    config.log = ignore_line;
    config.log_level = IOURINGNET_LOG_TRACE;
    net = net_with(&config);
    p = tcp_pair_in(net, net);
    /* contended locks: several threads and both loops at one connection */
    for (int i = 0; i < CLIENTS; i++)
        threads[i] = spawn(talk, &p);
    for (int i = 0; i < CLIENTS; i++)
        join(threads[i]);
    pair_close(&p);
    /* callbacks that send, and bytes that they keep */
    listener = bind_loopback(net, &address);
    CHECK_OK(listener_watch(listener, serve, NULL));
    for (int i = 0; i < CLIENTS; i++) {
        int fd = raw_dial(address.text);

        memset(data, i, SIZE);
        raw_send(fd, data, SIZE);
        raw_half_close(fd);
        while (recv(fd, data, SIZE, 0) > 0)
            continue;
        raw_close(fd);
    }
    listener_close(listener);
    CHECK_OK(net_stop(net));
    CHECK(registered > 0); /* this thread's own: the function above is the one that is called */
    free(data);
}
