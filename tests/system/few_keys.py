# SPDX-License-Identifier: Apache-2.0
"""Random schemas whose tables refer to each other with every action, and random requests over so few keys that most of
them meet something. The same seed gives the same."""

import collections

import oracle as judge
from oracle import quoted

ACTIONS = ("NO ACTION", "RESTRICT", "CASCADE", "SET NULL", "SET DEFAULT")
EVENTS = ("delete", "update")
INTEGERS = [1, 2, 3, 4, 5, 6, 7, 8]
TEXTS = ["a", "A", "b", "b ", "c", "ä", "1", "x,y", "2"]
REALS = [1.0, 2.0, 2.5, -1.0]
BLOBS = [b"a", b"\x00\xff", b""]
LOOSE = [1, 2, "a", "A", "b", 2.5, b"a"]
REQUESTS = {"single": 46, "hunt": 32, "atomic": 12, "each": 4, "array": 4, "read": 4, "page": 3}
OPS = {"insert": 45, "update": 24, "delete": 8, "upsert": 20}
OPS_OF_BATCH = {"insert": 40, "update": 24, "delete": 12, "hunt": 24}
COUNTS = [1, 2, 2, 2, 3, 3, 4, 5]  # of a batch


def weighed(rng, weights):
    return rng.choices(list(weights), weights.values())[0]


# ---- schemas


def random_schema(rng):
    """Two to five tables that refer to any of them, often in a chain."""
    tables = [random_table(rng, name) for name in rng.sample(judge.NAMES, rng.randint(2, 5))]
    deck = [action for _ in range(3) for action in ACTIONS]  # so that each comes about as often
    deletes, updates = rng.sample(deck, len(deck)), rng.sample(deck, len(deck))
    for i, table in enumerate(tables):
        for n in range((i > 0) + rng.choice([0, 0, 1, 1, 2])):
            parents = [t for t in tables if keys_of(t)]
            before = [t for t in tables[max(i - 1, 0):i] if keys_of(t)]
            parent = rng.choice(before if before and rng.random() < 0.4 else parents)
            reference = add_reference(rng, table, parent, n, parent in tables[:i])
            if deletes:
                reference.on_delete, reference.on_update = deletes.pop(), updates.pop()
            reference.deferred = rng.random() < 0.15
    return tables


def random_table(rng, name):
    table = judge.random_table(rng, name)
    if rng.random() < 0.25 and all(c.declared != "NUMERIC" for c in table.columns):
        table.strict = True
        for column in table.columns:
            column.declared = column.declared or "ANY"
    if not table.rowid_key and table.uniques and rng.random() < 0.3:  # no primary key: its rowid stands for one
        table.key, table.without_rowid = [], False
    return table


def keys_of(table):
    return ([table.key] if table.key else []) + table.uniques


def type_near(rng, table, declared):
    """Where SQLite compares one way when it looks for a parent, and other ways when it looks for children and when it acts
    on them, it leaves rows alone, or refuses what it has acted on; Sheaf does neither (docs/promises.md). Other types than
    the parent's only where both ways are the same."""
    if declared in ("", "ANY"):
        return "ANY" if table.strict else ""
    if declared == "NUMERIC" and table.strict:
        return "INTEGER"
    return declared if rng.random() < 0.85 or declared == "REAL" else "TEXT"


def add_reference(rng, table, parent, n, is_before):
    """`is_before`: the parent comes before the table; only then may every row need one."""
    targets = rng.choice(keys_of(parent))
    own = [key for key in keys_of(table) if len(key) == len(targets) and key is not targets and
           all(c.declared == t.declared and not hasattr(c, "target") for c, t in zip(key, targets))]
    if own and is_before and rng.random() < 0.3:  # a key of its own is the reference
        columns = rng.choice(own)
    else:
        columns = [judge.Column(f"r{n}{i}", type_near(rng, table, t.declared), rng.choice([""] * 9 + ["NOCASE"]))
                   for i, t in enumerate(targets)]
        table.columns += columns
        for column, target in zip(columns, targets):
            column.not_null = is_before and rng.random() < 0.15
            if rng.random() < 0.5:
                column.extra = "DEFAULT " + default_near(rng, target)
    for column, target in zip(columns, targets):
        column.target = target
    table.references.append(judge.Reference(columns, parent, targets))
    return table.references[-1]


