# SPDX-License-Identifier: Apache-2.0
"""kill -9 of a shard, of the coordinator and of all of them, and again while they recover, under random writes of several
clients. Whatever they were told is what one SQLite file could have told them, and its rows are those in the files.

    test_crash.py [--seed N] [--kills N]

Most requests have an Idempotency-Key and are sent again until they have an answer; of the others that had none, nobody can
say whether they were done. Later, those with a key are sent once more: their answer is still the first one.
"""

import argparse
import collections
import contextlib
import http.client
import os
import pathlib
import signal
import subprocess
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "system"))
import history  # noqa: E402
import oracle  # noqa: E402
import server  # noqa: E402
import sheaf  # noqa: E402
import workload  # noqa: E402

CLIENTS = 6
REQUESTS = 12  # of each client and for each kill
SCHEMAS = 3
DONE_SHARE = 0.25
BACK_OFF_S = 0.01  # before a request that could not be done is sent again
OPTIONS = argparse.ArgumentParser()
OPTIONS.add_argument("--seed", type=int, default=1)
OPTIONS.add_argument("--kills", type=int, default=45)
OPTIONS = OPTIONS.parse_args()
FINAL = ("done", "not_found", "precondition", "unique", "check", "reference_missing", "referenced")


class Connection:
    """A client's own, to whichever coordinator there is."""

    def __init__(self, world):
        self.world, self.client, self.life = world, None, None

    def ready(self):
        """Connected."""
        while True:
            server_, life = self.world.serving(None if self.client else self.life)
            if self.client and life == self.life:
                return self.client
            self.drop()
            self.client, self.life = server_.client(), life
            try:
                self.client.connection.connect()
            except OSError:  # killed in between: nothing was sent
                self.drop()

    def drop(self):
        if self.client:
            self.client.close()
        self.client = None


class World:
    """The server, whichever life it is in, and how much of a round has been answered."""

    def __init__(self):
        self.changed = threading.Condition()
        self.server, self.life, self.answered, self.running, self.over = None, 0, 0, 0, False

    def serving(self, other_than):
        """The server and the number of its life, as soon as it is another than this."""
        with self.changed:
            if not self.changed.wait_for(lambda: self.over or self.server and self.life != other_than, sheaf.TIMEOUT_S):
                raise AssertionError("no server came back")
            if self.over:
                raise AssertionError("the test has failed")
            return self.server, self.life

    def serve(self, server_):
        with self.changed:
            self.server = server_
            self.life += server_ is not None
            self.changed.notify_all()

    def end(self):
        with self.changed:
            self.over = True
            self.changed.notify_all()

    def count(self, answered=0, running=0):
        with self.changed:
            self.answered += answered
            self.running += running
            self.changed.notify_all()

    def wait_for_answers(self, count):
        """Or for the end of all who could get some."""
        with self.changed:
            self.changed.wait_for(lambda: self.answered >= count or not self.running, sheaf.TIMEOUT_S)


