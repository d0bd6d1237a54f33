# SPDX-License-Identifier: Apache-2.0
"""Which lines of Sheaf the tests have run: by folder, and each that none has run, with the reason or without.

    report.py BUILD [--lines PREFIX]    BUILD was compiled with SHEAF_COVERAGE, and its tests have been run;
                                        --lines: the text of what is not reached in such files, too

Counts of all runs are added up: those that stand in the build, and those of BUILD/coverage/TEST, where tests that
kill processes leave theirs: a process that dies as it writes them spoils those of its test alone.

Fails when too little is reached, or when unreached.txt explains a line that is not in the sources.
"""

import argparse
import collections
import fnmatch
import json
import pathlib
import re
import subprocess
import sys

SOURCE = pathlib.Path(__file__).resolve().parents[2]
UNREACHED = pathlib.Path(__file__).with_name("unreached.txt")
ROOMS = ("coordinator", "shardd", "shared")
ALL = "all"
LEAST = {ALL: 85.0, "coordinator/engine": 95.0, "shardd": 95.0}  # percent of all lines; a reason is no excuse


class Line:
    """How often it was run, and where it stands."""

    def __init__(self, function):
        self.function = function
        self.count = 0


def read_tree(tree, notes, files):
    """Adds what one run left to files: path -> number -> Line. Returns how many objects' counts cannot be read."""
    command = ["gcov", "--json-format", "--stdout", *[str(tree / note) for note in notes]]
    run = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
    objects = [json.loads(text) for text in run.stdout.splitlines() if text.strip()]
    for data in objects:
        for entry in data["files"]:
            path = (pathlib.Path(data["current_working_directory"]) / entry["file"]).resolve()
            if not path.is_relative_to(SOURCE) or path.relative_to(SOURCE).parts[0] not in ROOMS:
                continue
            lines = files.setdefault(str(path.relative_to(SOURCE)), {})
            for found in entry["lines"]:
                line = lines.setdefault(found["line_number"], Line(found.get("function_name", "")))
                line.count += max(0, found["count"])
    return len(notes) - len(objects)


def read_build(build):
    """Returns files and how many objects' counts cannot be read."""
    notes = [note.relative_to(build) for room in ROOMS for note in sorted((build / room).rglob("*.gcno"))]
    if not notes:
        sys.exit(f"{build} was not compiled with SHEAF_COVERAGE")
    files = {}
    unread = read_tree(build, notes, files)
    for tree in sorted(p for p in (build / "coverage").glob("*/*") if p.is_dir()):
        counted = [note for note in notes if (tree / note).with_suffix(".gcda").exists()]
        for note in counted:  # gcov wants them beside each other
            (tree / note).unlink(missing_ok=True)
            (tree / note).symlink_to(build / note)
        if counted:
            unread += read_tree(tree, counted, files)
    return files, unread


# ---- reasons ----


class Reason:
    """Why some lines are not reached. One of them is named as FILE FUNCTION: TEXT; * stands for any file or function,
    and at the end of TEXT for any rest."""

    def __init__(self, text):
        self.text = text
        self.named = []
        self.met = []

    def names(self, path, function, text):
        return any(
            fnmatch.fnmatch(path, p) and fnmatch.fnmatch(function, f) and (text == t or t[-1:] == "*" and text.startswith(t[:-1]))
            for p, f, t in self.named
        )


def read_reasons():
    """Of unreached.txt: what is not indented is a reason, what is indented below it are its lines."""
    reasons = []
    for line in UNREACHED.read_text().splitlines():
        if line.startswith("#") or not line.strip():
            continue
        if not line.startswith(" "):
            reasons.append(Reason(line))
            continue
        match = re.fullmatch(r"\s+(\S+) (\S+): (.*)", line)
        if not match:
            sys.exit(f"{UNREACHED.name}: what is {line.strip()}?")
        reasons[-1].named.append(match.groups())
    return reasons


def explain(files, texts, reasons):
    """Gives each line that is not reached to its reason; returns those without one, and what names no line at all."""
    nameless, everything = Reason("no reason is given"), []
    for path, lines in sorted(files.items()):
        for number, line in sorted(lines.items()):
            place = (path, line.function, texts[path][number - 1].strip())
            everything.append(place)
            if not line.count:
                reason = next((r for r in reasons if r.names(*place)), nameless)
                reason.met.append((path, number))
    stale = []
    for reason in reasons:
        for named in reason.named:
            one = Reason("")
            one.named.append(named)
            if not any(one.names(*place) for place in everything):
                stale.append(named)
    return nameless, stale


# ---- what is said ----


def ranges(numbers):
    """[3, 4, 5, 9] -> "3-5 9"."""
    text, first = [], None
    for i, number in enumerate(numbers):
        first = number if first is None else first
        if i + 1 == len(numbers) or numbers[i + 1] != number + 1:
            text.append(str(first) if first == number else f"{first}-{number}")
            first = None
    return " ".join(text)


def list_lines(reason):
    places = collections.defaultdict(list)
    for path, number in reason.met:
        places[path].append(number)
    print(f"\n{reason.text} ({len(reason.met)})")
    for path, numbers in places.items():
        print(f"    {path}: {ranges(numbers)}")


def say_folders(files, explained):
    """Returns whether each folder has what it must have."""
    counts = collections.defaultdict(lambda: [0, 0, 0])
    for path, lines in files.items():
        for folder in {ALL, path.split("/")[0], path.rsplit("/", 1)[0]}:
            counts[folder][0] += len(lines)
            counts[folder][1] += sum(line.count > 0 for line in lines.values())
            counts[folder][2] += sum((path, number) in explained for number in lines)
    enough = True
    print(f"{'folder':24} {'lines':>6} {'reached':>8} {'%':>6}  with the explained, %")
    for folder, (total, reached, known) in sorted(counts.items(), key=lambda item: (item[0] == ALL, item[0])):
        percent, least = 100 * reached / total, LEAST.get(folder, 0)
        word = f"  less than {least:.0f} %" if percent < least else ""
        enough = enough and not word
        print(f"{folder:24} {total:6} {reached:8} {percent:6.2f}  {100 * (reached + known) / total:6.2f}{word}")
    return enough


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("build", type=lambda text: pathlib.Path(text).resolve())
    parser.add_argument("--lines", metavar="PREFIX")
    options = parser.parse_args()
    files, unread = read_build(options.build)
    texts = {path: (SOURCE / path).read_text().splitlines() for path in files}
    reasons = read_reasons()
    nameless, stale = explain(files, texts, reasons)
    print("Not reached:")
    for reason in [*reasons, nameless]:
        if reason.met:
            list_lines(reason)
    print()
    if options.lines is not None:
        for path, number in nameless.met:
            if path.startswith(options.lines):
                print(f"{path}:{number} {files[path][number].function}: {texts[path][number - 1].strip()}")
    enough = say_folders(files, {place for reason in reasons for place in reason.met})
    if unread:
        print(f"{unread} times an object's counts could not be read")
    for named in stale:
        print(f"{UNREACHED.name}: there is no line {named[0]} {named[1]}: {named[2]}")
    return 0 if enough and not stale else 1


sys.exit(main())
