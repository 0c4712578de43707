/* io_uring that is demanded and not to be had: net_start says UNAVAILABLE at once, and the probe names cause and remedy.
   Each case refuses it to a process of its own, which had not used the library before. The modes over io_uring demand it
   by the environment variable IOURINGNET_ENGINE.
   Promise 14. */

#include "support.h"

#include <grp.h>
#include <linux/io_uring.h>

/* ---- a sandbox that refuses ---- */

/* everything that must hold where the kernel refuses; gives the probe's result */
static iouringnet_probe_result check_unavailable(void) {
    iouringnet_net *none = (iouringnet_net *)&none, *net = none;
    struct footprint before = footprint();
    iouringnet_probe_result probe;
    iouringnet_config config = config_of_mode();

    for (int i = 0; i < 20; i++)
        CHECK_STATUS(net_start(&config, &net), IOURINGNET_UNAVAILABLE);
    CHECK(net == none);
    CHECK_STATUS(net_start(NULL, &net), IOURINGNET_UNAVAILABLE);
    iouringnet_probe_result_init(&probe);
    CHECK_OK(iouringnet_probe(&probe));
    CHECK_STATUS(probe.status, IOURINGNET_UNAVAILABLE);
    CHECK(strlen(probe.kernel) > 0);
    CHECK(strlen(probe.text) > 0 && memchr(probe.text, 0, sizeof probe.text) != NULL);
    fprintf(stderr, "the probe says: %s\n", probe.text);
    footprint_returns(before);
    return probe;
}

TEST(a_seccomp_filter_is_named) {
    iouringnet_probe_result probe;

    about_io_uring();
    if (!rest_is_a_part(__func__))
        return;
    refuse_call(SYS_io_uring_setup, EPERM, THIS_THREAD);
    probe = check_unavailable();
    CHECK_EQ(probe.error, EPERM);
    CHECK(strcasestr(probe.text, "seccomp") != NULL);
}

/* Some filters answer so. */
TEST(a_seccomp_filter_that_denies_access_is_named) {
    iouringnet_probe_result probe;

    about_io_uring();
    if (!rest_is_a_part(__func__))
        return;
    refuse_call(SYS_io_uring_setup, EACCES, THIS_THREAD);
    probe = check_unavailable();
    CHECK_EQ(probe.error, EACCES);
    CHECK(strcasestr(probe.text, "seccomp") != NULL);
}

#ifdef __GLIBC__
typedef __rlimit_resource_t resource_type;
#else
typedef int resource_type;
#endif

static bool locked_memory_is_unlimited;

/* The library's calls come here: not everybody may lift the limit. */
int getrlimit(resource_type resource, struct rlimit *limit) {
    if (resource == RLIMIT_MEMLOCK && locked_memory_is_unlimited) {
        limit->rlim_cur = limit->rlim_max = RLIM_INFINITY;
        return 0;
    }
    return (int)syscall(SYS_prlimit64, 0, resource, NULL, limit);
}

/* Only a limit on locked memory makes a shortage of memory one of locked memory. */
TEST(a_shortage_of_memory_is_one_of_locked_memory_where_that_is_limited) {
    struct rlimit limit;
    iouringnet_config config = config_of_mode();
    iouringnet_net *net;

    if (!rest_is_a_part(__func__))
        return;
    need_io_uring();
    CHECK_EQ(getrlimit(RLIMIT_MEMLOCK, &limit), 0);
    if (limit.rlim_max > 1 << 20)
        limit.rlim_cur = 1 << 20;
    CHECK_EQ(setrlimit(RLIMIT_MEMLOCK, &limit), 0);
    refuse_call(SYS_io_uring_setup, ENOMEM, THIS_THREAD);
    CHECK_STATUS(net_start(&config, &net), IOURINGNET_LOCKED_MEMORY);
    locked_memory_is_unlimited = true;
    CHECK_STATUS(net_start(&config, &net), -ENOMEM);
}

TEST(a_kernel_without_io_uring_is_named) {
    iouringnet_probe_result probe;

    about_io_uring();
    if (!rest_is_a_part(__func__))
        return;
    refuse_call(SYS_io_uring_setup, ENOSYS, THIS_THREAD);
    probe = check_unavailable();
    CHECK_EQ(probe.error, ENOSYS);
    CHECK(strcasestr(probe.text, "kernel") != NULL);
}

