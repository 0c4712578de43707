/* own_loop_libuv: an echo server inside a loop of libuv.
 *
 * What it teaches:
 *   - uv_poll_t on the descriptor of net_fd: libuv waits, and net_dispatch does what there is to do;
 *   - that callbacks of libuv and of the net run on one thread, and need no mutex between them;
 *   - the end: libuv stops to poll before net_stop closes the descriptor.
 *
 * The echo itself is in own_loop_echo.h.
 *
 * To compile it:   cc -o own_loop_libuv own_loop_libuv.c -liouringnet -luv
 * To try it:       ./own_loop_libuv &   then   nc -N 127.0.0.1 7000 < some_file | cmp - some_file
 */
#define _GNU_SOURCE /* what uv.h needs under -std=c11 */

#include <uv.h>

#include "own_loop_echo.h"

struct program {
    iouringnet_net *net;
    iouringnet_status status; /* why the loop ended */
    uv_poll_t poll;
    uv_signal_t interrupt, terminate;
};

/* Closes everything that the loop waits for. Then uv_run returns. */
static void quit(struct program *program, iouringnet_status status) {
    if (uv_is_closing((uv_handle_t *)&program->poll))
        return;
    program->status = status;
    uv_close((uv_handle_t *)&program->poll, NULL);
    uv_close((uv_handle_t *)&program->interrupt, NULL);
    uv_close((uv_handle_t *)&program->terminate, NULL);
}

static void on_readable(uv_poll_t *poll, int failure, int events) {
    struct program *program = poll->data;
    (void)events;
    iouringnet_status status = failure == 0 ? net_dispatch(program->net, 0) : failure; /* of libuv: a negated errno */
    if (status != IOURINGNET_OK && status != IOURINGNET_TIMEOUT)
        quit(program, status);
}

static void on_signal(uv_signal_t *signal, int number) {
    (void)number;
    quit(signal->data, IOURINGNET_OK);
}

/* Makes the loop wait for the net and for two signals. Returns an error of libuv, or 0. */
static int begin(struct program *program, uv_loop_t *loop) {
    uv_signal_init(loop, &program->interrupt);
    uv_signal_init(loop, &program->terminate);
    program->poll.data = program->interrupt.data = program->terminate.data = program;
    int failure = uv_poll_start(&program->poll, UV_READABLE, on_readable);
    if (failure == 0)
        failure = uv_signal_start(&program->interrupt, on_signal, SIGINT);
    if (failure == 0)
        failure = uv_signal_start(&program->terminate, on_signal, SIGTERM);
    return failure;
}

int main(int argc, char **argv) {
    int code, descriptor;
    const char *address = address_of("own_loop_libuv", argc, argv, &code);
    if (address == NULL)
        return code;
    struct program program = {.net = start_echo("own_loop_libuv", address)};
    if (program.net == NULL)
        return 1;

    uv_loop_t *loop = uv_default_loop();
    iouringnet_status status = net_fd(program.net, &descriptor);
    if (status == IOURINGNET_OK)
        status = uv_poll_init(loop, &program.poll, descriptor);
    if (status == IOURINGNET_OK) {
        int failure = begin(&program, loop);
        if (failure != 0)
            quit(&program, failure);
        uv_run(loop, UV_RUN_DEFAULT);
        status = program.status;
    }
    uv_loop_close(loop);
    return stop_echo("own_loop_libuv", program.net, status);
}
