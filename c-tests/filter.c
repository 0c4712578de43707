/* Filters of system calls: one call each, in the kernel's language for them. */

#include "filter.h"

#include <linux/filter.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

bool filter_install(const struct filter *filter, enum reach reach) {
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)filter->call, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args) + filter->argument * sizeof(uint64_t)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, filter->value, filter->when == WHERE_ARGUMENT_IS_NOT,
                 filter->when == WHERE_ARGUMENT_IS),
        BPF_STMT(BPF_RET | BPF_K, filter->answer),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof code / sizeof *code, code};
    unsigned flags = reach == EVERY_THREAD ? SECCOMP_FILTER_FLAG_TSYNC : 0;

    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program) == 0;
}

void refuse_call_where(long call, enum when when, unsigned argument, uint32_t value, int error, enum reach reach) {
    struct filter filter = {call, SECCOMP_RET_ERRNO | (uint32_t)error, when, argument, value};

    if (!filter_install(&filter, reach))
        SKIP("no seccomp filter can be installed here");
}

void refuse_call(long call, int error, enum reach reach) {
    refuse_call_where(call, ALWAYS, 0, 0, error, reach);
}

void refuse_waits(int error, enum reach reach) {
    if (!over_epoll()) {
        refuse_call(SYS_io_uring_enter, error, reach);
        return;
    }
#ifdef SYS_epoll_wait
    refuse_call(SYS_epoll_wait, error, reach);
#endif
    refuse_call(SYS_epoll_pwait, error, reach);
    refuse_call(SYS_epoll_pwait2, error, reach);
}
