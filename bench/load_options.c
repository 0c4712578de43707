/* The command line of the load generator. Owns `options`, which do not change once they are parsed. Its one invariant: an
 * option that would change what is measured, and that the mode does not heed, is refused, so that no figure is taken for
 * another one. */
#define _GNU_SOURCE

#include "load_options.h"
#include "pattern.h"

#include <arpa/inet.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct options options;

static void usage(void) {
    fprintf(stderr,
            "usage: load --address A:P [options]\n"
            "  --connections N  that send (1)           --idle N      that only stay open (0)\n"
            "  --in-flight N    on each of them (1)     --size N      bytes of a message, or of a stream's sends (64)\n"
            "  --seconds S      measured (1)            --warmup S    before that (0.2)\n"
            "  --rate R         messages per second of all connections: open loop; 0: closed (0)\n"
            "  --pid P          the server, for its CPU time, context switches and memory\n"
            "  --reconnect      a new connection for each message\n"
            "  --silent         a new connection each time, and no message\n"
            "  --calls          counts its system calls, which disturbs the other figures\n"
            "and in place of the closed or open loop one of\n"
            "  --blocking       one connection, without readiness\n"
            "  --download       a stream from the server on each connection\n"
            "  --upload         a stream to the server on each connection\n"
            "  --posts          messages of several threads of the server's on one connection\n"
            "  --dialled        the program at A:P dials: it is told whom, and keeps N connections going\n"
            "  --memory         what each of the idle connections costs\n");
    exit(2);
}

static double number(const char *text, double least, double most) {
    char *end;
    double n = text ? strtod(text, &end) : -1;
    if (!text || *end != 0 || !(n >= least && n <= most))
        usage();
    return n;
}

static void parse_address(const char *text) {
    char host[64];
    const char *colon = text ? strrchr(text, ':') : NULL;
    if (!colon || (size_t)(colon - text) >= sizeof host)
        usage();
    memcpy(host, text, (size_t)(colon - text));
    host[colon - text] = 0;
    options.address.sin_family = AF_INET;
    options.address.sin_port = htons((uint16_t)number(colon + 1, 1, 65535));
    if (inet_pton(AF_INET, host, &options.address.sin_addr) != 1)
        usage();
}

/* Whether `name` is an option without a value. */
static bool parse_switch(const char *name) {
    static const struct {
        const char *name;
        enum mode mode;
    } modes[] = {
        {"--blocking", BLOCKING}, {"--download", DOWNLOAD}, {"--upload", UPLOAD},
        {"--posts", POSTS},       {"--dialled", DIALLED},   {"--memory", MEMORY},
    };
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++)
        if (strcmp(name, modes[i].name) == 0) {
            options.mode = modes[i].mode;
            return true;
        }
    if (strcmp(name, "--reconnect") == 0)
        return options.reconnect = true;
    if (strcmp(name, "--silent") == 0)
        return options.reconnect = options.silent = true;
    if (strcmp(name, "--calls") == 0)
        return options.calls = true;
    return false;
}

static void check_options(void) {
    bool loop = options.mode == CLOSED_LOOP || options.mode == OPEN_LOOP;
    bool stream = options.mode == DOWNLOAD || options.mode == UPLOAD;
    bool dialled = options.mode == DIALLED;
    if (options.address.sin_port == 0 || (!loop && (options.in_flight != 1 || options.rate > 0 || options.reconnect)) ||
        (!loop && !stream && !dialled && options.connections != 1) || ((stream || dialled) && options.idle != 0) ||
        (dialled && options.connections > 1000) || (!stream && options.size > MOST_SIZE) ||
        (options.reconnect && (options.in_flight != 1 || options.rate > 0)) ||
        (options.mode == MEMORY && (options.idle == 0 || options.pid == 0)))
        usage();
}

void parse_options(int argc, char **argv) {
    options = (struct options){.connections = 1, .in_flight = 1, .size = 64, .seconds = 1, .warmup = 0.2};
    for (int i = 1; i < argc; i++) {
        const char *name = argv[i];
        if (parse_switch(name))
            continue;
        const char *value = argv[++i]; /* NULL at the end, which number and parse_address refuse */
        if (strcmp(name, "--address") == 0)
            parse_address(value);
        else if (strcmp(name, "--connections") == 0)
            options.connections = (int)number(value, 1, 20000);
        else if (strcmp(name, "--idle") == 0)
            options.idle = (int)number(value, 0, 20000);
        else if (strcmp(name, "--in-flight") == 0)
            options.in_flight = (int)number(value, 1, MOST_IN_FLIGHT);
        else if (strcmp(name, "--size") == 0)
            options.size = (size_t)number(value, 1, MOST_PIECE);
        else if (strcmp(name, "--seconds") == 0)
            options.seconds = number(value, 0.01, 3600);
        else if (strcmp(name, "--warmup") == 0)
            options.warmup = number(value, 0, 3600);
        else if (strcmp(name, "--rate") == 0)
            options.rate = number(value, 0, 1e8);
        else if (strcmp(name, "--pid") == 0)
            options.pid = (pid_t)number(value, 1, INT_MAX);
        else
            usage();
    }
    if (options.mode == CLOSED_LOOP && options.rate > 0)
        options.mode = OPEN_LOOP;
    check_options();
    if (options.silent)
        options.size = 0;
}
