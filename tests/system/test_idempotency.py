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

    def test_another_array_or_batch_under_the_same_key_is_refused_as_a_whole(self):
        rows = [{"id": n, "name": "Ann", "email": f"{n}@example.org"} for n in range(1, 4)]
        self.done(self.s.post(path("users"), rows, key("a")))
        for other in (rows[:2], rows + [{"id": 9}], [], [{"no": 1}], {"id": 1}, "no json"):
            self.refused(self.s.post(path("users"), other, key("a")), 409, "key_reused")
        ops = [{"op": "delete", "table": "users", "key": {"id": n}} for n in (1, 9)]
        self.done(self.s.batch(*ops, atomic=False, headers=key("b")))
        for atomic in (False, True):
            self.refused(self.s.batch(*ops[:1], atomic=atomic, headers=key("b")), 409, "key_reused")
            self.refused(self.s.batch(atomic=atomic, headers=key("b")), 409, "key_reused")
        self.assertEqual([row[0] for row in sheaf.rows(self.data, "users")], [2, 3])

    def test_what_never_came_to_a_database_is_kept_as_well(self):
        insert = {"op": "insert", "table": "users", "row": {"id": 1, **USER}}
        wrong = {"op": "insert", "table": "users", "row": {"no": 1}}
        rows, batch = path("users"), "/v1/batch"
        for n, (method, target, body, status) in enumerate((
                ("POST", rows, {"no": 1}, 400), ("POST", rows, "no json", 400), ("POST", rows, "[{},", 400), ("POST", rows, [], 200),
                ("POST", rows, [{"no": 1}, 7], 200), ("POST", rows + "?x=y", USER, 400), ("POST", rows, {"name": "x" * 2**20}, 413),
                ("PATCH", path("users", 1), {"no": 1}, 400), ("PATCH", path("users", 1), [], 400),
                ("POST", batch, {"ops": []}, 200), ("POST", batch, {"atomic": False, "ops": []}, 200), ("POST", batch, "no json", 400),
                ("POST", batch, {"ops": 1}, 400), ("POST", batch, {"ops": [insert, wrong]}, 400),
                ("POST", batch, {"atomic": False, "ops": [wrong, 7]}, 200), ("POST", batch, {"ops": [{**insert, "table": "no"}]}, 404))):
            with self.subTest(method=method, target=target, body=str(body)[:60]):
                answer = self.twice(lambda s: s.request(method, target, body, key(f"k{n}")))
                self.assertEqual(answer.status, status, str(answer))
                good = {"ops": [insert]} if target == batch else USER
                self.refused(self.s.request(method, target.partition("?")[0], good, key(f"k{n}")), 409, "key_reused")
        self.refused(self.twice(lambda s: s.request("DELETE", path("users") + "/x,y", None, key("d"))), 400, "parse")
        self.refused(self.s.request("DELETE", path("users") + "/x,y", None, {**key("d"), "If-Match": "*"}), 409, "key_reused")
        for header in ({"If-Match": "nonsense"}, {"If-Match": "*"}):
            self.assertEqual(self.s.delete(path("users", 5), {**key("e"), **header}).status, 400 if "nonsense" in str(header) else 409)
        self.assertEqual(sheaf.rows(self.data, "users"), [])
        self.done(self.s.post(rows, {"id": 1, **USER}, key("new")), 201)

    def test_what_is_refused_before_a_table_is_known_is_not(self):
        self.refused(self.s.post(path("no"), USER, key("a")), 404, "unknown_table")
        self.refused(self.s.post(path("users"), USER, {**key("a"), "Content-Type": "text/plain"}), 415, "media_type")
        self.done(self.s.post(path("users"), USER, key("a")), 201)

    def test_without_its_database_nothing_is_told_of_a_key(self):
        s = self.serve(data=self.path("other"), config="[database one]\ntables = users, products, orders\n[limits]\nkept_keys = 1\n")
        self.done(s.post(path("users"), [], key("a")))
        self.refused(s.post(path("users"), {"no": 1}, key("b")), 429, "busy")
        self.refused(s.post(path("users"), [], key("b")), 429, "busy")
        self.refused(s.post(path("users"), {"no": 1}), 400, "unknown_column")
        self.assertEqual(self.done(s.post(path("users"), [], key("a"))), {"results": [], "accepted": 0, "refused": 0})

    def test_a_path_is_the_same_however_it_is_spelled(self):
        self.done(self.s.post(path("users"), USER, key("a")), 201)
        for target in ("/v1/rows/USERS", "/v1/rows/%75sers", "http://localhost/v1/rows/Users"):
            self.done(self.s.post(target, USER, key("a")), 201)
            self.refused(self.s.post(target, {**USER, "id": 7}, key("a")), 409, "key_reused")
        for target in (path("users", 1), "/v1/rows/users/%31", "/v1/rows/%55SERS/1"):
            self.done(self.s.patch(target, {"id": 2}, key("a")))
        self.assertEqual(sheaf.rows(self.data, "users"), [(2, "Ann", "ann@example.org")])
        self.refused(self.s.patch(path("users", 2), {"id": 2, "name": ""}, key("a")), 422, "check")

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
