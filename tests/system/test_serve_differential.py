# SPDX-License-Identifier: Apache-2.0
"""Random schemas and operations, done by `serve` over HTTP and by one SQLite file: every answer agrees, and every table.

    test_serve_differential.py [--seed N] [--operations N | --seconds S] [--each N] [--whole | --script FILE]

A schema has a seed of its own, counted up from the first. What disagrees is cut down, but for --whole, and printed as a
script, which --script takes back: a Python literal of the schema, the databases and the requests (few_keys.py). Those that
once disagreed are in disagreed/ and come first.
"""

import collections
import pathlib
import shutil
import sys
import tempfile

import effort
import few_keys
import oracle as judge
import script
import twin


class Totals:
    def __init__(self):
        self.schemas = self.operations = self.done = 0
        self.fired, self.fired_together, self.codes = (collections.Counter() for _ in range(3))

    def add(self, pair):
        self.schemas += 1
        self.operations += pair.operations
        self.done += pair.done
        self.codes += pair.codes
        self.fired += pair.file.fired
        self.fired_together += pair.file.fired_together

    def tell(self):
        print(f"{self.operations} operations on {self.schemas} schemas, {self.done / max(self.operations, 1):.0%} done")
        print(" ".join(f"{op}:{code}={n}" for (op, code), n in sorted(self.codes.items())))
        for event in few_keys.EVENTS:
            for action in few_keys.ACTIONS:
                print(f"on {event} {action}: {self.fired[event, action]}, in batches {self.fired_together[event, action]}")

    def is_enough(self):
        """At least 25% done, and each action met 100 times in 20,000 operations."""
        return self.done * 4 >= self.operations and all(
            self.fired[event, action] * 200 >= self.operations for event in few_keys.EVENTS for action in few_keys.ACTIONS)


def random_placement(rng, tables):
    """{}: each table in a database of its own."""
    count = rng.choice([0, 0, 1, 2, 3])
    databases = {}
    for table in tables if count else ():
        databases.setdefault(f"d{rng.randrange(count)}", []).append(table.name)
    return databases


def run_schema(seed, operations, totals):
    """One schema; the script and the disagreement, or None."""
    rng = judge.seeded(f"serve{seed}")
    tables = few_keys.random_schema(rng)
    databases, requests = random_placement(rng, tables), []
    folder = tempfile.mkdtemp(prefix="sheaf-diff-")
    pair = twin.Twin(folder, tables, databases)
    try:
        making = few_keys.Requests(rng, pair.file)
        while pair.operations < operations:
            requests.append(making.request())
            done = pair.do(requests[-1])
            if done and rng.random() < 0.25:
                requests.append(making.read_back(requests[-1]))
                pair.do(requests[-1])
        pair.end(rng.random() < 0.5)
        totals.add(pair)
        return None
    except twin.Disagreement as error:
        return script.Script(tables, databases, requests), error
    finally:
        pair.kill()
        shutil.rmtree(folder, ignore_errors=True)


def run_disagreed():
    folder = pathlib.Path(__file__).resolve().parent / "disagreed"
    return max([run_script(path) for path in sorted(folder.iterdir())])


def run_random(options):
    totals = Totals()
    print(f"seed {options.seed}", flush=True)
    seed = options.seed
    while options.goes_on(totals.operations):
        failed = run_schema(seed, options.left(totals.operations, options.each), totals)
        if failed:
            print(f"DISAGREEMENT, repeat with --seed {seed} --operations {options.each} --each {options.each}\n{failed[1]}\n",
                  flush=True)
            small, error = failed if options.whole else script.shrink(*failed)
            print(f"{small}\n\n{error}")
            return 1
        seed += 1
    totals.tell()
    if totals.is_enough():
        return 0
    print("too little of it was done, or met")
    return 1


def run_script(path):
    with open(path, encoding="utf-8") as file:
        error = script.read(file.read()).run()
    print(f"{path}: {error or 'they agree'}")
    return 1 if error else 0


def main():
    options = effort.Effort("operations", 20_000)
    options.add_argument("--each", type=int, default=250, help="operations on one schema")
    options.add_argument("--whole", action="store_true", help="operations that disagree are told as they were, at once")
    options.add_argument("--script", help="the operations that a run has told of, once more")
    options.parse()
    return run_script(options.script) if options.script else run_disagreed() or run_random(options)


if __name__ == "__main__":
    sys.exit(main())