class User:
    """A client of this test: sends requests until they are answered, as far as that can be asked for."""

    def __init__(self, world, work, number):
        self.world, self.client, self.connection = world, workload.Client(work, number), Connection(world)
        self.rng, self.number = self.client.rng, number
        self.keys, self.kept, self.failure, self.events = 0, [], None, []

    def run(self):
        try:
            self.events = []
            for _ in range(REQUESTS):
                if self.kept and self.rng.random() < 0.15:
                    self.replay(*self.rng.choice(self.kept))
                else:
                    self.events += self.perform(self.new_request())
                self.world.count(answered=1)
        except BaseException as failure:
            self.failure = failure
        finally:
            self.world.count(running=-1)

    def new_request(self):
        request = self.client.request()
        gets_key = any(history.lacks_key(event.steps[0], workload.KEYS) for event in request.events)  # only the answer tells which
        if not request.is_read and (gets_key or self.rng.random() < 0.75):
            self.keys += 1
            request.headers["Idempotency-Key"] = f"{self.number} {self.keys}"
            request.told = [None] * len(request.events)
        return request

    def perform(self, request):
        """Until it is answered; its events that may have had an effect, or told something."""
        keyed = "Idempotency-Key" in request.headers
        while not self.attempt(request):
            if not keyed and not request.is_read:
                for event in request.events:
                    event.outcome = "maybe" if event.outcome in (None, "unknown") else event.outcome
                break
            if request.is_read:
                request.events[0].begun = 0
        wrong = [str(e) for e in request.events if e.outcome not in (*FINAL, "maybe", "conflict", "unavailable", "busy")]
        if wrong:
            raise AssertionError(f"{wrong}: {request.answer}")
        if keyed and all(event.outcome in FINAL for event in request.events):
            self.kept.append((request, request.answer))
        return [e for e in request.events if e.outcome in (*FINAL, "maybe")]

    def attempt(self, request):
        """Whether it was answered for good."""
        connection = self.connection.ready()
        try:
            self.client.send(connection, request)
        except (OSError, http.client.HTTPException):
            self.connection.drop()
            return False
        if "Idempotency-Key" in request.headers:
            request.told = [self.told(*each, request.answer) for each in zip(request.events, request.told)]
        if all(event.outcome not in workload.TRY_AGAIN for event in request.events):
            return True
        time.sleep(BACK_OFF_S)
        return False

    def told(self, event, before, answer):
        """What its key's answer is as far as we know: once told, it is no other."""
        if event.outcome not in FINAL:
            return before
        if before not in (None, event.outcome):
            raise AssertionError(f"{before} became {event}: {answer}")
        return event.outcome

    def replay(self, request, answer):
        """One that was answered before: again, or with another body."""
        other = request.body is not None and self.rng.random() < 0.2
        again = workload.Request(request.method, request.target, request.body, [], request.condition)
        again.headers = request.headers
        if other:
            again.body = another(request.body)
        while not self.attempt_again(again):
            pass
        got = again.answer
        if other and set(codes(got)) != {"key_reused"}:
            raise AssertionError(f"another body: {got}\nafter {request.headers} {request.target} {request.body}: {answer}")
        if not other and (got.status, got.json) != (answer.status, answer.json):
            raise AssertionError(f"sent again: {got}\nfirst: {answer}\nof {request.method} {request.target} {request.body}")

    def attempt_again(self, request):
        connection = self.connection.ready()
        headers = request.headers | ({"If-Match": request.condition} if request.condition else {})
        try:
            request.answer = connection.request(request.method, request.target, request.body, headers)
        except (OSError, http.client.HTTPException):
            self.connection.drop()
            return False
        if not any(code in workload.TRY_AGAIN for code in codes(request.answer)):
            return True
        time.sleep(BACK_OFF_S)
        return False


def codes(answer):
    """Of all that was refused."""
    return [part["error"]["code"] for part in answer.json.get("results", [answer.json]) if "error" in part]


def another(body):
    if isinstance(body, list):
        return body[1:]
    return {**body, "ops": body["ops"][1:]} if "ops" in body else {**body, "v": 1}


