# SPDX-License-Identifier: Apache-2.0
"""What many clients were told at once, judged by one SQLite file: is there an order of their operations in which that
file would have told them the same, and would hold the same rows at the end?

An order has to respect time: what was answered before another was sent comes before it. An operation whose outcome
nobody was told may have any place from its sending on, or none. Only writes that were done change rows, so all others
are placed as early as they fit, which loses no order; for those, every order that may matter is tried. A wrong turn may
show much later, and then all that was done beside it is tried in vain: so a search that finds nothing soon begins anew
with other turns, and what it has found to lead nowhere it never tries again.
"""

import random
import sqlite3

from oracle import quoted

NODES_MAX = 300_000  # of one search; a bound for the time a test takes
NODES_FIRST = 250  # before it begins anew; each time twice as many


class Event:
    """Steps that took effect together, or did not: [{"op":…, "table":…, "key":…, "row":…}, …], as POST /v1/batch has
    them; "upsert", "read" and "page" as well, by themselves. `tag`: the row (or None: any) that If-Match asked for.

    `outcome`: "done", "maybe", or the error's code. `seen`: what a read or page answered; `told`: the id of an insert."""

    def __init__(self, steps, atomic=False, condition=False, tag=None):
        self.steps, self.atomic, self.condition, self.tag = steps, atomic, condition, tag
        self.begun = self.ended = 0.0
        self.outcome = self.seen = self.told = None

    @property
    def is_read(self):
        return self.steps[0]["op"] in ("read", "page")

    @property
    def changes(self):
        return self.outcome in ("done", "maybe") and not self.is_read

    def __str__(self):
        condition = f" if {self.tag}" if self.condition else ""
        steps = "; ".join(f"{s['op']} {s['table']} {s.get('key', '')} {s.get('row', '')}" for s in self.steps)
        seen = f" {self.seen}" if self.is_read else f" id {self.told}" if self.told else ""
        return f"[{self.begun:.6f} {self.ended:.6f}] {'atomic ' * self.atomic}{steps}{condition}: {self.outcome}{seen}"


