# SPDX-License-Identifier: Apache-2.0
"""docs/api.md keeps its word: every command of it is run, in its order, and answers what stands below it.

In what is shown, … in a text stands for any text, and a member "…" for any members more."""

import json
import os
import re
import shutil
import subprocess
import unittest

import openapi
import server
import sheaf

DOCUMENT = sheaf.TOP / "docs/api.md"
TOKEN = "t0ken"
ANSWER = re.compile(r"HTTP/1\.1 (?P<status>\d+)[^\n]*\n(?P<headers>(?:[^\n]+\n)*)\n(?P<body>.*)", re.S)


def blocks():
    """(heading, language, text) of each fenced block."""
    heading, found = "", []
    for match in re.finditer(r"^## ([^\n]*)$|^```(\w+)\n(.*?)^```$", DOCUMENT.read_text(encoding="utf-8"), re.M | re.S):
        if match.group(1):
            heading = match.group(1)
        else:
            found.append((heading, match.group(2), match.group(3)))
    return found


def alike(shown, got):
    """Whether what was answered is what is shown."""
    if isinstance(shown, str):
        return isinstance(got, str) and re.fullmatch(".*".join(map(re.escape, shown.split("…"))), got, re.S) is not None
    if isinstance(shown, dict):
        named = shown.keys() - {"…"}
        return isinstance(got, dict) and named <= got.keys() and ("…" in shown or named == got.keys()) and all(
            alike(shown[name], got[name]) for name in named)
    if isinstance(shown, list):
        return isinstance(got, list) and len(shown) == len(got) and all(map(alike, shown, got))
    return (type(shown), shown) == (type(got), got)


@unittest.skipUnless(shutil.which("curl"), "no curl")
class Documented(server.Case):
    def run_one(self, command, s):
        """A command as a shell runs it; curl shows status and headers, because its own configuration says so."""
        self.path(".curlrc", "silent\ninclude\nnoproxy = *\n")
        result = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=60, check=False, env={
            "PATH": os.environ["PATH"], "HOME": self.folder, "CURL_HOME": self.folder, "SHEAF": f"http://127.0.0.1:{s.port}", "DIR": s.data,
            "JSON": "Content-Type: application/json", "TOKEN": TOKEN})
        self.assertEqual(result.returncode, 0, f"{command}\n{result.stderr}")
        text = result.stdout.replace("\r\n", "\n")
        while text.startswith("HTTP/1.1 100"):
            text = text.partition("\n\n")[2]
        answer = ANSWER.fullmatch(text)
        self.assertIsNotNone(answer, f"{command}\n{result.stdout}")
        headers = dict(line.split(": ", 1) for line in answer["headers"].splitlines())
        return int(answer["status"]), headers, answer["body"]

    def compare(self, command, shown, got):
        head, _, body = shown.partition("\n\n")
        first, *lines = head.splitlines()
        where = f"\n$ {command}--- shown\n{shown}--- answered\n{got[0]} {got[1]}\n{got[2][:2000]}"
        self.assertEqual(int(first.split()[0]), got[0], where)
        for line in lines:
            name, value = line.split(": ", 1)
            self.assertTrue(alike(value, got[1].get(name)), where)
        if body.strip().startswith("{"):
            self.assertTrue(alike(json.loads(body), json.loads(got[2])), where)
        else:
            self.assertTrue(alike(body.strip(), got[2].strip()), where)

    def test_every_command_answers_what_is_shown(self):
        plain = self.serve()
        token = self.path("token", TOKEN)
        os.chmod(token, 0o600)
        secure = self.serve("--token-file", token, data=self.path("secure"))
        found, ran = blocks(), 0
        for (heading, language, text), (_, after, shown) in zip(found, found[1:]):
            if language == "sh" and "curl" in text:
                self.assertEqual(after, "http", f"no answer is shown: {text}")
                self.compare(text, shown, self.run_one(text, secure if heading == "Who may ask" else plain))
                ran += 1
        self.assertGreater(ran, 30)

    def test_every_error_code_has_an_example_in_its_shape(self):
        api = openapi.Document(self.done(self.serve().get("/v1/openapi.json")))
        seen = set()
        for _, language, text in blocks():
            body = text.partition("\n\n")[2] if language == "http" else text if language == "json" else ""
            if '"error"' in body and body.startswith('{"ok":false'):
                refusal = json.loads(body)
                api.check({"$ref": "#/components/schemas/Refusal"}, refusal)
                seen.add(refusal["error"]["code"])
        codes = re.findall(r'X\(\d+, \w+, "(\w+)"\)', (sheaf.TOP / "shared/error.h").read_text())
        self.assertEqual(seen, set(codes))

    def test_every_code_stands_in_the_table_with_its_status(self):
        api = self.done(self.serve().get("/v1/openapi.json"))
        told = {}
        for status, codes in re.findall(r"^\| (\d{3}) \| (.*?) \|", DOCUMENT.read_text(encoding="utf-8"), re.M):
            told.setdefault(status, []).extend(re.findall("`(.*?)`", codes))
        expected = {}
        for name, response in api["components"]["responses"].items():
            if name.startswith("refused"):
                expected[name.removeprefix("refused")] = sorted(response["description"].split(","))
        self.assertEqual({status: sorted(codes) for status, codes in told.items()}, {**expected, "405": ["method"]})


if __name__ == "__main__":
    sheaf.main()
