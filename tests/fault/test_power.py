# SPDX-License-Identifier: Apache-2.0
"""The power is cut while several clients write, while checkpoints run, while a shard takes over what a dead one left,
while a data directory is made or recovers, and while all end: what had not been synced is lost, in part or torn, as
power.py has it. Whatever the clients were told is what one SQLite file could have told them, and its rows are those in the
files.

    test_power.py [--seed N] [--cuts N] [--seconds S]
"""

import collections
import os
import pathlib
import select
import shutil
import subprocess
import sys
import threading

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "system"))
import effort  # noqa: E402
import oracle  # noqa: E402
import power  # noqa: E402
import server  # noqa: E402
import sheaf  # noqa: E402
import users  # noqa: E402

CLIENTS = 8
LOSE = sheaf.BIN.parent / "tests" / "lose_writes.so"
LIMITS = "wal_checkpoint_pages = 100\n"  # so that the databases' own files are written often
START_STEPS = 60  # until one has been counted
ROUND_STEPS = 400
STOP_STEPS = 120
DONE_SHARE = 0.25
START_SHARES = {"first start": 0.7, "start": 0.3}
ROUNDS_END = {"round": 4, "after a shard's death": 2, "stop": 2}  # of one data directory, in any order
CUTS = (*START_SHARES, *ROUNDS_END, "killed only")
FATES = ("kept", "dropped", "in part", "torn", "sizes lost", "names kept", "names undone")
OPTIONS = effort.Effort("cuts", 50)


def end_of(threads):
    """A descriptor that can be read when they have ended."""
    over, told = os.pipe()

    def wait():
        for thread in threads:
            thread.join()
        os.close(told)

    threading.Thread(target=wait).start()
    return over


class Case(users.Case):
    """A disk of its own, and processes that run on it."""

    def insert_disk(self, folder):
        sanitizers = os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0"
        os.mkdir(folder)
        self.disk = power.Disk(folder, LOSE, sheaf.environment(ASAN_OPTIONS=sanitizers))
        self.data = os.path.join(self.disk.root, "data")

    def end_all(self, process):
        """By kill -9, and waits for them."""
        process.kill()
        process.wait()
        while shards := sheaf.shardds_of(self.data):  # they follow it by themselves
            for pid in shards:
                self.wait_for_end(pid)

    def wait_for_end(self, pid):
        try:
            shard = os.pidfd_open(pid)
        except ProcessLookupError:
            return
        try:
            self.assertTrue(select.select([shard], [], [], sheaf.TIMEOUT_S)[0], "a shard outlived its coordinator")
        finally:
            os.close(shard)

    def start_until_cut(self, steps, *args):
        """A start in which the power goes at that step, or when it is ready."""
        self.disk.cut_at(steps)
        argv = [sheaf.COORDINATOR, "serve", "--data", self.data, "--listen", "127.0.0.1:0", *args]
        with subprocess.Popen(argv, env=self.disk.environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                              stderr=subprocess.PIPE) as process:
            said = ""
            while not self.disk.is_off and not server.READY.search(said):
                self.disk.wait(process.stderr)
                if not self.disk.is_off:
                    line = process.stderr.readline().decode("utf-8", "replace")
                    self.assertTrue(line, f"ended before it was ready:\n{said}")
                    said += line
            self.disk.cut()
            self.end_all(process)


