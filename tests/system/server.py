# SPDX-License-Identifier: Apache-2.0
"""A running `coordinator serve`, and a client that speaks HTTP with it, for every test that needs one.

    class Mine(server.Case):
        def test_it(self):
            s = self.serve(schema="CREATE TABLE t (id INTEGER PRIMARY KEY);")
            self.done(s.post("/v1/rows/t", {"id": 1}), 201)             # a body: bytes or text as it is, else as JSON
            self.refused(s.get("/v1/rows/t/2"), 404, "not_found")
            other = s.client(unix=True)                                  # a connection of its own: one for each thread
            self.assertEqual(other.get(path("t", 1)).json, {"id": 1})
            self.assertEqual(s.stop(), 0)
"""

import http.client
import json
import os
import re
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
import urllib.parse

import sheaf

READY = re.compile(r"coordinator serve: ready on http://(\S+) and on the Unix socket (.+)")


class Answer:
    """What came back. `json` is the body read as JSON, integers exact; `row` and `rows` are for those who read aloud."""

    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def rows(self):
        return self.json["rows"]

    @property
    def error(self):
        return self.json["error"]

    @property
    def etag(self):
        return self.headers["ETag"]

    def __str__(self):
        return f"{self.status} {dict(self.headers)}\n{self.body[:2000].decode('utf-8', 'backslashreplace')}"


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path, timeout):
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self):
        self.sock = connect_unix(self.path, self.timeout)


def connect_unix(path, timeout):
    """A path that is too long for a socket is reached from its folder."""
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(timeout)
    try:
        sock.connect(os.path.realpath(path))
    except BaseException:
        sock.close()
        raise
    return sock


class Raw:
    """A bare connection, for those who write their own HTTP: any number of requests, then any number of answers."""

    def __init__(self, sock):
        self.sock, self.file = sock, sock.makefile("rb")

    def send(self, data):
        self.sock.sendall(data.encode() if isinstance(data, str) else data)

    def answer(self, head=False):
        """The next answer (of a HEAD: without a body, whatever its length says). None: the server ended it."""
        line = self.file.readline()
        if not line:
            return None
        headers = http.client.parse_headers(self.file)
        status = int(line.split()[1])
        empty = head or status < 200 or status == 304
        length = 0 if empty else int(headers["Content-Length"])
        body = self.file.read(length)
        if len(body) < length:
            raise http.client.IncompleteRead(body, length - len(body))
        return Answer(status, headers, body)

    def ask(self, data):
        self.send(data)
        return self.answer()

    def ends(self):
        """Waits for the server to end it, after which nothing else may have come; when that was, as time.monotonic."""
        try:
            rest = self.file.read()
        except ConnectionResetError:
            rest = b""
        if rest:
            raise AssertionError(f"more came before the end: {rest[:500]}")
        return time.monotonic()

    def drip(self, data, pause_s):
        """Sends a byte at a time until all is sent (then None) or the server ends the connection; when that was."""
        for i in range(len(data)):
            readable, _, _ = select.select([self.sock], [], [], pause_s)
            if readable:
                return self.ends()
            try:
                self.sock.sendall(data[i:i + 1])
            except (BrokenPipeError, ConnectionResetError):
                return time.monotonic()
        return None

    def close(self):
        self.file.close()
        self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Client:
    """One connection, kept alive; one thread's. After an end that the server made, the next request connects again, and
    none is ever sent twice behind the test's back."""

    def __init__(self, connection, headers=None):
        self.connection, self.headers = connection, headers or {}

    def send(self, method, target, body=None, headers=None):
        """Sends without waiting for the answer."""
        sent = dict(self.headers)
        if body is not None:
            sent["Content-Type"] = "application/json"
            if not isinstance(body, (bytes, str)):
                body = json.dumps(body, ensure_ascii=False)
            body = body.encode() if isinstance(body, str) else body
        sent.update(headers or {})
        self.connection.request(method, target, body, {k: v for k, v in sent.items() if v is not None})

    def receive(self):
        response = self.connection.getresponse()
        return Answer(response.status, response.headers, response.read())

    def request(self, method, target, body=None, headers=None):
        self.send(method, target, body, headers)
        return self.receive()

    def get(self, target, headers=None):
        return self.request("GET", target, None, headers)

    def head(self, target, headers=None):
        return self.request("HEAD", target, None, headers)

    def post(self, target, body, headers=None):
        return self.request("POST", target, body, headers)

    def patch(self, target, body, headers=None):
        return self.request("PATCH", target, body, headers)

    def delete(self, target, headers=None):
        return self.request("DELETE", target, None, headers)

    def batch(self, *ops, atomic=True, headers=None):
        return self.post("/v1/batch", {"atomic": atomic, "ops": list(ops)}, headers)

    def pages(self, target, limit=None):
        """Every row of a table, page after page; `target` may have a query with filters already."""
        rows, after = [], None
        while True:
            query = urllib.parse.urlencode({k: v for k, v in (("limit", limit), ("after", after)) if v is not None})
            page = self.get(target + ("&" if "?" in target else "?") * bool(query) + query)
            if page.status != 200:
                raise AssertionError(f"{target}: {page}")
            rows += page.rows
            after = page.json["next"]
            if after is None:
                return rows

    def empty(self, **key_columns):
        """Deletes every row of tables, given by name with their keys' columns, children first."""
        for table, columns in key_columns.items():
            rows = self.pages(path(table), limit=1000)
            answer = self.batch(*({"op": "delete", "table": table, "key": {c: row[c] for c in columns}} for row in rows),
                                atomic=False)
            if answer.json["refused"]:
                raise AssertionError(f"{table} cannot be emptied: {answer}")

    def close(self):
        self.connection.close()


