# SPDX-License-Identifier: Apache-2.0
"""The library fail_io.so from a test's side: which of the shards' calls fails, and how.

    calls = failing_io.Calls(folder, data)      # of the shards of this data directory
    server = server.Server(data, env=calls.environment())
    calls.fail(after=17, kind="EIO")            # the 18th from now on
    calls.made, calls.failed                    # how many there were; "fdatasync t.db-wal", or None so far
"""

import errno
import mmap
import os
import struct

import sheaf

LIBRARY = sheaf.BIN.parent / "tests" / "fail_io.so"
NEVER = -1 << 40
LAYOUT = struct.Struct("<qqiii64s")  # fail_io.c: struct control
READ, WRITE, SYNC, OPEN, OTHER = (1 << number for number in range(5))
ALL = WRITE | SYNC | OPEN | OTHER
# how they fail: an errno (0: the first write that is to fail writes half), the calls that are counted and fail, and a
# share of all but reads that there are, about
KINDS = {"EIO": (errno.EIO, ALL, 1), "ENOSPC": (errno.ENOSPC, ALL, 1), "short": (0, ALL, 1), "read": (errno.EIO, READ, 1 / 3),
         "sync": (errno.EIO, SYNC, 1 / 10), "open": (errno.EIO, OPEN, 1 / 30)}


class Calls:
    def __init__(self, folder, data):
        self.path, self.data = os.path.join(folder, "fail_io"), os.path.realpath(data)
        with open(self.path, "w+b") as file:
            file.truncate(LAYOUT.size)
            self.memory = mmap.mmap(file.fileno(), LAYOUT.size)
        self.stop()

    def close(self):
        self.memory.close()

    def environment(self, **extra):
        sanitizers = os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0"
        return sheaf.environment(LD_PRELOAD=str(LIBRARY), FAIL_IO=self.path, FAIL_IO_DATA=self.data, ASAN_OPTIONS=sanitizers, **extra)

    def fail(self, after, kind, times=1):
        """Counts from now on: so many of the kind's calls go well, and then so many fail."""
        number, counted, _ = KINDS[kind]
        LAYOUT.pack_into(self.memory, 0, NEVER, 0, number, times, counted, b"")
        struct.pack_into("<q", self.memory, 0, after)

    def stop(self):
        """None fails from now on; what has been counted stays."""
        struct.pack_into("<q", self.memory, 0, NEVER)

    @property
    def made(self):
        return LAYOUT.unpack_from(self.memory)[1]

    @property
    def failed(self):
        return LAYOUT.unpack_from(self.memory)[5].rstrip(b"\0").decode() or None
