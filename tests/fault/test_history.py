# SPDX-License-Identifier: Apache-2.0
"""The judge of many clients at once, judged itself: it finds the order of what took place in one, however much took place
at the same time, and finds none for what no order explains.

    test_history.py [--seed N] [--histories N]
"""

import argparse
import heapq
import itertools
import pathlib
import random
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "system"))
import history  # noqa: E402
import sheaf  # noqa: E402
import workload  # noqa: E402

NODES_MAX = 10_000  # of each search here
OPTIONS = argparse.ArgumentParser()
OPTIONS.add_argument("--seed", type=int, default=0)
OPTIONS.add_argument("--histories", type=int, default=25, help="of each of three kinds")
OPTIONS = OPTIONS.parse_args()


class Play:
    """Random operations of several clients in a time of their own, each done by one SQLite file at some moment between its
    begin and its end. `lost`: the share of requests whose client is not told."""

    def __init__(self, seed, clients, requests, lost):
        self.rng, self.lost, self.events = random.Random(seed), lost, []
        self.work = workload.Workload(seed)
        self.file, self.judge = self.work.judge(), self.work.judge()
        self.queue, self.numbers = [], itertools.count()
        self.fill()
        for number in range(clients):
            self.at(self.rng.random() / 10, self.begin, workload.Client(self.work, number + 1), requests)
        while self.queue:
            now, _, step, args = heapq.heappop(self.queue)
            step(now, *args)
        self.final = self.file.state()

    def at(self, time, step, *args):
        heapq.heappush(self.queue, (time, next(self.numbers), step, args))

    def fill(self):
        """The same rows for both."""
        client = workload.Client(self.work, 0)
        for event in (event for _ in range(60) for event in client.request().events):
            if not event.is_read and not event.condition and not history.lacks_key(event.steps[0], workload.KEYS):
                self.do(self.file, event)
                self.do(self.judge, event)

    def do(self, file, event):
        file.db.execute("SAVEPOINT event")
        said = file.outcome(event)
        if said != "done":
            file.undo()
        else:
            file.db.execute("RELEASE event")
        return said

    def begin(self, now, client, requests):
        request, takes = client.request(), self.rng.expovariate(1)
        lost = not request.is_read and self.rng.random() < self.lost
        for event in request.events:
            event.begun, event.ended = now, now + takes
            self.events.append(event)
            if lost:
                event.outcome = "maybe"
            if not lost or self.rng.random() < 0.5:  # who is not told may be done later, or never
                self.at(now + takes * self.rng.random() * (1 + lost), self.take_effect, event)
        self.at(now + takes, self.end, client, request, requests - 1)

    def take_effect(self, _, event):
        step = event.steps[0]
        if step["op"] == "read":
            event.seen = self.file.find(step["table"], step["key"])
        elif step["op"] == "page":
            rows = self.file.state()[list(workload.COLUMNS).index(step["table"])]
            event.seen = [dict(zip(workload.COLUMNS[step["table"]], row)) for row in rows]
        elif history.lacks_key(step, workload.KEYS):
            step["row"]["id"] = self.rng.randint(1, 6)
        said = self.do(self.file, event)
        event.outcome = event.outcome or said

    def end(self, now, client, request, left):
        event = request.events[0]
        if event.steps[0]["op"] == "read" and event.outcome == "done":
            client.tags[(event.steps[0]["table"], *event.steps[0]["key"].values())] = ("a tag", event.seen)
        if left:
            self.at(now + self.rng.random() / 20, self.begin, client, left)


DDL = """
CREATE TABLE t (id INTEGER PRIMARY KEY, v INTEGER);
CREATE TABLE c (id INTEGER PRIMARY KEY, t INTEGER REFERENCES t, v INTEGER);
"""


def event(begun, ended, outcome, *steps, seen=None, **more):
    made = history.Event([{"op": op, "table": table, **rest} for op, table, rest in steps], **more)
    made.begun, made.ended, made.outcome, made.seen = begun, ended, outcome, seen
    return made


def write(begun, ended, outcome, v, **more):
    return event(begun, ended, outcome, ("update", "t", {"key": {"id": 1}, "row": {"v": v}}), **more)


def read(begun, ended, v):
    return event(begun, ended, "done", ("read", "t", {"key": {"id": 1}}), seen={"id": 1, "v": v})


def delete(begun, ended, outcome):
    return event(begun, ended, outcome, ("delete", "t", {"key": {"id": 1}}))


def child(begun, ended, outcome):
    return event(begun, ended, outcome, ("insert", "c", {"row": {"id": 1, "t": 1, "v": 7}}))


def both(begun, ended, outcome):
    steps = [("update", table, {"key": {"id": 1}, "row": {"v": 5}}) for table in ("t", "c")]
    return event(begun, ended, outcome, *steps, atomic=True)


