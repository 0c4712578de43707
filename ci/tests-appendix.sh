#!/bin/sh
# Compares docs/TESTS.md with what c-tests/ makes; --write makes it anew.
# usage: ci/tests-appendix.sh [--write]
#
# A promise_NN_*.c belongs to promise NN. Any other file of tests names its place in its opening comment:
# `Promise N`, or `Rule: NAME` for a rule of docs/CONTRACT.md; a file without either is listed at the end.
set -eu
cd "$(dirname "$0")/.."

fresh=$(mktemp)
trap 'rm -f "$fresh"' EXIT
LC_ALL=C awk '
    function sentence(text,   end) { # the first one, without the mark of the place
        gsub(/Promise [0-9]+[.:,] +|Rule: [^.]*\. */, "", text)
        end = match(text, /[.]( |$)/)
        text = end ? substr(text, 1, end) : text
        if (text !~ /^[a-z]+_/) text = toupper(substr(text, 1, 1)) substr(text, 2) # not the name of a function
        return text
    }
    function end_of_comment(   place) {
        place = "Other"
        if (match(file, /promise_[0-9]+_/)) place = "Promise " (substr(file, RSTART + 8, RLENGTH - 9) + 0)
        else if (match(comment, /Promise [0-9]+/)) place = substr(comment, RSTART, RLENGTH)
        else if (match(comment, /Rule: [^.]*/)) place = substr(comment, RSTART + 6, RLENGTH - 6)
        list[place] = list[place] "\n`" file "`: " sentence(comment) "\n\n"
        where = place
        reading = 0
    }

    # The places, in the order of the contract.
    FILENAME == "docs/CONTRACT.md" {
        if (/^# Rules/) rules = 1
        if (/^# Statuses/) nextfile
        if (/^## /) {
            title = substr($0, 4)
            name = title
            if (!rules) { name = "Promise " (title + 0); sub(/^[0-9]+/, "Promise &", title) }
            places[++count] = name
            titles[name] = title
        }
        next
    }

    FNR == 1 { file = FILENAME; comment = ""; reading = 1 }
    reading {
        line = $0
        gsub(/^ *\/?\*? +| *\*\/ *$/, "", line)
        comment = comment (comment == "" ? "" : " ") line
        if (/\*\//) end_of_comment()
    }
    /^(\/\* [a-z ]+ \*\/ )?TEST\([a-z0-9_]+\)/ {
        match($0, /TEST\([a-z0-9_]+\)/)
        list[where] = list[where] "- `" substr($0, RSTART + 5, RLENGTH - 6) "`\n"
    }

    END {
        print "# The tests of the contract\n"
        print "`ci/tests-appendix.sh --write` makes this list from `c-tests/`. Each test runs under ctest in four modes. `/first-try`"
        print "asks the kernel on the calling thread first, as the default is, and `/rings-only` leaves everything to the two loops."
        print "Both are over io_uring. `/epoll-first-try` and `/epoll-loops-only` are the same over epoll. Exception: a test whose"
        print "result a mode cannot change runs in fewer modes. ctest names a test of a promise"
        print "`promise01.a_send_completes_once/first-try`, and a test of another file `fault_names.a_number_is_never_looked_up/first-try`."
        places[++count] = "Other"
        titles["Other"] = "All of this at once"
        for (at = 1; at <= count; at++) {
            if (places[at] in list) printf "\n## %s\n%s", titles[places[at]], list[places[at]]
            delete list[places[at]]
        }
        for (place in list) { print "docs/CONTRACT.md has no \"" place "\"" > "/dev/stderr"; exit 1 }
    }
' docs/CONTRACT.md c-tests/promise_*.c c-tests/fault_*.c c-tests/transfer*.c > "$fresh"

if [ "${1:-}" = --write ]; then
    cat "$fresh" > docs/TESTS.md
elif ! diff -u docs/TESTS.md "$fresh"; then
    echo "docs/TESTS.md is not what c-tests/ makes: run ci/tests-appendix.sh --write" >&2
    exit 1
fi
