# SPDX-License-Identifier: Apache-2.0
"""Random schemas with random input, through `insert` and `load` and through one SQLite file: same verdicts, same contents.

    test_differential.py [--seed N] [--rounds N] [--rows N] [insert|load]

One round is one random schema. A disagreement prints the seed of its round, the schema and the row.
"""

import argparse
import csv
import io
import json
import os
import shutil
import sys
import tempfile
import time

import oracle as judge
import sheaf


class Disagreement(Exception):
    pass


def read_tables(data, tables):
    result = {}
    for table in tables:
        db = sheaf.connect(data, table.name)
        result[table.name] = judge.contents(db, table)
        db.close()
    return result


def compare_contents(data, tables, expected):
    found = read_tables(data, tables)
    for table in tables:
        want = expected.contents(table)
        if found[table.name] != want:
            raise Disagreement(f"table {table.name}: Sheaf has {found[table.name]}\none file has {want}")


def agrees(expected, code):
    """A row wrong in several ways is refused for a missing reference before what SQLite reports."""
    return expected == code or (code == "reference_missing" and expected not in ("ok", "same"))


def insert_round(rng, folder, count):
    tables = judge.random_schema(rng, circles=rng.random() < 0.6)
    data = os.path.join(folder, "data")
    schema = os.path.join(folder, "schema.sql")
    with open(schema, "w") as file:
        file.write(judge.ddl(tables))
    expected = judge.Oracle(tables, foreign_keys=True)
    lines, rows = [], []
    for _ in range(count):
        table = rng.choice(tables)
        row = judge.random_row(rng, table)
        rows.append((table, row))
        lines.append(json.dumps({"table": table.name, **row}, ensure_ascii=rng.random() < 0.5))
    done = sheaf.run("insert", "--data", data, "--schema", schema, input="\n".join(lines) + "\n")
    if done.status not in (0, 1):
        raise Disagreement(str(done))
    answers = done.lines()
    if len(answers) != len(lines):
        raise Disagreement(f"{len(lines)} lines, {len(answers)} answers\n{done}")
    accepted = 0
    for line, ((table, row), answer) in enumerate(zip(rows, answers), 1):
        verdict, _ = expected.insert(table, row)
        code = answer["error"]["code"] if not answer["ok"] else "same" if answer.get("already_there") else "ok"
        if answer["line"] != line or not agrees(verdict, code):
            raise Disagreement(f"line {line}: {lines[line - 1]}\none file says {verdict}\nSheaf says {answer}")
        accepted += code in ("ok", "same")
    compare_contents(data, tables, expected)
    return count, accepted


