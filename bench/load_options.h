/* The command line of the load generator. */
#ifndef BENCH_LOAD_OPTIONS_H
#define BENCH_LOAD_OPTIONS_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define MOST_SIZE (64 * 1024) /* of a message: what a connection's buffers hold while nobody receives yet */
#define MOST_IN_FLIGHT 4096   /* messages of one connection */

enum mode { CLOSED_LOOP, OPEN_LOOP, BLOCKING, DOWNLOAD, UPLOAD, POSTS, DIALLED, MEMORY };

struct options {
    struct sockaddr_in address;
    enum mode mode;
    int connections, in_flight, idle;
    size_t size;
    double seconds, warmup, rate;
    pid_t pid;
    bool calls, reconnect, silent; /* silent is a kind of reconnect */
};

extern struct options options;

/* Wrong ones end the program, with the usage. */
void parse_options(int argc, char **argv);

#endif
