# SPDX-License-Identifier: Apache-2.0
"""A disk that is slow or fails, and shards that die while they wait for it: what is acknowledged was synced first."""

import contextlib
import os
import pathlib
import signal
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "system"))

import server  # noqa: E402
import sheaf  # noqa: E402

WATCH = sheaf.BIN.parent / "tests" / "watch_syncs.so"
SCHEMA = "CREATE TABLE t (id INTEGER PRIMARY KEY, x);"
T = server.path("t")


class Noted:
    """One line of the watcher's log."""

    def __init__(self, line):
        at, pid, self.what, self.path = line.split(" ", 3)
        self.at_ns, self.pid, self.name = int(at), int(pid), os.path.basename(self.path)

    def __repr__(self):
        return f"{self.at_ns} {self.pid} {self.what} {self.name}"


class Disk(server.Case):
    def watched(self, **limits):
        self.log, self.gate, self.broken = (os.path.join(self.folder, name) for name in ("log", "gate", "fail"))
        sanitizers = os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0"
        env = sheaf.environment(LD_PRELOAD=str(WATCH), WATCH_LOG=self.log, WATCH_GATE=self.gate, WATCH_FAIL=self.broken,
                                ASAN_OPTIONS=sanitizers)
        lines = "".join(f"{name} = {value}\n" for name, value in limits.items())
        self.s = self.serve(schema=SCHEMA, config=f"[limits]\n{lines}", env=env)
        self.done(self.s.post(T, {"id": 1}), 201)

    def noted(self, since_ns=0, until_ns=None):
        with open(self.log, encoding="utf-8") as file:
            lines = [Noted(line.rstrip("\n")) for line in file]
        return [line for line in lines if since_ns <= line.at_ns and (until_ns is None or line.at_ns < until_ns)]

    @contextlib.contextmanager
    def syncing(self, body):
        """A row is sent, and its shard is held in the sync of its commit until the end of the block. Whatever else
        would sync meanwhile is not."""
        os.mkfifo(self.gate)
        other = self.s.client()
        self.addCleanup(other.close)
        other.send("POST", T, body)
        hold = os.open(self.gate, os.O_WRONLY)  # when the shard has opened it
        os.unlink(self.gate)
        try:
            yield other
        finally:
            os.close(hold)

    def synced(self, lines, pid):
        """The names of the files that a process has synced in these lines."""
        return {line.name for line in lines if line.pid == pid and line.what == "end"}

    def test_the_watcher_sees_a_commit(self):
        self.watched()
        before = time.monotonic_ns()
        self.done(self.s.post(T, {"id": 2}), 201)
        lines = self.noted(before, time.monotonic_ns())
        self.assertEqual([line.what for line in lines if line.what != "write"], ["begin", "end"], lines)
        self.assertEqual({line.name for line in lines}, {"t.db-wal"})

    def test_a_shard_that_is_killed_in_its_sync_leaves_nothing_acknowledged_unsynced(self):
        self.watched()
        killed = self.s.shards()["t"]
        before = time.monotonic_ns()
        with self.syncing({"id": 2}) as other:
            os.kill(killed, signal.SIGKILL)
            self.done(other.receive(), 201)
            lines = self.noted(before, time.monotonic_ns())
        self.assertNotIn("t.db-wal", self.synced(lines, killed), "its commit was on disk: nothing was tried")
        successor = self.s.shards()["t"]
        self.assertLessEqual({"t.db-wal", "t.db", "data"}, self.synced(lines, successor), lines)

    def test_nor_does_a_row_that_is_read_come_from_what_was_never_synced(self):
        self.watched(lock_ms=60000)
        killed = self.s.shards()["t"]
        with self.syncing({"id": 2}) as other:
            os.kill(killed, signal.SIGKILL)
            end = time.monotonic() + sheaf.TIMEOUT_S
            while (read := self.s.get(T + "/2")).status == 503 and time.monotonic() < end:
                pass  # it is away; each question waits for an answer
            lines = self.noted(0, time.monotonic_ns())
            self.done(read)
            self.done(other.receive(), 201)
        self.assertIn("t.db-wal", self.synced(lines, self.s.shards()["t"]), lines)

    def test_what_a_failed_sync_left_is_written_again_before_it_is_synced(self):
        """After a sync that failed the kernel takes what it could not write for written: another sync alone says
        nothing about it."""
        self.watched()
        self.done(self.s.post(T, {"id": 3, "x": 500000 * "x"}), 201)  # so that the WAL is written in many pieces
        failed = self.s.shards()["t"]
        before = time.monotonic_ns()
        pathlib.Path(self.broken).touch()
        self.done(self.s.post(T, {"id": 2}), 201)
        lines = self.noted(before, time.monotonic_ns())
        self.assertIn("failed", {line.what for line in lines if line.pid == failed}, lines)
        successor = [line.what for line in lines if line.pid == self.s.shards()["t"] and line.name == "t.db-wal"]
        self.assertEqual(successor[:1] + successor[-2:], ["write", "begin", "end"], lines)
        self.assertEqual([row[0] for row in sheaf.rows(self.data, "t")], [1, 2, 3])

    def test_what_is_in_the_wal_from_before_its_last_checkpoint_is_left_alone(self):
        self.watched(wal_checkpoint_pages=100)
        self.done(self.s.post(T, {"id": 3, "x": 900000 * "x"}), 201)  # checkpointed at once, since that is 220 pages
        self.done(self.s.post(T, {"id": 4}), 201)
        pathlib.Path(self.broken).touch()
        self.done(self.s.post(T, {"id": 2}), 201)
        shard = self.s.shards()["t"]
        self.assertGreater(os.path.getsize(sheaf.database(self.data, "t") + "-wal"), 900000)
        writes = [line for line in self.noted() if line.pid == shard and line.what == "write"]
        self.assertIn(len(writes), range(2, 50))

    def test_a_shard_whose_disk_is_slow_is_busy_and_not_mute(self):
        self.watched(heartbeat_ms=50, mute_ms=300)
        before = self.s.shards()["t"]
        with self.syncing({"id": 2}) as other:
            time.sleep(1.5)  # that nothing happens can only be waited for: five times what would make it mute
        self.done(other.receive(), 201)
        self.assertEqual(self.s.shards()["t"], before, self.s.said)

    def test_a_disk_that_does_not_come_to_an_end_is_mute(self):
        self.watched(heartbeat_ms=50, mute_ms=300, io_ms=600)
        before = self.s.shards()["t"]
        begun = time.monotonic()
        with self.syncing({"id": 2}) as other:
            self.done(other.receive(), 201)
            self.assertGreater(time.monotonic() - begun, 0.6)
        self.assertNotEqual(self.s.shards()["t"], before)
        self.assertTrue(self.s.wait_for("made no progress"), self.s.said)


if __name__ == "__main__":
    sheaf.main()
