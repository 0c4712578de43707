#!/usr/bin/env python3
"""Checks run.py where it measures nothing: results that are kept, the charts and the table made of them, and what it says of
the machine. The charts in docs/ and the table in docs/PERFORMANCE.md must be those of the file of results that this document
names. After a change: run the command that it names, and put the table that is printed in its place.
"""
import os
import re
import socket
import subprocess
import sys
import tempfile
import threading
import xml.dom.minidom

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
sys.path.insert(0, HERE)
import charts
import run
import wrk

BAD = []


def check(name, holds):
    print(("ok      " if holds else "NOT OK  ") + name)
    if not holds:
        BAD.append(name)


def read(path):
    with open(os.path.join(ROOT, path)) as file:
        return file.read()


def charts_are_those_of_the_results(document, results):
    with tempfile.TemporaryDirectory() as directory:
        made = subprocess.run([sys.executable, os.path.join(HERE, "run.py"), "--charts", results, "--out", directory], cwd=ROOT,
                              capture_output=True, text=True, timeout=60)
        check("run.py makes charts of " + results, made.returncode == 0)
        for chart in charts.CHARTS:
            path = os.path.join("docs", chart.file)
            with open(os.path.join(directory, chart.file)) as file:
                check(path + " is what it makes", file.read() == read(path))
            check("docs/PERFORMANCE.md shows " + path, f"]({chart.file})" in document)
    check("docs/PERFORMANCE.md has the table that it prints", made.stdout in document)


def every_figure_of_a_chart_is_in_the_results(results):
    runs = run.read_results(os.path.join(ROOT, results))
    cases = {case["case"]: case["servers"] for one in runs for case in one["cases"]}
    for chart in charts.CHARTS:
        text = charts.draw(chart, cases, runs[0]["about"])
        xml.dom.minidom.parseString(text)
        for panel in chart.panels:
            shown = charts.rows(panel, cases[panel.case])
            groups = [group for group, _, _ in shown]
            check(f"{chart.file}, {panel.case}: the library, one floor and seven peers",
                  "ours" in groups and groups.count("floor") == 1 and groups.count("peer") == 7)
            check(f"{chart.file}, {panel.case}: the best first",
                  [f[panel.figure] for _, _, f in shown] == sorted(f[panel.figure] for _, _, f in shown))


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


def each_engine_has_its_floor():
    case = run.Case("echo_64b_64", ())
    costs = {"floor_io_uring": 2.0, "floor_epoll": 4.0, "ours_callback": 3.0, "ours_callback_epoll": 5.0}
    results = {server: {"cpu_us_per_msg": cost} for server, cost in costs.items()}
    run.compare(case, results)
    check("the library over io_uring is compared with one ring", results["ours_callback"]["to_floor"] == 1.5)
    check("the library over epoll is compared with epoll", results["ours_callback_epoll"]["to_floor"] == 1.25)
    del results["floor_epoll"]
    run.compare(case, results)
    check("or with one ring where that is missing", results["ours_callback_epoll"]["to_floor"] == 2.5)


def the_machine_is_named():
    about = run.about(run.Bench("", 0.2, 0.05, [0, 1], "its own"), 20)
    lines = run.about_lines(about)
    check("each line about a run is one line", all(text.startswith("# ") and "\n" not in text for text in lines))
    check("the processor has a name", about["processor"] != "" and about["processor"] in lines[0])
    with tempfile.NamedTemporaryFile("w") as file:
        file.write("processor\t: 0\ncpu family\t: 25\nmodel\t\t: 17\nmodel name\t: AMD EPYC\nstepping\t: 1\n")
        file.flush()
        check("a processor is told from others of its line", run.processor(file.name) == "AMD EPYC, family 25, model 17")
    check("a processor without a name is its architecture", run.processor("/none") == run.platform.machine())
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


def a_quick_run_is_short():
    with tempfile.TemporaryDirectory() as directory:
        for program in {server.program for server in run.SERVERS}:
            with open(os.path.join(directory, program), "w") as file:
                os.fchmod(file.fileno(), 0o755)
        sys.argv = ["run.py", "--quick", "--directory", directory]
        quick = run.arguments()
        servers = run.select_servers(quick)
        quick.budget = None
        seconds = run.estimate(quick, [(c, s) for c in run.CASES if c.quick for s in servers
                                       if run.takes_part(c, s, quick.variants)])
        check(f"a quick run of all servers takes less than 100 s: {seconds:.0f} s", 30 < seconds < 100)
        sys.argv += ["--servers", "^floor_inline$"]
        check("a quick run has a server that is asked for",
              [s.name for s in run.select_servers(run.arguments())] == ["floor_inline"])