class Crash(server.Case):
    def setUp(self):
        super().setUp()
        self.kills, self.outcomes, self.in_doubt = collections.Counter(), collections.Counter(), collections.Counter()

    # ---- killing

    def kill(self, pid):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass

    def kill_coordinator(self, shards_too):
        """Its shards are not waited for."""
        dead = self.world.server
        pids = [dead.pid, *(dead.shards().values() if shards_too else ())]
        self.rng.shuffle(pids)
        self.world.serve(None)
        for pid in pids:
            self.kill(pid)
        dead.close()
        dead.wait()
        self.look_for_doubt()
        for _ in range(self.rng.choice((0, 0, 1, 2))):
            self.kill_during_start(shards_too)
        self.start()

    def still_serves(self):
        """It does not end but when it is killed."""
        self.assertIsNone(self.world.server.process.poll(), f"the server has ended\n{self.world.server.said}")
        return True

    def wait_for_moment(self, table):
        """Until a file has such a row, which is there for a millisecond or two; None: any moment will do."""
        if not table:
            time.sleep(self.rng.uniform(0, 0.005))
            return
        with contextlib.ExitStack() as stack:
            files = [stack.enter_context(sheaf.opened(self.data, database)) for database in workload.DATABASES]
            while self.world.running and self.still_serves():
                for file in files:
                    if file.execute(f"SELECT 1 FROM {table}").fetchone():
                        return

    def look_for_doubt(self):
        """What the killed have left to be found out: transactions that are decided, and such that never will be."""
        prepared, decided = set(), set()
        for database in workload.DATABASES:
            with sheaf.opened(self.data, database) as connection:
                prepared.update(connection.execute("SELECT txn FROM _sheaf_prepared"))
                decided.update(connection.execute("SELECT txn FROM _sheaf_decision"))
        self.in_doubt += collections.Counter(committed=len(prepared & decided), aborted=len(prepared - decided))

    def kill_during_start(self, shards_too):
        process = subprocess.Popen([sheaf.COORDINATOR, "serve", "--data", self.data, "--listen", "127.0.0.1:0"],
                                   env=sheaf.environment(), stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(self.rng.uniform(0, self.start_s * 1.2))  # at any moment of it: nothing is waited for
        for pid in sheaf.shardds_of(self.data) if shards_too else ():
            self.kill(pid)
        process.kill()
        process.wait()
        self.kills["during a start"] += 1

    def kill_shard(self):
        name = self.rng.choice(list(workload.DATABASES))
        shards = self.world.server.shards()
        self.kill(shards[name])  # every one was there when the last round settled
        for _ in range(self.rng.choice((0, 0, 1, 2))):
            before = shards
            deadline = time.monotonic() + sheaf.TIMEOUT_S
            while (shards := self.world.server.shards()).get(name, before[name]) == before[name]:
                self.assertLess(time.monotonic(), deadline, "it was not started again")
                time.sleep(0.005)  # a process of somebody else's: nothing tells that it is there
            time.sleep(self.rng.uniform(0, self.start_s / 2))
            self.kill(shards[name])
            self.kills["a shard again"] += 1

    def start(self, *args):
        before = time.monotonic()
        new = server.Server(self.data, *args)
        self.start_s = time.monotonic() - before
        self.addCleanup(self.end_well, new)
        self.world.serve(new)

    # ---- rounds

    def run_round(self, users):
        self.world.answered, self.world.running = 0, len(users)
        threads = [threading.Thread(target=user.run) for user in users]
        for thread in threads:
            thread.start()
        self.world.wait_for_answers(self.rng.randint(0, len(users) * REQUESTS * 3 // 4))
        self.wait_for_moment(self.rng.choice((None, "_sheaf_prepared", "_sheaf_decision")))
        self.still_serves()
        kind = self.rng.choice(("a shard", "the coordinator", "all"))
        if kind == "a shard":
            self.kill_shard()
        else:
            self.kill_coordinator(kind == "all")
        self.kills[kind] += 1
        for thread in threads:
            while thread.is_alive():
                thread.join(1)
                self.still_serves()
        for user in users:
            if user.failure:
                raise user.failure
        return [event for user in users for event in user.events]

    def settle(self, reader):
        """When a page of every table can be read nothing is under way: what the files hold then."""
        pages = []
        for table in workload.COLUMNS:
            event = history.Event([{"op": "page", "table": table}])
            reader.perform(workload.Request("GET", server.path(table) + "?limit=1000", None, [event]))
            pages.append(tuple(tuple(row.values()) for row in event.seen))
        stored = workload.stored(self.data)
        self.assertEqual(tuple(pages), stored)
        return stored

    def crash(self, number, rounds):
        work = workload.Workload(f"{OPTIONS.seed} {number}")
        self.world, self.rng = World(), oracle.seeded(f"{OPTIONS.seed} {number} kills")
        judge, outcomes = work.judge(), self.outcomes
        self.start("--schema", self.schema(work.ddl), "--config", self.path("sheaf.conf", work.config))
        os.replace(self.path("sheaf.conf"), os.path.join(self.data, "sheaf.conf"))
        users = [User(self.world, work, i + 1) for i in range(CLIENTS)]
        for user in users:
            self.addCleanup(user.connection.drop)
        for round_ in range(3 * rounds):
            if round_ >= rounds and (number + 1 < SCHEMAS or len(self.in_doubt) == 2):
                break
            events = self.run_round(users)
            outcomes.update(e.outcome for e in events if not e.is_read)
            before, final = judge.state(), self.settle(users[0])
            if not judge.linearize(events, final):
                self.fail(f"seed {OPTIONS.seed}, schema {number}, round {round_}, kills so far {dict(self.kills)}\n{work.ddl}" +
                          history.explain(judge, before, final))
        self.ran("check", "--data", self.data)
        for user in users:
            user.connection.drop()
        self.assertEqual(self.world.server.stop(), 0, self.world.server.said)
        self.assertEqual(workload.stored(self.data), judge.state())
        self.assertEqual(workload.put_together(self.data, work.ddl, workload.DATABASES, self.path(f"whole{number}.db")), [])
        self.ran("check", "--data", self.data)

    def test_what_was_acknowledged_is_there_once_and_nothing_else(self):
        for number in range(SCHEMAS):
            with self.subTest(schema=number):
                self.data = self.path(f"data{number}")
                try:
                    self.crash(number, (OPTIONS.kills + number) // SCHEMAS)
                finally:
                    self.world.end()
        print(f"\nseed {OPTIONS.seed}: {dict(self.kills)}, in doubt {dict(self.in_doubt)}, {dict(self.outcomes)}", file=sys.stderr)
        self.assertEqual(sorted(self.in_doubt), ["aborted", "committed"], "no kill left a transaction of both kinds in doubt")
        self.assertGreater(self.outcomes["done"], DONE_SHARE * self.outcomes.total())


if __name__ == "__main__":
    sys.setswitchinterval(0.0005)  # who waits for a moment has to see it
    sys.argv = sys.argv[:1]
    sheaf.main()
