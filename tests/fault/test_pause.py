# SPDX-License-Identifier: Apache-2.0
"""SIGSTOP of a shard or of the coordinator for 0.1 to 10 s under random writes of several clients, then SIGCONT. Whatever
they were told is what one SQLite file could have told them, and nobody is killed but a shard that gave no sign for mute_ms.

    test_pause.py [--seed N] [--pauses N | --seconds S]

While a shard stands still tables of all other databases are read and written, each by a connection of its own. 99 of 100
answer within ANSWER_S. A busy machine does not answer so fast whatever Sheaf does, so before each pause there is a control,
the same questions while all run: where 99 of 100 of those took longer than half of ANSWER_S, twice as long as they took is
allowed. And none waits for the shard that stands still, which would be as long as the pause: where that is long enough to be
told from a slow moment, half of it is too much.
"""

import collections
import contextlib
import os
import pathlib
import select
import signal
import sqlite3
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "system"))
import effort  # noqa: E402
import oracle  # noqa: E402
import server  # noqa: E402
import sheaf  # noqa: E402
import users  # noqa: E402
import workload  # noqa: E402

CLIENTS = 6
DONE_SHARE = 0.25
SHORTEST_S, LONGEST_S = 0.1, 10
HEARTBEAT_S, MUTE_S = 0.1, 2
ANSWERS_END_S = 0.7  # users who wait for a shard for so long are told that nobody knows, and ask again
ANSWER_S = 0.1
CONTROL_S = 0.3
LONG_S = 2
CHILDREN = 2_000_000
EACH = 15  # pauses of one server
OPTIONS = effort.Effort("pauses", 15)
OPTIONS.parse()


class Work(workload.Workload):
    """And a table in each database that has nothing to do with any other."""

    def __init__(self, seed):
        super().__init__(seed)
        self.ddl += "".join(f"CREATE TABLE apart_{d} (id INTEGER PRIMARY KEY, v INTEGER);\n" for d in workload.DATABASES)
        for database, tables in workload.DATABASES.items():
            self.config = self.config.replace(f"tables = {', '.join(tables)}\n", f"tables = {', '.join(tables)}, apart_{database}\n")
        self.config += f"heartbeat_ms = {HEARTBEAT_S * 1000:.0f}\nmute_ms = {MUTE_S * 1000:.0f}\nanswer_ms = {ANSWERS_END_S * 1000:.0f}\n"


class Asker:
    """Asks the table apart of one database, again and again, in a thread of its own: [(seconds, question), …]."""

    def __init__(self, database, client):
        self.table, self.client = server.path(f"apart_{database}", 1), client
        self.times, self.ending, self.failure = [], threading.Event(), None
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        try:
            while not self.ending.is_set():
                for method, body in (("GET", None), ("PATCH", {"v": len(self.times)})):
                    before = time.monotonic()
                    answer = self.client.request(method, self.table, body)
                    self.times.append((time.monotonic() - before, f"{method} {self.table}"))
                    if answer.status != 200:
                        raise AssertionError(f"{self.times[-1]}: {answer}")
        except BaseException as failure:
            self.failure = failure

    def end(self):
        self.ending.set()
        self.thread.join()
        self.client.close()
        if self.failure:
            raise self.failure
        return self.times


class Busy(server.Case):
    """A shard that makes an index over many rows is at work, and not mute."""

    def make_index(self, parents, mute_s):
        """Deletes a parent whose children have no index yet; how long that took."""
        limits = {"heartbeat_ms": max(mute_s * 100, 50), "mute_ms": mute_s * 1000, "cache_bytes": 8 << 20}
        s = self.serve(config="[limits]\n" + "".join(f"{name} = {value:.0f}\n" for name, value in limits.items()))
        before, begun = s.shards(), time.monotonic()
        answer = s.delete(server.path(parents, "goes"))
        took_s = time.monotonic() - begun
        self.assertEqual(s.shards(), before, f"a shard was killed that was at work: {answer}\n{s.said}")
        self.done(answer)
        self.assertEqual(s.stop(), 0, s.said)
        return took_s

    def test_a_shard_that_makes_an_index_is_not_killed(self):
        s = self.serve(schema="""CREATE TABLE parents (name TEXT PRIMARY KEY);
                                 CREATE TABLE others (name TEXT PRIMARY KEY);
                                 CREATE TABLE children (id INTEGER PRIMARY KEY, parent TEXT REFERENCES parents, other TEXT REFERENCES others);""")
        for parents in ("parents", "others"):
            self.done(s.post(server.path(parents), [{"name": "stays"}, {"name": "goes"}]))
        self.assertEqual(s.stop(), 0, s.said)
        with contextlib.closing(sqlite3.connect(sheaf.database(self.data, "children"))) as file:
            file.execute("WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?) "
                         "INSERT INTO children SELECT i, 'stays', 'stays' FROM n", (CHILDREN,))
            file.commit()
        # the first tells how long it takes here now; then a small part of that counts as mute
        mute_s = max(self.make_index("parents", 60) / 8, 0.4)
        took_s = self.make_index("others", mute_s)
        with sheaf.opened(self.data, "children") as file:
            indexes = file.execute("SELECT count(*) FROM sqlite_schema WHERE name LIKE '\\_sheaf\\_ix%' ESCAPE '\\'").fetchone()
        self.assertEqual(indexes, (2,))
        print(f"\nan index over {CHILDREN} rows took {took_s:.1f} s, mute after {mute_s:.1f} s", file=sys.stderr)
        self.assertGreater(took_s, 1.2 * mute_s, "it was not at work for long enough to be taken for mute")


