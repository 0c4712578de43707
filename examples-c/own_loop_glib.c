/* own_loop_glib: an echo server inside a main loop of GLib, as GTK programs and many daemons have one.
 *
 * What it teaches:
 *   - g_unix_fd_add on the descriptor of net_fd: GLib waits, and net_dispatch does what there is to do;
 *   - that callbacks of GLib and of the net run on one thread, and need no mutex between them.
 *
 * The echo itself is in own_loop_echo.h.
 *
 * To compile it:   cc -o own_loop_glib own_loop_glib.c -liouringnet $(pkg-config --cflags --libs glib-2.0)
 * To try it:       ./own_loop_glib &   then   nc -N 127.0.0.1 7000 < some_file | cmp - some_file
 */
#include <glib-unix.h>

#include "own_loop_echo.h"

struct program {
    iouringnet_net *net;
    iouringnet_status status; /* why the loop ended */
    GMainLoop *loop;
};

static gboolean on_readable(gint descriptor, GIOCondition condition, gpointer user) {
    struct program *program = user;
    (void)descriptor;
    (void)condition;
    iouringnet_status status = net_dispatch(program->net, 0);
    if (status == IOURINGNET_OK || status == IOURINGNET_TIMEOUT)
        return G_SOURCE_CONTINUE;
    program->status = status;
    g_main_loop_quit(program->loop);
    return G_SOURCE_REMOVE;
}

static gboolean on_signal(gpointer user) {
    struct program *program = user;
    g_main_loop_quit(program->loop);
    return G_SOURCE_CONTINUE;
}

int main(int argc, char **argv) {
    int code, descriptor;
    const char *address = address_of("own_loop_glib", argc, argv, &code);
    if (address == NULL)
        return code;
    struct program program = {.net = start_echo("own_loop_glib", address)};
    if (program.net == NULL)
        return 1;

    program.loop = g_main_loop_new(NULL, FALSE);
    program.status = net_fd(program.net, &descriptor);
    if (program.status == IOURINGNET_OK) {
        guint net = g_unix_fd_add(descriptor, G_IO_IN, on_readable, &program);
        guint interrupt = g_unix_signal_add(SIGINT, on_signal, &program);
        guint terminate = g_unix_signal_add(SIGTERM, on_signal, &program);
        g_main_loop_run(program.loop);
        if (program.status == IOURINGNET_OK)
            g_source_remove(net); /* before net_stop, which closes the descriptor */
        g_source_remove(interrupt);
        g_source_remove(terminate);
    }
    g_main_loop_unref(program.loop);
    return stop_echo("own_loop_glib", program.net, program.status);
}
