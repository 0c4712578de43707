/* load: the other side of all programs that are measured: the client of servers, and the server of those that dial.
 *
 * It keeps connections busy, checks every byte that comes back, and prints what it saw and what the kernel's accounting
 * says about the server, on one line of name=value. run.py reads that line.
 *
 * Its files are a stack. Each includes, of these, only files that stand below it:
 *
 *   load.c              picks the mode
 *   load_echo.c         the modes for echo servers
 *   load_stream.c       --download, --upload
 *   load_posts.c        --posts
 *   load_dialled.c      --dialled
 *   load_memory.c       --memory
 *   load_measure.c      what counts of a run, and the lines that report it
 *   load_connections.c  the connections of all modes
 *   load_ring.c         how the modes for echo servers receive and send
 *   load_account.c      what the kernel says about the server
 *   load_options.c      the command line
 *   load_base.h         units of time, and how the program ends at a fault
 *
 * Its one invariant: every byte is that of the pattern (pattern.h), in both directions.
 */
#define _GNU_SOURCE

#include "load_dialled.h"
#include "load_echo.h"
#include "load_options.h"
#include "load_posts.h"
#include "load_stream.h"
#include "pattern.h"
#include "server.h"

#include <sys/prctl.h>

int main(int argc, char **argv) {
    parse_options(argc, argv);
    /* A last bound, should a blocking call of this program ever not return. */
    alarm((unsigned)(options.seconds + options.warmup) + 60);
    raise_descriptor_limit();
    fill_pattern();
    prctl(PR_SET_TIMERSLACK, 1);
    if (options.mode == DOWNLOAD)
        run_download();
    else if (options.mode == UPLOAD)
        run_upload();
    else if (options.mode == POSTS)
        run_posts();
    else if (options.mode == DIALLED)
        run_dialled();
    else
        run_echo();
    return 0;
}
