# SPDX-License-Identifier: Apache-2.0
"""Eight clients at once on few keys: what they are told is what one SQLite file could have told them.

    test_race.py [--seed N] [--operations N | --seconds S] [--each N]

A turn has a seed of its own, counted up from the first, and a server of its own. Rounds: each client sends a few requests;
when all are answered the tables are read, and history.py looks for an order in which one file answers the same and comes
to the same rows. Every fourth turn transfers: the clients do not wait for each other, and what they do keeps sums that can
be told from any page, and versions that count what was acknowledged.
"""

import collections
import pathlib
import random
import sys
import threading

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "system"))
import effort  # noqa: E402
import history  # noqa: E402
import server  # noqa: E402
import sheaf  # noqa: E402
import workload  # noqa: E402

CLIENTS = 8
REQUESTS = 6  # of each client in a round
DONE_SHARE = 0.25
OPTIONS = effort.Effort("operations", 10_000, "each of a batch or transaction, and each read of a row or page")
OPTIONS.add_argument("--each", type=int, default=2_500, help="operations of one turn")
OPTIONS.parse()
FINE = ("done", "conflict", "not_found", "precondition", "unique", "check", "reference_missing", "referenced")


class Race(server.Case):
    """`operations`: how many have been done; `outcomes`: of requests that write."""

    def test_answers_and_rows_are_those_of_one_file(self):
        self.operations, self.outcomes, turn = 0, collections.Counter(), OPTIONS.seed
        while OPTIONS.goes_on(self.operations):
            self.data, enough = self.path(f"data{turn}"), self.operations + OPTIONS.left(self.operations, OPTIONS.each)
            try:
                (Transfers if turn % 4 == 0 else Rounds)(self, turn).run(lambda: self.operations < enough)
            except BaseException:
                print(f"\nrepeat with --seed {turn} --operations {OPTIONS.each}", file=sys.stderr)
                raise
            turn += 1
        print(f"\nseed {OPTIONS.seed}: {self.operations} operations in {turn - OPTIONS.seed} turns, {dict(self.outcomes)}", file=sys.stderr)
        self.assertGreater(self.outcomes["done"], DONE_SHARE * self.outcomes.total())

    def at_the_same_time(self, each, clients):
        """Calls each(client) in a thread of its own; all have ended then. What one raised is raised."""
        failures = []

        def run(client):
            try:
                each(client)
            except BaseException as failure:
                failures.append(failure)

        threads = [threading.Thread(target=run, args=(client,)) for client in clients]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for failure in failures:
            raise failure

    def files_are_one(self, ddl, databases):
        """What the files hold, put together, is what one file may hold; the server has ended."""
        self.assertEqual(workload.put_together(self.data, ddl, databases, self.data + ".whole"), [])
        self.ran("check", "--data", self.data)


class Rounds:
    def __init__(self, case, seed):
        self.case, self.seed, self.work = case, seed, workload.Workload(seed)
        self.judge = self.work.judge()

    def round_at_will(self, clients):
        """Each goes on as soon as it has its answer."""
        events = [[] for _ in clients]

        def run(number):
            client, connection = clients[number]
            for _ in range(REQUESTS):
                request = client.request()
                client.send(connection, request)
                events[number] += request.events

        self.case.at_the_same_time(run, range(len(clients)))
        return sum(events, [])

    def round_in_step(self, clients):
        """All send, then all wait: that many meet in the server within the time that one takes."""
        events = []
        for _ in range(REQUESTS):
            requests = [client.request() for client, _ in clients]
            for (client, connection), request in zip(clients, requests):
                client.begin(connection, request)
            for (client, connection), request in zip(clients, requests):
                client.end(connection, request)
                events += request.events
        return events

    def judge_round(self, events, server_, what):
        self.case.assertEqual([str(e) for e in events if e.outcome not in FINE], [])
        before = self.judge.state()
        final = tuple(tuple(tuple(row.values()) for row in server_.pages(server.path(t))) for t in workload.COLUMNS)
        if not self.judge.linearize([e for e in events if e.outcome != "conflict"], final):
            self.case.fail(f"{what}\n{self.work.ddl}" + history.explain(self.judge, before, final))

    def run(self, goes_on):
        case, number = self.case, 0
        s = case.serve(schema=self.work.ddl, config=self.work.config)
        clients = [(workload.Client(self.work, i + 1), s.client()) for i in range(CLIENTS)]
        while goes_on():
            events = (self.round_in_step if number % 2 else self.round_at_will)(clients)
            case.outcomes.update(e.outcome for e in events if not e.is_read)
            case.operations += sum(len(e.steps) for e in events)
            self.judge_round(events, s, f"seed {self.seed}, round {number}")
            number += 1
        for _, connection in clients:
            connection.close()
        case.assertEqual(s.stop(), 0, s.said)
        case.assertEqual(workload.stored(case.data), self.judge.state())
        case.files_are_one(self.work.ddl, workload.DATABASES)


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


