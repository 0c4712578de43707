#!/usr/bin/env bash
# What net_metrics writes is what Prometheus reads: its own parser, prometheus_client of PyPI, finds each number of net_stats.
# Needs `make`.
set -euo pipefail
cd "$(dirname "$0")/.."
version=0.26.0
sha256=fa93d06737aa02bacd05794768508bb97d2fbee28cb3bca04eaae92f0ca953d6
to=build/prometheus_client-$version

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
if [ ! -d "$to" ]; then
    echo "prometheus_client==$version --hash=sha256:$sha256" >"$work/wanted"
    timeout 120 python3 -m pip install --quiet --disable-pip-version-check --root-user-action=ignore --require-hashes --no-deps \
        --only-binary :all: --target "$work/client" -r "$work/wanted" ||
        { echo "SKIPPED: prometheus_client cannot be had"; exit 0; }
    mv "$work/client" "$to"
fi
cc -Wall -Wextra -Werror -Iinclude ci/metrics.c -Lbuild -liouringnet -Wl,-rpath,"$PWD/build" -o "$work/metrics"
for engine in io_uring epoll; do
    if ! IOURINGNET_ENGINE=$engine "$work/metrics" >"$work/text" 2>"$work/stats"; then
        [ "$engine" = io_uring ] && ! IOURINGNET_ENGINE=io_uring build/tools/iouringnet-probe >/dev/null ||
            { echo "the net does not tell its metrics"; exit 1; }
        echo "SKIPPED: io_uring is refused here"
        continue
    fi
    PYTHONPATH=$to python3 ci/metrics.py "$engine" "$work/text" "$work/stats"
done
