/* What the examples share: answers to --help and --version, the start of a net, and listening. What fails prints why. */
#ifndef START_H
#define START_H

#include <iouringnet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The number that a macro stands for, as text. */
#define TEXT_OF(macro) TEXT_OF_NUMBER(macro)
#define TEXT_OF_NUMBER(number) #number

/* Prints the usage of a program, which begins with "usage: NAME", and returns the exit code. */
static inline int print_usage(FILE *to, const char *usage, int code) {
    fprintf(to, "%s--help prints this, and --version the version of the library.\n", usage);
    return code;
}

/* If --help or --version is among the arguments, prints the answer and ends the program. */
static inline void answer_questions(int argc, char **argv, const char *usage) {
    const char *name = usage + strlen("usage: ");
    unsigned version = iouringnet_version();
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0)
            exit(print_usage(stdout, usage, 0));
        if (strcmp(argv[i], "--version") == 0) {
            printf("%.*s, libiouringnet %u.%u.%u\n", (int)strcspn(name, " \n"), name, version >> 16, version >> 8 & 255,
                   version & 255);
            exit(0);
        }
    }
}

/* What main returns if it does not know its arguments. */
static inline int refuse_arguments(const char *usage) {
    return print_usage(stderr, usage, 2);
}

/* Returns NULL if the net cannot start, for instance if it demands an io_uring that the system refuses. The status has a
 * short text. The probe knows the cause and the remedy. */
static inline iouringnet_net *start_net(const char *program, const iouringnet_config *config) {
    iouringnet_net *net;
    iouringnet_status status = net_start(config, &net);
    if (status == IOURINGNET_OK)
        return net;
    fprintf(stderr, "%s: cannot start: %s\n", program, iouringnet_strerror(status));
    iouringnet_probe_result probe;
    iouringnet_probe_result_init(&probe);
    if (iouringnet_probe(&probe) == IOURINGNET_OK && probe.status == status)
        fprintf(stderr, "%s: %s\n", program, probe.text);
    return NULL;
}

/* Listens on `address`, and gives each connection to `on_connection`. Prints where it listens, or why it cannot. */
static inline iouringnet_status listen_on(iouringnet_net *net, const char *program, const char *address,
                                          iouringnet_callback on_connection, void *user) {
    iouringnet_listener *listener;
    iouringnet_address bound;
    iouringnet_status status = net_bind(net, address, NULL, &listener);
    if (status == IOURINGNET_OK)
        status = listener_watch(listener, on_connection, user);
    if (status == IOURINGNET_OK)
        status = listener_address(listener, &bound);
    if (status == IOURINGNET_OK) {
        printf("listening on %s\n", bound.text);
        fflush(stdout); /* a program that reads this through a pipe waits for the line */
    } else {
        fprintf(stderr, "%s: cannot listen on %s: %s\n", program, address, iouringnet_strerror(status));
    }
    return status;
}

#endif
