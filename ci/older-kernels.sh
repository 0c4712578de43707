#!/usr/bin/env bash
# The C tests over io_uring once more without the features that older kernels lack: what 5.15 would get, as far as this kernel shows.
# usage: ci/older-kernels.sh [CTEST ARGUMENTS]
set -euo pipefail
cd "$(dirname "$0")/.."
export IOURINGNET_FEATURES_OFF=defer_taskrun,coop_taskrun,buffer_ring,no_iowait,multishot,send_msg_ring,silent_sends
ctest --preset release -LE epoll "$@"
