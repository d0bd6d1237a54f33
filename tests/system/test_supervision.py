# SPDX-License-Identifier: Apache-2.0
"""A server whose shards die, hang, and do not come back: what needs them is refused at once, everything else goes on."""

import contextlib
import fcntl
import http.client
import json
import os
import pathlib
import re
import signal
import threading
import time
import unittest

import sheaf

SCHEMA = """
CREATE TABLE parents (id INTEGER PRIMARY KEY, name TEXT UNIQUE);
CREATE TABLE children (id INTEGER PRIMARY KEY, parent INTEGER REFERENCES parents ON DELETE CASCADE,
 name TEXT REFERENCES parents (name));
CREATE TABLE others (id INTEGER PRIMARY KEY);
"""
AT_ONCE_S = 2  # on a busy machine; nothing but that is nearer than the 5 s of lock_ms


def until(condition, seconds=30):
    """Waits for something that only /proc, or the server, can tell."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.01)
    return False


class Supervision(sheaf.Case):
    def serve(self, **limits):
        schema = self.path("schema.sql", SCHEMA)
        lines = "".join(f"{name} = {value}\n" for name, value in ({"lock_file_ms": 0} | limits).items())
        config = self.path("c.conf", f"[limits]\n{lines}")
        self.process = sheaf.start("serve", "--quiet", "--listen", "127.0.0.1:0", "--data", self.data, "--schema", schema,
                                   "--config", config)
        self.said, self.listener = [], threading.Thread(target=self.listen, args=(self.process,))
        self.addCleanup(self.end, self.process, self.listener)
        while not self.said or "ready on" not in self.said[-1]:
            line = self.process.stderr.readline().decode()
            self.assertTrue(line, "".join(self.said))
            self.said.append(line)
        self.port = int(re.search(r"http://127\.0\.0\.1:(\d+)", self.said[-1]).group(1))
        self.listener.start()

    def listen(self, process):
        for line in process.stderr:
            self.said.append(line.decode())

    def end(self, process, listener):
        if process.poll() is None:
            process.kill()
        process.wait()
        if listener.ident:
            listener.join(20)
        for stream in (process.stdin, process.stdout, process.stderr):
            stream.close()

    def ask(self, method, path, body=None):
        """Status and answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=sheaf.TIMEOUT_S)
        try:
            connection.request(method, path, None if body is None else json.dumps(body), {"Content-Type": "application/json"})
            response = connection.getresponse()
            return response.status, json.loads(response.read() or b"null")
        finally:
            connection.close()

    def asked(self, status, method, path, body=None):
        got, answer = self.ask(method, path, body)
        self.assertEqual(got, status, answer)
        return answer

    def refused_at_once(self, database, method, path, body=None):
        before = time.monotonic()
        answer = self.asked(503, method, path, body)
        self.assertLess(time.monotonic() - before, AT_ONCE_S)
        self.assertEqual(answer["error"]["code"], "unavailable")
        self.assertIn(f"database {database} is not available", answer["error"]["message"])
        return answer

    def shard(self, name):
        """The pid of a database's shardd; None while there is none."""
        for pid in sheaf.shardds_of(self.data):
            with contextlib.suppress(OSError):
                if name.encode() in pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0"):
                    return pid
        return None

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
            os.kill(self.shard(name), signal.SIGKILL)
            taker.join(20)
            self.refused_at_once(name, "GET", f"/v1/rows/{name}")
            yield
        self.assertTrue(until(lambda: self.ask("GET", f"/v1/rows/{name}?limit=1")[0] == 200), "it did not come back")

    def test_its_tables_are_unavailable_at_once_and_the_others_go_on(self):
        self.serve()
        self.asked(201, "POST", "/v1/rows/parents", {"id": 1, "name": "a"})
        with self.away("parents"):
            self.refused_at_once("parents", "POST", "/v1/rows/parents", {"id": 2})
            self.refused_at_once("parents", "GET", "/v1/rows/parents/1")
            self.refused_at_once("parents", "GET", "/v1/rows/parents")
            self.refused_at_once("parents", "PATCH", "/v1/rows/parents/1", {"name": "b"})
            self.refused_at_once("parents", "DELETE", "/v1/rows/parents/1")
            ops = [{"op": "insert", "table": "others", "row": {"id": 1}},
                   {"op": "insert", "table": "parents", "row": {"id": 3}}]
            self.assertEqual(self.refused_at_once("parents", "POST", "/v1/batch", {"atomic": True, "ops": ops})["op"], 1)
            self.asked(404, "GET", "/v1/rows/others/1")
            self.asked(201, "POST", "/v1/rows/others", {"id": 1})
            self.asked(201, "POST", "/v1/rows/children", {"id": 1, "parent": 1})  # which is known to be there
            self.asked(422, "POST", "/v1/rows/children", {"id": 2, "parent": 99})
            self.refused_at_once("parents", "POST", "/v1/rows/children", {"id": 3, "name": "a"})  # which has to be asked
            self.asked(200, "PATCH", "/v1/rows/children/1", {"parent": None})
            self.asked(200, "DELETE", "/v1/rows/others/1")
        self.assertEqual(self.asked(200, "GET", "/v1/rows/parents/1"), {"id": 1, "name": "a"})
        self.asked(404, "GET", "/v1/rows/parents/2")
        self.asked(201, "POST", "/v1/rows/children", {"id": 3, "name": "a"})

    def test_nothing_is_deleted_whose_children_cannot_be_looked_for(self):
        self.serve()
        self.asked(201, "POST", "/v1/rows/parents", {"id": 1, "name": "a"})
        self.asked(201, "POST", "/v1/rows/children", {"id": 1, "parent": 1})
        with self.away("children"):
            self.refused_at_once("children", "DELETE", "/v1/rows/parents/1")
            self.refused_at_once("children", "PATCH", "/v1/rows/parents/1", {"id": 2})
            self.refused_at_once("children", "PATCH", "/v1/rows/parents/1", {"name": None})
            self.asked(201, "POST", "/v1/rows/parents", {"id": 2, "name": "b"})  # a new one has none
        self.asked(200, "DELETE", "/v1/rows/parents/1")
        self.asked(404, "GET", "/v1/rows/children/1")

    def test_a_shard_that_hangs_is_killed_and_what_it_was_asked_is_asked_again(self):
        self.serve(heartbeat_ms=50, mute_ms=500)
        self.asked(201, "POST", "/v1/rows/parents", {"id": 1})
        before = self.shard("parents")
        os.kill(before, signal.SIGSTOP)
        self.asked(201, "POST", "/v1/rows/parents", {"id": 2})
        self.assertNotEqual(self.shard("parents"), before)
        self.assertEqual([row[0] for row in sheaf.rows(self.data, "parents")], [1, 2])

    def test_a_stop_does_not_wait_for_ever_and_the_next_start_goes_on(self):
        """A row is sent to a shard that hangs and then does not come back: its user hears that nobody knows."""
        self.serve(heartbeat_ms=50, mute_ms=300, stop_ms=500)
        self.asked(201, "POST", "/v1/rows/parents", {"id": 1})
        with self.locked_out("parents") as taker:
            os.kill(self.shard("parents"), signal.SIGSTOP)
            answers = []
            asking = threading.Thread(target=lambda: answers.append(self.ask("POST", "/v1/rows/parents", {"id": 2})))
            asking.start()
            taker.join(20)  # it was killed
            self.asked(201, "POST", "/v1/rows/others", {"id": 1})
            self.assertEqual(answers, [])
            self.process.terminate()
            asking.join(20)
            self.assertEqual(self.process.wait(20), 0)
            self.assertEqual(answers[0][0], 504)
            self.assertEqual(answers[0][1]["error"]["code"], "unknown")
        self.serve()
        self.assertIn(self.ask("GET", "/v1/rows/parents/2")[0], (200, 404))
        self.asked(200, "GET", "/v1/rows/parents/1")
        self.asked(201, "POST", "/v1/rows/parents", {"id": 3})


if __name__ == "__main__":
    sheaf.main()
