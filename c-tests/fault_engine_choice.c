/* Which engine a net gets. The library chooses epoll where the system refuses io_uring, and says so. What a program demands it
   gets, or an error. Each case is a process of its own, in which the library was never used before; each sets the engine
   itself, so one mode is enough.

   This program defines syscall itself, so the library's calls come here.
   Promise 14. */

#include "inside.h"
#include "own_syscall.h"

#include <grp.h>
#include <sched.h>
#include <sys/mount.h>

/* from this call of io_uring_setup on, the first is 1, each fails with that errno; 0: none fails */
static atomic_int setups, first_refused, refusal;

static bool fails(long number) {
    if (number != SYS_io_uring_setup || atomic_load(&first_refused) == 0 ||
        atomic_fetch_add(&setups, 1) + 1 < atomic_load(&first_refused))
        return false;
    errno = atomic_load(&refusal);
    return true;
}

/* ---- what a net says of its engine ---- */

struct warnings {
    atomic_int count;
    char text[512]; /* the last one; valid once the net has stopped */
};

static void keep_warning(void *user, int32_t level, const char *text) {
    struct warnings *warnings = user;

    if (level != IOURINGNET_LOG_WARN)
        return;
    atomic_fetch_add(&warnings->count, 1);
    snprintf(warnings->text, sizeof warnings->text, "%s", text);
}

static iouringnet_config config_with(uint32_t engine, struct warnings *warnings) {
    iouringnet_config config;

    iouringnet_config_init(&config);
    config.engine = engine;
    config.log = keep_warning;
    config.log_user = warnings;
    return config;
}

/* by the kernel's word: whether a loop of this process has a ring */
static bool has_ring(void) {
    for (int fd = 3; fd < 64; fd++) {
        char path[64], target[64] = "";

        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        if (readlink(path, target, sizeof target - 1) > 0 && strcmp(target, "anon_inode:[io_uring]") == 0)
            return true;
    }
    return false;
}

static void echo_once(iouringnet_net *net) {
    struct pair p = tcp_pair_in(net, net);
    char got[4];

    CHECK_OK(sink_send(p.a.sink, "ping", 4, NULL));
    CHECK_OK(stream_recv(p.b.stream, got, 4, NULL));
    CHECK_MEM(got, "ping", 4);
    pair_close(&p);
}

/* the net that the library chooses works over this engine, and each loop has it; `reason` is in its one warning, or NULL */
static void chooses(uint32_t engine, const char *reason) {
    struct warnings warnings = {0, ""};
    iouringnet_config config = config_with(0, &warnings);
    iouringnet_net *net = NULL;

    CHECK_OK(net_start(&config, &net));
    CHECK_EQ(stats_of(net).engine, engine);
    CHECK_EQ(has_ring(), engine == IOURINGNET_ENGINE_IO_URING);
    echo_once(net);
    CHECK_OK(net_stop(net));
    CHECK_EQ(warnings.count, reason != NULL);
    if (reason != NULL)
        fprintf(stderr, "the log says: %s\n", warnings.text);
    CHECK(reason == NULL || strcasestr(warnings.text, reason) != NULL);
}

static void demanded_ring_gives(iouringnet_status status) {
    struct warnings warnings = {0, ""};
    iouringnet_config config = config_with(IOURINGNET_ENGINE_IO_URING, &warnings);
    iouringnet_net *none = (iouringnet_net *)&none, *net = none;

    CHECK_STATUS(net_start(&config, &net), status);
    CHECK(net == none);
    CHECK_EQ(warnings.count, 0);
}

static iouringnet_probe_result probed(void) {
    iouringnet_probe_result probe;

    iouringnet_probe_result_init(&probe);
    CHECK_OK(iouringnet_probe(&probe));
    fprintf(stderr, "the probe says: %s\n", probe.text);
    return probe;
}

