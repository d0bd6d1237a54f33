# SPDX-License-Identifier: Apache-2.0
"""Random operations of many clients on few keys, with every reference action, and what they were told of them.

    work = workload.Workload(seed)      # work.ddl, work.config
    client = workload.Client(work, number)
    client.perform(connection, request) → the request's events with their outcomes (history.py)
"""

import random
import sqlite3
import time

import history
import sheaf
from server import path

ACTIONS = ("NO ACTION", "RESTRICT", "CASCADE", "SET NULL", "SET DEFAULT")
REFERENCES = 7  # in SCHEMA
# Texts are drawn for {0}, {1}, … : the actions of one reference
SCHEMA = """
CREATE TABLE p (id INTEGER PRIMARY KEY, u TEXT UNIQUE, q TEXT DEFAULT 'x' REFERENCES q {0}, v INTEGER CHECK (v > 0));
CREATE TABLE q (k TEXT NOT NULL PRIMARY KEY, p INTEGER DEFAULT 1 REFERENCES p {1}, v INTEGER CHECK (v > 0));
CREATE TABLE r (a INTEGER NOT NULL, b TEXT NOT NULL, p INTEGER DEFAULT 2 REFERENCES p {2}, q TEXT REFERENCES q {3},
  v INTEGER CHECK (v > 0), PRIMARY KEY (a, b)) WITHOUT ROWID;
CREATE TABLE s (id INTEGER PRIMARY KEY, u TEXT DEFAULT 'a' REFERENCES p (u) {4}, a INTEGER DEFAULT 1, b TEXT DEFAULT 'm',
  v INTEGER CHECK (v > 0), FOREIGN KEY (a, b) REFERENCES r {5});
CREATE TABLE n (id INTEGER PRIMARY KEY, n INTEGER DEFAULT 1 REFERENCES n {6}, v INTEGER CHECK (v > 0));
"""
DATABASES = {"one": ["p", "n"], "two": ["q"], "three": ["r"], "four": ["s"]}
KEYS = {"p": ["id"], "q": ["k"], "r": ["a", "b"], "s": ["id"], "n": ["id"]}
COLUMNS = {"p": ["id", "u", "q", "v"], "q": ["k", "p", "v"], "r": ["a", "b", "p", "q", "v"], "s": ["id", "u", "a", "b", "v"],
           "n": ["id", "n", "v"]}
VALUES = {"p": {"id": range(1, 6), "u": "abcd", "q": "xyz"}, "q": {"k": "xyz", "p": range(1, 6)},
          "r": {"a": range(1, 3), "b": "mno", "p": range(1, 6), "q": "xyz"},
          "s": {"id": range(1, 5), "u": "abcd", "a": range(1, 3), "b": "mno"}, "n": {"id": range(1, 6), "n": range(1, 6)}}
HAS_ASSIGNED_IDS = "psn"
# nobody knows whether it was done: the same request again, with its key, will tell
TRY_AGAIN = ("unavailable", "unknown", "busy")
KINDS = {"insert": 22, "update": 18, "rekey": 8, "delete": 10, "upsert": 8, "batch": 12, "spread": 10, "array": 4, "each": 4, "read": 8, "page": 6}


class Request:
    """`events` share one request; of a batch on its own or array each is one."""

    def __init__(self, method, target, body, events, condition=None):
        self.method, self.target, self.body, self.events, self.condition = method, target, body, events, condition
        self.headers = {}
        self.answer = None

    @property
    def is_read(self):
        return self.method == "GET"


def actions_of(rng):
    """Pairs of actions: over three draws (of the same rng) each is used for both."""
    deletes, updates = list(ACTIONS), list(ACTIONS)
    deletes += rng.choices(ACTIONS, k=REFERENCES - len(deletes))
    updates += rng.choices(ACTIONS, k=REFERENCES - len(updates))
    rng.shuffle(deletes)
    rng.shuffle(updates)
    return [f"ON DELETE {d} ON UPDATE {u}" for d, u in zip(deletes, updates)]


class Workload:
    def __init__(self, seed):
        self.seed = seed
        self.ddl = SCHEMA.format(*actions_of(random.Random(f"{seed} schema")))
        self.config = "".join(f"[database {d}]\ntables = {', '.join(t)}\n" for d, t in DATABASES.items())
        self.config += "[limits]\nidle_ms = 3600000\n"  # clients stay connected, however long the judge thinks

    def judge(self):
        return history.Judge(self.ddl, COLUMNS, KEYS, "v")


def stored(data):
    """The state as the files have it; of one file more than of another while a transaction is under way."""
    found = {}
    for database, tables in DATABASES.items():
        with sheaf.opened(data, database) as connection:
            for table in tables:
                found[table] = tuple(connection.execute(f"SELECT * FROM {table} ORDER BY {', '.join(KEYS[table])}"))
    return tuple(found[table] for table in COLUMNS)


def put_together(data, ddl, databases, file):
    """One SQLite file of all tables; what SQLite finds wrong with it."""
    whole = sqlite3.connect(file, isolation_level=None)
    whole.executescript(ddl)
    for database, tables in databases.items():
        whole.execute("ATTACH ? AS part", (sheaf.database(data, database),))
        for table in tables:
            whole.execute(f"INSERT INTO main.{table} SELECT * FROM part.{table}")
        whole.execute("DETACH part")
    wrong = whole.execute("PRAGMA foreign_key_check").fetchall()
    wrong += [row for row in whole.execute("PRAGMA integrity_check").fetchall() if row != ("ok",)]
    whole.close()
    return wrong


