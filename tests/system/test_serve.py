# SPDX-License-Identifier: Apache-2.0
"""`coordinator serve`: every sentence of its contract, over HTTP."""

import server
import sheaf
from server import path

USER = {"id": 1, "name": "Ann", "email": "ann@example.org"}


class Life(server.Case):
    def test_a_port_that_is_asked_for_as_0_is_told_and_both_sockets_answer(self):
        s = self.serve()
        self.assertNotEqual(s.port, 0)
        self.assertEqual(self.done(s.post(path("users"), USER), 201), {"ok": True})
        other = s.client(unix=True)
        self.assertEqual(self.done(other.get(path("users", 1))), USER)
        other.close()
        self.assertEqual(s.stop(), 0)


if __name__ == "__main__":
    sheaf.main()
