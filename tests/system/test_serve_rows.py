# SPDX-License-Identifier: Apache-2.0
"""The calls on rows: insert, upsert, read, change and delete, with keys, tags and values of every kind."""

import json

import server
import sheaf
from server import path

SCHEMA = """
CREATE TABLE t (id INTEGER PRIMARY KEY, a, b TEXT DEFAULT 'std', u TEXT UNIQUE,
  n INTEGER NOT NULL DEFAULT 0 CONSTRAINT n_small CHECK (n < 100));
CREATE TABLE kids (id INTEGER PRIMARY KEY, t INTEGER REFERENCES t (id));
CREATE TABLE firm (id INTEGER PRIMARY KEY, i INTEGER) STRICT;
CREATE TABLE pair (b TEXT, a INTEGER, v, PRIMARY KEY (a, b)) WITHOUT ROWID;
CREATE TABLE bin (k BLOB PRIMARY KEY, v);
CREATE TABLE word (w TEXT PRIMARY KEY COLLATE NOCASE, v);
CREATE TABLE loose (v, w);
CREATE TABLE "a/b ü%" (id INTEGER PRIMARY KEY);
"""
CONFIG = "[database one]\ntables = t, firm, pair, bin, word, loose, a/b ü%\n"
BLOB = {"hex": "00ff"}


class Rows(server.Shared):
    SCHEMA, CONFIG = SCHEMA, CONFIG
    KEYS = {"kids": ["id"], "t": ["id"], "firm": ["id"], "pair": ["a", "b"], "bin": ["k"], "word": ["w"], "a/b ü%": ["id"]}

    def stored(self, table, order="1"):
        return sheaf.rows(self.data, table, name="kids" if table == "kids" else "one", order=order)

    def put(self, table, *rows):
        for row in rows:
            self.done(self.s.post(path(table), row), 201)

    def row(self, table, *key):
        return self.done(self.s.get(path(table, *key)))


