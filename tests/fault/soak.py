# SPDX-License-Identifier: Apache-2.0
"""Hours of mixed load at half of what the server can do: memory, descriptors and WALs stay flat, and so do the times.

    soak.py [--seed N] [--seconds S | --samples N] [--every S] [--rate N] [--report FILE]

Clients insert, change, delete, commit transactions over three databases, read rows and pages; tables keep their size. First
they do so as fast as they can, which is the capacity; then at half of it (--rate: so many requests a second instead). Every
minute (--every) a sample is taken and `coordinator check` runs beside it. What is judged at the end is a line through all
samples but those of the beginning (its slope is the middle one of those between any two), not the last against the first. Times
are divided by how much longer everything takes on this machine in that minute (crowd.Probe), and drift when the line rises by
more than DRIFT and by more than what scatter alone would make of it.
"""

import collections
import json
import os
import pathlib
import random
import subprocess
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "system"))
import crowd  # noqa: E402
import effort  # noqa: E402
import server  # noqa: E402
import sheaf  # noqa: E402
from crowd import MIB  # noqa: E402

SCHEMA = """
CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT NOT NULL, email TEXT UNIQUE, n INTEGER NOT NULL DEFAULT 0);
CREATE TABLE orders (id INTEGER PRIMARY KEY, user_id INTEGER NOT NULL REFERENCES users, n INTEGER NOT NULL DEFAULT 0);
CREATE TABLE notes (id INTEGER PRIMARY KEY, order_id INTEGER REFERENCES orders ON DELETE CASCADE, x TEXT);
"""
CONFIG = "[limits]\nwal_checkpoint_pages = 1000\n"
CLIENTS = 8
ROWS = 25  # of each client in each table, about which it stays
WARM_UP = 0.25  # of the samples: caches fill, the library takes its memory
DRIFT = 0.20  # of a p99, over the whole run
DRIFT_S = 0.005  # less than this is no drift
MEMORY_DRIFT = 0.05  # of what a process has, or --flat, whichever is more
DESCRIPTORS = 4
WAL_BYTES = 8 * MIB  # what a line through a saw may rise by
OPTIONS = effort.Effort("samples", 6)
OPTIONS.add_argument("--every", type=float, default=60.0, help="seconds between two samples")
OPTIONS.add_argument("--rate", type=float, help="requests a second; else half of the capacity")
OPTIONS.add_argument("--capacity-seconds", type=float, default=10.0)
OPTIONS.add_argument("--flat", type=int, default=8 * MIB, help="bytes: memory that rises by no more is flat")
OPTIONS.add_argument("--report", help="a file for the report as JSON")


