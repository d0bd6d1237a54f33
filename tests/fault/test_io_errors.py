# SPDX-License-Identifier: Apache-2.0
"""The N-th open, write, sync, truncation, removal or read of the shards' files fails, for N after N until a run ends
without reaching it: while they start, and while they serve a random workload. Whatever the client is told is what the
files bear out, and when the disk works again so does Sheaf, without an operator.

    test_io_errors.py [--seed N] [--workloads N] [--every N] [--kinds KIND…] [--seconds S]
"""

import collections
import os
import pathlib
import random
import shutil
import signal
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "system"))
import effort  # noqa: E402
import failing_io  # noqa: E402
import history  # noqa: E402
import server  # noqa: E402
import sheaf  # noqa: E402
import workload  # noqa: E402

EFFORT = effort.Effort("workloads", 1)
EFFORT.add_argument("--every", type=int, default=7, help="which N; of starts, every other one of these")
EFFORT.add_argument("--kinds", nargs="*", default=list(failing_io.KINDS), choices=failing_io.KINDS)
EFFORT.parse()

REQUESTS = 40  # of a round
PAIRS = 8  # of tables whose index is still to be built: one a round
TIMES = (1, 1, 1, 1, 2, 3, 10)  # so many calls fail, one after the other
SERVES_AGAIN_S = 60  # on a busy machine; restarts are at most 5 s apart
BACK_OFF_S = 0.01  # before a request that could not be done is sent again
NO_EFFECT = ("io", "unavailable", "busy")  # and, of an atomic batch, "conflict"
FINAL = ("done", "not_found", "unique", "check", "reference_missing", "referenced")
MAY_BE_LEFT = {"sheaf.lock", "sheaf.cluster"}  # the note tells the next start what the shards have heard
DONE_SHARE, REACHED_SHARE = 0.5, 0.5  # of outcomes, of rounds
SCHEMA = """
CREATE TABLE p (id INTEGER PRIMARY KEY, u TEXT UNIQUE, v INTEGER CHECK (v > 0));
CREATE TABLE c (id INTEGER PRIMARY KEY, p INTEGER REFERENCES p ON DELETE CASCADE, x TEXT, v INTEGER);
CREATE TABLE t (k TEXT PRIMARY KEY, c INTEGER REFERENCES c ON DELETE SET NULL ON UPDATE CASCADE, v INTEGER) WITHOUT ROWID;
""" + "".join(f"CREATE TABLE f{i} (id INTEGER PRIMARY KEY, v INTEGER);\n"
              f"CREATE TABLE g{i} (id INTEGER PRIMARY KEY, f INTEGER REFERENCES f{i} ON DELETE CASCADE, v INTEGER);\n" for i in range(PAIRS))
DATABASES = {"one": ["p", *(f"f{i}" for i in range(PAIRS))], "two": ["c", *(f"g{i}" for i in range(PAIRS))], "three": ["t"]}
COLUMNS = {"p": ["id", "u", "v"], "c": ["id", "p", "x", "v"], "t": ["k", "c", "v"]}
COLUMNS |= {f"f{i}": ["id", "v"] for i in range(PAIRS)} | {f"g{i}": ["id", "f", "v"] for i in range(PAIRS)}
KEYS = {table: ["k" if table == "t" else "id"] for table in COLUMNS}
CONFIG = "".join(f"[database {d}]\ntables = {', '.join(tables)}\n" for d, tables in DATABASES.items()) + """[limits]
idle_ms = 3600000
wal_checkpoint_pages = 100
answer_ms = {}
"""