class Inserting(Rows):
    def test_one_row_is_201_and_in_the_file(self):
        self.assertEqual(self.done(self.s.post(path("t"), {"id": 5, "a": "x"}), 201), {"ok": True})
        self.assertEqual(self.stored("t"), [(5, "x", "std", None, 0)])

    def test_an_assigned_key_is_told(self):
        first = self.done(self.s.post(path("t"), {}), 201)["id"]
        self.assertEqual(self.done(self.s.post(path("t"), {"id": None}), 201), {"ok": True, "id": first + 1})
        self.assertEqual(self.done(self.s.post(path("t"), {"id": first + 9}), 201), {"ok": True})
        self.assertEqual(self.done(self.s.post(path("t"), {"id": None}), 201), {"ok": True, "id": first + 10})
        self.assertEqual([r[0] for r in self.stored("t")], [first, first + 1, first + 9, first + 10])

    def test_column_names_match_without_case(self):
        self.put("t", {"ID": 1, "A": 2})
        self.assertEqual(self.row("t", 1)["a"], 2)

    def test_many_rows_have_a_result_each_in_their_order(self):
        rows = [{"id": 1}, {"id": 1}, {"id": 2, "n": 100}, {}, {"nope": 1}, 5, {"a": True}, {"id": 1.5}, {"id": 4, "n": None}]
        body = self.done(self.s.post(path("t"), rows))
        self.assertEqual((body["accepted"], body["refused"], len(body["results"])), (2, 7, len(rows)))
        self.assertEqual(sorted(body), ["accepted", "refused", "results"])
        self.assertEqual(body["results"][0], {"ok": True})
        self.assertEqual(body["results"][3], {"ok": True, "id": body["results"][3]["id"]})
        self.assertEqual([r["error"]["code"] for r in body["results"] if not r["ok"]],
                         ["unique", "check", "unknown_column", "parse", "parse", "type", "not_null"])
        self.assertEqual(len(self.stored("t")), 2)

    def test_no_rows_are_no_results(self):
        self.assertEqual(self.done(self.s.post(path("t"), [])), {"results": [], "accepted": 0, "refused": 0})
        self.assertEqual(self.done(self.s.post(path("t"), b" [ \n] ")), {"results": [], "accepted": 0, "refused": 0})

    def test_the_same_row_twice_is_unique_as_in_one_file(self):
        row = {"id": 1, "a": "x"}
        self.put("t", row)
        self.refused(self.s.post(path("t"), row), 409, "unique", table="t", constraint="id")
        body = self.done(self.s.post(path("t"), [row, row]))
        self.assertEqual((body["accepted"], body["refused"]), (0, 2))

    def test_every_reason_to_refuse(self):
        self.put("t", {"id": 1, "u": "taken"})
        for row, status, code, table, constraint in (
                ({"a": True}, 400, "parse", "t", None), ({"x": 1}, 400, "unknown_column", "t", None),
                ({"id": "one"}, 422, "type", "t", "id"), ({"n": None}, 422, "not_null", "t", "n"),
                ({"n": 100}, 422, "check", "t", "n_small"), ({"u": "taken"}, 409, "unique", "t", "u"),
                ({"id": 1}, 409, "unique", "t", "id"), ({"a": [1]}, 400, "parse", "t", None), ({"a": {"hex": "abc"}}, 422, "type", "t", "a"),
                ({"id": 1, "ID": 2}, 400, "parse", "t", None)):
            with self.subTest(row=row):
                error = self.refused(self.s.post(path("t"), row), status, code)
                self.assertEqual((error["table"], error["constraint"]), (table, constraint), error)
        self.refused(self.s.post(path("kids"), {"id": 1, "t": 7}), 422, "reference_missing", table="kids", constraint="t")
        self.refused(self.s.post(path("firm"), {"i": "x"}), 422, "type", table="firm", constraint="i")
        self.refused(self.s.post(path("word"), {"v": 1}), 422, "not_null", table="word", constraint="w")
        self.refused(self.s.post(path("nope"), {}), 404, "unknown_table")
        self.assertEqual(self.stored("kids"), [])

    def test_a_body_that_is_no_json_object_or_array_is_parse(self):
        for body in (b"", b" ", b"{", b"[", b"[{}", b"[{},]", b"[{} {}]", b"{}{}", b"[]x", b"5", b'"x"', b"null", b"{'id':1}",
                     b'{"a":"\xff"}', b'{"a":"\\ud800"}', b'{"a":"\\u0000"}', b'{"a":NaN}', b'{"a":1e999}', b'\xef\xbb\xbf{}',
                     b'{"id":9223372036854775808}', b'{"a":{"hex":5}}', b'{"a":{"x":"00"}}',
                     b'[{"id":1},{"id":2]', b"[{}, nonsense]", b"[" * 100 + b"]" * 100, b'{"a":' + b"[" * 100000):
            with self.subTest(body=body[:40]):
                self.refused(self.s.post(path("t"), body), 400, "parse")
        self.assertEqual(self.stored("t"), [])

    def test_values_that_are_json_but_cannot_be_are_refused_by_themselves(self):
        bodies = b'{"id":9223372036854775808}', b'{"a":1e999}', b'{"a":"\\u0000"}', b'{"id":1,"id":2}', b'{"a":{"hex":5}}'
        body = self.done(self.s.post(path("t"), b"[" + b",".join(bodies) + b',{"id":1}]'))
        self.assertEqual([r["ok"] for r in body["results"]], [False] * 5 + [True])
        self.assertEqual({r["error"]["code"] for r in body["results"][:5]}, {"parse"})

    def test_a_row_beyond_its_limit_is_too_large_by_itself(self):
        big = {"id": 2, "a": "x" * 1048576}
        self.refused(self.s.post(path("t"), big), 413, "too_large")
        body = self.done(self.s.post(path("t"), [{"id": 1}, big, {"id": 3}]))
        self.assertEqual([r["ok"] for r in body["results"]], [True, False, True])
        self.assertEqual(body["results"][1]["error"]["code"], "too_large")
        frame = len(json.dumps({"id": 4, "a": ""}))
        self.put("t", {"id": 4, "a": "x" * (1048576 - frame - 16)})

    def test_a_table_with_an_odd_name_is_reached(self):
        self.put("a/b ü%", {"id": 1})
        self.assertEqual(self.row("a/b ü%", 1), {"id": 1})
        self.refused(self.s.get("/v1/rows/%ff/1"), 400, "parse")
        self.refused(self.s.get("/v1/rows/%zz"), 400, "parse")
        self.refused(self.s.get("/v1/rows/"), 404, "not_found")


