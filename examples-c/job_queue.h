/* The queue between the callbacks and the workers of worker_pool: the one thing there that needs a lock. */
#ifndef JOB_QUEUE_H
#define JOB_QUEUE_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

struct job; /* its user defines it, with a member `next` */
static struct job **job_next(struct job *job);

static struct {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    struct job *first, *last;
    bool closed;
} jobs = {.mutex = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

/* False: the queue is closed, and takes no job. */
static inline bool jobs_put(struct job *job) {
    pthread_mutex_lock(&jobs.mutex);
    bool open = !jobs.closed;
    if (open) {
        *(jobs.first == NULL ? &jobs.first : job_next(jobs.last)) = job;
        jobs.last = job;
        pthread_cond_signal(&jobs.changed);
    }
    pthread_mutex_unlock(&jobs.mutex);
    return open;
}

/* Waits for a job. NULL: the queue is closed and empty. */
static inline struct job *jobs_take(void) {
    pthread_mutex_lock(&jobs.mutex);
    while (jobs.first == NULL && !jobs.closed)
        pthread_cond_wait(&jobs.changed, &jobs.mutex);
    struct job *job = jobs.first;
    if (job != NULL)
        jobs.first = *job_next(job);
    pthread_mutex_unlock(&jobs.mutex);
    return job;
}

static inline void jobs_close(void) {
    pthread_mutex_lock(&jobs.mutex);
    jobs.closed = true;
    pthread_cond_broadcast(&jobs.changed);
    pthread_mutex_unlock(&jobs.mutex);
}

#endif
