/* Filters of system calls, as a sandbox installs them. A filter holds for ever, so a test installs one in a part, in a
   thread of its own, or as its last. */

#ifndef FILTER_H
#define FILTER_H

#include "harness.h"

#include <linux/seccomp.h>

enum reach { THIS_THREAD, EVERY_THREAD }; /* a thread's filter holds in the threads that it makes, too */

enum when { ALWAYS, WHERE_ARGUMENT_IS, WHERE_ARGUMENT_IS_NOT };

struct filter {
    long call;
    uint32_t answer; /* SECCOMP_RET_ERRNO | EPERM, SECCOMP_RET_TRAP */
    enum when when;
    unsigned argument; /* 0 is the first */
    uint32_t value;    /* compared with the argument's lower half */
};

/* false: no filter can be installed here */
bool filter_install(const struct filter *filter, enum reach reach);
/* from now on the call fails with `error`; skips the test where no filter can be installed */
void refuse_call(long call, int error, enum reach reach);
/* the same for every call in which a loop of this mode waits: a loop that enters the kernel dies */
void refuse_waits(int error, enum reach reach);
void refuse_call_where(long call, enum when when, unsigned argument, uint32_t value, int error, enum reach reach);

#endif
