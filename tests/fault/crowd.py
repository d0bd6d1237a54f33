# SPDX-License-Identifier: Apache-2.0
"""Clients that a server would rather not have, and one that it has to serve well all the same: for tests of what it does
when there is too much of something."""

import collections
import contextlib
import http.client
import os
import re
import selectors
import socket
import subprocess
import sys
import threading
import time
from unittest import mock

import sheaf

MIB = 1 << 20
LIMITS_H = sheaf.TOP / "shared" / "limits.h"
PACE_S = 0.02  # between two turns of a good client
ENTER_S = 2.0  # in which a crowd comes, and so later comes again: not all of it in one moment


def limit(name):
    """A limit's standard, from the one place where they stand."""
    with open(LIMITS_H, encoding="utf-8") as file:
        return int(re.search(rf"X\({name}, (\d+)u?,", file.read()).group(1))


def percentile(values, share):
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def use_release_programs(case):
    """For what is measured and would not be itself under a sanitizer."""
    if "SHEAF_RELEASE_BIN" in os.environ:
        release = mock.patch.object(sheaf, "COORDINATOR", os.path.join(os.environ["SHEAF_RELEASE_BIN"], "coordinator"))
        release.start()
        case.addCleanup(release.stop)


# ---- what a process takes


def memory(pid, what="VmRSS"):
    with open(f"/proc/{pid}/status", encoding="utf-8") as file:
        return int(re.search(rf"{what}:\s+(\d+) kB", file.read()).group(1)) << 10


def own_memory(pid):
    """What nobody else has: without its share of files that several map."""
    with open(f"/proc/{pid}/smaps_rollup", encoding="utf-8") as file:
        return sum(int(kb) for kb in re.findall(r"Private_(?:Clean|Dirty):\s+(\d+) kB", file.read())) << 10


def forget_peak(pid):
    """From now on VmHWM is the peak since now."""
    with open(f"/proc/{pid}/clear_refs", "w", encoding="utf-8") as file:
        file.write("5")


def descriptors(pid):
    """What it has open, as ls -l /proc/PID/fd."""
    folder, found = f"/proc/{pid}/fd", []
    for fd in os.listdir(folder):
        with contextlib.suppress(FileNotFoundError):
            found.append(f"{fd} {os.readlink(f'{folder}/{fd}')}")
    return found


def cpu_s(pid):
    with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Probe:
    """How much longer than its CPU time something takes here and now, because others have the processors: 10 ms of work, time
    and again, in a process of its own."""

    CODE = """
import time
while True:
    wall, cpu = time.monotonic(), time.process_time()
    while time.process_time() - cpu < 0.01:
        pass
    print((time.monotonic() - wall) / (time.process_time() - cpu), flush=True)
    time.sleep(0.3)
"""

    def __init__(self):
        self.process = subprocess.Popen([sys.executable, "-c", self.CODE], stdout=subprocess.PIPE, text=True)

    def end(self):
        """The median since it began; at least 1."""
        if self.process.returncode is None:
            self.process.terminate()
            said = self.process.communicate()[0].splitlines()[:-1]
            self.factor = max(1.0, percentile([float(line) for line in said], 0.5) if said else 1.0)
        return self.factor


# ---- the good one


class Good(threading.Thread):
    """Changes its row and reads it back, every PACE_S; `fresh`: over a connection of its own each time. Both must be
    answered, and what is read is what was written. `again`: when its connection is ended, as one may be that is idle where
    others want to come in, it asks once more over another, which is part of the time that its turn takes."""

    def __init__(self, server, row, fresh, again=False):
        super().__init__(daemon=True)
        self.server, self.target, self.fresh = server, f"/v1/rows/t/{row}", fresh
        self.again, self.times_again = again, 0
        self.client, self.value, self.took_s, self.failure = None, 0, [], None
        self.over = threading.Event()

    def run(self):
        try:
            while not self.over.wait(PACE_S):
                self.turn("PATCH", {"v": self.value + 1}, 200)
                self.value += 1
                read = self.turn("GET", None, 200).json["v"]
                if read != self.value:
                    raise AssertionError(f"{self.target} is {read} after {self.value} was written")
        except BaseException as failure:
            self.failure = failure

    def turn(self, method, body, status):
        begun, answer = time.monotonic(), None
        while not answer:
            if self.fresh or not self.client:
                self.client = self.server.client()
            try:
                answer = self.client.request(method, self.target, body)
            except (ConnectionError, http.client.RemoteDisconnected):
                if not self.again:
                    raise
                self.times_again += 1
            if self.fresh or not answer:
                self.client.close()
        self.took_s.append(time.monotonic() - begun)
        if answer.status != status:
            raise AssertionError(f"{method} {self.target}: {answer}")
        return answer

    def taken(self):
        """How long its turns since the last call took."""
        taken, self.took_s = self.took_s, []
        if self.failure:
            raise AssertionError(f"a good client ({'fresh' if self.fresh else 'kept'} connections)") from self.failure
        return taken

    def end(self):
        self.over.set()
        self.join()
        if self.client:
            self.client.close()


