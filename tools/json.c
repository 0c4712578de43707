/* The answer for programs: one JSON object. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "probe.h"

/* The bytes of the character of UTF-8 at `s`. 0: it is none. */
static size_t character_size(const unsigned char *s) {
    size_t size = s[0] < 0x80 ? 1 : s[0] < 0xc2 ? 0 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : s[0] < 0xf5 ? 4 : 0;
    for (size_t i = 1; i < size; i++)
        if ((s[i] & 0xc0) != 0x80)
            return 0; /* also at the end of the text */
    bool too_long = (s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xf0 && s[1] < 0x90);
    bool no_character = (s[0] == 0xed && s[1] > 0x9f) || (s[0] == 0xf4 && s[1] > 0x8f);
    return too_long || no_character ? 0 : size;
}

/* NULL is null. A byte that is not UTF-8 becomes the replacement character. */
static void json_text(const char *text) {
    if (text == NULL) {
        printf("null");
        return;
    }
    putchar('"');
    for (const unsigned char *s = (const unsigned char *)text; *s != 0;) {
        size_t size = character_size(s);
        if (size == 0)
            printf("\\ufffd");
        else if (size == 1 && (*s < ' ' || *s == '"' || *s == '\\' || *s == 127))
            printf("\\u%04x", *s);
        else
            fwrite(s, 1, size, stdout);
        s += size == 0 ? 1 : size;
    }
    putchar('"');
}

/* Each member of an object stands on a line of its own. */
static int depth;
static bool is_first;

static void json_member(const char *name) {
    printf("%s\n%*s", is_first ? "" : ",", 2 * depth, "");
    is_first = false;
    json_text(name);
    printf(": ");
}

static void json_open(void) {
    putchar('{');
    depth++;
    is_first = true;
}

static void json_close(void) {
    depth--;
    printf("\n%*s}", 2 * depth, "");
    is_first = false;
}

static void json_field(const char *name, const char *text) {
    json_member(name);
    json_text(text);
}

static void json_limit(const char *name, rlim_t value) {
    json_member(name);
    if (value == RLIM_INFINITY)
        printf("null");
    else
        printf("%ju", (uintmax_t)value);
}

/* A number is a number, such as -1. net.ipv4.ip_local_port_range has two numbers, and is a text. */
static void json_setting(const struct setting *setting) {
    const char *value = setting->value;
    size_t sign = value[0] == '-';
    size_t digits = strspn(value + sign, "0123456789");
    json_member(setting->name);
    if (digits > 0 && value[sign + digits] == 0 && (value[sign] != '0' || digits == 1))
        printf("%s", value);
    else
        json_text(value[0] != 0 ? value : NULL);
}

static const char *engine_name(const iouringnet_probe_result *probe) {
    switch (probe->engine) {
    case IOURINGNET_ENGINE_IO_URING: return "io_uring";
    case IOURINGNET_ENGINE_EPOLL: return "epoll";
    default: return NULL;
    }
}

static void json_features(uint32_t found) {
    json_member("features");
    json_open();
    for (size_t i = 0; i < FEATURES; i++) {
        json_member(features[i].name);
        printf("%s", found & features[i].bit ? "true" : "false");
    }
    json_close();
}

static void json_limits(const struct limit *limits) {
    json_member("limits");
    json_open();
    for (size_t i = 0; i < LIMITS; i++) {
        json_member(limits[i].name);
        json_open();
        json_limit("soft", limits[i].value.rlim_cur);
        json_limit("hard", limits[i].value.rlim_max);
        json_close();
    }
    json_close();
}

static void json_advice(const struct system *here) {
    json_member("advice");
    putchar('[');
    for (size_t i = 0; i < here->advice_count; i++) {
        printf("%s", i == 0 ? "" : ", ");
        json_text(here->advice[i]);
    }
    putchar(']');
}

void print_json(const struct system *here) {
    json_open();
    json_field("engine", engine_name(&here->probe));
    json_field("status", iouringnet_errname(here->probe.status));
    json_field("refusal", here->probe.error != 0 ? iouringnet_errname(-here->probe.error) : NULL);
    json_field("text", here->probe.text);
    json_advice(here);
    json_field("library", here->version);
    json_field("kernel", here->probe.kernel);
    json_member("seccomp_filter");
    printf("%s", here->has_seccomp_filter ? "true" : "false");
    json_features(here->probe.features);
    json_limits(here->limits);
    json_member("settings");
    json_open();
    for (size_t i = 0; i < SETTINGS; i++)
        json_setting(&here->settings[i]);
    json_close();
    json_member("environment");
    json_open();
    for (size_t i = 0; i < VARIABLES; i++)
        json_field(variables[i], getenv(variables[i]));
    json_close();
    json_close();
    putchar('\n');
}
