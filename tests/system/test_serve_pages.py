# SPDX-License-Identifier: Apache-2.0
"""Pages of a table, batches, and the calls that say what is there and how it does."""

import re

import server
import sheaf
from server import path

SCHEMA = """
CREATE TABLE t (id INTEGER PRIMARY KEY, a, b TEXT, c TEXT COLLATE NOCASE);
CREATE TABLE kids (id INTEGER PRIMARY KEY, t INTEGER NOT NULL REFERENCES t (id), up INTEGER REFERENCES kids (id));
CREATE TABLE pair (b TEXT, a INTEGER, v, PRIMARY KEY (a, b)) WITHOUT ROWID;
CREATE TABLE word (w TEXT PRIMARY KEY COLLATE NOCASE, v);
CREATE TABLE bin (k BLOB PRIMARY KEY);
CREATE TABLE loose (v);
CREATE TABLE odd (id INTEGER PRIMARY KEY, "limit" INTEGER, "after" TEXT, "=x" TEXT, "a b&c" TEXT);
"""
STATUS = {"check": 422, "unique": 409, "not_null": 422, "type": 422, "reference_missing": 422, "not_found": 404, "referenced": 409}
CONFIG = "[database one]\ntables = t, pair, word, bin, loose, odd\n"


class Shared(server.Shared):
    SCHEMA, CONFIG = SCHEMA, CONFIG
    KEYS = {"kids": ["id"], "t": ["id"], "pair": ["a", "b"], "word": ["w"], "bin": ["k"], "odd": ["id"]}

    def fill(self, table, *rows):
        body = self.done(self.s.post(path(table), list(rows)))
        self.assertEqual(body["refused"], 0, body)

    def page(self, query, table="t"):
        return self.done(self.s.get(path(table) + "?" + query))


