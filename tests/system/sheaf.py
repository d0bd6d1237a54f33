# SPDX-License-Identifier: Apache-2.0
"""What the system tests share: the built programs, data directories of their own, and eyes for the files.

The programs are driven as a user drives them; what they leave is looked at with Python's own SQLite, never with Sheaf's code.
Environment: SHEAF_BIN names the folder of the programs (default: build/bin of this checkout).
"""

import contextlib
import json
import os
import pathlib
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import unittest
import urllib.parse

TOP = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(os.environ.get("SHEAF_BIN", TOP / "build" / "bin"))
COORDINATOR = str(BIN / "coordinator")
SHARDD = str(BIN / "shardd")
CHINOOK = TOP.parent / "shared" / "data" / "chinook"
TIMEOUT_S = int(os.environ.get("SHEAF_TEST_TIMEOUT_S", 120))
SKIPPED = 77  # ctest's SKIP_RETURN_CODE

SHOP_TABLES = ("users", "products", "orders")


class Result:
    """One finished run of a program."""

    def __init__(self, argv, status, stdout, stderr):
        self.argv, self.status, self.stdout, self.stderr = argv, status, stdout, stderr

    def lines(self):
        return [json.loads(line) for line in self.stdout.splitlines()]

    def __str__(self):
        out = self.stdout if isinstance(self.stdout, str) else self.stdout.decode("utf-8", "replace")
        err = self.stderr if isinstance(self.stderr, str) else self.stderr.decode("utf-8", "replace")
        return f"$ {' '.join(map(str, self.argv))}\nexit {self.status}\n--- stdout\n{out[-6000:]}\n--- stderr\n{err[-6000:]}"


def environment(**extra):
    """Nothing of the caller's but HOME, PATH and what sanitizers and counts of lines need."""
    names = ("HOME", "PATH", "ASAN_OPTIONS", "LSAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS", "TMPDIR",
             "GCOV_PREFIX", "GCOV_PREFIX_STRIP", "GCOV_ERROR_FILE")
    kept = {name: os.environ[name] for name in names if name in os.environ}
    kept.update(extra)
    return kept


def start(*argv, stdin=subprocess.PIPE, env=None, cwd=None, preexec_fn=None):
    return subprocess.Popen([COORDINATOR, *map(str, argv)], stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                            env=env or environment(), cwd=cwd, preexec_fn=preexec_fn)


def run(*argv, input="", env=None, cwd=None, timeout=TIMEOUT_S, text=True, program=COORDINATOR, preexec_fn=None):
    """Runs a program to its end. `input` is text or bytes."""
    data = input.encode() if isinstance(input, str) else input
    done = subprocess.run([program, *map(str, argv)], input=data, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          env=env or environment(), cwd=cwd, timeout=timeout, preexec_fn=preexec_fn)
    out, err = done.stdout, done.stderr
    if text:
        out, err = out.decode("utf-8", "replace"), err.decode("utf-8", "replace")
    return Result([program, *argv], done.returncode, out, err)


def database(data, name):
    """The path of a database's file, by its rule (percent-encoding)."""
    encoded = "".join(c if c.isascii() and (c.isalnum() or c in "_-") else "".join(f"%{b:02X}" for b in c.encode())
                      for c in name)
    return os.path.join(data, encoded + ".db")


def connect(data, name):
    """A connection that only reads; the file's name may hold a percent sign, which a URI would decode."""
    return sqlite3.connect(f"file:{urllib.parse.quote(database(data, name))}?mode=ro", uri=True)


@contextlib.contextmanager
def opened(data, name):
    connection = connect(data, name)
    connection.text_factory = lambda raw: raw.decode("utf-8", "surrogateescape")
    try:
        yield connection
    finally:
        connection.close()


def rows(data, table, name=None, order="1"):
    """Every row of a table, as an outsider sees it."""
    quoted = table.replace('"', '""')
    with opened(data, name or table) as connection:
        return connection.execute(f'SELECT * FROM "{quoted}" ORDER BY {order}').fetchall()


def shardds_of(data):
    """Pids of the living shardd processes whose command line names this data directory."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                argv = file.read().split(b"\0")
            with open(f"/proc/{pid}/stat") as file:
                state = file.read().rsplit(")", 1)[1].split()[0]
        except OSError:
            continue
        if argv and argv[0].endswith(b"shardd") and str(data).encode() in argv and state != "Z":
            found.append(int(pid))
    return found


class Case(unittest.TestCase):
    """A test with a data directory of its own, which leaves no process behind."""

    maxDiff = 4000

    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="sheaf-test-")
        self.data = os.path.join(self.folder, "data")
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.addCleanup(self.no_shard_is_left)

    def no_shard_is_left(self):
        left = shardds_of(self.data)
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.assertEqual(left, [], "a shardd outlived its coordinator")

    def path(self, name, content=None):
        """A file in this test's folder, written when `content` is given."""
        path = os.path.join(self.folder, name)
        if content is not None:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "wb") as file:
                file.write(content.encode() if isinstance(content, str) else content)
        return path

    def ran(self, *argv, status=0, **options):
        """Runs the coordinator and expects an exit status."""
        result = run(*argv, **options)
        self.assertEqual(result.status, status, str(result))
        return result

    def insert(self, *objects, status=0, data=None, args=()):
        """`coordinator insert` of objects; the answers as objects."""
        text = "".join((o if isinstance(o, str) else json.dumps(o)) + "\n" for o in objects)
        return self.ran("insert", "--data", data or self.data, *args, input=text, status=status).lines()


def needs_chinook(test):
    return unittest.skipUnless(CHINOOK.is_dir(), f"no {CHINOOK.name} data beside this checkout")(test)


def main():
    """unittest.main, but a module in which every test was skipped says so to ctest."""
    program = unittest.main(module="__main__", exit=False, verbosity=2)
    outcome = program.result
    if not outcome.wasSuccessful():
        sys.exit(1)
    if outcome.testsRun and len(outcome.skipped) == outcome.testsRun:
        sys.exit(SKIPPED)
