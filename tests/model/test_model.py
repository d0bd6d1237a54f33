# SPDX-License-Identifier: Apache-2.0
"""The transaction protocol, searched by SPIN: the honest model holds in every state, each planted fault is found.

    test_model.py [--deep | --honest N | --trail FAULT]

Without options: all searches, within a minute on one core and 1.1 GB. --deep: the honest model within wider bounds, for
minutes and gigabytes. --honest: the honest model alone, within the first N of its bounds. --trail: the story of a planted
fault's counterexample.
"""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

MODEL = pathlib.Path(__file__).resolve().parent / "transactions.pml"
SKIPPED = 77
MEMORY_MB = 2500
DEEP_MEMORY_MB = 20000

# What the honest model is searched with, to the last state; what is not named is as in the model.
HONEST = (
    {"LIVES": 2, "FAULTS": 1, "MISHAPS": 1},
    {"LIVES": 3, "FAULTS": 0, "MISHAPS": 0},
    {"LIVES": 2, "FAULTS": 1, "MISHAPS": 1, "SAME_KEY": 1},
    {"LIVES": 2, "FAULTS": 1, "MISHAPS": 0, "SAME_KEY": 1, "SHARDS": 3},
)
DEEP = (
    {"LIVES": 3, "FAULTS": 1, "MISHAPS": 0},
    {"LIVES": 2, "FAULTS": 1, "MISHAPS": 0, "SHARDS": 3},
    {"LIVES": 2, "FAULTS": 2, "MISHAPS": 1, "SAME_KEY": 1},
)
PLANTED_IN = {"LIVES": 2, "FAULTS": 1, "MISHAPS": 0}
PLANTED = (
    "ANSWERED_EARLY",
    "FORGOTTEN_EARLY",
    "LOCKS_NOT_RETAKEN",
    "LOCKS_FALL_EARLY",
    "MARKER_SKIPPED",
    "RESOLVE_ANSWERED_EARLY",
    "EPOCH_NOT_CHECKED",
    "DECISION_READ_EARLY",
    "REFUSED_IS_NO_EFFECT",
)


def run(folder, *command):
    return subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)


def must(folder, *command):
    done = run(folder, *command)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)}: exit {done.returncode}\n{done.stdout}")


# Bounds of arrays are checked in the other searches.
FAST = ("-O2", "-DNOBOUNDCHECK")


def search(folder, defines, memory_mb=MEMORY_MB, build=("-O0",)):
    """What pan says; a counterexample leaves its trail in `folder`."""
    shutil.copy(MODEL, folder)
    must(folder, "spin", *(f"-D{name}={value}" for name, value in defines.items()), "-a", MODEL.name)
    # No partial order reduction: nearly every step touches what others see, and looking for more costs more.
    flags = ("-w", "-DSAFETY", "-DNOREDUCE", "-DVECTORSZ=1024", f"-DMEMLIM={memory_mb}")
    must(folder, "gcc", *build, *flags, "-o", "pan", "pan.c")
    return run(folder, "./pan", "-n", "-m20000", "-w22").stdout


def number(said, pattern):
    found = re.search(pattern, said)
    return int(found.group(1)) if found else None


def story(folder, defines):
    """The steps of the counterexample, and the assertion that fails as the model has it."""
    said = run(folder, "spin", *(f"-D{name}={value}" for name, value in defines.items()), "-B", "-t", MODEL.name).stdout
    steps = [line.strip() for line in said.split("spin: trail ends")[0].splitlines() if line.strip()]
    failed = re.search(rf"{MODEL.name}:(\d+), Error: assertion violated", said)
    where = MODEL.read_text().splitlines()[int(failed.group(1)) - 1].strip() if failed else "?"
    return [step for step in steps if not step.startswith("spin:")], where


def holds(folder, defines, memory_mb=MEMORY_MB, build=FAST):
    said = search(folder, defines, memory_mb, build)
    what = " ".join(f"{name}={value}" for name, value in defines.items())
    cut_short = any(text in said for text in ("not completed", "max search depth", "out of memory"))
    if cut_short or number(said, r"errors: (\d+)") != 0:
        steps, where = story(folder, defines)
        print(f"FAILED: {what}\n{said}\n" + "\n".join(steps + [where]))
        return False
    states = number(said, r"(\d+) states, stored")
    print(f"holds: {what}: {states} states, all of them")
    return True


def is_found(folder, fault):
    defines = PLANTED_IN | {fault: 1}
    said = search(folder, defines)
    if number(said, r"errors: (\d+)") != 1 or "assertion violated" not in said:
        print(f"FAILED: {fault} is planted and not found\n{said}")
        return False
    steps, where = story(folder, defines)
    print(f"found: {fault}, in {len(steps)} steps: {where}")
    return True


def main(arguments):
    if not shutil.which("spin") or not shutil.which("gcc"):
        print("skipped: spin or gcc is not installed (scripts/setup.sh)")
        return SKIPPED
    with tempfile.TemporaryDirectory() as folder:
        if "--trail" in arguments:
            defines = PLANTED_IN | {arguments[arguments.index("--trail") + 1]: 1}
            search(folder, defines)
            steps, where = story(folder, defines)
            print("\n".join(steps + [where]))
            return 0
        if "--deep" in arguments:
            return 0 if all([holds(folder, defines, DEEP_MEMORY_MB, ("-O1",)) for defines in DEEP]) else 1
        if "--honest" in arguments:
            first = HONEST[: int(arguments[arguments.index("--honest") + 1])]
            return 0 if first and all([holds(folder, defines) for defines in first]) else 1
        results = [holds(folder, defines) for defines in HONEST] + [is_found(folder, fault) for fault in PLANTED]
        return 0 if all(results) else 1


if __name__ == "__main__":
    sys.stdout.reconfigure(line_buffering=True)
    sys.exit(main(sys.argv[1:]))
