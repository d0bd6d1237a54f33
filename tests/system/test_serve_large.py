# SPDX-License-Identifier: Apache-2.0
"""Rows at the edge of 1 MiB: whatever a write would make of a row, the row that is stored keeps to the limit."""

import sqlite3

import server
import sheaf

LIMIT = 1 << 20
SCHEMA = f"""
CREATE TABLE wide (id INTEGER PRIMARY KEY, {", ".join(f"c{i} TEXT" for i in range(40))});
CREATE TABLE parents (name TEXT PRIMARY KEY);
CREATE TABLE cascading (id INTEGER PRIMARY KEY, x TEXT, parent TEXT REFERENCES parents ON UPDATE CASCADE);
CREATE TABLE defaulting (id INTEGER PRIMARY KEY, x TEXT,
 parent TEXT DEFAULT '{200000 * "d"}' REFERENCES parents ON DELETE SET DEFAULT);
CREATE TABLE zeros (id INTEGER PRIMARY KEY, x TEXT, y DEFAULT (zeroblob(900000000)));
"""
WIDE, PARENTS, CASCADING, DEFAULTING = map(server.path, ("wide", "parents", "cascading", "defaulting"))
HALF = 600000 * "h"


class Large(server.Shared):
    SCHEMA = SCHEMA
    KEYS = {"wide": ["id"], "cascading": ["id"], "defaulting": ["id"], "parents": ["name"], "zeros": ["id"]}

    def too_large(self, answer, table="wide", **more):
        error = self.refused(answer, 413, "too_large", table=table, **more)
        self.assertIn("more than 1048576", error["message"])

    def test_no_change_of_columns_makes_a_row_too_large(self):
        self.done(self.s.post(WIDE, {"id": 1, "c0": HALF}), 201)
        before = self.s.get(WIDE + "/1")
        update = {"op": "update", "table": "wide", "key": {"id": 1}, "row": {"c1": HALF}}
        insert = {"op": "insert", "table": "wide", "row": {"id": 2}}
        self.too_large(self.s.patch(WIDE + "/1", {"c1": HALF}))
        self.too_large(self.s.post(WIDE + "?on_conflict=update", {"id": 1, "c39": HALF}))
        self.too_large(self.s.batch(insert, update), op=1)
        self.too_large(self.s.batch(insert, {"op": "insert", "table": "parents", "row": {"name": "p"}}, update), op=2)
        self.refused(self.s.get(WIDE + "/2"), 404, "not_found")
        results = self.done(self.s.batch(insert, update, atomic=False))
        self.assertEqual((results["accepted"], results["refused"]), (1, 1))
        after = self.s.get(WIDE + "/1")
        self.assertEqual((after.json, after.etag), (before.json, before.etag))
        self.done(self.s.patch(WIDE + "/1", {"c0": None, "c1": HALF}))

    def test_a_row_that_is_filled_to_the_limit_is_read_and_found_in_a_page(self):
        self.done(self.s.post(WIDE, {"id": 1, "c0": HALF}), 201)
        rest = LIMIT - len(HALF) - 40 * 1 - 3 - 1 - 8  # a NULL takes a byte; the row's head 3; the id 1; a long text 5
        self.too_large(self.s.patch(WIDE + "/1", {"c1": (rest + 1) * "r"}))
        self.done(self.s.patch(WIDE + "/1", {"c1": rest * "r"}))
        self.done(self.s.post(WIDE, {"id": 2}), 201)
        self.assertEqual([(row["id"], len(row["c1"] or "")) for row in self.s.get(WIDE).rows], [(1, rest), (2, 0)])

    def test_nor_does_an_action_of_a_reference(self):
        self.done(self.s.post(PARENTS, [{"name": "p"}, {"name": "q"}, {"name": 200000 * "d"}]))
        self.done(self.s.post(CASCADING, {"id": 1, "x": HALF, "parent": "p"}), 201)
        self.done(self.s.post(DEFAULTING, {"id": 1, "x": HALF + 300000 * "h", "parent": "q"}), 201)
        self.too_large(self.s.patch(server.path("parents", "p"), {"name": HALF}), "cascading")
        self.too_large(self.s.delete(server.path("parents", "q")), "defaulting")
        self.assertEqual(len(self.s.get(PARENTS).rows), 3)
        self.assertEqual(self.s.get(CASCADING + "/1").json["parent"], "p")
        self.assertEqual(self.s.get(DEFAULTING + "/1").json["parent"], "q")
        self.done(self.s.patch(server.path("parents", "p"), {"name": 400000 * "h"}))
        self.done(self.s.patch(DEFAULTING + "/1", {"x": "small"}))
        self.done(self.s.delete(server.path("parents", "q")))
        self.assertEqual(len(self.s.get(DEFAULTING + "/1").json["parent"]), 200000)

    def test_a_default_that_is_too_large_is_not_even_computed(self):
        shard = self.s.shards()["zeros"]
        self.refused(self.s.post(server.path("zeros"), {"id": 1}), 413, "too_large", table="zeros")
        self.done(self.s.post(server.path("zeros"), {"id": 1, "y": None}), 201)
        self.assertEqual(self.s.shards()["zeros"], shard)


class Foreign(server.Case):
    """Rows that another program made larger while no server ran."""

    def test_a_page_goes_on_behind_rows_that_are_too_large(self):
        s = self.serve(schema="CREATE TABLE t (id INTEGER PRIMARY KEY, x TEXT);")
        self.done(s.post(server.path("t"), [{"id": i} for i in range(1, 6)]))
        self.assertEqual(s.stop(), 0)
        connection = sqlite3.connect(sheaf.database(self.data, "t"))
        connection.execute("UPDATE t SET x = CAST(zeroblob(3000000) AS TEXT) WHERE id = 2")
        connection.execute("UPDATE t SET x = replace(hex(zeroblob(16000000)), '0', 'x') WHERE id IN (3, 4)")
        connection.commit()
        connection.close()
        s = self.serve()
        self.assertEqual([row["id"] for row in s.pages(server.path("t"))], [1, 2, 3, 4, 5])
        self.assertEqual(len(s.get(server.path("t", 3)).json["x"]), 32000000)
        self.done(s.patch(server.path("t", 3), {"x": "small"}))
        self.done(s.delete(server.path("t", 4)))
        self.assertEqual([row["id"] for row in s.pages(server.path("t"))], [1, 2, 3, 5])


if __name__ == "__main__":
    sheaf.main()
