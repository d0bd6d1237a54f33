# SPDX-License-Identifier: Apache-2.0
"""`coordinator serve` as a process: how it starts, listens, whom it lets in, what it leaves, how it ends."""

import fcntl
import json
import os
import pwd
import re
import signal
import socket
import stat
import threading

import server
import sheaf
from server import path

USER = {"id": 1, "name": "Ann", "email": "ann@example.org"}
TOKEN = "s3cret-t0ken"
ONE = "[database one]\ntables = users, products, orders\n"


def refusal(data, *args, **options):
    """A serve that is to end by itself."""
    return sheaf.run("serve", "--data", data, *args, timeout=30, **options)


class Life(server.Case):
    def test_a_port_that_is_asked_for_as_0_is_told_and_both_sockets_answer(self):
        s = self.serve()
        self.assertNotEqual(s.port, 0)
        self.assertEqual(s.unix, os.path.join(self.data, "http.sock"))
        self.assertEqual(self.done(s.post(path("users"), USER), 201), {"ok": True})
        other = s.client(unix=True)
        self.assertEqual(self.done(other.get(path("users", 1))), USER)
        other.close()
        self.assertEqual(s.stop(), 0)
        self.assertEqual(s.said.count("\n"), 1 + (os.getuid() == 0), "one line, and as root a warning: " + s.said)
        self.assertFalse(os.path.lexists(s.unix))
        self.assertEqual(sheaf.rows(self.data, "users"), [(1, "Ann", "ann@example.org")])

    def test_what_was_acknowledged_is_there_after_kill_9_and_the_next_start_serves(self):
        s = self.serve(config=ONE)
        self.done(s.post(path("users"), USER), 201)
        s.kill()
        self.assertTrue(os.path.exists(s.unix), "left behind")
        s = self.serve("--config", self.path("sheaf.conf"))
        other = s.client(unix=True)
        self.assertEqual(self.done(other.get(path("users", 1))), USER)
        other.close()

    def test_nobody_is_let_in_before_every_shard_is_ready(self):
        os.mkdir(self.data, 0o700)
        with open(sheaf.database(self.data, "one") + ".lock", "w", encoding="ascii") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # the shard waits for a predecessor that goes on for a while
            started = threading.Thread(target=lambda: setattr(self, "s", self.serve(config=ONE)))
            started.start()
            sock = os.path.join(self.data, "http.sock")
            while not (os.path.exists(sock) and sheaf.shardds_of(self.data)):
                self.assertTrue(started.is_alive())
            with self.assertRaises(ConnectionRefusedError):
                server.connect_unix(sock, 5)
            self.assertTrue(started.is_alive())
        started.join()
        self.assertEqual(self.s.get("/readyz").status, 200)

    def test_the_address_of_the_configuration_and_the_option_that_wins(self):
        s = self.serve(config=ONE + "[http]\nlisten = localhost:0\n", listen=None)
        self.assertTrue(s.address.startswith("localhost:"), s.address)
        self.assertEqual(s.get("/healthz").status, 200)
        self.assertEqual(s.stop(), 0)
        s = self.serve("--config", self.path("sheaf.conf"), listen="[::1]:0" if socket.has_ipv6 else "127.0.0.1:0")
        self.assertNotIn("localhost", s.address)

    def test_a_port_in_use_is_named_before_anything_is_started(self):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            result = refusal(self.data, "--listen", f"127.0.0.1:{port}")
        self.assertEqual(result.status, 3, str(result))
        self.assertIn(f"coordinator serve: cannot listen on 127.0.0.1:{port}: Address already in use", result.stderr)
        self.assertFalse(os.path.exists(self.data), "it leaves nothing behind")

    def test_what_is_no_address(self):
        for address in ("", "8080", "127.0.0.1", "127.0.0.1:", ":8080", "127.0.0.1:x", "127.0.0.1:65536", "127.0.0.1:-1", "::1:80", "[::1]80",
                        "[::1", "256.0.0.1:80", "127.0.0.1:80:80", "http://127.0.0.1:80", "nowhere.invalid:80", "x" * 300 + ":80"):
            with self.subTest(address=address[:30]):
                result = refusal(self.data, "--listen", address)
                self.assertEqual(result.status, 2, str(result))
                self.assertIn(address, result.stderr)

    def test_it_ends_with_what_was_taken_done(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            s = self.serve("--config", self.path("sheaf.conf", ONE + "[limits]\nmute_ms = 60000\n"))
            shard = s.shards()["one"]
            os.kill(shard, signal.SIGSTOP)
            first = 1 + 1000 * number
            rows = [{"id": first + n, "name": "n", "email": f"{first + n}@b.cd"} for n in range(1000)]
            with s.raw() as c, s.raw() as late:
                body = json.dumps(rows)
                self.assertEqual(late.ask("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").status, 200)
                c.send(f"POST {path('users')} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n" + body)
                for _ in range(2):  # the server has seen what was sent before
                    self.assertEqual(s.get("/healthz").status, 200)
                s.close()
                s.tell(number)
                while late.ask("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").headers["Connection"] != "close":
                    pass  # it has not begun to end: each question waits for its answer
                os.kill(shard, signal.SIGCONT)
                answer = c.answer()
                self.assertEqual(self.done(answer)["accepted"], 1000)
                self.assertEqual(answer.headers["Connection"], "close")
                self.assertIsNone(late.answer())
            self.assertEqual(s.wait(), 0)
            self.assertEqual(len([r for r in sheaf.rows(self.data, "users", name="one") if first <= r[0] < first + 1000]), 1000)

    def test_a_second_one_on_the_same_directory_names_the_first(self):
        s = self.serve(config=ONE)
        result = refusal(self.data, "--listen", "127.0.0.1:0", "--config", self.path("sheaf.conf"))
        self.assertEqual(result.status, 3, str(result))
        self.assertIn(str(s.pid), result.stderr)
        other = s.client(unix=True)
        self.assertEqual(other.get("/healthz").status, 200, "and takes nothing from it")
        other.close()

    def test_a_service_manager_is_told(self):
        for name in (self.path("notify.sock"), "\0sheaf-test-" + os.path.basename(self.folder)):
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
                manager.bind(name)
                manager.settimeout(sheaf.TIMEOUT_S)
                s = self.serve("--config", self.path("sheaf.conf", ONE), env=sheaf.environment(NOTIFY_SOCKET=name.replace("\0", "@")))
                self.assertEqual(manager.recv(100), b"READY=1")
                self.assertEqual(s.get("/readyz").status, 200)
                self.assertEqual(s.stop(), 0)
                self.assertEqual(manager.recv(100), b"STOPPING=1")

    def test_a_service_manager_that_is_not_there_is_an_error(self):
        result = refusal(self.data, "--listen", "127.0.0.1:0", env=sheaf.environment(NOTIFY_SOCKET=self.path("nobody")))
        self.assertEqual(result.status, 3, str(result))
        self.assertIn("NOTIFY_SOCKET", result.stderr)

    def test_figures_at_the_end_when_they_are_asked_for(self):
        s = self.serve("--config", self.path("sheaf.conf", ONE), "--metrics", "json", "--metrics-file", self.path("figures"))
        self.done(s.post(path("users"), USER), 201)
        self.assertEqual(s.stop(), 0)
        with open(self.path("figures"), encoding="utf-8") as file:
            self.assertEqual(json.load(file)["all"]["rows"]["accepted"], 1)

    def test_a_schema_that_is_wrong_or_another_one(self):
        result = refusal(self.data, "--schema", self.path("s.sql", "CREATE TABLE t (id INTEGER PRIMARY KEY;"))
        self.assertEqual(result.status, 2, str(result))
        self.insert({"table": "users", **USER})
        result = refusal(self.data, "--schema", self.path("s.sql", "CREATE TABLE t (id INTEGER PRIMARY KEY);"))
        self.assertEqual(result.status, 2, str(result))
        result = refusal(self.data, "--nonsense")
        self.assertEqual(result.status, 2, str(result))
        self.assertEqual(refusal(self.data, "operand").status, 2)
        self.assertIn("http.sock", sheaf.run("serve", "--help").stdout)


class Security(server.Case):
    def token_file(self, content=TOKEN + "\n", mode=0o600):
        file = self.path("token", content)
        os.chmod(file, mode)
        return file

    def test_a_token_is_asked_for_on_every_path_but_health(self):
        s = self.serve("--config", self.path("sheaf.conf", ONE), "--token-file", self.token_file(), "--log-level", "debug")
        for target in ("/v1/rows/users", "/v1/rows/users/1", "/v1/schema", "/v1/stats", "/v1/openapi.json", "/metrics", "/nope", "/"):
            for given in (None, "", "Bearer", "Bearer ", "Bearer wrong", "Bearer " + TOKEN[:-1], f"Bearer {TOKEN}x", f"Basic {TOKEN}", TOKEN,
                          f"Bearer {TOKEN} x"):
                with self.subTest(target=target, given=given):
                    answer = s.get(target, {"Authorization": given})
                    self.refused(answer, 401, "unauthorized")
                    self.assertEqual(answer.headers["WWW-Authenticate"], "Bearer")
        for send in (lambda: s.post(path("users"), USER), lambda: s.patch(path("users", 1), {}), lambda: s.delete(path("users", 1)),
                     lambda: s.batch(), lambda: s.request("PUT", "/v1/schema")):
            self.refused(send(), 401, "unauthorized")
        for target in ("/healthz", "/readyz"):
            self.assertEqual(s.get(target).status, 200)
        for header in (f"Bearer {TOKEN}", f"bearer {TOKEN}"):
            self.assertEqual(s.get("/v1/schema", {"Authorization": header}).status, 200)
        friend = s.client(unix=True, headers={"Authorization": f"Bearer {TOKEN}"})
        self.done(friend.post(path("users"), USER), 201)
        self.refused(friend.get("/v1/schema", {"Authorization": None}), 401, "unauthorized")
        friend.close()
        with open(f"/proc/{s.pid}/cmdline", "rb") as file:
            self.assertNotIn(TOKEN.encode(), file.read())
        self.assertEqual(s.stop(), 0)
        self.assertNotIn(TOKEN, s.said, "logs hold no secrets")
        self.assertNotIn("ann@example.org", s.said)

    def test_a_token_file_that_others_could_read_is_refused(self):
        for mode in (0o644, 0o640, 0o660, 0o604, 0o601):
            result = refusal(self.data, "--token-file", self.token_file(mode=mode))
            self.assertEqual(result.status, 2, str(result))
            self.assertIn("token", result.stderr)
            self.assertNotIn(TOKEN, result.stderr)

    def test_a_token_file_that_holds_none(self):
        for content in ("", "\n", "two words", "two\nlines", "tab\t", "ünicode", "x" * 1025, "\0"):
            with self.subTest(content=content[:10]):
                result = refusal(self.data, "--token-file", self.token_file(content))
                self.assertEqual(result.status, 2, str(result))
        for file in (self.path("absent"), self.folder, "/dev/null"):
            self.assertEqual(refusal(self.data, "--token-file", file).status, 2)
        s = self.serve("--config", self.path("sheaf.conf", ONE), "--token-file", self.token_file("x" * 1024 + "\r\n"))
        self.assertEqual(s.get("/v1/schema", {"Authorization": "Bearer " + "x" * 1024}).status, 200)

    def test_more_than_loopback_needs_a_token(self):
        for address in ("0.0.0.0:0", "[::]:0"):
            result = refusal(self.data, "--listen", address)
            self.assertEqual(result.status, 2, str(result))
            self.assertIn("token", result.stderr)
        self.assertFalse(os.path.exists(self.data), "nothing was started")
        config = self.path("sheaf.conf", ONE + f"[http]\nlisten = 0.0.0.0:0\ntoken_file = {self.token_file()}\n")
        s = self.serve("--config", config, listen=None)
        self.assertEqual(s.get("/v1/schema", {"Authorization": "Bearer " + TOKEN}).status, 200)
        self.refused(s.get("/v1/schema"), 401, "unauthorized")

    def test_unknown_hosts_and_foreign_origins_are_refused(self):
        s = self.serve(config=ONE + "[http]\nhost = db.example\n")
        own = f"127.0.0.1:{s.port}"
        for host in ("localhost", "LocalHost:1", "127.0.0.1", own, "10.0.0.1:80", "[::1]", "[::1]:80", "db.example", "DB.example:8080"):
            self.assertEqual(s.get("/v1/schema", {"Host": host}).status, 200, host)
        for host in ("evil.example", "localhost.evil.example", "db.example.evil", "localhost:x", "", "127.0.0.1.evil.example", "[::1", "[x]"):
            for target in ("/v1/schema", "/healthz", path("users")):
                with self.subTest(host=host, target=target):
                    self.refused(s.get(target, {"Host": host}), 403, "forbidden")
        with s.raw() as c:
            self.assertIn(c.ask("GET /v1/schema HTTP/1.1\r\n\r\n").status, (400, 403))
        for origin in ("http://evil.example", "null", f"ftp://{own}", "https://127.0.0.1", "http://127.0.0.1:1", f"http://{own}.evil.example", "http://localhost", ""):
            with self.subTest(origin=origin):
                self.refused(s.post(path("users"), USER, {"Host": own, "Origin": origin}), 403, "forbidden")
        for n, (host, origin) in enumerate(((own, f"http://{own}"), (own, f"https://{own}"), ("db.example", "https://db.example"))):
            self.done(s.post(path("users"), {**USER, "id": n + 1, "email": f"{n}@example.org"}, {"Host": host, "Origin": origin}), 201)

    def test_nobody_else_gets_at_directory_and_sockets_and_no_core_is_dumped(self):
        s = self.serve(config=ONE)
        self.assertEqual(stat.S_IMODE(os.stat(self.data).st_mode), 0o700)
        self.assertEqual(stat.S_IMODE(os.stat(s.unix).st_mode), 0o600)
        self.assertTrue(stat.S_ISSOCK(os.stat(s.unix).st_mode))
        for pid in (s.pid, *s.shards().values()):
            with open(f"/proc/{pid}/limits", encoding="ascii") as file:
                self.assertRegex(file.read(), r"Max core file size +0 +0 ")

    def test_a_deep_data_directory_gets_a_link(self):
        deep = os.path.join(self.folder, *["d" * 60] * 3)
        os.makedirs(deep)
        s = self.serve(config=ONE, data=deep + "/data")
        self.assertTrue(os.path.islink(s.unix))
        self.assertEqual(s.unix, deep + "/data/http.sock")
        real = os.path.realpath(s.unix)
        self.assertEqual(stat.S_IMODE(os.stat(real).st_mode), 0o600)
        self.assertEqual(stat.S_IMODE(os.stat(os.path.dirname(real)).st_mode), 0o700)
        other = s.client(unix=True)
        self.assertEqual(other.get("/healthz").status, 200)
        other.close()
        self.assertEqual(s.stop(), 0)
        self.assertFalse(os.path.lexists(s.unix) or os.path.exists(real) or os.path.exists(os.path.dirname(real)))

    def test_as_root_it_becomes_whom_it_is_told_and_else_says_so_once(self):
        if os.getuid() != 0:
            self.skipTest("only root can become somebody else")
        s = self.serve(config=ONE)
        self.assertEqual(len(re.findall("running as root", s.said)), 1, s.said)
        self.assertEqual(s.stop(), 0)
        nobody = pwd.getpwnam("nobody")
        os.chmod(self.folder, 0o755)
        data = self.path("theirs/data")
        os.makedirs(os.path.dirname(data))
        os.chown(os.path.dirname(data), nobody.pw_uid, nobody.pw_gid)
        s = self.serve("--config", self.path("sheaf.conf"), "--user", "nobody", data=data)
        self.assertNotIn("running as root", s.said)
        for pid in (s.pid, *s.shards().values()):
            with open(f"/proc/{pid}/status", encoding="ascii") as file:
                status = file.read()
            self.assertRegex(status, rf"Uid:\t{nobody.pw_uid}\t{nobody.pw_uid}\t{nobody.pw_uid}\t")
            self.assertRegex(status, rf"Gid:\t{nobody.pw_gid}\t{nobody.pw_gid}\t{nobody.pw_gid}\t")
            self.assertNotRegex(status, r"Groups:.*\b0\b")
        self.done(s.post(path("users"), USER), 201)

    def test_a_user_that_cannot_be(self):
        result = refusal(self.data, "--user", "nobody-of-that-name")
        self.assertEqual(result.status, 2, str(result))
        self.assertIn("nobody-of-that-name", result.stderr)
        if os.getuid() == 0:
            result = refusal(self.data, "--user", "root", preexec_fn=lambda: os.setuid(65534))
            self.assertEqual(result.status, 2, str(result))
            self.assertIn("only root", result.stderr)


class Documents(sheaf.Case):
    """The documentation says what the sources say."""

    def limits(self, kind):
        text = (sheaf.TOP / "shared/limits.h").read_text()
        block = re.search(rf"#define {kind}\(X\)(.*?)\n\n", text, re.S).group(1).replace("\\\n", "")
        return re.findall(r"X\((\w+), (.*?), \"(.*?)\", *\"(.*?)\"\)", block)

    def rows(self):
        text = (sheaf.TOP / "docs/configuration.md").read_text()
        return [[cell.strip() for cell in line.strip("|\n").split("|")] for line in text.splitlines() if line.startswith("| `")]

    def test_every_limit_is_in_the_table(self):
        rows = {row[0].strip("`"): row[1:] for row in self.rows()}
        settable, fixed = self.limits("LIMITS_SETTABLE"), self.limits("LIMITS_FIXED")
        self.assertGreater(len(settable), 15)
        self.assertGreater(len(fixed), 15)
        for name, numbers, unit, why in settable:
            self.assertEqual(rows.pop(name), [f"{int(n):,}" for n in numbers.split(",")] + [unit, why])
        for name, number, unit, why in fixed:
            self.assertEqual(rows.pop(name), [f"{int(number.rstrip('u')):,}", unit, why])
        self.assertEqual([name for name in rows if name.isupper() or name.endswith(("_ms", "_bytes", "_max"))], [], "limits no more")


if __name__ == "__main__":
    sheaf.main()