# ---- one that needs much


class Hungry(threading.Thread):
    """Writes its rows, asks for large pages, sends megabytes that are wrong, or too many; takes a refusal for an answer if it
    is one of HONEST, and a connection that ends. Knows what its rows may be then."""

    HONEST = ("busy", "too_large", "unavailable", "unknown", "internal")  # the last: out of memory
    ROWS, ROW_BYTES = 8, 32 * 1024

    def __init__(self, serving, number, body_bytes):
        super().__init__(daemon=True)
        self.serving, self.body_bytes = serving, body_bytes  # serving(): the server that there is now
        self.ids = range(1000 * number, 1000 * number + self.ROWS)
        self.may_be = {row: {None} for row in self.ids}  # versions that it may have; one: it is known
        self.version, self.told, self.failure, self.over = 0, collections.Counter(), None, threading.Event()

    def run(self):
        try:
            turn = 0
            while not self.over.wait(PACE_S):
                turn += 1
                try:
                    (self.write, self.read, self.send_wrong, self.send_too_much)[turn % 4](self.serving().client())
                except (OSError, http.client.HTTPException):
                    self.told["a lost connection"] += 1
                    self.over.wait(0.2)
        except BaseException as failure:
            self.failure = failure

    def write(self, client):
        self.version += 1
        rows = self.rows("x", f"{self.version} " + self.ROW_BYTES * "x")
        before = {row: set(versions) for row, versions in self.may_be.items()}
        for versions in self.may_be.values():
            versions.add(self.version)
        answer = client.post("/v1/rows/big?on_conflict=update", rows)
        client.close()
        codes = [self.code(answer)] * self.ROWS if answer.status != 200 else [self.result(r) for r in answer.json["results"]]
        for row, code in zip(self.ids, codes):
            self.tell(code, answer)
            if code == "ok":
                self.may_be[row] = {self.version}
            elif code != "unknown":
                self.may_be[row] = before[row]

    def read(self, client):
        answer = client.get("/v1/rows/big?limit=1000")
        client.close()
        self.tell("a page" if answer.status == 200 else self.code(answer), answer)

    def send_wrong(self, client):
        """It has no such column, and so nothing is written."""
        answer = client.post("/v1/rows/big", self.rows("y", self.body_bytes // 10 * "y"))
        client.close()
        self.tell("wrong" if answer.status == 200 and answer.json["refused"] == self.ROWS else self.code(answer), answer)

    def send_too_much(self, client):
        answer = client.post("/v1/rows/big", b"[" + (self.body_bytes + 1) * b" ")
        client.close()
        self.tell(self.code(answer), answer, ok=False)

    def rows(self, column, value):
        """All of its rows. Put together quickly: the good clients are threads of the same process."""
        return "[" + ",".join(f'{{"id":{row},"{column}":"{value}"}}' for row in self.ids) + "]"

    def result(self, result):
        return "ok" if result["ok"] else result["error"]["code"]

    def code(self, answer):
        return answer.error["code"]

    def tell(self, code, answer, ok=True):
        self.told[code] += 1
        if code not in (*self.HONEST, *(("ok", "a page", "wrong") if ok else ())):
            raise AssertionError(f"{code}: {answer}")
        if code == "internal" and b"out of memory" not in answer.body:
            raise AssertionError(str(answer))

    def end(self):
        self.over.set()
        self.join()
        if self.failure:
            raise AssertionError("one that needs much") from self.failure


# ---- the others


class Member:
    """One of a crowd: a connection that is made again when the server has ended it, after `rest_s`."""

    rest_s = 0.0
    receive_bytes = None  # of the socket's buffer
    settled = True  # has got what it came for
    listens = True

    def __init__(self):
        self.sock, self.since, self.due = None, 0.0, 0.0

    def connect(self, address):
        self.sock = socket.socket()
        if self.receive_bytes:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self.receive_bytes)
        self.sock.connect(address)
        self.sock.setblocking(False)
        self.since = time.monotonic()
        self.begin()

    def begin(self):
        """Connected."""

    def act(self):
        """It is its time again; in how many seconds the next one is."""
        return 1.0

    def hear(self):
        """Something has come; False: the end of it."""
        return bool(self.sock.recv(65536))


class SlowHead(Member):
    """Headers without end, a byte a second."""

    text = b"GET /v1/rows/t/1 HTTP/1.1\r\nHost: localhost\r\nX-Slow: " + 4096 * b"s"

    def begin(self):
        self.sent = 0

    def act(self):
        self.sock.send(self.text[self.sent:self.sent + 1])
        self.sent += 1
        return 1.0


class SlowBody(SlowHead):
    """The headers are there at once, the body comes a byte a second."""

    text = b'{"v": "' + 4096 * b"s"
    head = b"PATCH /v1/rows/t/1 HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 5000\r\n\r\n"

    def begin(self):
        super().begin()
        self.sock.send(self.head)


class Idle(Member):
    """Asks for something and then keeps the connection."""

    def hear(self):
        self.settled = super().hear()
        return self.settled

    def begin(self):
        self.settled = False
        self.sock.send(b"GET /v1/rows/t/1 HTTP/1.1\r\nHost: localhost\r\n\r\n")


class Hasty(Idle):
    """One of too many for those who are in to stay; comes again in a second, and nobody waits until it has been served."""

    rest_s = 1.0


class Deaf(Member):
    """Asks for page after page and reads nothing. Nobody can tell it that it was given up: it goes by itself at last."""

    receive_bytes = 4096
    listens = False
    stays_s = 20.0
    target = "/v1/rows/big?limit=1000"

    def begin(self):
        self.leaves = self.since + self.stays_s
        self.sock.send(200 * f"GET {self.target} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())

    def act(self):
        if time.monotonic() >= self.leaves:
            raise ConnectionResetError("of its own will")
        return 1.0


class Slow(Deaf):
    """Reads a byte a second."""

    def act(self):
        self.sock.recv(1)
        return super().act()


class Crowd(threading.Thread):
    """All of them, in one thread. `lives`: (kind, seconds) of each connection that the server has ended."""

    def __init__(self, address, members):
        super().__init__(daemon=True)
        self.address, self.members, self.lives, self.failure = address, members, [], None
        self.over, self.all_in = threading.Event(), threading.Event()
        self.selector = selectors.DefaultSelector()

    def run(self):
        try:
            for i, member in enumerate(self.members):
                member.due = time.monotonic() + i % 10 / 10  # the bytes of a second come all through it
                self.enter(member)
                self.over.wait(ENTER_S / len(self.members))
            self.all_in.set()
            while not self.over.is_set():
                for key, _ in self.selector.select(0.02):
                    self.attempt(key.data, key.data.hear)
                now = time.monotonic()
                for member in self.members:
                    if member.due <= now:
                        self.move(member)
        except BaseException as failure:
            self.failure = failure
        finally:
            self.all_in.set()
            self.selector.close()
            for member in self.members:
                if member.sock:
                    member.sock.close()

    def enter(self, member):
        try:
            member.connect(self.address)
        except OSError:  # ended as soon as it was let in
            self.leave(member)
            return
        if member.listens:
            self.selector.register(member.sock, selectors.EVENT_READ, member)

    def leave(self, member):
        self.lives.append((type(member).__name__, time.monotonic() - member.since))
        if member.sock.fileno() in self.selector.get_map():
            self.selector.unregister(member.sock)
        member.sock.close()
        member.sock, member.due = None, time.monotonic() + member.rest_s

    def move(self, member):
        if member.sock:
            member.due = time.monotonic() + (self.attempt(member, member.act) or 0.0)
        else:
            self.enter(member)

    def attempt(self, member, what):
        """Whether the connection is still there, or what `what` says then."""
        try:
            result = what()
        except BlockingIOError:
            return 1.0
        except OSError:
            result = False
        if result is False:
            self.leave(member)
        return result

    def are_settled(self):
        return self.all_in.is_set() and all(member.settled or isinstance(member, Hasty) for member in self.members)

    def end(self):
        self.over.set()
        self.join()
        if self.failure:
            raise AssertionError("a crowd") from self.failure
