/* The harness of the C tests: runs the one test that the argument names, under a watchdog.
   Invariant: no wait in here is without a bound, and a failure anywhere ends the process at once, so
   that the first thing that went wrong is the last line printed. */

#include "harness.h"

#include <dirent.h>
#include <signal.h>
#include <sys/syscall.h>
#include <time.h>

/* ---- checks ---- */

/* where the last check stood; the watchdog prints it. Text and line may belong to two checks of two
   threads, which is good enough for a hint. */
static _Atomic(const char *) last_text = "the start";
static atomic_int last_line;

static void here(const char *text, int line) {
    atomic_store_explicit(&last_text, text, memory_order_relaxed);
    atomic_store_explicit(&last_line, line, memory_order_relaxed);
}

/* _exit, not exit: other threads are still running, and nothing may be torn down under them */
_Noreturn static void fail(void) {
    fflush(stderr);
    _exit(1);
}

void check_true(bool holds, const char *text, const char *file, int line) {
    here(text, line);
    if (holds)
        return;
    fprintf(stderr, "%s:%d: does not hold: %s\n", file, line, text);
    fail();
}

void check_status(iouringnet_status got, iouringnet_status want, const char *text, const char *file, int line) {
    here(text, line);
    if (got == want)
        return;
    fprintf(stderr, "%s:%d: %s\n    gave %s (%d), wanted %s (%d)\n", file, line, text, iouringnet_errname(got),
            (int)got, iouringnet_errname(want), (int)want);
    fail();
}

void check_eq(intmax_t got, intmax_t want, const char *text, const char *file, int line) {
    here(text, line);
    if (got == want)
        return;
    fprintf(stderr, "%s:%d: %s\n    is %jd, wanted %jd\n", file, line, text, got, want);
    fail();
}

void check_between(intmax_t got, intmax_t low, intmax_t high, const char *text, const char *file, int line) {
    here(text, line);
    if (low <= got && got <= high)
        return;
    fprintf(stderr, "%s:%d: %s\n    is %jd, wanted %jd to %jd\n", file, line, text, got, low, high);
    fail();
}

void check_mem(const void *got, const void *want, size_t size, const char *text, const char *file, int line) {
    const unsigned char *g = got, *w = want;
    here(text, line);
    if (memcmp(got, want, size) == 0)
        return;
    for (size_t i = 0; i < size; i++) {
        if (g[i] != w[i]) {
            fprintf(stderr, "%s:%d: %s\n    differs at byte %zu of %zu: %02x, wanted %02x\n", file, line, text, i, size,
                    g[i], w[i]);
            break;
        }
    }
    fail();
}

_Noreturn void skip(const char *why, const char *file, int line) {
    fprintf(stderr, "%s:%d: skipped: %s\n", file, line, why);
    fflush(stderr);
    _exit(77);
}

/* ---- registration, watchdog, main ---- */

static struct test *tests;
static const char *running = "";

void test_register(struct test *test) {
    test->next = tests;
    tests = test;
}

/* calls only what is safe in a signal handler */
static void say(const char *text) {
    if (write(STDERR_FILENO, text, strlen(text)) < 0)
        _exit(1);
}

static void on_alarm(int signal) {
    char digits[12];
    int at = sizeof digits - 1;
    int line = atomic_load_explicit(&last_line, memory_order_relaxed);

    (void)signal;
    digits[at] = 0;
    do {
        digits[--at] = (char)('0' + line % 10);
        line /= 10;
    } while (line > 0 && at > 0);
    say("watchdog: ");
    say(running);
    say(" did not end in time; its last check was at line ");
    say(digits + at);
    say(": ");
    say(atomic_load_explicit(&last_text, memory_order_relaxed));
    say("\n");
    /* a core shows where every thread stands, where cores are wanted */
    abort();
}

int64_t patient(int64_t ms) {
    /* sanitizers, emulators and old machines slow a test down; their runs ask for longer spans */
    const char *factor = getenv("IOURINGNET_TEST_PATIENCE");
    return factor && atoi(factor) > 0 ? ms * atoi(factor) : ms;
}