class Pause(users.Case):
    def setUp(self):
        super().setUp()
        self.pauses, self.outcomes, self.times = collections.Counter(), collections.Counter(), {"control": [], "stopped": []}

    # ---- standing still

    def ask_others(self, name, what, wait):
        """Asks all databases but that one until `wait` returns; the slowest answer."""
        askers = [Asker(d, self.world.server.client()) for d in workload.DATABASES if d != name]
        try:
            wait()
        finally:
            times = sum([asker.end() for asker in askers], [])
        self.times[what] += times
        return max(times)

    def stop_shard(self, name, pause_s):
        """Returns when it goes on, or another has taken its place."""
        self.ask_others(name, "control", lambda: time.sleep(CONTROL_S))
        pid = self.world.server.shards()[name]
        life = os.pidfd_open(pid)
        os.kill(pid, signal.SIGSTOP)
        try:
            # one that gives no sign for so long has to go
            surely_mute = pause_s > 2 * MUTE_S
            slowest = self.ask_others(name, "stopped", lambda: select.select([life], [], [], sheaf.TIMEOUT_S if surely_mute else pause_s))
            killed = bool(select.select([life], [], [], 0)[0])
        finally:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(life, signal.SIGCONT)
            os.close(life)
        self.pauses["a shard"] += 1
        self.pauses["of them killed"] += killed
        self.assertTrue(killed or not surely_mute, f"the shard of {name} stood still for {pause_s:.1f} s and was left so")
        self.assertTrue(not killed or pause_s > MUTE_S / 2, f"the shard of {name} stood still for {pause_s:.1f} s and was killed")
        self.assertLess(slowest[0], max(pause_s, LONG_S) / 2, f"{slowest[1]} while the shard of {name} stood still for {pause_s:.1f} s")

    def stop_coordinator(self, pause_s):
        self.world.server.tell(signal.SIGSTOP)
        try:
            time.sleep(pause_s)
        finally:
            self.world.server.tell(signal.SIGCONT)
        self.pauses["the coordinator"] += 1

    # ---- rounds

    def run_round(self, pause_s):
        """Its events; and the shards that still have to be the same."""
        threads = self.begin_round()
        self.world.wait_for_answers(self.rng.randint(0, len(self.users) * users.REQUESTS // 2))
        name, before = self.rng.choice(["the coordinator", *workload.DATABASES]), self.world.server.shards()
        if name == "the coordinator":
            self.stop_coordinator(pause_s)
        else:
            self.stop_shard(name, pause_s)
            del before[name]
        for thread in threads:
            thread.join()
        return self.events(), before

    def pause(self, seed):
        self.rng = oracle.seeded(f"{seed} pauses")
        self.begin(seed, CLIENTS, work=Work(seed))
        for database in workload.DATABASES:
            self.done(self.world.server.post(server.path(f"apart_{database}"), {"id": 1, "v": 0}), 201)
        done, end = 0, OPTIONS.left(self.total(), EACH)
        while done < end and OPTIONS.goes_on(self.total()):
            # each length as likely as its half; the first few go through all of them
            part = ((done + self.rng.random()) / EACH * 7) % 1
            pause_s = SHORTEST_S * (LONGEST_S / SHORTEST_S) ** part
            events, before = self.run_round(pause_s)
            self.outcomes.update(e.outcome for e in events if not e.is_read)
            self.judge_round(events, f"seed {seed}, pause {done} of {pause_s:.2f} s, so far {dict(self.pauses)}")
            after = self.world.server.shards()
            self.assertEqual({d: after[d] for d in before}, before, f"a shard was killed that ran\n{self.world.server.said}")
            done += 1
        self.judge_files()

    def total(self):
        return self.pauses["a shard"] + self.pauses["the coordinator"]

    def test_who_stands_still_is_waited_for_or_replaced_and_nothing_is_lost(self):
        seed = OPTIONS.seed
        while OPTIONS.goes_on(self.total()):
            self.data = self.path(f"data{seed}")
            try:
                self.pause(seed)
            except BaseException:
                print(f"\nrepeat with --seed {seed}", file=sys.stderr)
                raise
            finally:
                self.world.end()
            seed += 1
        print(f"\nseed {OPTIONS.seed}: {self.total()} pauses, {dict(self.pauses)}, {dict(self.outcomes)}", file=sys.stderr)
        p99 = {what: self.tell_times(what, sorted(times)) for what, times in self.times.items()}
        self.assertLessEqual(p99["stopped"], max(ANSWER_S, 2 * p99["control"]), "others waited for a shard that stood still")
        self.assertGreaterEqual(self.outcomes["done"], DONE_SHARE * self.outcomes.total())

    def tell_times(self, what, times):
        """The time in which 99 of 100 were answered."""
        if not times:
            return 0
        p99 = times[len(times) * 99 // 100][0]
        print(f"{what}: {len(times)} answers of others, p50 {times[len(times) // 2][0] * 1000:.0f} ms, p99 {p99 * 1000:.0f} ms, "
              f"slowest {times[-1][0] * 1000:.0f} ms", file=sys.stderr)
        return p99


if __name__ == "__main__":
    sys.argv = sys.argv[:1]
    sheaf.main()