TEST(a_filter_that_lets_setup_pass_and_not_enter) {
    about_io_uring();
    if (!rest_is_a_part(__func__))
        return;
    refuse_call(SYS_io_uring_enter, EPERM, THIS_THREAD);
    check_unavailable();
}

/* ---- a sandbox that refuses to wait ---- */

TEST(a_filter_that_lets_an_enter_pass_and_not_a_later_one) {
    iouringnet_probe_result probe;

    if (!rest_is_a_part(__func__))
        return;
    need_io_uring();
    /* io_uring_enter may submit, and is refused where it is to wait for completions */
    refuse_call_where(SYS_io_uring_enter, WHERE_ARGUMENT_IS_NOT, 2, 0, EPERM, THIS_THREAD);
    probe = check_unavailable();
    CHECK_EQ(probe.error, EPERM);
    CHECK(strcasestr(probe.text, "seccomp") != NULL);
}

/* ---- too few threads ---- */

/* what net_start says is what the probe says, with the limit on threads; gives it */
static iouringnet_status start_and_probe(rlim_t threads) {
    char limit[64];
    iouringnet_net *net = NULL;
    iouringnet_probe_result probe;
    iouringnet_config config = config_of_mode();
    iouringnet_status status;

    iouringnet_probe_result_init(&probe);
    CHECK_OK(iouringnet_probe(&probe));
    status = net_start(&config, &net);
    fprintf(stderr, "the probe says: %s\n", probe.text);
    CHECK_STATUS(probe.status, status);
    CHECK_EQ(probe.error, -status);
    if (status == 0)
        CHECK_OK(net_stop(net));
    snprintf(limit, sizeof limit, "(RLIMIT_NPROC) is %llu;", (unsigned long long)threads);
    CHECK((strstr(probe.text, limit) != NULL) == (status != 0));
    return status;
}

/* a user of its own, since the kernel counts all threads of one; root is not counted */
TEST(the_probe_says_that_threads_are_short) {
    static const struct {
        const char *part;
        rlim_t threads;
        iouringnet_status status;
    } cases[] = {
        {"none", 1, -EAGAIN}, /* this one */
        {"one", 2, -EAGAIN},  /* and one loop's */
        {"many", 20, 0},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uid_t user = (uid_t)(1000000 + getpid());
        struct rlimit before, limit;

        if (!getenv(PART_VARIABLE) && part_run(__func__, cases[i].part) == 77)
            SKIP("the part was skipped");
        if (!part_is(cases[i].part))
            continue;
        need_engine();
        if (geteuid() != 0)
            SKIP("only root can become a user that nobody else is");
        CHECK_EQ(getrlimit(RLIMIT_NPROC, &before), 0);
        limit = (struct rlimit){cases[i].threads, before.rlim_max};
        CHECK_EQ(setrlimit(RLIMIT_NPROC, &limit), 0);
        if (setgroups(0, NULL) != 0 || setresgid(user, user, user) != 0 || setresuid(user, user, user) != 0)
            SKIP("this container has no users to spare");
        CHECK_STATUS(start_and_probe(cases[i].threads), cases[i].status);
        before.rlim_cur = before.rlim_max;
        CHECK_EQ(setrlimit(RLIMIT_NPROC, &before), 0); /* a leak checker needs a thread at the end */
    }
}

/* ---- too few descriptors ---- */

TEST(the_probe_names_the_limit_that_is_in_force) {
    iouringnet_probe_result probe;
    struct rlimit limit;

    need_engine();
    CHECK_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
    if (limit.rlim_max <= 61)
        SKIP("the hard limit of descriptors is too low");
    limit.rlim_cur = 61; /* the hard one is higher, and is none that a start meets */
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
    while (fcntl(0, F_DUPFD_CLOEXEC, 0) >= 0)
        ;
    CHECK_EQ(errno, EMFILE);
    iouringnet_probe_result_init(&probe);
    CHECK_OK(iouringnet_probe(&probe));
    fprintf(stderr, "the probe says: %s\n", probe.text);
    CHECK_STATUS(probe.status, -EMFILE);
    CHECK(strstr(probe.text, " is 61;") != NULL);
    limit.rlim_cur = limit.rlim_max;
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0); /* a leak checker needs descriptors at the end */
}
