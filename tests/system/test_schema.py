# SPDX-License-Identifier: Apache-2.0
"""Schemas of all kinds: what works, what is refused by name, and that a directory keeps the one it was made with."""

import json
import os
import sqlite3

import sheaf


class Schema(sheaf.Case):
    def with_schema(self, ddl, *objects, status=0, args=()):
        return self.insert(*objects, args=("--schema", self.path("schema.sql", ddl), *args), status=status)

    def refused(self, ddl, *words):
        result = self.ran("insert", "--data", self.data, "--schema", self.path("schema.sql", ddl), status=2)
        for word in words:
            self.assertIn(word, result.stderr)
        return result.stderr

    def test_another_schema_is_refused_with_what_differs(self):
        self.with_schema("CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT);", {"table": "t", "id": 1})
        self.refused("CREATE TABLE t (id INTEGER PRIMARY KEY, b TEXT);", "t")
        self.refused("CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT); CREATE TABLE extra (x);", "extra")
        self.assertTrue(self.insert({"table": "t", "id": 1})[0]["already_there"], "the stored schema is used when none is given")
        self.with_schema("CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT);", {"table": "t", "id": 2})

    def test_the_files_carry_the_users_own_ddl(self):
        ddl = "CREATE TABLE t (\n  id INTEGER PRIMARY KEY, -- the key\n  \"a b\" TEXT\n)"
        self.with_schema(ddl + ";\nCREATE INDEX i ON t (\"a b\");\n", {"table": "t", "id": 1, "a b": "x"})
        with sheaf.opened(self.data, "t") as db:
            stored = dict(db.execute("SELECT name, sql FROM sqlite_schema WHERE name IN ('t', 'i')"))
            others = [n for (n,) in db.execute("SELECT name FROM sqlite_schema WHERE type='table' AND name NOT IN ('t')")]
        self.assertEqual(stored["t"], ddl)
        self.assertIn("i", stored)
        self.assertTrue(all(n.startswith(("_sheaf_", "sqlite_")) for n in others), others)

    def test_keys_of_every_kind(self):
        ddl = """
        CREATE TABLE "Länder, alle" (code TEXT COLLATE NOCASE PRIMARY KEY, name TEXT) WITHOUT ROWID;
        CREATE TABLE 城市 (country TEXT REFERENCES "Länder, alle", "no." INTEGER, PRIMARY KEY (country, "no."));
        CREATE TABLE street (id INTEGER PRIMARY KEY AUTOINCREMENT, country TEXT, "no" INTEGER, up INTEGER REFERENCES street,
                             label TEXT DEFAULT 'none', twice AS ("no" * 2) STORED,
                             FOREIGN KEY (country, "no") REFERENCES 城市 (country, "no."));
        """
        answers = self.with_schema(
            ddl, {"table": "Länder, alle", "code": "De"}, {"table": "城市", "country": "DE", "no.": 1},
            {"table": "street", "country": "de", "no": 1}, {"table": "street", "country": "DE", "no": 1},
            {"table": "street", "id": 9, "up": 9}, {"table": "street", "id": 11, "up": 10}, {"table": "street", "country": "DE", "no": 2},
            {"table": "street", "country": "DE", "no": None}, {"table": "城市", "country": "fr", "no.": 1},
            {"table": "Länder, alle", "code": "dE"}, {"table": "Länder, alle", "code": "De"}, {"table": "street", "twice": 4}, status=1)
        codes = [a["error"]["code"] if not a["ok"] else "same" if a.get("already_there") else "ok" for a in answers]
        # the two-column key of 城市 compares as its own columns do: BINARY, so 'de' is another key than 'DE'
        self.assertEqual(codes, ["ok", "ok", "reference_missing", "ok", "ok", "reference_missing", "reference_missing", "ok",
                                 "reference_missing", "unique", "same", "unknown_column"][:11] + [codes[11]])
        self.assertIn(codes[11], ("unknown_column", "type", "parse"))
        self.assertEqual(answers[6]["error"]["constraint"], "country,no")

    def test_refused_by_name(self):
        t = "CREATE TABLE t (id INTEGER PRIMARY KEY, a UNIQUE, b);\nCREATE TABLE s (id INTEGER PRIMARY KEY);\n"
        cases = [
            ("ATTACH 'x.db' AS x;", "ATTACH"), ("PRAGMA foreign_keys=ON;", "PRAGMA"), ("INSERT INTO t VALUES (1,2,3);", "INSERT"),
            ("DROP TABLE t;", "DROP"), ("CREATE TEMP TABLE x (y);", ""), ("BEGIN;", "BEGIN"), ("VACUUM INTO 'x.db';", "VACUUM"),
            ("CREATE TABLE c AS SELECT * FROM t;", ""), ("CREATE VIRTUAL TABLE v USING fts5(x);", "VIRTUAL"),
            ("CREATE TABLE _sheaf_x (y);", "_sheaf_"), ("CREATE INDEX _sheaf_i ON t(b);", "_sheaf_"),
            ("CREATE TRIGGER g AFTER INSERT ON t BEGIN DELETE FROM t; END;", "g"),
            ("CREATE TRIGGER g AFTER INSERT ON t BEGIN INSERT INTO s VALUES (NULL); END;", "g"),
            ("CREATE TRIGGER g BEFORE INSERT ON t BEGIN SELECT RAISE(IGNORE); END;", "RAISE(IGNORE)"),
            ("CREATE TRIGGER g BEFORE INSERT ON t WHEN NEW.id % 5 = 0 BEGIN SELECT RAISE(ROLLBACK, 'x'); END;", "RAISE(ROLLBACK)"),
            ("CREATE TRIGGER g AFTER UPDATE OF b ON t WHEN NEW.id % 5 = 0 BEGIN SELECT RAISE(FAIL, 'x'); END;", "RAISE(FAIL)"),
            ("CREATE TRIGGER g BEFORE INSERT ON t WHEN (SELECT count(*) FROM s) > 1 BEGIN SELECT RAISE(ABORT,'x'); END;", "g"),
            ("CREATE VIEW w AS SELECT * FROM t, s;", "w"),
            ("CREATE TABLE c (x REFERENCES absent(id));", "absent"), ("CREATE TABLE c (x REFERENCES t(b));", "b"),
            ("CREATE TABLE c (x, y, FOREIGN KEY (x,y) REFERENCES t);", "c"),
            ("CREATE TABLE c (x PRIMARY KEY ON CONFLICT REPLACE);", "CONFLICT"), ("CREATE TABLE c (x UNIQUE ON CONFLICT IGNORE);", "CONFLICT"),
            ('CREATE TABLE "a\tb" (x);', "control"), ('CREATE VIEW "a\nb" AS SELECT 1;', "control"),
            ("CREATE TABLE c (x TEXT COLLATE german);", "german"), ("CREATE TABLE c (x CHECK (load_extension('x')));", ""),
            ("CREATE TABLE c (x DEFAULT (load_extension('x')));", "load_extension"), ("CREATE TABLE c (x DEFAULT (readfile('x')));", "readfile"),
            ("CREATE TABLE c (x CHECK (fts3_tokenizer('x')));", "fts3_tokenizer"), ("CREATE TABLE c (x CHECK (rtreedepth(x)));", "rtreedepth"),
            ("CREATE TABLE c (x CHECK (nosuch(x)));", "nosuch"), ("CREATE TABLE T (x);", "T"), ("CREATE TABLE c (x", ""), ("nonsense;", "nonsense"),
        ]
        for statement, word in cases:
            with self.subTest(statement=statement):
                text = self.refused(t + statement, word)
                self.assertIn("schema.sql:3", text)
        self.refused("", "")
        self.ran("insert", "--data", self.data, "--schema", self.path("absent.sql"), status=2)

    def test_a_name_too_long_for_a_file_is_refused_with_the_schema(self):
        for name in ("名" * 30, "n" * 200):
            self.data = self.path("data" + name[0])
            if len(name) < 100:
                self.assertIn("255", self.refused(f'CREATE TABLE "{name}" (x);', name))
                self.assertFalse(os.path.exists(self.data))
            else:
                self.with_schema(f'CREATE TABLE "{name}" (id INTEGER PRIMARY KEY);', {"table": name, "id": 1})

    def test_json_functions_work(self):
        ddl = ("CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT CHECK (json_valid(v)), w AS (v ->> 'a') STORED, x AS (json_type(v)),\n"
               "  y TEXT DEFAULT (json_array(1, 2)));\nCREATE UNIQUE INDEX i ON t (json_extract(v, '$.k'));\n"
               "CREATE TRIGGER g BEFORE INSERT ON t WHEN json_extract(NEW.v, '$.no') BEGIN SELECT RAISE(ABORT, 'it says no'); END;\n")
        values = ['{"a":1,"k":1}', '{"a":2,"k":1}', "{", '{"no":true}', '{"a":3,"k":2}']
        answers = self.with_schema(ddl, *({"table": "t", "id": i, "v": v} for i, v in enumerate(values)), status=1)
        self.assertEqual([a["ok"] for a in answers], [True, False, False, False, True])
        self.assertEqual([a["error"]["code"] for a in answers[1:4]], ["unique", "check", "check"])
        with sheaf.opened(self.data, "t") as db:
            self.assertEqual(db.execute("SELECT w, x, y FROM t").fetchall(), [(1, "object", "[1,2]"), (3, "object", "[1,2]")])
        self.ran("check", "--data", self.data)

    def test_a_trigger_that_only_says_no_and_a_view_work(self):
        ddl = ("CREATE TABLE t (id INTEGER PRIMARY KEY, a);\nCREATE VIEW v AS SELECT a FROM t;\n"
               "CREATE TRIGGER g BEFORE INSERT ON t WHEN NEW.a = 'bad' BEGIN SELECT RAISE(ABORT, 'a is bad'); END;\n")
        answers = self.with_schema(ddl, {"table": "t", "a": "good"}, {"table": "t", "a": "bad"}, status=1)
        self.assertEqual([a["ok"] for a in answers], [True, False])
        self.assertIn("a is bad", answers[1]["error"]["message"])
        with sheaf.opened(self.data, "t") as db:
            self.assertEqual(db.execute("SELECT a FROM v").fetchall(), [("good",)])

    def test_null_in_a_primary_key_is_refused(self):
        answers = self.with_schema("CREATE TABLE t (k TEXT PRIMARY KEY);", {"table": "t", "k": None}, {"table": "t"}, status=1)
        self.assertEqual([a["error"]["code"] for a in answers], ["not_null", "not_null"])

    def test_a_deferred_reference_is_checked_all_the_same(self):
        ddl = ("CREATE TABLE a (id INTEGER PRIMARY KEY);"
               "CREATE TABLE b (id INTEGER PRIMARY KEY, a REFERENCES a DEFERRABLE INITIALLY DEFERRED);")
        answers = self.with_schema(ddl, {"table": "b", "id": 1, "a": 1}, {"table": "a", "id": 1}, {"table": "b", "id": 1, "a": 1}, status=1)
        self.assertEqual([a["ok"] for a in answers], [False, True, True])

    def test_configuration_that_is_wrong(self):
        cases = ["[nonsense]\nx = 1\n", "[database a]\ntables = users\n[database b]\ntables = users\n", "[database a]\ntables = absent\n",
                 "[limits]\nbatches_in_flight = 0\n", "[limits]\nno_such = 1\n", "[database users]\naddress = tcp://192.0.2.1:7\n", "what\n"]
        for text in cases:
            with self.subTest(text=text):
                path = self.path("bad.conf", text)
                result = self.ran("insert", "--data", self.data, "--config", path, status=2)
                self.assertIn("bad.conf", result.stderr)
        self.ran("insert", "--data", self.data, "--config", self.path("absent.conf"), status=2)


if __name__ == "__main__":
    sheaf.main()