class User(threading.Thread):
    """Its own rows, `rate` requests a second of it, or as many as there can be."""

    def __init__(self, s, number, seed):
        super().__init__(daemon=True)
        self.client, self.pick = s.client(), random.Random(f"{seed} {number}")
        self.first, self.next = number * 10_000_000, number * 10_000_000
        self.live = collections.deque()  # orders, each with its user
        self.pause_s, self.took_s, self.failure, self.over = 0.0, collections.defaultdict(list), None, threading.Event()
        self.done = 0

    def run(self):
        try:
            while len(self.live) < ROWS:
                self.add()
            due = time.monotonic()
            while not self.over.is_set():
                self.turn()
                self.done += 1
                due = max(due + self.pause_s * self.pick.uniform(0.5, 1.5), time.monotonic() - 1) if self.pause_s else 0.0
                self.over.wait(max(0.0, due - time.monotonic()))
        except BaseException as failure:
            self.failure = failure

    def turn(self):
        grow = len(self.live) < ROWS * self.pick.uniform(0.9, 1.1)
        kind = self.pick.choice((self.add if grow else self.remove, self.change, self.transact, self.read, self.read, self.page))
        begun = time.monotonic()
        kind()
        self.took_s[kind.__name__].append(time.monotonic() - begun)

    def expect(self, answer, *statuses):
        if answer.status not in statuses:
            raise AssertionError(str(answer))
        return answer

    def add(self):
        self.next += 1
        n = self.next
        self.expect(self.client.batch({"op": "insert", "table": "users", "row": {"id": n, "name": "u", "email": f"{n}@x"}},
                                      {"op": "insert", "table": "orders", "row": {"id": n, "user_id": n}},
                                      {"op": "insert", "table": "notes", "row": {"id": n, "order_id": n, "x": "x" * 200}}), 200)
        self.live.append(n)

    def remove(self):
        """The oldest, with its note."""
        n = self.live.popleft()
        self.expect(self.client.batch({"op": "delete", "table": "orders", "key": {"id": n}},
                                      {"op": "delete", "table": "users", "key": {"id": n}}), 200)

    def change(self):
        self.expect(self.client.patch(server.path("orders", self.pick.choice(self.live)), {"n": self.pick.randrange(1000)}), 200)

    def transact(self):
        n, value = self.pick.choice(self.live), self.pick.randrange(1000)
        headers = {"Idempotency-Key": f"{self.first} {self.done}"}
        self.expect(self.client.batch(*({"op": "update", "table": table, "key": {"id": n}, "row": {"n": value}}
                                        for table in ("users", "orders")), headers=headers), 200)

    def read(self):
        n = self.pick.choice(self.live)
        if self.expect(self.client.get(server.path("users", n)), 200).json["email"] != f"{n}@x":
            raise AssertionError(f"user {n} is another")

    def page(self):
        self.expect(self.client.get(server.path("users") + "?limit=100"), 200)

    def end(self):
        self.over.set()
        self.join()
        self.client.close()