void watchdog(unsigned seconds) {
    alarm((unsigned)patient(seconds));
}

bool rings_only(void) {
    const char *mode = getenv("IOURINGNET_TEST_FIRST_TRY");
    return mode && strcmp(mode, "off") == 0;
}

bool over_epoll(void) {
    const char *engine = getenv("IOURINGNET_ENGINE");
    return engine && strcmp(engine, "epoll") == 0;
}

int main(int count, char **arguments) {
    struct sigaction action;

    if (count != 2) {
        fprintf(stderr, "usage: %s TEST\n", arguments[0]);
        for (struct test *test = tests; test; test = test->next)
            fprintf(stderr, "    %s\n", test->name);
        return 2;
    }
    memset(&action, 0, sizeof action);
    action.sa_handler = on_alarm;
    sigaction(SIGALRM, &action, NULL);
    for (struct test *test = tests; test; test = test->next) {
        if (strcmp(test->name, arguments[1]) != 0)
            continue;
        running = test->name;
        setenv("IOURINGNET_SENDS", "entries", 0); /* also where calls are cheap */
        watchdog(60);
        test->run();
        return 0;
    }
    fprintf(stderr, "%s: no test %s\n", arguments[0], arguments[1]);
    return 2;
}

/* ---- time, memory, threads ---- */

int64_t now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int64_t now_us(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

void nap(void) {
    struct timespec span = {0, 1000000};
    nanosleep(&span, NULL);
}

void pass_until(int64_t moment) {
    struct timespec at = {moment / 1000, moment % 1000 * 1000000};

    while (now_ms() < moment)
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL);
}

void pass(int64_t ms) {
    pass_until(now_ms() + ms);
}

void *take(size_t size) {
    void *memory = malloc(size ? size : 1);
    CHECK(memory != NULL);
    return memory;
}

/* a 32-bit mix of the place of each 4-byte word; cheap enough for hundreds of megabytes */
static uint32_t word_at(uint64_t index, uint32_t seed) {
    uint32_t x = (uint32_t)index * 2654435761u ^ (uint32_t)(index >> 32) ^ seed * 40503u;
    return x ^ (x >> 15);
}

static unsigned char byte_at(uint64_t offset, uint32_t seed) {
    return (unsigned char)(word_at(offset / 4, seed) >> (offset % 4 * 8));
}

void pattern_fill(void *into, size_t size, uint64_t offset, uint32_t seed) {
    unsigned char *bytes = into;
    for (size_t i = 0; i < size; i++)
        bytes[i] = byte_at(offset + i, seed);
}

void pattern_check(const void *got, size_t size, uint64_t offset, uint32_t seed) {
    const unsigned char *bytes = got;
    for (size_t i = 0; i < size; i++) {
        if (bytes[i] != byte_at(offset + i, seed)) {
            fprintf(stderr, "pattern %u differs at byte %ju: %02x, wanted %02x\n", seed, (uintmax_t)(offset + i),
                    bytes[i], byte_at(offset + i, seed));
            CHECK(!"the pattern arrives as it was sent");
        }
    }
}

pthread_t spawn(void *(*run)(void *), void *user) {
    pthread_t thread;
    CHECK_EQ(pthread_create(&thread, NULL, run, user), 0);
    return thread;
}

static struct timespec deadline_in(int64_t ms) {
    struct timespec at;
    clock_gettime(CLOCK_REALTIME, &at);
    at.tv_sec += ms / 1000;
    at.tv_nsec += ms % 1000 * 1000000;
    if (at.tv_nsec >= 1000000000) {
        at.tv_sec += 1;
        at.tv_nsec -= 1000000000;
    }
    return at;
}

void join(pthread_t thread) {
    struct timespec end = deadline_in(WAIT_MS);
    CHECK_EQ(pthread_timedjoin_np(thread, NULL, &end), 0);
}

