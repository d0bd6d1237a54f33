# SPDX-License-Identifier: Apache-2.0
"""A running server and one SQLite file beside it, to which the same is done: they answer the same, and hold the same.

    twin = Twin(folder, tables, databases)      # {database: [table, …]}; {}: each table in a database of its own
    twin.do(request)                            # few_keys.py; Disagreement when they differ
    twin.end()                                  # compares every row, through the server and in the files
"""

import collections
import http.client
import os
import re
import urllib.parse

import one_file
import oracle as judge
import server
import sheaf
from server import path

STATUS = {"parse": 400, "unknown_column": 400, "not_found": 404, "unique": 409, "referenced": 409, "conflict": 409,
          "precondition": 412, "too_large": 413, "type": 422, "not_null": 422, "check": 422, "reference_missing": 422}
ABOUT_REFERENCES = ("reference_missing", "referenced")
REFUSALS = ABOUT_REFERENCES + ("not_found", "unique", "type", "not_null", "check")
NO_TAG = '"00000000000000000000000000000000"'


class Disagreement(Exception):
    pass


def as_json(value):
    return {"hex": value.hex()} if isinstance(value, bytes) else value


def as_row(columns, values):
    return {c: as_json(v) for c, v in zip(columns, values)}


def same(a, b):
    """Types and the order of columns count: 1 is not 1.0."""
    return repr(a) == repr(b)


def can_be_in_a_path(table, key):
    """As a path has it, text that reads as a number is one, unless the column's affinity says otherwise."""
    for column in table.columns:
        value = key.get(column.name)
        if column.name not in key or column.declared not in ("", "ANY", "BLOB"):
            continue
        if isinstance(value, float) or (isinstance(value, str) and re.fullmatch(r"-?\d+", value)):
            return False
    return None not in key.values()


