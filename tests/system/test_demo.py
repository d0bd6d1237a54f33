# SPDX-License-Identifier: Apache-2.0
"""`coordinator demo`: the shop, valid and invalid, all in flight at once; the same outcome every time."""

import re
import sheaf


class Demo(sheaf.Case):
    def test_all_goes_as_planned_and_again_says_that_it_is_there(self):
        first = self.ran("demo", "--data", self.data)
        for word in ("users", "products", "orders", "unique", "check", "reference_missing", "not_null", "type", "p99", "as planned"):
            self.assertIn(word, first.stdout)
        before = {t: sheaf.rows(self.data, t) for t in sheaf.SHOP_TABLES}
        self.assertTrue(all(before.values()))
        again = self.ran("demo", "--data", self.data)
        self.assertIn("already", again.stdout)
        self.assertEqual({t: sheaf.rows(self.data, t) for t in sheaf.SHOP_TABLES}, before)

    def test_the_outcome_does_not_depend_on_scheduling(self):
        outcomes = set()
        for n in range(8):
            text = self.ran("demo", "--data", self.path(f"d{n}"), "--metrics", "none").stdout
            outcomes.add(re.sub(r"d\d", "d", text))
        self.assertEqual(len(outcomes), 1)

    def test_it_fits_80_columns_without_colour(self):
        for line in self.ran("demo", "--data", self.data).stdout.splitlines():
            self.assertLessEqual(len(line), 80, line)
            self.assertNotIn("\x1b", line)

    def test_help_fits_80_columns_too(self):
        verbs = re.findall(r"^  (\w+) ", self.ran("--help").stdout, re.MULTILINE)
        self.assertIn("demo", verbs)
        for arguments in ([], *[[verb] for verb in verbs]):
            text = self.ran(*arguments, "--help").stdout
            for line in text.splitlines():
                self.assertLessEqual(len(line), 80, line)
            for line in text.partition("Options:")[2].partition("Examples:")[0].splitlines():
                self.assertRegex(line, r"^(  --| {26}\S|$)")

    def test_its_default_directory(self):
        result = self.ran("demo", cwd=self.folder)
        self.assertEqual(len(sheaf.rows(self.path("sheaf-demo"), "users")), len(sheaf.rows(self.path("sheaf-demo"), "users")))
        self.assertIn("sheaf-demo", result.stderr)

    def test_another_schema_is_refused(self):
        schema = self.path("s.sql", "CREATE TABLE t (id INTEGER PRIMARY KEY);")
        self.insert({"table": "t", "id": 1}, args=("--schema", schema))
        self.ran("demo", "--data", self.data, status=2)


class Verbs(sheaf.Case):
    def test_help_names_what_the_verb_takes(self):
        """No option that it refuses, and the directory that it uses."""
        for verb, absent in (("demo", ["--schema", "SHEAF_DATA", "sheaf-data"]), ("check", ["--schema", "--metrics"])):
            text = self.ran(verb, "--help").stdout
            for word in absent:
                self.assertNotIn(word, text)
        self.assertIn("else ./sheaf-demo", self.ran("demo", "--help").stdout)

    def test_help_version_and_usage(self):
        for arguments in (["--help"], ["demo", "--help"], ["load", "--help"], ["insert", "--help"], ["--version"]):
            result = self.ran(*arguments)
            self.assertTrue(result.stdout)
            self.assertEqual(result.stderr, "")
            self.assertTrue(all(len(line) <= 80 for line in result.stdout.splitlines()))
        for arguments in ([], ["dmeo"], ["load"], ["load", "--nonsense"], ["insert", "extra"], ["demo", "--data"], ["--nonsense"]):
            result = self.ran(*arguments, status=2)
            self.assertEqual(result.stdout, "")
            self.assertTrue(result.stderr)


if __name__ == "__main__":
    sheaf.main()