def load_round(rng, folder, count):
    tables = judge.random_schema(rng, circles=rng.random() < 0.7)
    data = os.path.join(folder, "data")
    schema = os.path.join(folder, "schema.sql")
    with open(schema, "w") as file:
        file.write(judge.ddl(tables))
    given = {t.name: [judge.random_row(rng, t) for _ in range(rng.randint(0, 2 * count // len(tables)))] for t in tables}
    paths = {t.name: write_input(rng, folder, i, t, given) for i, t in enumerate(tables)}
    arguments = [f"{name}={path}" for name, (path, _) in paths.items()]
    rng.shuffle(arguments)
    rejects = os.path.join(folder, "rejects.ndjson")
    expected = judge.Oracle(tables, foreign_keys=False)
    if rng.random() < 0.3:  # in two runs: what is there already is a parent too, and may be what an earlier row says
        load_verdicts(expected, tables, given)
        half = sheaf.run("load", "--quiet", "--data", data, "--schema", schema, *arguments)
        if half.status not in (0, 1):
            raise Disagreement(str(half))
    done = sheaf.run("load", "--quiet", "--data", data, "--schema", schema, "--rejects", rejects, *arguments)
    if done.status not in (0, 1):
        raise Disagreement(str(done))
    with open(rejects) as file:
        refused = [json.loads(line) for line in file]
    found = {(r["table"], r["line"]): r["code"] for r in refused}
    if len(found) != len(refused):
        raise Disagreement("a record was refused twice")
    want, accepted = load_verdicts(expected, tables, given)
    for table in tables:
        first = paths[table.name][1]
        for i, verdict in enumerate(want[table.name]):
            code = found.pop((table.name, first[i]), "ok")
            if (verdict in ("ok", "same")) != (code == "ok") or (code != "ok" and not agrees(verdict, code)):
                raise Disagreement(f"{table.name} line {first[i]}: {given[table.name][i]}\none file says {verdict}\nSheaf says {code}")
    if found:
        raise Disagreement(f"refused, but never given: {found}")
    compare_contents(data, tables, expected)
    return sum(map(len, given.values())), accepted


def load_verdicts(expected, tables, given):
    """Tables parents first, each in input order; in circles uniqueness first, then references."""
    want = {t.name: [] for t in tables}
    for group, circle in judge.components(tables):
        expected.foreign_keys(not circle)
        keys = []
        for table in group:
            for row in given[table.name]:
                verdict, key = expected.insert(table, row)
                want[table.name].append(verdict)
                keys.append((table.name, len(want[table.name]) - 1, key))
        if circle:
            gone = expected.delete_orphans()
            for name, i, key in keys:
                if (name, key) in gone and want[name][i] in ("ok", "same"):
                    want[name][i] = "reference_missing"
    return want, sum(v in ("ok", "same") for verdicts in want.values() for v in verdicts)


def write_input(rng, folder, i, table, given):
    """NDJSON keeps types; CSV needs the same columns in every row. Returns path and the line of each row."""
    rows = given[table.name]
    if rng.random() < 0.5 or not rows:
        path = os.path.join(folder, f"in{i}.ndjson")
        with open(path, "w") as file:
            file.writelines(json.dumps(row, ensure_ascii=rng.random() < 0.5) + "\n" for row in rows)
        return path, list(range(1, len(rows) + 1))
    path = os.path.join(folder, f"in{i}.csv")
    names = [c.name for c in table.columns if rng.random() < 0.9 or c in table.key]
    rng.shuffle(names)
    blobs = {c.name for c in table.columns if c.declared == "BLOB"}  # hex in CSV
    text, lines = io.StringIO(), []
    text.write(",".join(csv_field(n) for n in names) + "\n")
    for n, row in enumerate(rows):
        fields = []
        for name in names:
            value = row.get(name)
            fields.append("" if value is None else csv_field(hexed(value) if name in blobs else str(value)))
        rows[n] = {name: (None if row.get(name) is None else str(row[name]).encode() if name in blobs else str(row[name]))
                   for name in names}
        lines.append(text.getvalue().count("\n") + 1)
        record = ",".join(fields)
        text.write(record + "\n")
    if len(names) == 1 and any(row[names[0]] is None for row in rows):
        pass  # a blank line of a file of one column is NULL
    with open(path, "w") as file:
        file.write(text.getvalue())
    return path, lines


def hexed(value):
    return str(value).encode().hex()


def csv_field(text):
    return '"' + text.replace('"', '""') + '"'


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--rows", type=int, default=120)
    parser.add_argument("what", nargs="*", default=["insert", "load"])
    options = parser.parse_args()
    total = {"insert": [0, 0], "load": [0, 0]}
    for i in range(options.rounds):
        for what, round_of in (("insert", insert_round), ("load", load_round)):
            if what not in options.what:
                continue
            seed = options.seed + i
            folder = tempfile.mkdtemp(prefix="sheaf-diff-")
            try:
                rows, accepted = round_of(judge.seeded(f"{what}{seed}"), folder, options.rows)
            except (Disagreement, Exception) as error:
                with open(os.path.join(folder, "schema.sql")) as file:
                    print(file.read())
                print(f"DISAGREEMENT in {what}, repeat with --seed {seed} --rounds 1 --rows {options.rows} {what}\n{error}")
                if not isinstance(error, Disagreement):
                    raise
                return 1
            finally:
                shutil.rmtree(folder, ignore_errors=True)
            total[what][0] += rows
            total[what][1] += accepted
    for what, (rows, accepted) in total.items():
        if not rows:
            continue
        share = accepted / rows
        print(f"{what}: {options.rounds} schemas from seed {options.seed}, {rows} rows, {accepted} accepted ({share:.0%}): all agree")
        if share < 0.25:
            print("too few rows were accepted for this to be a test")
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