class Transfers:
    """Money moves between two accounts, mostly of two databases, by atomic batches that fail when the turn of either has
    passed to somebody else: the key of its row in `turns` is its version. Each account knows of the other side of its last
    transfer, so half of one shows."""

    def __init__(self, case, seed):
        self.case, self.seed = case, seed
        self.counts, self.lock, self.failed = collections.Counter(), threading.Lock(), False

    def begin(self):
        s = self.case.serve(schema=TRANSFERS)
        rows = [{"op": "insert", "table": side, "row": {"id": id_, "money": MONEY, "version": 0}} for side, id_ in ACCOUNTS]
        rows += [{"op": "insert", "table": "turns", "row": {"account": name(a), "version": 0}} for a in ACCOUNTS]
        rows += [{"op": "insert", "table": "visits", "row": {"account": name(a), "version": 0, "visitor": visitor + name(a)}}
                 for a in ACCOUNTS for visitor in VISITORS]
        rows += [{"op": "insert", "table": "counters", "row": {"id": i, "count": 0}} for i in range(COUNTERS)]
        self.case.done(s.batch(*rows))
        return s

    def count(self, outcome, *what):
        with self.lock:
            self.case.outcomes[outcome] += 1
            self.counts.update(what)

    def ask(self, connection, target):
        with self.lock:
            self.case.operations += 1
        return connection.get(target)

    def read(self, connection, account):
        return self.case.done(self.ask(connection, server.path(*account)))

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
        with self.lock:
            self.case.operations += len(ops)
        answer = connection.batch(*(ops if rng.random() < 0.5 else reversed(ops)))
        if answer.status == 200:
            self.count("done", *map(name, pair))
        else:  # of two turns that passed at once, the accounts may have been changed first
            self.case.assertIn(answer.error["code"], ("not_found", "conflict"), str(answer))
            self.count(answer.error["code"])

    def add_one(self, rng, connection):
        target = server.path("counters", rng.randrange(COUNTERS))
        row = self.ask(connection, target)
        with self.lock:
            self.case.operations += 1
        answer = connection.patch(target, {"count": row.json["count"] + 1}, {"If-Match": row.etag})
        if answer.status == 200:
            self.count("done", target)
        else:
            self.case.refused(answer, 412, "precondition")
            self.count("precondition")

    def rows_of(self, connection, table):
        if table == "accounts":
            return [{"account": f"{side} {row['id']}", **row} for side in ("west", "east")
                    for row in self.rows_of(connection, side)]
        return self.case.done(self.ask(connection, server.path(table)))["rows"]

    def look_at_pages(self, rng, connection):
        """Of tables, of which a later one cannot be further back; each moved by two turns at a time."""
        last, case = {}, self.case
        for table in rng.sample(("turns", "visits", "accounts"), 3):
            rows = self.rows_of(connection, table)
            versions = {row["account"]: row["version"] for row in rows}
            if table != "accounts":
                case.assertEqual(sum(versions.values()) % 2, 0, f"half a transfer in {table}: {rows}")
            case.assertEqual(len(rows), len(ACCOUNTS) * (len(VISITORS) if table == "visits" else 1))
            case.assertEqual([a for a in last if versions[a] < last[a]], [], f"half a transfer in {table}: {rows} after {last}")
            last = versions

    def look(self, rng, connection):
        """A visit, its account, then the other side of its last transfer: none can be further back than the one before."""
        if rng.random() < 0.5:
            self.look_at_pages(rng, connection)
            return
        for account in rng.sample(ACCOUNTS, 3):
            visit = self.read(connection, ("visits", rng.choice(VISITORS) + name(account)))
            row = self.read(connection, account)
            self.case.assertGreaterEqual(row["version"], visit["version"], f"half a transfer: {visit}, then {row}")
            if row["other"]:
                other = self.read(connection, row["other"].split())
                self.case.assertGreaterEqual(other["version"], row["other_version"], f"half a transfer: {row}, then {other}")

    def run(self, goes_on):
        s = self.begin()

        def act(number):
            rng, connection = random.Random(f"{self.seed} transfers {number}"), s.client()
            try:
                while goes_on() and not self.failed:
                    rng.choice((self.transfer, self.transfer, self.add_one, self.look))(rng, connection)
            except BaseException:
                self.failed = True  # the others need not go on
                raise
            finally:
                connection.close()

        self.case.at_the_same_time(act, range(CLIENTS))
        self.case.assertEqual(s.stop(), 0, s.said)
        self.judge_files()

    def judge_files(self):
        case, data = self.case, self.case.data
        accounts = {name((side, row[0])): row for side in ("west", "east") for row in sheaf.rows(data, side)}
        versions = {account: row[2] for account, row in accounts.items()}
        counters = [server.path("counters", i) for i in range(COUNTERS)]
        case.assertEqual(sum(row[1] for row in accounts.values()), MONEY * len(ACCOUNTS))
        case.assertEqual(versions, {name(a): self.counts[name(a)] for a in ACCOUNTS})
        case.assertEqual(dict(sheaf.rows(data, "turns")), versions)
        case.assertEqual({v: version for _, version, v in sheaf.rows(data, "visits")},
                         {visitor + a: version for a, version in versions.items() for visitor in VISITORS})
        case.assertEqual({server.path("counters", i): n for i, n in sheaf.rows(data, "counters")},
                         {counter: self.counts[counter] for counter in counters})
        case.files_are_one(TRANSFERS, {t: [t] for t in ("west", "east", "turns", "visits", "counters")})


if __name__ == "__main__":
    sys.argv = sys.argv[:1]
    sheaf.main()