class Judge:
    """One file. `tables`: {name: [columns], …}; `keys`: {name: [the primary key's columns], …}. `mark`: a column of each
    table that nothing sets but the row of a step: no DEFAULT and no reference."""

    def __init__(self, ddl, tables, keys, mark):
        self.tables, self.keys, self.mark = tables, keys, mark
        self.db = sqlite3.connect(":memory:", isolation_level=None)
        self.db.executescript(ddl)
        self.db.execute("PRAGMA foreign_keys=ON")
        self.mark_at = [columns.index(mark) for columns in tables.values()]
        self.digest_of = [f"SELECT * FROM {quoted(t)} ORDER BY {', '.join(map(quoted, keys[t]))}" for t in tables]

    def state(self):
        return tuple(tuple(self.db.execute(sql)) for sql in self.digest_of)

    # ---- one event

    def where(self, table, key):
        return " AND ".join(f"{quoted(c)} = ?" for c in key), list(key.values())

    def find(self, table, key):
        where, values = self.where(table, key)
        found = self.db.execute(f"SELECT * FROM {quoted(table)} WHERE {where}", values).fetchone()
        return found and dict(zip(self.tables[table], found))

    def write(self, step, told):
        """None: done; else the code, or "constraint"."""
        table, row = step["table"], dict(step.get("row", {}))
        if told is not None:
            row[self.keys[table][0]] = told
        try:
            if step["op"] in ("insert", "upsert"):
                sql = (f"INSERT INTO {quoted(table)} ({', '.join(map(quoted, row))}) VALUES ({', '.join('?' * len(row))})")
                if step["op"] == "upsert":
                    sql += (f" ON CONFLICT ({', '.join(map(quoted, self.keys[table]))}) DO UPDATE SET " +
                            ", ".join(f"{quoted(c)} = excluded.{quoted(c)}" for c in row if c not in self.keys[table]))
                self.db.execute(sql, list(row.values()))
                return None
            where, values = self.where(table, step["key"])
            if step["op"] == "update":
                changes = ", ".join(f"{quoted(c)} = ?" for c in row)
                cursor = self.db.execute(f"UPDATE {quoted(table)} SET {changes} WHERE {where}", list(row.values()) + values)
            else:
                cursor = self.db.execute(f"DELETE FROM {quoted(table)} WHERE {where}", values)
            return None if cursor.rowcount else "not_found"
        except sqlite3.IntegrityError:
            return "constraint"

    def write_all(self, event):
        """As one transaction in which references are checked at the end."""
        self.db.execute("PRAGMA defer_foreign_keys=ON")
        try:
            for step in event.steps:
                code = self.write(step, None)
                if code:
                    return code
            # the end of a savepoint checks nothing; each event begins with every reference as it should be
            return "constraint" if self.db.execute("PRAGMA foreign_key_check").fetchone() else None
        finally:
            self.db.execute("PRAGMA defer_foreign_keys=OFF")

    def outcome(self, event):
        """What this file says now, and does if it says so: "done" or a code. Reads: "done" when it reads the same."""
        step = event.steps[0]
        if step["op"] == "read":
            found = self.find(step["table"], step["key"])
            if found is None:
                return "not_found"
            return "done" if found == event.seen else "another row"
        if step["op"] == "page":
            columns = self.tables[step["table"]]
            rows = self.db.execute(self.digest_of[list(self.tables).index(step["table"])])
            return "done" if [dict(zip(columns, row)) for row in rows] == event.seen else "other rows"
        if event.condition:
            found = self.find(step["table"], step["key"])
            if found is None or event.tag not in (None, found):
                return "precondition"
        return (self.write_all(event) if event.atomic else self.write(step, event.told)) or "done"

    def agrees(self, event, said):
        if event.outcome == "maybe":
            return said == "done"
        if event.outcome == "done" or said == "done" or event.is_read:
            return event.outcome == said
        if event.atomic:
            return True  # which of several reasons is named is not what this asks
        return all((event.outcome == code) == (said == code) for code in ("not_found", "precondition"))

    # ---- all of them

    def linearize(self, events, final):
        """Whether there is such an order, after which the rows are `final`; the file then holds them. Else the file is as
        it was, and `furthest` is what could be placed; `given_up`: there may be one. A row that was refused without a key
        is not asked about: nobody was told which it would have got, and the row may name itself."""
        events = [e for e in events if e.outcome in ("done", "maybe") or not lacks_key(e.steps[0], self.keys)]
        self.events, self.final = sorted(events, key=lambda e: (e.ended, e.begun)), final
        self.bits = {id(event): 1 << i for i, event in enumerate(self.events)}
        self.states, self.dead, self.known, self.nodes, self.furthest = {}, set(), {}, 0, []
        self.note_marks()
        self.db.execute("BEGIN")
        found = self.search()
        self.db.execute("COMMIT" if found else "ROLLBACK")
        return found

    def search(self):
        self.turns, nodes = None, NODES_FIRST  # the first time in the order of their ends
        while True:
            self.given_up, self.nodes_end = False, min(self.nodes + nodes, NODES_MAX)
            if self.place(list(self.events), []):
                return True
            if not self.given_up or self.nodes >= NODES_MAX:
                return False
            self.turns, nodes = random.Random(nodes), 2 * nodes

    # Marks: (table's number, value of `mark`)

    def state_marks(self, state):
        return {(number, row[at]) for number, (at, rows) in enumerate(zip(self.mark_at, state)) for row in rows if row[at] is not None}

    def marks(self, table, rows):
        return {(list(self.tables).index(table), row[self.mark]) for row in rows if row.get(self.mark) is not None}

    def note_marks(self):
        """`needed`: for each mark that the end or a read has to meet, who is to meet it (-1: the end) and who makes it."""
        meets, makes = dict.fromkeys(self.state_marks(self.final), -1), {}
        for event in self.events:
            table, bit = event.steps[0]["table"], self.bits[id(event)]
            met = event.seen if event.steps[0]["op"] == "page" else [event.seen or event.tag or {}]
            for mark in self.marks(table, met) if event.outcome == "done" else ():
                meets[mark] = meets.get(mark, 0) | bit
            for step in event.steps if event.changes else ():
                for mark in self.marks(step["table"], [step.get("row", {})]):
                    makes[mark] = makes.get(mark, 0) | bit
        self.needed = [(mark, who, makes.get(mark, 0)) for mark, who in meets.items()]
        makers = 0
        for _, _, who in self.needed:
            makers |= who
        # what was perhaps done, and need not have been, comes last
        self.ranks = {id(e): (e.outcome == "maybe") * (1 if self.bits[id(e)] & makers else 2) for e in self.events}

    def is_lost(self, left_bits, marks):
        """Whether a mark has gone that somebody is still to meet, and nobody is left to make."""
        return any((who < 0 or who & left_bits) and not makers & left_bits and mark not in marks
                   for mark, who, makers in self.needed)

    def fits(self, event, state):
        """Applies it, in a savepoint that stays open if it agrees; what changes nothing, or does not agree, is asked once
        for each state."""
        known = self.known.get((id(event), state))
        if known is not None and (known is False or not event.changes):
            return known
        self.db.execute("SAVEPOINT event")
        agrees = self.known[id(event), state] = self.agrees(event, self.outcome(event))
        if not agrees or not event.changes:
            self.undo()
        return agrees

    def undo(self):
        self.db.execute("ROLLBACK TO event")
        self.db.execute("RELEASE event")

    def place_silent(self, left, order, state):
        """Places all that changes nothing and fits now."""
        placed = True
        while placed:
            placed = False
            for event in enabled(left):
                if not event.changes and self.fits(event, state):
                    left.remove(event)
                    order.append(event)
                    placed = True

    def choices(self, left):
        found = [event for event in enabled(left) if event.changes]
        if self.turns:
            self.turns.shuffle(found)
        return sorted(found, key=lambda event: self.ranks[id(event)])

    def place(self, left, order):
        self.nodes += 1
        if self.nodes > self.nodes_end:
            self.given_up = True
            return False
        rows = self.state()
        if rows not in self.states:
            self.states[rows] = len(self.states), self.state_marks(rows)
        state, marks = self.states[rows]
        self.place_silent(left, order, state)
        if len(order) > len(self.furthest):
            self.furthest = list(order)
        if rows == self.final and all(e.outcome == "maybe" for e in left):
            return True
        here = (sum(self.bits[id(event)] for event in left), state)
        if here in self.dead or self.is_lost(here[0], marks):
            return False
        for event in self.choices(left):
            if self.fits(event, state):
                if self.place([e for e in left if e is not event], order + [event]):
                    return True
                self.undo()
                if self.given_up:
                    return False
        self.dead.add(here)
        return False


def lacks_key(step, keys):
    return step["op"] == "insert" and any(column not in step["row"] for column in keys[step["table"]])


def enabled(left):
    """Those that nothing else has to come before; `left` is in the order of their ends."""
    first_end = min((e.ended for e in left if e.outcome != "maybe"), default=float("inf"))
    return [e for e in left if e.begun <= first_end]


def explain(judge, before, final):
    """What a person needs to judge for himself."""
    found = "was found" if judge.given_up else "there is"
    lines = [f"no order {found} of these that gives the same answers and rows. Before:"]
    lines += [f"  {table}: {list(rows)}" for table, rows in zip(judge.tables, before)]
    lines += ["operations, in the order of their ends; + could be placed at the furthest:"]
    origin = min(e.begun for e in judge.events)
    for event in judge.events:
        event.begun, event.ended = event.begun - origin, event.ended - origin
        lines.append(f"  {'+' if event in judge.furthest else '-'} {event}")
    lines += ["After:"] + [f"  {table}: {list(rows)}" for table, rows in zip(judge.tables, final)]
    return "\n".join(lines)
