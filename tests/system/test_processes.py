# SPDX-License-Identifier: Apache-2.0
"""Processes: one shardd per database, one writer per file, nothing outlives its coordinator, one clear error when it cannot start."""

import contextlib
import fcntl
import json
import os
import pathlib
import re
import resource
import signal
import socket
import sqlite3
import subprocess
import threading
import time
import unittest

import sheaf

USER = {"table": "users", "id": 1, "name": "Ann", "email": "ann@example.org"}


def until(condition, seconds):
    """Waits for something that only /proc can tell."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.01)
    return False


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False


class Processes(sheaf.Case):
    def begin(self, *arguments, data=None, env=None):
        """A coordinator that has answered one row and waits for more."""
        process = sheaf.start("insert", "--data", data or self.data, *arguments, env=env)
        process.stdin.write(json.dumps(USER).encode() + b"\n")
        process.stdin.flush()
        answer = process.stdout.readline()
        self.assertTrue(answer and json.loads(answer)["ok"], answer or process.stderr.read())
        self.addCleanup(self.end, process)
        return process

    def shard(self, name):
        """The pid of a database's shardd; None while there is none."""
        for pid in sheaf.shardds_of(self.data):
            try:
                argv = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if name.encode() in argv:
                return pid
        return None

    def send(self, process, *objects):
        process.stdin.write("".join(json.dumps(o) + "\n" for o in objects).encode())
        process.stdin.flush()

    def kill(self, pids):
        for pid in filter(alive, pids):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def end(self, process):
        if process.poll() is None:
            process.kill()
        process.communicate()

    def test_one_shardd_per_database_with_its_name_in_its_command_line(self):
        self.begin()
        found = set()
        for pid in sheaf.shardds_of(self.data):
            with open(f"/proc/{pid}/cmdline") as file:
                argv = file.read().split("\0")
            found.add(argv[argv.index("--database") + 1])
        self.assertEqual(found, set(sheaf.SHOP_TABLES))

    def test_no_process_outlives_its_coordinator(self):
        for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGABRT):
            with self.subTest(signal=number):
                process = self.begin()
                pids = sheaf.shardds_of(self.data)
                self.assertEqual(len(pids), 3)
                process.send_signal(number)
                process.wait(20)
                self.assertTrue(until(lambda: not any(map(alive, pids)), 1.0))

    def test_sqlite_reads_while_sheaf_runs_and_cannot_write(self):
        process = self.begin()
        path = sheaf.database(self.data, "users")
        read = subprocess.run(["sqlite3", path, "SELECT name FROM users"], capture_output=True, text=True)
        self.assertEqual(read.stdout, "Ann\n", read.stderr)
        copy = self.path("copy.db")
        subprocess.run(["sqlite3", path, f".backup '{copy}'"], check=True, capture_output=True)
        self.assertEqual(sqlite3.connect(copy).execute("SELECT count(*) FROM users").fetchone(), (1,))
        write = subprocess.run(["sqlite3", path, "DELETE FROM users"], capture_output=True, text=True)
        self.assertIn("locked", write.stderr)
        process.stdin.write(json.dumps(USER | {"id": 2, "email": "b@c.de"}).encode() + b"\n")
        process.stdin.flush()
        self.assertTrue(json.loads(process.stdout.readline())["ok"])
        process.communicate()
        after = subprocess.run(["sqlite3", path, "UPDATE users SET name='Bob' WHERE id=2; SELECT count(*) FROM users"],
                               capture_output=True, text=True)
        self.assertEqual(after.stdout, "2\n", after.stderr)

    def test_two_coordinators_on_one_directory(self):
        process = self.begin()
        other = self.ran("insert", "--data", self.data, input=json.dumps(USER), status=3)
        self.assertIn(str(process.pid), other.stderr)
        self.assertEqual(other.stdout, "")

    def test_a_killed_coordinator_leaves_no_directory_of_sockets(self):
        """Nor has one that runs any: a socket's name is needed until it is dialled."""
        process = self.begin(env=sheaf.environment(TMPDIR=self.folder))
        sockets = lambda: [name for name in os.listdir(self.folder) if re.fullmatch(r"sheaf-\d+-\w{6}", name)]
        self.assertTrue(until(lambda: not sockets(), 10), sockets())
        before = sheaf.shardds_of(self.data)
        os.kill(before[0], signal.SIGKILL)
        self.assertTrue(until(lambda: len(set(sheaf.shardds_of(self.data)) - set(before)) == 1, 10))
        self.assertTrue(until(lambda: not sockets(), 10), sockets())
        process.kill()
        process.wait()
        self.assertEqual(sockets(), [])

    def test_a_garbage_database_is_named(self):
        self.insert(USER)
        with open(sheaf.database(self.data, "products"), "wb") as file:
            file.write(b"this is not a database, not at all" * 1000)
        result = self.ran("insert", "--data", self.data, input=json.dumps(USER), status=3)
        self.assertIn("products", result.stderr)
        self.assertIn("not a database", result.stderr)

    def test_a_database_whose_tables_were_changed_by_hand_is_named(self):
        self.insert(USER)
        with contextlib.closing(sqlite3.connect(sheaf.database(self.data, "users"))) as users:
            users.executescript("CREATE TRIGGER gone AFTER INSERT ON users BEGIN DELETE FROM users; END")
        for command in (("insert",), ("load", "users=" + self.path("u.csv", "id,name,email\n2,B,b@c.de\n"))):
            result = self.ran(*command, "--data", self.data, input=json.dumps(USER), status=3)
            self.assertIn("database users: ", result.stderr)
            self.assertIn("users.db was changed past Sheaf: the trigger gone is in it and not in the schema", result.stderr)
        with contextlib.closing(sqlite3.connect(sheaf.database(self.data, "users"))) as users:
            users.executescript("DROP TRIGGER gone")
        self.assertEqual(self.insert(USER)[0]["already_there"], True)

    def test_a_database_that_is_gone_is_not_made_anew(self):
        self.insert(USER)
        os.remove(sheaf.database(self.data, "users"))
        result = self.ran("insert", "--data", self.data, input=json.dumps(USER), status=3)
        self.assertIn("users", result.stderr)

    def test_what_may_not_be_written_is_named_and_left_as_it_is(self):
        self.insert(USER)
        nobody = {}
        if os.geteuid() == 0:  # whom no mode stops
            for path in (self.folder, self.data, *(os.path.join(self.data, name) for name in os.listdir(self.data))):
                os.chown(path, 65534, 65534)
            nobody = {"preexec_fn": lambda: (os.setgroups([]), os.setgid(65534), os.setuid(65534))}
            if subprocess.run(["test", "-x", sheaf.COORDINATOR, "-a", "-x", sheaf.SHARDD], **nobody).returncode:
                self.skipTest("the programs are where nobody may go")
        users = sheaf.database(self.data, "users")
        names = sorted(os.listdir(self.data))
        for path, mode, word in ((users, 0o400, "users.db: "), (users, 0, "users.db: "), (self.data, 0o500, "data: ")):
            before = os.stat(path).st_mode
            os.chmod(path, mode)
            result = self.ran("insert", "--data", self.data, input=json.dumps(USER), status=3, **nobody)
            self.assertIn(word, result.stderr)
            self.assertIn("Permission denied", result.stderr)
            os.chmod(path, before)
            self.assertEqual(sorted(os.listdir(self.data)), names)
        again = self.ran("insert", "--data", self.data, input=json.dumps(USER), **nobody)
        self.assertTrue(again.lines()[0]["already_there"])

    def test_a_foreign_writer_is_waited_for_and_then_named(self):
        self.insert(USER)
        other = sqlite3.connect(sheaf.database(self.data, "users"), isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        result = self.ran("insert", "--data", self.data, input=json.dumps(USER), status=3)
        self.assertIn("users", result.stderr)
        self.assertIn("lock", result.stderr)
        other.execute("ROLLBACK")
        other.close()
        self.insert(USER)

    def test_a_database_of_another_program_is_refused_and_left_alone(self):
        os.makedirs(self.data, mode=0o700)
        path = sheaf.database(self.data, "users")
        other = sqlite3.connect(path)
        other.execute("CREATE TABLE mine (x)")
        other.commit()
        other.close()
        before = open(path, "rb").read()
        result = self.ran("insert", "--data", self.data, input=json.dumps(USER), status=3)
        self.assertIn("users", result.stderr)
        self.assertEqual(open(path, "rb").read(), before)

    def test_a_data_directory_that_cannot_be(self):
        self.path("file", "I am a file")
        for data in (self.path("file"), self.path("absent/deeper/data")):
            result = run_status = sheaf.run("insert", "--data", data, input=json.dumps(USER))
            self.assertEqual(run_status.status, 3, str(result))
            self.assertIn(os.path.basename(data), result.stderr)
            self.assertEqual(result.stdout, "")

    def test_a_deep_data_directory_works(self):
        deep = os.path.join(self.folder, *["d" * 60] * 6)
        os.makedirs(deep)
        self.assertTrue(self.insert(USER, data=deep + "/data")[0]["ok"])

    def test_a_directory_deeper_than_sqlite_takes_is_named_so(self):
        deep = os.path.join(self.folder, *["d" * 60] * 9)
        os.makedirs(deep)
        result = self.ran("insert", "--data", deep, input=json.dumps(USER), status=3)
        self.assertIn("longer than SQLite takes", result.stderr)
        self.assertEqual(os.listdir(deep), [])

    def test_a_full_disk_is_an_error_and_not_a_crash(self):
        mount = self.path("small")
        os.makedirs(mount)
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", mount], capture_output=True)
        if mounted.returncode:
            self.skipTest("mounting a tmpfs is not permitted here")
        self.addCleanup(subprocess.run, ["umount", "-l", mount], capture_output=True)
        data = mount + "/data"
        rows = [USER | {"id": n, "email": f"u{n}@a.b", "name": "n" * 500} for n in range(1, 6000)]
        result = sheaf.run("insert", "--data", data, input="".join(json.dumps(r) + "\n" for r in rows))
        self.assertEqual(result.status, 3, str(result)[-3000:])
        accepted = {json.loads(l)["line"] for l in result.stdout.splitlines() if json.loads(l)["ok"]}
        self.assertGreater(len(accepted), 0)
        self.assertLess(len(accepted), len(rows))
        # room again: what was acknowledged is there, and it serves without an operator
        subprocess.run(["mount", "-o", "remount,size=64m", mount], check=True)
        self.assertTrue(self.insert(rows[-1], data=data)[0]["ok"])
        self.assertLessEqual(accepted, {r[0] for r in sheaf.rows(data, "users")})

    def test_no_room_is_told_at_once_and_by_a_shard_that_lives(self):
        # a limit on the size of files: like a full disk, and needs no mount
        for count, bytes in ((100_000, 60), (12, 150_000)):
            data = f"{self.data}{count}"
            process = sheaf.start("insert", "--data", data, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20)))
            answers = []
            rows = [USER | {"id": n, "email": f"u{n}@a.b", "name": "n" * bytes} for n in range(1, count + 1)]
            begun = time.monotonic()
            if count > 100:
                out, err = process.communicate("".join(json.dumps(r) + "\n" for r in rows).encode())
                answers = [json.loads(line) for line in out.splitlines()]
            else:  # one by one
                for row in rows:
                    process.stdin.write(json.dumps(row).encode() + b"\n")
                    process.stdin.flush()
                    answers.append(json.loads(process.stdout.readline()))
                _, err = process.communicate()
            self.assertLess(time.monotonic() - begun, 20)
            self.assertEqual(process.returncode, 3, err)
            self.assertNotIn(b"exited", err)
            self.assertEqual({a["error"]["code"] for a in answers if not a["ok"]}, {"io"})
            accepted = {a["line"] for a in answers if a["ok"]}
            self.assertTrue(0 < len(accepted) < count)
            self.assertTrue(self.insert(rows[-1], data=data)[0]["ok"])
            self.assertEqual(accepted | {count}, {r[0] for r in sheaf.rows(data, "users")})

    def test_readable_by_nobody_else(self):
        self.insert(USER)
        self.assertEqual(os.stat(self.data).st_mode & 0o777, 0o700)

    def test_a_killed_shard_costs_no_acknowledged_row(self):
        process = self.begin()
        pid = next(p for p in sheaf.shardds_of(self.data)
                   if b"users" in pathlib.Path(f"/proc/{p}/cmdline").read_bytes().split(b"\0"))
        os.kill(pid, signal.SIGKILL)
        for n in range(2, 50):
            process.stdin.write(json.dumps(USER | {"id": n, "email": f"u{n}@a.b"}).encode() + b"\n")
        process.stdin.flush()
        answers = [json.loads(process.stdout.readline()) for _ in range(2, 50)]
        process.communicate()
        there = {r[0] for r in sheaf.rows(self.data, "users")}
        for answer in answers:
            if answer["ok"]:
                self.assertIn(answer["line"], there)
            else:
                self.assertIn(answer["error"]["code"], ("unavailable", "unknown"))
        self.assertTrue(answers[-1]["ok"], "it did not come back")

    def test_a_shard_that_cannot_start_is_tried_until_it_can(self):
        config = self.path("c.conf", "[limits]\nlock_file_ms = 0\n")
        process = self.begin("--config", config)
        lock = open(sheaf.database(self.data, "users") + ".lock")
        self.addCleanup(lock.close)
        taker = threading.Thread(target=fcntl.flock, args=(lock, fcntl.LOCK_EX))
        taker.start()  # has it the moment the shard is gone
        seen = {self.shard("users")}
        os.kill(self.shard("users"), signal.SIGKILL)
        taker.join(20)
        self.send(process, USER | {"id": 2, "email": "b@c.de"})
        self.assertTrue(until(lambda: seen.add(self.shard("users")) or len(seen - {None}) >= 4, 30), "it was given up")
        fcntl.flock(lock, fcntl.LOCK_UN)
        self.assertTrue(json.loads(process.stdout.readline())["ok"])

    def test_a_busy_shard_is_not_killed(self):
        counting = "(WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 5000000) SELECT count(*) FROM c)"
        schema = self.path("slow.sql", "CREATE TABLE slow (id INTEGER PRIMARY KEY);\n"
                           f"CREATE TRIGGER slowly BEFORE INSERT ON slow WHEN {counting} < 0 BEGIN SELECT 1; END;\n")
        config = self.path("c.conf", "[limits]\nheartbeat_ms = 50\nmute_ms = 200\n")
        process = sheaf.start("insert", "--data", self.data, "--schema", schema, "--config", config)
        self.addCleanup(self.end, process)
        self.assertTrue(until(lambda: self.shard("slow"), 20))
        before, since = self.shard("slow"), time.monotonic()
        self.send(process, *({"table": "slow", "id": n} for n in (1, 2, 3)))
        for _ in range(3):
            self.assertTrue(json.loads(process.stdout.readline())["ok"])
        self.assertGreater(time.monotonic() - since, 0.4, "it was not busy for long")
        self.assertEqual(self.shard("slow"), before)

    def test_a_coordinator_that_is_killed_is_followed_at_once_by_another(self):
        """Its shards may be in the middle of anything, even stopped; none writes any more once the next one serves."""
        last = 1
        for stopped in (False, True, False, True):
            process = self.begin()
            pids = sheaf.shardds_of(self.data)
            self.addCleanup(self.kill, pids)  # an orphan would hold the pipes' other ends
            for n in range(last + 1, last + 3001):
                process.stdin.write(json.dumps(USER | {"id": n, "email": f"u{n}@a.b"}).encode() + b"\n")
            process.stdin.flush()
            if stopped:
                for pid in pids:
                    os.kill(pid, signal.SIGSTOP)
            else:
                process.stdout.readline()
            process.kill()
            process.wait(20)
            os.set_blocking(process.stdout.fileno(), False)
            answered = [json.loads(line) for line in (process.stdout.read() or b"").splitlines() if line.endswith(b"}")]
            self.insert(USER)
            self.assertFalse(any(map(alive, pids)))
            there = {row[0] for row in sheaf.rows(self.data, "users")}
            accepted = {last + answer["line"] - 1 for answer in answered if answer["ok"]}
            self.assertLessEqual(accepted - {last}, there)
            last += 3000


