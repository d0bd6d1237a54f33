# SPDX-License-Identifier: Apache-2.0
"""Idempotency-Key: a retry has no second effect and gives the first answer, over restarts of anything."""

import server
import sheaf
from server import path

USER = {"name": "Ann", "email": "ann@example.org"}


def key(text):
    return {"Idempotency-Key": text}


class Idempotency(server.Case):
    def twice(self, send):
        """The same request, again, and again after a restart that was no orderly one: the same status and body."""
        first = send(self.s)
        again = send(self.s)
        self.s.kill()
        self.s = self.serve()
        after = send(self.s)
        for answer in (again, after):
            self.assertEqual((answer.status, answer.body), (first.status, first.body), str(answer))
        return first

    def setUp(self):
        super().setUp()
        self.s = self.serve()

    def test_a_row_is_inserted_once(self):
        answer = self.twice(lambda s: s.post(path("users"), USER, key("a")))
        self.assertEqual(self.done(answer, 201), {"ok": True, "id": 1})
        self.assertEqual(sheaf.rows(self.data, "users"), [(1, "Ann", "ann@example.org")])
        self.done(self.s.post(path("users"), {"name": "Bea", "email": "b@example.org"}, key("b")), 201)

    def test_a_row_is_changed_and_deleted_once(self):
        self.done(self.s.post(path("users"), {"id": 1, **USER}), 201)
        self.assertEqual(self.done(self.twice(lambda s: s.patch(path("users", 1), {"id": 2}, key("a")))),
                         {"ok": True, "key": {"id": 2}})
        self.assertEqual(self.done(self.twice(lambda s: s.delete(path("users", 2), key("b")))), {"ok": True})
        self.refused(self.s.delete(path("users", 2), key("c")), 404, "not_found")

    def test_a_refusal_is_the_answer_too(self):
        self.done(self.s.post(path("users"), USER), 201)
        self.refused(self.twice(lambda s: s.post(path("users"), {"id": 9, **USER}, key("a"))), 409, "unique")
        self.done(self.s.delete(path("users", 1)))
        self.refused(self.s.post(path("users"), {"id": 9, **USER}, key("a")), 409, "unique")
        self.done(self.s.post(path("users"), {"id": 9, **USER}, key("b")), 201)

    def test_an_array_and_batches_of_both_kinds(self):
        rows = [USER, USER, {"name": "", "email": "c@example.org"}, {"name": "Dan", "email": "d@example.org"}]
        answer = self.done(self.twice(lambda s: s.post(path("users"), rows, key("a"))))
        self.assertEqual((answer["accepted"], answer["refused"]), (2, 2))
        ops = [{"op": "insert", "table": "products", "row": {"id": 5, "name": "Tea", "price": 1}},
               {"op": "insert", "table": "orders", "row": {"user_id": 1, "product_id": 5, "quantity": 1}}]
        self.done(self.twice(lambda s: s.batch(*ops, headers=key("b"))))
        self.assertEqual(len(sheaf.rows(self.data, "orders")), 1)
        self.done(self.twice(lambda s: s.batch(ops[1], ops[1], atomic=False, headers=key("c"))))
        self.assertEqual(len(sheaf.rows(self.data, "orders")), 3)
        wrong = [{"op": "insert", "table": "products", "row": {"id": 6, "name": "Cup", "price": 1}},
                 {"op": "delete", "table": "users", "key": {"id": 1}}]
        self.refused(self.twice(lambda s: s.batch(*wrong, headers=key("d"))), 409, "referenced", op=1)
        self.assertEqual([row[0] for row in sheaf.rows(self.data, "products")], [5])

    def test_another_request_under_the_same_key_is_refused_on_the_same_path_only(self):
        self.done(self.s.post(path("users"), USER, key("a")), 201)
        other = {"name": "Bea", "email": "b@example.org"}
        self.refused(self.s.post(path("users"), other, key("a")), 409, "key_reused")
        self.refused(self.s.post(path("users") + "?on_conflict=update", USER, key("a")), 409, "key_reused")
        self.done(self.s.post(path("products"), {"name": "Tea", "price": 1}, key("a")), 201)

    def test_keys_that_are_none(self):
        self.refused(self.s.post(path("users"), USER, key("")), 400, "parse")
        self.refused(self.s.post(path("users"), USER, key("x" * 256)), 413, "too_large")
        self.done(self.s.post(path("users"), USER, key("x" * 255)), 201)

    def test_the_number_of_kept_keys_has_a_limit(self):
        self.s.stop()
        self.s = s = self.serve(config="[limits]\nkept_keys = 3\n")
        for n in range(3):
            self.done(s.post(path("products"), {"name": "p", "price": 1}, key(f"k{n}")), 201)
        self.refused(s.post(path("products"), {"name": "p", "price": 1}, key("k3")), 429, "busy")
        self.done(s.post(path("products"), {"name": "p", "price": 1}, key("k2")), 201)
        self.done(s.post(path("products"), {"name": "p", "price": 1}), 201)
        self.assertEqual(len(sheaf.rows(self.data, "products")), 4)


if __name__ == "__main__":
    sheaf.main()