/* all that holds where io_uring is refused with `error` */
static void io_uring_is_replaced(int error, const char *reason, iouringnet_status demanded) {
    struct footprint before = footprint();
    iouringnet_probe_result probe;

    chooses(IOURINGNET_ENGINE_EPOLL, reason);
    demanded_ring_gives(demanded);
    probe = probed();
    CHECK_OK(probe.status);
    CHECK_EQ(probe.engine, IOURINGNET_ENGINE_EPOLL);
    CHECK_EQ(probe.error, error);
    CHECK_EQ(probe.features, 0);
    CHECK(strcasestr(probe.text, reason) != NULL);
    footprint_returns(before);
}

/* in a part: no environment variable chooses */
static bool is_the_part(const char *test) {
    if (!rest_is_a_part(test))
        return false;
    CHECK_EQ(unsetenv("IOURINGNET_ENGINE"), 0);
    return true;
}

/* ---- io_uring is refused ---- */

static void setup_is_refused_with(int error, const char *reason) {
    refuse_call(SYS_io_uring_setup, error, THIS_THREAD);
    io_uring_is_replaced(error, reason, IOURINGNET_UNAVAILABLE);
}

/* once */ TEST(epoll_replaces_an_io_uring_that_a_filter_refuses) {
    if (is_the_part(__func__))
        setup_is_refused_with(EPERM, "seccomp");
}

/* once */ TEST(epoll_replaces_an_io_uring_to_which_access_is_denied) {
    if (is_the_part(__func__))
        setup_is_refused_with(EACCES, "seccomp");
}

/* once */ TEST(epoll_replaces_an_io_uring_that_the_kernel_does_not_know) {
    if (is_the_part(__func__))
        setup_is_refused_with(ENOSYS, "kernel");
}

/* once */ TEST(epoll_replaces_an_io_uring_that_is_too_old) {
    if (is_the_part(__func__))
        setup_is_refused_with(EINVAL, "EINVAL");
}

/* once */ TEST(epoll_replaces_an_io_uring_without_locked_memory) {
    struct rlimit limit;

    if (!is_the_part(__func__))
        return;
    CHECK_EQ(getrlimit(RLIMIT_MEMLOCK, &limit), 0);
    if (limit.rlim_cur == RLIM_INFINITY)
        limit.rlim_cur = 1 << 20;
    CHECK_EQ(setrlimit(RLIMIT_MEMLOCK, &limit), 0);
    refuse_call(SYS_io_uring_setup, ENOMEM, THIS_THREAD);
    io_uring_is_replaced(ENOMEM, "RLIMIT_MEMLOCK", IOURINGNET_LOCKED_MEMORY);
}

/* once */ TEST(epoll_replaces_an_io_uring_that_can_be_set_up_and_not_entered) {
    if (!is_the_part(__func__))
        return;
    need_engine();
    refuse_call(SYS_io_uring_enter, EPERM, THIS_THREAD);
    io_uring_is_replaced(EPERM, "seccomp", IOURINGNET_UNAVAILABLE);
}

/* Both loops of a net have one engine. */
/* once */ TEST(epoll_replaces_both_rings_where_the_second_is_refused) {
    if (!is_the_part(__func__))
        return;
    need_engine();
    chooses(IOURINGNET_ENGINE_IO_URING, NULL);
    atomic_store(&refusal, EPERM);
    atomic_store(&first_refused, 2);
    chooses(IOURINGNET_ENGINE_EPOLL, "io_uring");
    CHECK_EQ(setups, 2);
}

/* epoll needs them too */
/* once */ TEST(a_shortage_of_what_every_engine_needs_is_an_error) {
    static const int errors[] = {EMFILE, ENFILE, EAGAIN};
    iouringnet_config config;
    iouringnet_net *net;

    if (!is_the_part(__func__))
        return;
    iouringnet_config_init(&config);
    atomic_store(&first_refused, 1);
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++) {
        atomic_store(&refusal, errors[i]);
        CHECK_STATUS(net_start(&config, &net), -errors[i]);
    }
}

/* ---- the sysctl kernel.io_uring_disabled ---- */

/* Imitated, because the sysctl is the whole system's: a file in its place for this process alone, and a filter that answers as
   the kernel then does. */
