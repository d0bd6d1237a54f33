# SPDX-License-Identifier: Apache-2.0
"""coordinator check: each kind of damage is planted with another SQLite and found; what is whole is found whole."""

import contextlib
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys

import sheaf

SCHEMA = """
CREATE TABLE towns (name TEXT PRIMARY KEY COLLATE NOCASE, mayor TEXT);
CREATE INDEX towns_mayor ON towns (mayor);
CREATE TABLE people (id INTEGER PRIMARY KEY, town TEXT REFERENCES towns(name), boss INTEGER REFERENCES people(id),
  age INTEGER NOT NULL CHECK (age < 200), email TEXT UNIQUE);
CREATE TABLE seats (room INTEGER, number TEXT, PRIMARY KEY (number, room)) WITHOUT ROWID;
CREATE TABLE tickets (code TEXT PRIMARY KEY, holder TEXT REFERENCES people(id), room, number,
  FOREIGN KEY (room, number) REFERENCES seats(room, number));
"""
TOWNS = [{"name": "Oslo", "mayor": "A"}, {"name": "Rome", "mayor": "B"}]
PEOPLE = [{"id": 1, "town": "OSLO", "boss": 1, "age": 40, "email": "a"}, {"id": 2, "town": None, "boss": 1, "age": 50},
          {"id": 3, "town": "rome", "boss": None, "age": 60, "email": "c"}]
SEATS = [{"room": 1, "number": "1"}, {"room": 1, "number": "2"}]
TICKETS = [{"code": "x", "holder": "2", "room": "1", "number": 2}, {"code": "y", "holder": None, "room": 9, "number": None},
           {"code": "z", "holder": "3", "room": 1, "number": "1"}]
EMPTY_ARRAY = b"\x90"  # a promise of no rows


