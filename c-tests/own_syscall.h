/* This program's own syscall(2): the library's calls by number come here, and those that `fails` names fail.
   One file of a program includes this. */

#ifndef OWN_SYSCALL_H
#define OWN_SYSCALL_H

#include "harness.h"

#include <dlfcn.h>
#include <stdarg.h>
#include <sys/syscall.h>

/* of the call that `fails` decides on, on its thread */
static _Thread_local long call_arguments[6];

/* the test's: true, with errno set, if this call is to fail */
static bool fails(long number);

long syscall(long number, ...) {
    static long (*_Atomic next)(long, ...);
    long (*call)(long, ...) = atomic_load(&next);
    long a[6];
    va_list list;

    va_start(list, number);
    for (int i = 0; i < 6; i++)
        a[i] = va_arg(list, long);
    va_end(list);
    memcpy(call_arguments, a, sizeof a);
    if (call == NULL) {
        *(void **)&call = dlsym(RTLD_NEXT, "syscall");
        atomic_store(&next, call);
    }
    return fails(number) ? -1 : call(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

#endif
