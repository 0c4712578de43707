/* Promise 13: a socket that is full is waited for as often as it is, whoever waits: the loop and threads by turns. */

#include "support.h"

TEST(a_socket_that_is_full_again_and_again_is_waited_for_each_time) {
    enum { SIZE = 512 << 10, ROUNDS = 12 };
    iouringnet_config config = config_of_mode();
    struct mixed m;
    char *data = take(SIZE), *got = take(SIZE);

    config.send_buffer = 16 << 10;
    m = mixed_pair_with(&config, 16 << 10);
    for (uint32_t round = 0; round < ROUNDS; round++) {
        struct sender sender = {.sink = m.sink, .data = data, .size = SIZE};
        struct result result = RESULT;
        bool blocks =
            round % 3 > 0; /* twice, so that the loop's poll is met by a thread that waits, and is gone after it */
        pthread_t thread = 0;

        pattern_fill(data, SIZE, 0, round);
        if (blocks)
            thread = spawn(sender_run, &sender);
        else
            CHECK_OK(sink_send_async(m.sink, data, SIZE, result_store, &result, NULL));
        raw_recv(m.peer, got, SIZE);
        pattern_check(got, SIZE, 0, round);
        if (blocks) {
            join(thread);
            CHECK_OK(sender.status);
        } else {
            CHECK_OK(result_wait(&result));
        }
        settle(m.net);
    }
    mixed_close(&m);
    free(data);
    free(got);
}
