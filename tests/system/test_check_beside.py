# SPDX-License-Identifier: Apache-2.0
"""coordinator check beside a server that works: what is only under way is no finding, what is wrong still is one."""

import os
import signal
import threading

import server
import sheaf

SCHEMA = "".join(f"CREATE TABLE {t} (id INTEGER PRIMARY KEY, n INTEGER NOT NULL DEFAULT 0);\n" for t in "abc")


class Beside(server.Case):
    def check(self, status, *said):
        result = self.ran("check", "--data", self.data, status=status)
        for text in said:
            self.assertIn(text, result.stdout, str(result))
        return result.stdout

    def in_the_background(self, work):
        """Runs `work(client)` in a thread again and again until the returned function is called, which joins it."""
        over, errors = threading.Event(), []

        def run(client):
            try:
                while not over.is_set():
                    work(client)
            except Exception as error:  # told by the joiner
                errors.append(error)
            finally:
                client.close()

        thread = threading.Thread(target=run, args=(self.s.client(),))
        thread.start()

        def join():
            over.set()
            thread.join(sheaf.TIMEOUT_S)
            self.assertEqual(errors, [])

        return join

    def promises(self):
        """How many transactions are promised in any of the files."""
        count = 0
        for name in "abc":
            with sheaf.opened(self.data, name) as connection:
                count += connection.execute("SELECT count(*) FROM _sheaf_prepared").fetchone()[0]
        return count

    def test_a_transaction_under_way_is_not_left_over_until_its_coordinator_is_gone(self):
        self.s = self.serve(schema=SCHEMA, config="[limits]\nmute_ms = 600000\n")
        os.kill(self.s.shards()["b"], signal.SIGSTOP)
        self.s.send("POST", "/v1/batch", {"atomic": True, "ops": [{"op": "insert", "table": t, "row": {"id": 1}} for t in "abc"]})
        while self.promises() == 0:  # nothing else happens until it is
            pass
        self.check(0, "clean: 3 of 3", "0 wrong, 0 in doubt, 0 not read")
        self.s.kill()
        self.check(1, "was promised here", "0 wrong")
        self.s = self.serve()
        self.check(0, "0 wrong, 0 in doubt, 0 not read")

    def test_rows_that_come_and_go_with_their_parents_are_no_findings(self):
        """Few keys, so that between the snapshots of two files hardly one is as it was."""
        self.s = self.serve(schema="CREATE TABLE p (id INTEGER PRIMARY KEY, u TEXT UNIQUE, n INTEGER CHECK (n < 9));\n"
                                   "CREATE TABLE c (id INTEGER PRIMARY KEY, p INTEGER NOT NULL REFERENCES p ON DELETE CASCADE"
                                   " ON UPDATE CASCADE);\n"
                                   "CREATE TABLE d (c INTEGER PRIMARY KEY REFERENCES c ON DELETE CASCADE);\n")

        def churn(n):
            ops = [[{"op": "insert", "table": "p", "row": {"id": n, "u": str(n)}}, {"op": "insert", "table": "c", "row": {"id": n, "p": n}},
                    {"op": "insert", "table": "d", "row": {"c": n}}],
                   [{"op": "update", "table": "p", "key": {"id": n}, "row": {"id": n + 10, "u": None, "n": 1}}],
                   [{"op": "delete", "table": "p", "key": {"id": n + 10}}]]
            def one(client):
                for step in ops:
                    self.done(client.batch(*step))
            return one

        joins = [self.in_the_background(churn(n)) for n in range(1, 5)]
        written = 0
        for _ in range(20):
            written += "written to meanwhile" in self.check(0, "0 wrong, 0 in doubt, 0 not read")
        for join in joins:
            join()
        self.assertGreater(written, 0, "no check ran beside the transactions")

    def test_transactions_of_many_clients_are_no_findings(self):
        self.s = self.serve(schema=SCHEMA)

        def batches(first):
            ids = iter(range(first, first + 1_000_000))
            def one(client):
                i = next(ids)
                self.done(client.batch(*({"op": "insert", "table": t, "row": {"id": i}} for t in "abc")))
            return one

        joins = [self.in_the_background(batches(1 + n * 1_000_000)) for n in range(4)]
        written = 0
        for _ in range(10):
            written += "written to meanwhile" in self.check(0, "0 wrong, 0 in doubt, 0 not read")
        for join in joins:
            join()
        self.assertGreater(written, 0, "no check ran beside the transactions")
        self.check(0, "0 wrong, 0 in doubt, 0 not read")


if __name__ == "__main__":
    sheaf.main()
