# SPDX-License-Identifier: Apache-2.0
"""HTTP as `coordinator serve` speaks it: methods, media types, bodies of each kind, connections, limits at their edges."""

import json
import os
import re
import resource
import select
import signal
import socket
import time

import server
import sheaf
from server import path

SCHEMA = "CREATE TABLE t (id INTEGER PRIMARY KEY, a);"
HOST = "Host: localhost\r\n"
TYPE = "Content-Type: application/json\r\n"


def post(body, headers="", target="/v1/rows/t"):
    """A POST as bytes, with its length."""
    body = body.encode() if isinstance(body, str) else body
    return f"POST {target} HTTP/1.1\r\n{HOST}{TYPE}{headers}Content-Length: {len(body)}\r\n\r\n".encode() + body


def get(target, headers=""):
    return f"GET {target} HTTP/1.1\r\n{HOST}{headers}\r\n".encode()


def select_read(connection, wait_s):
    """Whether anything (its end, too) comes within a time in which it should not, or should."""
    return bool(select.select([connection.sock], [], [], wait_s)[0])


class Speaking(server.Shared):
    SCHEMA = SCHEMA
    CONFIG = "[limits]\nheader_ms = 2000\n"  # some of what is no HTTP is waited for so long
    KEYS = {"t": ["id"]}

    def test_methods_that_a_path_does_not_know_are_405_with_those_that_it_does(self):
        for target, allow in (("/v1/rows/t", "GET, HEAD, POST"), ("/v1/rows/t/1", "GET, HEAD, PATCH, DELETE"), ("/v1/batch", "POST"),
                              ("/v1/schema", "GET, HEAD"), ("/v1/stats", "GET, HEAD"), ("/metrics", "GET, HEAD"),
                              ("/healthz", "GET, HEAD"), ("/readyz", "GET, HEAD"), ("/v1/openapi.json", "GET, HEAD")):
            for method in ("GET", "POST", "PATCH", "DELETE", "PUT", "OPTIONS", "TRACE", "PROPFIND", "get"):
                if method in allow.split(", "):
                    continue
                with self.subTest(target=target, method=method):
                    answer = self.s.request(method, target, {} if method in ("POST", "PATCH", "PUT") else None)
                    self.refused(answer, 405, "method")
                    self.assertEqual(answer.headers["Allow"], allow)

    def test_paths_that_are_not_there(self):
        for target in ("/", "/v1", "/v1/", "/v1/rows", "/v1/rows/", "/v1/batch/", "/v1/batchx", "/V1/batch", "/v1/../v1/batch", "//healthz",
                       "/healthz/", "/v1%2Fbatch", "*", "/v2/rows/t"):
            with self.subTest(target=target):
                self.refused(self.s.get(target), 404, "not_found")
        self.assertEqual(self.s.get("/healthz?x=1").status, 200)

    def test_a_body_has_the_media_type_of_json(self):
        for kind in ("application/json", "Application/JSON", "application/json; charset=utf-8", 'application/json;charset="UTF-8"',
                     "application/json ; x=y"):
            self.assertEqual(self.s.post(path("t"), {}, {"Content-Type": kind}).status, 201, kind)
        for kind in (None, "", "text/plain", "application/jsonx", "application/x-www-form-urlencoded", "application/json; charset=utf-16",
                     "application/json; charset=latin1", "application/json-seq", "application/json; charset=utf-80"):
            with self.subTest(kind=kind):
                self.refused(self.s.post(path("t"), {}, {"Content-Type": kind}), 415, "media_type")
                self.refused(self.s.patch(path("t", 1), {}, {"Content-Type": kind}), 415, "media_type")
                self.refused(self.s.post("/v1/batch", {}, {"Content-Type": kind}), 415, "media_type")
        self.refused(self.s.post(path("t"), {}, {"Content-Encoding": "gzip"}), 415, "media_type")
        self.assertEqual(self.s.post(path("t"), {}, {"Content-Encoding": "identity"}).status, 201)

    def test_a_connection_is_kept_and_ends_when_asked(self):
        with self.s.raw() as c:
            for n in range(1, 50):
                self.assertEqual(c.ask(post(json.dumps({"id": n}))).status, 201)
                self.assertEqual(c.ask(get(f"/v1/rows/t/{n}")).json["id"], n)
                self.assertEqual(c.ask(get("/v1/rows/t/x")).status, 404, "a refusal ends no connection")
            self.assertEqual(c.ask(get("/healthz", "Connection: close\r\n")).status, 200)
            c.ends()
        with self.s.raw() as c:
            self.assertEqual(c.ask("GET /healthz HTTP/1.0\r\n\r\n").status, 200)
            c.ends()

    def test_requests_that_are_sent_ahead_are_answered_in_their_order(self):
        with self.s.raw() as c:
            c.send(b"".join(post(json.dumps({"id": n})) + get(f"/v1/rows/t/{n}") + post("nonsense") for n in range(100)))
            for n in range(100):
                self.assertEqual(c.answer().status, 201)
                self.assertEqual(c.answer().json["id"], n)
                self.assertEqual(c.answer().status, 400)

    def test_a_body_in_chunks(self):
        body = json.dumps([{"id": n, "a": "x" * 100} for n in range(500)]).encode()
        head = f"POST /v1/rows/t HTTP/1.1\r\n{HOST}{TYPE}Transfer-Encoding: chunked\r\n\r\n".encode()
        for size in (1000, len(body)):
            self.s.empty(t=["id"])
            with self.s.raw() as c:
                parts = [body[at:at + size] for at in range(0, len(body), size)]
                answer = c.ask(head + b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in parts) + b"0\r\n\r\n" + get("/healthz"))
                self.assertEqual(self.done(answer)["accepted"], 500)
                self.assertEqual(c.answer().json, {"ok": True}, "and the next request is understood")

    def test_a_body_that_comes_byte_by_byte(self):
        with self.s.raw() as c:
            c.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.assertIsNone(c.drip(post('{"id":1}'), 0.0005))
            self.assertEqual(c.answer().status, 201)

    def test_who_asks_before_the_body_is_told(self):
        expect = "Expect: 100-continue\r\n"
        request = post('{"id":1}', expect)
        with self.s.raw() as c:
            answer = c.ask(request[:-8])
            self.assertEqual(answer.status, 100)
            self.assertEqual(c.ask(request[-8:]).status, 201)
        for wrong, status in ((post("x" * 10, expect).replace(b"application/json", b"text/plain"), 415),
                              (post("x" * 10, expect, target="/nope"), 404), (post("", expect).replace(b"Length: 0", b"Length: 99999999"), 413)):
            with self.s.raw() as c:
                self.assertEqual(c.ask(wrong.partition(b"\r\n\r\n")[0] + b"\r\n\r\n").status, status)

    def test_what_is_no_http_is_refused_and_harms_nobody(self):
        for text in (b"\r\n\r\n\r\n", b"nonsense\r\n\r\n", b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"\x00\xff\x16\x03" * 100 + b"\r\n\r\n",
                     b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: x\r\n\r\n",
                     b"POST /v1/rows/t HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
                     b"POST /v1/rows/t HTTP/1.1\r\nHost: localhost\r\n" + TYPE.encode() + b"Transfer-Encoding: chunked\r\n\r\nxyz\r\n{}\r\n0\r\n\r\n"):
            with self.subTest(text=text[:60]), self.s.raw(timeout=20) as c:
                c.send(text)
                c.sock.shutdown(socket.SHUT_WR)
                answer = c.answer()
                if answer:
                    self.assertIn(answer.status // 100, (4, 5), text)
        with self.s.raw() as c:  # two lengths: which one an intermediary believed nobody knows
            c.send(f"POST /v1/rows/t HTTP/1.1\r\n{HOST}{TYPE}Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
            c.sock.shutdown(socket.SHUT_WR)
            self.assertNotEqual(c.answer().status, 201)
        self.assertEqual(self.s.get("/healthz").status, 200)
        self.assertEqual(self.s.pages(path("t")), [])

    def test_a_head_that_two_could_read_in_two_ways_is_refused_and_ends_the_connection(self):
        body = '{"id":1}'
        behind = get("/v1/rows/t")
        line, host, kind, length = "POST /v1/rows/t HTTP/1.1\r\n", HOST, TYPE, f"Content-Length: {len(body)}\r\n"
        chunked, chunks = "Transfer-Encoding: chunked\r\n", f"{len(body):x}\r\n{body}\r\n0\r\n\r\n"
        for head, sent in (((line, host, kind, length, length), body),
                           ((line, host, kind, length, "Content-Length: 4\r\n"), body),
                           ((line, host, kind, "content-length: 0\r\n", length), body),
                           ((line, host, kind, length, chunked), chunks),
                           ((line, host, kind, chunked, length), chunks),
                           ((line, host, kind, chunked, chunked), chunks),
                           ((line, host, kind, "Transfer-Encoding: gzip, chunked\r\n"), chunks),
                           ((line, host, kind, "Transfer-Encoding: gzip\r\n"), body),
                           ((line, host, kind, "Transfer-Encoding: chunked;x\r\n"), chunks),
                           ((line.replace("1.1", "1.0"), host, kind, chunked), chunks),
                           ((line, host, kind, "Content-Length : 8\r\n"), body),
                           ((line, host, kind, "Content-Length\t: 8\r\n"), body),
                           ((line, host, kind, "Transfer-Encoding:\r\n chunked\r\n"), chunks),
                           ((line, host, kind, length, " 9\r\n"), body),
                           ((line, host, kind, length, "X: a\r\n b\r\n"), body),
                           ((line, host, kind, length, "X: a\rY: b\r\n"), body),
                           ((line, host, kind, length, "X: a\0b\r\n"), body),
                           ((line, host, kind, length.replace("\r", "\0\r")), body),
                           ((line, host, kind, length, "X: \x7f\r\n"), body),
                           ((line, host, kind, length, ": x\r\n"), body),
                           ((line, host, kind, length, "(X): x\r\n"), body),
                           ((line, kind, length), body),
                           ((line, host, host, kind, length), body),
                           ((line, host, "HOST: evil.example\r\n", kind, length), body),
                           ((line, host, "Origin: http://localhost\r\n", "Origin: http://localhost\r\n", kind, length), body),
                           ((line, host, kind, kind, length), body),
                           ((line, host, kind, length, "Authorization: Bearer a\r\n", "Authorization: Bearer a\r\n"), body),
                           ((line, host, kind, length, "Idempotency-Key: a\r\n", "Idempotency-Key: b\r\n"), body),
                           ((line.replace("/t", "/t\0"), host, kind, length), body),
                           ((line.replace("/t", "/t\0/1"), host, kind, length), body),
                           ((line.replace("/t", "/t\0HTTP/1.1"), host, kind, length), body),
                           ((line.replace("/t", "/t?on_conflict=update\0&x"), host, kind, length), body),
                           ((line.replace("/t", "/t\0?on_conflict=update"), host, kind, length), body),
                           ((line.replace("/t", "/t /1"), host, kind, length), body),
                           ((line.replace("/t", "/t "), host, kind, length), body),
                           ((line.replace("/t", "/t\t"), host, kind, length), body),
                           ((line.replace("/t", "/t\r"), host, kind, length), body)):
            with self.subTest(head=head), self.s.raw() as c:
                c.send("".join(head) + "\r\n" + sent + behind.decode())
                answer = c.answer()
                self.refused(answer, 400, "parse")
                self.assertEqual(answer.headers["Connection"], "close")
                c.ends()
        self.assertEqual(self.s.pages(path("t")), [])

    def test_a_length_that_is_none_ends_the_connection(self):
        for length in ("x", "-1", "+8", "8, 8", "8;", "0x8", "9" * 30):
            with self.subTest(length=length), self.s.raw() as c:
                c.send(f'POST /v1/rows/t HTTP/1.1\r\n{HOST}{TYPE}Content-Length: {length}\r\n\r\n{{"id":1}}')
                self.assertRegex(c.file.readline(), rb"^HTTP/1.1 4(00|13) ")
                c.file.read()  # to its end; the library has put its header block there twice
        self.assertEqual(self.s.pages(path("t")), [])

    def test_heads_that_are_written_freely(self):
        for request in (b"GET /healthz HTTP/1.1\nHost: localhost\n\n", b"\r\nGET /healthz HTTP/1.1\r\nhost:localhost\r\n\r\n",
                        b"GET /healthz HTTP/1.1\r\nX-Empty:\r\nHost: \t localhost\r\nX: \xc3\xa4\tb\r\n\r\n",
                        b"GET /healthz HTTP/1.1\r\nCookie: a=b; c=d\r\nHost: localhost\r\nAccept: x\r\nAccept: y\r\n\r\n",
                        b"GET /healthz? HTTP/1.1\r\nHost: localhost\r\n\r\n", b"GET /healthz?a&b=&=c&%zz HTTP/1.1\r\nHost: localhost\r\n\r\n",
                        b"GET /healthz HTTP/1.0\r\n\r\n"):
            with self.subTest(request=request), self.s.raw() as c:
                self.assertEqual(c.ask(request).status, 200)

    def test_a_target_may_name_its_host(self):
        """RFC 9112, 3.2.2: then that counts, and not what Host says."""
        self.done(self.s.post(path("t"), {"id": 1}), 201)
        for target, status in (("http://localhost/healthz", 200), ("HTTP://LocalHost:80/v1/rows/t/1", 200),
                               ("https://127.0.0.1/v1/rows/t?id=1", 200), ("http://[::1]:8080/v1/rows/t", 200),
                               ("http://localhost", 404), ("http://localhost?x=1", 404), ("http://evil.example/healthz", 403),
                               ("http:///healthz", 403), ("http://user@localhost/healthz", 403), ("http:/healthz", 404),
                               ("ftp://localhost/healthz", 404), ("http://localhost//healthz", 404)):
            with self.subTest(target=target), self.s.raw() as c:
                self.assertEqual(c.ask(f"GET {target} HTTP/1.1\r\n{HOST}\r\n").status, status)
        with self.s.raw() as c:
            self.assertEqual(c.ask("GET http://localhost/healthz HTTP/1.1\r\nHost: evil.example\r\n\r\n").status, 200)
            self.assertEqual(c.ask(f"GET http://evil.example/healthz HTTP/1.1\r\n{HOST}\r\n").status, 403)
            self.assertEqual(c.ask("GET http://localhost/healthz HTTP/1.1\r\n\r\n").status, 400)
        with self.s.raw() as c:
            self.assertEqual(c.ask(post('{"id":2}', target="http://localhost/v1/rows/t")).status, 201)

    def test_thousands_of_parameters_have_an_answer(self):
        for count in (257, 3000, 10000, 30000):
            for targets in ("/v1/rows/t?" + "&".join(["a"] * count), "/v1/rows/t?" + "&".join(["a="] * (count // 2)),
                            "/healthz?" + "&" * count, "/healthz?" + "a&" * count):
                with self.subTest(count=count), self.s.raw() as c:
                    self.assertIn(c.ask(get(targets)).status, (200, 400, 413))
                    self.assertEqual(c.ask(get("/healthz")).status, 200)

    def test_a_head_that_is_too_large(self):
        most = int(re.search(r"HEAD_BYTES_MAX, (\d+)", (sheaf.TOP / "shared/limits.h").read_text()).group(1))
        with self.s.raw() as c:
            self.assertEqual(c.ask(get("/healthz", f"X: {'x' * (most - 4096)}\r\n")).status, 200)
        for request in (get("/healthz", f"X: {'x' * most}\r\n"), get("/v1/rows/t?a=" + "x" * most)):
            with self.s.raw() as c:
                c.send(request)
                self.assertIn(c.answer().status, (413, 414, 431))
                c.ends()

    def test_clients_that_leave_in_the_middle_harm_nobody(self):
        for part in (b"", b"GE", get("/healthz")[:-2], post("[" + "{}," * 1000)[:-500], post('[{"id":1}]'), get("/v1/rows/t") * 20):
            with self.s.raw() as c:
                c.send(part)
                c.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # a reset
        self.assertEqual(self.s.get("/healthz").status, 200)


class Limits(server.Case):
    """Each at its edge: what just fits is done, what is beyond is refused."""

    def limited(self, preexec_fn=None, **limits):
        text = "[limits]\n" + "".join(f"{name} = {value}\n" for name, value in limits.items())
        return self.serve(schema=SCHEMA, config=text, preexec_fn=preexec_fn)

    def body(self, size, id=1):
        frame = json.dumps({"id": id, "a": ""})
        return json.dumps({"id": id, "a": "x" * (size - len(frame))})

    def a_round_has_passed(self, s):
        """What was sent before is seen by the server: it has answered somebody who came later, twice."""
        for _ in range(2):
            self.assertEqual(s.get("/healthz").status, 200)

    def test_body_bytes(self):
        s = self.limited(body_bytes=1024)
        self.done(s.post(path("t"), self.body(1024, 1)), 201)
        answer = s.post(path("t"), self.body(1025, 2))
        self.assertIn("1024", self.refused(answer, 413, "too_large")["message"])
        for size, id, status in ((1024, 3, 201), (1025, 4, 413)):
            body = self.body(size, id)
            with s.raw() as c:
                answer = c.ask(f"POST /v1/rows/t HTTP/1.1\r\n{HOST}{TYPE}Transfer-Encoding: chunked\r\n\r\n"
                               f"200\r\n{body[:512]}\r\n{len(body) - 512:x}\r\n{body[512:]}\r\n0\r\n\r\n")
                self.assertEqual(answer.status, status)
                self.assertEqual(c.ask(get("/healthz")).status, 200, "it was read to its end, and the connection goes on")
        self.assertEqual([r["id"] for r in s.pages(path("t"))], [1, 3])

    def test_bodies_bytes(self):
        s = self.limited(bodies_bytes=2000, body_bytes=2000)
        with s.raw() as slow:
            request = post(self.body(1000, 1))
            slow.send(request[:-1])
            self.a_round_has_passed(s)
            self.assertEqual(self.done(s.get("/v1/stats"))["http"]["bodies_bytes"], 999)
            self.done(s.post(path("t"), self.body(1001, 2)), 201)
            answer = s.post(path("t"), self.body(1002, 3))
            self.refused(answer, 429, "busy")
            self.assertEqual(answer.headers["Retry-After"], "1")
            self.assertEqual(slow.ask(request[-1:]).status, 201)
        self.done(s.post(path("t"), self.body(2000, 4)), 201)
        self.assertEqual(self.done(s.get("/v1/stats"))["http"]["bodies_bytes"], 0)

    def test_answers_bytes(self):
        """What a client does not take of them is room that others have not; who asks for little needs none."""
        s = self.limited(answers_bytes=10_000_000)
        for n in range(1, 5):
            self.done(s.post(path("t"), self.body(1_000_000, n)), 201)
        self.done(s.post(path("t"), {"id": 5, "a": "small"}), 201)
        self.done(s.get(path("t")))
        with s.raw(unix=True) as deaf, s.raw(unix=True) as other:
            deaf.send(get("/v1/rows/t"))
            other.send(get("/v1/rows/t"))
            begun = time.monotonic()
            while not 8_000_000 <= self.done(s.get("/v1/stats"))["http"]["answers_bytes"] <= 10_000_000:
                self.assertLess(time.monotonic(), begun + sheaf.TIMEOUT_S)
            self.refused(s.get(path("t") + "?limit=4"), 429, "busy")
            self.refused(s.get(path("t")), 429, "busy")
            self.assertEqual(self.done(s.get(path("t", 5)))["a"], "small")
            self.done(s.patch(path("t", 5), {"a": "changed"}))
            self.assertEqual([deaf.answer().status, other.answer().status], [200, 200])
        self.done(s.get(path("t")))
        while used := self.done(s.get("/v1/stats"))["http"]["answers_bytes"]:
            self.assertLess(time.monotonic(), begun + sheaf.TIMEOUT_S, used)

    def stopped(self, s, name="t"):
        """Its shard does nothing until the test says so."""
        pid = s.shards()[name]
        os.kill(pid, signal.SIGSTOP)
        self.addCleanup(lambda: os.path.exists(f"/proc/{pid}") and os.kill(pid, signal.SIGCONT))
        return lambda: os.kill(pid, signal.SIGCONT)

    def test_waiting_ops(self):
        s = self.limited(waiting_ops=10, mute_ms=60000)
        go_on = self.stopped(s)
        with s.raw() as one, s.raw() as nine:
            one.send(post("{}"))
            self.a_round_has_passed(s)
            nine.send(post(json.dumps([{}] * 9)))
            self.a_round_has_passed(s)
            answer = s.post(path("t"), {})
            self.assertIn("10", self.refused(answer, 429, "busy")["message"])
            self.assertEqual(answer.headers["Retry-After"], "1")
            go_on()
            self.assertEqual(one.answer().status, 201)
            self.assertEqual(self.done(nine.answer())["accepted"], 9)
        self.assertEqual(self.done(s.post(path("t"), [{}] * 11))["accepted"], 11, "one request alone may be larger")

    def test_connections(self):
        s = self.limited(connections=3, mute_ms=60000)
        s.close()
        first, second, third = crowd = [s.raw() for _ in range(3)]
        for c in crowd:
            self.addCleanup(c.close)
        for c in (first, second, third):
            self.assertEqual(c.ask(get("/healthz")).status, 200)
        self.assertEqual(first.ask(get("/healthz")).status, 200)
        with s.raw() as fourth:
            self.assertEqual(fourth.ask(get("/healthz")).status, 200)
            second.ends()
            for c in (first, third):
                self.assertEqual(c.ask(get("/healthz")).status, 200)
            go_on = self.stopped(s)
            for n, c in enumerate((first, third, fourth)):
                c.send(post("{}"))
                self.assertEqual(select_read(c, 0.2), False)
            with s.raw() as fifth:  # all three are at work: none is ended for it
                fifth.send(get("/healthz"))
                self.assertEqual(select_read(fifth, 0.3), False)
                go_on()
                self.assertEqual(fifth.answer().status, 200)
            self.assertEqual(sorted(c.answer().status for c in (first, third, fourth)), [201, 201, 201])

    def test_a_new_connection_ends_one_and_no_more_also_in_the_middle_of_a_head(self):
        s = self.limited(connections=3)
        crowd = [s.raw() for _ in range(3)]
        for c in crowd:
            self.addCleanup(c.close)
            c.send("GET /healthz HTTP/1.1\r\nHost: loc")
        with s.raw(unix=True) as fourth:
            self.assertEqual(fourth.ask(get("/healthz")).status, 200)
            crowd[0].ends()
            for c in crowd[1:]:
                self.assertEqual(c.ask("alhost\r\n\r\n").status, 200)
            self.assertEqual(fourth.ask(get("/v1/stats")).json["http"]["ended_for_room"], 1)

    def ended_after(self, begun, ended, limit_s):
        self.assertIsNotNone(ended)
        self.assertGreater(ended - begun, limit_s * 0.95)
        self.assertLess(ended - begun, limit_s + 5, "far from the defaults")

    def test_header_ms(self):
        s = self.limited(header_ms=400)
        with s.raw() as silent, s.raw() as slow:
            begun = time.monotonic()
            self.ended_after(begun, slow.drip(get("/healthz", "X: " + "x" * 1000 + "\r\n"), 0.02), 0.4)
            silent.ends()
        with s.raw() as c:
            self.assertIsNone(c.drip(get("/healthz"), 0.001))
            self.assertEqual(c.answer().status, 200)

    def test_idle_ms(self):
        s = self.limited(idle_ms=400)
        with s.raw() as silent, s.raw() as slow:
            self.assertEqual(silent.ask(get("/healthz")).status, 200)
            self.assertEqual(slow.ask(get("/healthz")).status, 200)
            begun = time.monotonic()
            self.ended_after(begun, slow.drip(get("/healthz", "X: " + "x" * 1000 + "\r\n"), 0.02), 0.4)
            silent.ends()
        with s.raw() as c:
            for _ in range(3):
                self.assertEqual(c.ask(get("/healthz")).status, 200)
                self.assertFalse(select_read(c, 0.2), "it is not idle for so long")

    def test_transfer_ms_for_a_body(self):
        s = self.limited(transfer_ms=400)
        begun = time.monotonic()
        with s.raw() as c:
            request = post(self.body(1000))
            c.send(request[:-900])
            self.ended_after(begun, c.drip(request[-900:], 0.02), 0.4)
        self.assertEqual(s.pages(path("t")), [])
        self.assertEqual(self.done(s.get("/v1/stats"))["http"]["bodies_bytes"], 0)

    def test_transfer_ms_for_an_answer(self):
        s = self.limited(transfer_ms=400)
        for n in range(100):  # each for itself: all at once might take longer than that on a busy machine
            self.done(s.post(path("t"), {"id": n, "a": "x" * 100000}), 201)
        with s.raw() as c:
            c.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            c.send(get("/v1/rows/t"))
            begun = time.monotonic()
            while self.done(s.get("/v1/stats"))["http"]["open"] > 1:  # the client sees no end before it reads on
                self.assertLess(time.monotonic(), begun + sheaf.TIMEOUT_S)
            self.ended_after(begun, time.monotonic(), 0.4)
        self.assertEqual(s.get(path("t") + "?limit=100").status, 200, "who takes it gets it")

    def test_an_operation_that_waits_has_no_deadline_of_these(self):
        s = self.limited(transfer_ms=100, idle_ms=100, header_ms=100, mute_ms=60000)
        go_on = self.stopped(s)
        with s.raw() as c:
            c.send(post("{}"))
            self.assertFalse(select_read(c, 0.6))
            go_on()
            self.assertEqual(c.answer().status, 201)

    def test_who_has_said_all_and_only_listens_is_answered(self):
        s = self.limited(mute_ms=60000)
        with s.raw(unix=True) as other:  # what it has to do with anything is the library's affair
            self.assertEqual(other.ask(get("/healthz")).status, 200)
            go_on = self.stopped(s)
            for unix in (False, True):
                c = s.raw(unix=unix)
                self.addCleanup(c.close)
                c.send(post('{"id":1}') + get("/v1/rows/t/1") + get("/healthz") + post("[{}]") + b"GE")
                c.sock.shutdown(socket.SHUT_WR)
                self.a_round_has_passed(s)
                go_on()
                self.assertEqual(c.answer().status, 409 if unix else 201)
                self.assertEqual([c.answer().status for _ in range(3)], [200, 200, 200])
                c.ends()
                go_on = self.stopped(s)
            with s.raw() as gone:  # a whole end says no more than the end of all that is said
                gone.send(post('{"id":9}'))
            self.a_round_has_passed(s)
            go_on()
            other.send(get("/v1/rows/t/9"))
            self.assertEqual(other.answer().status, 200, "what came whole is done")
            while self.done(s.get("/v1/stats"))["http"]["open"] > 2:
                pass

    def test_descriptors_are_asked_for_as_there_are_connections_and_databases(self):
        s = self.limited(connections=300, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (64, 400)))
        s.close()
        crowd = [s.raw() for _ in range(300)]
        for c in crowd:
            self.addCleanup(c.close)
            self.assertEqual(c.ask(get("/healthz")).status, 200)
        self.assertEqual(crowd[0].ask(get("/v1/stats")).json["http"]["ended_for_room"], 0)
        self.assertNotIn("descriptors", s.said)

    def test_fewer_descriptors_than_connections(self):
        """They count as the limit then, and there is enough left for a shard's new life."""
        s = self.serve(schema=SCHEMA, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64)))
        s.close()
        most = int(re.search(r"only (\d+) connections", s.said).group(1))
        self.assertGreater(most, 10)
        crowd = [s.raw() for _ in range(most)]
        for c in crowd:
            self.addCleanup(c.close)
            self.assertEqual(c.ask(get("/healthz")).status, 200)
        pid = s.shards()["t"]
        os.kill(pid, signal.SIGKILL)
        begun = time.monotonic()
        while crowd[-1].ask(get("/readyz")).status != 200 or s.shards().get("t") in (pid, None):
            self.assertLess(time.monotonic(), begun + sheaf.TIMEOUT_S)
        self.assertEqual(crowd[-1].ask(post("{}")).status, 201)
        for n in range(most - 1):  # the first is the one that has been idle longest
            c = s.raw()
            self.addCleanup(c.close)
            self.assertEqual(c.ask(get("/healthz")).status, 200)
            crowd[n].ends()
        self.assertEqual(crowd[-1].ask(get("/v1/stats")).json["http"]["ended_for_room"], most - 1)

    def test_more_clients_than_descriptors(self):
        s = self.serve(schema=SCHEMA, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64)))
        crowd = []
        try:
            for _ in range(75):
                crowd.append(s.raw())
            with s.raw() as c:
                self.assertEqual(c.ask(get("/healthz")).status, 200)
        finally:
            for c in crowd:
                c.close()
        self.assertEqual(self.done(s.post(path("t"), {"id": 1}), 201), {"ok": True})


if __name__ == "__main__":
    sheaf.main()
