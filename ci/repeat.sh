#!/usr/bin/env bash
# The tests of 96 clients at once, 20 times in a row, with the first try on and off. Needs `make`.
#   ci/repeat.sh                     the release build
#   ci/repeat.sh sanitize            another preset, built before
#   ci/repeat.sh release NAME 100    another test, another number
set -euo pipefail
cd "$(dirname "$0")/.."
preset=${1:-release} name=${2:-clients_96} times=${3:-20}
ctest --preset "$preset" -R "$name" --repeat "until-fail:$times"
