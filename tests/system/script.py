# SPDX-License-Identifier: Apache-2.0
"""What a random test did to a server, as text that can be read, run again, and cut down as long as it still disagrees."""

import ast
import pprint
import shutil
import tempfile
import time

import oracle as judge
import twin

SHRINK_S = 60  # nobody waits longer for a smaller one


class Script:
    def __init__(self, tables, databases, requests):
        self.schema = {t.name: describe(t) for t in tables}
        self.databases, self.requests = databases, list(requests)

    def copy(self):
        other = Script([], {}, [])
        other.schema, other.databases, other.requests = ast.literal_eval(repr((self.schema, self.databases, self.requests)))
        return other

    def __str__(self):
        ddl = "".join(f"# {line}\n" for line in judge.ddl(build(self.schema)).splitlines())
        return ddl + pprint.pformat((self.schema, self.databases, self.requests), width=150, compact=True, sort_dicts=False)

    def run(self):
        """The disagreement, or None. A request that no longer fits the schema is another failure, and not caught here."""
        folder = tempfile.mkdtemp(prefix="sheaf-diff-")
        pair = None
        try:
            pair = twin.Twin(folder, build(self.schema), self.databases)
            for request in self.requests:
                pair.do(request)
            pair.end(True)
            return None
        except twin.Disagreement as error:
            return error
        finally:
            if pair:
                pair.kill()
            shutil.rmtree(folder, ignore_errors=True)


def read(text):
    result = Script([], {}, [])
    result.schema, result.databases, result.requests = ast.literal_eval(text.strip())
    return result


def describe(table):
    return {"columns": [[c.name, c.declared, c.collation, c.not_null, c.extra] for c in table.columns],
            "key": [c.name for c in table.key], "uniques": [[c.name for c in u] for u in table.uniques],
            "references": [[[c.name for c in r.columns], r.parent.name, [c.name for c in r.parent_columns],
                            r.on_delete, r.on_update, r.deferred] for r in table.references],
            "options": [table.without_rowid, table.rowid_key, table.strict]}


def build(schema):
    tables = {}
    for name, what in schema.items():
        table = tables[name] = judge.Table(name)
        for column_name, declared, collation, not_null, extra in what["columns"]:
            column = judge.Column(column_name, declared, collation)
            column.not_null, column.extra = not_null, extra
            table.columns.append(column)
        table.key = named(table, what["key"])
        table.uniques = [named(table, u) for u in what["uniques"]]
        table.without_rowid, table.rowid_key, table.strict = what["options"]
    for name, what in schema.items():
        for columns, parent, parent_columns, on_delete, on_update, deferred in what["references"]:
            r = judge.Reference(named(tables[name], columns), tables[parent], named(tables[parent], parent_columns))
            r.on_delete, r.on_update, r.deferred = on_delete, on_update, deferred
            tables[name].references.append(r)
    return list(tables.values())


def named(table, names):
    return [next(c for c in table.columns if c.name == name) for name in names]


# ---- cutting down


class Shrinking:
    def __init__(self, script, error):
        self.script, self.error = script, error
        self.until = time.monotonic() + SHRINK_S

    def accepts(self, other):
        """Whether it still disagrees; it is what is cut further then."""
        if time.monotonic() > self.until:
            return False
        try:
            error = other.run()
        except Exception:  # a schema that is none, a request that does not fit it
            return False
        if error:
            self.script, self.error = other, error
        return error is not None

    def cut_requests(self):
        size = len(self.script.requests) // 2 or 1
        while size:
            at = len(self.script.requests) - size
            while at >= 0:
                other = self.script.copy()
                del other.requests[at:at + size]
                self.accepts(other)
                at -= size
            size //= 2

    def cut_operations(self):
        for i in range(len(self.script.requests)):
            for j in reversed(range(len(self.script.requests[i].get("ops", ())))):
                other = self.script.copy()
                del other.requests[i]["ops"][j]
                if other.requests[i]["ops"]:
                    self.accepts(other)

    def cut_schema(self):
        """Whether something of it could go."""
        return any(self.accepts(other) for other in smaller_schemas(self.script))


def shrink(script, error):
    """The smallest that was found in time, and how it disagrees."""
    shrinking = Shrinking(script, error)
    shrinking.cut_requests()
    shrinking.cut_operations()
    while shrinking.cut_schema():
        pass
    shrinking.cut_requests()
    return shrinking.script, shrinking.error


def smaller_schemas(script):
    """Each without one thing."""
    if script.databases:
        yield changed(script, lambda s: s.databases.clear())
    for name, what in script.schema.items():
        yield changed(script, lambda s: s.schema.pop(name) and without_table(s, name))
        for part in ("references", "uniques"):
            for i in range(len(what[part])):
                yield changed(script, lambda s: s.schema[name][part].pop(i))
        for i, column in enumerate(what["columns"]):
            yield changed(script, lambda s: without_column(s, name, i))
            for at, plain in ((2, ""), (3, False), (4, "")):
                if column[at] and "PRIMARY KEY" not in str(column[at]):
                    yield changed(script, lambda s: s.schema[name]["columns"][i].__setitem__(at, plain))
        for at in (0, 2):
            if what["options"][at]:
                yield changed(script, lambda s: s.schema[name]["options"].__setitem__(at, False))
        for i, reference in enumerate(what["references"]):
            for at in (3, 4):
                if reference[at] != "NO ACTION":
                    yield changed(script, lambda s: s.schema[name]["references"][i].__setitem__(at, "NO ACTION"))


def changed(script, change):
    other = script.copy()
    change(other)
    return other


def without_table(script, name):
    for names in script.databases.values():
        if name in names:
            names.remove(name)
    script.databases = {d: names for d, names in script.databases.items() if names}
    return script


def without_column(script, name, i):
    column = script.schema[name]["columns"].pop(i)[0]
    for request in script.requests:
        for op in request.get("ops", ()):
            if op["table"] == name:
                op.get("row", {}).pop(column, None)
