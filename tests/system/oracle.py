# SPDX-License-Identifier: Apache-2.0
"""One SQLite file as the judge: random schemas, random rows, and what one file would say of them."""

import random
import sqlite3

TEXTS = ["a", "A", "b", "B", "b ", "ä", "1", "01", "1.0", " 1", "x y", "", "2"]
NUMBERS = [0, 1, 2, 3, 4, 5, -1]
REALS = [1.0, 2.0, 2.5, -1.0]


def quoted(name):
    return '"' + name.replace('"', '""') + '"'


class Column:
    def __init__(self, name, declared, collation=""):
        self.name, self.declared, self.collation = name, declared, collation
        self.not_null = False
        self.extra = ""

    def sql(self):
        parts = [quoted(self.name), self.declared]
        if self.collation:
            parts.append("COLLATE " + self.collation)
        if self.not_null:
            parts.append("NOT NULL")
        return " ".join(p for p in parts + [self.extra] if p)


class Table:
    def __init__(self, name):
        self.name = name
        self.columns = []
        self.key = []  # the primary key's columns
        self.uniques = []  # lists of columns
        self.references = []
        self.without_rowid = False
        self.rowid_key = False
        self.strict = False

    def sql(self):
        lines = [c.sql() for c in self.columns]
        if self.key and not self.rowid_key:
            lines.append("PRIMARY KEY (" + ", ".join(quoted(c.name) for c in self.key) + ")")
        for unique in self.uniques:
            lines.append("UNIQUE (" + ", ".join(quoted(c.name) for c in unique) + ")")
        lines += [r.sql() for r in self.references]
        options = ", ".join(["WITHOUT ROWID"] * self.without_rowid + ["STRICT"] * self.strict)
        return f"CREATE TABLE {quoted(self.name)} (\n  " + ",\n  ".join(lines) + "\n)" + (" " + options if options else "")


class Reference:
    def __init__(self, columns, parent, parent_columns):
        self.columns, self.parent, self.parent_columns = columns, parent, parent_columns
        self.on_delete = self.on_update = "NO ACTION"
        self.deferred = False

    def sql(self):
        clauses = [f"FOREIGN KEY ({', '.join(quoted(c.name) for c in self.columns)}) REFERENCES {quoted(self.parent.name)} "
                   f"({', '.join(quoted(c.name) for c in self.parent_columns)})"]
        clauses += [f"ON {event} {action}" for event, action in (("DELETE", self.on_delete), ("UPDATE", self.on_update))
                    if action != "NO ACTION"]
        return " ".join(clauses + ["DEFERRABLE INITIALLY DEFERRED"] * self.deferred)


NAMES = ["t0", "T one", 'q"uote', "straße", "表", "order", "x-y", "tab.le"]


def random_schema(rng, circles):
    """Three to five tables. With `circles` references may go anywhere, also to the own table; else only to earlier tables."""
    names = rng.sample(NAMES, rng.randint(3, 5))
    tables = [random_table(rng, name) for name in names]
    for i, table in enumerate(tables):
        parents = tables if circles else tables[:i]
        for n in range(rng.choice([0, 1, 1, 2]) if parents else 0):
            add_reference(rng, table, rng.choice(parents), n)
    return tables


def random_table(rng, name):
    table = Table(name)
    kind = rng.choice(["integer", "integer", "integer", "text", "nocase", "rtrim", "composite", "numeric", "none"])
    if kind == "integer":
        column = Column("id", "INTEGER")
        column.extra = "PRIMARY KEY" + rng.choice(["", "", " AUTOINCREMENT"])
        table.key, table.rowid_key = [column], True
    elif kind == "composite":
        table.key = [Column("k 1", "INTEGER"), Column("k2", "TEXT", rng.choice(["", "NOCASE"]))]
        if rng.random() < 0.3:
            table.key.reverse()
    else:
        declared = {"numeric": "NUMERIC", "none": ""}.get(kind, "TEXT")
        table.key = [Column("key", declared, {"nocase": "NOCASE", "rtrim": "RTRIM"}.get(kind, ""))]
    if not table.rowid_key:
        for column in table.key:
            column.not_null = True
        table.without_rowid = rng.random() < 0.4
    table.columns = list(table.key)
    if rng.random() < 0.5:
        column = Column("u", rng.choice(["TEXT", "INTEGER", "TEXT", "REAL"]), rng.choice(["", "NOCASE"]))
        table.columns.append(column)
        table.uniques.append([column])
    if rng.random() < 0.7:
        column = Column("v", rng.choice(["TEXT", "INTEGER", "REAL", "NUMERIC", "BLOB", ""]))
        column.extra = rng.choice(["", "DEFAULT 7", "CHECK (v IS NULL OR v <> 3)", "CONSTRAINT \"not b\" CHECK (v IS NOT 'b')"])
        table.columns.append(column)
    return table


