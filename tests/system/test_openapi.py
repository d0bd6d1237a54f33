# SPDX-License-Identifier: Apache-2.0
"""/v1/openapi.json says what the running server does: every path, method, status and body."""

import contextlib
import os
import re
import signal
import sqlite3

import openapi
import server
import sheaf
from server import path

SCHEMA = """
CREATE TABLE t (id INTEGER PRIMARY KEY, a, b TEXT NOT NULL DEFAULT 'x', u TEXT UNIQUE, g AS (a || '!'), n CHECK (n < 9));
CREATE TABLE kids (id INTEGER PRIMARY KEY, t INTEGER REFERENCES t (id) ON DELETE RESTRICT);
CREATE TABLE firm (i INTEGER, r REAL, s TEXT, x BLOB, y ANY, k INT NOT NULL, PRIMARY KEY (k, s)) STRICT, WITHOUT ROWID;
CREATE TABLE "a/b ü'%" ([the "c"] TEXT PRIMARY KEY);
CREATE TABLE loose (v);
"""
CONFIG = "[database one]\ntables = t, firm, a/b ü'%, loose\n[limits]\nmute_ms = 60000\nwaiting_ops = 5\nbodies_bytes = 20000\nbody_bytes = 20000\nanswer_ms = 2000\n"
METHODS = ("get", "head", "post", "patch", "delete", "put", "options")
JSON = {"Content-Type": "application/json"}


