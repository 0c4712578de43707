/* Asks the library and the system what is here. */
#define _GNU_SOURCE /* for RLIMIT_MEMLOCK and RLIMIT_NPROC under -std=c11 */

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "probe.h"

#define RINGS_SIZE (108 * 1024) /* locked memory of a net with the default config */
#define BACKLOG 4096            /* what a listener asks for by default */
#define FEW_DESCRIPTORS 65536

const struct feature features[FEATURES] = {
    {"defer_taskrun", IOURINGNET_FEATURE_DEFER_TASKRUN, "6.1"},
    {"coop_taskrun", IOURINGNET_FEATURE_COOP_TASKRUN, "5.19, without defer_taskrun"},
    {"buffer_ring", IOURINGNET_FEATURE_BUFFER_RING, "5.19"},
    {"no_iowait", IOURINGNET_FEATURE_NO_IOWAIT, "6.15"},
    {"multishot", IOURINGNET_FEATURE_MULTISHOT, "6.17"},
    {"send_msg_ring", IOURINGNET_FEATURE_SEND_MSG_RING, "6.13"},
    {"silent_sends", IOURINGNET_FEATURE_SILENT_SENDS, "6.1"},
};

const char *const variables[VARIABLES] = {"IOURINGNET_ENGINE", "IOURINGNET_FEATURES_OFF", "IOURINGNET_SENDS"};

enum { MEMLOCK, NOFILE, NPROC };
static const struct limit limits[LIMITS] = {
    [MEMLOCK] = {.name = "memlock", .resource = RLIMIT_MEMLOCK, .bounds = "bytes that the user may lock, for rings"},
    [NOFILE] = {.name = "nofile", .resource = RLIMIT_NOFILE, .bounds = "descriptors of a process"},
    [NPROC] = {.name = "nproc", .resource = RLIMIT_NPROC, .bounds = "threads of the user"},
};

enum { IO_URING_DISABLED, IO_URING_GROUP, SOMAXCONN_SETTING, PORT_RANGE, USER_WATCHES, FILE_MAX };
static const char *const settings[SETTINGS] = {
    [IO_URING_DISABLED] = "kernel.io_uring_disabled", [IO_URING_GROUP] = "kernel.io_uring_group",
    [SOMAXCONN_SETTING] = "net.core.somaxconn",       [PORT_RANGE] = "net.ipv4.ip_local_port_range",
    [USER_WATCHES] = "fs.epoll.max_user_watches",     [FILE_MAX] = "fs.file-max",
};

/* Reads the first line of a file, with spaces for tabs. Leaves `line` empty if there is none. */
static void read_line(const char *path, char *line, int size) {
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return;
    if (fgets(line, size, file) == NULL)
        line[0] = 0;
    fclose(file);
    line[strcspn(line, "\n")] = 0;
    for (char *tab = line; (tab = strchr(tab, '\t')) != NULL;)
        *tab = ' ';
}

static void read_setting(struct setting *setting, const char *name) {
    const char directory[] = "/proc/sys/";
    char path[96];
    setting->name = name;
    snprintf(path, sizeof path, "%s%s", directory, name);
    for (char *dot = path; (dot = strchr(dot, '.')) != NULL;)
        *dot = '/';
    read_line(path, setting->value, sizeof setting->value);
}

static bool read_seccomp(void) {
    char line[128];
    int mode = 0;
    FILE *status = fopen("/proc/self/status", "re");
    if (status == NULL)
        return false;
    while (fgets(line, sizeof line, status) != NULL && sscanf(line, "Seccomp: %d", &mode) != 1) {
    }
    fclose(status);
    return mode == 2;
}

__attribute__((format(printf, 2, 3))) static void advise(struct system *here, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(here->advice[here->advice_count++], sizeof here->advice[0], format, arguments);
    va_end(arguments);
}

/* What a refusal demands is in the text of the probe. This is what else helps. Each advice is given once. */
static void find_advice(struct system *here) {
    const rlim_t memlock = here->limits[MEMLOCK].value.rlim_cur;
    const rlim_t files = here->limits[NOFILE].value.rlim_cur;
    const char *backlog = here->settings[SOMAXCONN_SETTING].value;
    if (here->probe.engine == IOURINGNET_ENGINE_IO_URING && memlock < RINGS_SIZE && geteuid() != 0)
        advise(
            here,
            "a net locks %d bytes, and gets smaller rings on Linux 6.14 and later: raise the limit with ulimit -l or "
            "LimitMEMLOCK=",
            RINGS_SIZE);
    if (files < FEW_DESCRIPTORS)
        advise(
            here,
            "each connection takes a descriptor, and a process may have %ju: for more, raise the limit with ulimit -n "
            "or LimitNOFILE=",
            (uintmax_t)files);
    if (backlog[0] != 0 && strtol(backlog, NULL, 10) < BACKLOG)
        advise(here,
               "at most %s connections of a listener wait to be accepted: as root, run sysctl -w net.core.somaxconn=%d",
               backlog, BACKLOG);
}

void look(struct system *here) {
    unsigned version = iouringnet_version();
    memset(here, 0, sizeof *here);
    snprintf(here->version, sizeof here->version, "%u.%u.%u", version >> 16, version >> 8 & 255, version & 255);
    for (size_t i = 0; i < LIMITS; i++) {
        here->limits[i] = limits[i];
        getrlimit(limits[i].resource, &here->limits[i].value);
    }
    for (size_t i = 0; i < SETTINGS; i++)
        read_setting(&here->settings[i], settings[i]);
    here->has_seccomp_filter = read_seccomp();

    iouringnet_probe_result_init(&here->probe);
    iouringnet_status status = iouringnet_probe(&here->probe);
    if (status != IOURINGNET_OK) {
        here->probe.status = status;
        snprintf(here->probe.text, sizeof here->probe.text, "%s", iouringnet_strerror(status));
    }
    find_advice(here);
}
