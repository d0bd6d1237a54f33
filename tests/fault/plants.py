# SPDX-License-Identifier: Apache-2.0
"""Plants bugs, and looks whether the tests that are there for them notice.

A plant is a file tests/fault/plants/NAME.patch: a header, then a diff of the sources. The header says in one line each

    Bug: what is wrong with it, a sentence
    Test: what must fail: a name of ctest's, then arguments
    Said: what the failing test prints, or a part of it

and, where the test run has no time for it, "When: by option": then it is planted by its name or with --all.

One copy of the checkout, with one build, is kept in build/plants/: each plant in turn is put into it, built and taken out
again. A test that only drives programs runs beside the next plant's build, with hard links to what was built for it.
"""

import argparse
import concurrent.futures
import contextlib
import ctypes
import fcntl
import filecmp
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

TOP = pathlib.Path(__file__).resolve().parents[2]
PLANTS = TOP / "tests" / "fault" / "plants"
PROMISES = TOP / "docs" / "promises.md"
SECTION = "## Planted bugs"
PLACE = TOP / "build" / "plants"
SOURCES = ("CMakeLists.txt", "coordinator", "shardd", "shared", "tests", "docs")
OUTSIDE = ("fault", "system")  # tests in these rooms only drive programs
BESIDE = 2  # that many of them run at the same time
PR_SET_CHILD_SUBREAPER = 36


class Wrong(Exception):
    """What keeps a plant from being caught, and the text that shows it."""

    def __init__(self, what, shown=""):
        super().__init__(what)
        self.shown = shown


class Plant:
    def __init__(self, path):
        self.path, self.name = path, path.stem
        header, _, diff = path.read_text(encoding="utf-8").partition("diff --git ")
        lines = {word: re.findall(rf"^{word}: (\S.*)$", header, re.MULTILINE) for word in ("Bug", "Test", "Said")}
        if any(len(found) != 1 for found in lines.values()) or not diff:
            raise SystemExit(f"{path}: no header with one line each of Bug, Test and Said, then a diff")
        self.bug, self.test, self.said = (lines[word][0].strip() for word in ("Bug", "Test", "Said"))
        self.by_option = re.search(r"^When: by option$", header, re.MULTILINE) is not None
        self.ctest, *self.arguments = self.test.split()
        self.room = self.ctest.split("/")[0]
        self.files = re.findall(r"^[-+]{3} [ab]/(\S+)", "diff --git " + diff, re.MULTILINE)
        self.runs_beside = self.room in OUTSIDE and not any(name.startswith("tests/") for name in self.files)

    def row(self):
        bug, test, said = (text.replace("|", r"\|") for text in (self.bug, self.test, self.said))
        return f"| [{bug}](../{self.path.relative_to(TOP)}) | `{test}` | `{said}` |"

    def targets(self):
        if self.room == "unit":
            return [self.ctest.split("/")[1]]
        return ["coordinator", "shardd", f"tests/{self.room}/all"]


# What this process starts.


def start(command, **options):
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                            errors="replace", start_new_session=True, **options)


def run(command, **options):
    process = start(command, **options)
    said = process.communicate()[0]
    return process.returncode, said


def children(pid):
    found = []
    with contextlib.suppress(OSError):
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/children", encoding="ascii") as file:
                found += [int(child) for child in file.read().split()]
    return found


def end_all(pid):
    """Whatever descends from it; what lost its parent has become this process's."""
    for child in children(pid):
        end_all(child)
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)


def end_what_is_left():
    while children(os.getpid()):
        end_all(os.getpid())
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass


# The copy.


