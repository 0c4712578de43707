#!/usr/bin/env python3
"""Checks run.py where it measures nothing: results that are kept, and what it says of the machine."""
import os
import sys
import tempfile

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import run

BAD = []


def check(name, holds):
    print(("ok      " if holds else "NOT OK  ") + name)
    if not holds:
        BAD.append(name)


def results_come_back_as_they_were_kept():
    case = run.Case("echo_64b_64", ())
    figures = run.summarise([{"cpu_us_per_msg": us, "msgs_per_s": 3e5} for us in (3.0, 3.1, 3.4)])
    results = {"ours_callback": figures, "libuv": dict(figures)}
    run.compare(case, results)
    about = {"date": "2026-01-01"}
    kept = run.as_run(about, [(case.name, results)])
    with tempfile.TemporaryDirectory() as directory:
        path = os.path.join(directory, "results.json")
        run.keep(path, [kept])
        run.keep(path, run.read_results(path) + [kept])
        check("a file of results holds what was kept", run.read_results(path) == [kept, kept])
    again = kept["cases"][0]["servers"]["ours_callback"]
    check("figures are kept with their digits", again["cpu_us_per_msg"] == 3.05 and again["msgs_per_s"] == 300000)
    check("the tables of kept figures are those of the run",
          run.markdown(case, kept["cases"][0]["servers"]) == run.markdown(case, results))


def the_machine_is_named():
    about = run.about(run.Bench("", 0.2, 0.05, [0, 1], "its own"), 20)
    lines = run.about_lines(about)
    check("each line about a run is one line", all(text.startswith("# ") and "\n" not in text for text in lines))
    check("the processor has a name", about["processor"] != "" and about["processor"] in lines[0])
    empty = about["empty_call_ns"]
    check(f"an empty system call takes between 10 ns and 20 us: {empty} ns", 10 < empty < 20000)
    with tempfile.TemporaryDirectory() as directory:
        for name, state in (("retbleed", "Not affected\n"), ("spectre_v2", "Mitigation: Retpolines; RSB filling\n"),
                            ("tsa", "Vulnerable: no microcode\n")):
            with open(os.path.join(directory, name), "w") as file:
                file.write(state)
        check("mitigations are one line without what the processor does not have",
              run.mitigations(directory) == "spectre_v2: Retpolines; RSB filling | tsa: Vulnerable: no microcode")
        check("a system that does not tell of them", run.mitigations(os.path.join(directory, "none")) == "unknown")


def main():
    results_come_back_as_they_were_kept()
    the_machine_is_named()
    return 1 if BAD else 0


if __name__ == "__main__":
    sys.exit(main())