size_t count_entries(const char *directory) {
    size_t count = 0;
    struct dirent *entry;
    DIR *open = opendir(directory);

    CHECK(open != NULL);
    while ((entry = readdir(open)))
        count += entry->d_name[0] != '.';
    closedir(open);
    return count;
}

void latch_init(struct latch *latch, int times) {
    pthread_mutex_init(&latch->mutex, NULL);
    pthread_cond_init(&latch->changed, NULL);
    latch->left = times;
}

void latch_reset(struct latch *latch, int times) {
    /* not latch_init: the thread that opened it may still be inside its unlock */
    pthread_mutex_lock(&latch->mutex);
    latch->left = times;
    pthread_mutex_unlock(&latch->mutex);
}

void latch_open(struct latch *latch) {
    pthread_mutex_lock(&latch->mutex);
    latch->left -= 1;
    /* under the mutex: the waiter may free the latch as soon as it has it */
    if (latch->left <= 0)
        pthread_cond_broadcast(&latch->changed);
    pthread_mutex_unlock(&latch->mutex);
}

bool latch_wait_ms(struct latch *latch, int64_t ms) {
    struct timespec end = deadline_in(ms);
    int outcome = 0;
    bool open;

    pthread_mutex_lock(&latch->mutex);
    while (latch->left > 0 && outcome == 0)
        outcome = pthread_cond_timedwait(&latch->changed, &latch->mutex, &end);
    open = latch->left <= 0;
    pthread_mutex_unlock(&latch->mutex);
    return open;
}

void latch_wait(struct latch *latch) {
    check_true(latch_wait_ms(latch, WAIT_MS), "a latch opens in time", __FILE__, atomic_load(&last_line));
}

int latch_left(struct latch *latch) {
    int left;
    pthread_mutex_lock(&latch->mutex);
    left = latch->left;
    pthread_mutex_unlock(&latch->mutex);
    return left;
}

void result_init(struct result *result) {
    memset(result, 0, sizeof *result);
    latch_init(&result->latch, 1);
}

void result_store(void *user, const iouringnet_completion *done) {
    struct result *result = user;
    if (atomic_fetch_add(&result->calls, 1) == 0) {
        result->thread = pthread_self();
        result->done = *done;
    }
    latch_open(&result->latch);
}

iouringnet_status result_wait(struct result *result) {
    latch_wait(&result->latch);
    return result->done.status;
}

iouringnet_status watch_data(iouringnet_stream *stream, iouringnet_data_callback data, void *user) {
    iouringnet_connection_callbacks callbacks = {sizeof callbacks, data, NULL, NULL};

    return connection_watch(NULL, stream, &callbacks, user);
}

iouringnet_status watch_sink(iouringnet_sink *sink, iouringnet_status_callback room, iouringnet_status_callback end,
                             void *user) {
    iouringnet_connection_callbacks callbacks = {sizeof callbacks, NULL, room, end};

    return connection_watch(sink, NULL, &callbacks, user);
}

void never(void *user, const iouringnet_completion *done) {
    (void)user;
    fprintf(stderr, "a callback ran that must not, with %s\n", iouringnet_errname(done->status));
    CHECK(!"the callback of a refused call never runs");
}

iouringnet_status op_finish(iouringnet_op *op, iouringnet_completion *done) {
    iouringnet_completion own;

    iouringnet_completion_init(&own);
    CHECK_OK(op_wait(op, WAIT_MS, &own));
    CHECK_OK(op_release(op));
    if (done)
        *done = own;
    return own.status;
}

/* ---- nets ---- */

void need_engine(void) {
    /* no ring has no entries */
    if (!over_epoll() && syscall(SYS_io_uring_setup, 0, NULL) < 0 &&
        (errno == EPERM || errno == EACCES || errno == ENOSYS))
        SKIP("no io_uring here");
}

void about_io_uring(void) {
    if (over_epoll())
        SKIP("it is about io_uring");
}

void need_io_uring(void) {
    about_io_uring();
    need_engine();
}

