# SPDX-License-Identifier: Apache-2.0
"""A server whose shards die, hang, and do not come back: what needs them is refused at once, everything else goes on."""

import contextlib
import fcntl
import os
import signal
import sqlite3
import threading
import time

import server
import sheaf

SCHEMA = """
CREATE TABLE parents (id INTEGER PRIMARY KEY, name TEXT UNIQUE);
CREATE TABLE children (id INTEGER PRIMARY KEY, parent INTEGER REFERENCES parents ON DELETE CASCADE,
 name TEXT REFERENCES parents (name));
CREATE TABLE others (id INTEGER PRIMARY KEY);
CREATE TABLE poisoned (id INTEGER PRIMARY KEY, x TEXT, y TEXT, CHECK (instr(x, y) = 0));
"""
AT_ONCE_S = 2  # on a busy machine; nothing but that is nearer than the 5 s of lock_ms
PARENTS, CHILDREN, OTHERS = map(server.path, ("parents", "children", "others"))


class Supervision(server.Case):
    def serve(self, schema=SCHEMA, **limits):
        lines = "".join(f"{name} = {value}\n" for name, value in ({"lock_file_ms": 0} | limits).items())
        self.s = super().serve(schema=schema, config=f"[limits]\n{lines}")

    def refused_at_once(self, database, method, target, body=None):
        """The answer's body."""
        before = time.monotonic()
        answer = self.s.request(method, target, body)
        self.assertLess(time.monotonic() - before, AT_ONCE_S)
        error = self.refused(answer, 503, "unavailable")
        self.assertIn(f"database {database} is not available", error["message"])
        return answer.json

    def wait_until(self, condition):
        end = time.monotonic() + 30
        while not condition():
            self.assertLess(time.monotonic(), end, "it did not come to that")
            time.sleep(0.01)

    @contextlib.contextmanager
    def locked_out(self, name):
        """As soon as that shard is gone, no other can start."""
        with open(sheaf.database(self.data, name) + ".lock") as lock:
            taker = threading.Thread(target=fcntl.flock, args=(lock, fcntl.LOCK_EX))
            taker.start()
            yield taker

    @contextlib.contextmanager
    def away(self, name):
        with self.locked_out(name) as taker:
            os.kill(self.s.shards()[name], signal.SIGKILL)
            taker.join(20)
            self.refused_at_once(name, "GET", server.path(name))
            yield
        self.wait_until(lambda: self.s.get(server.path(name)).status == 200)

    def test_its_tables_are_unavailable_at_once_and_the_others_go_on(self):
        self.serve()
        self.done(self.s.post(PARENTS, {"id": 1, "name": "a"}), 201)
        with self.away("parents"):
            self.refused_at_once("parents", "POST", PARENTS, {"id": 2})
            self.refused_at_once("parents", "GET", PARENTS + "/1")
            self.refused_at_once("parents", "GET", PARENTS)
            self.refused_at_once("parents", "PATCH", PARENTS + "/1", {"name": "b"})
            self.refused_at_once("parents", "DELETE", PARENTS + "/1")
            ops = [{"op": "insert", "table": "others", "row": {"id": 1}}, {"op": "insert", "table": "parents", "row": {"id": 3}}]
            self.assertEqual(self.refused_at_once("parents", "POST", "/v1/batch", {"atomic": True, "ops": ops})["op"], 1)
            self.refused(self.s.get(OTHERS + "/1"), 404, "not_found")
            self.done(self.s.post(OTHERS, {"id": 1}), 201)
            self.done(self.s.post(CHILDREN, {"id": 1, "parent": 1}), 201)  # which is known to be there
            self.refused(self.s.post(CHILDREN, {"id": 2, "parent": 99}), 422, "reference_missing")
            self.refused_at_once("parents", "POST", CHILDREN, {"id": 3, "name": "a"})  # which has to be asked
            self.done(self.s.patch(CHILDREN + "/1", {"parent": None}))
            self.done(self.s.delete(OTHERS + "/1"))
        self.assertEqual(self.done(self.s.get(PARENTS + "/1")), {"id": 1, "name": "a"})
        self.refused(self.s.get(PARENTS + "/2"), 404, "not_found")
        self.done(self.s.post(CHILDREN, {"id": 3, "name": "a"}), 201)

    def test_a_database_whose_file_comes_back_is_there_again(self):
        """It was away when its shard was started again, and is restored from a copy."""
        self.serve()
        self.done(self.s.post(PARENTS, {"id": 1, "name": "a"}), 201)
        path = sheaf.database(self.data, "parents")
        with sheaf.opened(self.data, "parents") as original, contextlib.closing(sqlite3.connect(path + ".copy")) as copy:
            original.backup(copy)
        with self.locked_out("parents") as taker:
            os.kill(self.s.shards()["parents"], signal.SIGKILL)
            taker.join(20)
            for ending in ("", "-wal", "-shm"):
                os.unlink(path + ending)
        missing = "its file is missing or empty"
        self.wait_until(lambda: missing in self.refused_at_once("parents", "GET", PARENTS + "/1")["error"]["message"])
        self.done(self.s.post(OTHERS, {"id": 1}), 201)
        os.rename(path + ".copy", path)
        self.wait_until(lambda: self.s.get(PARENTS + "/1").status == 200)
        self.done(self.s.post(PARENTS, {"id": 2, "name": "b"}), 201)
        self.assertEqual(sheaf.rows(self.data, "parents"), [(1, "a"), (2, "b")])

    def test_nothing_is_deleted_whose_children_cannot_be_looked_for(self):
        self.serve()
        self.done(self.s.post(PARENTS, {"id": 1, "name": "a"}), 201)
        self.done(self.s.post(CHILDREN, {"id": 1, "parent": 1}), 201)
        with self.away("children"):
            self.refused_at_once("children", "DELETE", PARENTS + "/1")
            ops = [{"op": "insert", "table": "others", "row": {"id": 1}}, {"op": "delete", "table": "parents", "key": {"id": 1}}]
            self.assertEqual(self.refused_at_once("children", "POST", "/v1/batch", {"atomic": True, "ops": ops})["op"], 1)
            self.refused_at_once("children", "PATCH", PARENTS + "/1", {"id": 2})
            self.refused_at_once("children", "PATCH", PARENTS + "/1", {"name": None})
            self.done(self.s.post(PARENTS, {"id": 2, "name": "b"}), 201)  # a new one has none
        self.done(self.s.delete(PARENTS + "/1"))
        self.refused(self.s.get(CHILDREN + "/1"), 404, "not_found")

    def test_a_shard_that_hangs_is_killed_and_what_it_was_asked_is_asked_again(self):
        self.serve(heartbeat_ms=50, mute_ms=500)
        self.done(self.s.post(PARENTS, {"id": 1}), 201)
        before = self.s.shards()["parents"]
        os.kill(before, signal.SIGSTOP)
        self.done(self.s.post(PARENTS, {"id": 2}), 201)
        self.assertNotEqual(self.s.shards()["parents"], before)
        self.assertEqual([row[0] for row in sheaf.rows(self.data, "parents")], [1, 2])

    def test_a_shard_that_hangs_is_no_conflict(self):
        """A row waits for its shard; a batch that needs the row's key is refused since nobody knows what became of it."""
        self.serve(lock_ms=300, mute_ms=60000)
        ops = [{"op": "insert", "table": "others", "row": {"id": 1}}, {"op": "insert", "table": "parents", "row": {"id": 2}}]
        shard = self.s.shards()["parents"]
        os.kill(shard, signal.SIGSTOP)
        try:
            other = self.s.client()
            other.send("POST", PARENTS, {"id": 2})
            for _ in range(2):
                self.done(self.s.get("/healthz"))  # so that the row is on its way
            self.refused(self.s.post("/v1/batch", {"atomic": True, "ops": ops}), 503, "unavailable")
        finally:
            os.kill(shard, signal.SIGCONT)
        self.done(other.receive(), 201)
        other.close()

    def test_nothing_is_waited_for_too_long_that_goes_on(self):
        """Rows of one request that name each other, and one of another request that names the last of them."""
        rows = [{"id": n, "up": n - 1 if n else None} for n in range(1000)]
        self.serve(schema="CREATE TABLE t (id INTEGER PRIMARY KEY, up REFERENCES t);", lock_ms=1000)
        other = self.s.client()
        other.send("POST", server.path("t"), rows)
        for _ in range(2):
            self.done(self.s.get("/healthz"))
        self.done(self.s.post(server.path("t"), {"id": 1000, "up": 999}), 201)
        body = self.done(other.receive())
        self.assertEqual((body["accepted"], body["refused"]), (1000, 0))
        other.close()

    def test_a_stop_does_not_wait_for_ever_and_the_next_start_goes_on(self):
        """A row is sent to a shard that hangs and then does not come back: its user hears that nobody knows."""
        self.serve(heartbeat_ms=50, mute_ms=300, stop_ms=500)
        self.done(self.s.post(PARENTS, {"id": 1}), 201)
        with self.locked_out("parents") as taker:
            os.kill(self.s.shards()["parents"], signal.SIGSTOP)
            other = self.s.client()
            other.send("POST", PARENTS, {"id": 2})
            taker.join(20)  # it was killed
            self.done(self.s.post(OTHERS, {"id": 1}), 201)
            self.s.tell(signal.SIGTERM)
            self.refused(other.receive(), 504, "unknown")
            other.close()
            self.s.close()
            self.assertEqual(self.s.wait(20), 0)
        self.serve()
        self.assertIn(self.s.get(PARENTS + "/2").status, (200, 404))
        self.done(self.s.get(PARENTS + "/1"))
        self.done(self.s.post(PARENTS, {"id": 3}), 201)

    def test_a_row_that_its_shard_dies_of_each_time_is_given_up_and_the_table_goes_on(self):
        """Looking for one long text in another takes SQLite many seconds, inside one step: it counts as a hang."""
        self.serve(heartbeat_ms=50, mute_ms=300)
        poisoned = server.path("poisoned")
        endless = {"x": 700000 * "a", "y": 300000 * "a" + "b"}
        self.done(self.s.post(poisoned, {"id": 1}), 201)
        error = self.refused(self.s.post(poisoned, {"id": 2} | endless), 503, "unavailable")
        self.assertIn("database poisoned was lost 3 times while it took these rows, and they are not in it", error["message"])
        self.done(self.s.post(poisoned, {"id": 2}), 201)
        ops = [{"op": "insert", "table": "others", "row": {"id": 1}},
               {"op": "insert", "table": "poisoned", "row": {"id": 3} | endless}]
        self.refused(self.s.batch(*ops), 503, "unavailable")
        self.done(self.s.post(OTHERS, {"id": 1}), 201)
        self.assertEqual(self.s.get(poisoned).rows, [{"id": i, "x": None, "y": None} for i in (1, 2)])
        self.done(self.s.post(poisoned, {"id": 3}), 201)


if __name__ == "__main__":
    sheaf.main()