class Client:
    """One client's requests, which its seed decides, but for the rows it has read."""

    def __init__(self, work, number):
        self.rng = random.Random(f"{work.seed} client {number}")
        self.number, self.count = number, 0
        self.tags = {}  # the last rows read: (table, key's values) → (tag, row)

    # ---- making requests

    def value(self, table, column):
        if column == "v":  # tells who wrote it
            self.count += 1
            return -1 if self.rng.random() < 0.02 else self.number * 1_000_000 + self.count
        if column not in KEYS[table] and self.rng.random() < 0.35:
            return None
        return self.rng.choice(VALUES[table][column])

    def key(self, table):
        return {c: self.value(table, c) for c in KEYS[table]}

    def row(self, table, columns=None):
        """All columns with a key, most of the others."""
        return {c: self.value(table, c) for c in columns or COLUMNS[table] if c in KEYS[table] or c == "v" or self.rng.random() < 0.7}

    def step(self, op=None):
        op = op or self.rng.choice(("insert", "insert", "update", "rekey", "delete"))
        table = self.rng.choice(list(COLUMNS))
        if op in ("insert", "upsert"):
            return {"op": op, "table": table, "row": self.row(table)}
        step = {"op": op, "table": table, "key": self.key(table)}
        if op == "update":
            step["row"] = self.row(table, [c for c in COLUMNS[table] if c not in KEYS[table]])
        elif op == "rekey":  # a referenced UNIQUE counts as well
            columns = ["u"] if table == "p" and self.rng.random() < 0.5 else KEYS[table]
            step |= {"op": "update", "row": {c: self.value(table, c) for c in columns} | {"v": self.value(table, "v")}}
        return step

    def request(self):
        kind = self.rng.choices(list(KINDS), KINDS.values())[0]
        if kind in ("batch", "each"):
            steps = [self.step() for _ in range(self.rng.randint(2, 5))]
            atomic = kind == "batch"
            events = [history.Event(steps, atomic=True)] if atomic else [history.Event([s]) for s in steps]
            return Request("POST", "/v1/batch", {"atomic": atomic, "ops": steps}, events)
        if kind == "array":
            table = self.rng.choice(list(COLUMNS))
            rows = [self.row(table) for _ in range(self.rng.randint(2, 4))]
            return Request("POST", path(table), rows, [history.Event([{"op": "insert", "table": table, "row": r}]) for r in rows])
        if kind == "spread":  # over several databases, and likely to be done
            steps = [{"op": "update", "table": t, "key": self.key(t), "row": {"v": self.value(t, "v")}}
                     for t in self.rng.sample(list(COLUMNS), self.rng.randint(2, 3))]
            return Request("POST", "/v1/batch", {"atomic": True, "ops": steps}, [history.Event(steps, atomic=True)])
        return self.single(kind)

    def single(self, kind):
        step = self.step(kind)
        table, event = step["table"], history.Event([step])
        if kind == "page":
            return Request("GET", path(table) + "?limit=100", None, [event])
        if kind == "insert" and table in HAS_ASSIGNED_IDS and self.rng.random() < 0.1:
            del step["row"]["id"]
        if kind in ("insert", "upsert"):
            return Request("POST", path(table) + ("?on_conflict=update" if kind == "upsert" else ""), step["row"], [event])
        target = path(table, *step["key"].values())
        if kind == "read":
            return Request("GET", target, None, [event])
        request = Request("DELETE" if kind == "delete" else "PATCH", target, step.get("row"), [event])
        known = self.tags.get((table, *step["key"].values()))
        if self.rng.random() < 0.5 and (known or self.rng.random() < 0.1):
            request.condition, event.tag = known or ("*", None)
            event.condition = True
        return request

    # ---- sending them

    def send(self, connection, request):
        """Once. Sets when it was begun, unless it was before, and when it ended."""
        self.begin(connection, request)
        return self.end(connection, request)

    def begin(self, connection, request):
        headers = dict(request.headers)
        if request.condition:
            headers["If-Match"] = request.condition
        now = time.monotonic()
        for event in request.events:
            event.begun = event.begun or now
        connection.send(request.method, request.target, request.body, headers)

    def end(self, connection, request):
        answer = connection.receive()
        now = time.monotonic()
        for event in request.events:
            event.ended = now
        self.told(request, answer)
        return answer

    def told(self, request, answer):
        """Reads outcomes off an answer."""
        request.answer = answer
        body = answer.json
        if answer.status == 200 and "results" in body and not request.events[0].atomic:
            for event, result in zip(request.events, body["results"], strict=True):
                event.outcome = "done" if result["ok"] else result["error"]["code"]
            return
        event = request.events[0]
        if request.is_read and answer.status == 200:
            event.outcome, event.seen = "done", body.get("rows", body)
            self.remember(event, answer)
            return
        code = "done" if answer.status in (200, 201) else answer.error["code"]
        for event in request.events:
            event.outcome = code
        event.told = body.get("id")

    def remember(self, event, answer):
        step = event.steps[0]
        if step["op"] == "read":
            self.tags[(step["table"], *step["key"].values())] = (answer.etag, event.seen)
