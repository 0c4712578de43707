/* worker_pool: clients send lines, worker threads hash each line many times over, and send the answers.
 *
 * What it teaches:
 *   - answers from other threads: any thread may send on a sink. A handle that is closed by then is refused;
 *   - a close after the last answer to a client that has ended its side, bounded work for one that does not read, and
 *     none for one that is gone;
 *   - what needs a lock: only the queue of the workers. All about connections happens in callbacks.
 *
 * To compile it:   cc -o worker_pool worker_pool.c -liouringnet -pthread
 * To try it:       ./worker_pool &   then   seq 10 | nc -N 127.0.0.1 7000
 */
#define _GNU_SOURCE /* for sigset_t and sigwait under -std=c11 */

#include <iouringnet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "job_queue.h"
#include "serve.h"
#include "sha256.h"

#define DEFAULT_ADDRESS "127.0.0.1:7000"
enum { WORKERS = 4, ROUNDS = 1000, JOBS_MAX = 32, LINE_SIZE = 1024 };

struct connection {
    iouringnet_sink *sink;
    iouringnet_stream *stream;
    unsigned lines, jobs;     /* received; of them, in work or with an answer that has not gone out */
    bool paused, last, ended; /* the client has ended its side; `end` has come */
};

struct job {
    struct connection *connection;
    struct job *next;
    unsigned number;
    size_t size;
    char text[LINE_SIZE]; /* the line, and then the answer */
};

static iouringnet_net *net;
static struct job **job_next(struct job *job) {
    return &job->next;
}

/* An answer has gone out, or cannot. A callback: no worker uses the connection. */
static void on_answered(void *user, const iouringnet_completion *done) {
    struct job *job = user;
    struct connection *c = job->connection;
    free(job);
    c->jobs--;
    if (done->status != IOURINGNET_OK && !c->ended) /* what it has sent before need not be hashed */
        connection_abort(c->sink, c->stream);
    if (c->jobs == 0 && c->ended) {
        free(c);
    } else if (c->jobs == 0 && c->last) {
        connection_close(c->sink, c->stream);
    } else if (c->paused && c->jobs <= JOBS_MAX / 2) {
        c->paused = false;
        stream_resume(c->stream);
    }
}

static void *work(void *unused) {
    (void)unused;
    for (struct job *job; (job = jobs_take()) != NULL;) {
        uint8_t digest[SHA256_SIZE];
        sha256_of(job->text, job->size, digest);
        for (int round = 1; round < ROUNDS; round++)
            sha256_of(digest, SHA256_SIZE, digest);
        int size = snprintf(job->text, sizeof job->text, "%u ", job->number);
        for (int i = 0; i < SHA256_SIZE; i++)
            size += sprintf(job->text + size, "%02x%s", digest[i], i + 1 < SHA256_SIZE ? "" : "\n");
        /* The answer belongs to the library until on_answered. If the client is gone, on_answered is called without it. */
        struct connection *c = job->connection;
        if (sink_send_async(c->sink, job->text, (size_t)size, on_answered, job, NULL) != IOURINGNET_OK) {
            connection_abort(c->sink, c->stream);
            net_call(net, 0, on_answered, job, NULL);
        }
    }
    return NULL;
}

/* Makes a job of each line, as long as the client may have more. Returns how many bytes it has consumed. */
static size_t on_data(void *user, iouringnet_status status, const void *data, size_t size) {
    struct connection *c = user;
    size_t used = 0;
    c->last = status == IOURINGNET_EOF;
    if (status != IOURINGNET_OK && (!c->last || c->jobs == 0))
        connection_close(c->sink, c->stream);
    for (const char *at = data, *end; status == IOURINGNET_OK; at = end + 1) {
        used = (size_t)(at - (const char *)data);
        end = memchr(at, '\n', size - used);
        if (end == NULL || c->jobs == JOBS_MAX)
            break;
        struct job *job = malloc(sizeof *job);
        if (job == NULL || end - at > LINE_SIZE) {
            free(job);
            connection_abort(c->sink, c->stream);
            return size;
        }
        *job = (struct job){c, NULL, ++c->lines, (size_t)(end - at), ""};
        memcpy(job->text, at, job->size);
        if (!jobs_put(job)) { /* the server ends, and answers only what it has taken */
            free(job);
            stream_pause(c->stream);
            break;
        }
        c->jobs++;
    }
    if (status == IOURINGNET_OK && c->jobs == JOBS_MAX && !c->paused) {
        c->paused = true;
        stream_pause(c->stream);
    }
    return used;
}

static void on_end(void *user, iouringnet_status status) {
    struct connection *c = user;
    (void)status;
    c->ended = true;
    if (c->jobs == 0)
        free(c);
}

static void on_connection(void *user, const iouringnet_completion *done) {
    static const iouringnet_connection_callbacks callbacks = {sizeof callbacks, on_data, NULL, on_end};
    (void)user;
    struct connection *c = done->status == IOURINGNET_OK ? calloc(1, sizeof *c) : NULL;
    if (c != NULL)
        *c = (struct connection){.sink = done->sink, .stream = done->stream};
    if (c == NULL || connection_watch(c->sink, c->stream, &callbacks, c) != IOURINGNET_OK) {
        connection_abort(done->sink, done->stream);
        free(c);
    }
}

static const char usage[] = "usage: worker_pool [ADDRESS]\n"
                            "  ADDRESS  where to listen, HOST:PORT; default: " DEFAULT_ADDRESS "\n";

int main(int argc, char **argv) {
    const char *address = argc > 1 ? argv[1] : DEFAULT_ADDRESS;
    answer_questions(argc, argv, usage);
    if (argc > 2 || address[0] == '-')
        return refuse_arguments(usage);
    sigset_t signals = block_signals();
    if ((net = start_net("worker_pool", NULL)) == NULL)
        return 1;
    pthread_t workers[WORKERS];
    for (int i = 0; i < WORKERS; i++)
        if (pthread_create(&workers[i], NULL, work, NULL) != 0)
            return 1;
    iouringnet_status status = serve_on(net, "worker_pool", address, on_connection, NULL, &signals);
    jobs_close(); /* the workers answer what is queued */
    for (int i = 0; i < WORKERS; i++)
        pthread_join(workers[i], NULL);
    return stop_serving(net, status);
}
