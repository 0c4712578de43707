#!/usr/bin/env python3
"""Writes the ctest tests of a build as lines for ci/kernels/suite.sh: NAME, "alone" or "-", ENVIRONMENT, DIRECTORY, COMMAND.

Tabs divide the fields. usage: tests.py BUILD PATTERN
"""
import json
import re
import shlex
import subprocess
import sys

build, pattern = sys.argv[1:]
shown = subprocess.run(["ctest", "--show-only=json-v1"], cwd=build, check=True, capture_output=True, text=True)
for test in json.loads(shown.stdout)["tests"]:
    # The demo measures for some seconds, with limits of its own that are not for emulated machines.
    if not re.search(pattern, test["name"]) or test["name"].startswith("example.demo"):
        continue
    properties = {each["name"]: each["value"] for each in test["properties"]}
    environment = [each for each in properties.get("ENVIRONMENT", []) if "PATIENCE" not in each]
    command = test["command"]
    if command[0].endswith("/python3"):
        continue  # which is not there
    if command[0].endswith("/sh"):
        command = ["sh", *command[1:]]
    alone = "alone" if properties.get("RUN_SERIAL") else "-"
    print(test["name"], alone, " ".join(environment) or "-", properties["WORKING_DIRECTORY"], shlex.join(command), sep="\t")
