/* Promise 13: a socket that is full is waited for as often as it is, whoever waits: the loop and threads by turns. */

#include "support.h"

TEST(a_socket_that_is_full_again_and_again_is_waited_for_each_time)
{
    enum { SIZE = 512 << 10, ROUNDS = 12 };
    iouringnet_config config;
    iouringnet_net *net;
    iouringnet_sink *sink;
    iouringnet_stream *stream;
    char *data = take(SIZE), *got = take(SIZE);
    int peer;

    config_of_mode(&config);
    config.send_buffer = 16 << 10;
    net = net_with(&config);
    peer = raw_peer_sized(net, 16 << 10, 0, &sink, &stream);
    for (uint32_t round = 0; round < ROUNDS; round++) {
        struct sender sender = {.sink = sink, .data = data, .size = SIZE};
        struct result result = RESULT;
        bool blocks = round % 3 > 0; /* twice, so that the loop's poll is met by a thread that waits, and is gone after it */
        pthread_t thread = 0;

        pattern_fill(data, SIZE, 0, round);
        if (blocks)
            thread = spawn(sender_run, &sender);
        else
            CHECK_OK(sink_send_async(sink, data, SIZE, result_store, &result, NULL));
        raw_recv(peer, got, SIZE);
        pattern_check(got, SIZE, 0, round);
        if (blocks) {
            join(thread);
            CHECK_OK(sender.status);
        } else {
            CHECK_OK(result_wait(&result));
        }
        settle(net);
    }
    sink_close(sink);
    stream_close(stream);
    raw_close(peer);
    CHECK_OK(net_stop(net));
    free(data);
    free(got);
}
