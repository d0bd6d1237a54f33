# SPDX-License-Identifier: Apache-2.0
"""`coordinator load`: files of every format, in any order, with every kind of bad record."""

import json
import os
import signal
import sqlite3
import stat
import struct
import subprocess
import time

import sheaf

SHOP = {
    "users.csv": "id,name,email\n1,Ann,ann@a.de\n2,\"Bo \"\"b\"\", the\n2nd\",bo@a.de\r\n3,Cy,cy@a.de\n",
    "products.csv": "price,ID,name\n2.5,1,Tea\n0,2,Air\n",
    "orders.csv": "id,user_id,product_id,quantity\n1,1,1,1\n2,2,2,2\n3,3,1,3\n",
}


class Load(sheaf.Case):
    def load(self, *arguments, status=0, args=(), **options):
        return self.ran("load", "--data", self.data, "--quiet", *args, *arguments, status=status, **options)

    def files(self, **changed):
        names = {}
        for name, content in SHOP.items():
            table = name.split(".")[0]
            names[table] = f"{table}={self.path(name, changed.get(table, content))}"
        return names

    def rejects(self, *arguments, status=1, args=(), **options):
        path = self.path("rejects.ndjson")
        self.load(*arguments, status=status, args=("--rejects", path, *args), **options)
        with open(path, "rb") as file:
            return [json.loads(line) for line in file]

    def test_a_mistaken_command_binds_no_directory_to_a_schema(self):
        schema = self.path("own.sql", "CREATE TABLE cats (id INTEGER PRIMARY KEY);\n")
        cats = self.path("cats.csv", "id\n1\n")
        self.ran("load", "--data", self.data, f"cats={cats}", status=2)  # without --schema: the shop has no cats
        self.ran("load", "--data", self.data, "users=" + self.path("none.csv"), status=2)
        self.ran("load", "--data", self.data, "users", status=2)
        self.ran("demo", "--data", self.data, "--config", self.path("c.conf", f"[coordinator]\nschema = {schema}\n"), status=2)
        self.ran("load", "--data", self.data, "--schema", schema, f"cats={cats}")
        self.assertEqual(sheaf.rows(self.data, "cats"), [(1,)])

    def test_the_order_of_the_files_does_not_matter(self):
        f = self.files()
        self.load(f["orders"], f["products"], f["users"])
        self.assertEqual(sheaf.rows(self.data, "users"),
                         [(1, "Ann", "ann@a.de"), (2, 'Bo "b", the\n2nd', "bo@a.de"), (3, "Cy", "cy@a.de")])
        self.assertEqual(sheaf.rows(self.data, "products"), [(1, "Tea", 2.5), (2, "Air", 0.0)])
        self.assertEqual(sheaf.rows(self.data, "orders"), [(1, 1, 1, 1), (2, 2, 2, 2), (3, 3, 1, 3)])

    def test_loading_again_inserts_nothing_and_says_so(self):
        f = self.files()
        first = self.load(*f.values())
        again = self.load(*f.values())
        self.assertIn("already there", again.stdout.lower())
        self.assertNotEqual(first.stdout, again.stdout)
        self.assertEqual(len(sheaf.rows(self.data, "orders")), 3)

    def test_refused_rows_do_not_stop_the_others(self):
        f = self.files(orders="id,user_id,product_id,quantity\n1,1,1,1\n2,9,1,1\n3,9,9,1\n4,1,1,0\n5,1,1,x\n6,1,1,6\n1,1,1,2\n")
        found = self.rejects(*f.values())
        self.assertEqual([(r["line"], r["code"], r["constraint"]) for r in found],
                         [(3, "reference_missing", "user_id"), (4, "reference_missing", "user_id"),
                          (5, "check", "quantity_positive"), (6, "type", "quantity"), (8, "unique", "id")])
        self.assertEqual([r["raw"] for r in found], ["2,9,1,1", "3,9,9,1", "4,1,1,0", "5,1,1,x", "1,1,1,2"])
        self.assertEqual({r["file"] for r in found}, {self.path("orders.csv")})
        self.assertEqual([r[0] for r in sheaf.rows(self.data, "orders")], [1, 6])

    def test_raw_can_be_mended_and_loaded_again(self):
        f = self.files(users="id,name,email\n1,Ann,ann@a.de\n2,\"B\no\",bo-at-a.de\n3,Cy,cy@a.de\n")
        found = self.rejects(f["users"])
        self.assertEqual([(r["line"], r["raw"]) for r in found], [(3, '2,"B\no",bo-at-a.de')])
        mended = self.path("mended.csv", "id,name,email\n" + found[0]["raw"].replace("-at-", "@") + "\n")
        self.load(f"users={mended}")
        self.assertEqual(sheaf.rows(self.data, "users")[1], (2, "B\no", "bo@a.de"))

    def test_children_of_refused_rows_are_refused_too(self):
        f = self.files(users="id,name,email\n1,Ann,ann@a.de\n2,,bo@a.de\n3, ,cy@a.de\n")
        found = self.rejects(*f.values())
        self.assertEqual(sorted((r["table"], r["line"], r["code"]) for r in found),
                         [("orders", 3, "reference_missing"), ("orders", 4, "reference_missing"),
                          ("users", 3, "not_null"), ("users", 4, "check")])

    def test_records_that_are_no_records(self):
        users = (b"id,name,email\n" b"1,a,a@a.de\n"  # 2
                 b"2,b\n" b"3,c,c@a.de,x\n"  # 3 too few, 4 too many
                 b"4,\xff,d@a.de\n" b"5,e\0e,e@a.de\n"  # 5 not UTF-8, 6 NUL
                 b"6,f,f@a.de\n"  # 7
                 b"7,\"g\"g,g@a.de\n"  # 8 text behind a quote
                 b"\n"  # 9 blank: skipped
                 b"99999999999999999999,h,h@a.de\n"  # 10 out of range
                 b"8,i,i@a.de\n")  # 11
        found = self.rejects(f"users={self.path('u.csv', users)}")
        self.assertEqual([(r["line"], r["code"]) for r in found],
                         [(3, "parse"), (4, "parse"), (5, "parse"), (6, "parse"), (8, "parse"), (10, "type")])
        self.assertEqual(found[2]["raw"], {"hex": b"4,\xff,d@a.de".hex()})
        self.assertEqual([r[0] for r in sheaf.rows(self.data, "users")], [1, 6, 8])

    def test_an_unclosed_quote_does_not_eat_the_file(self):
        users = "id,name,email\n1,a,a@a.de\n2,\"b,b@a.de\n3,c,c@a.de\n4,d,d@a.de\n"
        found = self.rejects(f"users={self.path('u.csv', users)}")
        self.assertEqual((found[0]["line"], found[0]["code"]), (3, "parse"))
        self.assertEqual([r[0] for r in sheaf.rows(self.data, "users")], [1, 3, 4])

    def test_huge_fields_and_lines(self):
        path = self.path("u.csv")
        with open(path, "w") as file:
            file.write("id,name,email\n1,a,a@a.de\n2," + "b" * 40_000_000 + ",b@a.de\n3,c,c@a.de\n")
            for _ in range(100):
                file.write("x" * 1_000_000)
            file.write("\n4,d,d@a.de\n")
        found = self.rejects(f"users={path}")
        self.assertEqual([(r["line"], r["code"]) for r in found], [(3, "too_large"), (5, "too_large")])
        self.assertTrue(all(r["truncated"] and len(r["raw"]) <= 1 << 20 for r in found))
        self.assertEqual([r[0] for r in sheaf.rows(self.data, "users")], [1, 3, 4])

    def test_a_huge_field_with_line_ends_is_one_refusal(self):
        text = "id,name,email\n1,a,a@a.de\n2,\"" + "9,z,z@z.de\n" * 200_000 + "\",b@a.de\n3,c,c@a.de\n"
        for source in ({}, {"input": text}):
            found = self.rejects("users=" + ("-" if source else self.path("u.csv", text)), **source)
            self.assertEqual([(r["line"], r["code"], r["truncated"]) for r in found], [(3, "too_large", True)])
            self.assertEqual(found[0]["raw"], text[25:25 + (1 << 20)])
            self.assertEqual([r[0] for r in sheaf.rows(self.data, "users")], [1, 3])

    def test_headers_that_are_wrong(self):
        for header, word in (("id,name,email,colour", "colour"), ("id,name,email\0", "NUL"), ("id,name,email,Name", "ame"), ("", ""), ("id,name,", "")):
            path = self.path("u.csv", header + "\n1,2,3,4\n" if header else "")
            result = self.load(f"users={path}", status=2)
            self.assertIn(path, result.stderr)
            self.assertIn(word, result.stderr)
        schema = self.path("s.sql", "CREATE TABLE t (k TEXT PRIMARY KEY, v);")
        path = self.path("t.csv", "v\n1\n")
        self.data = self.path("other")
        result = self.load(f"t={path}", args=("--schema", schema), status=2)
        self.assertIn("k", result.stderr)

    def test_what_cannot_be_loaded(self):
        path = self.path("u.csv", SHOP["users.csv"])
        for argument in (f"colours={path}", f"users={path}.absent", "users", "=x", f"users={self.folder}", f"users={path}.xyz"):
            result = self.load(argument, status=2)
            self.assertTrue(result.stderr)
        self.load(status=2)
        locked = self.path("locked.csv", "id\n")
        if os.getuid():
            os.chmod(locked, 0)
            self.load(f"users={locked}", status=2)

    def test_null_empty_and_defaults(self):
        schema = self.path("s.sql", "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT, b TEXT DEFAULT 'dflt', c BLOB, "
                                    "d AS (a || '!'), n NUMERIC);")
        path = self.path("t.csv", "\ufeffid,a,c,n\n1,,00ff,1.50\n2,\"\",,007\n3,NULL,\"\",x\n4,a,0g,1\n")
        path2 = self.path("r.ndjson")
        self.load(f"t={path}", args=("--schema", schema, "--rejects", path2), status=1)
        self.assertEqual(sheaf.rows(self.data, "t"),
                         [(1, None, "dflt", b"\0\xff", None, 1.5), (2, "", "dflt", None, "!", 7), (3, "NULL", "dflt", b"", "NULL!", "x")])
        with open(path2) as file:
            self.assertEqual([json.loads(l)["line"] for l in file], [5])

    def test_tsv_ndjson_and_msgpack(self):
        tsv = self.path("u.tsv", "id\tname\temail\n1\tA, a\ta@a.de\n")
        ndjson = self.path("p.ndjson", '{"id":1,"name":"T\\u00e9a","price":2}\n\n{"id":2,"name":"x","price":"y"}\n{"id":3}\nnonsense\n'
                                       '{"id":4,"name":"z","price":1,"q":1}\n{"id":5,"name":"ok","price":9007199254740993}\n')
        found = self.rejects(f"users={tsv}", f"products={ndjson}")
        self.assertEqual([(r["line"], r["code"]) for r in found],
                         [(3, "type"), (4, "not_null"), (5, "parse"), (6, "unknown_column")])
        self.assertEqual(sheaf.rows(self.data, "users"), [(1, "A, a", "a@a.de")])
        self.assertEqual([r[0] for r in sheaf.rows(self.data, "products")], [1, 5])
        packed = b"".join(b"\x84\xa2id" + bytes([n]) + b"\xa7user_id\x01\xaaproduct_id\x01\xa8quantity" + q
                          for n, q in ((1, b"\x01"), (2, b"\xc3"), (3, b"\xcf" + struct.pack(">Q", 2**63)), (4, b"\x04")))
        found = self.rejects(f"orders={self.path('o.msgpack', packed)}")
        self.assertEqual([r["line"] for r in found], [2, 3])
        self.assertEqual([r[0] for r in sheaf.rows(self.data, "orders")], [1, 4])

    def test_msgpack_that_lies(self):
        good = b"\x83\xa2id\x01\xa4name\xa1a\xa5email\xa6a@a.de"
        for n, bad in enumerate((b"\xdf\xff\xff\xff\xff", b"\xdd\xff\xff\xff\xff", b"\x83\xa2id", b"\xdb\xff\xff\xff\xff", b"\xc1", b"\x05")):
            self.data = self.path(f"data{n}")
            # behind a byte that is no msgpack the next record cannot be found: the rest of the file is unreadable
            found = self.rejects(f"users={self.path('u.msgpack', good + bad)}", status=2 if bad == b"\xc1" else 1)
            self.assertEqual(found[0]["code"], "parse", bad)
            self.assertEqual(found[0]["line"], 2)
            self.assertEqual(len(sheaf.rows(self.data, "users")), 1)

    def test_stdin(self):
        self.load("users=-", input=SHOP["users.csv"])
        self.load("products=-", args=("--format", "ndjson"), input='{"id":1,"name":"x","price":1}\n')
        self.assertEqual(len(sheaf.rows(self.data, "users")) + len(sheaf.rows(self.data, "products")), 4)

    def until(self, what):
        """Waits for something that a running load does."""
        end = time.monotonic() + sheaf.TIMEOUT_S
        while not what():
            self.assertLess(time.monotonic(), end, "it never came")
            time.sleep(0.01)

    def test_what_has_come_through_a_pipe_is_loaded_while_the_rest_is_waited_for(self):
        rejects = self.path("rejects")
        process = sheaf.start("load", "--quiet", "--data", self.data, "--rejects", rejects, "users=-")

        def write(text):
            process.stdin.write(text)
            process.stdin.flush()

        def there():
            try:
                return [row[0] for row in sheaf.rows(self.data, "users")]
            except sqlite3.Error:
                return None

        write(b"id,name,email\n1,Ann,a@b.org\n2,")
        self.until(lambda: there() == [1])
        write(b"Bob,b@b.org\n0,Eve,e@b.org\n")
        self.until(lambda: there() == [1, 2])
        write(b'3,"C\n')  # the quote may go on
        write(b'",c@b.org\n')
        self.until(lambda: there() == [1, 2, 3])
        out, _ = process.communicate(b"4,Dan,d@b.org")
        self.assertEqual(process.returncode, 1)
        self.assertEqual(there(), [1, 2, 3, 4])
        with open(rejects) as file:
            self.assertEqual(len(file.readlines()), 1, out)

    def test_rejects_never_overwrite_an_input(self):
        f = self.files()
        path = self.path("users.csv")
        link = self.path("link")
        os.symlink(path, link)
        for target in (path, link):
            self.load(*f.values(), args=("--rejects", target), status=2)
            with open(path, newline="") as file:
                self.assertEqual(file.read(), SHOP["users.csv"])

    def test_no_output_replaces_what_is_read_or_a_database(self):
        schema = self.path("s.sql", "CREATE TABLE t (id INTEGER PRIMARY KEY);")
        config = self.path("c.conf", "[limits]\nanswer_ms = 5000\n")
        rows = self.path("t.csv", "id\n1\n1x\n")
        other = self.path("rejects.ndjson")
        common = ("--schema", schema, "--config", config)
        self.load(f"t={rows}", args=common, status=1)
        kept = {path: open(path, "rb").read() for path in (schema, config, rows)}
        for target in (schema, config, rows, sheaf.database(self.data, "t"), os.path.join(self.data, "sheaf.cluster")):
            for option in ("--rejects", "--metrics-file"):
                result = self.load(f"t={rows}", args=(*common, option, target), status=2)
                self.assertIn(f"{option} {target}: ", result.stderr)
        with open(rows) as stdin:
            done = subprocess.run([sheaf.COORDINATOR, "insert", "--data", self.data, "--metrics-file", rows], stdin=stdin,
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=sheaf.environment())
        self.assertEqual(done.returncode, 2, done.stderr)
        self.load(f"t={rows}", args=(*common, "--rejects", other, "--metrics-file", other), status=2)
        for path, content in kept.items():
            with open(path, "rb") as file:
                self.assertEqual(file.read(), content, path)
        self.assertEqual(sheaf.rows(self.data, "t"), [(1,)])

    def test_no_output_is_made_in_the_data_directory(self):
        f = self.files()
        self.load(f["users"])
        before = sorted(os.listdir(self.data))
        inside = os.path.join(self.data, "new.json")
        link, chain = self.path("link"), self.path("chain")
        os.symlink(inside, link)
        os.symlink("link", chain)
        for target in (inside, link, chain, os.path.join(self.data, "..", "data", "new.json")):
            for option in ("--rejects", "--metrics-file"):
                result = self.load(f["users"], args=("--metrics", "json", option, target), status=2)
                self.assertIn(f"{option} {target}: ", result.stderr)
                self.assertEqual(sorted(os.listdir(self.data)), before)
        os.unlink(link)
        os.symlink("made.json", link)
        self.load(f["users"], args=("--rejects", chain))  # a link to nothing is where it points
        fresh = self.path("fresh")
        self.ran("load", "--data", fresh, f["users"], "--rejects", os.path.join(fresh, "new.json"), status=2)
        self.assertFalse(os.path.exists(fresh))
        self.assertTrue(os.path.exists(self.path("made.json")))

    def test_an_output_that_cannot_be_made_is_known_before_anything_is_loaded(self):
        f = self.files()
        for target in (self.path("absent/x.json"), ""):
            for option in ("--rejects", "--metrics-file"):
                result = self.load(f["users"], args=(option, target), status=2)
                self.assertIn(f"{option}", result.stderr)
                self.assertEqual(result.stdout, "")
        self.assertFalse(os.path.exists(sheaf.database(self.data, "users")))

    def test_rejects_that_are_being_mended_survive_a_wrong_header(self):
        f = self.files()
        wrong, rejects = self.path("wrong.csv", "id,nonsense\n1,2\n"), self.path("rejects.ndjson", "being mended\n")
        for files in ([f"users={wrong}"], [f["users"], f"products={wrong}"]):
            self.load(*files, args=("--rejects", rejects), status=2)
            with open(rejects) as file:
                self.assertEqual(file.read(), "being mended\n")
        self.load(f["users"], args=("--rejects", rejects))  # nothing refused: and nothing of an earlier load in it
        self.assertEqual(os.path.getsize(rejects), 0)

    def test_a_stdout_that_is_closed_is_no_success(self):
        f = self.files()
        command = [sheaf.COORDINATOR, "load", "--quiet", "--data", self.data, f["users"]]
        done = subprocess.run(["sh", "-c", '"$@" >&-', "sh", *command], stderr=subprocess.PIPE, env=sheaf.environment())
        self.assertEqual(done.returncode, 3, done.stderr)
        self.assertIn(b"stdout: ", done.stderr)
        self.assertEqual(len(sheaf.rows(self.data, "users")), 3)

    def test_stop_on_error_keeps_what_was_committed(self):
        count = 50_000
        lines = [f"{n},u{n},u{n}@a.de" for n in range(1, count + 1)]
        lines[10] = "11,,x@a.de"
        path = self.path("u.csv", "id,name,email\n" + "\n".join(lines) + "\n")
        self.load(f"users={path}", args=("--stop-on-error",), status=1)
        there = [r[0] for r in sheaf.rows(self.data, "users")]
        self.assertEqual(there, list(range(1, 11)))
        path = self.path("v.csv", "id,name,email\n91,a,a@v.de\n92,b,\n93,c,\n94,d,d@v.de\n95\n")
        found = self.rejects(f"users={path}", args=("--stop-on-error",))
        self.assertEqual([(r["line"], r["code"]) for r in found], [(3, "not_null")])
        self.assertEqual([r[0] for r in sheaf.rows(self.data, "users")], [*range(1, 11), 91])

    def test_rows_are_there_already_whatever_parent_their_defaults_name(self):
        schema = self.path("s.sql", "CREATE TABLE p (id INTEGER PRIMARY KEY);"
                                    "CREATE TABLE c (id INTEGER PRIMARY KEY, p INTEGER DEFAULT 7 REFERENCES p);"
                                    "CREATE TABLE e (id INTEGER PRIMARY KEY, boss INTEGER DEFAULT 7 REFERENCES e);")
        args = ("--schema", schema)
        p, c, e = (self.path(name, text) for name, text in (
            ("p.csv", "id\n8\n"), ("c.csv", "id,p\n" + "".join(f"{n},8\n" for n in range(1, 101))), ("e.csv", "id,boss\n8,\n1,8\n")))
        self.load(f"p={p}", f"c={c}", f"e={e}", args=args)
        ids = self.path("ids.csv", "id\n" + "".join(f"{n}\n" for n in [*range(1, 101), 101, 102]))
        for stop in ((), ("--stop-on-error",)):
            found = self.rejects(f"c={ids}", args=(*args, *stop))
            self.assertEqual([(r["line"], r["code"]) for r in found], [(102, "reference_missing"), (103, "reference_missing")][:2 - len(stop)])
            found = self.rejects("e=" + self.path("two.csv", "id\n1\n2\n"), args=(*args, *stop))
            self.assertEqual([(r["line"], r["code"]) for r in found], [(3, "reference_missing")])
        self.assertEqual(len(sheaf.rows(self.data, "c")), 100)

    def test_keys_are_assigned_to_rows_without_one(self):
        path = self.path("u.csv", "name,email\na,a@a.de\nb,b@a.de\n")
        self.load(f"users={path}")
        self.assertEqual(sheaf.rows(self.data, "users"), [(1, "a", "a@a.de"), (2, "b", "b@a.de")])
        self.load(f"users={path}", status=1)

    def test_employees_who_report_to_a_later_line(self):
        schema = self.path("s.sql", "CREATE TABLE e (id INTEGER PRIMARY KEY, boss INTEGER REFERENCES e(id));")
        path = self.path("e.csv", "id,boss\n1,2\n2,3\n3,\n4,5\n5,4\n6,6\n7,8\n8,99\n9,4\n")
        found = self.rejects(f"e={path}", args=("--schema", schema))
        self.assertEqual([(r["line"], r["code"]) for r in found], [(8, "reference_missing"), (9, "reference_missing")])
        self.assertEqual([r[0] for r in sheaf.rows(self.data, "e")], [1, 2, 3, 4, 5, 6, 9])

    def test_a_row_names_itself_through_another_type_and_collation(self):
        # an INSERT by itself compares the stored values as they are; a file as a whole is compared as foreign_key_check does
        schema = self.path("s.sql", "CREATE TABLE n (k NUMERIC NOT NULL PRIMARY KEY, r TEXT REFERENCES n(k));"
                                    "CREATE TABLE w (k TEXT COLLATE NOCASE NOT NULL PRIMARY KEY, r TEXT REFERENCES w(k));")
        n = self.path("n.ndjson", '{"k": 3, "r": 3}\n{"k": 4, "r": 3}\n{"k": 5, "r": "6"}\n')
        w = self.path("w.csv", "k,r\nb,B\nc,b\nd,E\n")
        found = self.rejects(f"n={n}", f"w={w}", args=("--schema", schema))
        self.assertEqual(sorted((r["table"], r["line"], r["code"]) for r in found),
                         [("n", 3, "reference_missing"), ("w", 4, "reference_missing")])
        self.assertEqual(sheaf.rows(self.data, "n"), [(3, "3"), (4, "3")])
        self.assertEqual(sheaf.rows(self.data, "w"), [("b", "B"), ("c", "b")])

    def test_generated_columns_refer_too(self):
        schema = self.path("s.sql", "CREATE TABLE p (id INTEGER PRIMARY KEY);"
                                    "CREATE TABLE c (id INTEGER PRIMARY KEY, x INTEGER, v INTEGER AS (x + 1) REFERENCES p);"
                                    "CREATE TABLE e (id INTEGER PRIMARY KEY, above INTEGER AS (CASE WHEN id < 5 THEN id + 1 END) REFERENCES e);")
        p, c = self.path("p.csv", "id\n2\n3\n"), self.path("c.csv", "id,x\n1,1\n2,2\n3,3\n4,\n")
        e = self.path("e.csv", "id\n1\n3\n4\n5\n")
        for _ in range(2):
            found = self.rejects(f"c={c}", f"p={p}", f"e={e}", args=("--schema", schema))
            self.assertEqual(sorted((r["table"], r["line"], r["code"], r["constraint"]) for r in found),
                             [("c", 4, "reference_missing", "v"), ("e", 2, "reference_missing", "above")])
            self.assertEqual([row[0] for row in sheaf.rows(self.data, "c")], [1, 2, 4])
            self.assertEqual([row[0] for row in sheaf.rows(self.data, "e")], [3, 4, 5])

    def test_circles_between_databases(self):
        schema = self.path("s.sql", "CREATE TABLE a (id INTEGER PRIMARY KEY, b INTEGER NOT NULL REFERENCES b(id));"
                                    "CREATE TABLE b (id INTEGER PRIMARY KEY, a INTEGER NOT NULL REFERENCES a(id), u TEXT UNIQUE);")
        a = self.path("a.csv", "id,b\n1,1\n2,3\n3,2\n4,9\n5,1\n")
        b = self.path("b.csv", "id,a,u\n1,1,x\n2,2,y\n3,3,z\n4,4,w\n5,5,x\n")
        found = self.rejects(f"a={a}", f"b={b}", args=("--schema", schema))
        self.assertEqual(sorted((r["table"], r["line"], r["code"]) for r in found),
                         [("a", 5, "reference_missing"), ("b", 5, "reference_missing"), ("b", 6, "unique")])
        self.assertEqual(sheaf.rows(self.data, "a"), [(1, 1), (2, 3), (3, 2), (5, 1)])
        self.assertEqual([r[:2] for r in sheaf.rows(self.data, "b")], [(1, 1), (2, 2), (3, 3)])
        with sheaf.opened(self.data, "a") as db:
            for table in ("_sheaf_prepared", "_sheaf_decision"):
                self.assertEqual(db.execute(f"SELECT count(*) FROM {table}").fetchone(), (0,))

    def test_a_chain_of_many_employees(self):
        count = 30_000
        schema = self.path("s.sql", "CREATE TABLE e (id INTEGER PRIMARY KEY, boss INTEGER REFERENCES e(id));")
        path = self.path("e.csv", "id,boss\n" + "".join(f"{n},{n + 1 if n < count else ''}\n" for n in range(1, count + 1)))
        self.load(f"e={path}", args=("--schema", schema))
        self.assertEqual(len(sheaf.rows(self.data, "e")), count)

    def test_several_tables_in_one_database(self):
        config = self.path("sheaf.conf", "[database shop]\ntables = users, products\n")
        self.load(*self.files().values(), args=("--config", config))
        self.assertEqual(len(sheaf.rows(self.data, "products", name="shop")), 2)
        self.assertEqual(sorted(n for n in os.listdir(self.data) if n.endswith(".db")), ["orders.db", "shop.db"])
        other = self.path("other.conf", "[database shop]\ntables = users, orders\n")
        result = self.load(*self.files().values(), args=("--config", other), status=2)
        self.assertIn("table products is stored in database shop", result.stderr)

    def test_metrics(self):
        f = self.files()
        metrics = self.path("metrics.json")
        self.load(*f.values(), args=("--metrics", "json", "--metrics-file", metrics))
        with open(metrics) as file:
            content = json.load(file)
        text = json.dumps(content)
        for name in ("users", "products", "orders"):
            self.assertIn(name, text)
        for step in ("parse", "wait", "check", "queue", "decode", "apply", "commit", "total"):
            self.assertIn(step, text)
        none = self.load(*f.values(), args=("--metrics", "none"))
        self.assertNotIn("p99", none.stdout)
        self.assertIn("p99", self.load(*f.values()).stdout)

    def test_killed_at_any_moment_and_started_again_it_ends_in_the_same_state(self):
        count = 60_000
        users = self.path("u.csv", "id,name,email\n" + "".join(f"{n},n{n},u{n}@a.de\n" for n in range(1, count // 10)))
        products = self.path("p.csv", "id,name,price\n1,p,1\n")
        orders = self.path("o.csv", "id,user_id,product_id,quantity\n" +
                           "".join(f"{n},{n % (count // 10 + 5) + 1},1,1\n" for n in range(1, count)))
        arguments = (f"orders={orders}", f"users={users}", f"products={products}")
        whole, self.data = self.data, self.path("whole")
        self.load(*arguments, status=1)
        want = {t: sheaf.rows(self.data, t) for t in sheaf.SHOP_TABLES}
        self.data = whole
        for tenth in range(1, 9):
            process = sheaf.start("load", "--quiet", "--data", self.data, *arguments)
            try:
                process.communicate(timeout=0.06 * tenth)
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()
        self.load(*arguments, status=1)
        self.assertEqual({t: sheaf.rows(self.data, t) for t in sheaf.SHOP_TABLES}, want)

    def test_an_interrupted_load_finishes_what_was_begun(self):
        reader, writer = os.pipe()
        process = sheaf.start("load", "--quiet", "--data", self.data, "users=-", stdin=reader)
        os.close(reader)
        os.write(writer, b"id,name,email\n1,a,a@a.de\n")
        while not os.path.exists(sheaf.database(self.data, "users")) or not self.has_table():
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=20)
        os.close(writer)
        self.assertEqual(process.returncode, 130)

    def has_table(self):
        try:
            sheaf.rows(self.data, "users")
            return True
        except Exception:
            return False


if __name__ == "__main__":
    sheaf.main()