def add_reference(rng, table, parent, n):
    columns = rng.choice([parent.key] + parent.uniques)
    child = []
    for i, target in enumerate(columns):
        declared = target.declared if rng.random() < 0.7 else rng.choice(["TEXT", "INTEGER", "", "NUMERIC"])
        column = Column(f"r{n}{i}", declared, rng.choice(["", "", "NOCASE"]))
        column.not_null = rng.random() < 0.1
        column.target = target
        column.extra = rng.choice(["", "", "", "DEFAULT 2", "DEFAULT 'a'", "DEFAULT 99"])
        child.append(column)
        table.columns.append(column)
    table.references.append(Reference(child, parent, columns))


def ddl(tables):
    return ";\n".join(t.sql() for t in tables) + ";\n"


def random_value(rng, column):
    target = getattr(column, "target", column)
    share_of_nulls = 0.02 if column.not_null else 0.25 if hasattr(column, "target") else 0.12
    if rng.random() < share_of_nulls:
        return None
    declared = target.declared
    if rng.random() < 0.08:
        return rng.choice(TEXTS + NUMBERS + REALS)
    if declared in ("INTEGER", "NUMERIC"):
        return rng.choice(NUMBERS)
    if declared == "REAL":
        return rng.choice(REALS + NUMBERS)
    if declared == "":
        return rng.choice(TEXTS[:6] + NUMBERS[:4])
    return rng.choice(TEXTS)


def random_row(rng, table):
    """Column name → value; columns may be missing."""
    row = {}
    for column in table.columns:
        rowid_key = table.rowid_key and column is table.key[0]
        if rowid_key:
            row[column.name] = rng.choice([rng.randint(1, 16)] * 14 + [0, -3, "4", "x", 5.0])
        elif rng.random() < (0.3 if "DEFAULT" in column.extra else 0.08) and column not in table.key:
            continue
        else:
            row[column.name] = random_value(rng, column)
    return row


def lacks_parent(reference):
    """An SQL condition on the child, which is called c."""
    nulls = " AND ".join(f"c.{quoted(c.name)} IS NOT NULL" for c in reference.columns)
    # the child's stored value, stripped of its own affinity by +: the parent's affinity and collation rule
    match = " AND ".join(f"p.{quoted(p.name)} = +c.{quoted(c.name)} COLLATE {p.collation or 'BINARY'}"
                         for c, p in zip(reference.columns, reference.parent_columns))
    return f"{nulls} AND NOT EXISTS (SELECT 1 FROM {quoted(reference.parent.name)} p WHERE {match})"


