# SPDX-License-Identifier: Apache-2.0
"""Too little memory, too few descriptors, too many clients, slow ones, deaf ones: a good client is served meanwhile, what
a process takes keeps to the limits, and afterwards all is as before.

    test_overload.py [--seconds S] [CONDITION…]

A condition lasts S seconds. A good client's 99th percentile is at most P99_S then. On a busy machine it may be as many times
that as everything takes longer there (crowd.Probe), or FACTOR times what it was before or after. All of them are printed.
"""

import collections
import contextlib
import os
import pathlib
import resource
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "system"))
import crowd  # noqa: E402
import effort  # noqa: E402
import server  # noqa: E402
import sheaf  # noqa: E402
from crowd import MIB, limit  # noqa: E402

SECONDS = 20
P99_S = 1.0
FACTOR = 3
CALM_S = 2.0  # with nobody but the good clients, before and after
LATE_S = 5.0  # how much later than its deadline a connection may be seen to end, where the machine is not busy
CROWD = 900
SCHEMA = """
CREATE TABLE t (id INTEGER PRIMARY KEY, v INTEGER NOT NULL);
CREATE TABLE big (id INTEGER PRIMARY KEY, x TEXT NOT NULL);
"""
HEADER_MS = TRANSFER_MS = 8000  # less than a condition lasts
CONFIG = f"""[limits]
header_ms = {HEADER_MS}
transfer_ms = {TRANSFER_MS}
"""
QUARANTINE_MIB = 8  # of what is freed, the sanitizer keeps as much; it is not ours
ENDS_S = {"SlowHead": HEADER_MS / 1000, "SlowBody": TRANSFER_MS / 1000, "Idle": limit("idle_ms") / 1000}
KEPT_BYTES = 32 * MIB  # of a peak that is over, by the C library or the sanitizer
BASE_BYTES = 2 * QUARANTINE_MIB * MIB  # what any work takes, that and threads' own included
CONNECTION_BYTES = limit("HEAD_BYTES_MAX") + 16384
PAGE_BYTES = 8 * MIB  # 4 MiB and a row, in a buffer that doubles; as JSON no more, here
ANSWERS_BYTES = 24 * MIB  # three pages
SMALL_BYTES = limit("ANSWER_BYTES_SMALL")
DEAF = 30
DEAF_MS = 15000  # to take an answer
DESCRIPTORS = 64
HASTY = 200
RELAY_GUESTS = 20
CONNECTIONS = 64
BODY_BYTES = 4 * MIB
HUNGRY = 5
OPTIONS = effort.Effort("clients", CROWD, "of those that are too many")


def sanitizer_options():
    return ":".join(filter(None, (os.environ.get("ASAN_OPTIONS"), f"quarantine_size_mb={QUARANTINE_MIB}")))