class Twin:
    def __init__(self, folder, tables, databases):
        self.tables, self.databases = tables, databases or {t.name: [t.name] for t in tables}
        self.data = os.path.join(folder, "data")
        args = ["--schema", self.write(folder, "schema.sql", judge.ddl(tables))]
        if databases:
            config = "".join(f"[database {d}]\ntables = {', '.join(names)}\n" for d, names in databases.items())
            args += ["--config", self.write(folder, "sheaf.conf", config)]
        self.file = one_file.OneFile(tables)
        self.server = server.Server(self.data, *args)
        self.client = self.server.client(unix=True)
        self.tags = {}  # (table, key) → {a row's text: its ETag}
        self.operations = self.done = 0
        self.codes = collections.Counter()

    @staticmethod
    def write(folder, name, text):
        with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
            file.write(text)
        return file.name

    def kill(self):
        self.client.close()
        self.server.kill()

    def check(self, true, what):
        if not true:
            raise Disagreement(what)

    # ---- requests

    def do(self, request):
        """Whether all of it was done."""
        try:
            return self.ask(request)
        except (OSError, http.client.HTTPException) as error:
            raise Disagreement(f"{request}: {error!r}\n{self.server.said}") from error

    def ask(self, request):
        how = request["as"]
        if how == "read":
            return self.read(request["table"], request["key"])
        if how == "page":
            return self.page(request)
        if how == "atomic":
            return self.atomic(request["ops"])
        ops = request["ops"]
        table = self.file.by_name[ops[0]["table"]]
        if how == "array":
            answer = self.client.post(path(table.name) + self.conflict(ops[0]), [self.json(op["row"]) for op in ops])
            return self.each(ops, answer)
        if how == "each" or not can_be_in_a_path(table, ops[0].get("key", {})):
            return self.each(ops, self.client.batch(*map(self.op, ops), atomic=False))
        return self.alone(request, ops[0])

    @staticmethod
    def json(row):
        return {c: as_json(v) for c, v in row.items()}

    @staticmethod
    def conflict(op):
        return "?on_conflict=update" * (op["op"] == "upsert")

    def op(self, op):
        return op | {part: self.json(op[part]) for part in ("key", "row") if part in op}

    def alone(self, request, op):
        headers, precondition = {}, True
        target = path(op["table"], *op.get("key", {}).values())
        if "if" in request:
            headers["If-Match"], precondition = self.condition(request, op)
        if op["op"] in ("insert", "upsert"):
            answer = self.client.post(target + self.conflict(op), self.json(op["row"]))
        elif op["op"] == "update":
            answer = self.client.patch(target, self.json(op["row"]), headers)
        else:
            answer = self.client.delete(target, headers)
        result = answer.json
        if not precondition:
            self.check(answer.status == 412 and result["error"]["code"] == "precondition", f"a precondition: {answer}")
            return self.count(op, "precondition")
        if result["ok"]:
            writes_new = op["op"] in ("insert", "upsert")
            self.check(answer.status == 200 or (answer.status == 201 and writes_new), f"status: {answer}")
            if writes_new:
                result["inserted"] = answer.status == 201
        else:
            self.check(answer.status == STATUS.get(result["error"]["code"]), f"status: {answer}")
        return self.compare(op, result)

    def condition(self, request, op):
        """A tag to send, and whether it still is the row's."""
        table = self.file.by_name[op["table"]]
        found = self.file.find(table, op["key"])
        if request["if"] == "*":
            return "*", found is not None
        known = self.tags.get((op["table"], repr(op["key"])), {})
        if not known:
            return NO_TAG, False
        text = list(known)[-1]
        return known[text], found is not None and text == repr(as_row([c.name for c in table.columns], found))

    def each(self, ops, answer):
        self.check(answer.status == 200, f"many operations: {answer}")
        results = answer.json["results"]
        self.check(len(results) == len(ops), f"{len(ops)} operations: {answer}")
        accepted = sum(r["ok"] for r in results)
        self.check((answer.json["accepted"], answer.json["refused"]) == (accepted, len(ops) - accepted), f"counts: {answer}")
        return all([self.compare(op, result) for op, result in zip(ops, results)])

    # ---- answers

    def count(self, op, code):
        self.operations += 1
        self.done += code == "ok"
        self.codes[op["op"], code] += 1
        return code == "ok"

    def compare(self, op, result):
        """An operation by itself; whether it was done."""
        if not result["ok"] and self.file.hinges_on_its_id(op):
            return self.refused_for_its_id([op], result)
        self.told_an_id(op, result)
        said = self.file.do(op, result.get("id"))
        code = "ok" if result["ok"] else result["error"]["code"]
        self.check(said.done == result["ok"], f"{op}\nSheaf: {result}\none file: {said}")
        if result["ok"]:
            self.told_the_same(op, result, said)
        else:
            self.check(self.is_same_refusal(op, result["error"], said), f"{op}\nSheaf: {result}\none file: {said}")
        return self.count(op, code)

    def refused_for_its_id(self, ops, result):
        self.check(result["error"]["code"] in REFUSALS, f"{ops}\nSheaf: {result}")
        self.file.pass_over(ops)
        for op in ops:
            self.count(op, result["error"]["code"])
        return False

    def told_an_id(self, op, result):
        lacks = self.file.lacks_id(op)
        self.check(("id" in result) == lacks if result["ok"] else "id" not in result, f"{op}\nSheaf: {result}")
        self.check("id" not in result or self.file.may_be_assigned(self.file.by_name[op["table"]], result["id"]),
                   f"{op}\nSheaf: {result}\nids up to {self.file.high[op['table']]} have been there")

    def told_the_same(self, op, result, said):
        self.check("inserted" not in result or result["inserted"] == said.inserted,
                   f"{op}\nSheaf: {result}\none file inserted: {said.inserted}")
        if op["op"] == "update" and said.key is not None:
            self.check(same(result.get("key", {}), self.json(said.key)),
                       f"{op}\nSheaf: {result}\none file has the key {said.key}")
        self.check(set(result) <= {"ok", "id", "inserted", "key"}, f"{op}\nSheaf: {result}")

    def is_same_refusal(self, op, error, said):
        """A row wrong in several ways is refused for a missing parent first. What a change brings about in several tables is
        refused by any of them."""
        code = error["code"]
        if code not in REFUSALS or (code == "not_found") != (said.code == "not_found"):
            return False
        if op["op"] != "insert" and self.file.children[op["table"]]:
            return code in ABOUT_REFERENCES or said.code != "reference"
        if said.missing is None and code in ABOUT_REFERENCES:
            return True
        if said.missing or said.code == "reference":
            return code == "reference_missing"
        return code == said.code and self.is_same_constraint(op, error, said)

    def is_same_constraint(self, op, error, said):
        """Of several UNIQUEs that are taken each names another one (docs/promises.md)."""
        table = self.file.by_name[op["table"]]
        many = said.code == "unique" and len(table.uniques) + bool(table.key) > 1
        return said.constraint is None or many or error["constraint"] == said.constraint

    def atomic(self, ops):
        answer = self.client.batch(*map(self.op, ops))
        body = answer.json
        if not body["ok"] and (any(map(self.file.hinges_on_its_id, ops)) or not self.file.knows_ids(ops)):
            return self.refused_for_its_id(ops, body)
        results = body.get("results", [body] * len(ops))
        for op, result in zip(ops, results):
            self.check(self.file.lacks_id(op) == ("id" in result) or not body["ok"], f"atomic {ops}\nSheaf: {body}")
        said, at_the_end = self.file.do_together(ops, [r.get("id") for r in results])
        outcome = "ok" if body["ok"] else body["error"]["code"]
        text = f"atomic {ops}\nSheaf: {body}\none file: {', '.join(map(str, said))}{' at the end' * at_the_end}"
        self.check(body["ok"] == said[-1].done, text)
        if body["ok"]:
            self.check(answer.status == 200 and len(results) == len(ops), text)
            for op, result, one in zip(ops, results, said):
                self.told_the_same(op, result, one)
        else:
            self.check(answer.status == STATUS.get(outcome) and outcome in REFUSALS and 0 <= body["op"] < len(ops), text)
            self.check(outcome in ABOUT_REFERENCES if at_the_end else self.is_first_failure(ops, body, said), text)
        for op in ops:
            self.count(op, outcome)
        return body["ok"]

    def is_first_failure(self, ops, body, said):
        failed = len(said) - 1
        return body["op"] == failed and self.is_same_refusal(ops[failed], body["error"], said[-1])

    # ---- reading

    def read(self, name, key):
        table = self.file.by_name[name]
        if not can_be_in_a_path(table, key):
            return
        found = self.file.find(table, key)
        answer = self.client.get(path(name, *key.values()))
        if found is None:
            self.check(answer.status == 404 and answer.error["code"] == "not_found",
                       f"read {name} {key}: {answer}\none file: none")
            return
        row = as_row([c.name for c in table.columns], found)
        self.check(answer.status == 200 and same(answer.json, row), f"read {name} {key}: {answer}\none file: {row}")
        known = self.tags.setdefault((name, repr(key)), {})
        tag = known.pop(repr(row), answer.etag)
        self.check(tag == answer.etag and tag not in known.values(),
                   f"read {name} {key}: {answer}\nits tags were {known}, {tag}")
        known[repr(row)] = tag  # the last is the one asked for

    def page(self, request):
        table, filters = self.file.by_name[request["table"]], request["filter"]
        if not can_be_in_a_path(table, filters):
            return
        rows = self.file.page(table, filters)
        expected = [as_row([c.name for c in table.columns], row) for row in rows]
        query = "&".join(f"{urllib.parse.quote(c, safe='')}={server.key(v)}" for c, v in filters.items())
        found = self.client.pages(path(table.name) + "?" * bool(query) + query, request["limit"])
        self.check(same(found, expected), f"page of {table.name} {filters}: {found}\none file: {expected}")

    # ---- the end

    def stored(self):
        found = {}
        for database, names in self.databases.items():
            with sheaf.opened(self.data, database) as connection:
                for name in names:
                    found[name] = judge.contents(connection, self.file.by_name[name])
        return found

    def compare_contents(self):
        found = self.stored()
        for table in self.tables:
            expected = self.file.contents(table)
            self.check(found[table.name] == expected,
                       f"table {table.name}: Sheaf has {found[table.name]}\none file has {expected}")

    def checked(self):
        done = sheaf.run("check", "--data", self.data)
        self.check(done.status == 0, f"check: {done}")

    def end(self, check_it):
        for table in self.tables:
            self.page({"table": table.name, "filter": {}, "limit": 100})
        self.compare_contents()
        if check_it:
            self.checked()
        self.client.close()
        self.check(self.server.stop() == 0, self.server.said)
        self.compare_contents()
        if not check_it:
            self.checked()
