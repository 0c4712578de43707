#!/bin/sh
# test_usage.sh VERSION PROGRAM...: each prints its usage and its version if it is asked. If it does not know an argument, it
# prints its usage as an error. It does nothing else.
. "$(dirname "$0")/test_lib.sh"
version=$1
shift
[ "$#" -gt 10 ] || fail "there are more examples than these: $*"

# run EXPECTED ARGUMENT...: runs the program, which must end with that code.
run() {
    expected=$1
    shift
    "$program" "$@" >"$directory/output" 2>"$directory/error" </dev/null
    code=$?
    [ "$code" -eq "$expected" ] || fail "$name $* ends with $code, and not with $expected"
}

for program in "$@"; do
    name=${program##*/}
    run 0 --help
    head -n 1 "$directory/output" | grep -q "^usage: $name" || fail "$name --help prints no usage"
    [ ! -s "$directory/error" ] || fail "$name --help prints an error"
    cat "$directory/output" >"$directory/usage"

    run 0 --version
    [ "$(cat "$directory/output")" = "$name, libiouringnet $version" ] || fail "$name --version prints something else"
    [ ! -s "$directory/error" ] || fail "$name --version prints an error"

    run 2 --no-such-option
    cmp "$directory/error" "$directory/usage" || fail "$name does not print its usage as an error"
    [ ! -s "$directory/output" ] || fail "$name --no-such-option does something"
done