def level(values):
    """The middle one."""
    return sorted(values)[len(values) // 2]


def slope(values):
    """How much a line through them rises from the first to the last."""
    n = len(values)
    return level([(values[j] - values[i]) / (j - i) for i in range(n) for j in range(i + 1, n)]) * (n - 1)


def scatter(values):
    """What a line through as many that do not rise, but lie as far from it, would rise by at most, 19 of 20 times."""
    n, rise, middle = len(values), slope(values), level(values)
    off = [abs(v - middle - rise * (i / (n - 1) - 0.5)) for i, v in enumerate(values)]
    return 2 * 1.48 * level(off) * (12 / n) ** 0.5


class Soak(server.Case):
    def test_hours_of_mixed_load_leave_no_trace(self):
        crowd.use_release_programs(self)
        self.s = self.serve("--metrics", "none", schema=SCHEMA, config=CONFIG)
        self.s.close()
        self.users = [User(self.s, n + 1, OPTIONS.seed) for n in range(CLIENTS)]
        for user in self.users:
            self.addCleanup(user.end)
            user.start()
        capacity = self.requests_a_second(OPTIONS.capacity_seconds)
        rate = OPTIONS.rate or capacity / 2
        for user in self.users:
            user.pause_s = CLIENTS / rate
        self.requests_a_second(min(OPTIONS.every, 5))  # what was too fast comes to its end
        self.taken()
        samples, until = [], OPTIONS.seconds and time.monotonic() + OPTIONS.seconds
        while len(samples) < 4 or (time.monotonic() < until if until else len(samples) < OPTIONS.samples):
            probe = crowd.Probe()
            self.addCleanup(probe.end)
            samples.append(self.sample(self.requests_a_second(OPTIONS.every), probe.end()))
        for user in self.users:
            user.end()
        self.ran("check", "--data", self.data)
        self.judge(capacity, rate, samples)
        self.assertEqual(self.s.stop(), 0, self.s.said)
        self.ran("check", "--data", self.data)

    def requests_a_second(self, seconds):
        before, begun = sum(user.done for user in self.users), time.monotonic()
        until = begun + seconds
        while time.monotonic() < until:
            time.sleep(max(0.0, min(0.5, until - time.monotonic())))
            self.assertIsNone(self.s.process.poll(), f"the server has ended\n{self.s.said}")
            for user in self.users:
                if user.failure:
                    raise AssertionError("a client") from user.failure
        return (sum(user.done for user in self.users) - before) / (time.monotonic() - begun)

    def taken(self):
        """The times of the turns since the last call, by kind."""
        times = collections.defaultdict(list)
        for user in self.users:
            took, user.took_s = user.took_s, collections.defaultdict(list)
            for kind, values in took.items():
                times[kind] += values
        return times

    def sample(self, rate, machine):
        p99 = {kind: crowd.percentile(times, 0.99) / machine for kind, times in self.taken().items()}
        beside = subprocess.Popen([sheaf.COORDINATOR, "check", "--data", self.data], stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT, env=sheaf.environment())
        said = beside.communicate()[0]
        self.assertEqual(beside.returncode, 0, said)
        processes = {"coordinator": self.s.pid, **self.s.shards()}
        wals = {name: os.path.getsize(sheaf.database(self.data, name) + "-wal") for name in ("users", "orders", "notes")}
        files = {name: os.path.getsize(sheaf.database(self.data, name)) for name in wals}  # keys are kept for a day: they grow
        one = {"requests_a_second": rate, "times_as_slow": machine, "p99_s": p99, "wal_bytes": wals, "file_bytes": files,
               "memory_bytes": {name: crowd.memory(pid) for name, pid in processes.items()},
               "own_bytes": {name: crowd.own_memory(pid) for name, pid in processes.items()},
               "descriptors": {name: len(crowd.descriptors(pid)) for name, pid in processes.items()}}
        print(f"  {rate:.0f}/s, the machine {machine:.1f} times as slow, p99 ms " + ", ".join(f"{k} {v * 1000:.0f}" for k, v in sorted(p99.items())) +
              "; MiB " + ", ".join(f"{k} {v / MIB:.1f}" for k, v in one["own_bytes"].items()) +
              f"; WAL MiB {sum(wals.values()) / MIB:.1f}; descriptors {sum(one['descriptors'].values())}", file=sys.stderr, flush=True)
        return one

    # ---- the verdict

    def judge(self, capacity, rate, samples):
        steady = samples[int(len(samples) * WARM_UP):]
        findings = [*self.lines(steady, "memory_bytes", lambda now: max(OPTIONS.flat, MEMORY_DRIFT * now)),
                    *self.lines(steady, "own_bytes", lambda now: max(OPTIONS.flat, MEMORY_DRIFT * now)),
                    *self.lines(steady, "descriptors", lambda now: DESCRIPTORS),
                    *self.lines(steady, "wal_bytes", lambda now: WAL_BYTES)]
        if not OPTIONS.is_short:
            findings += self.lines(steady, "p99_s", lambda now: max(DRIFT_S, DRIFT * now), scatter)
        wrong = [line for fine, line in findings if not fine]
        print(f"\n  capacity {capacity:.0f}/s, held {level([s['requests_a_second'] for s in samples]):.0f}/s of {rate:.0f}/s, "
              f"{len(samples)} samples\n" + "\n".join(line for _, line in findings), file=sys.stderr)
        if OPTIONS.report:
            with open(OPTIONS.report, "w", encoding="utf-8") as file:
                json.dump({"seed": OPTIONS.seed, "every_s": OPTIONS.every, "capacity": capacity, "rate": rate, "samples": samples,
                           "findings": [line.strip() for _, line in findings], "wrong": [line.strip() for line in wrong]}, file, indent=1)
        self.assertEqual(wrong, [], "not flat")

    def lines(self, samples, what, allowed_of, more=lambda values: 0.0):
        for name in samples[0][what]:
            values = [s[what][name] for s in samples if name in s[what]]
            rise, now = slope(values), level(values)
            allowed = max(allowed_of(now), more(values))
            fine = rise <= allowed
            yield fine, f"  {'flat' if fine else 'GROWS'}: {what} of {name}: about {now:.6g}, rises by {rise:.4g}, allowed {allowed:.4g}"


if __name__ == "__main__":
    OPTIONS.parse()
    OPTIONS.is_short = (OPTIONS.seconds or OPTIONS.samples * OPTIONS.every) < 600  # too little for a percentile's drift
    sys.argv = sys.argv[:1]
    sheaf.main()