class Oracle:
    """One SQLite file with every table."""

    def __init__(self, tables, foreign_keys):
        self.tables = tables
        self.db = sqlite3.connect(":memory:", isolation_level=None)
        self.db.execute(f"PRAGMA foreign_keys={'ON' if foreign_keys else 'OFF'}")
        self.db.executescript(ddl(tables))
        for i, table in enumerate(tables):  # the same columns without any rule: what a value is as stored
            columns = ", ".join(f"{quoted(c.name)} {c.declared}" for c in table.columns)
            self.db.execute(f"CREATE TEMP TABLE as_stored_{i} ({columns})")

    def foreign_keys(self, on):
        self.db.execute(f"PRAGMA foreign_keys={'ON' if on else 'OFF'}")

    def insert(self, table, row):
        """'ok', 'same', or the code of the refusal as SQLite sees it; and the stored key of the row."""
        if not table.rowid_key and any(row.get(c.name) is None for c in table.key):
            return "not_null", None
        names = ", ".join(quoted(n) for n in row)
        marks = ", ".join("?" * len(row))
        try:
            self.db.execute(f"INSERT INTO {quoted(table.name)} ({names}) VALUES ({marks})", list(row.values()))
            return "ok", self.key_of(table, row)
        except sqlite3.Error as error:
            text = str(error)
            if "UNIQUE" in text and self.is_there(table, row):
                return "same", self.key_of(table, row)
            for sign, code in (("UNIQUE", "unique"), ("CHECK", "check"), ("NOT NULL", "not_null"),
                               ("FOREIGN KEY", "reference_missing"), ("datatype mismatch", "type")):
                if sign in text:
                    return code, None
            raise

    def as_stored(self, table, row):
        name = f"as_stored_{self.tables.index(table)}"
        self.db.execute(f"DELETE FROM {name}")
        self.db.execute(f"INSERT INTO {name} ({', '.join(quoted(n) for n in row)}) VALUES ({', '.join('?' * len(row))})",
                        list(row.values()))
        columns = ", ".join(f"{quoted(n)}, typeof({quoted(n)})" for n in row)
        return self.db.execute(f"SELECT {columns} FROM {name}").fetchone()

    def is_there(self, table, row):
        if any(row.get(c.name) is None for c in table.key):
            return False
        columns = ", ".join(f"{quoted(n)}, typeof({quoted(n)})" for n in row)
        where = " AND ".join(f"{quoted(c.name)} = ?" for c in table.key)
        stored = self.db.execute(f"SELECT {columns} FROM {quoted(table.name)} WHERE {where}",
                                 [row[c.name] for c in table.key]).fetchone()
        return stored is not None and stored == self.as_stored(table, row)

    def key_of(self, table, row):
        where = " AND ".join(f"{quoted(c.name)} = ?" for c in table.key)
        keys = ", ".join(quoted(c.name) for c in table.key)
        return self.db.execute(f"SELECT {keys} FROM {quoted(table.name)} WHERE {where}",
                               [row[c.name] for c in table.key]).fetchone()

    def delete_orphans(self):
        """Deletes what foreign_key_check names until nothing is left; {(table name, key)} of what went."""
        gone = set()
        while True:
            found = False
            for table in self.tables:
                for key in self.orphans(table):
                    where = " AND ".join(f"{quoted(c.name)} IS ?" for c in table.key)
                    self.db.execute(f"DELETE FROM {quoted(table.name)} WHERE {where}", key)
                    gone.add((table.name, key))
                    found = True
            if not found:
                return gone

    def orphans(self, table):
        """Keys of the rows with a reference without its parent; foreign_key_check gives no rowid for WITHOUT ROWID."""
        found = set()
        keys = ", ".join("c." + quoted(c.name) for c in table.key)
        for reference in table.references:
            found.update(self.db.execute(f"SELECT {keys} FROM {quoted(table.name)} c WHERE {lacks_parent(reference)}"))
        return found

    def contents(self, table):
        return contents(self.db, table)


def contents(db, table):
    """Every row with its types, in an order of its own: equal contents give equal lists."""
    columns = ", ".join(f"{quoted(c.name)}, typeof({quoted(c.name)})" for c in table.columns)
    return sorted(db.execute(f"SELECT {columns} FROM {quoted(table.name)}"), key=repr)


def components(tables):
    """Tables in components, parents first; each component with whether it has a circle."""
    index = {t.name: t for t in tables}
    reach = {t.name: set() for t in tables}
    for table in tables:
        todo = [table]
        while todo:
            for parent in (r.parent for r in todo.pop().references):
                if parent.name not in reach[table.name]:
                    reach[table.name].add(parent.name)
                    todo.append(parent)
    groups, done = [], set()
    while len(done) < len(tables):
        for table in tables:
            if table.name in done:
                continue
            group = {table.name} | {n for n in reach[table.name] if table.name in reach[n]}
            outside = set().union(*(reach[n] for n in group)) - group
            if outside <= done:
                groups.append(([t for t in tables if t.name in group], table.name in reach[table.name]))
                done |= group
                break
    return groups


def seeded(seed):
    return random.Random(seed)
