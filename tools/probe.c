/* iouringnet-probe: tells whether a net of libiouringnet gets io_uring on this system, and if not, why, and what to change. A
 * person reads the text, and a program the JSON or the exit status. */
#include <stdio.h>
#include <string.h>

#include "probe.h"

enum { IO_URING = 0, EPOLL = 1, NO_NET = 2, WRONG_USE = 3 }; /* the exit statuses */

static const char usage[] =
    "usage: iouringnet-probe [--json]\n"
    "Tells whether a net of libiouringnet gets io_uring here, and if not, why, and what to change. The answer is that\n"
    "for this user, with the limits and the seccomp filter of this process.\n"
    "\n"
    "  --json     print one JSON object. null: there is no limit, no such setting, or no value\n"
    "  --help     print this\n"
    "  --version  print the version of the library\n"
    "\n"
    "environment:\n"
    "  IOURINGNET_ENGINE  \"io_uring\" or \"epoll\": what a net demands; otherwise the library chooses\n"
    "\n"
    "exit status:\n"
    "  0  a net gets io_uring\n"
    "  1  a net gets epoll: the system refuses io_uring, or IOURINGNET_ENGINE asks for epoll\n"
    "  2  no net can start\n"
    "  3  an argument is unknown, or the answer could not be printed\n";

static int exit_status(const iouringnet_probe_result *probe) {
    if (probe->status != IOURINGNET_OK)
        return NO_NET;
    return probe->engine == IOURINGNET_ENGINE_IO_URING ? IO_URING : EPOLL;
}

/* A script that reads the answer must not take half of it for the whole. */
static int printed(int status) {
    if (fflush(stdout) == 0 && !ferror(stdout))
        return status;
    perror("iouringnet-probe");
    return WRONG_USE;
}

int main(int argc, char **argv) {
    static struct system here;
    const char *argument = argc == 2 ? argv[1] : "";
    if (strcmp(argument, "--help") == 0) {
        printf("%s", usage);
        return printed(0);
    }
    if (strcmp(argument, "--version") == 0) {
        unsigned version = iouringnet_version();
        printf("iouringnet-probe, libiouringnet %u.%u.%u\n", version >> 16, version >> 8 & 255, version & 255);
        return printed(0);
    }
    if (argc > 1 && strcmp(argument, "--json") != 0) {
        fprintf(stderr, "%s", usage);
        return WRONG_USE;
    }
    look(&here);
    if (argc > 1)
        print_json(&here);
    else
        print_text(&here);
    return printed(exit_status(&here.probe));
}
