/* Promise 1: receives that wait one behind the other are cancelled one by one, and the others complete. */

#include "harness.h"

/* at once, in front and behind, while nothing else happens to the stream */
TEST(receives_behind_one_another_are_cancelled_one_by_one) {
    enum { COUNT = 4 };
    static const int order[COUNT - 1] = {2, 0, 1};
    struct pair p = tcp_pair();
    iouringnet_op *ops[COUNT];
    char into[COUNT];

    for (int i = 0; i < COUNT; i++)
        CHECK_OK(stream_recv_async(p.b.stream, &into[i], 1, NULL, NULL, &ops[i]));
    settle(p.b.net);
    for (int i = 0; i < COUNT - 1; i++) {
        CHECK_OK(op_cancel(ops[order[i]]));
        CHECK_STATUS(op_finish(ops[order[i]], NULL), IOURINGNET_CANCELLED);
    }
    CHECK_STATUS(op_wait(ops[COUNT - 1], 0, NULL), IOURINGNET_PENDING);
    CHECK_OK(sink_send(p.a.sink, "x", 1, NULL));
    CHECK_OK(op_finish(ops[COUNT - 1], NULL));
    CHECK_EQ(into[COUNT - 1], 'x');
    pair_close(&p);
}
