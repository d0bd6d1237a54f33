# SPDX-License-Identifier: Apache-2.0
"""The shop at size: every refused row is a planted one, every planted one is refused, and memory stays bounded.

    test_shop.py [--orders N]    (default: 1,000,000 orders of 200,000 users and 50,000 products)

Memory is the summed PSS of the coordinator and its shards, sampled every 100 ms.
"""

import collections
import csv
import glob
import json
import os
import sys
import time
import unittest

import sheaf
import shop

ORDERS = int(sys.argv[sys.argv.index("--orders") + 1]) if "--orders" in sys.argv else 1_000_000
SAMPLE_S = 0.1
PSS_MAX_KB = 400 * 1000
GROWTH_MAX = 1.10


def pss_kb(pid):
    try:
        with open(f"/proc/{pid}/smaps_rollup") as file:
            return next(int(line.split()[1]) for line in file if line.startswith("Pss:"))
    except (OSError, StopIteration, ValueError):
        return 0


class Shop(sheaf.Case):
    def load(self, data, files, status, *args):
        """Runs a load to its end; gives the peak of the summed PSS in kB."""
        process = sheaf.start("load", "--data", data, "--quiet", "--metrics", "none", *args,
                              *(f"{table}={path}" for table, path in files.items()))
        peak = samples = 0
        shards = []
        while process.poll() is None:
            if len(shards) < len(files):
                shards = sheaf.shardds_of(data)
            peak = max(peak, sum(map(pss_kb, [process.pid, *shards])))
            samples += 1
            time.sleep(SAMPLE_S)  # the sampling interval itself: nothing is waited for
        out, err = process.communicate()
        self.assertEqual(process.returncode, status, err.decode())
        self.assertGreater(samples, 0, "too short to have been measured")
        return peak, out.decode()

    def generate(self, orders):
        folder = self.path(f"shop-{orders}")
        shop.generate(orders // 5, orders // 20, orders, folder)
        return folder, {t: os.path.join(folder, t + ".csv") for t in sheaf.SHOP_TABLES}

    def test_every_refused_row_is_a_planted_one_and_memory_is_bounded(self):
        folder, files = self.generate(ORDERS)
        rejects = self.path("rejects.ndjson")
        peak, _ = self.load(self.data, files, 1, "--rejects", rejects)
        with open(os.path.join(folder, "planted.csv"), newline="") as file:
            planted = {(row["file"], int(row["line"])): row["code"] for row in csv.DictReader(file)}
        with open(rejects) as file:
            refused = {(os.path.basename(r["file"]), r["line"]): r["code"] for r in map(json.loads, file)}
        self.assertEqual(refused, planted)
        counts = collections.Counter(name for name, _ in planted)
        for table, rows in (("users", ORDERS // 5), ("products", ORDERS // 20), ("orders", ORDERS)):
            with sheaf.opened(self.data, table) as connection:
                self.assertEqual(connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0],
                                 rows - counts[table + ".csv"])
        print(f"peak PSS {peak} kB for {ORDERS} orders", file=sys.stderr)
        self.assertLess(peak, PSS_MAX_KB)
        again, out = self.load(self.data, files, 1)
        self.assertIn("already there", out)
        self.assertLess(again, PSS_MAX_KB)

    def test_ten_times_the_input_takes_no_more_memory(self):
        small, _ = self.load(self.path("small"), self.generate(ORDERS // 2)[1], 1)
        large, _ = self.load(self.path("large"), self.generate(ORDERS * 5)[1], 1)
        print(f"peak PSS {small} kB, ten times the input {large} kB", file=sys.stderr)
        self.assertLess(large, small * GROWTH_MAX)

    @sheaf.needs_chinook
    def test_eleven_shards_stay_within_the_same_memory(self):
        files = {os.path.splitext(os.path.basename(p))[0]: p for p in glob.glob(str(sheaf.CHINOOK / "*.csv"))}
        schema = next(iter(glob.glob(str(sheaf.CHINOOK / "*.sql"))))
        peak, _ = self.load(self.data, files, 0, "--schema", schema)
        print(f"peak PSS {peak} kB with {len(files)} shards", file=sys.stderr)
        self.assertLess(peak, PSS_MAX_KB)


if __name__ == "__main__":
    sys.argv = sys.argv[:1]
    sheaf.main()
