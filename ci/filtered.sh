# Runs commands and the C tests under a seccomp filter of ci/filtered.c. ci/containers.sh and ci/refused.sh source it.
# `profile` is the filter's name. `work` becomes a directory for what the script writes.
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cc -Wall -Wextra -Werror ci/filtered.c -o "$work/filtered"
"$work/filtered" "$profile" true || { echo "SKIPPED: no seccomp filter can be installed here"; exit 0; }

filtered() { # COMMAND...
    "$work/filtered" "$profile" "$@"
}

# Exits if a test fails. ctest's words are in $work/tests then and later.
filtered_tests() { # CTEST ARGUMENTS...
    local result=0
    filtered ctest --preset release --parallel "$(nproc)" "$@" >"$work/tests" 2>&1 || result=$?
    if [ "$result" != 0 ]; then
        cat "$work/tests"
        exit "$result"
    fi
    grep "tests passed" "$work/tests"
}
