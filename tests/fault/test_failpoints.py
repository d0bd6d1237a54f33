# SPDX-License-Identifier: Apache-2.0
"""A process dies at each of its failpoints (shared/failpoint.h), one after the other, under random writes of several
clients: as in test_crash.py, but at every place where it can matter and not where chance has it.

    test_failpoints.py [--seed N] [--times N | --seconds S] [--only NAME…]

Every failpoint has to be reached: one that is not is no test.
"""

import http.client
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import threading
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "system"))
import effort  # noqa: E402
import sheaf  # noqa: E402
import users  # noqa: E402

CLIENTS = 4
REQUESTS = 6  # of each in a round
ROUNDS = 20  # until one has to have been reached
EFFORT = effort.Effort("times", 1, "each of them")
EFFORT.add_argument("--only", nargs="*", help="those that begin so")
EFFORT.parse()
# passed only where something is made for the first time
OF_NEW_FILES = (".create.", ".cluster.", ".index.")
# passed when a coordinator is started again (it then knows no keys), or a shard, and not by its users
OF_A_COORDINATOR = (".claim.", ".keys")
OF_A_SHARD = (".spawn.", ".start.", ".ready.", ".hello")
# a shard dies, and the coordinator when it starts that again: nobody is left who remembers what was under way
BOTH = [f"shardd.{place}+coordinator.spawn.before" for place in
        ("commit.before", "commit.after", "apply.before.commit", "apply.after.commit", "apply.before.abort",
         "apply.before.forget")]
WAITS_MS = (0, 20)  # before a death; at the others one of these
OF_BOTH_WAITS = (".commit.",)
MANY = 6000  # references, after which a table's keys are read
LIMITS = "heartbeat_ms = 50\n"


def names_of(program):
    done = subprocess.run([program, "--failpoints"], capture_output=True, text=True, env=sheaf.environment())
    return done.stdout.split() if done.returncode == 0 else None


def is_one_of(name, parts):
    return any(part in name for part in parts)


class Failpoints(users.Case):
    def setUp(self):
        super().setUp()
        self.armed, self.stopping, self.wrong = [], False, None
        self.env = sheaf.environment(SHEAF_FAILPOINTS=self.path("armed"))
        os.makedirs(self.path("armed"))

    def start(self, *args, **options):
        """A coordinator that dies is started again."""
        while True:
            is_armed = self.is_armed()
            try:
                super().start(*args, env=self.env, **options)
                break
            except AssertionError:
                if not is_armed or self.is_armed():
                    raise
        self.keeper = threading.Thread(target=self.keep, args=(self.world.server,))
        self.keeper.start()

    def keep(self, server_):
        server_.process.wait()
        status = server_.wait()
        if status == -signal.SIGKILL:
            self.world.serve(None)
            self.start()
        elif not self.stopping:
            self.wrong = f"the coordinator has ended: {status}\n{server_.said}"
            self.world.end()

    def stop(self):
        for user in self.users:
            user.connection.drop()
        self.stopping = True
        while True:
            keeper = self.keeper
            self.world.server.tell()
            keeper.join()
            if keeper is self.keeper:
                break
        self.assertEqual(self.world.server.stop(), 0, self.world.server.said)

    # ---- dying

    def arm(self, name, wait_ms):
        """The next process that passes there dies: NAME, or NAME+NAME."""
        self.armed = [self.path(os.path.join("armed", one), str(wait_ms)) for one in name.split("+")]

    def is_armed(self):
        return any(map(os.path.exists, self.armed))

    def ask(self, name):
        """For what the users do not: without an effect, whoever dies."""
        if is_one_of(name, (".probe", ".relay.")):
            rows = self.path("n.ndjson", '{"id":1,"n":1,"v":-1}\n')
            sheaf.run("load", "--quiet", "--data", self.data, f"n={rows}", env=self.env)
        client = self.world.serving(None)[0].client()
        try:
            if ".keys" in name:
                client.post("/v1/rows/q", [{"k": f"k{i}", "p": -i, "v": -1} for i in range(MANY)])
            if ".stats" in name:
                client.get("/v1/stats")
        except (OSError, http.client.HTTPException):
            pass
        finally:
            client.close()

    def pass_start(self, name):
        """Has somebody start again what passes there then."""
        server_, life = self.world.serving(None)
        if is_one_of(name, OF_A_COORDINATOR):
            server_.tell(signal.SIGKILL)
            self.world.serving(life)  # the next
        elif is_one_of(name, OF_A_SHARD) and name not in BOTH and (shards := server_.shards()):
            os.kill(self.rng.choice(list(shards.values())), signal.SIGKILL)

    def live_on(self, name):
        """Rounds of requests, until one in which somebody has died there."""
        for _ in range(ROUNDS):
            if self.is_armed():
                self.pass_start(name)
            threads = self.begin_round()
            self.ask(name)
            for thread in threads:
                thread.join()
            self.assertIsNone(self.wrong, self.wrong)
            self.judge_round(self.events(), f"seed {EFFORT.seed}, {name}")
            if not self.is_armed():
                return
        for file in filter(os.path.exists, self.armed):
            os.unlink(file)
        self.fail(f"{name} is passed by nobody")

    # ---- all of them

    def begin_anew(self, number, *armed):
        """With files that are made now, whoever dies of it."""
        if self.users:
            self.leave()
        self.data, self.stopping = self.path(f"data{number}"), False
        if armed:
            self.arm(*armed)
        self.begin(f"{EFFORT.seed} {number} failpoints", CLIENTS, REQUESTS, LIMITS)

    def leave(self):
        self.stop()
        self.judge_files()
        shutil.rmtree(self.data)

    def test_a_death_at_each_of_them_loses_nothing(self):
        names = [names_of(program) for program in (sheaf.COORDINATOR, sheaf.SHARDD)]
        if None in names:
            raise unittest.SkipTest("built without failpoints")
        names = [n for n in sum(names, BOTH) if not EFFORT.only or n.startswith(tuple(EFFORT.only))]
        self.rng = random.Random(f"{EFFORT.seed} failpoints")
        times = schemas = 0
        while EFFORT.goes_on(times):
            deaths = [(n, ms) for n in names for ms in (WAITS_MS if is_one_of(n, OF_BOTH_WAITS) else [self.rng.choice(WAITS_MS)])]
            new = [death for death in deaths if is_one_of(death[0], OF_NEW_FILES)]
            for death in new or [()]:
                self.begin_anew(schemas, *death)
                schemas += 1
                self.live_on(death[0] if death else "nothing")
            for death in deaths:
                if death not in new:
                    self.arm(*death)
                    self.live_on(death[0])
            times += 1
        self.leave()
        print(f"\nseed {EFFORT.seed}: {len(names)} failpoints, {times} times each, {schemas} schemas", file=sys.stderr)


if __name__ == "__main__":
    sys.setswitchinterval(0.0005)
    sys.argv = sys.argv[:1]
    sheaf.main()