def key(*values):
    """A KEY of a path: integers in decimal, bytes as x'…', text percent-encoded."""
    texts = (f"x'{v.hex()}'" if isinstance(v, bytes) else str(v) for v in values)
    return ",".join(urllib.parse.quote(text, safe="") for text in texts)


def path(table, *values):
    """/v1/rows/TABLE, or with a key's values /v1/rows/TABLE/KEY."""
    return "/v1/rows/" + urllib.parse.quote(table, safe="") + ("/" + key(*values) if values else "")


class Server(Client):
    """The process, ready; it is a client of itself as well, for whoever needs but one connection.

    `said` is what its stderr holds so far. Whoever made it ends it: `stop`, `kill`, or the test case's cleanup."""

    def __init__(self, data, *args, listen="127.0.0.1:0", **options):
        argv = [sheaf.COORDINATOR, "serve", "--data", data, *(["--listen", listen] if listen else []), *map(str, args)]
        options.setdefault("env", sheaf.environment())
        self.process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                        **options)
        self.data, self.pid = data, self.process.pid
        self.port, self.said, self.ended, self.heard = 0, "", False, threading.Condition()
        self.listener = threading.Thread(target=self.listen, daemon=True)
        self.listener.start()
        super().__init__(self.connect())
        ready = self.wait_for(READY.pattern)
        if not ready:
            self.kill()
            raise AssertionError(f"$ {' '.join(map(str, argv))}\nended before it was ready:\n{self.said}")
        self.address, self.unix = ready.groups()
        self.connection.port = self.port = int(self.address.rsplit(":", 1)[1])

    # ---- the process

    def listen(self):
        for line in iter(self.process.stderr.readline, b""):
            with self.heard:
                self.said += line.decode("utf-8", "replace")
                self.heard.notify_all()
        with self.heard:
            self.ended = True
            self.heard.notify_all()

    def wait_for(self, pattern, timeout=sheaf.TIMEOUT_S):
        """Waits until its stderr has a match, which it returns; None when that ended without one."""
        with self.heard:
            self.heard.wait_for(lambda: self.ended or re.search(pattern, self.said), timeout)
            return re.search(pattern, self.said)

    def tell(self, number=signal.SIGTERM):
        self.process.send_signal(number)

    def wait(self, timeout=sheaf.TIMEOUT_S):
        """Its exit status, when it has ended; negative: by a signal."""
        status = self.process.wait(timeout)
        self.listener.join(timeout)
        for pipe in (self.process.stdout, self.process.stderr):
            pipe.close()
        return status

    def stop(self, number=signal.SIGTERM, timeout=sheaf.TIMEOUT_S):
        """Ends it as a service manager does; its exit status. Twice is harmless."""
        if self.process.returncode is None:
            self.close()
            self.tell(number)
            self.wait(timeout)
        return self.process.returncode

    def kill(self):
        """kill -9 of the coordinator alone, and waits until its shards have followed by themselves. Twice is harmless."""
        if self.process.returncode is None:
            self.close()
            shards = [os.pidfd_open(pid) for pid in self.shards().values()]
            self.process.kill()
            self.wait()
            for shard in shards:
                select.select([shard], [], [], sheaf.TIMEOUT_S)
                os.close(shard)

    def shards(self):
        """Pids of its shards by their database's name."""
        found = {}
        for pid in sheaf.shardds_of(self.data):
            try:
                with open(f"/proc/{pid}/cmdline", "rb") as file:
                    argv = file.read().split(b"\0")
            except OSError:
                continue
            if b"--database" in argv:  # nothing is left of one that has just died
                found[argv[argv.index(b"--database") + 1].decode()] = pid
        return found

    # ---- connections

    def client(self, unix=False, headers=None, timeout=sheaf.TIMEOUT_S):
        """One more client with a connection of its own."""
        return Client(self.connect(unix, timeout), headers)

    def raw(self, unix=False, timeout=sheaf.TIMEOUT_S):
        """with s.raw() as connection: …"""
        if unix:
            return Raw(connect_unix(self.unix, timeout))
        return Raw(socket.create_connection(("127.0.0.1", self.port), timeout))

    def connect(self, unix=False, timeout=sheaf.TIMEOUT_S):
        if unix:
            return UnixConnection(self.unix, timeout)
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)


