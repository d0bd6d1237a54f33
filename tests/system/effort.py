# SPDX-License-Identifier: Apache-2.0
"""How much a random test does: little in the test run, and by option more.

    --seed N      what it draws: a run with the same one draws the same
    --WHAT N      how many of what the test counts
    --seconds S   instead: as many as come to be done in that time
"""

import argparse
import time


class Effort(argparse.ArgumentParser):
    """Its options are its attributes once it has parsed them."""

    def __init__(self, what, count, counted=None):
        super().__init__()
        self.what = what
        self.add_argument("--seed", type=int, default=1)
        self.add_argument(f"--{what}", type=int, default=count, help=counted)
        self.add_argument("--seconds", type=float, help=f"go on for that long, whatever --{what} says")

    def parse(self, args=None):
        self.parse_args(args, namespace=self)
        self.until = None if self.seconds is None else time.monotonic() + self.seconds
        return self

    def goes_on(self, done):
        """Whether more is to be done, when that many are."""
        return done < getattr(self, self.what) if self.until is None else time.monotonic() < self.until

    def left(self, done, most):
        """How many of those that are to be done can be done next, which is no more than `most`."""
        return most if self.until is not None else max(0, min(most, getattr(self, self.what) - done))