class Model(Case):
    """What the disk makes of the steps of a process."""

    def setUp(self):
        super().setUp()
        self.insert_disk(self.path("disk"))
        self.addCleanup(self.disk.close)

    def on_disk(self, *lines):
        program = "\n".join(("from os import *", "f, here = open('a', O_RDWR | O_CREAT), open('.', O_RDONLY)", *lines))
        subprocess.run([sys.executable, "-I", "-S", "-c", program], cwd=self.disk.root, env=self.disk.environment, check=True)

    def found(self):
        return {path.name: path.read_bytes() for path in pathlib.Path(self.disk.root).iterdir()}

    def test_what_is_synced_is_all_that_is_sure_to_be_there(self):
        self.on_disk("write(f, 1000 * b'a'); fsync(f); fsync(here)", "pwrite(f, 700 * b'b', 900); ftruncate(f, 10)",
                     "rename('a', 'b'); mkdir('d'); open('d/e', O_CREAT); fsync(open('d', O_RDONLY))")
        self.disk.lose(power.Worst(), collections.Counter())
        self.assertEqual(self.found(), {"a": 1000 * b"a"})

    def test_what_is_replaced_or_unlinked_comes_back_unless_that_was_synced(self):
        steps = "write(f, b'new'); write(open('b', O_RDWR | O_CREAT), b'old'); fsync(f); fsync(here)", "rename('a', 'b')"
        self.on_disk(*steps, "unlink('b')")
        self.disk.lose(power.Worst(), collections.Counter())
        self.assertEqual(sorted(self.found()), ["a", "b"])
        self.assertEqual(self.found()["a"], b"new")
        self.on_disk("rename('a', 'b'); unlink('b'); fsync(here)")
        self.disk.lose(power.Worst(), collections.Counter())
        self.assertEqual(self.found(), {})

    def test_each_sector_is_what_it_was_at_some_time_and_no_other(self):
        seen, counts = set(), collections.Counter()
        for seed in range(30):
            self.on_disk("pwrite(f, 4096 * b'a', 0); ftruncate(f, 4096); fsync(f); fsync(here)",
                         "pwrite(f, 2048 * b'b', 0)", "pwrite(f, 1000 * b'c', 1024)", "pwrite(f, 512 * b'd', 4096)")
            self.disk.lose(oracle.seeded(seed), counts)
            content = self.found()["a"]
            sectors = [content[at:at + 512] for at in range(0, 4096, 512)]
            self.assertEqual(sectors[4:], 4 * [512 * b"a"])
            for sector in sectors[:2]:
                self.assertIn(sector, (512 * b"a", 512 * b"b"))
            self.assertIn(sectors[2], [512 * letter for letter in (b"a", b"b", b"c")])
            self.assertIn(sectors[3], [512 * b"a", 512 * b"b", 488 * b"c" + 24 * b"b"])
            seen.add(b"".join(sector[:1] for sector in sectors) + content[4096:4097])
        self.assertGreater(len(seen), 5)
        self.assertLessEqual({"dropped", "kept", "in part", "torn", "sizes lost"}, set(counts))


class Worst(Case):
    """All is lost that can be."""

    SCHEMA = "CREATE TABLE t (id INTEGER PRIMARY KEY);"
    ROW = {"id": 1}

    def setUp(self):
        super().setUp()
        self.insert_disk(self.path("disk"))
        self.addCleanup(self.disk.close)

    def served(self):
        return self.serve(schema=self.SCHEMA, env=self.disk.environment)

    def insert(self, running):
        self.done(running.post(server.path("t"), self.ROW), 201)

    def lose_all(self, running):
        self.disk.cut()
        running.kill()
        self.disk.lose(power.Worst(), collections.Counter())
        read = self.serve().get(server.path("t", 1))
        self.assertEqual(read.status, 200, f"what was acknowledged is lost: {read}")

    def test_a_directory_whose_maker_died_before_it_was_synced_is_by_who_uses_it(self):
        self.start_until_cut(2, "--schema", self.schema(self.SCHEMA))
        self.assertTrue(os.path.isdir(self.data))
        self.disk.go_on()
        running = self.served()
        self.insert(running)
        self.lose_all(running)

    def test_a_row_whose_shard_died_before_it_was_synced_is_acknowledged_after_that(self):
        running = self.served()
        killed = running.shards()
        self.disk.cut_after_death(1, 1_000_000)
        self.insert(running)
        self.assertNotEqual(running.shards(), killed)
        self.lose_all(running)