class Alone(sheaf.Case):
    """A shardd that runs by itself and is dialled."""

    def port(self):
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            return s.getsockname()[1]

    def test_a_dialled_shard(self):
        port = self.port()
        elsewhere = self.path("elsewhere")
        os.makedirs(elsewhere, mode=0o700)
        shard = subprocess.Popen([sheaf.SHARDD, "--database", "users", "--data", elsewhere, "--listen",
                                  f"tcp://127.0.0.1:{port}"], stderr=subprocess.PIPE, env=sheaf.environment())
        self.addCleanup(lambda: (shard.kill(), shard.wait(), shard.stderr.close()))
        config = self.path("sheaf.conf", f"[database users]\naddress = tcp://127.0.0.1:{port}\n")
        line = shard.stderr.readline()
        self.assertIn(b"ready", line)
        self.insert(USER, args=("--config", config))
        self.assertEqual(sheaf.rows(elsewhere, "users"), [(1, "Ann", "ann@example.org")])
        self.assertFalse(os.path.exists(sheaf.database(self.data, "users")))
        self.assertIsNone(shard.poll(), "a dialled shard is not the coordinator's to stop")
        self.assertTrue(self.insert(USER, args=("--config", config))[0]["already_there"])
        shard.send_signal(signal.SIGHUP)
        self.assertEqual(shard.wait(20), 0)
        gone = self.ran("insert", "--data", self.data, "--config", config, input=json.dumps(USER), status=3)
        self.assertIn("users", gone.stderr)

    def test_a_dialled_shard_of_another_database_is_named_at_once(self):
        port = self.port()
        shard = subprocess.Popen([sheaf.SHARDD, "--database", "products", "--data", self.folder, "--listen",
                                  f"tcp://127.0.0.1:{port}"], stderr=subprocess.PIPE, env=sheaf.environment())
        self.addCleanup(lambda: (shard.kill(), shard.wait(), shard.stderr.close()))
        self.assertIn(b"ready", shard.stderr.readline())
        self.insert()  # the directory is in use from now on: a file that is not there would be missed
        config = self.path("sheaf.conf", f"[database users]\naddress = tcp://127.0.0.1:{port}\n")
        result = self.ran("insert", "--data", self.data, "--config", config, status=3)
        self.assertRegex(result.stderr, "^coordinator insert: database users: .*database products\n$")

    def test_a_refused_address_leaves_nothing_behind(self):
        port = self.port()
        elsewhere = self.path("elsewhere")
        os.makedirs(elsewhere, mode=0o700)
        shard = subprocess.Popen([sheaf.SHARDD, "--database", "products", "--data", elsewhere, "--listen",
                                  f"tcp://127.0.0.1:{port}"], stderr=subprocess.PIPE, env=sheaf.environment())
        self.addCleanup(lambda: (shard.kill(), shard.wait(), shard.stderr.close()))
        self.assertIn(b"ready", shard.stderr.readline())
        users = self.path("users.csv", "id,name,email\n")
        for address, status in ((f"tcp://127.0.0.1:{port}", 3), (f"tcp://127.0.0.1:{self.port()}", 3), ("tcp://10.0.0.1:7401", 2)):
            config = self.path("sheaf.conf", f"[database users]\naddress = {address}\n")
            for verb in (("insert",), ("load", f"users={users}"), ("demo",)):
                self.ran(*verb, "--data", self.data, "--config", config, status=status)
                self.assertFalse(os.path.exists(self.data), (address, verb))
        self.ran("load", "--data", self.data, f"cats={users}", status=2)
        self.assertFalse(os.path.exists(self.data))
        os.makedirs(self.data)
        kept = self.path("data/kept", "")
        self.ran("insert", "--data", self.data, "--config", config, status=2)
        self.assertEqual(os.listdir(self.data), [os.path.basename(kept)])
        shard.terminate()
        self.assertEqual(shard.wait(20), 0)
        self.assertEqual(os.listdir(elsewhere), [])  # nobody has claimed it

    def test_plain_tcp_only_on_loopback(self):
        for address in ("tcp://0.0.0.0:7777", "tcp://192.0.2.1:7777", "http://127.0.0.1:1", "tcp://127.0.0.1", "tcp://127.0.0.1:0",
                        "tcp://127.0.0.1:65536", "tcp://127.0.0.1:x", "tcp://localhost:"):
            result = sheaf.run("--database", "users", "--data", self.folder, "--listen", address, program=sheaf.SHARDD, timeout=20)
            self.assertEqual(result.status, 2, str(result))

    def test_shardd_says_what_it_is(self):
        self.assertIn("--database", sheaf.run("--help", program=sheaf.SHARDD).stdout)
        self.assertEqual(sheaf.run("--version", program=sheaf.SHARDD).status, 0)
        self.assertEqual(sheaf.run("--nonsense", program=sheaf.SHARDD).status, 2)

    def test_a_missing_data_directory_is_named(self):
        result = sheaf.run("--database", "users", "--data", self.path("nowhere"), "--listen",
                           "ipc://" + self.path("s"), program=sheaf.SHARDD)
        self.assertNotEqual(result.status, 0)
        self.assertIn("nowhere", result.stderr)


if __name__ == "__main__":
    sheaf.main()