WRK_TEXT = """Running 2s test @ http://127.0.0.1:35517/
  1 threads and 1000 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency    43.72ms   23.21ms 203.71ms   73.53%
    Req/Sec    20.94k     3.38k   27.65k    70.00%
  Latency Distribution
     50%   41.50ms
     75%   53.36ms
     90%   71.09ms
     99%    1.25s
  41921 requests in 2.07s, 7.24MB read
Requests/sec:  20295.46
Transfer/sec:      3.50MB
"""


def fails(call, *arguments):
    """What the error says, or None."""
    try:
        call(*arguments)
        return None
    except wrk.Error as error:
        return str(error)


def wrk_is_understood():
    check("wrk's report is read", wrk.reported(WRK_TEXT) ==
          {"requests": 41921, "msgs_per_s": 20295.46, "p50_us": 41500.0, "p99_us": 1250000.0})
    for line in ("  Socket errors: connect 0, read 3, write 0, timeout 0", "  Non-2xx or 3xx responses: 1"):
        told = fails(wrk.reported, WRK_TEXT.replace("Requests/sec", line + "\nRequests/sec"))
        check("fails: " + line.strip(), told is not None and line.strip() in told)
    check("fails: no requests", fails(wrk.reported, WRK_TEXT.replace("41921 requests", "0 requests")) is not None)
    check("fails: no report", fails(wrk.reported, "") is not None)
    check("a run of wrk lasts whole seconds", [wrk.duration(s) for s in (0.2, 2, 2.1)] == [2, 2, 3])


def an_answer_is_compared():
    good = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n" + wrk.BODY
    for name, answer, expected in (("the right answer passes", good, True),
                                   ("another status fails", good.replace(b"200 OK", b"404 Not Found"), False),
                                   ("a wrong byte fails", good[:-1] + b"!", False),
                                   ("a byte too few fails", good[:-1], False),
                                   ("a byte too many fails", good + b"!", False),
                                   ("a hang-up fails", b"", False)):
        with socket.create_server(("127.0.0.1", 0)) as listener:
            def serve():
                connection, _ = listener.accept()
                with connection:
                    connection.recv(1000)
                    connection.sendall(answer)
            thread = threading.Thread(target=serve)
            thread.start()
            told = fails(wrk.ask, "127.0.0.1:%d" % listener.getsockname()[1])
            thread.join()
        check("asked once over HTTP: " + name, (told is None) == expected)


def a_server_has_its_children_s_time():
    spin = "import sys, time; end = time.process_time() + 0.1\nwhile time.process_time() < end: pass\n"
    child = spin + "print(1, flush=True); sys.stdin.read()"
    program = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    parent = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    parent.stdout.readline()
    pids = wrk.family(parent.pid)
    check("a family is a process and its child", len(pids) == 2 and pids[0] == parent.pid)
    check("its time is that of both", wrk.cpu_seconds(pids) > wrk.cpu_seconds(pids[:1]) + 0.1)
    parent.communicate()
    check("a process that is gone is told", fails(wrk.cpu_seconds, pids) is not None)


def http_needs_wrk():
    installed, wrk.installed = wrk.installed, lambda: False
    left = {case.kind for case in run.select_cases(run.CASES)}
    wrk.installed = installed
    check("without wrk all cases but those of HTTP are left", left == {case.kind for case in run.CASES} - {"http"})


def main():
    document = read("docs/PERFORMANCE.md")
    named = re.search(r"run\.py --charts (bench/results/\S+\.json)", document)
    check("docs/PERFORMANCE.md names its results", named is not None)
    if named:
        charts_are_those_of_the_results(document, named.group(1))
        every_figure_of_a_chart_is_in_the_results(named.group(1))
    results_come_back_as_they_were_kept()
    each_engine_has_its_floor()
    the_machine_is_named()
    a_quick_run_is_short()
    wrk_is_understood()
    an_answer_is_compared()
    a_server_has_its_children_s_time()
    http_needs_wrk()
    return 1 if BAD else 0


if __name__ == "__main__":
    sys.exit(main())