class Overload(server.Case):
    RELEASE = False  # runs the programs of the release build
    ASKS_AGAIN = False  # a good client, when its connection is ended

    def setUp(self):
        super().setUp()
        if self.RELEASE:
            crowd.use_release_programs(self)

    def begin(self, config=CONFIG, **options):
        """A server with rows, and two good clients that are at work for a while."""
        self.s = self.serve("--metrics", "none", schema=SCHEMA, config=config, env=sheaf.environment(ASAN_OPTIONS=sanitizer_options()),
                            **options)
        self.done(self.s.post("/v1/rows/t", [{"id": n, "v": 0} for n in (1, 2)]))
        for at in range(0, 48, 8):  # 12 MiB
            self.done(self.s.post("/v1/rows/big", [{"id": n, "x": 256 * 1024 * "x"} for n in range(at + 1, at + 9)]))
        self.s.close()
        self.begin_goods()
        self.before = self.calm("before")
        self.pids = {"coordinator": self.s.pid, **self.s.shards()}
        self.at_rest = {name: (crowd.memory(pid), set(crowd.descriptors(pid))) for name, pid in self.pids.items()}
        for pid in self.pids.values():
            crowd.forget_peak(pid)

    def begin_goods(self):
        self.good = [crowd.Good(self.s, 1, False, self.ASKS_AGAIN), crowd.Good(self.s, 2, True, self.ASKS_AGAIN)]
        for good in self.good:
            good.start()
            self.addCleanup(good.end)

    def p99(self, when):
        """Of both, the worse one's."""
        p99s = [crowd.percentile(taken, 0.99) for taken in (good.taken() for good in self.good) if taken]
        self.assertEqual(len(p99s), 2, f"{when}: a good client had no turn")
        return max(p99s)

    def forget(self):
        """What their turns took until now is nobody's business."""
        for good in self.good:
            good.taken()

    def calm(self, when):
        self.good_do(CALM_S, when)
        return self.p99(when)

    def good_do(self, seconds, when):
        """They are at it for so long, and the server lives."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self.assertIsNone(self.s.process.poll(), f"{when}: the server has ended\n{self.s.said}")
            if any(good.failure for good in self.good):
                self.p99(when)
            time.sleep(min(0.5, max(0.0, until - time.monotonic())))

    def invite(self, members):
        guests = crowd.Crowd(("127.0.0.1", self.s.port), members)
        guests.start()
        self.addCleanup(guests.over.set)
        deadline = time.monotonic() + sheaf.TIMEOUT_S
        while not guests.are_settled():
            self.assertLess(time.monotonic(), deadline, "they do not come in")
            time.sleep(0.1)
        return guests

    def allowed_s(self, after=0.0):
        return max(P99_S * self.probe.end(), FACTOR * max(self.before, after))

    def begin_probe(self):
        self.probe = crowd.Probe()
        self.addCleanup(self.probe.end)
        self.forget()

    def more_descriptors(self):
        """By process, than when nobody else was there; a fresh client may or may not have one."""
        have = {name: set(crowd.descriptors(pid)) for name, pid in self.pids.items()}
        return {name: sorted(fds - self.at_rest[name][1]) for name, fds in have.items() if len(fds) > len(self.at_rest[name][1]) + 1}

    def is_back(self):
        """When nobody else is there any more: connections, memory and times. Waits for the server to see that they have gone."""
        begun = time.monotonic()
        while more := self.more_descriptors():
            self.assertLess(time.monotonic() - begun, sheaf.TIMEOUT_S, f"{more} do not come back")
            time.sleep(0.1)
        self.forget()
        after = self.calm("after")
        self.assertLessEqual(after, self.allowed_s(), "a good client's p99 afterwards")
        self.assertEqual({"coordinator": self.s.pid, **self.s.shards()}, self.pids, "all live on")
        for name, pid in self.pids.items():
            self.assertLessEqual(crowd.memory(pid), self.at_rest[name][0] + KEPT_BYTES, f"what {name} keeps")
        return after

    def peaks_at_most(self, coordinator, shards):
        for name, pid in self.pids.items():
            more = coordinator if name == "coordinator" else shards
            peak = crowd.memory(pid, "VmHWM") - self.at_rest[name][0]
            print(f"  {name}: {self.at_rest[name][0] >> 20} MiB, at most {peak >> 20} more, allowed {more >> 20}", file=sys.stderr)
            self.assertLessEqual(peak, more, f"{name} grew")

    def report(self, during, after, what):
        print(f"\n  p99 {during * 1000:.0f} ms (before {self.before * 1000:.0f}, after {after * 1000:.0f}, "
              f"allowed {self.allowed_s(after) * 1000:.0f}, the machine {self.probe.end():.1f} times as slow); {what}", file=sys.stderr)
        self.assertLessEqual(during, self.allowed_s(after), "a good client's p99")

    def judge_files(self):
        for good in self.good:
            good.end()
            good.taken()
        self.ran("check", "--data", self.data)
        self.assertEqual(self.s.stop(), 0, self.s.said)
        self.assertEqual(sheaf.rows(self.data, "t"), [(i + 1, good.value) for i, good in enumerate(self.good)])

    def under(self, members, coordinator, shards):
        """The good ones beside a crowd, for as long as a condition lasts; the ends that the server made of the others."""
        guests = self.invite(members)
        self.begin_probe()
        self.good_do(OPTIONS.seconds, "meanwhile")
        during = self.p99("meanwhile")
        self.probe.end()
        guests.end()
        after = self.is_back()
        self.peaks_at_most(coordinator, shards)
        self.report(during, after, f"{len(members)} others, {len(guests.lives)} times ended")
        self.judge_files()
        return guests.lives

    def ended_in_time(self, members, lives):
        """Each after its deadline, and soon after."""
        ended = collections.Counter(kind for kind, _ in lives)
        for kind, count in collections.Counter(type(member).__name__ for member in members).items():
            rounds = int(OPTIONS.seconds / (ENDS_S[kind] + LATE_S))
            self.assertGreaterEqual(ended[kind], rounds * count // 2, f"hardly any {kind} was ended")
        for kind, seconds in lives:
            self.assertLessEqual(ENDS_S[kind] - 0.5, seconds, f"{kind} was ended early")
            self.assertLessEqual(seconds, ENDS_S[kind] + LATE_S * self.probe.end(), f"{kind} was ended late")


class slow(Overload):
    def test_clients_that_send_a_byte_a_second(self):
        self.begin()
        members = [crowd.SlowHead() if n % 2 else crowd.SlowBody() for n in range(OPTIONS.clients)]
        lives = self.under(members, OPTIONS.clients * CONNECTION_BYTES + BASE_BYTES, BASE_BYTES)
        self.ended_in_time(members, lives)


class idle(Overload):
    def test_clients_that_keep_their_connections_and_ask_nothing(self):
        self.begin()
        members = [crowd.Idle() for n in range(OPTIONS.clients)]
        lives = self.under(members, OPTIONS.clients * CONNECTION_BYTES + BASE_BYTES, BASE_BYTES)
        self.ended_in_time(members, lives)


class deaf(Overload):
    RELEASE = True  # what a sanitizer makes of megabytes is nothing that a client would wait for

    def test_clients_that_ask_for_much_and_read_nothing_or_a_byte_a_second(self):
        self.begin(CONFIG.replace(f"transfer_ms = {TRANSFER_MS}", f"transfer_ms = {DEAF_MS}\nanswers_bytes = {ANSWERS_BYTES}"))
        members = [crowd.Slow() if n % 4 == 1 else crowd.Deaf() for n in range(min(DEAF, OPTIONS.clients))]
        self.under(members, ANSWERS_BYTES + len(members) * (CONNECTION_BYTES + SMALL_BYTES) + 2 * PAGE_BYTES, 2 * PAGE_BYTES)


class descriptors(Overload):
    ASKS_AGAIN = True  # there are so few connections that it may be the one that is idle longest

    def test_more_clients_than_descriptors(self):
        self.begin(preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (DESCRIPTORS, DESCRIPTORS)))
        self.assertRegex(self.s.said, r"only \d+ connections at once")
        self.invite_to_relay()
        lives = self.under([crowd.Hasty() for n in range(min(HASTY, OPTIONS.clients))], DESCRIPTORS * CONNECTION_BYTES + BASE_BYTES, BASE_BYTES)
        self.assertGreater(len(lives), HASTY - DESCRIPTORS)

    def invite_to_relay(self):
        """As many as it lets in, which need descriptors as well, and some that it does not; none says a word."""
        for _ in range(RELAY_GUESTS):
            sock = server.connect_unix(os.path.join(self.data, "relay.sock"), sheaf.TIMEOUT_S)
            self.addCleanup(sock.close)
            self.guests_of_relay = [*getattr(self, "guests_of_relay", ()), sock]

    def is_back(self):
        for sock in self.guests_of_relay:
            sock.close()
        return super().is_back()


class memory(Overload):
    """First as much as the limits of CONFIG come to, then far too little."""

    RELEASE = True  # a sanitizer has memory for itself
    CONFIG = f"""[limits]
