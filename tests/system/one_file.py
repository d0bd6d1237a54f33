# SPDX-License-Identifier: Apache-2.0
"""One SQLite file with foreign keys on, to which the same operations are done as to a server: what it says of each, and
which actions of references it met.

An operation is {"op": "insert" | "upsert" | "update" | "delete", "table":…, "key": {…}, "row": {…}}, as in POST /v1/batch;
the key of a table without a primary key is {"rowid":…}. Where Sheaf differs on purpose (docs/promises.md) so does this: an
update or delete of a row that is not there is not_found and fails a transaction, a NULL in a primary key is not_null, an
upsert of a row that is there is an update of the columns given, and assigned keys count up from the highest that ever was.
"""

import collections
import re
import sqlite3

import oracle as judge
from oracle import quoted

# What SQLite's messages begin with
SIGNS = (("UNIQUE constraint failed: ", "unique"), ("NOT NULL constraint failed: ", "not_null"),
         ("CHECK constraint failed: ", "check"), ("FOREIGN KEY constraint failed", "reference"),
         ("datatype mismatch", "type"), ("cannot store ", "type"))


class Outcome:
    """`code`: "ok", one of Sheaf's, or "reference" for whichever end of one fails. `constraint`: what the code is about, None
    if that is not known. `missing`: whether the row names a parent that is not there; None: that cannot be told. `key`: the
    new primary key of an updated row if it is another one now, else {}; None: that cannot be told."""

    def __init__(self, code="ok", constraint=None):
        self.code, self.constraint = code, constraint
        self.inserted, self.missing, self.key = False, None, None

    @property
    def done(self):
        return self.code == "ok"

    def __str__(self):
        return self.code + f" ({self.constraint})" * bool(self.constraint) + " and a parent is missing" * bool(self.missing)