def default_near(rng, target):
    return rng.choice(["'a'", "'b'", "'1'"] if target.declared == "TEXT" else ["1", "2", "3"] * 3 + ["99"])


# ---- values


def random_value(rng, column):
    declared = column.declared
    if declared == "TEXT" and getattr(column, "target", column).declared in ("INTEGER", "NUMERIC"):
        return rng.choice(INTEGERS)  # '2.0' would be one of those that SQLite compares in two ways, see type_near
    if rng.random() < 0.04:
        return rng.choice(INTEGERS + TEXTS + REALS + BLOBS)
    if declared in ("INTEGER", "NUMERIC"):
        return rng.choice(INTEGERS) if rng.random() < 0.94 else rng.choice(["1", 2.0, "3 ", 0, -3, "x"])
    if declared == "REAL":
        return rng.choice(REALS + INTEGERS[:3])
    if declared in ("", "ANY"):
        return rng.choice(LOOSE)
    if declared == "BLOB":
        return rng.choice(BLOBS + TEXTS[:2])
    return rng.choice(TEXTS) if rng.random() < 0.95 else rng.choice([1, 2, 2.5])


class Requests:
    """What is sent: {"as": how, …}. `file` has the rows as they are: most operations are about rows and parents that are
    there. Actions that were met least in it are gone for first."""

    def __init__(self, rng, file):
        self.rng, self.file, self.tables = rng, file, file.tables
        self.hunted = collections.Counter()  # (event, action)

    def stored(self, table, columns):
        """Values of a row that is there, by column; None: there is none."""
        names = [c.name for c in columns] or ["rowid"]
        rows = self.file.page(table, {}, ", ".join(map(quoted, names)))
        return dict(zip(names, self.rng.choice(rows))) if rows else None

    def key(self, table):
        known = self.stored(table, table.key) if self.rng.random() < 0.92 else None
        if known:
            return known
        return {c.name: random_value(self.rng, c) for c in table.key} or {"rowid": self.rng.randint(1, 6)}

    def values(self, table, columns):
        """For columns that are given; those of one reference together are a parent's, most often."""
        row, rng = {}, self.rng
        for r in table.references:
            if rng.random() < 0.15:
                continue
            parent = self.stored(r.parent, r.parent_columns)
            for column, target in zip(r.columns, r.parent_columns):
                if column in columns and (parent or column not in table.key):
                    row[column.name] = parent[target.name] if parent else None
        for column in columns:
            if column.name not in row:
                row[column.name] = random_value(rng, column)
            if rng.random() < (0.02 if column.not_null or column in table.key else 0.12):
                row[column.name] = None
        return {c.name: row[c.name] for c in columns}

    def row(self, table):
        """One that is inserted: nearly everything is given, but a reference often is not, so that there are parents."""
        rng = self.rng
        chances = [0.1 if c in table.key and table.rowid_key else 0.02 if c in table.key else
                   0.05 if "DEFAULT" in c.extra else 0.3 if hasattr(c, "target") else 0.1 for c in table.columns]
        return self.values(table, [c for c, chance in zip(table.columns, chances) if rng.random() >= chance])

    def hunt(self):
        """A delete, or a change of its key, of a parent that a child names, for the action that was met or tried least; None:
        there is none."""
        rng = self.rng
        found = [(event, child, r) for event in EVENTS for child in self.tables for r in child.references]
        rng.shuffle(found)
        found.sort(key=lambda f: 5 * self.file.fired[self.action(f)] + self.hunted[self.action(f)])
        for event, child, r in found:
            match = " AND ".join(f"p.{quoted(p.name)} = c.{quoted(c.name)}" for p, c in zip(r.parent_columns, r.columns))
            names = [c.name for c in r.parent.key] or ["rowid"]
            key = ", ".join("p." + quoted(n) for n in names)
            rows = self.file.db.execute(f"SELECT DISTINCT {key} FROM {quoted(r.parent.name)} p, {quoted(child.name)} c "
                                        f"WHERE {match}").fetchall()
            if not rows:
                continue
            self.hunted[self.action((event, child, r))] += 1
            op = {"op": event, "table": r.parent.name, "key": dict(zip(names, rng.choice(rows)))}
            if event == "update":
                changed = rng.sample(r.parent_columns, rng.randint(1, len(r.parent_columns)))
                op["row"] = {c.name: self.free_value(r.parent, c) for c in changed}
            return op
        return None

    @staticmethod
    def action(found):
        event, _, reference = found
        return event, reference.on_delete if event == "delete" else reference.on_update

    def free_value(self, table, column):
        """One that no row has, most often."""
        for _ in range(3):
            value = random_value(self.rng, column)
            if not self.file.find(table, {column.name: value}):
                break
        return value

    def op(self, alone=True):
        """`alone`: not in a batch, where rows without a key are only inserted: which gets which rowid nobody can know yet."""
        rng = self.rng
        kind = weighed(rng, OPS if alone else OPS_OF_BATCH)
        if kind == "hunt":
            op = self.hunt()
            if op and self.file.by_name[op["table"]].key:
                return op
            kind = "insert"
        table = rng.choice(self.tables)
        if not table.key and (not alone or kind == "upsert"):
            kind = "insert"
        if kind in ("insert", "upsert"):
            return {"op": kind, "table": table.name, "row": self.row(table)}
        op = {"op": kind, "table": table.name, "key": self.key(table)}
        if kind == "update":
            op["row"] = self.values(table, rng.sample(table.columns, min(len(table.columns), rng.choice([1, 1, 2, 3]))))
        return op

    def batch(self, atomic):
        """Each for itself they may reach a shard in any order, and rows without a key get their rowids so."""
        ops = [self.op(alone=False) for _ in range(self.rng.choice(COUNTS))]
        return ops if atomic else [op for op in ops if self.file.by_name[op["table"]].key] or ops[:1]

    def request(self):
        rng = self.rng
        kind = weighed(rng, REQUESTS)
        if kind == "hunt":
            op = self.hunt()
            if op:
                return {"as": "row", "ops": [op]}
        if kind in ("atomic", "each"):
            return {"as": kind, "ops": self.batch(kind == "atomic")}
        table = rng.choice(self.tables)
        if kind == "array":
            how = "upsert" if table.key and rng.random() < 0.4 else "insert"
            rows = [self.row(table) for _ in range(rng.choice(COUNTS))] if table.key else [self.row(table)]
            return {"as": "array", "ops": [{"op": how, "table": table.name, "row": row} for row in rows]}
        if kind == "read":
            return {"as": "read", "table": table.name, "key": self.key(table)}
        if kind == "page":
            column = rng.choice(table.columns)
            value = (self.stored(table, [column]) or {}).get(column.name)
            filters = {column.name: value} if value is not None and rng.random() < 0.6 else {}
            return {"as": "page", "table": table.name, "filter": filters, "limit": rng.choice([1, 3, 100])}
        op = self.op()
        request = {"as": "row" if op["op"] == "upsert" or rng.random() < 0.9 else "each", "ops": [op]}
        if request["as"] == "row" and op["op"] in ("update", "delete") and rng.random() < 0.15:
            request["if"] = rng.choice(["known", "*"])
        return request

    def read_back(self, request):
        """A read of a row that the request wrote."""
        op = self.rng.choice(request["ops"])
        table = self.file.by_name[op["table"]]
        row = {**op.get("key", {}), **op.get("row", {})}
        key = {c.name: row.get(c.name) for c in table.key}
        if not key or None in key.values():
            return {"as": "read", "table": table.name, "key": self.key(table)}
        return {"as": "read", "table": table.name, "key": key}
