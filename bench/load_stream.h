/* The modes --download and --upload. */
#ifndef BENCH_LOAD_STREAM_H
#define BENCH_LOAD_STREAM_H

void run_download(void);
void run_upload(void);

#endif
