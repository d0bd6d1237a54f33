# SPDX-License-Identifier: Apache-2.0
"""Whose the data directory is: who may write it, who may look in, and what stands in it that Sheaf has not made."""

import os

import server
import sheaf

LOOK_IN = "every user of this machine may look into the data directory"
LINK = "a database's file is a symbolic link"


class DataDirectory(server.Case):
    def insert_says(self, status=0):
        result = sheaf.run("insert", "--data", self.data, input='{"table":"users","id":1,"name":"Ann","email":"a@b.org"}\n')
        self.assertEqual(result.status, status, str(result))
        return result.stderr

    def test_one_that_others_may_write_is_refused(self):
        for mode in (0o777, 0o770, 0o722):
            os.makedirs(self.data, exist_ok=True)
            os.chmod(self.data, mode)
            said = self.insert_says(3)
            self.assertIn(f"{self.data}: the data directory can be written by others (its mode is {mode:04o}): make it 0700", said)
            self.assertEqual(os.listdir(self.data), [])
        os.chmod(self.data, 0o700)
        self.insert_says()

    def test_one_that_others_may_look_into_is_used_and_said(self):
        os.mkdir(self.data)
        os.chmod(self.data, 0o755)
        self.assertEqual(self.insert_says().count(LOOK_IN), 1)
        os.chmod(self.data, 0o750)
        self.assertNotIn(LOOK_IN, self.insert_says())

    def test_a_database_behind_a_link_is_used_and_said(self):
        os.mkdir(self.data, 0o700)
        os.symlink(self.path("other.db"), sheaf.database(self.data, "users"))
        said = self.insert_says()
        self.assertEqual(said.count(LINK), 1, said)
        self.assertIn("database=users", said)

    def test_a_file_in_the_place_of_a_socket_is_left(self):
        os.mkdir(self.data, 0o700)
        for name in ("http.sock", "relay.sock"):
            path = self.path(f"data/{name}", "precious")
            result = self.ran("serve", "--data", self.data, "--listen", "127.0.0.1:0", status=3)
            self.assertIn(f"{path}: what is there is no socket", result.stderr)
            with open(path) as file:
                self.assertEqual(file.read(), "precious")
            os.unlink(path)


if __name__ == "__main__":
    sheaf.main()
