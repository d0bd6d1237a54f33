# SPDX-License-Identifier: Apache-2.0
"""A file system of 16 MiB is filled by `load` and by writes over HTTP until nothing goes, and then freed: whatever was
answered is what the files hold, and Sheaf writes again by itself.

    test_full.py [--seed N] [--times N] [--seconds S]
"""

import collections
import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "system"))
import effort  # noqa: E402
import server  # noqa: E402
import sheaf  # noqa: E402

EFFORT = effort.Effort("times", 3).parse()
DISK_BYTES = 16 << 20
LOADED_BYTES, BESIDE_LOAD_BYTES = 3 << 20, 14 << 20  # there is no room for both
BESIDE_SERVER_BYTES = 6 << 20
SIZES = (10, 1000, 30000)  # of rows
REFUSED_IN_A_ROW = 15  # nothing goes any more
SERVES_AGAIN_S = 60  # on a busy machine; restarts are at most 5 s apart
BACK_OFF_S = 0.01  # before a request that could not be done is sent again
NO_EFFECT = ("io", "unavailable", "busy")
SCHEMA = """
CREATE TABLE p (id INTEGER PRIMARY KEY, x TEXT);
CREATE TABLE c (id INTEGER PRIMARY KEY, p INTEGER NOT NULL REFERENCES p, x TEXT);
CREATE TABLE t (id INTEGER PRIMARY KEY, x TEXT);
"""
CONFIG = "[limits]\nwal_checkpoint_pages = {}\nidle_ms = 3600000\n"
TABLES = "pct"


def enter_a_place_to_mount():
    """Runs this program again where what it mounts is seen by nobody else and goes with it. Without the right to: skipped."""
    if "SHEAF_MAY_MOUNT" in os.environ:
        return
    for options in ("-m", "-rm"):  # as root; as the root of a user's own name space
        command = ["unshare", options, "env", "SHEAF_MAY_MOUNT=1"]
        with tempfile.TemporaryDirectory() as folder:
            tried = subprocess.run([*command, "mount", "-t", "tmpfs", "none", folder], stderr=subprocess.PIPE, text=True)
        if tried.returncode == 0:
            os.execvp(command[0], [*command, sys.executable, *sys.argv])
    print(f"skipped: nothing may be mounted here: {tried.stderr.strip()}", file=sys.stderr)
    sys.exit(sheaf.SKIPPED)


class Request:
    """`groups`: of steps that are done together or not at all. A step: (table, id, x, whether it is an insert)."""

    def __init__(self, method, target, body, groups, key):
        self.method, self.target, self.body, self.groups = method, target, body, groups
        self.headers = {"Idempotency-Key": str(key)} if key else {}
        self.outcomes = [None] * len(groups)

    def told(self, answer):
        body = answer.json
        results = body["results"] if answer.status == 200 and len(self.groups) > 1 else [body] * len(self.groups)
        self.outcomes = ["done" if result["ok"] else result["error"]["code"] for result in results]


class Model:
    """What the rows must be. `unsure`: groups of which nobody was told whether they were done."""

    def __init__(self):
        self.rows, self.unsure = {}, []

    def take(self, request):
        for group, outcome in zip(request.groups, request.outcomes):
            if outcome == "done":
                self.rows.update({(table, key): x for table, key, x, _ in group})
            elif outcome == "unknown":
                self.unsure.append(group)

    def settle(self, stored):
        """Each of the unsure is done or not, as the files say, and then as a whole."""
        for group in self.unsure:
            if stored.get(group[0][:2]) == group[0][2]:
                self.rows.update({(table, key): x for table, key, x, _ in group})
        self.unsure = []