class Upserting(Rows):
    def upsert(self, table, row):
        return self.s.post(path(table) + "?on_conflict=update", row)

    def test_it_says_201_when_it_inserted_and_200_when_it_changed(self):
        self.assertEqual(self.done(self.upsert("t", {"id": 1, "a": "x", "b": "y"}), 201), {"ok": True})
        self.assertEqual(self.done(self.upsert("t", {"id": 1, "a": "z"}), 200), {"ok": True})
        self.assertEqual(self.stored("t"), [(1, "z", "y", None, 0)], "columns not given stay")
        self.assertGreater(self.done(self.upsert("t", {"a": "new"}), 201)["id"], 1)

    def test_another_unique_is_refused(self):
        self.put("t", {"id": 1, "u": "x"}, {"id": 2, "u": "y"})
        self.refused(self.upsert("t", {"id": 2, "u": "x"}), 409, "unique", table="t", constraint="u")
        self.refused(self.upsert("t", {"id": 3, "u": "x"}), 409, "unique", table="t", constraint="u")
        self.assertEqual(len(self.stored("t")), 2)

    def test_rules_and_references_hold(self):
        self.put("t", {"id": 1})
        self.put("kids", {"id": 1, "t": 1})
        self.refused(self.upsert("kids", {"id": 1, "t": 2}), 422, "reference_missing", table="kids", constraint="t")
        self.refused(self.upsert("t", {"id": 1, "n": 100}), 422, "check")
        self.refused(self.upsert("t", {"id": 1, "n": None}), 422, "not_null")
        self.assertEqual(self.stored("kids"), [(1, 1)])

    def test_an_array_of_them_by_keys_of_every_kind(self):
        self.put("pair", {"a": 1, "b": "x", "v": 1})
        body = self.done(self.upsert("pair", [{"a": 1, "b": "x", "v": 2}, {"a": 1, "b": "y", "v": 3}, {"a": 1, "b": "y", "v": 4}]))
        self.assertEqual((body["accepted"], body["refused"]), (3, 0))
        self.assertEqual(self.stored("pair", order="a, b"), [("x", 1, 2), ("y", 1, 4)])
        self.assertEqual(self.upsert("word", {"w": "Ann", "v": 1}).status, 201)
        self.assertEqual(self.upsert("word", {"w": "ANN", "v": 2}).status, 200)
        self.assertEqual(self.upsert("bin", {"k": BLOB, "v": 1}).status, 201)
        self.assertEqual(self.upsert("bin", {"k": BLOB, "v": 2}).status, 200)
        self.assertEqual(self.stored("bin"), [(b"\x00\xff", 2)])

    def test_no_other_parameter_is_taken(self):
        for query in ("on_conflict=ignore", "on_conflict", "x=1", "on_conflict=update&x=1"):
            self.refused(self.s.post(path("t") + "?" + query, {}), 400, "parse")
        self.assertEqual(self.s.post(path("t") + "?", {}).status, 201)


