# SPDX-License-Identifier: Apache-2.0
"""Runs the tests of the table in docs/promises.md ("How it is broken") for hours, and reports. See scripts/soak.sh."""

import argparse
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import time

TOP = pathlib.Path(__file__).resolve().parents[2]
BUILD = TOP / "build"
PLACE = BUILD / "soak"
FUZZ = TOP / "scripts" / "fuzz.sh"
EFFORT = "--seed {seed} --seconds {seconds}"
SOAK_EVERY_S = 60
OVERTIME = 1.5  # times its share, and
GRACE_S = 900  # so much more a run may take until it is ended: what it began is finished and judged
FIGURES = 12  # lines of a run's output that the report shows: tests say last what they counted

# What a run is called: the test's name at ctest, and what it is given besides.
ROWS = {
    "crash": ("fault/crash", EFFORT),
    "recovery": ("fault/recovery", EFFORT),
    "failpoints": ("fault/failpoints", EFFORT),
    "io_errors": ("fault/io_errors", EFFORT),
    "power": ("fault/power", EFFORT),
    "full": ("fault/full", EFFORT),
    "pause": ("fault/pause", EFFORT),
    "clock": ("fault/clock", EFFORT),
    "race": ("fault/race", EFFORT),
    "differential": ("system/serve_differential", EFFORT),
    **{f"overload_{c}": (f"fault/overload_{c}", EFFORT) for c in ("memory", "descriptors", "slow", "idle", "deaf")},
    "fuzz": (None, "--seed {seed} {each}"),
    "soak": ("fault/soak", EFFORT + " --every {every} --capacity-seconds {capacity} --flat 8388608 --report {report}"),
}


class Missing(Exception):
    """There is no such test here."""


def shares(rows, seconds):
    """How long each goes on."""
    if "soak" not in rows or len(rows) == 1:
        return {row: seconds / len(rows) for row in rows}
    return {row: seconds / 2 if row == "soak" else seconds / 2 / (len(rows) - 1) for row in rows}


def command_of(row, seconds, seed):
    """What to run, and its environment."""
    test, given = ROWS[row]
    values = {"seed": seed, "seconds": int(seconds), "report": PLACE / "soak.json", "every": min(SOAK_EVERY_S, max(1, int(seconds / 20))),
              "capacity": min(30, max(1, int(seconds / 20)))}
    if row == "fuzz":
        if not FUZZ.exists():
            raise Missing(f"{FUZZ.name} is not there")
        targets = len(list((TOP / "tests" / "fuzz").glob("fuzz_*.c")))
        return [str(FUZZ), *given.format(**values, each=max(1, int(seconds / targets))).split()], {}
    said = subprocess.run(["ctest", "--test-dir", str(BUILD), "--show-only=json-v1", "-R", f"^{re.escape(test)}$"],
                          stdout=subprocess.PIPE, check=True, text=True).stdout
    tests = json.loads(said)["tests"]
    if len(tests) != 1 or not tests[0].get("command"):
        raise Missing(f"ctest knows no {test}")
    environment = [p["value"] for p in tests[0].get("properties", ()) if p["name"] == "ENVIRONMENT"]
    return [*tests[0]["command"], *given.format(**values).split()], dict(one.split("=", 1) for one in (environment or [[]])[0])


def end(process):
    """It and what it has started; asked first, so that it can tidy up."""
    for number, wait_s in ((signal.SIGINT, 60), (signal.SIGKILL, None)):
        try:
            os.killpg(process.pid, number)
            return process.wait(wait_s)
        except subprocess.TimeoutExpired:
            continue
        except ProcessLookupError:
            return process.wait()


def run(command, environment, log, limit_s):
    """Its verdict. KeyboardInterrupt: it is ended first."""
    with open(log, "w", encoding="utf-8") as out:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, cwd=TOP,
                                   env=os.environ | environment, start_new_session=True)
        try:
            status = process.wait(limit_s)
        except subprocess.TimeoutExpired:
            end(process)
            return f"FAILED: not at its end after {limit_s:.0f} s"
        except BaseException:
            end(process)
            raise
    return {0: "passed", 77: "skipped"}.get(status, f"FAILED with {status}")


class Report:
    def __init__(self, seed, seconds):
        self.seed, self.seconds, self.runs = seed, seconds, []
        commit = subprocess.run(["git", "-C", TOP, "describe", "--always", "--dirty"], stdout=subprocess.PIPE, text=True, check=False)
        self.commit = commit.stdout.strip() or "?"

    def add(self, row, command, verdict, took_s, log):
        with open(log, encoding="utf-8", errors="replace") as file:
            said = [line.rstrip() for line in file if line.strip() and not re.match(r"[-=]+$", line)]
        self.runs.append({"row": row, "command": " ".join(map(str, command)), "seed": self.seed, "verdict": verdict,
                          "seconds": round(took_s), "figures": said[-FIGURES:], "log": str(log)})
        self.write()
        print(f"{verdict:<10} {took_s:8.0f} s  {row}", flush=True)

    def failed(self):
        return any(run["verdict"].startswith("FAILED") for run in self.runs)

    def write(self):
        """After each run: whatever happens, this is there."""
        head = {"commit": self.commit, "seed": self.seed, "hours": self.seconds / 3600}
        (PLACE / "report.json").write_text(json.dumps(head | {"runs": self.runs}, indent=1) + "\n", encoding="utf-8")
        lines = [f"{self.commit}, seed {self.seed}, {self.seconds / 3600:g} hours", ""]
        for one in self.runs:
            lines += [f"{one['row']}: {one['verdict']} after {one['seconds']} s", f"  $ {one['command']}",
                      *(f"  | {line}" for line in one["figures"]), ""]
        (PLACE / "report.txt").write_text("\n".join(lines), encoding="utf-8")


def main():
    parser = argparse.ArgumentParser(prog="soak.sh", description="Runs the long forms of the tests that break Sheaf.")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="of all of them; default: the time")
    parser.add_argument("--rows", action="store_true", help="only list the rows")
    parser.add_argument("hours", nargs="?", type=float)
    parser.add_argument("row", nargs="*", help="default: all of them")
    options = parser.parse_args()
    if options.rows:
        print("\n".join(ROWS))
        return 0
    unknown = set(options.row) - set(ROWS)
    if unknown or not options.hours or options.hours <= 0:
        parser.error(f"no such row: {', '.join(sorted(unknown))}" if unknown else "for how many hours?")
    signal.signal(signal.SIGINT, signal.default_int_handler)  # also where a shell has it ignored
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    PLACE.mkdir(parents=True, exist_ok=True)
    rows, seconds = options.row or list(ROWS), options.hours * 3600
    report = Report(options.seed, seconds)
    for row, share_s in shares(rows, seconds).items():
        log, begun, command, verdict = PLACE / f"{row}.log", time.monotonic(), (), "FAILED: interrupted"
        log.write_text("", encoding="utf-8")
        try:
            command, environment = command_of(row, share_s, options.seed)
            verdict = run(command, environment, log, OVERTIME * share_s + GRACE_S)
        except Missing as missing:
            verdict = f"FAILED: {missing}"
        except (KeyboardInterrupt, SystemExit):
            verdict = "interrupted"
            raise
        finally:
            report.add(row, command, verdict, time.monotonic() - begun, log)
    print(f"the report: {PLACE / 'report.txt'}")
    return 1 if report.failed() else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
