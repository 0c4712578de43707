/* A progress bar in one line of a terminal, which is gone when it has ended. */
#ifndef BAR_H
#define BAR_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BAR_WIDTH 40

/* A pipe, a file and a dumb terminal get no bar, nor does a user who wants plain output (https://no-color.org). */
static inline bool bar_is_wanted(void) {
    const char *plain = getenv("NO_COLOR"), *terminal = getenv("TERM");
    return isatty(STDOUT_FILENO) && (plain == NULL || plain[0] == 0) && terminal != NULL &&
           strcmp(terminal, "dumb") != 0;
}

/* Draws the bar where it has changed. One thread at a time calls it. */
static inline void bar_draw(const char *what, uint64_t done, uint64_t whole) {
    static const char full[] = "########################################";
    static const char *shown_what;
    static int shown = -1, wanted = -1;
    if (wanted < 0)
        wanted = bar_is_wanted();
    int percent = done < whole ? (int)((double)done / (double)whole * 100) : 100;
    if (!wanted || (percent == shown && what == shown_what))
        return;
    shown = percent;
    shown_what = what;
    printf("\r   %-10s [%-*.*s] %3d %%", what, BAR_WIDTH, percent * BAR_WIDTH / 100, full, percent);
    fflush(stdout);
}

/* Clears the line for other output. */
static inline void bar_end(void) {
    if (bar_is_wanted())
        printf("\r%*s\r", BAR_WIDTH + 24, "");
}

#endif