class Check(sheaf.Case):
    def setUp(self):
        super().setUp()
        self.schema = self.path("schema.sql", SCHEMA)
        self.fill(self.data)

    def fill(self, data, *args):
        rows = [dict(table=t, **r) for t, rs in (("towns", TOWNS), ("people", PEOPLE), ("seats", SEATS), ("tickets", TICKETS))
                for r in rs]
        self.insert(*rows, data=data, args=("--schema", self.schema, "--quiet", *args))

    def check(self, status, *said, data=None, **options):
        """Runs the check, which must change nothing, and looks for each text in what it says."""
        data = data or self.data
        before = self.content(data)
        result = self.ran("check", "--data", data, status=status, **options)
        self.assertEqual(self.content(data), before, "the check changed something")
        for text in said:
            self.assertIn(text, result.stdout, str(result))
        return result.stdout

    def content(self, data):
        found = {}
        for name in sorted(os.listdir(data)):
            if name.endswith("-shm"):  # where SQLite's readers leave their marks
                continue
            with open(os.path.join(data, name), "rb") as file:
                found[name] = file.read()
        return found

    def damage(self, name, *statements, data=None):
        """What another program does to a file."""
        connection = sqlite3.connect(sheaf.database(data or self.data, name), isolation_level=None)
        with contextlib.closing(connection):
            for statement in statements:
                connection.execute(*([statement] if isinstance(statement, str) else statement))

    def patch(self, name, at, content):
        with open(sheaf.database(self.data, name), "r+b") as file:
            file.seek(at)
            file.write(content)

    # ---- nothing is wrong

    def test_a_whole_directory_is_clean(self):
        out = self.check(0, "clean: 4 of 4 databases read", "0 wrong, 0 in doubt, 0 not read")
        for row in (r"towns +towns +2", r"people +people +3", r"tickets +tickets +3", r"all +10",
                    r"people\(town\) +towns +2 +0 +0", r"people\(boss\) +people +2 +0 +0",
                    r"tickets\(holder\) +people +2 +0 +0", r"tickets\(room,number\) +seats +2 +0 +0"):
            self.assertRegex(out, row)

    def test_bare_files_elsewhere_do_as_well(self):
        copy = self.path("copy of it%")
        os.mkdir(copy)
        for name in os.listdir(self.data):
            if name.endswith(".db"):
                shutil.copy(os.path.join(self.data, name), copy)
        self.check(0, "clean: 4 of 4", data=copy)
        self.damage("people", "DELETE FROM people WHERE id = 2", data=copy)
        self.check(1, "row 'x' names '2', which is not there", data=copy)

    def test_what_stands_in_a_wal_beside_a_copy_is_read(self):
        for with_shm in (False, True):
            copy = self.path(f"copy{with_shm}")
            os.mkdir(copy)
            connection = sqlite3.connect(sheaf.database(self.data, "people"), isolation_level=None)
            connection.execute("DELETE FROM people WHERE id = 2")
            for name in os.listdir(self.data):
                if name.endswith((".db", "-wal", "-shm")[: 3 if with_shm else 2]):
                    shutil.copy(os.path.join(self.data, name), copy)
            connection.execute("INSERT INTO people (id, boss, age) VALUES (2, 1, 50)")
            connection.close()
            self.check(0)
            self.assertTrue(os.path.exists(os.path.join(copy, "people.db-wal")))
            result = self.ran("check", "--data", copy, status=1)
            self.assertIn("row 'x' names '2', which is not there", result.stdout)
            if not with_shm:
                self.assertFalse(os.path.exists(os.path.join(copy, "people.db-shm")))

    def as_nobody(self):
        """Somebody whom a directory's mode binds (root, as whom tests often run, is not)."""
        return (lambda: (os.setgid(65534), os.setuid(65534))) if os.getuid() == 0 else None

    def test_a_directory_that_cannot_be_written_is_read(self):
        connection = sqlite3.connect(sheaf.database(self.data, "towns"), isolation_level=None)
        self.addCleanup(connection.close)
        connection.execute("INSERT INTO towns VALUES ('Bonn', 'C')")  # stays in the WAL while it is copied
        for kind, endings in (("bare", (".db",)), ("wal", (".db", "-wal")), ("shm", (".db", "-wal", "-shm"))):
            with self.subTest(kind):
                copy = self.path(kind)
                os.mkdir(copy)
                for name in os.listdir(self.data):
                    if name.endswith(endings):
                        shutil.copy(os.path.join(self.data, name), copy)
                        os.chmod(os.path.join(copy, name), 0o444)
                os.chmod(self.folder, 0o755)
                os.chmod(copy, 0o555)
                out = self.check(0, "clean: 4 of 4", data=copy, preexec_fn=self.as_nobody())
                self.assertRegex(out, r"towns +towns +%d" % (2 if kind == "bare" else 3))

    # ---- references

    def test_a_child_without_its_parent_is_named(self):
        self.damage("people", "DELETE FROM people WHERE id = 2")
        self.check(1, "tickets(holder) -> people(id): row 'x' names '2', which is not there", "not clean: 4 of 4", "1 wrong")

    def test_a_composite_key_is_compared_as_a_whole(self):
        self.damage("seats", "UPDATE seats SET room = 2 WHERE number = '2'")
        out = self.check(1, "tickets(room,number) -> seats(number,room): row 'x' names 2, '1', which is not there", "1 wrong")
        self.assertRegex(out, r"tickets\(room,number\) +seats +2 +1 +0")

    def test_text_is_compared_by_the_parents_collation_only(self):
        self.damage("towns", "UPDATE towns SET name = 'Oslo ' WHERE name = 'Oslo'")
        self.check(1, "people(town) -> towns(name): row 1 names 'OSLO', which is not there", "1 wrong")

    def test_a_reference_within_a_file_is_checked_too(self):
        self.damage("people", "UPDATE people SET boss = 77 WHERE id = 3")
        self.check(1, "people(boss) -> people(id): row 3 names 77, which is not there")

    def test_twenty_offenders_are_shown_and_the_rest_counted(self):
        self.damage("people", "WITH RECURSIVE n(i) AS (SELECT 100 UNION ALL SELECT i + 1 FROM n WHERE i < 149)"
                              " INSERT INTO people (id, boss, age) SELECT i, i + 1000, 1 FROM n")
        out = self.check(1, "people(boss) -> people(id): and 30 more rows")
        self.assertEqual(out.count("which is not there"), 20)
        self.assertRegex(out, r"people\(boss\) +people +52 +50 +0")

    # ---- files

    def test_a_missing_file_is_named_and_the_others_are_checked(self):
        os.unlink(sheaf.database(self.data, "seats"))
        self.damage("people", "DELETE FROM people WHERE id = 2")
        out = self.check(1, "wrong: seats.db: the file is missing", "names '2', which is not there", "3 of 4 databases")
        self.assertRegex(out, r"tickets\(room,number\) +seats +not read")
        self.assertRegex(out, r"seats +seats +not read")

    def test_a_file_with_an_address_may_be_elsewhere(self):
        os.unlink(sheaf.database(self.data, "seats"))
        self.path("data/sheaf.conf", "[database seats]\ntables = seats\naddress = tcp://127.0.0.1:7401\n")
        out = self.check(0, "remark: seats.db: it is kept elsewhere and was not looked at", "clean: 3 of 4",
                         "0 not read, 1 elsewhere")
        self.assertRegex(out, r"seats +seats +elsewhere")
        self.assertRegex(out, r"tickets\(room,number\) +seats +elsewhere")
        self.assertNotIn(" not read\n", out)

    def test_a_corrupt_page_is_found(self):
        size = os.path.getsize(sheaf.database(self.data, "people"))
        with opened_raw(self.data, "people") as connection:
            root, = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'people'").fetchone()
        self.assertLess(root * 4096, size)
        self.patch("people", (root - 1) * 4096, os.urandom(1) + b"\xff" * 200)
        self.check(1, "wrong: people.db: ", "malformed")

    def test_what_is_no_database_is_found(self):
        self.patch("people", 0, b"no database at all")
        self.check(1, "wrong: people.db: it is damaged: file is not a database")

    def test_an_index_that_lost_an_entry_is_found(self):
        self.damage("people", "PRAGMA writable_schema = ON",
                    "UPDATE sqlite_schema SET rootpage = (SELECT rootpage FROM sqlite_schema WHERE name = '_sheaf_applied')"
                    " WHERE name = 'sqlite_autoindex_people_1'")
        self.check(1, "wrong: people.db: integrity: ")

    def test_a_row_that_its_rules_forbid_is_found(self):
        self.damage("people", "PRAGMA ignore_check_constraints = ON", "UPDATE people SET age = 300 WHERE id = 1")
        self.check(1, "wrong: people: people: row 1: CHECK constraint failed: age < 200", "1 wrong")
        self.damage("people", "PRAGMA writable_schema = ON",
                    "UPDATE sqlite_schema SET sql = replace(sql, 'age INTEGER NOT NULL', 'age INTEGER         ') WHERE name = 'people'")
        self.damage("people", "UPDATE people SET age = NULL WHERE id = 2")
        self.damage("people", "PRAGMA writable_schema = ON",
                    "UPDATE sqlite_schema SET sql = replace(sql, 'age INTEGER         ', 'age INTEGER NOT NULL') WHERE name = 'people'")
        self.check(1, "integrity: NULL value in people.age", "2 wrong")

    def test_many_rows_that_break_a_rule_are_shown_in_part(self):
        self.damage("people", "PRAGMA ignore_check_constraints = ON",
                    "WITH RECURSIVE n(i) AS (SELECT 100 UNION ALL SELECT i + 1 FROM n WHERE i < 149)"
                    " INSERT INTO people (id, age) SELECT i, 300 FROM n")
        self.check(1, "people: and 30 more rows that break a CHECK")

    def test_two_rows_with_one_unique_key_are_found(self):
        self.damage("people", "PRAGMA writable_schema = ON",
                    "UPDATE sqlite_schema SET sql = replace(sql, 'email TEXT UNIQUE', 'email TEXT') WHERE name = 'people'",
                    "UPDATE sqlite_schema SET sql = 'CREATE INDEX plain ON people (email)', name = 'plain'"
                    " WHERE name = 'sqlite_autoindex_people_1'")
        self.damage("people", "UPDATE people SET email = 'a' WHERE id = 3")
        self.damage("people", "PRAGMA writable_schema = ON",
                    "UPDATE sqlite_schema SET sql = replace(sql, 'email TEXT', 'email TEXT UNIQUE') WHERE name = 'people'",
                    "UPDATE sqlite_schema SET sql = NULL, name = 'sqlite_autoindex_people_1' WHERE name = 'plain'")
        self.check(1, "integrity: non-unique entry in index sqlite_autoindex_people_1", "1 wrong")

    def test_a_dropped_index_and_another_table_are_found(self):
        self.damage("towns", "DROP INDEX towns_mayor", "CREATE TABLE more (x)", "CREATE INDEX _sheaf_ix_1 ON towns (mayor)",
                    "ANALYZE")
        self.check(1, "towns.db: the index towns_mayor is not in it", "towns.db: the table more is in it and not in the schema",
                   "2 wrong")

    def test_another_column_is_found(self):
        self.damage("seats", "ALTER TABLE seats ADD COLUMN extra")
        self.check(1, "seats.db: the table seats differs from the schema: it is CREATE TABLE seats (room INTEGER", "1 wrong")

    def test_another_clusters_file_is_found(self):
        other = self.path("other")
        self.fill(other)
        shutil.copy(sheaf.database(other, "people"), sheaf.database(self.data, "people"))
        out = self.check(1, "wrong: people.db: it belongs to cluster ", "3 of 4 databases")
        os.unlink(os.path.join(self.data, "sheaf.cluster"))  # then the other three files are believed
        self.assertEqual(findings(self.check(1)), findings(out))

    def test_another_databases_file_is_found(self):
        shutil.copy(sheaf.database(self.data, "seats"), sheaf.database(self.data, "towns"))
        self.check(1, "wrong: towns.db: it is database seats's file")

    def test_another_programs_file_is_found(self):
        os.unlink(sheaf.database(self.data, "towns"))
        self.damage("towns", "CREATE TABLE towns (name TEXT PRIMARY KEY)")
        self.check(1, "wrong: towns.db: it is not one of Sheaf's: its application_id is 0")

    def test_another_stored_schema_is_found(self):
        self.damage("towns", "UPDATE _sheaf_meta SET value = value || 'CREATE TABLE z (x);' WHERE name = 'schema'")
        self.check(1, "wrong: towns.db: it was made with another schema than the other files: table z ")

    def test_a_newer_format_is_not_judged(self):
        self.damage("towns", "PRAGMA user_version = 99")
        self.check(3, "not read: towns.db: it has format 99")

    # ---- leftovers

    def promise(self, name, txn, home, locks=b"", ops=EMPTY_ARRAY):
        self.damage(name, ("INSERT INTO _sheaf_prepared VALUES (?, 1, ?, ?, ?)", (txn, home, ops, locks)))

    def test_a_promise_is_in_doubt(self):
        self.promise("people", 7, "towns")
        self.check(1, "in doubt: people: transaction 7 was promised here and not committed by its home towns",
                   "0 wrong, 1 in doubt")
        self.damage("towns", "INSERT INTO _sheaf_decision VALUES (7, 'people' || char(10))")
        self.check(1, "transaction 7 was promised here and committed by its home towns: the next start applies it",
                   "in doubt: towns: transaction 7 was committed here and is not finished", "0 wrong, 2 in doubt")
        self.insert(args=("--quiet",))
        self.check(0)

    def test_a_promise_that_no_start_can_resolve_is_wrong(self):
        self.promise("people", 7, "nowhere")
        self.promise("people", 8, "towns", ops=b"\x91\x92")
        self.promise("people", 9, "seats")
        self.damage("people", "INSERT INTO _sheaf_decision VALUES (10, 'seats' || char(10))")
        os.unlink(sheaf.database(self.data, "seats"))
        self.check(1, "wrong: people: transaction 7 was promised here, and its home nowhere is no database",
                   "wrong: people: transaction 8 was promised here (home towns), and its rows cannot be read",
                   "wrong: people: transaction 9 was promised here, and the file of its home seats",
                   "wrong: people: transaction 10 was committed here, and the file of seats", "5 wrong, 0 in doubt")

    def test_many_promises_are_shown_in_part(self):
        for txn in range(25):
            self.promise("people", txn, "towns")
        out = self.check(1, "and 5 more transactions promised here")
        self.assertEqual(out.count("was promised here"), 20)

    def test_a_killed_transaction_leaves_no_dangling_reference_that_counts(self):
        """Circles of rows over two databases, killed until a promise is left: in doubt, not dangling; then clean."""
        circle = self.path("circle.sql", "CREATE TABLE a (id INTEGER PRIMARY KEY, b INTEGER NOT NULL REFERENCES b(id));"
                                         "CREATE TABLE b (id INTEGER PRIMARY KEY, a INTEGER NOT NULL REFERENCES a(id));")
        files = [f"{t}={self.path(t + '.csv', f'id,{o}' + chr(10) + ''.join(f'{i},{i}' + chr(10) for i in range(1, 5001)))}"
                 for t, o in ("ab", "ba")]
        kinds = set()
        for attempt in range(60):
            data = self.path(f"circle{attempt}")
            process = sheaf.start("load", "--quiet", "--data", data, "--schema", circle, *files)
            self.wait_for_rows(process, data, "a", attempt * 40)
            for pid in sheaf.shardds_of(data)[attempt % 2:][:1]:
                os.kill(pid, signal.SIGKILL)
            process.kill()
            process.communicate()
            result = sheaf.run("check", "--data", data)
            self.assertIn(result.status, (0, 1), str(result))
            self.assertIn("0 wrong", result.stdout, str(result))
            kinds.add(result.status)
            if re.search(r"[ab]\([ab]\) +[ab] +\d+ +0 +[1-9]", result.stdout):
                kinds.add("reference in doubt")
            if "reference in doubt" in kinds:
                self.ran("insert", "--data", data, "--quiet")
                self.check(0, "0 wrong, 0 in doubt", data=data)
                return
            shutil.rmtree(data)
        self.fail(f"no kill left a reference in doubt: {kinds}")

    def wait_for_rows(self, process, data, table, rows):
        while process.poll() is None:
            with contextlib.suppress(sqlite3.Error), sheaf.opened(data, table) as connection:
                if connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0] > rows:
                    return

    # ---- beside a running system

    def test_a_running_insert_is_no_finding(self):
        """Parent and child by turns, so that every two snapshots are of moments with different rows."""
        count = 100_000
        lines = self.path("lines.ndjson", "".join(f'{{"table":"people","id":{i},"age":1}}\n'
                                                  f'{{"table":"tickets","code":"t{i}","holder":"{i}"}}\n'
                                                  for i in range(1000, 1000 + count)))
        with open(lines, "rb") as rows:
            process = subprocess.Popen([sheaf.COORDINATOR, "insert", "--quiet", "--data", self.data], stdin=rows,
                                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=sheaf.environment())
        self.wait_for_rows(process, self.data, "tickets", 1000)
        written = 0
        while process.poll() is None:
            result = self.ran("check", "--data", self.data)
            self.assertIn("0 wrong, 0 in doubt, 0 not read", result.stdout)
            written += "written to meanwhile" in result.stdout
        self.assertEqual(process.returncode, 0)
        self.assertGreater(written, 0, "no check ran beside the insert")
        self.assertRegex(self.check(0), f"tickets +tickets +{count + 3}")

    def test_what_dangles_beside_a_running_system_is_found(self):
        self.damage("people", "DELETE FROM people WHERE id = 2")
        process = sheaf.start("insert", "--quiet", "--data", self.data)
        self.addCleanup(process.communicate)
        process.stdin.write(b'{"table": "towns", "name": "Bonn"}\n')
        process.stdin.flush()
        process.stdout.readline()
        result = self.ran("check", "--data", self.data, status=1)
        self.assertIn("row 'x' names '2', which is not there", result.stdout)

    # ---- usage

    def test_what_cannot_be_checked(self):
        empty = self.path("empty")
        os.mkdir(empty)
        self.ran("check", "--data", empty, status=3)
        self.ran("check", "--data", self.path("absent"), status=3)
        self.assertFalse(os.path.exists(self.path("absent")))
        for wrong in (["extra"], ["--schema", self.schema], ["--metrics", "text"], ["--nonsense"]):
            self.ran("check", "--data", self.data, *wrong, status=2)
        self.assertIn("integrity_check", self.ran("check", "--help").stdout)

    def test_a_file_that_may_not_be_read_is_no_damage(self):
        os.chmod(self.folder, 0o755)
        os.chmod(self.data, 0o755)
        for name in os.listdir(self.data):
            os.chmod(os.path.join(self.data, name), 0o444)
        os.chmod(sheaf.database(self.data, "people"), 0)
        self.check(3, "not read: people.db: it cannot be read", preexec_fn=self.as_nobody())

    def test_sixty_four_databases_are_checked(self):
        tables = [f"t{i:02}" for i in range(64)]
        many = self.path("many.sql", "".join(f"CREATE TABLE {t} (id INTEGER PRIMARY KEY, p INTEGER REFERENCES {p}(id));\n"
                                             for t, p in zip(tables, tables[-1:] + tables[:-1])))
        data = self.path("many")
        self.insert(*(dict(table=t, id=1) for t in tables), data=data, args=("--schema", many, "--quiet"))
        for i, t in enumerate(tables):
            self.damage(t, f"UPDATE {t} SET p = {2 if i == 40 else 1}", data=data)
        self.check(1, "64 of 64 databases", "t40(p) -> t39(id): row 1 names 2", "1 wrong", data=data)


@contextlib.contextmanager
def opened_raw(data, name):
    connection = sqlite3.connect(f"file:{sheaf.database(data, name)}?immutable=1", uri=True)
    with contextlib.closing(connection):
        yield connection


def findings(text):
    return [line for line in text.splitlines() if line.startswith(("wrong:", "in doubt:", "not read:"))]


if __name__ == "__main__":
    sheaf.main()
