/* Deadlines of receives that wait behind one another: each ends at its own time, in whatever order they were asked for.
   Rule: Timeouts. */

#include "support.h"

TEST(receives_behind_one_another_end_each_at_its_time)
{
    enum { COUNT = 4 };
    static const int64_t limits[COUNT] = {IOURINGNET_NO_TIMEOUT, 200, 1500 + 30000, 600};
    struct pair p = tcp_pair();
    struct result results[COUNT];
    char into[COUNT];
    int64_t began = now_ms();

    for (int i = 0; i < COUNT; i++) {
        result_init(&results[i]);
        CHECK_OK(stream_set_timeout(p.b.stream, limits[i]));
        CHECK_OK(stream_recv_async(p.b.stream, &into[i], 1, result_store, &results[i], NULL));
    }
    CHECK_STATUS(result_wait(&results[1]), IOURINGNET_TIMEOUT);
    CHECK_BETWEEN(now_ms() - began, 199, 15000);
    CHECK_STATUS(result_wait(&results[3]), IOURINGNET_TIMEOUT);
    CHECK_BETWEEN(now_ms() - began, 599, 15000);
    CHECK_OK(sink_send(p.a.sink, "xy", 2, NULL));
    CHECK_OK(result_wait(&results[0]));
    CHECK_OK(result_wait(&results[2]));
    pair_close(&p);
}