body_bytes = {BODY_BYTES}
bodies_bytes = {16 * MIB}
answers_bytes = {16 * MIB}
connections = {CONNECTIONS}
"""
    ENOUGH = 4 * 16 * MIB + 16 * MIB + CONNECTIONS * (CONNECTION_BYTES + SMALL_BYTES) + 2 * limit("MESSAGE_BYTES_MAX")
    TOO_LITTLE = 12 * MIB

    def test_too_little_memory(self):
        self.begin(self.CONFIG)
        self.data_at_rest = {name: crowd.memory(pid, "VmData") for name, pid in self.pids.items()}
        hungry = [crowd.Hungry(lambda: self.s, n + 1, BODY_BYTES) for n in range(HUNGRY)]
        for one in hungry:
            one.start()
            self.addCleanup(one.over.set)
        during = self.with_enough()
        ends = self.with_too_little()
        for one in hungry:
            one.end()
        after = self.is_back()
        told = sum((one.told for one in hungry), collections.Counter())
        self.report(during, after, f"{HUNGRY} others were told {dict(told)}; the server ended {ends} times")
        self.assertGreater(told["ok"], 0)
        self.assertGreater(told["a page"], 0)
        self.judge_rows(hungry)

    def limit_memory(self, more):
        """What they may have beside what they have at rest; None: anything."""
        shard = max(data for name, data in self.data_at_rest.items() if name != "coordinator")
        for pid in (self.s.pid, *self.s.shards().values()):
            at_rest = self.data_at_rest["coordinator"] if pid == self.s.pid else shard
            most = resource.RLIM_INFINITY if more is None else at_rest + more
            with contextlib.suppress(ProcessLookupError):
                resource.prlimit(pid, resource.RLIMIT_DATA, (most, resource.RLIM_INFINITY))

    def with_enough(self):
        self.limit_memory(self.ENOUGH)
        self.begin_probe()
        self.good_do(OPTIONS.seconds / 2, "with enough memory")
        during = self.p99("with enough memory")
        self.probe.end()
        for good in self.good:
            good.end()
        self.assertEqual({"coordinator": self.s.pid, **self.s.shards()}, self.pids, "no process has ended")
        self.peaks_at_most(self.ENOUGH, self.ENOUGH)
        return during

    def with_too_little(self):
        """How often the server had to be started again, which it is as a service manager does it."""
        ends, until = 0, time.monotonic() + OPTIONS.seconds / 2
        self.limit_memory(self.TOO_LITTLE)
        while time.monotonic() < until:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.s.process.wait(0.2)
                ends += 1
                self.s.stop()
                self.assertRegex(self.s.said, "memory", f"it does not say why it ended, with {self.s.process.returncode}")
                self.s = self.serve("--metrics", "none", "--config", self.path("sheaf.conf"))
                self.limit_memory(self.TOO_LITTLE)
        self.limit_memory(None)
        return ends

    def is_back(self):
        """Of other processes, perhaps."""
        deadline = time.monotonic() + sheaf.TIMEOUT_S
        asks = self.s.client()
        self.addCleanup(asks.close)
        while asks.get("/readyz").status != 200:
            self.assertLess(time.monotonic(), deadline, "it does not come back")
            time.sleep(0.1)
        self.begin_goods()
        self.pids = {"coordinator": self.s.pid, **self.s.shards()}
        return self.calm("after")

    def judge_rows(self, hungry):
        """What was acknowledged is in the files, and what was refused is not."""
        self.judge_files()
        stored = {row: int(x.split()[0]) for row, x in sheaf.rows(self.data, "big") if row >= 1000}
        for one in hungry:
            for row, versions in one.may_be.items():
                self.assertIn(stored.get(row), versions, f"row {row}")


if __name__ == "__main__":
    OPTIONS.add_argument("conditions", nargs="*")
    OPTIONS.parse()
    OPTIONS.seconds = OPTIONS.seconds or SECONDS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 4 * CROWD)), hard))
    sys.argv = [sys.argv[0], *OPTIONS.conditions]
    sheaf.main()
