#!/usr/bin/env bash
# Some C tests under valgrind, with the suppressions that the library's users need: no errors. Needs `make`. VALGRIND names
# another valgrind than that of the path.
set -euo pipefail
cd "$(dirname "$0")/.."
valgrind=${VALGRIND:-valgrind}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

command -v "$valgrind" >/dev/null 2>&1 || { echo "SKIPPED: valgrind is missing"; exit 0; }

# Does a thread that waits in io_uring_enter let others run?
cat >"$work/probe.c" <<'C'
#define _GNU_SOURCE
#include <linux/io_uring.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>
static void *wait_in_ring(void *ring)
{
    syscall(SYS_io_uring_enter, *(int *)ring, 0, 1, IORING_ENTER_GETEVENTS, NULL, 0);
    return NULL;
}
int main(void)
{
    struct io_uring_params params = {0};
    int ring = (int)syscall(SYS_io_uring_setup, 8, &params);
    pthread_t thread;
    if (ring < 0 || pthread_create(&thread, NULL, wait_in_ring, &ring) != 0)
        return 1;
    usleep(200000);
    _exit(0);
}
C
cc -pthread -o "$work/probe" "$work/probe.c"
"$work/probe" || { echo "SKIPPED: no ring can be made here"; exit 0; }
timeout --signal=KILL 20 "$valgrind" -q "$work/probe" >/dev/null 2>&1 ||
    { echo "SKIPPED: with $("$valgrind" --version) no thread runs while another one waits in io_uring_enter"; exit 0; }

run() { # PROGRAM TEST
    local mode
    for mode in on off; do
        echo "$1 $2, first try $mode"
        IOURINGNET_TEST_PATIENCE=5 IOURINGNET_TEST_FIRST_TRY=$mode timeout --signal=KILL 60 \
            "$valgrind" -q --error-exitcode=9 --undef-value-errors=no --suppressions=ci/valgrind.supp "build/c-tests/$1" "$2"
    done
}
run promise_01_completes_once a_send_completes_once
run promise_01_completes_once a_receive_completes_once
run promise_02_any_thread_in_order kinds_of_sends_keep_their_order
run promise_09_close_loses_nothing close_with_unread_input_loses_nothing
run promise_10_stop stop_ends_everything_that_waits
run transfer frames_by_fill_and_peek
run transfer_watch begins_with_what_was_buffered