class Scratch:
    """The checkout as it is now, and a build of it. What an earlier one left in it is put right."""

    def __init__(self):
        self.top, self.build = PLACE / "sheaf", PLACE / "sheaf" / "build"
        self.top.mkdir(parents=True, exist_ok=True)
        self.lock = open(PLACE / "lock", "w", encoding="ascii")
        try:
            fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SystemExit(f"{PLACE}: another run is at it") from None
        for name in SOURCES:
            self.renew(TOP / name, self.top / name)
        if not (self.build / "build.ninja").exists():
            self.must("cmake", "-S", self.top, "-B", self.build, "-G", "Ninja", "-DCMAKE_BUILD_TYPE=None",
                      "-DCMAKE_C_COMPILER=gcc", "-DCMAKE_C_FLAGS=-O1", "-DSHEAF_FAILPOINTS=ON")

    def renew(self, source, copy):
        """Writes only what is not the same, so that only that is built again."""
        if source.is_dir():
            copy.mkdir(exist_ok=True)
            names = set(os.listdir(source)) - {"__pycache__"}
            for name in set(os.listdir(copy)) - names:
                gone = copy / name
                shutil.rmtree(gone) if gone.is_dir() else gone.unlink()
            for name in names:
                self.renew(source / name, copy / name)
        elif not copy.exists() or not filecmp.cmp(source, copy, shallow=False):
            shutil.copy(source, copy)

    def must(self, *command):
        status, said = run([str(word) for word in command])
        if status != 0:
            raise Wrong(f"{command[0]} failed", said)

    def make(self, targets):
        self.must("ninja", "-C", self.build, "-j2", "--quiet", *targets)

    @contextlib.contextmanager
    def planted(self, plant):
        before = {name: (self.top / name).read_bytes() for name in plant.files if (self.top / name).exists()}
        try:
            self.apply(plant)
            yield
        finally:
            for name in plant.files:
                (self.top / name).unlink(missing_ok=True)
            for name, content in before.items():
                (self.top / name).write_bytes(content)

    def apply(self, plant):
        """As it was made; if its surroundings have changed since, as far as one line around it is the same."""
        environment = os.environ | {"GIT_CEILING_DIRECTORIES": str(self.top.parent)}
        for exactness in ("-C3", "-C1"):
            status, said = run(["git", "apply", "-v", exactness, str(plant.path)], cwd=self.top, env=environment)
            if status == 0:
                return
        raise Wrong("it does not apply: make it anew", said)

    def command(self, plant):
        """How ctest runs the test: the command and its environment."""
        name = re.escape(plant.ctest)
        status, said = run(["ctest", "--test-dir", str(self.build), "--show-only=json-v1", "-R", f"^{name}$"])
        tests = json.loads(said)["tests"] if status == 0 else []
        if len(tests) != 1 or not tests[0].get("command"):
            raise Wrong(f"ctest knows no {plant.ctest}", said)
        properties = {one["name"]: one["value"] for one in tests[0].get("properties", [])}
        return tests[0]["command"], dict(one.split("=", 1) for one in properties.get("ENVIRONMENT", []))


# One plant.


