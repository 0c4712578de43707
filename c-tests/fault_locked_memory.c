/* A limit on locked memory (RLIMIT_MEMLOCK): rings become smaller together, memory that the kernel gives back
   late is waited for, and a limit that is too small is named.
   The kernel counts for each user, and not what root has: each case is a process of a user of its own, in which
   the library was never used before.
   Promise 14. */

#include "support.h"

#include <grp.h>

enum { KIB = 1024, USUAL_LIMIT = 8 << 20 };

/* in a child: becomes a user that no other process is, with a limit on what that user locks */
static void become_limited(rlim_t bytes) {
    struct rlimit limit = {bytes, bytes};
    uid_t user = (uid_t)(1000000 + getpid());

    CHECK_EQ(setrlimit(RLIMIT_MEMLOCK, &limit), 0);
    /* a container may map a few users only */
    if (setgroups(0, NULL) != 0 || setresgid(user, user, user) != 0 || setresuid(user, user, user) != 0)
        SKIP("this container has no users to spare");
    /* its own /proc is readable for this user again */
    prctl(PR_SET_DUMPABLE, 1);
}

/* runs in a child that is limited to so many bytes; gives what `run` gave */
static int limited(rlim_t bytes, int (*run)(void)) {
    pid_t pid;
    int status;

    need_io_uring();
    if (geteuid() != 0)
        SKIP("only root can become a user that nobody else is");
    pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        child_begin();
        become_limited(bytes);
        _exit(run());
    }
    status = child_wait(pid);
    if (status == 77)
        SKIP("the child skipped");
    return status;
}

enum { STARTED = 0, REFUSED = 10 };

static int start(iouringnet_net **net) {
    iouringnet_config config = config_of_mode();
    iouringnet_status status;

    status = net_start(&config, net);
    if (status == IOURINGNET_LOCKED_MEMORY)
        return REFUSED;
    CHECK_OK(status);
    return STARTED;
}

static void echo_once(iouringnet_net *net) {
    struct pair p = tcp_pair_in(net, net);
    char byte = 0;

    CHECK_OK(sink_send(p.a.sink, "x", 1, NULL));
    CHECK_OK(stream_recv(p.b.stream, &byte, 1, NULL));
    CHECK_EQ(byte, 'x');
    pair_close(&p);
}

/* whether this kernel counts rings, by its own word: no limit is as small as one ring */
static int start_without_any(void) {
    iouringnet_net *net;
    return start(&net);
}

static void need_counted_rings(void) {
    if (limited(0, start_without_any) == STARTED)
        SKIP("this kernel does not count rings as locked memory");
}

/* ---- every limit ---- */

static iouringnet_probe_result probe(void) {
    iouringnet_probe_result result;

    iouringnet_probe_result_init(&result);
    CHECK_OK(iouringnet_probe(&result));
    return result;
}

static int start_and_move_a_byte(void) {
    iouringnet_net *net;
    iouringnet_probe_result said;

    if (start(&net) == REFUSED) {
        said = probe();
        CHECK_STATUS(said.status, IOURINGNET_LOCKED_MEMORY);
        CHECK_EQ(said.error, ENOMEM);
        CHECK(strstr(said.text, "RLIMIT_MEMLOCK") != NULL);
        return REFUSED;
    }
    echo_once(net);
    CHECK_OK(net_stop(net));
    return STARTED;
}

enum { NONE = -1 };

/* from `low` to `high`: once one starts, all larger ones do */
static void sweep(rlim_t low, rlim_t high, rlim_t step, int64_t *smallest) {
    for (rlim_t bytes = low; bytes <= high; bytes += step) {
        int outcome = limited(bytes, start_and_move_a_byte);

        if (outcome == STARTED && *smallest == NONE) {
            *smallest = (int64_t)bytes;
            fprintf(stderr, "the smallest limit that starts is %ju KiB\n", (uintmax_t)bytes / KIB);
        }
        if (outcome != (*smallest == NONE ? REFUSED : STARTED))
            fprintf(stderr, "with %ju KiB: %d\n", (uintmax_t)bytes / KIB, outcome);
        CHECK_EQ(outcome, *smallest == NONE ? REFUSED : STARTED);
    }
}

TEST(every_limit_from_the_smallest_on_starts_a_net) {
    rlim_t page = (rlim_t)sysconf(_SC_PAGESIZE);
    int64_t smallest = NONE;

    watchdog(120);
    /* no ring of the usual size is larger than a tenth of the last limit; each page between may be a gap */
    sweep(0, 128 * page, page, &smallest);
    sweep(129 * page, 2048 * page, 97 * page, &smallest);
    /* two rings of two pages each */
    CHECK_BETWEEN(smallest, 0, 4 * page);
}

/* ---- memory that comes back late ---- */

static int start_and_stop_1000_times(void) {
    watchdog(120);
    for (int i = 0; i < 1000; i++) {
        iouringnet_net *net;

        CHECK_EQ(start(&net), STARTED);
        CHECK_OK(net_stop(net));
    }
    return 0;
}

TEST(a_thousand_starts_and_stops_in_a_row) {
    watchdog(150);
    CHECK_EQ(limited(USUAL_LIMIT, start_and_stop_1000_times), 0);
}