class One(Rows):
    def test_a_row_is_the_plain_object_with_its_columns_and_a_tag(self):
        self.put("t", {"id": 1, "a": BLOB})
        answer = self.s.get(path("t", 1))
        self.assertEqual(self.done(answer), {"id": 1, "a": BLOB, "b": "std", "u": None, "n": 0})
        self.assertEqual(list(answer.json), ["id", "a", "b", "u", "n"])
        self.assertRegex(answer.etag, r'^"[0-9a-f]{32}"$')
        self.assertEqual(answer.headers["Content-Type"], "application/json")

    def test_absent_rows_and_tables(self):
        for send in (self.s.get, self.s.delete, lambda target: self.s.patch(target, {"a": 1})):
            self.refused(send(path("t", 1)), 404, "not_found", table="t")
            self.refused(send(path("t", "x")), 404, "not_found", table="t")
            self.refused(send(path("nope", 1)), 404, "unknown_table")
            self.refused(send(path("t", 1, 2)), 400, "parse")
            self.refused(send(path("t", 1) + "?x=1"), 400, "parse")

    def test_head_is_get_without_its_body(self):
        self.put("t", {"id": 1})
        for target in (path("t", 1), path("t"), path("t", 2), "/v1/schema"):
            get, head = self.s.get(target), self.s.head(target)
            self.assertEqual((head.status, head.body), (get.status, b""))
            for name in ("Content-Length", "Content-Type", "ETag"):
                self.assertEqual(head.headers[name], get.headers[name])

    def test_if_none_match(self):
        self.put("t", {"id": 1})
        tag = self.s.get(path("t", 1)).etag
        for match, status in ((tag, 304), ("*", 304), (f'"x", {tag}', 304), ("W/" + tag, 304), ('"x"', 200), (tag[:-2] + '"', 200),
                              ("nonsense", 200)):
            answer = self.s.get(path("t", 1), {"If-None-Match": match})
            self.assertEqual((answer.status, answer.etag), (status, tag), match)
            if status == 304:
                self.assertEqual(answer.body, b"")
        self.refused(self.s.get(path("t", 2), {"If-None-Match": "*"}), 404, "not_found")

    def test_the_tag_changes_with_the_stored_values_only(self):
        self.put("t", {"id": 1, "a": 1})
        self.put("t", {"id": 2, "a": 1})
        seen = [self.s.get(path("t", 1)).etag]
        for value in (1.0, "1", {"hex": "31"}, None, "", {"hex": ""}, 2**53 + 1, 2**53):
            self.done(self.s.patch(path("t", 1), {"a": value}))
            seen.append(self.s.get(path("t", 1)).etag)
        self.assertEqual(len(set(seen)), len(seen))
        self.done(self.s.patch(path("t", 1), {"a": 1}))
        self.assertEqual(self.s.get(path("t", 1)).etag, seen[0])
        self.assertNotEqual(self.s.get(path("t", 2)).etag, seen[0])

    def test_patch_changes_what_it_names(self):
        self.put("t", {"id": 1, "a": 1, "b": "x"})
        self.assertEqual(self.done(self.s.patch(path("t", 1), {"a": None, "n": 5})), {"ok": True})
        self.assertEqual(self.stored("t"), [(1, None, "x", None, 5)])
        for row, status, code in (({}, 400, "parse"), ({"n": 100}, 422, "check"), ({"n": None}, 422, "not_null"), ({"x": 1}, 400, "unknown_column"),
                                  ({"id": "x"}, 422, "type"), ({"a": True}, 400, "parse"), ([{}], 400, "parse"), (b"{", 400, "parse"),
                                  ({"id": None}, 422, "not_null")):
            with self.subTest(row=row):
                self.refused(self.s.patch(path("t", 1), row), status, code)
        self.assertEqual(self.stored("t"), [(1, None, "x", None, 5)])

    def test_patch_of_key_columns_tells_the_new_key(self):
        self.put("t", {"id": 1}, {"id": 2})
        self.assertEqual(self.done(self.s.patch(path("t", 1), {"id": 7, "a": "x"})), {"ok": True, "key": {"id": 7}})
        self.refused(self.s.get(path("t", 1)), 404, "not_found")
        self.assertEqual(self.row("t", 7)["a"], "x")
        self.assertEqual(self.done(self.s.patch(path("t", 7), {"id": 7})), {"ok": True})
        self.refused(self.s.patch(path("t", 7), {"id": 2}), 409, "unique", constraint="id")
        self.put("pair", {"a": 1, "b": "x"})
        self.assertEqual(self.done(self.s.patch(path("pair", 1, "x"), {"b": "ü,/"})), {"ok": True, "key": {"a": 1, "b": "ü,/"}})
        self.assertEqual(self.row("pair", 1, "ü,/")["v"], None)
        self.put("bin", {"k": BLOB})
        self.assertEqual(self.done(self.s.patch(path("bin", b"\x00\xff"), {"k": {"hex": "01"}})), {"ok": True, "key": {"k": {"hex": "01"}}})
        self.put("kids", {"id": 1, "t": 7})
        self.refused(self.s.patch(path("t", 7), {"id": 8}), 409, "referenced", table="kids", constraint="t")

    def test_delete(self):
        self.put("t", {"id": 1}, {"id": 2})
        self.put("kids", {"id": 1, "t": 1})
        self.refused(self.s.delete(path("t", 1)), 409, "referenced", table="kids", constraint="t")
        self.assertEqual(self.done(self.s.delete(path("t", 2))), {"ok": True})
        self.refused(self.s.delete(path("t", 2)), 404, "not_found")
        self.done(self.s.delete(path("kids", 1)))
        self.done(self.s.delete(path("t", 1)))
        self.assertEqual(self.stored("t") + self.stored("kids"), [])

    def test_if_match_makes_a_change_conditional(self):
        self.put("t", {"id": 1, "a": 1})
        old = self.s.get(path("t", 1)).etag
        self.done(self.s.patch(path("t", 1), {"a": 2}, {"If-Match": old}))
        for match in (old, '"x"', "W/" + self.s.get(path("t", 1)).etag):
            self.refused(self.s.patch(path("t", 1), {"a": 3}, {"If-Match": match}), 412, "precondition", table="t")
            self.refused(self.s.delete(path("t", 1), {"If-Match": match}), 412, "precondition")
        self.refused(self.s.patch(path("t", 1), {"a": 3}, {"If-Match": "nonsense"}), 400, "parse")
        self.assertEqual(self.row("t", 1)["a"], 2)
        self.done(self.s.patch(path("t", 1), {"a": 3}, {"If-Match": f'"x", {self.s.get(path("t", 1)).etag}'}))
        self.done(self.s.patch(path("t", 1), {"a": 4}, {"If-Match": "*"}))
        self.done(self.s.delete(path("t", 1), {"If-Match": self.s.get(path("t", 1)).etag}))
        for match in (old, "*"):
            self.refused(self.s.delete(path("t", 1), {"If-Match": match}), 412, "precondition")