class Power(Case):
    def setUp(self):
        super().setUp()
        self.cuts, self.lost = collections.Counter(), collections.Counter()
        self.outcomes, self.in_doubt = collections.Counter(), collections.Counter()

    # ---- cutting

    def after_the_end(self, kind):
        """All processes have ended, three times out of four because the power was cut."""
        if self.rng.random() < 0.75:
            self.disk.lose(self.rng, self.lost)
            self.cuts[kind] += 1
        else:
            self.disk.go_on()
            self.cuts["killed only"] += 1

    def goes_on(self):
        return OPTIONS.goes_on(self.cuts.total() - self.cuts["killed only"])

    def start(self, *args):
        """The first ones perhaps do not get far."""
        kind = "first start" if args else "start"
        while self.goes_on() and (not self.cuts[kind] or self.rng.random() < START_SHARES[kind]):
            self.start_until_cut(self.rng.randint(1, self.start_steps[kind]), *args)
            self.after_the_end(kind)
        before = self.disk.steps
        super().start(*args, env=self.disk.environment)
        self.start_steps[kind] = self.disk.steps - before + 5

    def wait_for_cut(self, kind, threads):
        """Until the power is cut, or all have ended who could bring that about."""
        moment = self.rng.randint(1, self.round_steps)
        if kind == "round":
            self.disk.cut_at(moment)
        elif kind == "after a shard's death":
            self.disk.cut_after_death(moment, self.rng.randint(3, 80))
        else:
            self.world.wait_for_answers(self.rng.randint(0, len(self.users) * users.REQUESTS // 2))
            self.disk.cut_at(self.rng.randint(1, STOP_STEPS))
            self.world.server.tell()
        over = os.pidfd_open(self.world.server.pid) if kind == "stop" else end_of(threads)
        self.disk.wait(over)
        self.disk.cut()
        os.close(over)

    # ---- rounds

    def run_round(self, kind):
        before, dead = self.disk.steps, self.world.server
        threads = self.begin_round()
        self.wait_for_cut(kind, threads)
        if kind == "round":
            self.round_steps = (self.round_steps + self.disk.steps - before) // 2 + 10
        self.world.serve(None)
        dead.close()
        self.end_all(dead.process)
        dead.wait()
        self.after_the_end(kind)
        self.in_doubt += self.doubt()
        self.start()
        for thread in threads:
            thread.join()
        return self.events()

    def live(self, number):
        """A data directory, from its first start on."""
        seed = f"{OPTIONS.seed} {number}"
        self.rng = oracle.seeded(f"{seed} power")
        self.start_steps, self.round_steps = {"first start": START_STEPS, "start": START_STEPS}, ROUND_STEPS
        self.begin(seed, CLIENTS, limits=LIMITS)
        for round_, kind in enumerate(self.rng.sample(list(ROUNDS_END), k=sum(ROUNDS_END.values()), counts=ROUNDS_END.values())):
            if not self.goes_on():
                break
            events = self.run_round(kind)
            self.outcomes.update(e.outcome for e in events if not e.is_read)
            lost = "\n".join(self.disk.told)
            self.judge_round(events, f"seed {seed}, round {round_}, cuts so far {dict(self.cuts)}\n{lost}\n")
        self.judge_files()
        self.disk.lose(self.rng, self.lost)
        self.assertEqual(users.workload.stored(self.data), self.judge.state(), "after a proper end")
        self.ran("check", "--data", self.data)

    def test_what_was_acknowledged_is_there_once_and_nothing_else(self):
        number = 0
        while self.goes_on():
            self.insert_disk(self.path(f"disk{number}"))
            try:
                self.live(number)
            finally:
                self.end()
                self.disk.close()
            shutil.rmtree(self.path(f"disk{number}"))
            number += 1
            print(f"\nseed {OPTIONS.seed}, {number} data directories: {dict(self.cuts)}, of writes and names {dict(self.lost)}, "
                  f"in doubt {dict(self.in_doubt)}, {dict(self.outcomes)}", file=sys.stderr)
        if self.cuts.total() >= 50:
            self.assertEqual(sorted(self.cuts), sorted(CUTS), "not all was tried")
            self.assertEqual(sorted(self.lost), sorted(FATES), "not all became of what was written")
            self.assertGreater(self.outcomes["done"], DONE_SHARE * self.outcomes.total())


if __name__ == "__main__":
    OPTIONS.parse()
    sys.argv = sys.argv[:1]
    sheaf.main()
