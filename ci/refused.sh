#!/usr/bin/env bash
# The tests where io_uring is refused, as in many containers: all that need it skip, and none fails. Needs `make`.
# usage: ci/refused.sh [CTEST ARGUMENTS]
set -euo pipefail
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cat >"$work/refuse.c" <<'C'
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(int count, char **arguments) {
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_setup, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof code / sizeof *code, code};

    if (count < 2 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        return 126;
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0)
        return 77;
    execvp(arguments[1], arguments + 1);
    return 126;
}
C
cc "$work/refuse.c" -o "$work/refuse"
"$work/refuse" true || { echo "SKIPPED: no seccomp filter can be installed here"; exit 0; }

result=0
"$work/refuse" ctest --preset release --parallel "$(nproc)" "$@" >"$work/log" 2>&1 || result=$?
grep -E "Failed|Timeout|tests passed" "$work/log" || true
[ "$result" -eq 0 ] || exit "$result"
grep -q "Skipped" "$work/log" || { echo "no test was skipped: the filter refused nothing"; exit 1; }
