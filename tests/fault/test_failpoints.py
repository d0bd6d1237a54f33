# SPDX-License-Identifier: Apache-2.0
"""A process dies at each of its failpoints (shared/failpoint.h), one after the other, under random writes of several
clients: as in test_crash.py, but at every place where it can matter and not where chance has it.

    test_failpoints.py [--seed N] [--times N] [--only NAME…]

Every failpoint has to be reached: one that is not is no test.
"""

import argparse
import http.client
import os
import pathlib
import random
import signal
import subprocess
import sys
import threading
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "system"))
import sheaf  # noqa: E402
import users  # noqa: E402

CLIENTS = 4
ROUNDS = 6  # until one has to have been reached
OPTIONS = argparse.ArgumentParser()
OPTIONS.add_argument("--seed", type=int, default=1)
OPTIONS.add_argument("--times", type=int, default=1, help="each of them")
OPTIONS.add_argument("--only", nargs="*", help="those that begin so")
OPTIONS = OPTIONS.parse_args()
# passed when a shard is started again, and not by its users
OF_A_START = (".spawn.", ".start.", ".ready.", ".hello")
MANY = 6000  # references, after which a table's keys are read


def names_of(program):
    done = subprocess.run([program, "--failpoints"], capture_output=True, text=True, env=sheaf.environment())
    return done.stdout.split() if done.returncode == 0 else None


class Failpoints(users.Case):
    def start(self, *args, **options):
        """A coordinator that dies is started again, without its failpoint."""
        super().start(*args, **options)
        self.keeper = threading.Thread(target=self.keep, args=(self.world.server,))
        self.keeper.start()

    def keep(self, server_):
        server_.process.wait()
        if server_.wait() == -signal.SIGKILL:
            self.world.serve(None)
            self.start()

    def stop(self):
        for user in self.users:
            user.connection.drop()
        while True:
            keeper = self.keeper
            self.world.server.tell()
            keeper.join()
            if keeper is self.keeper:
                break
        self.assertEqual(self.world.server.stop(), 0, self.world.server.said)

    def arm(self, name):
        """A server in which the next process that passes there dies, from now on."""
        self.stop()
        self.armed = self.path("armed")
        self.start(env=sheaf.environment(SHEAF_FAILPOINT=f"{name}:{self.armed}"))
        self.path("armed", "")
        if any(part in name for part in OF_A_START):
            os.kill(self.rng.choice(list(self.world.server.shards().values())), signal.SIGKILL)

    def ask(self, name):
        """For what the users do not: without an effect, whoever dies."""
        if ".probe" in name:
            rows = self.path("n.ndjson", '{"id":1,"n":1,"v":-1}\n')
            sheaf.run("load", "--quiet", "--data", self.data, f"n={rows}")
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

    def die_at(self, name):
        self.arm(name)
        for _ in range(ROUNDS):
            threads = self.begin_round()
            self.ask(name)
            for thread in threads:
                thread.join()
            self.judge_round(self.events(), f"seed {OPTIONS.seed}, {name}")
            if not os.path.exists(self.armed):
                return
        os.unlink(self.armed)
        self.fail(f"{name} is passed by nobody")

    def test_a_death_at_each_of_them_loses_nothing(self):
        names = [names_of(program) for program in (sheaf.COORDINATOR, sheaf.SHARDD)]
        if None in names:
            raise unittest.SkipTest("built without failpoints")
        names = [n for n in sum(names, []) if not OPTIONS.only or n.startswith(tuple(OPTIONS.only))] * OPTIONS.times
        self.rng = random.Random(f"{OPTIONS.seed} failpoints")
        self.begin(f"{OPTIONS.seed} failpoints", CLIENTS)
        config = os.path.join(self.data, "sheaf.conf")
        with open(config, "a") as file:
            file.write("heartbeat_ms = 50\n")  # in its last section, [limits]
        for name in names:
            self.die_at(name)
        self.stop()
        self.judge_files()


if __name__ == "__main__":
    sys.setswitchinterval(0.0005)
    sys.argv = sys.argv[:1]
    sheaf.main()