/* gives how many of 20 probes and 20 starts were refused */
static int probe_start_and_stop_in_turns(void) {
    int refused = 0;

    for (int i = 0; i < 20; i++) {
        iouringnet_net *net;
        iouringnet_probe_result said = probe();

        CHECK(said.status == 0 || said.status == IOURINGNET_LOCKED_MEMORY);
        refused += said.status != 0;
        if (start(&net) == REFUSED) {
            refused++;
            continue;
        }
        echo_once(net);
        CHECK_OK(net_stop(net));
    }
    return refused;
}

/* Each waits for what the one before it had. The kernel of a very busy machine takes longer than the library waits, at times:
   a few may be refused, but not most. */
/* alone */ TEST(a_limit_that_holds_one_net_holds_one_after_the_other) {
    rlim_t page = (rlim_t)sysconf(_SC_PAGESIZE);

    CHECK_BETWEEN(limited(10 * page, probe_start_and_stop_in_turns), 0, 10);
    CHECK_BETWEEN(limited(27 * page, probe_start_and_stop_in_turns), 0, 10);
}

/* ---- many nets of one user ---- */

static int nets_at_the_usual_limit(void) {
    enum { MOST = 200 };
    iouringnet_net *nets[MOST];
    int count = 0, started = STARTED;

    while (count < MOST && (started = start(&nets[count])) == STARTED)
        count++;
    fprintf(stderr, "%d nets have been started\n", count);
    CHECK_EQ(started, REFUSED);
    /* what the header says of one net, 108 KiB with pages of 4 KiB, is no less than what it takes */
    CHECK(count >= USUAL_LIMIT / (27 * (int)sysconf(_SC_PAGESIZE)));
    CHECK_STATUS(probe().status, IOURINGNET_LOCKED_MEMORY);
    echo_once(nets[0]);
    echo_once(nets[count - 1]);
    /* what one of them had is enough for another */
    CHECK_OK(net_stop(nets[0]));
    EVENTUALLY(start(&nets[0]) == STARTED);
    echo_once(nets[0]);
    while (count > 0)
        CHECK_OK(net_stop(nets[--count]));
    return 0;
}

/* alone */ TEST(nets_are_started_until_the_limit_is_reached) {
    need_counted_rings();
    CHECK_EQ(limited(USUAL_LIMIT, nets_at_the_usual_limit), 0);
}

/* ---- a limit that is too small ---- */

static int refused_starts_leave_nothing(void) {
    iouringnet_net *none = (iouringnet_net *)&none, *net = none;
    struct footprint before = footprint();
    char bytes[32];

    for (int i = 0; i < 20; i++)
        CHECK_EQ(start(&net), REFUSED);
    CHECK(net == none);
    snprintf(bytes, sizeof bytes, "%ld bytes", sysconf(_SC_PAGESIZE));
    CHECK(strstr(probe().text, bytes) != NULL);
    footprint_returns(before);
    return 0;
}

/* where waiting for memory cannot help, nobody waits; the fastest of some tries is no matter of load */
static int refused_starts_are_quick(void) {
    iouringnet_net *net;
    int64_t fastest = WAIT_MS;

    for (int i = 0; i < 5; i++) {
        int64_t began = now_ms(), took;

        CHECK_EQ(start(&net), REFUSED);
        took = now_ms() - began;
        fastest = took < fastest ? took : fastest;
    }
    CHECK_BETWEEN(fastest, 0, 500);
    return 0;
}

TEST(a_limit_too_small_for_any_net_is_told_at_once) {
    need_counted_rings();
    CHECK_EQ(limited((rlim_t)sysconf(_SC_PAGESIZE), refused_starts_are_quick), 0);
}

TEST(a_limit_too_small_is_named_with_its_value) {
    need_counted_rings();
    CHECK_EQ(limited((rlim_t)sysconf(_SC_PAGESIZE), refused_starts_leave_nothing), 0);
}

/* ---- what smaller rings can do ---- */

static int large_sends_through_small_rings(void) {
    enum { PAIRS = 40, SIZE = 200000 };
    iouringnet_net *net;
    struct pair pairs[PAIRS];

    CHECK_OK(probe().status);
    CHECK_EQ(start(&net), STARTED);
    for (int i = 0; i < PAIRS; i++)
        pairs[i] = tcp_pair_in(net, net);
    for (int i = 0; i < PAIRS; i++) {
        char *data = take(SIZE), *got = take(SIZE);
        struct result send = RESULT;

        pattern_fill(data, SIZE, 0, (uint32_t)i);
        CHECK_OK(sink_send_async(pairs[i].a.sink, data, SIZE, result_store, &send, NULL));
        CHECK_OK(stream_recv(pairs[i].b.stream, got, SIZE, NULL));
        pattern_check(got, SIZE, 0, (uint32_t)i);
        CHECK_OK(result_wait(&send));
        free(data);
        free(got);
    }
    for (int i = 0; i < PAIRS; i++)
        pair_close(&pairs[i]);
    CHECK_OK(net_stop(net));
    return 0;
}

TEST(the_smallest_rings_carry_many_connections) {
    CHECK_EQ(limited((rlim_t)(5 * sysconf(_SC_PAGESIZE)), large_sends_through_small_rings), 0);
}
