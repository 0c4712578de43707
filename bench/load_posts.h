/* The mode --posts. */
#ifndef BENCH_LOAD_POSTS_H
#define BENCH_LOAD_POSTS_H

void run_posts(void);

#endif