class Pages(Shared):
    def ids(self, query):
        return [r["id"] for r in self.page(query)["rows"]]

    def test_rows_come_in_key_order_page_after_page(self):
        self.assertEqual(self.page(""), {"rows": [], "next": None})
        self.fill("t", *({"id": n * 7 % 250 - 100} for n in range(250)))
        page = self.page("")
        self.assertEqual(list(page), ["rows", "next"])
        self.assertEqual([r["id"] for r in page["rows"]], list(range(-100, 0)), "100 when nothing is said")
        self.assertRegex(page["next"], r"^[A-Za-z0-9_-]+$")
        for limit in (1000, 250, 249, 125, 83):
            self.assertEqual([r["id"] for r in self.s.pages(path("t"), limit)], list(range(-100, 150)))
        self.assertIsNone(self.page("limit=250")["next"], "no row follows: no cursor")
        self.assertIsNotNone(self.page("limit=249")["next"])

    def test_the_bounds_of_limit(self):
        self.fill("t", *({"id": n} for n in range(1001)))
        self.assertEqual(len(self.page("limit=1")["rows"]), 1)
        self.assertEqual(len(self.page("limit=1000")["rows"]), 1000)
        for limit in ("0", "1001", "-1", "", "1.0", "x", "+5", "99999999999999999999", "1&limit=1"):
            self.refused(self.s.get(path("t") + "?limit=" + limit), 400, "parse")

    def test_a_cursor_is_taken_back_whatever_happened_to_the_rows(self):
        self.fill("t", *({"id": n} for n in range(10)))
        after = self.page("limit=5")["next"]
        self.s.batch(*({"op": "delete", "table": "t", "key": {"id": n}} for n in (3, 4, 5)))
        self.fill("t", {"id": 2**53 + 1})
        page = self.page("after=" + after)
        self.assertEqual([r["id"] for r in page["rows"]], [6, 7, 8, 9, 2**53 + 1])
        for wrong in ("", "x", "!", after[:-1], after + "A", after + "=", "%00", "kQ"):
            self.refused(self.s.get(path("t") + "?after=" + wrong), 400, "parse")
        self.refused(self.s.get(path("pair") + "?after=" + after), 400, "parse")
        self.refused(self.s.get(path("t") + f"?after={after}&after={after}"), 400, "parse")

    def test_keys_of_every_kind(self):
        pairs = [{"a": a, "b": b} for a in (-1, 2) for b in ("", "B", "a", "ü", "🙂")]
        self.fill("pair", *reversed(pairs))
        self.assertEqual([{"a": r["a"], "b": r["b"]} for r in self.s.pages(path("pair"), 3)], pairs)
        self.fill("word", {"w": "b"}, {"w": "A"}, {"w": "a b"}, {"w": "C"})
        self.assertEqual([r["w"] for r in self.s.pages(path("word"), 1)], ["A", "a b", "b", "C"])
        blobs = [{"k": "text"}, {"k": {"hex": ""}}, {"k": {"hex": "00"}}, {"k": {"hex": "00ff"}}]
        self.fill("bin", *reversed(blobs))
        self.assertEqual(self.s.pages(path("bin"), 1), blobs)
        self.fill("loose", *({"v": n} for n in range(7)))
        for limit in (1, 3, 7, 8):
            self.assertEqual([r["v"] for r in self.s.pages(path("loose"), limit)], list(range(7)))

    def test_filters_are_anded_and_compared_as_sql_does(self):
        rows = [{"id": 1, "a": 1, "b": "1", "c": "Ann"}, {"id": 2, "a": "1", "b": "x y", "c": "ANN"}, {"id": 3, "a": 1.0, "b": "ü&=+"},
                {"id": 4, "a": {"hex": "00ff"}, "b": "", "c": ""}, {"id": 5, "a": None}, {"id": 6, "a": 2**53 + 1}]
        self.fill("t", *rows)
        for query, ids in (("a=1", [1, 3]), ("b=1", [1]), ("c=ann", [1, 2]), ("c=ann&a=1", [1]), ("a=1&a=2", []), ("A=1", [1, 3]),
                           ("a=x'00ff'", [4]), ("a=X'00FF'", [4]), ("b=x+y", [2]), ("b=x%20y", [2]), ("b=%C3%BC%26%3D%2B", [3]),
                           ("b=", [4]), ("c=", [4]), ("a=9007199254740993", [6]), ("a=9007199254740992", []), ("a=NULL", []),
                           ("id=2", [2]), ("id=2&id=3", []), ("id=2.0", [2]), ("id=x", []), ("%61=1", [1, 3]), ("&a=1&&id=3&", [3]),
                           ("a=1.0", []), ("a=01", [])):
            with self.subTest(query=query):
                self.assertEqual(self.ids(query), ids)
        self.refused(self.s.get(path("t") + "?nope=1"), 400, "unknown_column", table="t")
        for query in ("a", "a=%zz", "a=%ff", "a=%00"):
            self.refused(self.s.get(path("t") + "?" + query), 400, "parse")

    def test_filters_and_cursors_together(self):
        self.fill("t", *({"id": n, "a": n % 3} for n in range(30)))
        self.assertEqual([r["id"] for r in self.s.pages(path("t") + "?a=1", 4)], list(range(1, 30, 3)))
        page = self.page("a=1&limit=10")
        self.assertEqual((len(page["rows"]), page["next"]), (10, None))

    def test_columns_that_are_called_like_parameters(self):
        self.fill("odd", {"id": 1, "limit": 5, "after": "x", "=x": "y", "a b&c": "z"}, {"id": 2, "limit": 6})
        for query, ids in (("=limit=5", [1]), ("=after=x", [1]), ("%3Dlimit=5&limit=1", [1]), ("%3D%3Dx=y", [1]), ("=%3Dx=y", [1]), ("a+b%26c=z", [1]),
                           ("=limit=6&limit=9", [2]), ("=id=2", [2])):
            with self.subTest(query=query):
                self.assertEqual([r["id"] for r in self.page(query, "odd")["rows"]], ids)

    def test_there_is_a_limit_to_filters(self):
        self.fill("t", {"id": 1, "a": 1})
        most = int(re.search(r"WIRE_FILTERS_MAX (\d+)", (sheaf.TOP / "shared/wire.h").read_text()).group(1))
        self.assertEqual(self.ids("&".join(["a=1"] * most)), [1])
        self.refused(self.s.get(path("t") + "?" + "&".join(["a=1"] * (most + 1))), 413, "too_large")


