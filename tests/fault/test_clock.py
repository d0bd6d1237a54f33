# SPDX-License-Identifier: Apache-2.0
"""The clock of the day is set forward and back by a day while several clients write, shards die and the server ends: what
is timed goes on as if nothing had been, and only what is for people follows. Whatever the clients were told is what one
SQLite file could have told them; what they send again with the same key is answered as the first time.

    test_clock.py [--seed N] [--rounds N | --seconds S]
"""

import datetime
import os
import pathlib
import re
import signal
import struct
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "system"))
import effort  # noqa: E402
import oracle  # noqa: E402
import sheaf  # noqa: E402
import users  # noqa: E402

SHIFT = sheaf.BIN.parent / "tests" / "shift_clock.so"
DAY_S = 86_400
CLIENTS = 4
# often enough to meet the moments at which the clock is set
LIMITS = "heartbeat_ms = 100\n"
TIMESTAMP = re.compile(r'ts=(\S+) level=warn')
OPTIONS = effort.Effort("rounds", 8)
OPTIONS.parse()


class Clock(users.Case):
    def set(self, days):
        self.shift_s = days * DAY_S
        with open(self.shift_file, "r+b") as file:
            file.write(struct.pack("=q", self.shift_s))

    def start(self, *args):
        sanitizers = os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0"
        super().start(*args, env=sheaf.environment(LD_PRELOAD=str(SHIFT), CLOCK_SHIFT=self.shift_file, ASAN_OPTIONS=sanitizers))

    def restart(self):
        """Ended as by its service manager, and started again."""
        ended = self.world.server
        self.world.serve(None)
        self.assertEqual(ended.stop(), 0, ended.said)
        self.start()

    def kill_shard(self):
        """The log tells when, by the clock as it is."""
        server_ = self.world.server
        name, pid = self.rng.choice(list(server_.shards().items()))
        told = len(TIMESTAMP.findall(server_.said))
        os.kill(pid, signal.SIGKILL)
        with server_.heard:
            self.assertTrue(server_.heard.wait_for(lambda: len(TIMESTAMP.findall(server_.said)) > told, sheaf.TIMEOUT_S), server_.said)
        stamp = datetime.datetime.fromisoformat(TIMESTAMP.findall(server_.said)[told])
        off_s = stamp.timestamp() - time.time() - self.shift_s
        self.assertLess(abs(off_s), DAY_S / 10, f"the log does not follow the clock: {server_.said}")

    def run_round(self, number):
        threads = self.begin_round()
        # set three times at any moment: each round begins where the last one ended
        for part in range(1, 4):
            self.world.wait_for_answers(part * len(self.users) * users.REQUESTS // 4)
            self.set((1, 0, -1)[(number + part) % 3])
            if part == 2 and number % 4 == 1:
                self.kill_shard()
            if part == 2 and number % 4 == 3:
                self.restart()
        for thread in threads:
            thread.join()
        return self.events()

    def test_time_of_day_ends_nothing_and_holds_nothing_up(self):
        self.rng = oracle.seeded(f"{OPTIONS.seed} clock")
        self.shift_file = self.path("shift", struct.pack("=q", 0))
        self.begin(OPTIONS.seed, CLIENTS, limits=LIMITS)
        done = 0
        while OPTIONS.goes_on(done):
            before = self.world.server.shards()
            self.judge_round(self.run_round(done), f"seed {OPTIONS.seed}, round {done}")
            if done % 2 == 0:  # none was killed
                self.assertEqual(self.world.server.shards(), before, f"a shard was taken for mute\n{self.world.server.said}")
            done += 1
        self.answers_are_kept()
        self.judge_files()
        print(f"\nseed {OPTIONS.seed}: {done} rounds, the clock set {3 * done} times", file=sys.stderr)

    def answers_are_kept(self):
        """All of those with a key are sent once more."""
        for user in self.users:
            for request, answer in user.kept:
                user.replay(request, answer)


if __name__ == "__main__":
    sys.argv = sys.argv[:1]
    sheaf.main()
