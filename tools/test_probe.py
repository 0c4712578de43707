#!/usr/bin/env python3
"""test_probe.py PROBE FILTERED HEADER VERSION: iouringnet-probe says what is here, to people, to programs and to scripts, also
where io_uring is refused. FILTERED is ci/filtered.c, compiled. What this system cannot imitate is skipped aloud."""

import json
import os
import re
import resource
import subprocess
import sys
import tempfile
import unittest

PROBE, FILTERED, HEADER, VERSION = sys.argv[1:]
IO_URING, EPOLL, NO_NET, WRONG_USE = range(4)
NOBODY = 65534
SYSCTL = "/proc/sys/kernel/io_uring_disabled"


def run(*arguments, before=(), environment=None, prepare=None):
    """Runs the probe, after the commands `before`. `prepare` is called in the new process."""
    environment = {"PATH": os.environ["PATH"], **(environment or {})}
    for name in ("UBSAN_OPTIONS", "LD_LIBRARY_PATH"):
        if name in os.environ:
            environment[name] = os.environ[name]
    environment["ASAN_OPTIONS"] = "detect_leaks=0"  # the leak sanitizer needs calls that the filters refuse
    return subprocess.run(
        [*before, PROBE, *arguments], env=environment, preexec_fn=prepare, capture_output=True, timeout=300
    )


def read(path):
    with open(path) as file:
        return file.read()


def become_nobody():
    os.setgroups([])
    os.setresgid(NOBODY, NOBODY, NOBODY)
    os.setresuid(NOBODY, NOBODY, NOBODY)