iouringnet_config config_of_mode(void) {
    iouringnet_config config;

    iouringnet_config_init(&config);
    if (rings_only())
        config.first_try = IOURINGNET_OFF;
    /* the defaults, on an ordinary machine */
    config.dial_timeout_ms = patient(10000);
    config.shutdown_timeout_ms = patient(5000);
    return config;
}

iouringnet_net *net_with(const iouringnet_config *config) {
    iouringnet_net *net = NULL;
    iouringnet_status status = net_start(config, &net);

    if (status == IOURINGNET_UNAVAILABLE)
        SKIP("no io_uring here");
    CHECK_OK(status);
    return net;
}

iouringnet_net *net_of_mode(void) {
    iouringnet_config config = config_of_mode();
    return net_with(&config);
}

struct errand {
    void (*run)(void *user);
    void *user;
    struct latch latch;
};

static void errand_run(void *user, const iouringnet_completion *done) {
    struct errand *errand = user;
    CHECK_OK(done->status);
    errand->run(errand->user);
    latch_open(&errand->latch);
}

void on_callback_thread(iouringnet_net *net, void (*run)(void *user), void *user) {
    struct errand errand = {run, user, LATCH(1)};
    CHECK_OK(net_call(net, 0, errand_run, &errand, NULL));
    latch_wait(&errand.latch);
}

void busy_run(void *user, const iouringnet_completion *done) {
    struct busy *busy = user;
    CHECK_OK(done->status);
    latch_open(&busy->running);
    latch_wait(&busy->go);
}

void busy_begin(struct busy *busy, iouringnet_net *net) {
    CHECK_OK(net_call(net, 0, busy_run, busy, NULL));
    latch_wait(&busy->running);
}

void busy_end(struct busy *busy) {
    latch_open(&busy->go);
}

void settle(iouringnet_net *net) {
    /* something that must not happen has no event to wait for: two timers give it the time that
       hundreds of rounds take */
    for (int i = 0; i < 2; i++) {
        struct result timer = RESULT;
        CHECK_OK(net_call(net, 15, result_store, &timer, NULL));
        CHECK_OK(result_wait(&timer));
    }
}

iouringnet_listener *bind_loopback(iouringnet_net *net, iouringnet_address *address) {
    iouringnet_listener *listener;
    CHECK_OK(net_bind(net, "127.0.0.1:0", NULL, &listener));
    CHECK_OK(listener_address(listener, address));
    return listener;
}

/* ---- connected pairs ---- */

struct pair tcp_pair_in(iouringnet_net *dialling, iouringnet_net *accepting) {
    struct pair pair = {{dialling, NULL, NULL}, {accepting, NULL, NULL}, false};
    iouringnet_address address;
    iouringnet_listener *listener = bind_loopback(accepting, &address);

    CHECK_OK(net_dial(dialling, address.text, NULL, &pair.a.sink, &pair.a.stream));
    CHECK_OK(listener_accept(listener, &pair.b.sink, &pair.b.stream));
    listener_close(listener);
    return pair;
}

struct pair tcp_pair_with(const iouringnet_config *config) {
    iouringnet_net *net = net_with(config);
    struct pair pair = tcp_pair_in(net, net);
    pair.owns_nets = true;
    return pair;
}

struct pair tcp_pair(void) {
    iouringnet_config config = config_of_mode();
    return tcp_pair_with(&config);
}

struct pair tcp_pair_apart(void) {
    struct pair pair = tcp_pair_in(net_of_mode(), net_of_mode());
    pair.owns_nets = true;
    return pair;
}

void end_close(struct end *end) {
    sink_close(end->sink);
    stream_close(end->stream);
}

void pair_close(struct pair *pair) {
    end_close(&pair->a);
    end_close(&pair->b);
    if (!pair->owns_nets)
        return;
    CHECK_OK(net_stop(pair->a.net));
    if (pair->b.net != pair->a.net)
        CHECK_OK(net_stop(pair->b.net));
}
