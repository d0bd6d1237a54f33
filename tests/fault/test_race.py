# SPDX-License-Identifier: Apache-2.0
"""Eight clients at once on few keys: what they are told is what one SQLite file could have told them.

    test_race.py [--seed N] [--rounds N] [--transfers S]

Rounds: each client sends a few requests; when all are answered the tables are read, and history.py looks for an order in
which one file answers the same and comes to the same rows. Transfers: the clients do not wait for each other, and what
they do keeps sums that can be told from any page, and versions that count what was acknowledged.
"""

import argparse
import collections
import pathlib
import random
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "system"))
import history  # noqa: E402
import server  # noqa: E402
import sheaf  # noqa: E402
import workload  # noqa: E402

CLIENTS = 8
REQUESTS = 6  # of each client in a round
DONE_SHARE = 0.25
OPTIONS = argparse.ArgumentParser()
OPTIONS.add_argument("--seed", type=int, default=1)
OPTIONS.add_argument("--rounds", type=int, default=45, help="with each of three schemas")
OPTIONS.add_argument("--transfers", type=float, default=6, help="seconds")
OPTIONS = OPTIONS.parse_args()
FINE = ("done", "conflict", "not_found", "precondition", "unique", "check", "reference_missing", "referenced")


class Rounds(server.Case):
    def run_all(self, clients):
        """A round; its events."""
        def run(client, connection, events):
            for _ in range(REQUESTS):
                request = client.request()
                client.send(connection, request)
                events += request.events

        events = [[] for _ in clients]
        threads = [threading.Thread(target=run, args=(*c, e)) for c, e in zip(clients, events)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return sum(events, [])

    def race(self, number):
        work = workload.Workload(f"{OPTIONS.seed} {number}")
        s = self.serve(schema=work.ddl, config=work.config)
        judge, outcomes = work.judge(), collections.Counter()
        clients = [(workload.Client(work, i + 1), s.client()) for i in range(CLIENTS)]
        for _, connection in clients:
            self.addCleanup(connection.close)
        for round_ in range(OPTIONS.rounds):
            events = self.run_all(clients)
            writes = [e for e in events if not e.is_read]
            outcomes.update(e.outcome for e in writes)
            self.assertEqual([str(e) for e in events if e.outcome not in FINE], [])
            before = judge.state()
            final = tuple(tuple(tuple(row.values()) for row in s.pages(server.path(t))) for t in workload.COLUMNS)
            if not judge.linearize([e for e in events if e.outcome != "conflict"], final):
                self.fail(f"seed {OPTIONS.seed}, schema {number}, round {round_}\n{work.ddl}" +
                          history.explain(judge, before, final))
        print(f"\nseed {OPTIONS.seed}, schema {number}: {dict(outcomes)}", file=sys.stderr)
        self.assertEqual(s.stop(), 0, s.said)
        self.assertEqual(workload.stored(self.data), judge.state())
        self.assertEqual(workload.put_together(self.data, work.ddl, workload.DATABASES, self.path(f"whole{number}.db")), [])
        self.ran("check", "--data", self.data)
        self.assertGreater(outcomes["done"], DONE_SHARE * outcomes.total())

    def test_answers_and_rows_are_those_of_one_file(self):
        for number in range(3):
            with self.subTest(schema=number):
                self.data = self.path(f"data{number}")
                self.race(number)


TRANSFERS = """
CREATE TABLE west (id INTEGER PRIMARY KEY, money INTEGER NOT NULL, version INTEGER NOT NULL, other TEXT, other_version INTEGER);
CREATE TABLE east (id INTEGER PRIMARY KEY, money INTEGER NOT NULL, version INTEGER NOT NULL, other TEXT, other_version INTEGER);
CREATE TABLE turns (account TEXT NOT NULL, version INTEGER NOT NULL, PRIMARY KEY (account, version)) WITHOUT ROWID;
CREATE TABLE visits (account TEXT NOT NULL, version INTEGER NOT NULL, visitor TEXT PRIMARY KEY,
  FOREIGN KEY (account, version) REFERENCES turns ON DELETE CASCADE ON UPDATE CASCADE);
CREATE TABLE counters (id INTEGER PRIMARY KEY, count INTEGER NOT NULL);
"""
ACCOUNTS = [(side, id_) for side in ("west", "east") for id_ in range(1, 5)]
COUNTERS = 3
VISITORS = ("one of ", "two of ")  # so that most rows of a transfer are in `visits`, whose commit decides
MONEY = 100


def name(account):
    return f"{account[0]} {account[1]}"


class Transfers(server.Case):
    """Money moves between two accounts, mostly of two databases, by atomic batches that fail when the turn of either has
    passed to somebody else: the key of its row in `turns` is its version. Each account knows of the other side of its last
    transfer, so half of one shows."""

    def setUp(self):
        super().setUp()
        self.s = self.serve(schema=TRANSFERS)
        rows = [{"op": "insert", "table": side, "row": {"id": id_, "money": MONEY, "version": 0}} for side, id_ in ACCOUNTS]
        rows += [{"op": "insert", "table": "turns", "row": {"account": name(a), "version": 0}} for a in ACCOUNTS]
        rows += [{"op": "insert", "table": "visits", "row": {"account": name(a), "version": 0, "visitor": visitor + name(a)}}
                 for a in ACCOUNTS for visitor in VISITORS]
        rows += [{"op": "insert", "table": "counters", "row": {"id": i, "count": 0}} for i in range(COUNTERS)]
        self.done(self.s.batch(*rows))
        self.counts, self.lock, self.wrong = collections.Counter(), threading.Lock(), []

    def count(self, *what):
        with self.lock:
            self.counts.update(what)

    def read(self, connection, account):
        return self.done(connection.get(server.path(*account)))

    def transfer(self, rng, connection):
        pair = rng.sample(ACCOUNTS, 2)
        rows = [self.read(connection, a) for a in pair]
        amount = rng.randint(1, 10)
        ops = []
        for account, row in zip(pair, rows):
            key = {"account": name(account), "version": row["version"]}
            ops.append({"op": "update", "table": "turns", "key": key, "row": {"version": row["version"] + 1}})
        for i, (account, row) in enumerate(zip(pair, rows)):
            other = pair[1 - i]
            changed = {"money": row["money"] + (-amount, amount)[i], "version": row["version"] + 1, "other": name(other),
                       "other_version": rows[1 - i]["version"] + 1}
            ops.append({"op": "update", "table": account[0], "key": {"id": account[1]}, "row": changed})
        answer = connection.batch(*(ops if rng.random() < 0.5 else reversed(ops)))
        if answer.status == 200:
            self.count("done", *map(name, pair))
        else:  # of two turns that passed at once, the accounts may have been changed first
            self.assertIn(answer.error["code"], ("not_found", "conflict"), str(answer))
            self.count(answer.error["code"])

    def add_one(self, rng, connection):
        target = server.path("counters", rng.randrange(COUNTERS))
        row = connection.get(target)
        answer = connection.patch(target, {"count": row.json["count"] + 1}, {"If-Match": row.etag})
        if answer.status == 200:
            self.count("done", target)
        else:
            self.refused(answer, 412, "precondition")
            self.count("precondition")

    def look_at_pages(self, rng, connection):
        """Of two tables, of which the second cannot be further back; each moved by two turns at a time."""
        last = {}
        for table in rng.sample(("turns", "visits", "accounts"), 3):
            if table == "accounts":
                rows = [{"account": f"{side} {row['id']}", **row} for side in ("west", "east")
                        for row in self.done(connection.get(server.path(side)))["rows"]]
            else:
                rows = self.done(connection.get(server.path(table)))["rows"]
                self.assertEqual(sum({row["account"]: row["version"] for row in rows}.values()) % 2, 0, f"half a transfer in {table}: {rows}")
            versions = {row["account"]: row["version"] for row in rows}
            self.assertEqual(len(rows), len(ACCOUNTS) * (len(VISITORS) if table == "visits" else 1))
            self.assertEqual([a for a in last if versions[a] < last[a]], [], f"half a transfer in {table}: {rows} after {last}")
            last = versions

    def look(self, rng, connection):
        """A visit, its account, then the other side of its last transfer: none can be further back than the one before."""
        if rng.random() < 0.5:
            self.look_at_pages(rng, connection)
            return
        for account in rng.sample(ACCOUNTS, 3):
            visit = self.read(connection, ("visits", rng.choice(VISITORS) + name(account)))
            row = self.read(connection, account)
            self.assertGreaterEqual(row["version"], visit["version"], f"half a transfer: {visit}, then {row}")
            if row["other"]:
                other = self.read(connection, row["other"].split())
                self.assertGreaterEqual(other["version"], row["other_version"], f"half a transfer: {row}, then {other}")

    def run_client(self, number, connection, until):
        rng = random.Random(f"{OPTIONS.seed} transfers {number}")
        try:
            while time.monotonic() < until and not self.wrong:
                rng.choice((self.transfer, self.transfer, self.add_one, self.look))(rng, connection)
        except BaseException as error:
            self.wrong.append(error)
        finally:
            connection.close()

    def test_sums_stay_and_every_acknowledged_change_counts_once(self):
        until = time.monotonic() + OPTIONS.transfers
        threads = [threading.Thread(target=self.run_client, args=(i, self.s.client(), until)) for i in range(CLIENTS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for error in self.wrong:
            raise error
        print(f"\nseed {OPTIONS.seed}: {dict(self.counts)}", file=sys.stderr)
        self.assertEqual(self.s.stop(), 0, self.s.said)
        money, versions = 0, {}
        for side in ("west", "east"):
            for id_, has, version, _, _ in sheaf.rows(self.data, side):
                money += has
                versions[name((side, id_))] = version
        self.assertEqual(money, MONEY * len(ACCOUNTS))
        self.assertEqual(versions, {name(a): self.counts[name(a)] for a in ACCOUNTS})
        self.assertEqual(dict(sheaf.rows(self.data, "turns")), versions)
        self.assertEqual({v: version for _, version, v in sheaf.rows(self.data, "visits")},
                         {visitor + a: version for a, version in versions.items() for visitor in VISITORS})
        self.assertEqual({server.path("counters", i): n for i, n in sheaf.rows(self.data, "counters")},
                         {server.path("counters", i): self.counts[server.path("counters", i)] for i in range(COUNTERS)})
        databases = {t: [t] for t in ("west", "east", "turns", "visits", "counters")}
        self.assertEqual(workload.put_together(self.data, TRANSFERS, databases, self.path("whole.db")), [])
        self.ran("check", "--data", self.data)
        tried = sum(self.counts[code] for code in ("done", "not_found", "conflict", "precondition"))
        self.assertGreater(self.counts["done"], DONE_SHARE * tried)


if __name__ == "__main__":
    sys.argv = sys.argv[:1]
    sheaf.main()