class OpenApi(server.Shared):
    SCHEMA, CONFIG = SCHEMA, CONFIG
    KEYS = {"kids": ["id"], "t": ["id"]}

    def setUp(self):
        super().setUp()
        self.document = self.done(self.s.get("/v1/openapi.json"))
        self.api = openapi.Document(self.document)
        self.seen = set()

    def ask(self, method, template, target=None, body=None, headers=None, client=None, status=None):
        """Makes a call and holds the answer against the document."""
        answer = (client or self.s).request(method, target or template, body, headers)
        self.api.check_answer(method, template, answer)
        self.seen.add((method.lower(), template, answer.status))
        if status:
            self.assertEqual(answer.status, status, str(answer))
        return answer

    def test_the_document_is_sound(self):
        self.assertEqual(self.document["openapi"], "3.0.3")
        for reference in self.api.references():
            self.api.resolve({"$ref": reference})
        ids = [call["operationId"] for calls in self.document["paths"].values() for call in calls.values()]
        self.assertEqual(len(ids), len(set(ids)))
        used = set(self.api.references())
        for kind in ("schemas", "parameters", "responses"):
            for name in self.document["components"][kind]:
                self.assertRegex(name, r"^[a-zA-Z0-9._-]+$")
                if re.fullmatch("(Integer|Real|Text|Blob|Value)(OrNull)?", name):
                    continue  # for the columns of some schemas
                self.assertIn(f"#/components/{kind}/{name}", used, "nobody refers to it")
        for template, calls in self.document["paths"].items():
            for method, call in calls.items():
                parameters = [self.api.resolve(p) for p in call["parameters"]]
                self.assertEqual(re.findall(r"{(\w+)}", template), [p["name"] for p in parameters if p["in"] == "path"])

    def test_paths_and_methods_are_those_of_the_server(self):
        for template, calls in self.document["paths"].items():
            target = template.replace("{table}", "t").replace("{key}", "1")
            known = set()
            for method in METHODS:
                answer = self.s.request(method.upper(), target, {} if method in ("post", "patch", "put") else None)
                if answer.status != 405:
                    known.add(method)
                else:
                    self.assertEqual(answer.headers["Allow"].lower().split(", "), sorted(calls, key=METHODS.index))
            self.assertEqual(known, set(calls), template)
        routes = (sheaf.TOP / "coordinator/http/routes.c").read_text()
        told = set(re.findall(r'\.path = "([^"]*)"', routes)) | {"/v1/rows/{table}", "/v1/rows/{table}/{key}"}
        self.assertEqual(set(self.document["paths"]), told)

    def test_the_error_codes_are_the_closed_list(self):
        codes = re.findall(r'X\(\d+, \w+, "(\w+)"\)', (sheaf.TOP / "shared/error.h").read_text())
        self.assertEqual(self.document["components"]["schemas"]["Error"]["properties"]["code"]["enum"], codes)

    def test_tables_and_their_rows(self):
        schemas = self.document["components"]["schemas"]
        self.assertEqual(schemas["Table"]["enum"], ["t", "kids", "firm", "a/b ü'%", "loose"])
        odd = schemas["row.a.2Fb.20.C3.BC.27.25"]
        self.assertEqual((odd["title"], list(odd["properties"])), ("a/b ü'%", ['the "c"']))
        firm, t = schemas["row.firm"], schemas["row.t"]
        for row, good in (({"i": 1}, True), ({"i": None}, True), ({"i": 1.5}, False), ({"i": "x"}, False), ({"k": None}, False),
                          ({"s": None}, False), ({"s": "x"}, True), ({"s": 1}, False), ({"r": 1}, True), ({"x": {"hex": "00fF"}}, True),
                          ({"x": {"hex": "0"}}, False), ({"x": "00"}, False), ({"y": {"hex": ""}}, True), ({"y": "x"}, True),
                          ({"nope": 1}, False), ({"i": 2**63}, False), ({"i": True}, False)):
            self.assertEqual(self.api.fits(firm, row), good, row)
        for row, good in (({"id": None}, True), ({"id": "x"}, False), ({"a": None}, True), ({"b": None}, False), ({"b": 5}, True)):
            self.assertEqual(self.api.fits(t, row), good, row)
        self.assertTrue(t["properties"]["g"]["readOnly"])

    def test_every_call_answers_as_described(self):
        rows, one = "/v1/rows/{table}", "/v1/rows/{table}/{key}"
        self.ask("POST", rows, path("t"), {"id": 1, "a": {"hex": "00"}}, status=201)
        self.ask("POST", rows, path("t"), {}, {"Idempotency-Key": "k"}, status=201)
        self.ask("POST", rows, path("t"), {"a": 1}, {"Idempotency-Key": "k"}, status=409)
        self.ask("POST", rows, path("t") + "?on_conflict=update", {"id": 1, "a": 1.5}, status=200)
        self.ask("POST", rows, path("t"), [{"id": 7}, {"id": 7}, {"x": 1}, 5], status=200)
        self.ask("POST", rows, path("firm"), {"k": 2**63 - 1, "s": "s", "r": 1, "x": {"hex": "ff"}, "y": "any"}, status=201)
        self.ask("POST", rows, path("kids"), {"id": 1, "t": 1}, status=201)
        tag = self.ask("GET", one, path("t", 1), status=200).etag
        self.ask("GET", one, path("t", 1), headers={"If-None-Match": tag}, status=304)
        self.ask("HEAD", one, path("t", 1), status=200)
        self.ask("HEAD", one, path("t", 99), status=404)
        for target, more in ((path("t"), True), (path("t") + "?limit=1", True), (path("firm"), False), (path("t") + "?a=none", False)):
            page = self.ask("GET", rows, target, status=200)
            self.assertEqual(bool(page.json["next"]), "limit" in target, more)
            self.ask("HEAD", rows, target, status=200)
        self.ask("PATCH", one, path("t", 7), {"id": 700}, status=200)
        self.ask("PATCH", one, path("t", 700), {"a": None}, {"If-Match": "*"}, status=200)
        self.ask("DELETE", one, path("t", 700), status=200)
        self.ask("POST", "/v1/batch", body={"ops": [{"op": "insert", "table": "t", "row": {}}]}, status=200)
        self.ask("POST", "/v1/batch", body={"atomic": False, "ops": [{"op": "insert", "table": "t", "row": {}}, 5]}, status=200)
        for template in ("/v1/schema", "/v1/stats", "/metrics", "/healthz", "/readyz", "/v1/openapi.json"):
            self.ask("GET", template, status=200)
            self.ask("HEAD", template, status=200)
        described = {(method, template, int(status)) for template, calls in self.document["paths"].items()
                     for method, call in calls.items() for status in call["responses"] if status < "400"}
        self.assertEqual(described - self.seen, {("head", one, 304)}, "described, but not seen")

    def test_refusals_are_as_described(self):
        rows, one = "/v1/rows/{table}", "/v1/rows/{table}/{key}"
        self.ask("POST", rows, path("t"), {"id": 1, "u": "u"})
        self.ask("POST", rows, path("kids"), {"id": 1, "t": 1})
        for target, body, status in ((path("t"), b"{", 400), (path("t"), {"x": 1}, 400), (path("nope"), {}, 404), (path("t"), {"id": 1}, 409),
                                     (path("t"), {"id": "x"}, 422), (path("t"), {"n": 9}, 422), (path("kids"), {"t": 5}, 422),
                                     (path("t"), b"x" * 20001, 413)):
            self.ask("POST", rows, target, body, status=status)
        self.ask("POST", rows, path("t"), {}, {"Content-Type": "text/plain"}, status=415)
        self.ask("GET", rows, path("nope"), status=404)
        self.ask("GET", rows, path("t") + "?limit=0", status=400)
        self.ask("GET", rows, path("t") + "?x=1", status=400)
        self.ask("GET", rows, path("t") + "?" + "a=1&" * 300, status=413)
        self.ask("GET", one, path("t", 1, 2), status=400)
        self.ask("GET", one, path("t", 9), status=404)
        for method, body in (("PATCH", {"a": 1}), ("DELETE", None)):
            self.ask(method, one, path("t", 1, 2), body, status=400)
            self.ask(method, one, path("t", 9), body, status=404)
            self.ask(method, one, path("t", 1), body, {"If-Match": '"x"'}, status=412)
        self.ask("DELETE", one, path("t", 1), status=409)
        self.ask("PATCH", one, path("t", 1), {"n": 9}, status=422)
        self.ask("PATCH", one, path("t", 1), {"id": 2}, status=409)
        self.ask("PATCH", one, path("t", 1), b"", {"Content-Type": "text/plain"}, status=415)
        for op, status in (({"op": "insert", "table": "t", "row": {"u": "u"}}, 409), ({"op": "delete", "table": "t", "key": {"id": 9}}, 404), (5, 400),
                           ({"op": "insert", "table": "t", "row": {"n": 9}}, 422)):
            self.ask("POST", "/v1/batch", body={"ops": [op]}, status=status)
        self.ask("POST", "/v1/batch", body=b"x" * 20001, status=413)
        for template in self.document["paths"]:
            target = template.replace("{table}", "t").replace("{key}", "1")
            for method in self.document["paths"][template]:
                body = {} if method in ("post", "patch") else None
                self.ask(method.upper(), template, target, body, {"Host": "evil.example"}, status=403)

    def test_what_any_call_may_be_refused_for_is_described_with_each(self):
        for template, calls in self.document["paths"].items():
            target = template.replace("{table}", "t").replace("{key}", "1")
            for method in calls:
                with self.subTest(method=method, template=template):
                    self.ask(method.upper(), template, target, b"x" * 20001, status=413)
                    with self.s.raw() as c:
                        c.send(f"{method.upper()} {target} HTTP/1.1\r\n\r\n")
                        answer = c.answer(head=method == "head")
                        self.assertEqual(answer.status, 400)
                        self.api.check_answer(method, template, answer)
                    with self.s.raw() as one, self.s.raw() as two:
                        head = f"HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 19000\r\n\r\n{'x' * 18000}"
                        one.send(f"POST {path('t')} {head}")
                        for _ in range(2):
                            self.ask("GET", "/healthz")
                        two.send(f"{method.upper()} {target} {head}{'x' * 1000}")
                        answer = two.answer(head=method == "head")
                        self.assertEqual(answer.status, 429)
                        self.api.check_answer(method, template, answer)

    def test_who_has_no_token_is_told_as_described(self):
        file = self.path("token", "secret")
        os.chmod(file, 0o600)
        s = self.serve("--token-file", file, data=self.path("other"), schema=SCHEMA, config=CONFIG)
        for template, calls in self.document["paths"].items():
            target = template.replace("{table}", "t").replace("{key}", "1")
            for method, call in calls.items():
                answer = self.ask(method.upper(), template, target, {} if method in ("post", "patch") else None, client=s)
                self.assertEqual(answer.status == 401, call.get("security") is None)

    def test_a_row_that_is_too_large_to_be_sent_is_refused_as_described(self):
        """Only another program can have made it, while nobody served."""
        data = self.path("large")
        self.serve(data=data, schema=SCHEMA, config=CONFIG).stop()
        with contextlib.closing(sqlite3.connect(sheaf.database(data, "one"), isolation_level=None)) as connection:
            connection.execute("INSERT INTO t (id, a) VALUES (1, zeroblob(40000000))")
        s = self.serve(data=data)
        for method in ("GET", "HEAD"):
            self.ask(method, "/v1/rows/{table}/{key}", path("t", 1), client=s, status=413)
            self.ask(method, "/v1/rows/{table}", path("t"), client=s, status=413)

    def test_a_server_that_is_full_or_whose_shard_is_mute_says_so_as_described(self):
        rows, one = "/v1/rows/{table}", "/v1/rows/{table}/{key}"
        self.ask("POST", rows, path("t"), {"id": 1})
        shard = self.s.shards()["one"]
        os.kill(shard, signal.SIGSTOP)
        try:
            with self.s.raw() as waiting:
                body = "[{},{},{},{},{}]"
                waiting.send(f"POST {path('t')} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}")
                for _ in range(2):
                    self.ask("GET", "/healthz")
                for method, template, target, body in (("POST", rows, path("t"), {}), ("GET", one, path("t", 1), None), ("DELETE", one, path("t", 1), None),
                                                       ("PATCH", one, path("t", 1), {"a": 1}),
                                                       ("POST", "/v1/batch", None, {"ops": [{"op": "insert", "table": "t", "row": {}}]})):
                    self.ask(method, template, target, body, status=429)
                self.ask("GET", rows, path("t"), status=503)
                answer = waiting.answer()
                self.api.check_answer("POST", rows, answer)
                self.assertEqual({r["error"]["code"] for r in answer.json["results"]}, {"unknown"})
            self.assertIn(self.ask("POST", rows, path("t"), {}).status, (503, 504))
        finally:
            os.kill(shard, signal.SIGCONT)
        while self.s.get("/readyz").status != 200:
            continue


if __name__ == "__main__":
    sheaf.main()
