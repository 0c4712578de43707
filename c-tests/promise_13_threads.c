/* The library's threads as the host's system sees them: their policy is the host's, and while they sleep they wait for no disk.
   Promise 13. */

#include "inside.h"

#include <sched.h>

static int policy_of(const char *thread) {
    return sched_getscheduler(thread_named(thread));
}

static void *starts_with_a_policy_of_its_own(void *user) {
    struct sched_param usual = {0};

    if (sched_setscheduler(0, SCHED_IDLE, &usual) != 0)
        SKIP("the policy cannot be changed here");
    *(iouringnet_net **)user = net_of_mode();
    return NULL;
}

/* The send loop lets others go on by SCHED_BATCH. A policy that the host has chosen stays. Without the first try it interrupts others. */
/* one mode */ TEST(a_policy_that_the_host_has_chosen_stays) {
    iouringnet_net *net = NULL;

    join(spawn(starts_with_a_policy_of_its_own, &net));
    CHECK_EQ(policy_of("iouringnet-send"), SCHED_IDLE);
    CHECK_EQ(policy_of("iouringnet-recv"), SCHED_IDLE);
    CHECK_OK(net_stop(net));
}

/* threads of the whole machine that count as waiting for a disk */
static long waiting_for_disks(void) {
    FILE *file = fopen("/proc/stat", "re");
    char line[256];
    long count = -1;

    CHECK(file != NULL);
    while (fgets(line, sizeof line, file) != NULL)
        if (sscanf(line, "procs_blocked %ld", &count) == 1)
            break;
    fclose(file);
    return count;
}

TEST(a_loop_that_sleeps_waits_for_no_disk) {
    enum { COUNT = 20 };
    iouringnet_net *nets[COUNT];
    iouringnet_listener *listeners[COUNT];
    struct result accepts[COUNT];
    iouringnet_probe_result probe;

    iouringnet_probe_result_init(&probe);
    need_engine();
    CHECK_OK(iouringnet_probe(&probe));
    if ((probe.features & IOURINGNET_FEATURE_NO_IOWAIT) == 0)
        SKIP("this kernel cannot leave sleeping loops out");
    if (waiting_for_disks() < 0)
        SKIP("this system does not say who waits for a disk");
    for (int i = 0; i < COUNT; i++) {
        iouringnet_address address;

        nets[i] = net_of_mode();
        listeners[i] = bind_loopback(nets[i], &address);
        result_init(&accepts[i]);
        CHECK_OK(listener_accept_async(listeners[i], result_store, &accepts[i], NULL));
        settle(nets[i]);
    }
    /* others may wait for a while, but hardly so many for so long */
    EVENTUALLY(waiting_for_disks() < COUNT);
    for (int i = 0; i < COUNT; i++) {
        CHECK_OK(net_stop(nets[i]));
        CHECK_STATUS(result_wait(&accepts[i]), IOURINGNET_STOPPED);
    }
}