class Batches(Shared):
    def test_all_of_them_across_databases_with_results_in_their_order(self):
        self.fill("t", {"id": 1, "a": 1}, {"id": 2})
        self.fill("pair", {"a": 1, "b": "x"})
        body = self.done(self.s.batch(
            {"op": "insert", "table": "t", "row": {"a": "new"}},
            {"op": "insert", "table": "kids", "row": {"id": 1, "t": 1}},
            {"op": "update", "table": "t", "key": {"id": 1}, "row": {"a": 2}},
            {"op": "update", "table": "t", "key": {"id": 1}, "row": {"a": 3}},
            {"op": "delete", "table": "t", "key": {"id": 2}},
            {"op": "insert", "table": "pair", "row": {"a": 2, "b": "x"}},
            {"op": "update", "table": "pair", "key": {"b": "x", "a": 1}, "row": {"b": "y"}}))
        self.assertEqual(sorted(body), ["ok", "results"])
        self.assertIs(body["ok"], True)
        assigned = body["results"].pop(0)
        self.assertGreater(assigned["id"], 2)
        self.assertEqual(body["results"], [{"ok": True}] * 5 + [{"ok": True, "key": {"a": 1, "b": "y"}}])
        self.assertEqual(self.done(self.s.get(path("t", 1)))["a"], 3)
        self.assertEqual(self.s.pages(path("kids")), [{"id": 1, "t": 1, "up": None}])
        self.assertEqual(self.s.pages(path("pair")), [{"a": 1, "b": "y", "v": None}, {"a": 2, "b": "x", "v": None}])

    def test_nothing_is_left_of_one_that_fails_and_the_operation_is_named(self):
        self.fill("t", {"id": 1})
        good = {"op": "insert", "table": "kids", "row": {"t": 1}}
        for wrong, status, code in (
                ({"op": "insert", "table": "t", "row": {"id": 1}}, 409, "unique"),
                ({"op": "insert", "table": "kids", "row": {"t": None}}, 422, "not_null"),
                ({"op": "update", "table": "t", "key": {"id": 9}, "row": {"a": 1}}, 404, "not_found"),
                ({"op": "delete", "table": "t", "key": {"id": 9}}, 404, "not_found"),
                ({"op": "insert", "table": "nope", "row": {}}, 404, "unknown_table"),
                ({"op": "insert", "table": "t", "row": {"x": 1}}, 400, "unknown_column"),
                ({"op": "insert", "table": "t", "row": {"a": True}}, 400, "parse"),
                ({"op": "insert", "table": "t", "row": {"a": "x" * 1048576}}, 413, "too_large"),
                ({"op": "explode"}, 400, "parse"), (5, 400, "parse"), ({}, 400, "parse")):
            with self.subTest(wrong=str(wrong)[:80]):
                self.refused(self.s.batch(good, good, wrong, good), status, code, op=2)
        self.assertEqual(sheaf.rows(self.data, "kids"), [])

    def test_references_are_looked_at_when_it_ends(self):
        child, parent = {"op": "insert", "table": "kids", "row": {"id": 1, "t": 5}}, {"op": "insert", "table": "t", "row": {"id": 5}}
        self.done(self.s.batch(child, parent))
        self.done(self.s.batch({"op": "delete", "table": "t", "key": {"id": 5}}, {"op": "delete", "table": "kids", "key": {"id": 1}}))
        self.refused(self.s.batch(parent, child, {"op": "delete", "table": "t", "key": {"id": 5}}), 422, "reference_missing", op=1)
        self.fill("t", {"id": 7})
        self.fill("kids", {"id": 7, "t": 7})
        self.refused(self.s.batch(parent, {"op": "delete", "table": "t", "key": {"id": 7}}), 409, "referenced", op=1, table="kids",
                     constraint="t")
        self.refused(self.s.batch({"op": "insert", "table": "t", "row": {"id": 6}}, child), 422, "reference_missing", op=1,
                     table="kids", constraint="t")
        self.assertEqual((len(self.s.pages(path("kids"))), len(self.s.pages(path("t")))), (1, 1))

    def test_keys_are_objects(self):
        self.fill("loose", {"v": 5})
        last = len(sheaf.rows(self.data, "loose", name="one"))
        self.fill("bin", {"k": {"hex": "00"}})
        self.done(self.s.batch({"op": "update", "table": "loose", "key": {"rowid": last}, "row": {"v": 6}},
                               {"op": "delete", "table": "bin", "key": {"k": {"hex": "00"}}}))
        for table, key in (("t", {}), ("t", {"a": 1}), ("t", {"id": 1, "a": 1}), ("t", 5), ("t", None), ("pair", {"a": 1}),
                           ("loose", {"v": 5}), ("loose", {"rowid": "x"}), ("t", {"x": 1})):
            with self.subTest(table=table, key=key):
                answer = self.s.batch({"op": "delete", "table": table, "key": key})
                self.refused(answer, 400, "unknown_column" if key == {"x": 1} else "parse", op=0)

    def test_members_that_are_missing_or_too_many(self):
        for op in ({"op": "insert", "table": "t"}, {"op": "insert", "table": "t", "row": []}, {"op": "update", "table": "t", "row": {"a": 1}},
                   {"op": "update", "table": "t", "key": {"id": 1}}, {"op": "insert", "table": "t", "row": {}, "key": {"id": 1}},
                   {"op": "delete", "table": "t", "key": {"id": 1}, "row": {}}, {"op": "insert", "row": {}}, {"op": "insert", "table": 5, "row": {}},
                   {"op": "INSERT", "table": "t", "row": {}}, {"op": "insert", "table": "t", "row": {}, "x": 1}):
            with self.subTest(op=op):
                self.refused(self.s.batch(op), 400, "parse", op=0)
        for body in (b"[]", b"{}", b'{"atomic":true}', b'{"ops":{}}', b'{"ops":[],"atomic":1}', b'{"ops":[],"x":1}', b'{"ops":[],"ops":[]}',
                     b'{"ops":[]', b'{"ops":[]}x', b""):
            with self.subTest(body=body):
                answer = self.s.post("/v1/batch", body)
                self.refused(answer, 400, "parse")
                self.assertNotIn("op", answer.json)

    def test_the_first_operation_that_fails_is_told(self):
        """As one file would meet them, whichever databases they are on; what is looked at in the end comes last."""
        s = self.serve(schema="""CREATE TABLE a (id INTEGER PRIMARY KEY, n CHECK (n < 10));
                                 CREATE TABLE b (id INTEGER PRIMARY KEY, n NOT NULL CHECK (n < 10), a REFERENCES a);
                                 CREATE TABLE c (id INTEGER PRIMARY KEY) STRICT;""", data=self.path("firsts"))
        self.done(s.post(path("a"), {"id": 1}), 201)
        self.done(s.post(path("b"), {"id": 1, "n": 1, "a": 1}), 201)
        fails = {"check": ("a", {"n": 10}), "unique": ("a", {"id": 1}), "not_null": ("b", {}), "type": ("c", {"id": "x"}),
                 "reference_missing": ("b", {"n": 1, "a": 99})}
        ops = {code: {"op": "insert", "table": table, "row": row} for code, (table, row) in fails.items()}
        ops["not_found"] = {"op": "delete", "table": "c", "key": {"id": 99}}
        ops["referenced"] = {"op": "delete", "table": "a", "key": {"id": 1}}
        fine = [{"op": "insert", "table": table, "row": {"n": 1} if table != "c" else {}} for table in "abbcc"]
        at_end = ("reference_missing", "referenced")
        for first, op in ops.items():
            for second, other in ops.items():
                told = second if first in at_end and second not in at_end else first
                if first == second or (first, second) == ("referenced", "unique"):
                    continue  # of the latter, the row is gone
                for batch in ([op, other], fine[:2] + [op] + fine[2:] + [other], fine + [op, other] + fine):
                    self.refused(s.batch(*batch), STATUS[told], told, op=batch.index(op if told == first else other))
        self.assertEqual([len(s.pages(path(table))) for table in "abc"], [1, 1, 0])

    def test_a_row_that_does_not_find_itself_is_told_at_the_end(self):
        """SQLite misses a parent that is the row itself under another spelling, and says so when the batch ends."""
        s = self.serve(schema="""CREATE TABLE a (k TEXT PRIMARY KEY COLLATE NOCASE, a TEXT REFERENCES a);
                                 CREATE TABLE b (id INTEGER PRIMARY KEY);""", data=self.path("itself"))
        self.done(s.post(path("a"), {"k": "x"}), 201)
        self.done(s.post(path("b"), {"id": 1}), 201)
        again = {"op": "insert", "table": "b", "row": {"id": 1}}
        for op in ({"op": "update", "table": "a", "key": {"k": "x"}, "row": {"a": "X"}},
                   {"op": "insert", "table": "a", "row": {"k": "y", "a": "Y"}}):
            self.refused(s.batch(op, again), 409, "unique", op=1)
            self.refused(s.batch(op), 422, "reference_missing", op=0)
            self.refused(s.batch({"op": "insert", "table": "b", "row": {}}, op), 422, "reference_missing", op=1)
        self.assertEqual([s.pages(path(table)) for table in "ab"], [[{"k": "x", "a": None}], [{"id": 1}]])

    def test_it_is_atomic_unless_told_and_may_be_empty(self):
        self.refused(self.s.post("/v1/batch", {"ops": [{"op": "insert", "table": "t", "row": {"id": 1}}] * 2}), 409, "unique", op=1)
        self.assertEqual(self.done(self.s.batch()), {"ok": True, "results": []})
        self.assertEqual(self.done(self.s.batch(atomic=False)), {"results": [], "accepted": 0, "refused": 0})

    def test_each_on_its_own(self):
        self.fill("t", {"id": 7})
        insert = {"op": "insert", "table": "t", "row": {"id": 1}}
        body = self.done(self.s.batch(insert, insert, {"op": "update", "table": "t", "key": {"id": 7}, "row": {"id": 8}}, 5,
                                      {"op": "delete", "table": "t", "key": {"id": 9}}, {"op": "insert", "table": "x", "row": {}},
                                      {"op": "delete", "table": "t", "key": {"id": 1}}, atomic=False))
        self.assertEqual((body["accepted"], body["refused"]), (3, 4))
        self.assertEqual([r.get("error", {}).get("code") for r in body["results"]],
                         [None, "unique", None, "parse", "not_found", "unknown_table", None])
        self.assertEqual(body["results"][2], {"ok": True, "key": {"id": 8}})
        self.refused(self.s.post("/v1/batch", b'{"atomic":false,"ops":[{},nonsense]}'), 400, "parse")

    def test_a_request_has_a_most_of_operations(self):
        most = int(re.search(r"REQUEST_OPS_MAX, (\d+)", (sheaf.TOP / "shared/limits.h").read_text()).group(1))
        many = b"[" + b"0," * (most - 1) + b"0]"
        self.assertEqual(self.done(self.s.post(path("t"), many))["refused"], most)
        self.refused(self.s.post(path("t"), many[:-1] + b",0]"), 413, "too_large")
        for atomic in (b"true", b"false"):
            self.refused(self.s.post("/v1/batch", b'{"atomic":' + atomic + b',"ops":' + many[:-1] + b",0]}"), 413, "too_large")