class Full(server.Case):
    def setUp(self):
        super().setUp()
        self.disk = self.path("disk")
        os.mkdir(self.disk)
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES},mode=0700", "none", self.disk], check=True)
        self.addCleanup(subprocess.run, ["umount", self.disk], check=True)
        self.outcomes, self.killed, self.slowest_s = collections.Counter(), collections.Counter(), 0.0

    # ---- the disk

    def beside(self, size):
        """Another file takes so much of it, or most of what is free."""
        free = os.statvfs(self.disk)
        with open(os.path.join(self.disk, "ballast"), "wb") as file:
            os.posix_fallocate(file.fileno(), 0, min(size, free.f_bfree * free.f_bsize * 7 // 8))

    def free(self):
        os.unlink(os.path.join(self.disk, "ballast"))

    def stored(self):
        found = {}
        for table in TABLES:
            with sheaf.opened(self.data, table) as file:
                self.assertEqual(file.execute("PRAGMA integrity_check").fetchall(), [("ok",)], self.where)
                found |= {(table, key): x for key, x in file.execute(f"SELECT id, x FROM {table}")}
        return found

    def judge(self):
        stored = self.stored()
        self.model.settle(stored)
        wrong = {row: (len(stored.get(row, "")), len(self.model.rows.get(row, "")))
                 for row in stored.keys() | self.model.rows.keys() if stored.get(row) != self.model.rows.get(row)}
        self.assertEqual(wrong, {}, f"{self.where}: rows, their length in the files, what it should be")

    # ---- load

    def input(self, first, bytes_):
        """Files of p and c, with ids from `first` on, and their rows."""
        rows, count = {}, 200
        for i in range(first, first + count):
            rows |= {("p", i): self.rng.randint(1, bytes_ // count) * "p", ("c", i): self.rng.randint(1, bytes_ // count) * "c"}
        files = [f"p={self.path('p.csv', 'id,x' + ''.join(f'{chr(10)}{i},{x}' for (t, i), x in rows.items() if t == 'p'))}",
                 f"c={self.path('c.csv', 'id,p,x' + ''.join(f'{chr(10)}{i},{i},{x}' for (t, i), x in rows.items() if t == 'c'))}"]
        return files, rows

    def load(self, files, rows, status):
        """What it says of how many rows it has taken, and of each that it has not, is so."""
        before = self.stored() if os.path.exists(sheaf.database(self.data, "c")) else {}
        metrics, rejects = self.path("metrics", ""), self.path("rejects", "")
        done = sheaf.run("load", "--quiet", "--data", self.data, "--schema", self.path("schema.sql"), "--config", self.path("sheaf.conf"),
                         "--metrics", "json", "--metrics-file", metrics, "--rejects", rejects, *files)
        self.assertIn(done.status, status, f"{self.where}\n{done}")
        stored = self.stored()
        with open(rejects) as file:
            refused = [json.loads(line) for line in file]
        self.assertLessEqual({each["code"] for each in refused}, {*NO_EFFECT, "unknown", "reference_missing"}, self.where)
        self.assertEqual([each for each in refused if each["code"] != "unknown" and (each["table"], int(each["raw"].split(",")[0])) in stored],
                         [], self.where)
        with open(metrics) as file:
            accepted = sum(database["rows"]["accepted"] for database in json.load(file)["databases"])
        self.assertIn(len(stored) - len(before) - accepted, range(1 + sum(each["code"] == "unknown" for each in refused)), self.where)
        self.outcomes["loaded"] += accepted
        self.outcomes.update(f"load: {each['code']}" for each in refused)
        self.model.rows.update({row: x for row, x in rows.items() if row in stored})
        return done

    def fill_by_load(self):
        files, rows = self.input(1, LOADED_BYTES)
        self.beside(BESIDE_LOAD_BYTES)
        done = self.load(files, rows, (3,))
        self.assertRegex(done.stderr, "database [pct]: .* full|database [pct]: .*No space left", self.where)
        self.ran("check", "--data", self.data)
        self.free()
        self.load(files, rows, (0,))
        self.judge()

    # ---- requests

    def x(self):
        return self.rng.choice("abc") * self.rng.choice(SIZES)

    def insert(self, table):
        self.last_id += 1
        return table, self.last_id, self.x(), True

    def row(self, step):
        table, key, x, is_insert = step
        return {"x": x} | ({"id": key} if is_insert else {}) | ({"p": 1} if table == "c" and is_insert else {})

    def update(self, table):
        """Of a row that nothing else is to happen to."""
        groups = self.model.unsure + [group for request in self.pending for group in request.groups]
        waiting = {step[:2] for group in groups for step in group}
        return table, self.rng.choice([key for t, key in self.model.rows if t == table and (t, key) not in waiting]), self.x(), False

    def operation(self, step):
        key = {} if step[3] else {"key": {"id": step[1]}}
        return {"op": "insert" if step[3] else "update", "table": step[0], "row": self.row(step)} | key

    def request(self):
        self.key += 1
        kind, key = self.rng.choice(("insert", "insert", "update", "array", "batch")), self.key if self.rng.random() < 0.5 else None
        table = self.rng.choice(TABLES)
        if kind == "insert":
            step = self.insert(table)
            return Request("POST", server.path(table), self.row(step), [[step]], key)
        if kind == "update":
            step = self.update(table)
            return Request("PATCH", server.path(table, step[1]), self.row(step), [[step]], key)
        if kind == "array":
            steps = [self.insert(table) for _ in range(3)]
            return Request("POST", server.path(table), [self.row(step) for step in steps], [[step] for step in steps], key)
        steps = [self.rng.choice((self.insert, self.update))(t) for t in self.rng.sample(TABLES, self.rng.randint(2, 3))]
        return Request("POST", "/v1/batch", {"atomic": True, "ops": [self.operation(step) for step in steps]}, [steps], key)

    def send(self, request):
        answer = self.s.request(request.method, request.target, request.body, request.headers)
        request.told(answer)
        self.outcomes.update(request.outcomes)
        self.assertLessEqual(set(request.outcomes), {"done", *NO_EFFECT, "unknown"}, f"{self.where}: {answer}")

    def read_something(self):
        """What is said to be there is there, or cannot be read now."""
        (table, key), x = self.rng.choice(list(self.model.rows.items()))
        answer = self.s.get(server.path(table, key))
        if answer.status == 200:
            unsure = [step[2] for group in self.model.unsure for step in group if step[:2] == (table, key)]
            self.assertIn(answer.json["x"], [x, *unsure], self.where)
        else:
            self.assertIn(answer.error["code"], NO_EFFECT, f"{self.where}: {answer}")

    def fill_by_requests(self):
        refused = 0
        while refused < REFUSED_IN_A_ROW:
            request = self.request()
            self.send(request)
            self.model.take(request)
            if request.headers and set(request.outcomes) != {"done"}:
                self.pending.append(request)
            refused = 0 if "done" in request.outcomes else refused + 1
            if self.rng.random() < 0.1:
                self.read_something()

    def send_again(self):
        """Those with a key, now that there is room."""
        for request in self.pending:
            before = request.outcomes
            self.until(lambda: self.send(request) or set(request.outcomes) == {"done"}, f"{request.body} is not done")
            self.assertEqual([b for b, now in zip(before, request.outcomes) if b == "done" and now != "done"], [], self.where)
            self.model.take(request)
        self.pending = []

    def until(self, condition, what):
        deadline = time.monotonic() + SERVES_AGAIN_S
        while not condition():
            self.assertLess(time.monotonic(), deadline, f"{self.where}: {what}\n{self.s.said[-3000:]}")
            time.sleep(BACK_OFF_S)  # nobody tells a client that a shard is back

    def write_everywhere(self):
        begun = time.monotonic()
        for table in TABLES:
            step = self.insert(table)
            request = Request("POST", server.path(table), self.row(step), [[step]], None)

            def is_written():
                self.send(request)
                return request.outcomes == ["done"]

            self.until(is_written, f"{table} cannot be written")
            self.model.take(request)
        self.slowest_s = max(self.slowest_s, time.monotonic() - begun)

    # ---- all of it

    def start(self):
        self.s = self.serve("--schema", self.path("schema.sql"), "--config", self.path("sheaf.conf"))

    def start_on_a_full_disk(self):
        """Or what it says when that is not possible; then it can when there is room."""
        try:
            self.start()
        except AssertionError as ended:
            self.assertRegex(str(ended), "database [pct]: .*( full|No space left)", self.where)
            self.free()
            self.start()
            return "no start"
        self.free()
        return "a start"

    def be_killed(self):
        """While the disk is full; then there is room."""
        kind = self.rng.choice(("nobody", "a shard", "all"))
        if kind == "a shard":
            for pid in self.rng.sample(sorted(self.s.shards().values()), 1):
                os.kill(pid, signal.SIGKILL)
            self.read_something()
        if kind == "all":
            self.s.kill()
            kind += f", {self.start_on_a_full_disk()}"
        else:
            self.free()
        self.killed[kind] += 1

    def fill_by_requests_and_free(self):
        self.start()
        self.last_id, self.key, self.pending = 1_000_000, 0, []
        self.write_everywhere()
        self.beside(BESIDE_SERVER_BYTES)
        self.fill_by_requests()
        self.be_killed()
        self.write_everywhere()
        self.send_again()
        self.load(*self.input(self.last_id + 1, LOADED_BYTES // 10), (0,))  # by way of the server
        self.s.close()
        self.assertEqual(self.s.stop(), 0, self.s.said)
        self.judge()
        self.ran("check", "--data", self.data)

    def test_what_was_answered_is_there_and_it_writes_again(self):
        times = 0
        self.path("schema.sql", SCHEMA)
        while EFFORT.goes_on(times):
            self.where, self.rng = f"seed {EFFORT.seed}, time {times}", random.Random(f"{EFFORT.seed} {times}")
            self.data, self.model = os.path.join(self.disk, "data"), Model()
            self.path("sheaf.conf", CONFIG.format(self.rng.choice((100, 400, 10000))))
            self.fill_by_load()
            self.fill_by_requests_and_free()
            self.no_shard_is_left()
            shutil.rmtree(self.data)
            times += 1
        print(f"\nseed {EFFORT.seed}: {times} times, {dict(self.outcomes)}, killed when full: {dict(self.killed)}, "
              f"written again after at most {self.slowest_s:.2f} s", file=sys.stderr)
        for outcome in ("io", "load: io", "done"):
            self.assertGreater(self.outcomes[outcome], 0)


if __name__ == "__main__":
    enter_a_place_to_mount()
    sys.argv = sys.argv[:1]
    sheaf.main()
