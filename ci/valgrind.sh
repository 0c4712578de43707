#!/usr/bin/env bash
# Some C tests under valgrind, with the suppressions that the library's users need: no errors. Over epoll valgrind sees all
# that is received; over io_uring it does not, and old ones cannot run there. Needs `make`. VALGRIND names another valgrind
# than that of the path.
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
engines="epoll io_uring"
if ! "$work/probe"; then
    echo "SKIPPED: io_uring: no ring can be made here"
    engines=epoll
elif ! timeout --signal=KILL 20 "$valgrind" -q "$work/probe" >/dev/null 2>&1; then
    echo "SKIPPED: io_uring: with $("$valgrind" --version) no thread runs while another one waits in io_uring_enter"
    engines=epoll
fi

run() { # PROGRAM TEST
    local engine mode options
    for engine in $engines; do
        options=
        if [ "$engine" = io_uring ]; then options=--undef-value-errors=no; fi
        for mode in on off; do
            echo "$1 $2, over $engine, first try $mode"
            # shellcheck disable=SC2086
            IOURINGNET_ENGINE=$engine IOURINGNET_TEST_PATIENCE=5 IOURINGNET_TEST_FIRST_TRY=$mode timeout --signal=KILL 60 \
                "$valgrind" -q --error-exitcode=9 $options --suppressions=ci/valgrind.supp "build/c-tests/$1" "$2"
        done
    done
}
run promise_01_completes_once a_send_completes_once
run promise_01_completes_once a_receive_completes_once
run promise_02_any_thread_in_order kinds_of_sends_keep_their_order
run promise_09_close_loses_nothing close_with_unread_input_loses_nothing
run promise_10_stop stop_ends_everything_that_waits
run transfer frames_by_fill_and_peek
run transfer_watch begins_with_what_was_buffered
