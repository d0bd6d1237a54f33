# SPDX-License-Identifier: Apache-2.0
"""All or nothing, and once, whatever is killed: circles of rows across three databases, loaded while processes die.

    test_transactions.py [--seed N]
"""

import contextlib
import os
import pathlib
import random
import signal
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "system"))
import sheaf  # noqa: E402

SEED = int(sys.argv[sys.argv.index("--seed") + 1]) if "--seed" in sys.argv else 1
CIRCLES = 20_000
KILLS = 12
SCHEMA = "".join(f"CREATE TABLE {t} (id INTEGER PRIMARY KEY, {next_} INTEGER NOT NULL REFERENCES {next_}(id), u TEXT UNIQUE);\n"
                 for t, next_ in ("ab", "bc", "ca"))


class Transactions(sheaf.Case):
    def setUp(self):
        super().setUp()
        self.random = random.Random(SEED)
        self.schema = self.path("schema.sql", SCHEMA)
        self.files = {t: self.path(f"{t}.csv", f"id,{n},u\n" + "".join(f"{i},{i},{t}{i}\n" for i in range(1, CIRCLES + 1)))
                      for t, n in ("ab", "bc", "ca")}

    def start(self):
        return sheaf.start("load", "--quiet", "--data", self.data, "--schema", self.schema,
                           *(f"{t}={p}" for t, p in self.files.items()))

    def finish(self, process):
        out, err = process.communicate(timeout=sheaf.TIMEOUT_S)
        self.assertEqual(process.returncode, 0, out.decode() + err.decode())
        self.assertEqual(self.ids(), {t: set(range(1, CIRCLES + 1)) for t in "abc"})

    def ids(self):
        """The ids in each file, none of which may lack its parent, and nothing left in doubt."""
        found = {}
        for table in "abc":
            with sheaf.opened(self.data, table) as connection:
                found[table] = {row[0] for row in connection.execute(f"SELECT id FROM {table}")}
                for left in ("_sheaf_prepared", "_sheaf_decision"):
                    self.assertEqual(connection.execute(f"SELECT count(*) FROM {left}").fetchone(), (0,), left)
        self.assertEqual(found["a"], found["b"], "a circle is there in part")
        self.assertEqual(found["b"], found["c"], "a circle is there in part")
        return found

    def begun(self, process):
        """Waits until there is something to kill: a row in a file, or the end."""
        while process.poll() is None:
            try:
                with sheaf.opened(self.data, "a") as connection:
                    if connection.execute("SELECT count(*) FROM a").fetchone()[0] > self.seen:
                        return
            except Exception:  # not made yet, or being made
                pass

    def test_a_killed_coordinator_leaves_no_half_of_a_transaction(self):
        self.seen = 0
        for _ in range(KILLS):
            process = self.start()
            try:
                process.communicate(timeout=self.random.uniform(0.05, 0.9))
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
                process.communicate()
            if os.path.exists(sheaf.database(self.data, "a")):
                self.ran("insert", "--data", self.data, "--schema", self.schema)  # recovers, and inserts nothing
                self.seen = max(self.seen, len(self.ids()["a"]))
        self.finish(self.start())

    def test_killed_shards_cost_nothing_but_time(self):
        self.seen = 0
        process = self.start()
        self.begun(process)
        kills = 0
        while process.poll() is None and kills < KILLS:
            for pid in self.random.sample(shards := sheaf.shardds_of(self.data), min(1, len(shards))):
                with contextlib.suppress(ProcessLookupError):  # it was dying of the last one
                    os.kill(pid, signal.SIGKILL)
                    kills += 1
            time.sleep(self.random.uniform(0, 0.15))  # kills at random moments are the test; nothing is waited for
        self.assertGreater(kills, 0, "the load was over before anything could be killed")
        self.finish(process)


if __name__ == "__main__":
    sys.argv = sys.argv[:1]
    sheaf.main()
