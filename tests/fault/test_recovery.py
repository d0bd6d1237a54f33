# SPDX-License-Identifier: Apache-2.0
"""How long kill -9 of a shard, of the coordinator or of all keeps anybody waiting, under load: from the kill (of a coordinator:
from its being started again) until a write to every table, sent after it, is acknowledged.

    test_recovery.py [--seed N] [--kills N | --seconds S]

Timed with the release programs (SHEAF_RELEASE_BIN). What other programs take of the processors meanwhile stretches the
limits: where these leave Sheaf and its clients a third of them, three times as long is allowed. Both are printed.
"""

import collections
import http.client
import itertools
import os
import pathlib
import random
import select
import statistics
import sys
import threading
import time
import unittest

RELEASE = os.environ.get("SHEAF_RELEASE_BIN")
os.environ["SHEAF_BIN"] = RELEASE or os.environ.get("SHEAF_BIN", "")

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "system"))
import effort  # noqa: E402
import server  # noqa: E402
import sheaf  # noqa: E402
import users  # noqa: E402

P50_S, MAX_S = 0.5, 5
TABLES = ("customers", "items", "orders")
SCHEMA = """
CREATE TABLE customers (id INTEGER PRIMARY KEY, name TEXT UNIQUE);
CREATE TABLE items (id INTEGER PRIMARY KEY, name TEXT UNIQUE);
CREATE TABLE orders (id INTEGER PRIMARY KEY, customer INTEGER NOT NULL REFERENCES customers,
  item INTEGER NOT NULL REFERENCES items);
"""
EACH, ACROSS = 2, 2  # clients for each table, and such as write to all of them in one transaction
PARENTS = 20
BETWEEN = (10, 300)  # acknowledged writes between one recovery and the next kill
EFFORT = effort.Effort("kills", 24).parse()


