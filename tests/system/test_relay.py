# SPDX-License-Identifier: Apache-2.0
"""`load` and `insert` given the data directory of a running server go through it, with the same results."""

import contextlib
import json
import os
import random
import resource
import signal
import socket
import struct
import threading
import time

import server
import sheaf
from server import path

TREE = """
CREATE TABLE node (id INTEGER PRIMARY KEY, up INTEGER REFERENCES node DEFERRABLE INITIALLY DEFERRED, name TEXT UNIQUE);
CREATE TABLE leaf (id INTEGER PRIMARY KEY, node INTEGER NOT NULL REFERENCES node, v);
"""


def shop(folder, rows, seed=1):
    """Three inputs of the shop, a tenth of them wrong in some way."""
    pick = random.Random(seed)
    with open(os.path.join(folder, "users.csv"), "w") as users:
        users.write("id,name,email\n")
        for n in range(1, rows + 1):
            users.write(f"{n},{'' if n % 50 == 0 else 'user'},u{n if n % 40 else 1}@example.org\n")
    with open(os.path.join(folder, "products.ndjson"), "w") as products:
        for n in range(1, rows // 4 + 1):
            products.write(json.dumps({"id": n, "name": "p", "price": 1.5 if n % 30 else -1}) + "\n")
    with open(os.path.join(folder, "orders.csv"), "w") as orders:
        orders.write("id,user_id,product_id,quantity\n")
        for n in range(1, 2 * rows + 1):
            orders.write(f"{n},{pick.randint(1, rows + rows // 20)},{pick.randint(1, rows // 4)},{pick.randint(1, 5)}\n")
    return [f"{table}={os.path.join(folder, name)}"
            for table, name in (("orders", "orders.csv"), ("users", "users.csv"), ("products", "products.ndjson"))]


class Relay(server.Case):
    def contents(self, data, tables):
        return {table: sheaf.rows(data, table) for table in tables}

    def rejects(self, name):
        with open(self.path(name)) as file:
            return sorted(file.read().splitlines())

    def load(self, data, rejects, *inputs, status=1):
        """What its metrics say of rows, by database."""
        self.ran("load", "--data", data, "--metrics", "json", "--metrics-file", self.path("metrics"), "--rejects",
                 self.path(rejects), *inputs, status=status, timeout=120)
        with open(self.path("metrics")) as file:
            return {d["name"]: (d["rows"], d["steps"]["total"]["count"]) for d in json.load(file)["databases"]}

    def test_a_load_through_a_server_has_the_same_results(self):
        inputs, other = shop(self.folder, 4000), self.path("alone")
        self.serve()
        through, alone = self.load(self.data, "a", *inputs), self.load(other, "b", *inputs)
        self.assertEqual(self.contents(self.data, sheaf.SHOP_TABLES), self.contents(other, sheaf.SHOP_TABLES))
        self.assertEqual(self.rejects("a"), self.rejects("b"))
        self.assertGreater(len(self.rejects("a")), 400)
        self.assertEqual(through, alone, "of this run, whatever was before")
        again = self.load(self.data, "a", *inputs)
        self.assertEqual(again["users"][0]["already_there"], through["users"][0]["accepted"])
        self.assertEqual(again["users"][0]["accepted"], 0)

    def test_circles_of_rows_go_through_as_well(self):
        nodes = self.path("node.csv", "id,up,name\n" + "".join(f"{n},{n % 900 + 1},n{n}\n" for n in range(1, 1001)) +
                          "2000,2001,x\n2001,2000,y\n3000,4000,z\n")
        leaves = self.path("leaf.csv", "id,node,v\n" + "".join(f"{n},{n * 3},{n}\n" for n in range(1, 1001)))
        other, ddl = self.path("alone"), self.schema(TREE)
        self.serve(schema=TREE)
        for data, args, name in ((self.data, (), "a"), (other, ("--schema", ddl), "b")):
            self.load(data, name, f"leaf={leaves}", f"node={nodes}", *args)
        self.assertEqual(self.contents(self.data, ("node", "leaf")), self.contents(other, ("node", "leaf")))
        self.assertEqual(len(sheaf.rows(self.data, "node")), 1002)
        self.assertEqual(self.rejects("a"), self.rejects("b"))

    def test_insert_answers_as_it_does_alone(self):
        lines = [{"table": "users", "id": 1, "name": "Ann", "email": "a@example.org"}, {"table": "users", "name": "Bea",
                 "email": "b@example.org"}, {"table": "users", "id": 1, "name": "Ann", "email": "a@example.org"},
                 {"table": "users", "id": 1, "name": "Eve", "email": "e@example.org"}, "no json", {"table": "nowhere"},
                 {"table": "orders", "id": 1, "user_id": 9, "product_id": 9, "quantity": 1}]
        s = self.serve()
        through = self.insert(*lines, status=1)
        self.assertEqual(through, self.insert(*lines, status=1, data=self.path("alone")))
        self.assertEqual(through[1], {"line": 2, "ok": True, "id": 2})
        self.assertEqual(self.done(s.get(path("users", 2)))["name"], "Bea")

    def test_rows_are_answered_one_by_one_while_the_pipe_stays_open(self):
        self.serve()
        process = sheaf.start("insert", "--data", self.data)
        for n in range(1, 4):
            process.stdin.write(json.dumps({"table": "products", "id": n, "name": "p", "price": 1}).encode() + b"\n")
            process.stdin.flush()
            self.assertEqual(json.loads(process.stdout.readline()), {"line": n, "ok": True})
        self.assertEqual(process.communicate()[0], b"")
        self.assertEqual(process.returncode, 0)

    def test_other_clients_are_served_meanwhile(self):
        s, inputs = self.serve(), shop(self.folder, 4000)
        results, ended = [], threading.Event()
        loader = threading.Thread(target=lambda: (results.append(self.load(self.data, "a", *inputs)), ended.set()))
        loader.start()
        served = 0
        while not ended.is_set():
            served += 1
            self.done(s.post(path("products"), {"id": 100000 + served, "name": "p", "price": 1}), 201)
        loader.join()
        self.assertGreater(served, 3)
        self.assertEqual(len(results), 1)
        self.assertEqual(len([r for r in sheaf.rows(self.data, "products") if r[0] > 100000]), served)

    def test_a_schema_that_is_not_the_servers_is_refused(self):
        self.serve()
        result = self.ran("insert", "--data", self.data, "--schema", self.schema("CREATE TABLE t (id);"), status=2)
        self.assertIn("another schema", result.stderr)

    def test_who_is_no_server_is_named(self):
        holder = sheaf.start("insert", "--data", self.data)
        holder.stdin.write(b'{"table":"products","id":1,"name":"p","price":1}\n')
        holder.stdin.flush()
        self.assertTrue(json.loads(holder.stdout.readline())["ok"])
        for verb in (("load", "users=-"), ("insert",), ("serve", "--listen", "127.0.0.1:0")):
            result = self.ran(*verb, "--data", self.data, status=3)
            self.assertIn(str(holder.pid), result.stderr)
        holder.communicate()

    def test_demo_never_talks_to_a_server(self):
        s = self.serve()
        self.assertIn(str(s.pid), self.ran("demo", "--data", self.data, status=3).stderr)

    def test_a_data_directory_with_a_long_path(self):
        self.data = self.path("d" * 100 + "/" + "e" * 100)
        os.makedirs(os.path.dirname(self.data))
        self.serve(data=self.data)
        self.assertEqual(self.insert({"table": "products", "id": 1, "name": "p", "price": 1}), [{"line": 1, "ok": True}])

    # ---- ends

    def feed(self, process, begun):
        """Rows, for as long as they are taken."""
        with contextlib.suppress(BrokenPipeError):
            for n in range(1, 1_000_000):
                process.stdin.write(f'{{"table":"products","id":{n},"name":"p","price":1}}\n'.encode())
                if n == 20_000:
                    begun.set()
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()

    def insert_until_the_server_ends(self, end):
        """`insert` of rows without end; its answers and exit status after `end` was called in the middle."""
        process, begun = sheaf.start("insert", "--data", self.data), threading.Event()
        feeder = threading.Thread(target=self.feed, args=(process, begun))
        feeder.start()
        answers, ender = [], None
        for line in process.stdout:
            answers.append(json.loads(line))
            if ender is None and begun.is_set():
                ender = threading.Thread(target=end)
                ender.start()
        status = process.wait()
        process.stderr.read()
        process.stdout.close(), process.stderr.close()
        feeder.join()
        ender.join()
        return answers, status

    def judge(self, answers, status):
        self.assertEqual(status, 3)
        accepted = {a["line"] for a in answers if a["ok"]}
        codes = {a["error"]["code"] for a in answers if not a["ok"]}
        self.assertTrue(codes <= {"unknown", "unavailable"}, codes)
        self.assertEqual([a["line"] for a in answers], list(range(1, len(answers) + 1)), "an answer each, in order")
        there = {row[0] for row in sheaf.rows(self.data, "products")}
        self.assertEqual(accepted - there, set(), "what was acknowledged is there")
        certain = {a["line"] for a in answers if not a["ok"] and a["error"]["code"] == "unavailable"}
        self.assertEqual(certain & there, set(), "what was refused is not")
        self.assertGreater(len(accepted), 1000)

    def test_a_server_that_is_killed_leaves_unknown_what_it_had_not_answered(self):
        s = self.serve()
        self.judge(*self.insert_until_the_server_ends(s.kill))

    def test_a_server_that_is_told_to_stop_answers_what_it_took(self):
        s = self.serve()
        self.judge(*self.insert_until_the_server_ends(lambda: self.assertEqual(s.stop(), 0)))

    def test_a_client_that_is_killed_costs_the_server_nothing(self):
        s = self.serve()
        process, begun = sheaf.start("insert", "--data", self.data), threading.Event()
        feeder = threading.Thread(target=self.feed, args=(process, begun))
        feeder.start()
        taken = process.stdout.readline()
        self.assertTrue(json.loads(taken)["ok"])
        process.send_signal(signal.SIGKILL)
        process.wait()
        feeder.join()
        process.stdout.close(), process.stderr.close()
        self.done(s.post(path("products"), {"id": 2_000_000, "name": "p", "price": 1}), 201)
        self.assertEqual(self.insert({"table": "products", "id": 2_000_001, "name": "p", "price": 1}),
                         [{"line": 1, "ok": True}])

    # ---- strangers

    def connect(self):
        return server.connect_unix(os.path.join(self.data, "relay.sock"), sheaf.TIMEOUT_S)

    def test_what_is_no_frame_ends_the_connection_and_nothing_else(self):
        s = self.serve()
        pick = random.Random(5)
        hello = b"\x93\x01\x01\xa1x"
        for frame in (b"", b"\x90", hello, b"\xc1" * 10, b"\x97\x02\x00\x00\x00\x00\xdd\xff\xff\xff\xff", *(
                bytes(pick.randrange(256) for _ in range(pick.randrange(1, 60))) for _ in range(50))):
            with self.connect() as sock:
                sock.sendall(struct.pack("<I", len(frame)) + frame)
                sock.shutdown(socket.SHUT_WR)
                with contextlib.suppress(ConnectionResetError):
                    while sock.recv(65536):
                        pass
        with self.connect() as sock:
            sock.sendall(struct.pack("<I", 0xFFFFFFFF))
            with contextlib.suppress(ConnectionResetError):
                self.assertEqual(sock.recv(1), b"", "a frame of four gigabytes is not waited for")
        self.done(s.get("/healthz"))

    def test_the_socket_is_private_and_goes_with_the_server(self):
        s = self.serve()
        relay = os.path.join(self.data, "relay.sock")
        self.assertEqual(os.stat(relay).st_mode & 0o777, 0o600)
        self.assertEqual(s.stop(), 0)
        self.assertFalse(os.path.exists(relay))

    def test_more_connections_than_there_may_be(self):
        self.serve()
        taken = [self.connect() for _ in range(16)]
        time_out = time.monotonic() + sheaf.TIMEOUT_S
        self.ran("insert", "--data", self.data, status=3)
        for sock in taken:
            sock.close()
        while True:  # a place is free again as soon as the server has seen an end
            result = sheaf.run("insert", "--data", self.data)
            if result.status == 0:
                break
            self.assertLess(time.monotonic(), time_out, str(result))

    def busiest_thread_s(self, pid, seconds):
        """CPU time, in so many seconds, of that thread that took most."""
        def taken():
            found = {}
            for task in os.listdir(f"/proc/{pid}/task"):
                with contextlib.suppress(FileNotFoundError), open(f"/proc/{pid}/task/{task}/schedstat") as file:
                    found[task] = int(file.read().split()[0])
            return found
        before = taken()
        time.sleep(seconds)  # that nothing is done in a time can only be seen when it has passed
        return max(took - before.get(task, 0) for task, took in taken().items()) / 1e9

    def test_who_comes_when_no_descriptor_is_left_waits_and_costs_nothing(self):
        s = self.serve()
        s.close()
        calm = self.busiest_thread_s(s.pid, 1)
        soft, hard = resource.prlimit(s.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(s.pid, resource.RLIMIT_NOFILE, (max(map(int, os.listdir(f"/proc/{s.pid}/fd"))) + 1, hard))
        with self.connect(), s.raw() as waits:
            waits.send("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            self.assertLess(self.busiest_thread_s(s.pid, 2), 2 * calm + 0.05, "a thread spins")
            resource.prlimit(s.pid, resource.RLIMIT_NOFILE, (soft, hard))
            self.assertEqual(waits.answer().status, 200)
            self.assertEqual(self.insert({"table": "products", "id": 1, "name": "p", "price": 1}), [{"line": 1, "ok": True}])

    def test_what_a_connection_took_is_given_back_when_it_ends(self):
        s = self.serve()
        before = len(os.listdir(f"/proc/{s.pid}/fd")), len(os.listdir(f"/proc/{s.pid}/task"))
        for sock in [self.connect() for _ in range(10)]:
            with sock:
                sock.sendall(struct.pack("<I", 1) + b"\x90")
                self.assertEqual(sock.recv(1), b"")
        begun = time.monotonic()
        while (len(os.listdir(f"/proc/{s.pid}/fd")), len(os.listdir(f"/proc/{s.pid}/task"))) > before:
            self.assertLess(time.monotonic() - begun, 20, "descriptors or threads are kept")
            time.sleep(0.05)


if __name__ == "__main__":
    sheaf.main()