class About(Shared):
    def test_the_schema(self):
        body = self.done(self.s.get("/v1/schema"))
        self.assertEqual([d["name"] for d in body["databases"]], ["one", "kids"])
        self.assertIn("CREATE TABLE pair", body["sql"])
        tables = {t["name"]: t for t in body["tables"]}
        self.assertEqual(set(tables), {"t", "kids", "pair", "word", "bin", "loose", "odd"})
        self.assertEqual(tables["pair"]["primary_key"], ["a", "b"])
        self.assertEqual(tables["loose"]["primary_key"], [])
        self.assertEqual(tables["kids"]["references"][0],
                         {"columns": ["t"], "table": "t", "parent_columns": ["id"], "on_delete": "NO ACTION", "on_update": "NO ACTION"})
        self.assertEqual(tables["kids"]["columns"][1], {"name": "t", "type": "INTEGER", "not_null": True, "default": None, "generated": False})

    def test_how_it_does(self):
        self.fill("t", {"id": 1}, {"id": 2})
        stats = self.done(self.s.get("/v1/stats"))
        self.assertGreaterEqual(stats["all"]["rows"]["accepted"], 2)
        self.assertEqual({d["name"] for d in stats["databases"]}, {"one", "kids"})
        self.assertGreaterEqual(stats["http"]["open"], 1)
        self.assertGreater(stats["http"]["answers"]["2xx"], 0)
        for target in ("/healthz", "/readyz"):
            self.assertEqual(self.done(self.s.get(target)), {"ok": True})

    def test_prometheus_can_read_it(self):
        answer = self.s.get("/metrics")
        self.assertEqual((answer.status, answer.headers["Content-Type"]), (200, "text/plain; version=0.0.4; charset=utf-8"))
        told, samples = set(), 0
        for line in answer.body.decode().splitlines():
            if line.startswith("# TYPE "):
                name, kind = line.split()[2:]
                self.assertIn(kind, ("counter", "gauge", "summary"))
                self.assertNotIn(name, told, "a family is told once")
                told.add(name)
            elif not line.startswith("# HELP "):
                name = re.fullmatch(r'([a-z_]+)(\{[a-z]+="[^"]*"(,[a-z]+="[^"]*")*\})? [-+0-9.e]+', line).group(1)
                self.assertTrue(name in told or re.sub("_(sum|count)$", "", name) in told, line)
                samples += 1
        self.assertGreater(samples, 50)
        for name in ("sheaf_rows_total", "sheaf_shard_up", "sheaf_step_seconds", "sheaf_http_answers_total", "sheaf_http_connections"):
            self.assertIn(name, told)


if __name__ == "__main__":
    sheaf.main()
