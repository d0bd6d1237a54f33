# SPDX-License-Identifier: Apache-2.0
"""Runs tests of a build that has TSan; what it reports of any process that they start, a shard too, is a failure.

    under_tsan.py BUILD REGEX    the tests of that build whose names match
"""

import os
import pathlib
import subprocess
import sys
import tempfile


def main(build, regex):
    with tempfile.TemporaryDirectory(prefix="sheaf-tsan-") as folder:
        # into files: a shard that complains on stderr fails nobody
        options = f"log_path={folder}/report second_deadlock_stack=1 {os.environ.get('TSAN_OPTIONS', '')}"
        status = subprocess.run(
            ["ctest", "--test-dir", build, "-R", regex, "-j2", "--output-on-failure", "--no-tests=error"],
            env={**os.environ, "TSAN_OPTIONS": options},
            check=False,
        ).returncode
        reports = sorted(pathlib.Path(folder).iterdir())
        for report in reports:
            print(report.read_text(errors="replace"))
        print(f"{len(reports)} processes were reported")
        return 1 if reports else status


sys.exit(main(*sys.argv[1:]))