class Client(workload.Client):
    """Requests of which most can be done: it remembers which keys there are, as far as it was told."""

    KINDS = {"insert": 7, "upsert": 4, "update": 6, "delete": 3, "rekey": 2, "large": 1, "array": 2, "batch": 9}

    def __init__(self, seed):
        self.rng, self.tags, self.count, self.keyed = random.Random(f"{seed} client"), {}, 0, 0
        self.keys = {table: set() for table in "pct"}

    def mark(self):
        self.count += 1
        return -1 if self.rng.random() < 0.01 else self.count  # which only p refuses

    def key(self, table, known=True):
        if known and self.keys[table] and self.rng.random() < 0.9:
            return self.rng.choice(sorted(self.keys[table]))
        number = self.rng.randint(1, 12)
        return f"k{number}" if table == "t" else number

    def row(self, table, new=True):
        row = {KEYS[table][0]: self.key(table, not new)} if new is not None else {}
        row |= {"p": {"u": f"u{self.rng.randint(1, 40)}"}, "c": {"p": self.key("p")}, "t": {"c": self.key("c")}}[table]
        return row | {"v": self.mark()}

    def step(self, op, table=None):
        table = table or self.rng.choice("pct")
        if op in ("insert", "upsert", "large"):
            row = self.row("c" if op == "large" else table)
            return {"op": "upsert", "table": "c", "row": row | {"x": 20000 * "x"}} if op == "large" else {"op": op, "table": table, "row": row}
        step = {"op": op, "table": table, "key": {KEYS[table][0]: self.key(table)}}
        if op == "update":
            step["row"] = self.row(table, None)
        elif op == "rekey":
            step = {"op": "update", "table": "c", "key": {"id": self.key("c")}, "row": {"id": self.key("c", False), "v": self.mark()}}
        return step

    def request(self):
        kind = self.rng.choices(list(self.KINDS), self.KINDS.values())[0]
        if kind == "batch":
            steps = [self.step(self.rng.choice(("insert", "update", "update", "delete")), table)
                     for table in self.rng.sample("pct", self.rng.randint(2, 3))]
            return self.asks("POST", "/v1/batch", {"atomic": True, "ops": steps}, [history.Event(steps, atomic=True)])
        if kind == "array":
            steps = [self.step("insert", "t") for _ in range(3)]
            return self.asks("POST", server.path("t"), [step["row"] for step in steps], [history.Event([s]) for s in steps])
        return self.single(self.step(kind))

    def single(self, step):
        table, events = step["table"], [history.Event([step])]
        if step["op"] in ("insert", "upsert"):
            how = "?on_conflict=update" if step["op"] == "upsert" else ""
            return self.asks("POST", server.path(table) + how, step["row"], events)
        target = server.path(table, *step["key"].values())
        return self.asks("DELETE" if step["op"] == "delete" else "PATCH", target, step.get("row"), events)

    def asks(self, method, target, body, events):
        request = workload.Request(method, target, body, events)
        if self.rng.random() < 0.5:
            self.keyed += 1
            request.headers["Idempotency-Key"] = str(self.keyed)
        return request

    def learn(self, event):
        for step in event.steps if event.outcome in ("done", "maybe") else ():
            keys = self.keys.get(step["table"], set())
            old, new = step.get("key", {}), step.get("row", {})
            if step["op"] == "delete" or KEYS[step["table"]][0] in new:
                keys.difference_update(old.values())
            keys.update(new[c] for c in KEYS[step["table"]] if c in new)


def points(every, seed):
    """(N, how it fails, how often), without end; of kinds of which there are fewer calls a smaller N."""
    n = random.Random(seed).randrange(every)
    while True:
        rng = random.Random(f"{seed} {n}")
        kind = rng.choice(EFFORT.kinds)
        yield int(n * failing_io.KINDS[kind][2]), kind, rng.choice(TIMES)
        n += every


def is_the_last(kind):
    """Whether one that was not reached ends it: of kinds that count little it is nearly by chance."""
    return failing_io.KINDS[kind][2] == max(failing_io.KINDS[kind][2] for kind in EFFORT.kinds)


