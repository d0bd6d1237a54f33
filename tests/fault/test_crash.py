# SPDX-License-Identifier: Apache-2.0
"""kill -9 of a shard, of the coordinator and of all of them, and again while they recover, under random writes of several
clients. Whatever they were told is what one SQLite file could have told them, and its rows are those in the files.

    test_crash.py [--seed N] [--kills N]
"""

import argparse
import collections
import contextlib
import os
import pathlib
import signal
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "system"))
import oracle  # noqa: E402
import server  # noqa: E402
import sheaf  # noqa: E402
import users  # noqa: E402
import workload  # noqa: E402

CLIENTS = 6
SCHEMAS = 3
DONE_SHARE = 0.25
OPTIONS = argparse.ArgumentParser()
OPTIONS.add_argument("--seed", type=int, default=1)
OPTIONS.add_argument("--kills", type=int, default=45)
OPTIONS = OPTIONS.parse_args()


class Crash(users.Case):
    def setUp(self):
        super().setUp()
        self.kills, self.outcomes, self.in_doubt = collections.Counter(), collections.Counter(), collections.Counter()

    # ---- killing

    def kill(self, pid):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass

    def kill_coordinator(self, shards_too):
        """Its shards are not waited for."""
        dead = self.world.server
        pids = [dead.pid, *(dead.shards().values() if shards_too else ())]
        self.rng.shuffle(pids)
        self.world.serve(None)
        for pid in pids:
            self.kill(pid)
        dead.close()
        dead.wait()
        self.look_for_doubt()
        for _ in range(self.rng.choice((0, 0, 1, 2))):
            self.kill_during_start(shards_too)
        self.start()

    def still_serves(self):
        """It does not end but when it is killed."""
        self.assertIsNone(self.world.server.process.poll(), f"the server has ended\n{self.world.server.said}")
        return True

    def wait_for_moment(self, table):
        """Until a file has such a row, which is there for a millisecond or two; None: any moment will do."""
        if not table:
            time.sleep(self.rng.uniform(0, 0.005))
            return
        with contextlib.ExitStack() as stack:
            files = [stack.enter_context(sheaf.opened(self.data, database)) for database in workload.DATABASES]
            while self.world.running and self.still_serves():
                for file in files:
                    if file.execute(f"SELECT 1 FROM {table}").fetchone():
                        return

    def look_for_doubt(self):
        """What the killed have left to be found out: transactions that are decided, and such that never will be."""
        prepared, decided = set(), set()
        for database in workload.DATABASES:
            with sheaf.opened(self.data, database) as connection:
                prepared.update(connection.execute("SELECT txn FROM _sheaf_prepared"))
                decided.update(connection.execute("SELECT txn FROM _sheaf_decision"))
        self.in_doubt += collections.Counter(committed=len(prepared & decided), aborted=len(prepared - decided))

    def kill_during_start(self, shards_too):
        process = subprocess.Popen([sheaf.COORDINATOR, "serve", "--data", self.data, "--listen", "127.0.0.1:0"],
                                   env=sheaf.environment(), stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(self.rng.uniform(0, self.start_s * 1.2))  # at any moment of it: nothing is waited for
        for pid in sheaf.shardds_of(self.data) if shards_too else ():
            self.kill(pid)
        process.kill()
        process.wait()
        self.kills["during a start"] += 1

    def kill_shard(self):
        name = self.rng.choice(list(workload.DATABASES))
        shards = self.world.server.shards()
        self.kill(shards[name])  # every one was there when the last round settled
        for _ in range(self.rng.choice((0, 0, 1, 2))):
            before = shards
            deadline = time.monotonic() + sheaf.TIMEOUT_S
            while (shards := self.world.server.shards()).get(name, before[name]) == before[name]:
                self.assertLess(time.monotonic(), deadline, "it was not started again")
                time.sleep(0.005)  # a process of somebody else's: nothing tells that it is there
            time.sleep(self.rng.uniform(0, self.start_s / 2))
            self.kill(shards[name])
            self.kills["a shard again"] += 1

    def start(self, *args, **options):
        before = time.monotonic()
        super().start(*args, **options)
        self.start_s = time.monotonic() - before

    # ---- rounds

    def run_round(self):
        threads = self.begin_round()
        self.world.wait_for_answers(self.rng.randint(0, len(self.users) * users.REQUESTS * 3 // 4))
        self.wait_for_moment(self.rng.choice((None, "_sheaf_prepared", "_sheaf_decision")))
        self.still_serves()
        kind = self.rng.choice(("a shard", "the coordinator", "all"))
        if kind == "a shard":
            self.kill_shard()
        else:
            self.kill_coordinator(kind == "all")
        self.kills[kind] += 1
        for thread in threads:
            while thread.is_alive():
                thread.join(1)
                self.still_serves()
        return self.events()

    def crash(self, number, rounds):
        self.rng = oracle.seeded(f"{OPTIONS.seed} {number} kills")
        self.begin(f"{OPTIONS.seed} {number}", CLIENTS)
        for round_ in range(3 * rounds):
            if round_ >= rounds and (number + 1 < SCHEMAS or len(self.in_doubt) == 2):
                break
            events = self.run_round()
            self.outcomes.update(e.outcome for e in events if not e.is_read)
            self.judge_round(events, f"seed {OPTIONS.seed}, schema {number}, round {round_}, kills so far {dict(self.kills)}")
        self.judge_files()

    def test_what_was_acknowledged_is_there_once_and_nothing_else(self):
        for number in range(SCHEMAS):
            with self.subTest(schema=number):
                self.data = self.path(f"data{number}")
                try:
                    self.crash(number, (OPTIONS.kills + number) // SCHEMAS)
                finally:
                    self.world.end()
        print(f"\nseed {OPTIONS.seed}: {dict(self.kills)}, in doubt {dict(self.in_doubt)}, {dict(self.outcomes)}", file=sys.stderr)
        self.assertEqual(sorted(self.in_doubt), ["aborted", "committed"], "no kill left a transaction of both kinds in doubt")
        self.assertGreater(self.outcomes["done"], DONE_SHARE * self.outcomes.total())


if __name__ == "__main__":
    sys.setswitchinterval(0.0005)  # who waits for a moment has to see it
    sys.argv = sys.argv[:1]
    sheaf.main()