class Keys(Rows):
    def test_composite_keys_in_the_order_of_the_primary_key(self):
        for b in ("x", "a,b", "50%", "a/b", "a+b", "ü 🙂", "", "x'00'y", "1", "%2C"):
            with self.subTest(b=b):
                self.put("pair", {"a": 1, "b": b, "v": b})
                self.assertEqual(self.row("pair", 1, b), {"b": b, "a": 1, "v": b})
                self.done(self.s.patch(path("pair", 1, b), {"v": 2}))
                self.done(self.s.delete(path("pair", 1, b)))
        self.assertEqual(self.stored("pair"), [])
        for key in ("1", "1,2,3", "", ","):
            answer = self.s.get(path("pair") + "/" + key)
            self.refused(answer, 404 if key == "," else 400, "not_found" if key == "," else "parse")

    def test_keys_compare_with_affinity_and_collation(self):
        self.put("word", {"w": "Ann", "v": 1}, {"w": "7", "v": 2})
        self.assertEqual(self.row("word", "ANN"), {"w": "Ann", "v": 1})
        self.assertEqual(self.row("word", 7)["w"], "7")
        self.put("t", {"id": -5})
        self.assertEqual(self.row("t", -5)["id"], -5)
        self.assertEqual(self.done(self.s.get(path("t", "-5.0")))["id"], -5)

    def test_blob_keys(self):
        for blob in (b"", b"\x00\xff", bytes(range(256))):
            self.put("bin", {"k": {"hex": blob.hex()}, "v": 1})
            self.assertEqual(self.row("bin", blob)["k"], {"hex": blob.hex()})
            self.done(self.s.delete(path("bin", blob)))
        self.put("bin", {"k": "00ff"})
        self.refused(self.s.get(path("bin", b"\x00\xff")), 404, "not_found")

    def test_a_table_without_a_key_uses_its_rowid(self):
        self.assertEqual(self.s.post(path("loose") + "?on_conflict=update", {"v": 0}).status, 201)
        self.done(self.s.delete(path("loose", 1)))
        self.assertEqual(self.done(self.s.post(path("loose"), {"v": 1}), 201), {"ok": True})
        self.put("loose", {"v": 1})
        self.assertEqual(self.row("loose", 2), {"v": 1, "w": None})
        self.assertEqual(self.done(self.s.patch(path("loose", 2), {"w": 5})), {"ok": True})
        self.done(self.s.delete(path("loose", 1)))
        self.assertEqual(self.stored("loose"), [(1, 5)])
        self.refused(self.s.get(path("loose", "x")), 404, "not_found")


class Values(Rows):
    def test_integers_stay_exact_beyond_2_53(self):
        for n in (2**53 + 1, 2**63 - 1, -2**63, -2**53 - 1, 0):
            self.put("t", {"id": n, "a": n})
            self.assertEqual(self.row("t", n)["a"], n)
            self.assertIn(str(n).encode(), self.s.get(path("t", n)).body)
            self.assertEqual(self.done(self.s.get(path("t") + f"?a={n}"))["rows"][0]["id"], n)
        self.assertEqual({r[0] for r in self.stored("t")}, {2**53 + 1, 2**63 - 1, -2**63, -2**53 - 1, 0})

    def test_reals_come_back_as_the_same_double_and_as_reals(self):
        for n, real in enumerate((0.1, 1.0, -0.0, 1e300, 5e-324, 1.7976931348623157e308, 2.0**53)):
            self.put("t", {"id": n, "a": real})
            answer = self.row("t", n)["a"]
            self.assertEqual((type(answer), answer), (float, real))

    def test_text_keeps_every_code_point(self):
        points = [chr(c) for c in range(1, 0x110000) if not 0xD800 <= c < 0xE000]
        for i, begin in enumerate(range(0, len(points), 200000)):
            text = "".join(points[begin:begin + 200000])
            self.put("t", {"id": i, "a": text})
            self.assertEqual(self.row("t", i)["a"], text)
            self.assertEqual(self.stored("t")[i][1], text)
        self.put("t", {"id": 99, "a": "🙂"})
        self.done(self.s.post(path("t"), b'{"id":100,"a":"\\ud83d\\ude42"}'), 201)
        self.assertEqual(self.row("t", 99)["a"], self.row("t", 100)["a"])

    def test_blobs(self):
        blob = bytes(range(256))
        self.put("t", {"id": 1, "a": {"hex": blob.hex().upper()}}, {"id": 2, "a": {"hex": ""}})
        self.assertEqual([r[1] for r in self.stored("t")], [blob, b""])
        self.assertEqual(self.row("t", 1)["a"], {"hex": blob.hex()})
        self.assertEqual(self.row("t", 2)["a"], {"hex": ""})