class OneFile(judge.Oracle):
    def __init__(self, tables):
        super().__init__(tables, foreign_keys=True)
        self.by_name = {t.name: t for t in tables}
        self.children = {t.name: [(child, r) for child in tables for r in child.references if r.parent is t] for t in tables}
        # the highest integer key that was ever stored; and with those that what was refused may have had for a while
        self.high = {t.name: 0 for t in tables}
        self.highest = dict(self.high)
        self.fired = collections.Counter()  # (event, action), of operations alone
        self.fired_together = collections.Counter()  # and of atomic batches
        for i, table in enumerate(tables):  # a row as it is stored, DEFAULTs too, before any rule but its types'
            columns = ", ".join(self.shape_of(c) for c in table.columns)
            self.db.execute(f"CREATE TEMP TABLE shape_{i} ({columns})" + " STRICT" * table.strict)

    @staticmethod
    def shape_of(column):
        default = re.search(r"DEFAULT ('[^']*'|\S+)", column.extra)
        return " ".join(filter(None, [quoted(column.name), column.declared, column.collation and "COLLATE " + column.collation,
                                      default and default[0]]))

    def shape(self, table):
        return f"temp.shape_{self.tables.index(table)}"

    # ---- rows

    def where(self, key):
        return " AND ".join(f"{quoted(c)} = ?" for c in key), list(key.values())

    def find(self, table, key, columns="*"):
        """The row as it is stored, or None."""
        where, values = self.where(key)
        return self.db.execute(f"SELECT {columns} FROM {quoted(table.name)} WHERE {where}", values).fetchone()

    def page(self, table, filters, columns="*"):
        """Rows that are so, in the order of their keys."""
        where, values = self.where(filters)
        order = ", ".join(quoted(c.name) for c in table.key) or "rowid"
        return self.db.execute(f"SELECT {columns} FROM {quoted(table.name)} WHERE {where or 1} ORDER BY {order}",
                               values).fetchall()

    def lacks_id(self, op):
        table = self.by_name[op["table"]]
        return op["op"] in ("insert", "upsert") and table.rowid_key and op["row"].get(table.key[0].name) is None

    def hinges_on_its_id(self, op):
        """Which id it gets may decide what it names; nobody tells of a row that is refused which it would have been."""
        table = self.by_name[op["table"]]
        return self.lacks_id(op) and any(r.parent is table or table.key[0] in r.columns for r in table.references)

    def knows_ids(self, ops):
        """Whether it is known which ids they get that lack one: not when some were given to what was refused before."""
        return all(self.high[op["table"]] == self.highest[op["table"]] for op in ops if self.lacks_id(op))

    def pass_over(self, ops):
        for op in ops:
            self.given(op, sure=False)
            self.highest[op["table"]] += self.lacks_id(op)

    def may_be_assigned(self, table, number):
        return self.high[table.name] < number <= self.highest[table.name] + 1

    def assigned(self, table, number):
        self.high[table.name] = self.highest[table.name] = number

    def given(self, op, sure=True):
        """An integer key in a row. `sure`: it is stored."""
        table = self.by_name[op["table"]]
        value = op.get("row", {}).get(table.key[0].name) if table.rowid_key else None
        try:
            number = int(value) if float(value) == int(float(value)) else 0
        except (TypeError, ValueError):
            return
        self.highest[table.name] = max(self.highest[table.name], number)
        if sure:
            self.high[table.name] = max(self.high[table.name], number)

    # ---- one operation

    def write(self, sql, values):
        try:
            self.db.execute(sql, values)
            return Outcome()
        except sqlite3.IntegrityError as error:
            return self.refusal(str(error))

    def refusal(self, text):
        for sign, code in SIGNS:
            if text.startswith(sign):
                return Outcome(code, self.constraint(code, text[len(sign):]))
        raise AssertionError(f"one file: {text}")

    def constraint(self, code, text):
        if code == "check":
            return text
        for table in sorted(self.tables, key=lambda t: -len(t.name)):
            if f"{table.name}." in text:
                text = text.split(" column ")[-1]
                return ",".join(part.removeprefix(table.name + ".") for part in text.split(", "))
        return None

    def insert_row(self, table, row):
        values = f" ({', '.join(map(quoted, row))}) VALUES ({', '.join('?' * len(row))})" if row else " DEFAULT VALUES"
        missing = self.misses_parent(table, f"INSERT INTO {self.shape(table)}{values}", list(row.values()), True)
        if any(row.get(c.name) is None for c in table.key if not table.rowid_key):
            outcome = Outcome("not_null")
        else:
            outcome = self.write(f"INSERT INTO {quoted(table.name)}{values}", list(row.values()))
        outcome.inserted, outcome.missing = outcome.done, missing
        return outcome

    def update_row(self, table, key, row):
        if not row:
            return Outcome()
        where, values = self.where(key)
        changes = ", ".join(f"{quoted(c)} = ?" for c in row)
        self.keep_shape(table, key)
        missing = self.misses_parent(table, f"UPDATE {self.shape(table)} SET {changes}", list(row.values()), False)
        if any(row.get(c.name, 0) is None for c in table.key):
            outcome = Outcome("not_null")
        else:
            outcome = self.write(f"UPDATE {quoted(table.name)} SET {changes} WHERE {where}", list(row.values()) + values)
        outcome.missing = missing
        return outcome

    def keep_shape(self, table, key):
        where, values = self.where(key)
        self.db.execute(f"DELETE FROM {self.shape(table)}")
        self.db.execute(f"INSERT INTO {self.shape(table)} SELECT * FROM main.{quoted(table.name)} WHERE {where}", values)

    def misses_parent(self, table, sql, values, fresh):
        """Whether the row that `sql` makes of the shape would lack a parent; it may be its own."""
        if fresh:
            self.db.execute(f"DELETE FROM {self.shape(table)}")
        try:
            self.db.execute(sql, values)
        except sqlite3.IntegrityError:  # not of its type
            return None
        missing = False
        for r in table.references:
            lacks = judge.lacks_parent(r)
            if r.parent is table:  # SQLite compares a row with itself by bytes, but with its rowid by number
                as_it_is = "" if table.rowid_key and r.parent_columns == table.key else "+"
                lacks += " AND (" + " AND ".join(f"+c.{quoted(c.name)} = {as_it_is}c.{quoted(p.name)} COLLATE BINARY"
                                                  for c, p in zip(r.columns, r.parent_columns)) + ") IS NOT TRUE"
            if self.db.execute(f"SELECT 1 FROM {self.shape(table)} c WHERE {lacks}").fetchone():
                missing = True
            elif r.parent is table and not fresh:
                return None  # what it names may be what it was
        return missing

    def key_after(self, table, key, rowid, before, row):
        """Of a row that has been updated."""
        names = ", ".join(quoted(c.name) for c in table.key)
        if not table.key:
            return {}
        if rowid is None or table.rowid_key:
            now = dict(zip((c.name for c in table.key), before))
            after = self.find(table, {c: row.get(c, v) for c, v in now.items()}, names)
        else:
            after = self.find(table, {"rowid": rowid}, names)
        if after is None:
            return None  # its own change has come back to it
        return dict(zip((c.name for c in table.key), after)) if repr(after) != repr(before) else {}

    def change(self, op):
        table = self.by_name[op["table"]]
        names = ", ".join(["0" if table.without_rowid else "rowid"] + [quoted(c.name) for c in table.key])
        found = self.find(table, op["key"], names)
        if found is None:
            return Outcome("not_found")
        if op["op"] == "delete":
            where, values = self.where(op["key"])
            return self.write(f"DELETE FROM {quoted(table.name)} WHERE {where}", values)
        outcome = self.update_row(table, op["key"], op["row"])
        if outcome.done:
            outcome.key = self.key_after(table, op["key"], None if table.without_rowid else found[0], found[1:], op["row"])
        return outcome

    def upsert(self, table, row):
        key = {c.name: row[c.name] for c in table.key if row.get(c.name) is not None}
        if len(key) == len(table.key) and self.find(table, key):
            outcome = self.update_row(table, key, {c: v for c, v in row.items() if c not in key})
            return outcome
        return self.insert_row(table, row)

    def do(self, op, assigned=None, fired=None):
        """`assigned`: the key that a server gave the row; one that lacks it and was given none gets one here as well."""
        table = self.by_name[op["table"]]
        fired = self.fired if fired is None else fired
        if op["op"] in ("update", "delete"):
            met = self.look_at_children(op)
            outcome = self.change(op)
            self.count_actions(op, met, outcome, fired)
        else:
            row = dict(op["row"])
            if self.lacks_id(op):
                if assigned is None:
                    self.highest[table.name] += 1
                row[table.key[0].name] = self.highest[table.name] if assigned is None else assigned
            outcome = self.insert_row(table, row) if op["op"] == "insert" else self.upsert(table, row)
            if self.lacks_id(op) and assigned is not None:
                self.assigned(table, assigned)
        self.given(op, outcome.done)
        return outcome

    # ---- transactions

    def do_together(self, ops, assigned):
        """All or nothing, references looked at when it ends. The outcomes up to the first that failed; and whether it
        failed at its end, which the last one then tells."""
        fired, outcomes = collections.Counter(), []
        high = dict(self.high)
        self.db.execute("BEGIN")
        self.db.execute("PRAGMA defer_foreign_keys=ON")
        for op, key in zip(ops, assigned):
            outcomes.append(self.do(op, key, fired))
            outcomes[-1].missing = False  # it may still come
            if not outcomes[-1].done:
                break
        end = self.write("COMMIT", []) if outcomes[-1].done else None
        if end and end.done:
            self.fired_together += fired
        else:
            self.db.execute("ROLLBACK")
            self.high = high
            self.pass_over(ops[len(outcomes):])  # they may have been assigned ids as well
        # it is off already, but statements that were prepared while it was on have to be prepared again
        self.db.execute("PRAGMA defer_foreign_keys=OFF")
        at_the_end = end is not None and not end.done
        return outcomes + [end] * at_the_end, at_the_end

    # ---- which actions are met

    def look_at_children(self, op):
        """References to the row whose key goes or may change, and that have children now: [(event, reference, old key)]."""
        table, met = self.by_name[op["table"]], []
        event = "delete" if op["op"] == "delete" else "update"
        self.keep_shape(table, op["key"])
        for child, r in self.children[table.name]:
            if event == "update" and not any(p.name in op["row"] for p in r.parent_columns):
                continue
            match = " AND ".join(f"p.{quoted(p.name)} = c.{quoted(c.name)}" for p, c in zip(r.parent_columns, r.columns))
            names = [p.name for p in r.parent_columns]
            old = self.db.execute(f"SELECT {', '.join('p.' + quoted(n) for n in names)} FROM {self.shape(table)} p, "
                                  f"main.{quoted(child.name)} c WHERE {match}").fetchone()
            if old:
                met.append((event, r, dict(zip(names, old))))
        return met

    def count_actions(self, op, met, outcome, fired):
        for event, r, old in met:
            action = r.on_delete if event == "delete" else r.on_update
            if action in ("NO ACTION", "RESTRICT"):
                fired[event, action] += outcome.code == "reference"
            elif outcome.done:  # and there is no such parent any more
                fired[event, action] += self.find(r.parent, old) is None