static void io_uring_is_disabled(const char *value, const char *reason) {
    char path[] = "/tmp/iouringnet-disabled-XXXXXX";
    int fd;

    if (geteuid() != 0 || unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0)
        SKIP("this process may not mount");
    fd = mkstemp(path);
    CHECK(fd >= 0);
    CHECK_EQ(write(fd, value, strlen(value)), strlen(value));
    close(fd);
    if (mount(path, "/proc/sys/kernel/io_uring_disabled", NULL, MS_BIND, NULL) != 0) {
        CHECK_EQ(unlink(path), 0);
        SKIP("this kernel has no sysctl kernel.io_uring_disabled, or lets nothing be mounted there");
    }
    CHECK_EQ(unlink(path), 0);
    setup_is_refused_with(EPERM, reason);
}

/* once */ TEST(epoll_replaces_an_io_uring_that_is_switched_off_for_everyone) {
    if (is_the_part(__func__))
        io_uring_is_disabled("2\n", "io_uring_disabled is 2");
}

/* once */ TEST(epoll_replaces_an_io_uring_that_is_kept_to_privileged_processes) {
    if (is_the_part(__func__))
        io_uring_is_disabled("1\n", "io_uring_disabled is 1");
}

/* ---- no memory may be locked ---- */

/* once */ TEST(a_user_who_may_lock_no_memory_has_a_net) {
    struct rlimit limit = {0, 0};
    uid_t user = (uid_t)(1000000 + getpid());
    uint32_t engine = IOURINGNET_ENGINE_IO_URING;
    iouringnet_config config;
    iouringnet_net *net;

    if (!is_the_part(__func__))
        return;
    need_engine();
    if (geteuid() != 0)
        SKIP("only root can become a user that nobody else is");
    CHECK_EQ(setrlimit(RLIMIT_MEMLOCK, &limit), 0);
    if (setgroups(0, NULL) != 0 || setresgid(user, user, user) != 0 || setresuid(user, user, user) != 0)
        SKIP("this container has no users to spare");
    prctl(PR_SET_DUMPABLE, 1); /* its own /proc is readable for this user again */
    iouringnet_config_init(&config);
    config.engine = IOURINGNET_ENGINE_IO_URING;
    if (net_start(&config, &net) == IOURINGNET_LOCKED_MEMORY)
        engine = IOURINGNET_ENGINE_EPOLL;
    else
        CHECK_OK(net_stop(net)); /* this kernel does not count rings as locked memory */
    chooses(engine, engine == IOURINGNET_ENGINE_EPOLL ? "RLIMIT_MEMLOCK" : NULL);
}

/* ---- epoll is demanded ---- */

/* from now on the process ends at any call of io_uring, as Android's filter has it */
static void io_uring_kills(void) {
    static const long calls[] = {SYS_io_uring_setup, SYS_io_uring_enter, SYS_io_uring_register};

    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        struct filter filter = {calls[i], SECCOMP_RET_KILL_PROCESS, ALWAYS, 0, 0};

        if (!filter_install(&filter, EVERY_THREAD))
            SKIP("no seccomp filter can be installed here");
    }
}

/* once */ TEST(a_program_that_demands_epoll_makes_no_call_of_io_uring) {
    struct warnings warnings = {0, ""};
    iouringnet_config config = config_with(IOURINGNET_ENGINE_EPOLL, &warnings);
    iouringnet_net *net;

    if (!is_the_part(__func__))
        return;
    io_uring_kills();
    CHECK_OK(net_start(&config, &net));
    CHECK_EQ(stats_of(net).engine, IOURINGNET_ENGINE_EPOLL);
    echo_once(net);
    CHECK_OK(net_stop(net));
    CHECK_EQ(warnings.count, 0);
}

/* once */ TEST(an_environment_that_names_epoll_makes_no_call_of_io_uring) {
    iouringnet_probe_result probe;

    if (!is_the_part(__func__))
        return;
    CHECK_EQ(setenv("IOURINGNET_ENGINE", "epoll", 1), 0);
    io_uring_kills();
    probe = probed();
    CHECK_OK(probe.status);
    CHECK_EQ(probe.error, 0);
    CHECK_EQ(probe.engine, IOURINGNET_ENGINE_EPOLL);
    chooses(IOURINGNET_ENGINE_EPOLL, NULL);
}

