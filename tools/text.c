/* The answer for people. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "probe.h"

/* What comes from the environment must not move the cursor of a terminal. */
static void print_plain(const char *text) {
    for (; *text != 0; text++)
        putchar((unsigned char)*text < ' ' || *text == 127 ? '?' : *text);
}

static void print_answer(const iouringnet_probe_result *probe) {
    if (probe->status != IOURINGNET_OK)
        printf("No net can start here: net_start returns %s%s.\n", probe->error == -probe->status ? "-" : "",
               iouringnet_errname(probe->status));
    else if (probe->engine == IOURINGNET_ENGINE_IO_URING)
        printf("A net gets io_uring here.\n");
    else if (probe->error != 0)
        printf("A net gets epoll here, because the system refuses io_uring. It works, and takes more CPU time.\n");
    else
        printf("A net gets epoll here, because IOURINGNET_ENGINE asks for it.\n");
    printf("%s\n\n", probe->text);
}

static void print_setting(const char *name, const char *value) {
    printf("  %-29s ", name);
    print_plain(value);
    printf("\n");
}

static const char *limit_text(rlim_t limit, char *text, size_t size) {
    if (limit == RLIM_INFINITY)
        return "unlimited";
    snprintf(text, size, "%ju", (uintmax_t)limit);
    return text;
}

static void print_limit(const struct limit *limit) {
    char soft[24], hard[24];
    printf("  %-29s %s, at most %s: %s\n", limit->name, limit_text(limit->value.rlim_cur, soft, sizeof soft),
           limit_text(limit->value.rlim_max, hard, sizeof hard), limit->bounds);
}

static void print_features(uint32_t found) {
    printf("features\n");
    for (size_t i = 0; i < FEATURES; i++)
        printf("  %-29s %s, from Linux %s\n", features[i].name, found & features[i].bit ? "yes" : "no",
               features[i].since);
}

void print_text(const struct system *here) {
    print_answer(&here->probe);
    printf("kernel %s, library %s\n", here->probe.kernel, here->version);
    if (here->probe.engine == IOURINGNET_ENGINE_IO_URING)
        print_features(here->probe.features);
    printf("limits\n");
    for (size_t i = 0; i < LIMITS; i++)
        print_limit(&here->limits[i]);
    printf("settings\n");
    for (size_t i = 0; i < SETTINGS; i++)
        print_setting(here->settings[i].name, here->settings[i].value[0] != 0 ? here->settings[i].value : "not here");
    print_setting("seccomp filter", here->has_seccomp_filter ? "yes" : "no");
    for (size_t i = 0; i < VARIABLES; i++)
        if (getenv(variables[i]) != NULL)
            print_setting(variables[i], getenv(variables[i]));
    for (size_t i = 0; i < here->advice_count; i++)
        printf("%s  - %s\n", i == 0 ? "advice\n" : "", here->advice[i]);
}