# The file holds t 1 with v 0. What was told, the rows of t and c at the end, and whether there is an order.
CASES = {
    "one write": ([write(0, 1, "done", 1)], [(1, 1)], [], True),
    "a write that left nothing": ([write(0, 1, "done", 1)], [(1, 0)], [], False),
    "a refused one that left something": ([write(0, 1, "check", 1)], [(1, 1)], [], False),
    "two at once, the first one last": ([write(0, 2, "done", 1), write(1, 3, "done", 2)], [(1, 1)], [], True),
    "two in turn, the first one last": ([write(0, 1, "done", 1), write(2, 3, "done", 2)], [(1, 1)], [], False),
    "a read of what is being written": ([write(0, 3, "done", 1), read(1, 2, 1)], [(1, 1)], [], True),
    "a read of what was written over": ([write(0, 1, "done", 1), read(2, 3, 0)], [(1, 1)], [], False),
    "new, then old": ([write(0, 5, "done", 1), read(1, 2, 1), read(3, 4, 0)], [(1, 1)], [], False),
    "old, then new": ([write(0, 5, "done", 1), read(1, 2, 0), read(3, 4, 1)], [(1, 1)], [], True),
    "nobody knows: done": ([write(0, 1, "maybe", 1)], [(1, 1)], [], True),
    "nobody knows: not done": ([write(0, 1, "maybe", 1)], [(1, 0)], [], True),
    "nobody knows: done later": ([write(0, 1, "maybe", 1), read(2, 3, 0), read(4, 5, 1)], [(1, 1)], [], True),
    "nobody knows: done and undone": ([write(0, 1, "maybe", 1), read(2, 3, 1), read(4, 5, 0)], [(1, 0)], [], False),
    "nobody knows: not before it was sent": ([read(0, 1, 1), write(2, 3, "maybe", 1)], [(1, 1)], [], False),
    "a condition that held": ([write(0, 1, "done", 1, condition=True, tag={"id": 1, "v": 0})], [(1, 1)], [], True),
    "two that cannot both hold": ([write(0, 2, "done", v, condition=True, tag={"id": 1, "v": 0}) for v in (1, 2)], [(1, 2)], [],
                                  False),
    "one of two holds": ([write(0, 2, outcome, v, condition=True, tag={"id": 1, "v": 0})
                          for outcome, v in (("precondition", 1), ("done", 2))], [(1, 2)], [], True),
    "a parent goes, then a child is refused": ([delete(0, 3, "done"), child(1, 2, "reference_missing")], [], [], True),
    "a child comes, then its parent stays": ([delete(0, 3, "referenced"), child(1, 2, "done")], [(1, 0)], [(1, 1, 7)], True),
    "a parent goes and its child comes": ([delete(0, 3, "done"), child(1, 2, "done")], [], [(1, 1, 7)], False),
    "both": ([child(0, 1, "done"), both(2, 3, "done")], [(1, 5)], [(1, 1, 5)], True),
    "half of both": ([child(0, 1, "done"), both(2, 3, "maybe")], [(1, 5)], [(1, 1, 7)], False),
}


class Histories(unittest.TestCase):
    def test_one_that_took_place_is_found_however_much_was_at_once(self):
        history.NODES_MAX = NODES_MAX
        most = 0
        for kind in ({"clients": 8, "requests": 6, "lost": 0}, {"clients": 20, "requests": 6, "lost": 0},
                     {"clients": 8, "requests": 12, "lost": 0.15}):
            for seed in range(OPTIONS.seed, OPTIONS.seed + OPTIONS.histories):
                play = Play(f"{seed}", **kind)
                before = play.judge.state()
                found = play.judge.linearize(list(play.events), play.final)
                self.assertTrue(found, f"seed {seed} {kind}" + ("" if found else history.explain(play.judge, before, play.final)))
                self.assertEqual(play.judge.state(), play.final)
                most = max(most, play.judge.nodes)
        print(f"\nfrom seed {OPTIONS.seed}: at most {most} nodes", file=sys.stderr)

    def test_only_what_an_order_explains_is_found(self):
        for name, (events, t, c, expected) in CASES.items():
            with self.subTest(name):
                judge = history.Judge(DDL, {"t": ["id", "v"], "c": ["id", "t", "v"]}, {"t": ["id"], "c": ["id"]}, "v")
                judge.db.execute("INSERT INTO t VALUES (1, 0)")
                self.assertIs(judge.linearize(events, (tuple(t), tuple(c))), expected)
                self.assertFalse(judge.given_up)
                self.assertEqual(judge.state(), (tuple(t), tuple(c)) if expected else (((1, 0),), ()))

    def test_a_search_that_was_given_up_says_so(self):
        history.NODES_MAX = 3
        play = Play("0", clients=14, requests=6, lost=0)
        before = play.judge.state()
        self.assertFalse(play.judge.linearize(list(play.events), play.final))
        self.assertTrue(play.judge.given_up)
        self.assertIn("no order was found", history.explain(play.judge, before, play.final))
        self.assertEqual(play.judge.state(), before)


if __name__ == "__main__":
    sys.argv = sys.argv[:1]
    sheaf.main()