class Case(sheaf.Case):
    """A test that runs servers; those that still run at its end are stopped, and must end well."""

    def schema(self, ddl, name="schema.sql"):
        return self.path(name, ddl)

    def serve(self, *args, data=None, schema=None, config=None, **options):
        """A server, ready. `schema`: DDL; `config`: text of an INI file; else as Server."""
        if schema is not None:
            args += ("--schema", self.schema(schema))
        if config is not None:
            args += ("--config", self.path("sheaf.conf", config))
        server = Server(data or self.data, *args, **options)
        self.addCleanup(self.end_well, server)
        return server

    def end_well(self, server):
        if server.process.returncode is None:
            self.assertEqual(server.stop(), 0, server.said)

    def done(self, answer, status=200):
        """Expects a status; the body as JSON."""
        self.assertEqual(answer.status, status, str(answer))
        return answer.json if answer.body else None

    def refused(self, answer, status, code, **more):
        """Expects a refusal in its one shape, with table, constraint or op if they are given; the error."""
        self.assertEqual(answer.status, status, str(answer))
        body = answer.json
        self.assertEqual(sorted(body), ["error", "ok", "op"] if "op" in body else ["error", "ok"], str(answer))
        self.assertIs(body["ok"], False)
        self.assertEqual(sorted(body["error"]), ["code", "constraint", "message", "table"], str(answer))
        self.assertEqual(body["error"]["code"], code, str(answer))
        self.assertTrue(body["error"]["message"])
        for name, value in more.items():
            self.assertEqual(body["op"] if name == "op" else body["error"][name], value, str(answer))
        return body["error"]


class Shared(Case):
    """Tests that share one server over SCHEMA with CONFIG, `self.s`: quick. Each begins with the tables of KEYS
    (children first, the columns of their keys) empty; what it does to others it sees to itself."""

    SCHEMA = CONFIG = ""
    KEYS = {}

    @classmethod
    def setUpClass(cls):
        cls.home = tempfile.mkdtemp(prefix="sheaf-test-")
        cls.addClassCleanup(shutil.rmtree, cls.home, ignore_errors=True)
        args = []
        for option, name, text in (("--schema", "schema.sql", cls.SCHEMA), ("--config", "sheaf.conf", cls.CONFIG)):
            args += [option, os.path.join(cls.home, name)]
            with open(args[-1], "w", encoding="utf-8") as file:
                file.write(text)
        cls.s = Server(os.path.join(cls.home, "data"), *args)
        cls.addClassCleanup(cls.end)

    @classmethod
    def end(cls):
        status = cls.s.stop()
        left = sheaf.shardds_of(cls.s.data)
        if status != 0 or left:
            raise AssertionError(f"exit {status}, shards left: {left}\n{cls.s.said}")

    def setUp(self):
        super().setUp()
        self.data = self.s.data
        self.s.empty(**self.KEYS)

    def no_shard_is_left(self):
        """They are still at work; the server's end is the end of them."""
