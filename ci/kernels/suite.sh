#!/bin/sh
# Runs the tests of a list that ci/kernels/tests.py wrote, in a machine that has busybox and no ctest.
# usage: suite.sh LIST JOBS SECONDS; no test begins later than SECONDS after the start
# It prints "@ begin NAME" and then "@ passed NAME SECONDS", "@ failed ...", "@ skipped ..." or "@ not-run NAME". The last
# lines of what a test printed follow a failure and a skip; they begin with "@ |".
list=$1
jobs=$2
SUITE_DIRECTORY=/tmp/suite
mkdir -p "$SUITE_DIRECTORY"
read -r began _ </proc/uptime
SUITE_END=$((${began%.*} + $3))
# The harness ends a test that hangs. This is for a process that it cannot end.
SUITE_MOST=$((300 + 30 * ${IOURINGNET_TEST_PATIENCE:-1}))
export SUITE_DIRECTORY SUITE_END SUITE_MOST

cat >"$SUITE_DIRECTORY/one.sh" <<'ONE'
tab=$(printf '\t')
IFS=$tab read -r name alone environment directory command <<LINE
$1
LINE
read -r began _ </proc/uptime
[ "${began%.*}" -lt "$SUITE_END" ] || { echo "@ not-run $name"; exit 0; }
[ "$environment" != - ] || environment=
echo "@ begin $name"
output=$SUITE_DIRECTORY/$$
cd "$directory" || exit 0
# shellcheck disable=SC2086
env $environment timeout -s KILL "$SUITE_MOST" sh -c "exec $command" >"$output" 2>&1 </dev/null
status=$?
read -r ended _ </proc/uptime
case $status in
    0) result=passed ;;
    77) result=skipped ;;
    *) result=failed ;;
esac
{
    echo "@ $result $name $((${ended%.*} - ${began%.*})) s, exit status $status"
    [ $status = 0 ] || tail -n 6 "$output" | sed 's/^/@ | /'
} >"$output.said"
cat "$output.said"
rm -f "$output" "$output.said"
ONE

# The tests that measure time run last, one by one.
for alone in - alone; do
    [ $alone = - ] || jobs=1
    awk -F '\t' -v alone=$alone '$2 == alone' "$list" | tr '\n' '\0' |
        xargs -0 -r -n 1 -P "$jobs" sh "$SUITE_DIRECTORY/one.sh"
done
