# SPDX-License-Identifier: Apache-2.0
"""A real record shop: eleven tables, eleven references, accents, NULLs and quoted commas, in one call and any order."""

import csv
import json
import os
import random
import shutil
import sqlite3
import subprocess

import sheaf

TABLES = ("Album Artist Customer Employee Genre Invoice InvoiceLine MediaType Playlist PlaylistTrack Track").split()
ROWS = 15607


@sheaf.needs_chinook
class Chinook(sheaf.Case):
    def arguments(self, folder=sheaf.CHINOOK):
        names = list(TABLES)
        random.Random(len(str(folder))).shuffle(names)
        return [f"{name}={folder}/{name}.csv" for name in names]

    def load(self, *arguments, status=0, args=()):
        return self.ran("load", "--data", self.data, "--quiet", "--schema", sheaf.CHINOOK / "schema.sql", *args, *arguments,
                        status=status)

    def broken(self, table, change):
        folder = self.path("broken")
        shutil.copytree(sheaf.CHINOOK, folder, copy_function=shutil.copyfile)
        os.chmod(folder, 0o755)
        path = os.path.join(folder, table + ".csv")
        with open(path, newline="") as file:
            lines = file.read().split("\n")
        with open(path, "w", newline="") as file:
            file.write("\n".join(change(lines)))
        return folder

    def one_file(self, folder):
        """What one SQLite file holds after its own import with foreign keys on, parents first."""
        db = sqlite3.connect(":memory:", isolation_level=None)
        db.execute("PRAGMA foreign_keys=ON")
        with open(sheaf.CHINOOK / "schema.sql") as file:
            db.executescript(file.read())
        refused = {}
        order = "Artist Genre MediaType Playlist Employee Album Track Customer Invoice InvoiceLine PlaylistTrack".split()
        for table in order:
            with open(os.path.join(folder, table + ".csv"), newline="") as file:
                records = list(csv.reader(file))
            header, records = records[0], records[1:]
            for n, record in enumerate(records):
                try:
                    db.execute(f"INSERT INTO {table} ({','.join(header)}) VALUES ({','.join('?' * len(header))})",
                               [None if v == "" else v for v in record])
                except sqlite3.IntegrityError as error:
                    refused.setdefault(table, []).append(str(error))
        return db, refused

    def test_fifteen_thousand_rows_and_none_refused(self):
        result = self.load(*self.arguments())
        db, refused = self.one_file(sheaf.CHINOOK)
        self.assertEqual(refused, {})
        total = 0
        for table in TABLES:
            want = sorted(db.execute(f"SELECT * FROM {table}").fetchall(), key=repr)
            self.assertEqual(sorted(sheaf.rows(self.data, table), key=repr), want, table)
            total += len(want)
            shell = subprocess.run(["sqlite3", sheaf.database(self.data, table), f"SELECT count(*) FROM {table}; PRAGMA integrity_check"],
                                   capture_output=True, text=True)
            self.assertEqual(shell.stdout.split(), [str(len(want)), "ok"], shell.stderr)
        self.assertEqual(total, ROWS)
        self.assertIn(str(ROWS), result.stdout)
        self.assertEqual(sorted(n for n in os.listdir(self.data) if n.endswith(".db")), sorted(t + ".db" for t in TABLES))
        again = self.load(*self.arguments())
        self.assertIn(str(ROWS), again.stdout)

    def refusals(self, folder):
        path = self.path("rejects.ndjson")
        self.load(*self.arguments(folder), args=("--rejects", path), status=1)
        with open(path) as file:
            return [json.loads(line) for line in file]

    def test_a_deleted_artist_takes_its_childrens_children(self):
        folder = self.broken("Artist", lambda lines: [l for l in lines if not l.startswith("1,")])
        found = self.refusals(folder)
        db, want = self.one_file(folder)
        self.assertGreater(len(want.get("PlaylistTrack", [])), 10)
        self.assertEqual({t: sum(r["table"] == t for r in found) for t in TABLES if any(r["table"] == t for r in found)},
                         {t: len(e) for t, e in want.items()})
        self.assertEqual({r["code"] for r in found}, {"reference_missing"})
        for table in TABLES:
            self.assertEqual(sorted(sheaf.rows(self.data, table), key=repr),
                             sorted(db.execute(f"SELECT * FROM {table}").fetchall(), key=repr), table)

    def test_a_line_repeated_with_another_value(self):
        folder = self.broken("Genre", lambda lines: lines[:3] + [lines[1].replace("Rock", "Rick"), lines[2]] + lines[3:])
        found = self.refusals(folder)
        self.assertEqual([(r["table"], r["line"], r["code"], r["constraint"]) for r in found], [("Genre", 4, "unique", "GenreId")])

    def test_a_boss_who_is_missing(self):
        folder = self.broken("Employee", lambda lines: [l for l in lines if not l.startswith("2,")])
        found = self.refusals(folder)
        db, want = self.one_file(folder)
        self.assertEqual({r["table"] for r in found}, set(want))
        for table in TABLES:
            self.assertEqual(sorted(sheaf.rows(self.data, table), key=repr),
                             sorted(db.execute(f"SELECT * FROM {table}").fetchall(), key=repr), table)


if __name__ == "__main__":
    sheaf.main()