class Starting(sheaf.Case):
    """One database, and `insert`, which starts it, writes a row and ends. The next time nothing fails."""

    def setUp(self):
        super().setUp()
        self.schema, self.seen = self.path("schema.sql", "CREATE TABLE t (id INTEGER PRIMARY KEY);"), collections.Counter()

    def tearDown(self):
        print(f"\nseed {EFFORT.seed}, {self._testMethodName}: {dict(self.seen)}", file=sys.stderr)

    def runs(self, name, prepare):
        """Each N: what `insert` came to, and in `self.where` what it was. Until there was no N-th call."""
        for n, kind, times in points(2 * EFFORT.every, f"{EFFORT.seed} {name}"):
            prepare()
            calls = failing_io.Calls(self.folder, self.data)
            calls.fail(n, kind, times)
            done = self.insert_row(3, calls)
            self.failed, self.where = calls.failed, f"seed {EFFORT.seed}, N {n}: {kind}, {times} times, {calls.failed}\n{done}"
            calls.close()
            yield done, times
            self.seen["status", done.status] += 1
            shutil.rmtree(self.data)
            if not self.failed and is_the_last(kind):
                break

    def insert_row(self, row, calls=None):
        return sheaf.run("insert", "--data", self.data, "--schema", self.schema, input=f'{{"table":"t","id":{row}}}\n',
                         env=calls and calls.environment())

    def judge(self, done, before):
        """What is in the file, now and when the disk works again."""
        outcome = [line["error"]["code"] if "error" in line else "done" for line in done.lines()]
        self.assertLessEqual(set(outcome), {"done", *NO_EFFECT, "unknown"}, self.where)
        self.assertEqual(done.status, 0 if outcome == ["done"] else 3, self.where)
        if outcome in ([], ["io"]):
            self.assertIn("database t", done.stdout + done.stderr, self.where)
        again = self.insert_row(4)
        self.assertEqual(again.status, 0, f"{self.where}\n{again}")
        rows = [row[0] for row in sheaf.rows(self.data, "t")]
        self.assertIn(rows, [[*before, 3, 4]] if outcome == ["done"] else
                      [[*before, 4], [*before, 3, 4]] if outcome == ["unknown"] else [[*before, 4]], self.where)
        self.ran("check", "--data", self.data)

    def test_what_a_first_start_cannot_do_is_said_and_leaves_nothing(self):
        for done, times in self.runs("first", lambda: None):
            left = set(os.listdir(self.data)) - MAY_BE_LEFT if os.path.exists(self.data) else set()
            if done.status == 3 and not done.stdout and times == 1:  # else the disk may have kept it from cleaning up
                self.assertEqual(left, set(), self.where)
            self.judge(done, [])

    def test_what_a_start_after_a_kill_cannot_do_is_said_and_loses_nothing(self):
        killed = server.Server(self.data, "--schema", self.schema)
        self.assertEqual(killed.post(server.path("t"), [{"id": 1}, {"id": 2}]).status, 200)
        killed.kill()
        os.rename(self.data, self.path("killed"))
        sockets = shutil.ignore_patterns("*.sock")
        for done, _ in self.runs("killed", lambda: shutil.copytree(self.path("killed"), self.data, ignore=sockets)):
            self.judge(done, [1, 2])