class Probe(unittest.TestCase):
    def answer(self, **options):
        """The exit status and the object of --json, and that the text says the same."""
        asked = run("--json", **options)
        if asked.returncode == 77 and not asked.stdout:
            self.skipTest("no seccomp filter can be installed here")
        self.assertEqual(asked.stderr, b"")
        found = json.loads(asked.stdout)
        told = run(**options)
        self.assertEqual(told.returncode, asked.returncode)
        text = told.stdout.decode(errors="replace")
        self.assertIn(f"\n{found['text']}\n", text)
        first = {"io_uring": "A net gets io_uring here", "epoll": "A net gets epoll here", None: "No net can start here"}
        self.assertTrue(text.startswith(first[found["engine"]]), text)
        for advice in found["advice"]:
            self.assertIn(f"  - {advice}\n", text)
        codes = {"io_uring": IO_URING, "epoll": EPOLL, None: NO_NET}
        self.assertEqual(asked.returncode, codes[found["engine"]])
        return asked.returncode, found

    def refused(self, refusal, *words, **options):
        """A net uses epoll, and says why. If io_uring is demanded, no net starts."""
        code, found = self.answer(**options)
        self.assertEqual((code, found["engine"], found["status"]), (EPOLL, "epoll", "IOURINGNET_OK"))
        self.assertEqual(found["refusal"], refusal)
        self.assertFalse(any(found["features"].values()))
        demanding = {**options, "environment": {"IOURINGNET_ENGINE": "io_uring"}}
        code, demanded = self.answer(**demanding)
        self.assertEqual((code, demanded["engine"], demanded["refusal"]), (NO_NET, None, refusal))
        self.assertIn(demanded["status"], ("IOURINGNET_UNAVAILABLE", "IOURINGNET_LOCKED_MEMORY"))
        if found["settings"]["kernel.io_uring_disabled"] == 2 and words[0] == "seccomp filter":
            self.skipTest("the sysctl refuses io_uring here, and is named instead of the filter")
        for word in words:
            self.assertIn(word, found["text"])
            self.assertIn(word, demanded["text"])
        return demanded["status"]

    def as_nobody(self):
        """What makes a process one of an ordinary user. None: this process is that already."""
        if os.geteuid() != 0:
            return None
        try:
            run("--version", prepare=become_nobody).check_returncode()
        except (OSError, subprocess.SubprocessError):
            self.skipTest("an ordinary user cannot run the program where it is")
        return become_nobody

    def test_the_answer_names_what_is_here(self):
        _, found = self.answer()
        self.assertEqual(found["library"], VERSION)
        self.assertEqual(found["kernel"], os.uname().release)
        for name in ("memlock", "nofile", "nproc"):
            limits = resource.getrlimit(getattr(resource, f"RLIMIT_{name.upper()}"))
            soft, hard = (None if limit == resource.RLIM_INFINITY else limit for limit in limits)
            self.assertEqual(found["limits"][name], {"soft": soft, "hard": hard})
        self.assertIn("kernel.io_uring_disabled", found["settings"])
        for name, value in found["settings"].items():
            path = f"/proc/sys/{name.replace('.', '/')}"
            text = read(path).strip().replace("\t", " ") if os.path.exists(path) else None
            self.assertEqual(None if value is None else str(value), text, name)

    def test_the_answer_has_each_feature_of_the_header(self):
        _, found = self.answer()
        features = re.findall(r"#define IOURINGNET_FEATURE_(\w+) ", read(HEADER))
        self.assertEqual(sorted(found["features"]), sorted(name.lower() for name in features))
        named = re.findall(r"io_uring works here, with (.*)", found["text"])
        listed = [name for name, here in found["features"].items() if here]
        self.assertEqual(named, [", ".join(listed)] if listed else [])

    def test_an_ordinary_user_gets_an_answer(self):
        self.answer(prepare=self.as_nobody())

    def test_epoll_that_is_asked_for_is_no_refusal(self):
        code, found = self.answer(environment={"IOURINGNET_ENGINE": "epoll"})
        self.assertEqual((code, found["refusal"]), (EPOLL, None))
        self.assertEqual(found["environment"]["IOURINGNET_ENGINE"], "epoll")

    def test_a_filter_that_refuses_is_named(self):
        for profile in ("refused", "container"):
            status = self.refused("EPERM", "seccomp filter", before=[FILTERED, profile])
            self.assertEqual(status, "IOURINGNET_UNAVAILABLE")

    def test_a_filter_that_refuses_an_ordinary_user_is_named(self):
        self.refused("EPERM", "seccomp filter", before=[FILTERED, "refused"], prepare=self.as_nobody())

    def test_a_filter_that_hides_io_uring_is_named(self):
        self.refused("ENOSYS", "seccomp filter", before=[FILTERED, "hidden"])

    def test_a_sysctl_that_refuses_is_named(self):
        if os.geteuid() != 0 or not os.path.exists(SYSCTL):
            self.skipTest("only root can imitate the sysctl, and only where the kernel has it")
        for value in ("1", "2"):
            with tempfile.NamedTemporaryFile("w", suffix=".sysctl") as file:
                file.write(f"{value}\n")
                file.flush()
                mount = ["unshare", "--mount", "sh", "-c", 'mount --bind "$0" "$1" && shift && exec "$@"', file.name, SYSCTL]
                if subprocess.run([*mount, "true"], capture_output=True).returncode != 0:
                    self.skipTest("nothing can be mounted over the sysctl here")
                words = [f"kernel.io_uring_disabled is {value}"]
                self.refused("EPERM", *words, before=[*mount, FILTERED, "refused"])
                _, found = self.answer(before=[*mount, FILTERED, "refused"])
                self.assertEqual(found["settings"]["kernel.io_uring_disabled"], int(value))

    def test_a_user_who_may_lock_no_memory_learns_the_limit(self):
        nobody = self.as_nobody()

        def prepare():
            resource.setrlimit(resource.RLIMIT_MEMLOCK, (0, 0))
            if nobody:
                nobody()

        code, found = self.answer(prepare=prepare)
        self.assertEqual(found["limits"]["memlock"], {"soft": 0, "hard": 0})
        if code == IO_URING:  # before Linux 6.14 the kernel does not count rings
            self.assertTrue(any("locks" in advice for advice in found["advice"]), found["advice"])
        elif found["refusal"] == "ENOMEM":
            status = self.refused("ENOMEM", "RLIMIT_MEMLOCK", " 0 bytes", prepare=prepare)
            self.assertEqual(status, "IOURINGNET_LOCKED_MEMORY")
        else:
            self.skipTest(f"io_uring is refused here: {found['text']}")

    def test_a_shortage_of_descriptors_lets_no_net_start(self):
        code, found = self.answer(prepare=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (5, 5)))
        self.assertEqual((code, found["status"], found["refusal"]), (NO_NET, "EMFILE", "EMFILE"))
        self.assertIn("RLIMIT_NOFILE", found["text"])
        self.assertTrue(any("ulimit -n" in advice for advice in found["advice"]), found["advice"])

    def test_every_text_is_escaped(self):
        for text in ('"', "\\", "\n\t\x01\x7f", "\u00e9\u20ac\U0001f600", "</script>", "\\u0041", '{"a": [1, null]}'):
            _, found = self.answer(environment={"IOURINGNET_SENDS": text})
            self.assertEqual(found["environment"]["IOURINGNET_SENDS"], text)
        for raw in (b"\xff", b"\xc3", b"\xe2\x82", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xf0\x80\x80\x80"):
            told = run("--json", environment={"IOURINGNET_SENDS": b"a" + raw + b"z"})
            value = json.loads(told.stdout.decode())["environment"]["IOURINGNET_SENDS"]
            self.assertEqual(value, "a" + "\ufffd" * len(raw) + "z")

    def test_no_text_moves_the_cursor(self):
        told = run(environment={"IOURINGNET_SENDS": "\x1b[2J\r"})
        self.assertIn(b"?[2J?\n", told.stdout)

    def test_help_and_version(self):
        told = run("--help")
        self.assertEqual((told.returncode, told.stderr), (0, b""))
        self.assertTrue(told.stdout.startswith(b"usage: iouringnet-probe "))
        version = run("--version")
        self.assertEqual((version.returncode, version.stdout), (0, f"iouringnet-probe, libiouringnet {VERSION}\n".encode()))
        for arguments in (["--no-such-option"], ["x"], ["--json", "--json"], [""]):
            refused = run(*arguments)
            self.assertEqual((refused.returncode, refused.stdout, refused.stderr), (WRONG_USE, b"", told.stdout))

    def test_an_answer_that_cannot_be_printed_is_none(self):
        for arguments in ([], ["--json"], ["--help"], ["--version"]):
            with open("/dev/full", "w") as full:
                told = subprocess.run([PROBE, *arguments], stdout=full, stderr=subprocess.PIPE, timeout=300)
            self.assertEqual(told.returncode, WRONG_USE)
            self.assertIn(b"No space left on device", told.stderr)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
