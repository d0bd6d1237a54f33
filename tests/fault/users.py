# SPDX-License-Identifier: Apache-2.0
"""Clients whose server may die at any moment, and who know what they were told: for tests that make it die.

Most requests have an Idempotency-Key and are sent again until they have an answer; of the others that had none, nobody can
say whether they were done. Later, those with a key are sent once more: their answer is still the first one.
"""

import collections
import http.client
import os
import threading
import time

import history
import server
import sheaf
import workload

REQUESTS = 12  # of each client in a round, if nothing else is said
KEPT_MAX = 100  # answers of each that may be asked for once more
BACK_OFF_S = 0.01  # before a request that could not be done is sent again
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

    def __init__(self, world, work, number, requests):
        self.world, self.client, self.connection = world, workload.Client(work, number), Connection(world)
        self.rng, self.number, self.requests = self.client.rng, number, requests
        self.keys, self.kept, self.failure, self.events = 0, collections.deque(maxlen=KEPT_MAX), None, []

    def run(self):
        try:
            self.events = []
            for _ in range(self.requests):
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


class Case(server.Case):
    """A test that makes them die: `world`, and `users` who ask it, judged after each round by one SQLite file."""

    def setUp(self):
        super().setUp()
        self.world, self.users = World(), []
        self.addCleanup(self.end)

    def begin(self, seed, clients, requests=REQUESTS, limits="", work=None):
        """A server in `self.data`, with a schema drawn for this seed or that of `work`. `limits`: lines for its configuration."""
        self.work, self.world = work or workload.Workload(seed), World()
        self.judge = self.work.judge()
        config = self.path("sheaf.conf", self.work.config + limits)  # its last section is [limits]
        self.start("--schema", self.schema(self.work.ddl), "--config", config)
        os.replace(self.path("sheaf.conf"), os.path.join(self.data, "sheaf.conf"))
        self.users = [User(self.world, self.work, i + 1, requests) for i in range(clients)]

    def end(self):
        """Whatever `begin` began, if it has not ended: nothing is left of it but its files."""
        self.world.end()
        for user in self.users:
            user.connection.drop()
        if self.world.server:
            self.end_well(self.world.server)

    def start(self, *args, **options):
        self.world.serve(server.Server(self.data, *args, **options))

    def begin_round(self):
        """The threads of the users, who then send REQUESTS each."""
        self.world.answered, self.world.running = 0, len(self.users)
        threads = [threading.Thread(target=user.run) for user in self.users]
        for thread in threads:
            thread.start()
        return threads

    def events(self):
        """Of the round, when all its threads have ended."""
        for user in self.users:
            if user.failure:
                raise user.failure
        return [event for user in self.users for event in user.events]

    def settle(self):
        """When a page of every table can be read nothing is under way: what the files hold then."""
        pages = []
        for table in workload.COLUMNS:
            event = history.Event([{"op": "page", "table": table}])
            self.users[0].perform(workload.Request("GET", server.path(table) + "?limit=1000", None, [event]))
            pages.append(tuple(tuple(row.values()) for row in event.seen))
        stored = workload.stored(self.data)
        self.assertEqual(tuple(pages), stored)
        return stored

    def judge_round(self, events, what):
        before, final = self.judge.state(), self.settle()
        if not self.judge.linearize(events, final):
            self.fail(f"{what}\n{self.work.ddl}" + history.explain(self.judge, before, final))

    def doubt(self):
        """How many transactions those who died have left to be found out: that are decided, and that never will be."""
        prepared, decided = set(), set()
        for database in workload.DATABASES:
            with sheaf.opened(self.data, database) as connection:
                prepared.update(connection.execute("SELECT txn FROM _sheaf_prepared"))
                decided.update(connection.execute("SELECT txn FROM _sheaf_decision"))
        return collections.Counter(committed=len(prepared & decided), aborted=len(prepared - decided))

    def judge_files(self):
        """The server ends; what it leaves."""
        self.ran("check", "--data", self.data)
        for user in self.users:
            user.connection.drop()
        self.assertEqual(self.world.server.stop(), 0, self.world.server.said)
        self.assertEqual(workload.stored(self.data), self.judge.state())
        whole = self.path(f"whole of {os.path.basename(self.data)}.db")
        self.assertEqual(workload.put_together(self.data, self.work.ddl, workload.DATABASES, whole), [])
        os.unlink(whole)
        self.ran("check", "--data", self.data)