/* ---- the environment variable ---- */

static uint64_t engine_of(uint32_t demanded) {
    struct warnings warnings = {0, ""};
    iouringnet_config config = config_with(demanded, &warnings);
    iouringnet_net *net;
    uint64_t engine;

    CHECK_OK(net_start(&config, &net));
    engine = stats_of(net).engine;
    CHECK_OK(net_stop(net));
    CHECK_EQ(warnings.count, 0);
    return engine;
}

/* once */ TEST(the_environment_decides_where_the_program_does_not) {
    static const struct {
        const char *environment;
        uint32_t demanded, engine;
    } cases[] = {
        {"epoll", 0, IOURINGNET_ENGINE_EPOLL},
        {"io_uring", 0, IOURINGNET_ENGINE_IO_URING},
        {"auto", 0, IOURINGNET_ENGINE_IO_URING},
        {"", 0, IOURINGNET_ENGINE_IO_URING},
        {"epoll", IOURINGNET_ENGINE_IO_URING, IOURINGNET_ENGINE_IO_URING},
        {"io_uring", IOURINGNET_ENGINE_EPOLL, IOURINGNET_ENGINE_EPOLL},
    };

    if (!is_the_part(__func__))
        return;
    need_engine();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        CHECK_EQ(setenv("IOURINGNET_ENGINE", cases[i].environment, 1), 0);
        CHECK_EQ(engine_of(cases[i].demanded), cases[i].engine);
    }
}

/* once */ TEST(an_environment_that_names_io_uring_demands_it) {
    iouringnet_config config;
    iouringnet_net *net;

    if (!is_the_part(__func__))
        return;
    CHECK_EQ(setenv("IOURINGNET_ENGINE", "io_uring", 1), 0);
    refuse_call(SYS_io_uring_setup, EPERM, THIS_THREAD);
    iouringnet_config_init(&config);
    CHECK_STATUS(net_start(&config, &net), IOURINGNET_UNAVAILABLE);
    CHECK_STATUS(probed().status, IOURINGNET_UNAVAILABLE);
    CHECK_EQ(probed().engine, 0);
}

/* ---- an epoll of old kernels and old filters ---- */

/* a timer comes in time, and never early, where the kernel takes whole milliseconds */
static void timers_without_fine_waits(int error) {
    iouringnet_net *net;
    iouringnet_config config;

    iouringnet_config_init(&config);
    config.engine = IOURINGNET_ENGINE_EPOLL;
    refuse_call(SYS_epoll_pwait2, error, THIS_THREAD);
    CHECK_OK(net_start(&config, &net));
    for (int i = 0; i < 20; i++) {
        struct result timer = RESULT;
        int64_t began = now_us();

        CHECK_OK(net_call(net, 7, result_store, &timer, NULL));
        CHECK_OK(result_wait(&timer));
        CHECK_BETWEEN(now_us() - began, 7000, WAIT_MS * 1000);
    }
    echo_once(net);
    CHECK_OK(net_stop(net));
}

/* once */ TEST(timers_are_kept_where_a_filter_refuses_fine_waits) {
    if (is_the_part(__func__))
        timers_without_fine_waits(EPERM);
}

/* once */ TEST(timers_are_kept_where_the_kernel_knows_no_fine_waits) {
    if (is_the_part(__func__))
        timers_without_fine_waits(ENOSYS);
}

/* once */ TEST(an_epoll_that_may_not_wait_is_an_error) {
    iouringnet_config config;
    iouringnet_net *none = (iouringnet_net *)&none, *net = none;

    if (!is_the_part(__func__))
        return;
    iouringnet_config_init(&config);
    config.engine = IOURINGNET_ENGINE_EPOLL;
    CHECK_EQ(setenv("IOURINGNET_ENGINE", "epoll", 1), 0);
    refuse_waits(EPERM, THIS_THREAD);
    CHECK_STATUS(net_start(&config, &net), -EPERM);
    CHECK(net == none);
}
