# SPDX-License-Identifier: Apache-2.0
"""What many clients were told at once, judged by one SQLite file: is there an order of their operations in which that
file would have told them the same, and would hold the same rows at the end?

An order has to respect time: what was answered before another was sent comes before it. An operation whose outcome
nobody was told may have any place from its sending on, or none. Only writes that were done change rows, so all others
are placed as early as they fit, which loses no order; for those, every order that may matter is tried.
"""

import sqlite3

from oracle import quoted

NODES_MAX = 300_000  # of one search; a bound for the time a test takes


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
    """One file. `tables`: {name: [columns], …}; `keys`: {name: [the primary key's columns], …}."""

    def __init__(self, ddl, tables, keys):
        self.tables, self.keys = tables, keys
        self.db = sqlite3.connect(":memory:", isolation_level=None)
        self.db.executescript(ddl)
        self.db.execute("PRAGMA foreign_keys=ON")
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
        it was, and `furthest` is what could be placed. A row that was refused without a key is not asked about: nobody
        was told which it would have got, and the row may name itself."""
        events = [e for e in events if e.outcome in ("done", "maybe") or not lacks_key(e.steps[0], self.keys)]
        self.events, self.final = sorted(events, key=lambda e: (e.ended, e.begun)), final
        self.seen, self.known, self.nodes, self.furthest = set(), {}, 0, []
        self.db.execute("BEGIN")
        found = self.place(list(self.events), [])
        self.db.execute("COMMIT" if found else "ROLLBACK")
        return found

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

    def place(self, left, order):
        self.nodes += 1
        if self.nodes > NODES_MAX:
            return False
        state = self.state()
        self.place_silent(left, order, state)
        if len(order) > len(self.furthest):
            self.furthest = list(order)
        if state == self.final and all(e.outcome == "maybe" for e in left):
            return True
        here = (frozenset(map(id, left)), state)
        if here in self.seen:
            return False
        self.seen.add(here)
        for event in enabled(left):
            if event.changes and self.fits(event, state):
                if self.place([e for e in left if e is not event], order + [event]):
                    return True
                self.undo()
        return False


def lacks_key(step, keys):
    return step["op"] == "insert" and any(column not in step["row"] for column in keys[step["table"]])


def enabled(left):
    """Those that nothing else has to come before; `left` is in the order of their ends."""
    first_end = min((e.ended for e in left if e.outcome != "maybe"), default=float("inf"))
    return [e for e in left if e.begun <= first_end]


def explain(judge, before, final):
    """What a person needs to judge for himself."""
    found = "was found" if judge.nodes > NODES_MAX else "there is"
    lines = [f"no order {found} of these that gives the same answers and rows. Before:"]
    lines += [f"  {table}: {list(rows)}" for table, rows in zip(judge.tables, before)]
    lines += ["operations, in the order of their ends; + could be placed at the furthest:"]
    origin = min(e.begun for e in judge.events)
    for event in judge.events:
        event.begun, event.ended = event.begun - origin, event.ended - origin
        lines.append(f"  {'+' if event in judge.furthest else '-'} {event}")
    lines += ["After:"] + [f"  {table}: {list(rows)}" for table, rows in zip(judge.tables, final)]
    return "\n".join(lines)