def cpu_of(pid):
    """Seconds."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            fields = file.read().rsplit(")", 1)[1].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Processors:
    """Whose they are from now on. Who is about to be killed is counted before."""

    def __init__(self):
        self.busy, self.begun, self.killed = self.all_busy(), time.monotonic(), 0.0

    def all_busy(self):
        with open("/proc/stat") as file:
            user, nice, system, _, _, irq, softirq, steal = map(int, file.readline().split()[1:9])
        return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK") - time.process_time()

    def count(self, pids):
        self.killed += sum(map(cpu_of, pids))

    def share(self, pids):
        """What the others leave of them."""
        others = self.all_busy() - self.busy - self.killed - sum(map(cpu_of, pids))
        whole = (time.monotonic() - self.begun) * len(os.sched_getaffinity(0))
        return max(0.05, 1 - max(0, others) / whole)


class Acknowledged:
    """The ids of each table, and when each table had the first that was sent after a moment."""

    def __init__(self):
        self.changed = threading.Condition()
        self.ids = {table: [] for table in TABLES}
        self.count, self.since, self.first, self.over = 0, 0, {}, False

    def put(self, ids, sent):
        with self.changed:
            for table, id_ in ids.items():
                self.ids[table].append(id_)
                if sent >= self.since:
                    self.first.setdefault(table, time.monotonic())
            self.count += 1
            self.changed.notify_all()

    def wait(self, condition, what):
        with self.changed:
            if not self.changed.wait_for(lambda: self.over or condition(), sheaf.TIMEOUT_S) or self.over:
                raise AssertionError(f"{what}: it took longer than {sheaf.TIMEOUT_S} s, or a client failed")

    def wait_for_all(self, since):
        """When the last table had its first."""
        with self.changed:
            self.since, self.first = since, {}
        self.wait(lambda: len(self.first) == len(TABLES), "a write to every table")
        return max(self.first.values())


class Writer:
    """One client; all that it sends is sent again until it is acknowledged."""

    def __init__(self, world, acknowledged, number, tables):
        self.acknowledged, self.tables, self.connection = acknowledged, tables, users.Connection(world)
        self.rng, self.numbers, self.failure = random.Random(number), itertools.count(number * 10_000_000), None
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        try:
            while not self.acknowledged.over:
                self.write(next(self.numbers))
        except BaseException as failure:
            self.failure = failure
            self.acknowledged.over = True
        finally:
            self.connection.drop()

    def row(self, table, id_):
        if table != "orders":
            return {"id": id_, "name": f"{table} {id_}"}
        known = self.acknowledged.ids
        return {"id": id_, "customer": self.rng.choice(known["customers"]), "item": self.rng.choice(known["items"])}

    def write(self, number):
        ops = [{"op": "insert", "table": table, "row": self.row(table, number)} for table in self.tables]
        headers = {"Idempotency-Key": str(number)}
        while not self.acknowledged.over:
            client, sent = self.connection.ready(), time.monotonic()
            try:
                answer = client.post(server.path(self.tables[0]), ops[0]["row"], headers) if len(ops) == 1 else \
                    client.batch(*ops, headers=headers)
            except (OSError, http.client.HTTPException):
                self.connection.drop()
                continue
            if answer.status in (200, 201):
                self.acknowledged.put(dict.fromkeys(self.tables, number), sent)
                return
            if answer.error["code"] not in ("unavailable", "unknown", "busy"):
                raise AssertionError(str(answer))
            time.sleep(users.BACK_OFF_S)


@unittest.skipUnless(RELEASE, "SHEAF_RELEASE_BIN does not say where the release programs are")
class Recovery(users.Case):
    def setUp(self):
        super().setUp()
        self.rng, self.acknowledged, self.writers = random.Random(EFFORT.seed), Acknowledged(), []
        self.addCleanup(self.end_writers)

    def end_writers(self):
        self.acknowledged.over = True
        self.world.end()
        for writer in self.writers:
            writer.thread.join()

    def begin_load(self):
        self.start("--schema", self.schema(SCHEMA))
        client = self.world.server
        for table in ("customers", "items"):
            self.done(client.post(server.path(table), [{"id": i + 1, "name": f"{table} {i + 1}"} for i in range(PARENTS)]))
            self.acknowledged.ids[table] += range(1, PARENTS + 1)
        for tables in [(table,) for table in TABLES for _ in range(EACH)] + [TABLES] * ACROSS:
            self.writers.append(Writer(self.world, self.acknowledged, len(self.writers) + 1, tables))

    def pids(self):
        return [self.world.server.pid, *self.world.server.shards().values()]

    def kill(self, pids):
        """Kills them, and waits until they are dead."""
        self.processors.count(pids)
        dying = [os.pidfd_open(pid) for pid in pids]
        for pid in pids:
            os.kill(pid, 9)
        for fd in dying:
            select.select([fd], [], [], sheaf.TIMEOUT_S)
            os.close(fd)

    def recover_from(self, kind):
        """How long it takes."""
        if kind == "a shard":
            begun = time.monotonic()
            self.kill([self.rng.choice(self.pids()[1:])])
            return self.acknowledged.wait_for_all(time.monotonic()) - begun
        dead, pids = self.world.server, self.pids()
        self.world.serve(None)
        if kind == "all":
            self.kill(pids)
        else:
            self.processors.count(pids[1:])
            self.kill(pids[:1])
        dead.close()
        dead.wait()
        begun = time.monotonic()
        self.start()
        return self.acknowledged.wait_for_all(begun) - begun

    def kill_all_the_time(self):
        """Seconds, by what was killed."""
        times = collections.defaultdict(list)
        for done in itertools.count():
            if not EFFORT.goes_on(done):
                return times
            until = self.acknowledged.count + self.rng.randint(*BETWEEN)
            self.acknowledged.wait(lambda: self.acknowledged.count >= until, "a little load")
            kind = ("a shard", "the coordinator", "all")[done % 3]
            times[kind].append(self.recover_from(kind))

    def judge(self):
        """All that was acknowledged is there, and `check` is content."""
        self.assertEqual(self.world.server.stop(), 0, self.world.server.said)
        self.ran("check", "--data", self.data)
        for table in TABLES:
            self.assertEqual(set(self.acknowledged.ids[table]) - {row[0] for row in sheaf.rows(self.data, table)}, set())

    def test_nobody_waits_long_for_one_that_was_killed(self):
        self.begin_load()
        self.processors = Processors()
        times = self.kill_all_the_time()
        share = self.processors.share(self.pids())
        self.end_writers()
        self.assertEqual([writer.failure for writer in self.writers if writer.failure], [])
        self.judge()
        every = sorted(sum(times.values(), []))
        p50 = statistics.median(every)
        for kind, some in times.items():
            print(f"\n{kind}: {len(some)} kills, p50 {statistics.median(some):.3f} s, max {max(some):.3f} s", end="",
                  file=sys.stderr)
        print(f"\nseed {EFFORT.seed}: {len(every)} kills, recovery p50 {p50:.3f} s, max {every[-1]:.3f} s, "
              f"{self.acknowledged.count} writes, share of the processors {share:.2f}", file=sys.stderr)
        self.assertLessEqual(p50, P50_S / share)
        self.assertLessEqual(every[-1], MAX_S / share)


if __name__ == "__main__":
    sys.argv = sys.argv[:1]
    sheaf.main()