def watch(plant, command, environment, limit_s):
    """Runs the test: its status and what it said. What it makes of files is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="plant-", ignore_cleanup_errors=True) as folder:
        process = start([*command, *plant.arguments], cwd=folder, env=os.environ | environment | {"TMPDIR": folder})
        try:
            return process.communicate(timeout=limit_s)[0], process.returncode
        except subprocess.TimeoutExpired:
            end_all(process.pid)
            process.kill()
            raise Wrong(f"it was not at its end after {limit_s} s", process.communicate()[0]) from None


def judge(plant, said, status):
    if status == 0:
        raise Wrong("NOT CAUGHT: the test passed", said)
    if " ".join(plant.said.split()) not in " ".join(said.split()):
        raise Wrong(f"it failed with other words than “{plant.said}”", said)


class Run:
    def __init__(self, options):
        self.options, self.scratch, self.failed, self.stopped = options, Scratch(), 0, False
        self.beside = concurrent.futures.ThreadPoolExecutor(BESIDE)

    def stop(self):
        """Ends what runs, and says nothing more of it."""
        self.stopped = True
        self.beside.shutdown(wait=False, cancel_futures=True)
        end_what_is_left()

    def tell(self, plant, begun, wrong=None):
        if self.stopped:
            return
        print(f"{'FAILED' if wrong else 'caught'} {time.monotonic() - begun:6.1f} s  {plant.name}: {plant.test}", flush=True)
        if wrong:
            self.failed += 1
            shown = wrong.shown.rstrip().splitlines()[-self.options.lines:]
            print("\n    | ".join([f"    {wrong}", *shown]), flush=True)

    def stage(self, plant):
        """Links to the programs as they are now."""
        folder = PLACE / "staged" / plant.name
        shutil.rmtree(folder, ignore_errors=True)
        for name in ("bin", "tests"):
            shutil.copytree(self.scratch.build / name, folder / name, copy_function=os.link,
                            ignore=shutil.ignore_patterns("CMakeFiles", "*.cmake"))
        return folder

    def run_staged(self, plant, begun, folder, command, environment):
        try:
            environment |= {name: str(folder / "bin") for name in ("SHEAF_BIN", "SHEAF_RELEASE_BIN")}
            judge(plant, *watch(plant, command, environment, self.options.limit))
            self.tell(plant, begun)
        except Wrong as wrong:
            self.tell(plant, begun, wrong)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def one(self, plant):
        begun = time.monotonic()
        try:
            with self.scratch.planted(plant):
                self.scratch.make(plant.targets())
                command, environment = self.scratch.command(plant)
                if not plant.runs_beside:
                    judge(plant, *watch(plant, command, environment, self.options.limit))
                    self.tell(plant, begun)
                    return None
                folder = self.stage(plant)
        except Wrong as wrong:
            self.tell(plant, begun, wrong)
            return None
        return self.beside.submit(self.run_staged, plant, time.monotonic(), folder, command, environment)

    def without(self, plant):
        """The same test, and no bug: it must pass."""
        begun = time.monotonic()
        try:
            self.scratch.make(plant.targets())
            said, status = watch(plant, *self.scratch.command(plant), self.options.limit)
            if status != 0:
                raise Wrong("it fails without the bug", said)
            print(f"passes {time.monotonic() - begun:6.1f} s  {plant.test}", flush=True)
        except Wrong as wrong:
            self.tell(plant, begun, wrong)

    def all(self, plants):
        if self.options.without:
            for plant in {plant.test: plant for plant in plants}.values():
                self.without(plant)
        # those that run beside the others first
        for running in [self.one(plant) for plant in sorted(plants, key=lambda plant: not plant.runs_beside)]:
            if running:
                running.result()


# The table.


def rows_differ(plants):
    """docs/promises.md has the row of each plant and no other."""
    section = PROMISES.read_text(encoding="utf-8").partition(f"\n{SECTION}\n")[2].partition("\n## ")[0]
    has = {line for line in section.splitlines() if line.startswith("| [")}
    wants = {plant.row() for plant in plants}
    for sign, lines in (("-", has - wants), ("+", wants - has)):
        for line in sorted(lines):
            print(f"{sign} {line}")
    if has != wants:
        print(f"{PROMISES}: its table of planted bugs is not that of the plants (test-plants.sh --table)")
    return has != wants


def chosen(plants, names, all_of_them):
    unknown = set(names) - {plant.name for plant in plants}
    if unknown:
        raise SystemExit(f"no such plant in {PLANTS}: {', '.join(sorted(unknown))}")
    if names:
        return [plant for plant in plants if plant.name in names]
    return [plant for plant in plants if all_of_them or not plant.by_option]


def main():
    parser = argparse.ArgumentParser(prog="test-plants.sh", description="Plants bugs and expects the tests to notice.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="of a plant; default: those of the test run, and the table")
    parser.add_argument("--all", action="store_true", help="those too that the test run has no time for")
    parser.add_argument("--table", action="store_true", help="only print the rows for docs/promises.md")
    parser.add_argument("--without", action="store_true", help="run each test without the bug first: it must pass")
    parser.add_argument("--limit", type=float, default=180, metavar="S", help="that long may a test run (%(default)s s)")
    parser.add_argument("--lines", type=int, default=60, metavar="N", help="of output, where it is wrong (%(default)s)")
    options = parser.parse_args()
    every = [Plant(path) for path in sorted(PLANTS.glob("*.patch"))]
    plants = chosen(every, options.names, options.all)
    if options.table:
        print("\n".join(plant.row() for plant in every))
        return 0
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    begun, differ = time.monotonic(), not options.names and rows_differ(every)
    planting = Run(options)
    try:
        planting.all(plants)
    finally:
        planting.stop()
    left = "" if options.names or len(plants) == len(every) else f"; {len(every) - len(plants)} more by option"
    print(f"{len(plants) - planting.failed} of {len(plants)} planted bugs were caught, in {time.monotonic() - begun:.0f} s{left}")
    return 1 if planting.failed or differ else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
