# SPDX-License-Identifier: Apache-2.0
"""`coordinator insert`: a JSON line in, a JSON line out, in order, durable before it is answered."""

import json
import os
import select
import signal
import time

import sheaf

USER = {"table": "users", "id": 1, "name": "Ann", "email": "ann@example.org"}
PRODUCT = {"table": "products", "id": 1, "name": "Tea", "price": 2.5}
ORDER = {"table": "orders", "id": 7, "user_id": 1, "product_id": 1, "quantity": 2}


class Insert(sheaf.Case):
    def test_rows_are_accepted_in_order_and_are_in_the_files(self):
        answers = self.insert(USER, PRODUCT, ORDER)
        self.assertEqual(answers, [{"line": n, "ok": True} for n in (1, 2, 3)])
        self.assertEqual(sheaf.rows(self.data, "users"), [(1, "Ann", "ann@example.org")])
        self.assertEqual(sheaf.rows(self.data, "products"), [(1, "Tea", 2.5)])
        self.assertEqual(sheaf.rows(self.data, "orders"), [(7, 1, 1, 2)])

    def test_a_missing_parent_is_named(self):
        answers = self.insert(ORDER, status=1)
        error = answers[0]["error"]
        self.assertEqual((error["code"], error["table"], error["constraint"]), ("reference_missing", "orders", "user_id"))
        for word in ("users", "products", "1"):
            self.assertIn(word, error["message"])
        self.assertEqual(sheaf.rows(self.data, "orders"), [])

    def test_a_line_sees_earlier_lines_only(self):
        answers = self.insert(ORDER, USER, PRODUCT, ORDER, status=1)
        self.assertEqual([a["ok"] for a in answers], [False, True, True, True])

    def test_conflicts_fall_to_the_earlier_line_in_indexes_of_every_kind(self):
        # the third line waits for the second one's key, the fourth for nobody: it must not come first all the same
        rows = [{"table": "t", "id": 0, "v": 3}, {"table": "t", "id": 4, "v": 3}, {"table": "t", "id": 4, "v": 4},
                {"table": "t", "id": 14, "v": 4}, {"table": "t", "id": 15, "v": 5}]
        for i, rule in enumerate(("v UNIQUE);", "v); CREATE UNIQUE INDEX i ON t (v) WHERE v > 1;", "v, g AS (v) UNIQUE);",
                                  "v); CREATE UNIQUE INDEX i ON t (abs(v));",
                                  "v); CREATE UNIQUE INDEX i ON t (abs(v)); CREATE UNIQUE INDEX j ON t (v) WHERE v > 1;")):
            with self.subTest(rule=rule):
                schema = self.path(f"s{i}.sql", "CREATE TABLE t (id INTEGER PRIMARY KEY, " + rule)
                answers = self.insert(*rows, status=1, data=f"{self.data}{i}", args=("--schema", schema))
                self.assertEqual([a["ok"] for a in answers], [True, False, True, False, True])

    def test_the_same_row_again_is_there_already_and_other_values_are_not_unique(self):
        answers = self.insert(USER, USER, {**USER, "name": "Bea"}, status=1)
        self.assertEqual(answers[1], {"line": 2, "ok": True, "already_there": True})
        self.assertEqual(answers[2]["error"]["code"], "unique")
        self.assertEqual(answers[2]["error"]["constraint"], "id")
        self.assertTrue(self.insert(USER)[0]["already_there"])

    def test_columns_not_given_do_not_count_for_the_same_row(self):
        schema = self.path("s.sql", "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT DEFAULT 'x', b TEXT);")
        answers = self.insert({"table": "t", "id": 1, "b": "y"}, {"table": "t", "id": 1}, {"table": "t", "id": 1, "a": "x"},
                              {"table": "t", "id": 1, "b": None}, args=("--schema", schema), status=1)
        self.assertEqual([a["ok"] for a in answers], [True, True, True, False])

    def test_a_default_that_is_a_key_makes_no_row_another(self):
        schema = self.path("s.sql", "CREATE TABLE p (id INTEGER PRIMARY KEY);"
                                    "CREATE TABLE c (id INTEGER PRIMARY KEY, p INTEGER DEFAULT 7 REFERENCES p,"
                                    " token TEXT UNIQUE DEFAULT (hex(randomblob(8))));"
                                    "CREATE TABLE k (id TEXT PRIMARY KEY DEFAULT 'x');")
        answers = self.insert({"table": "p", "id": 7}, {"table": "p", "id": 8}, {"table": "c", "id": 1, "p": 8},
                              {"table": "c", "id": 1}, {"table": "c", "id": 1, "p": 7}, {"table": "k"}, {"table": "k"},
                              status=1, args=("--schema", schema))
        self.assertEqual([a["ok"] for a in answers], [True, True, True, True, False, True, False])
        self.assertTrue(answers[3]["already_there"])
        self.assertEqual(sheaf.rows(self.data, "c", order="id")[0][:2], (1, 8))

    def test_a_row_is_there_already_whatever_parent_its_defaults_name(self):
        schema = self.path("s.sql", "CREATE TABLE p (id INTEGER PRIMARY KEY);"
                                    "CREATE TABLE c (id INTEGER PRIMARY KEY, a TEXT, p INTEGER DEFAULT 7 REFERENCES p,"
                                    " q INTEGER REFERENCES p);")
        args = ("--schema", schema)
        self.insert({"table": "p", "id": 8}, {"table": "c", "id": 1, "a": "x", "p": 8}, args=args)
        answers = self.insert({"table": "c", "id": 1}, {"table": "c", "id": 1, "a": "x"}, {"table": "c", "id": 1, "a": "y"},
                              {"table": "c", "id": 2}, {"table": "c"}, {"table": "c", "id": 1, "q": 9},
                              {"table": "c", "id": 3, "p": 8}, {"table": "c", "id": 3}, args=args, status=1)
        self.assertEqual([a.get("already_there") or a.get("error", {}).get("code") for a in answers],
                         [True, True] + ["reference_missing"] * 4 + [None, True])
        self.assertEqual(sheaf.rows(self.data, "c"), [(1, "x", 8, None), (3, None, 8, None)])

    def test_generated_columns_refer_too(self):
        schema = self.path("s.sql", "CREATE TABLE p (id INTEGER PRIMARY KEY);"
                                    "CREATE TABLE c (id INTEGER PRIMARY KEY, x INTEGER DEFAULT 1, v INTEGER AS (x + 1) REFERENCES p,"
                                    " s INTEGER AS (x + 2) STORED REFERENCES p);")
        rows = [{"table": "p", "id": 2}, {"table": "c", "id": 1}, {"table": "p", "id": 3}, {"table": "c", "id": 1},
                {"table": "c", "id": 1, "x": 1}, {"table": "c", "id": 2, "x": 2}, {"table": "c", "id": 3, "x": None}]
        answers = self.insert(*rows, status=1, args=("--schema", schema))
        self.assertEqual([a["ok"] for a in answers], [True, False, True, True, True, False, True])
        self.assertEqual(answers[1]["error"]["constraint"], "s")
        self.assertIn("c.s 3: no such row in p (id)", answers[1]["error"]["message"])
        self.assertTrue(answers[4]["already_there"])
        self.assertEqual([row[:4] for row in sheaf.rows(self.data, "c")], [(1, 1, 2, 3), (3, None, None, None)])

    def test_a_missing_integer_key_is_assigned_and_returned(self):
        answers = self.insert({k: v for k, v in USER.items() if k != "id"},
                              {"table": "users", "id": 10, "name": "B", "email": "b@b.de"},
                              {"table": "users", "id": None, "name": "C", "email": "c@b.de"})
        self.assertEqual(answers[0].get("id"), 1)
        self.assertNotIn("id", answers[1])
        self.assertGreater(answers[2]["id"], 10)
        again = self.insert({"table": "users", "name": "D", "email": "d@b.de"})
        self.assertGreater(again[0]["id"], answers[2]["id"])
        self.assertEqual(len(sheaf.rows(self.data, "users")), 4)

    def test_every_rule_of_the_shop(self):
        self.insert(USER, PRODUCT)
        wrong = [
            (USER | {"id": 0, "email": "x@y.zz"}, "check"), (USER | {"id": -4, "email": "x@y.zz"}, "check"),
            (USER | {"id": 2}, "unique"), (USER | {"id": "two", "email": "x@y.zz"}, "type"),
            *[(USER | {"id": 3, "email": "x@y.zz", "name": name}, "check") for name in ("", " ", "\t\n\r", "\u00a0", " \u00a0 ")],
            *[(USER | {"id": 3, "email": email}, "check") for email in
              ("", "a", "a@", "@b.c", "a@b", "a@b.", "a@.c", "a@@b.c", "a@b@c.d", "a b@c.d", "a@b c.d", "a@b.c\n", "a\x01@b.c",
               "a\u00a0b@c.d", "a@b.c\x7f")],
            (USER | {"id": 3, "name": None}, "not_null"),
            (PRODUCT | {"id": 2, "price": -0.01}, "check"), (PRODUCT | {"id": 2, "price": "dear"}, "type"),
            (PRODUCT | {"id": 2, "price": None}, "not_null"),
            (ORDER | {"quantity": 0}, "check"), (ORDER | {"quantity": -1}, "check"), (ORDER | {"quantity": 1.5}, "type"),
            (ORDER | {"user_id": 2}, "reference_missing"), (ORDER | {"product_id": 2}, "reference_missing"),
            (ORDER | {"user_id": 2, "quantity": 0}, "reference_missing"),
            (ORDER | {"colour": "red"}, "unknown_column"), ({"table": "colours", "id": 1}, "unknown_table"),
            ({"id": 1}, "parse"), ({"table": 5}, "parse"), ("[1]", "parse"), ("{", "parse"), ("nonsense", "parse"),
            ('{"table":"products","id":3,"name":"n","price":1e999}', "parse"),
            ('{"table":"users","id":3,"name":true,"email":"x@y.zz"}', "parse"),
            ('{"table":"users","id":3,"name":"a\\u0000b","email":"x@y.zz"}', "parse"),
            ('{"table":"users","id":3,"id":4,"name":"a","email":"x@y.zz"}', "parse"),
            ('{"table":"users","id":99999999999999999999,"name":"a","email":"x@y.zz"}', "parse"),
        ]
        answers = self.insert(*[row for row, _ in wrong], status=1)
        for (row, code), answer in zip(wrong, answers, strict=True):
            self.assertFalse(answer["ok"], row)
            self.assertEqual(answer["error"]["code"], code, (row, answer))
            self.assertEqual(set(answer["error"]), {"code", "table", "constraint", "message"})
        right = [USER | {"id": 3, "email": e, "name": n} for n, e in (("\u00a0x", "a@b.c"), ("é", "ä.ö+1@sub.b.example"))]
        self.assertEqual([a["ok"] for a in self.insert(*[r | {"id": 10 + i} for i, r in enumerate(right)])], [True, True])
        self.assertEqual(len(sheaf.rows(self.data, "users")), 3)
        self.assertEqual(sheaf.rows(self.data, "orders"), [])

    def test_both_missing_parents_are_named(self):
        error = self.insert(ORDER | {"user_id": 41, "product_id": 42}, status=1)[0]["error"]
        for word in ("users", "41", "products", "42"):
            self.assertIn(word, error["message"])

    def test_big_integers_stay_exact(self):
        big = [2**53 + 1, 2**63 - 1]
        self.insert(*[{"table": "users", "id": n, "name": "n", "email": f"{n}@a.b"} for n in big])
        self.assertEqual([r[0] for r in sheaf.rows(self.data, "users")], big)

    def test_a_slow_writer_gets_its_answer_at_once(self):
        process = sheaf.start("insert", "--data", self.data)
        for n in range(1, 4):
            row = USER | {"id": n, "email": f"u{n}@a.b"}
            process.stdin.write(json.dumps(row).encode() + b"\n")
            process.stdin.flush()
            ready, _, _ = select.select([process.stdout], [], [], 20)
            self.assertTrue(ready, "no answer while the input stays open")
            self.assertEqual(json.loads(process.stdout.readline()), {"line": n, "ok": True})
            self.assertEqual(len(sheaf.rows(self.data, "users")), n, "answered before it was in the file")
        process.communicate()
        self.assertEqual(process.returncode, 0)

    def test_a_fast_writer_gets_batches(self):
        count = 20000
        rows = [USER | {"id": n, "email": f"u{n}@a.b"} for n in range(1, count + 1)]
        begun = time.monotonic()
        self.assertTrue(all(a["ok"] for a in self.insert(*rows)))
        self.assertLess(time.monotonic() - begun, 60, "a commit for each row")

    def test_the_last_line_needs_no_end_and_blank_lines_are_skipped(self):
        result = self.ran("insert", "--data", self.data, input="\n" + json.dumps(USER))
        self.assertEqual([a["line"] for a in result.lines()], [2])

    def test_a_line_that_is_too_long_is_refused_and_the_next_one_goes_on(self):
        long = json.dumps(USER | {"name": "x" * 3_000_000})
        answers = self.insert(long, USER, status=1)
        self.assertEqual(answers[0]["error"]["code"], "too_large")
        self.assertTrue(answers[1]["ok"])

    def test_deep_nesting_is_refused(self):
        answers = self.insert("[" * 100000, '{"table":"users","id":' + "[" * 5000 + "]" * 5000 + "}", USER, status=1)
        self.assertEqual([a["ok"] for a in answers], [False, False, True])

    def test_invalid_utf8_is_refused(self):
        raw = b'{"table":"users","id":1,"name":"\xff","email":"a@b.c"}\n' + json.dumps(USER).encode()
        result = self.ran("insert", "--data", self.data, input=raw, status=1)
        self.assertEqual([a["ok"] for a in result.lines()], [False, True])

    def test_ctrl_c_finishes_what_was_accepted(self):
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            process = sheaf.start("insert", "--data", self.data)
            process.stdin.write(json.dumps(USER).encode() + b"\n")
            process.stdin.flush()
            self.assertTrue(json.loads(process.stdout.readline())["ok"])
            process.send_signal(number)
            self.assertEqual(process.wait(20), 128 + number)
            process.stdin.close()
            process.stdout.close()
            process.stderr.close()

    def test_a_broken_pipe_is_named_and_loses_nothing_that_was_answered(self):
        process = sheaf.start("insert", "--data", self.data)
        process.stdout.close()
        rows = "".join(json.dumps(USER | {"id": n, "email": f"u{n}@a.b"}) + "\n" for n in range(1, 2001))
        try:
            process.stdin.write(rows.encode())
            process.stdin.close()
        except BrokenPipeError:
            pass
        said = process.stderr.read().decode()
        self.assertEqual(process.wait(30), 3, said)
        self.assertEqual(said, "coordinator insert: stdout: Broken pipe\n")
        process.stderr.close()

    def test_columns_match_without_case_and_tables_too(self):
        self.insert({"table": "USERS", "ID": 1, "Name": "Ann", "EMAIL": "a@b.c"})
        self.assertEqual(sheaf.rows(self.data, "users"), [(1, "Ann", "a@b.c")])


if __name__ == "__main__":
    sheaf.main()