class Serving(server.Case):
    def setUp(self):
        super().setUp()
        self.outcomes, self.failed, self.kinds = collections.Counter(), collections.Counter(), collections.Counter()
        self.rounds, self.slowest_s, self.s = 0, 0.0, None

    # ---- servers

    def new_server(self, seed):
        """With databases of its own; of the last one, the files are looked at."""
        self.end_server()
        self.data = self.path(f"data{self.rounds}")
        self.calls = failing_io.Calls(self.folder, self.data)
        answer_ms = random.Random(seed).choice((2000, 60000))
        self.s = self.serve(schema=SCHEMA, config=CONFIG.format(answer_ms), env=self.calls.environment())
        self.judge, self.client, self.pair = history.Judge(SCHEMA, COLUMNS, KEYS, "v"), Client(seed), 0

    def end_server(self):
        if not self.s:
            return
        self.s.close()
        self.assertEqual(self.s.stop(), 0, self.s.said)
        self.ran("check", "--data", self.data)
        self.assertEqual(self.stored(), self.judge.state())
        self.calls.close()
        self.no_shard_is_left()
        shutil.rmtree(self.data)
        self.s = None

    def stored(self):
        found = {}
        for database, tables in DATABASES.items():
            with sheaf.opened(self.data, database) as file:
                self.assertEqual(file.execute("PRAGMA integrity_check").fetchall(), [("ok",)], self.where)
                found |= {t: tuple(file.execute(f"SELECT * FROM {t} ORDER BY {KEYS[t][0]}")) for t in tables}
        return tuple(found[table] for table in COLUMNS)

    # ---- a round

    def until(self, condition, what):
        deadline = time.monotonic() + SERVES_AGAIN_S
        while not condition():
            self.assertLess(time.monotonic(), deadline, f"{self.where}: {what}\n{self.s.said[-3000:]}")
            time.sleep(BACK_OFF_S)  # nobody tells a client that a shard is back

    def is_ready(self):
        return self.s.get("/readyz").status == 200

    def perform(self, request):
        """Once; with a key, until its outcome is known. What may have been done is an event of this round."""
        keyed, before = "Idempotency-Key" in request.headers, {}
        deadline = time.monotonic() + SERVES_AGAIN_S
        while True:
            self.client.send(self.s, request)
            codes = [event.outcome for event in request.events]
            self.outcomes.update(codes)
            allowed = {*FINAL, *NO_EFFECT, "unknown"} | ({"conflict"} if request.events[0].atomic else set())
            self.assertLessEqual(set(codes), allowed, f"{self.where}: {request.answer}")
            for i, code in enumerate(codes):  # once told, it is no other
                self.assertIn(before.setdefault(i, code) if code in FINAL else code, (code,), f"{self.where}: {request.answer}")
            if all(code in FINAL or code == "conflict" for code in codes):
                break
            self.until(self.is_ready, "no shard comes back")
            if not keyed:
                break
            self.assertLess(time.monotonic(), deadline, f"{self.where}: {request.answer}")
        for event in request.events:
            event.outcome = "maybe" if event.outcome == "unknown" else event.outcome
            self.client.learn(event)
        self.events += [event for event in request.events if event.outcome in (*FINAL, "maybe")]

    def build_an_index(self):
        """By the first deletion of a parent."""
        f, g = f"f{self.pair}", f"g{self.pair}"
        for step in ({"op": "upsert", "table": f, "row": {"id": 1}}, {"op": "upsert", "table": g, "row": {"id": 1, "f": 1}},
                     {"op": "delete", "table": f, "key": {"id": 1}}):
            if "row" in step:
                step["row"]["v"] = abs(self.client.mark())
            self.perform(self.client.single(step))

    def kill_a_shard(self, rng):
        shards = self.s.shards()
        if shards:
            os.kill(rng.choice(sorted(shards.values())), signal.SIGKILL)

    def writes_everywhere(self):
        """As soon as nothing fails any more, and soon."""
        begun = time.monotonic()
        for table in ("p", "c", "t", f"f{self.pair}", f"g{self.pair}"):
            row = {KEYS[table][0]: "last" if table == "t" else 99, "v": abs(self.client.mark())}
            count = len(self.events)

            def is_written():
                self.perform(self.client.single({"op": "upsert", "table": table, "row": row}))
                return self.events[count:] and self.events[-1].outcome == "done"

            self.until(is_written, f"{table} cannot be written")
        self.slowest_s = max(self.slowest_s, time.monotonic() - begun)

    def left_in_doubt(self):
        count = 0
        for database in DATABASES:
            with sheaf.opened(self.data, database) as file:
                count += sum(file.execute(f"SELECT count(*) FROM {t}").fetchone()[0] for t in ("_sheaf_prepared", "_sheaf_decision"))
        return count

    def judge_round(self):
        self.writes_everywhere()
        self.until(lambda: self.left_in_doubt() == 0, "a transaction is left over")
        before, final = self.judge.state(), self.stored()
        for table in "pct":
            rows = self.done(self.s.get(server.path(table) + "?limit=1000"))["rows"]
            self.assertEqual(tuple(tuple(row.values()) for row in rows), final[list(COLUMNS).index(table)])
        if not self.judge.linearize(self.events, final):
            self.fail(f"{self.where}\n" + history.explain(self.judge, before, final))

    def run_round(self, seed, n, kind, times):
        """Whether there was an N-th call."""
        rng, self.events = random.Random(f"{seed} {n} round"), []
        self.where = f"seed {EFFORT.seed}, {seed}, N {n}: {kind}, {times} times"
        builds, kills = rng.randrange(REQUESTS), rng.randrange(REQUESTS)
        self.calls.fail(n, kind, times)
        for i in range(REQUESTS):
            if i == builds:
                self.build_an_index()
            if i == kills:
                self.kill_a_shard(rng)
            self.perform(self.client.request())
        self.calls.stop()
        failed = self.calls.failed
        self.where += f", {failed}"
        self.judge_round()
        self.rounds += 1
        self.pair += 1
        if failed:
            self.failed[failed] += 1
            self.kinds[kind] += 1
        return failed is not None

    def test_what_fails_while_they_serve_loses_nothing(self):
        done = 0
        while EFFORT.goes_on(done):
            seed = f"workload {done}"
            for n, kind, times in points(EFFORT.every, f"{EFFORT.seed} {seed}"):
                if self.s is None or self.pair == PAIRS:
                    self.new_server(f"{EFFORT.seed} {seed} {n}")
                reached = self.run_round(seed, n, kind, times)
                if not reached and is_the_last(kind) or not EFFORT.goes_on(done):
                    break
            self.end_server()
            done += 1
        print(f"\nseed {EFFORT.seed}: {done} workloads, {self.rounds} rounds up to N {n}, {dict(self.failed)}, {dict(self.kinds)}, "
              f"{dict(self.outcomes)}, written again after at most {self.slowest_s:.2f} s", file=sys.stderr)
        self.assertGreater(self.outcomes["done"], DONE_SHARE * self.outcomes.total())
        self.assertGreater(sum(self.kinds.values()), REACHED_SHARE * self.rounds)


if __name__ == "__main__":
    sys.argv = sys.argv[:1]
    sheaf.main()
