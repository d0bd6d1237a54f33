# SPDX-License-Identifier: Apache-2.0
"""kill -9 of a shard, of the coordinator and of all of them, and again while they recover, under random writes of several
clients. Whatever they were told is what one SQLite file could have told them, and its rows are those in the files.

    test_crash.py [--seed N] [--kills N | --seconds S]
"""

import collections
import contextlib
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "system"))
import effort  # noqa: E402
import oracle  # noqa: E402
import sheaf  # noqa: E402
import users  # noqa: E402
import workload  # noqa: E402

CLIENTS = 8
REQUESTS = 10  # of each in a round
KILLS_OF_ROUND = 4  # at most, not counting those of a recovery
KILLS_OF_SCHEMA = (34, 34, 34, 200)  # of the first, the second, … : then another one, with files of its own
KILLS_ENOUGH = 60  # for each kind of doubt to be left by one, and for enough rows to do something with
DONE_SHARE = 0.25
EFFORT = effort.Effort("kills", 100).parse()


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
        self.in_doubt += self.doubt()
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
        shards = self.world.server.shards()
        if not shards:
            return
        name = self.rng.choice(sorted(shards))
        self.kill(shards[name])
        self.kills["a shard"] += 1
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

    def kill_something(self):
        self.wait_for_moment(self.rng.choice((None, "_sheaf_prepared", "_sheaf_decision")))
        self.still_serves()
        kind = self.rng.choice(("a shard", "the coordinator", "all"))
        if kind == "a shard":
            self.kill_shard()
        else:
            self.kill_coordinator(kind == "all")
            self.kills[kind] += 1

    def run_round(self):
        threads = self.begin_round()
        last = len(self.users) * REQUESTS * 3 // 4
        for answers in sorted(self.rng.randint(0, last) for _ in range(self.rng.randint(1, KILLS_OF_ROUND))):
            self.world.wait_for_answers(answers)
            if self.world.running:
                self.kill_something()
        for thread in threads:
            while thread.is_alive():
                thread.join(1)
                self.still_serves()
        return self.events()

    def rounds_of(self, number, kills):
        """Until there were so many kills, and in the end until each kind of doubt was left by one."""
        first = self.kills.total()
        is_last = not EFFORT.goes_on(first + kills)
        while (done := self.kills.total() - first) < kills and EFFORT.goes_on(first + done) or \
                is_last and len(self.in_doubt) < 2 and done < 3 * kills:
            yield f"seed {EFFORT.seed}, schema {number}, kills so far {dict(self.kills)}"

    def crash(self, number, kills):
        self.rng = oracle.seeded(f"{EFFORT.seed} {number} kills")
        self.begin(f"{EFFORT.seed} {number}", CLIENTS, REQUESTS)
        for what in self.rounds_of(number, kills):
            events = self.run_round()
            self.outcomes.update(e.outcome for e in events if not e.is_read)
            self.judge_round(events, what)
        self.judge_files()

    def test_what_was_acknowledged_is_there_once_and_nothing_else(self):
        number = 0
        while EFFORT.goes_on(self.kills.total()):
            self.data = self.path(f"data{number}")
            try:
                self.crash(number, EFFORT.left(self.kills.total(), KILLS_OF_SCHEMA[number % 4]))
            finally:
                self.end()
            shutil.rmtree(self.data)
            number += 1
            print(f"\nseed {EFFORT.seed}, {number} schemas: {self.kills.total()} kills {dict(self.kills)}, "
                  f"in doubt {dict(self.in_doubt)}, {dict(self.outcomes)}", file=sys.stderr)
        if self.kills.total() < KILLS_ENOUGH:
            return
        self.assertEqual(sorted(self.in_doubt), ["aborted", "committed"], "no kill left a transaction of both kinds in doubt")
        self.assertGreater(self.outcomes["done"], DONE_SHARE * self.outcomes.total())


if __name__ == "__main__":
    sys.setswitchinterval(0.0005)  # who waits for a moment has to see it
    sys.argv = sys.argv[:1]
    sheaf.main()
