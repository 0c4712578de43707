/* engine: what a net waits by on this machine, and why: the probe before the start, the log and the statistics after it. */
#include <iouringnet.h>
#include <stdio.h>

/* [log] */
static void print_log(void *user, int32_t level, const char *text) {
    (void)user;
    fprintf(stderr, "engine: log: %s%s\n", level == IOURINGNET_LOG_WARN ? "warning: " : "", text);
}
/* [end] */

static const char *name_of(uint64_t engine) {
    return engine == IOURINGNET_ENGINE_IO_URING ? "io_uring" : engine == IOURINGNET_ENGINE_EPOLL ? "epoll" : "none";
}

int main(void) {
    /* [probe] */
    iouringnet_probe_result probe;
    iouringnet_probe_result_init(&probe);
    if (iouringnet_probe(&probe) == IOURINGNET_OK)
        printf("probe: %s, on Linux %s: %s\n", name_of(probe.engine), probe.kernel, probe.text);
    /* [end] */

    /* [start] */
    iouringnet_net *net;
    iouringnet_stats stats;
    iouringnet_config config;
    iouringnet_config_init(&config);
    config.log = print_log; /* IOURINGNET_LOG_WARN is the default: the choice of epoll is a warning */
    iouringnet_status status = net_start(&config, &net);
    if (status == IOURINGNET_OK) {
        iouringnet_stats_init(&stats);
        status = net_stats(net, &stats);
        if (status == IOURINGNET_OK)
            printf("net: %s\n", name_of(stats.engine));
        net_stop(net);
    }
    /* [end] */
    if (status != IOURINGNET_OK)
        fprintf(stderr, "engine: cannot start: %s\n", iouringnet_strerror(status));
    return status != IOURINGNET_OK;
}
