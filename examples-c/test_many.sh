#!/bin/sh
# test_many.sh MANY [--no-first-try]: 2,000 connections upload and all end well, within a minute on an ordinary machine.
program=$1
shift
exec "$program" 2000 --seconds $((60 * ${IOURINGNET_TEST_PATIENCE:-1})) "$@"
