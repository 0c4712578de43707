/* io_uring that is not to be had: net_start says UNAVAILABLE at once, and the probe names cause and remedy.
   Each case refuses it to a process of its own, which had not used the library before. */

#include "support.h"

#include <grp.h>
#include <linux/filter.h>
#include <linux/io_uring.h>
#include <linux/seccomp.h>

/* ---- a sandbox that refuses ---- */

static void refuse(int call, int error)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof code / sizeof *code, code};

    code[1].k = (unsigned)call;
    code[2].k |= (unsigned)error;
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0)
        SKIP("no seccomp filter can be installed here");
}

/* everything that must hold where the kernel refuses; gives the probe's result */
static iouringnet_probe_result check_unavailable(void)
{
    iouringnet_net *none = (iouringnet_net *)&none, *net = none;
    size_t descriptors = count_entries("/proc/self/fd"), threads = count_entries("/proc/self/task");
    iouringnet_probe_result probe;
    iouringnet_config config;

    config_of_mode(&config);
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
    EVENTUALLY(count_entries("/proc/self/fd") == descriptors);
    EVENTUALLY(count_entries("/proc/self/task") == threads);
    return probe;
}

TEST(a_seccomp_filter_is_named)
{
    iouringnet_probe_result probe;

    if (!part_is("filtered")) {
        if (part_run(__func__, "filtered") == 77)
            SKIP("the part was skipped");
        return;
    }
    refuse(SYS_io_uring_setup, EPERM);
    probe = check_unavailable();
    CHECK_EQ(probe.error, EPERM);
    CHECK(strcasestr(probe.text, "seccomp") != NULL);
}

TEST(a_kernel_without_io_uring_is_named)
{
    iouringnet_probe_result probe;

    if (!part_is("missing")) {
        if (part_run(__func__, "missing") == 77)
            SKIP("the part was skipped");
        return;
    }
    refuse(SYS_io_uring_setup, ENOSYS);
    probe = check_unavailable();
    CHECK_EQ(probe.error, ENOSYS);
    CHECK(strcasestr(probe.text, "kernel") != NULL);
}

TEST(a_filter_that_lets_setup_pass_and_not_enter)
{
    if (!part_is("enter")) {
        if (part_run(__func__, "enter") == 77)
            SKIP("the part was skipped");
        return;
    }
    refuse(SYS_io_uring_enter, EPERM);
    check_unavailable();
}

/* ---- too little lockable memory ---- */

/* how a process of its own, of a user of its own, is limited: what others have locked does not count */
static void limit_locked_memory(uid_t user, rlim_t bytes)
{
    struct rlimit limit = {bytes, bytes};

    if (geteuid() != 0)
        SKIP("only root can become a user that nobody else is");
    CHECK_EQ(setrlimit(RLIMIT_MEMLOCK, &limit), 0);
    /* a container may map a few users only */
    if (setgroups(0, NULL) != 0 || setresgid(user, user, user) != 0 || setresuid(user, user, user) != 0)
        SKIP("this container has no users to spare");
    /* /proc/self is readable for this user again */
    prctl(PR_SET_DUMPABLE, 1);
}

/* a user id that no other test of this run has */
static uid_t user_of_its_own(void)
{
    return (uid_t)(1000000 + getpid());
}

/* whether two rings of the usual size fit, by the kernel's own word */
static bool usual_rings_fit(void)
{
    int rings[2];
    bool fit = true;

    for (int i = 0; i < 2; i++) {
        struct io_uring_params params;

        memset(&params, 0, sizeof params);
        rings[i] = (int)syscall(SYS_io_uring_setup, 1024, &params);
        fit = fit && rings[i] >= 0;
    }
    for (int i = 0; i < 2; i++)
        if (rings[i] >= 0)
            close(rings[i]);
    return fit;
}

TEST(smaller_rings_are_tried_under_a_memlock_limit)
{
    enum { LIMIT = 128 << 10, PAIRS = 40 };
    iouringnet_probe_result probe;
    iouringnet_config config;
    iouringnet_net *net;
    struct pair pairs[PAIRS];

    if (part_is("measured")) {
        limit_locked_memory(user_of_its_own(), LIMIT);
        if (usual_rings_fit())
            SKIP("this kernel does not count rings as locked memory");
        return;
    }
    if (!part_is("limited")) {
        if (part_run(__func__, "measured") == 77 || part_run(__func__, "limited") == 77)
            SKIP("the part was skipped");
        return;
    }
    limit_locked_memory(user_of_its_own(), LIMIT);
    iouringnet_probe_result_init(&probe);
    CHECK_OK(iouringnet_probe(&probe));
    CHECK_OK(probe.status);
    /* the probe's ring is given back by the kernel in its own time */
    config_of_mode(&config);
    EVENTUALLY(net_start(&config, &net) == 0);
    for (int i = 0; i < PAIRS; i++)
        pairs[i] = tcp_pair_in(net, net);
    for (int i = 0; i < PAIRS; i++) {
        char *data = take(200000), *got = take(200000);
        struct result send = RESULT;

        pattern_fill(data, 200000, 0, (uint32_t)i);
        CHECK_OK(sink_send_async(pairs[i].a.sink, data, 200000, result_store, &send, NULL));
        CHECK_OK(stream_recv(pairs[i].b.stream, got, 200000, NULL));
        pattern_check(got, 200000, 0, (uint32_t)i);
        CHECK_OK(result_wait(&send));
        free(data);
        free(got);
    }
    for (int i = 0; i < PAIRS; i++)
        pair_close(&pairs[i]);
    CHECK_OK(net_stop(net));
}

TEST(a_memlock_limit_too_small_is_named)
{
    enum { LIMIT = 4096 };
    iouringnet_probe_result probe;

    if (!part_is("limited")) {
        if (part_run(__func__, "limited") == 77)
            SKIP("the part was skipped");
        return;
    }
    limit_locked_memory(user_of_its_own(), LIMIT);
    if (usual_rings_fit())
        SKIP("this kernel does not count rings as locked memory");
    probe = check_unavailable();
    CHECK_EQ(probe.error, ENOMEM);
    CHECK(strcasestr(probe.text, "memlock") != NULL);
    CHECK(strstr(probe.text, "4096") != NULL || strstr(probe.text, "4 KiB") != NULL);
}
