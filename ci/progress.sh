#!/bin/sh
# Runs a build, and prints in a few lines what it compiles. Its whole output goes to LOG, and is shown if it fails.
# usage: ci/progress.sh LOG COMMAND...
set -u
log=$1
shift

{ "$@" 2>&1; echo $? >"$log.status"; } | tee "$log" | awk '
    function line(text) { if (open) print ""; open = 0; print text; fflush() }
    /^ *Updating .* index/ { line("  looking up the crates") }
    /^ *Downloading crates/ { line("  downloading the crates") }
    /^ *Compiling iouringnet / { next } # its build script; the library itself comes last, without a line of its own
    /^ *Compiling / {
        if (!crates) line("  compiling the crates below, then the library as a whole, which takes the longest")
        if (!open) printf "   "
        crates = open = 1
        printf " %s", $2
        fflush()
    }
    /Building C object/ { if (!programs) line("  compiling the C programs"); programs = 1 }
    END { if (open) print "" }'
status=$(cat "$log.status")
rm -f "$log.status"
if [ "$status" -ne 0 ]; then cat "$log"; fi
exit "$status"