LAST = 2**63 - 1


class AssignedKeys(server.Case):
    def setUp(self):
        super().setUp()
        self.start("""CREATE TABLE t (id INTEGER PRIMARY KEY, n CHECK (n < 100));
                      CREATE TABLE kids (id INTEGER PRIMARY KEY, t INTEGER REFERENCES t (id));
                      CREATE TABLE counted (id INTEGER PRIMARY KEY AUTOINCREMENT, n CHECK (n < 100));""")

    def start(self, schema=None):
        self.s = self.serve(schema=schema)

    def start_again(self):
        self.assertEqual(self.s.stop(), 0)
        self.start()

    def gets(self, table, key):
        self.assertEqual(self.done(self.s.post(path(table), {}), 201)["id"], key)

    def put(self, table, key):
        self.done(self.s.post(path(table), {"id": key}), 201)

    def test_one_that_was_refused_does_not_count(self):
        self.gets("t", 1)
        self.gets("kids", 1)
        for n, key in enumerate((1000, LAST - 1, LAST), 2):
            self.refused(self.s.post(path("t"), {"id": key, "n": 100}), 422, "check")
            self.refused(self.s.post(path("kids"), {"id": key, "t": -1}), 422, "reference_missing")
            ops = [{"op": "insert", "table": "t", "row": {"id": key}},
                   {"op": "insert", "table": "kids", "row": {"id": key, "t": -1}}]
            self.refused(self.s.post("/v1/batch", {"atomic": True, "ops": ops}), 422, "reference_missing")
            ops = [{"op": "update", "table": "t", "key": {"id": 1}, "row": {"id": key}},
                   {"op": "delete", "table": "kids", "key": {"id": -1}}]
            self.refused(self.s.post("/v1/batch", {"atomic": True, "ops": ops}), 404, "not_found")
            self.gets("t", n)
            self.gets("kids", n)

    def test_the_last_one_does_not_stop_the_counting(self):
        self.gets("t", 1)
        self.put("t", LAST)
        self.gets("t", 2)
        self.refused(self.s.post(path("t"), {"id": LAST}), 409, "unique")
        self.start_again()
        self.gets("t", 3)
        self.done(self.s.delete(path("t", LAST)))
        self.gets("t", 4)

    def test_behind_the_last_but_one_comes_the_last_and_then_any(self):
        self.put("t", LAST - 1)
        self.gets("t", LAST)
        keys = [self.done(self.s.post(path("t"), {}), 201)["id"] for _ in range(20)]
        self.start_again()
        keys += [self.done(self.s.post(path("t"), {}), 201)["id"] for _ in range(20)]
        self.assertEqual(len(set(keys)), 40)
        self.assertTrue(all(0 < key < LAST - 1 for key in keys), keys)

    def test_with_autoincrement_nothing_comes_behind_the_last_one(self):
        self.refused(self.s.post(path("counted"), {"id": LAST, "n": 100}), 422, "check")
        self.gets("counted", 1)
        self.put("counted", LAST)
        for _ in range(2):
            self.refused(self.s.post(path("counted"), {}), 413, "too_large", table="counted", constraint="id")
            self.done(self.s.delete(path("counted", LAST)))
            self.refused(self.s.post(path("counted"), {}), 413, "too_large", table="counted", constraint="id")
            self.put("counted", LAST)
            self.start_again()


if __name__ == "__main__":
    sheaf.main()
