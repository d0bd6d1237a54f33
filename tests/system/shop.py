# SPDX-License-Identifier: Apache-2.0
"""The shop at size: valid rows, and one in a thousand planted to be refused, each kind in turn.

    shop.py USERS PRODUCTS ORDERS DIR
"""

import os
import sys

EVERY = 1000

# Each kind of invalid row: what to make of the fields of a valid one, and the code it must be refused with.
USER_KINDS = [
    ("unique", lambda f, first: [f[0], f[1], first[2]]),  # duplicate e-mail
    ("unique", lambda f, first: [first[0], f[1], f[2]]),  # duplicate id, other values
    ("check", lambda f, first: ["0", f[1], f[2]]),
    ("check", lambda f, first: ["-" + f[0], f[1], f[2]]),
    ("check", lambda f, first: [f[0], '""', f[2]]),  # empty name
    ("check", lambda f, first: [f[0], '" \t\u00a0"', f[2]]),  # blank name
    ("not_null", lambda f, first: [f[0], "", f[2]]),
    ("check", lambda f, first: [f[0], f[1], f[2].replace("@", ".at.")]),
    ("check", lambda f, first: [f[0], f[1], f[2].replace("@", "@@")]),
    ("check", lambda f, first: [f[0], f[1], f[2].replace(".example", "")]),
    ("type", lambda f, first: ["one", f[1], f[2]]),
    ("parse", lambda f, first: [f[0], f[1]]),
]
PRODUCT_KINDS = [
    ("check", lambda f, first: [f[0], f[1], "-" + f[2]]),
    ("check", lambda f, first: [f[0], f[1], "1e999"]),
    ("type", lambda f, first: [f[0], f[1], "dear"]),
    ("check", lambda f, first: [f[0], '" "', f[2]]),
    ("unique", lambda f, first: [first[0], f[1], f[2]]),
]
ORDER_KINDS = [
    ("check", lambda f, first: f[:3] + ["0"]),
    ("check", lambda f, first: f[:3] + ["-" + f[3]]),
    ("type", lambda f, first: f[:3] + ["many"]),
    ("reference_missing", lambda f, first: [f[0], "999999999", f[2], f[3]]),
    ("reference_missing", lambda f, first: [f[0], f[1], "999999999", f[3]]),
    ("reference_missing", lambda f, first: [f[0], "999999999", "999999999", f[3]]),
    ("unique", lambda f, first: first[:1] + f[1:]),
]


def write(folder, name, header, count, fields, kinds, planted):
    refused = 0
    with open(os.path.join(folder, name), "w", encoding="utf-8", newline="") as file:
        chunk = [header]
        first = fields(1)
        for n in range(1, count + 1):
            row = fields(n)
            if n % EVERY == EVERY - 1:
                code, spoil = kinds[n // EVERY % len(kinds)]
                row = spoil(row, first)
                planted.write(f"{name},{n + 1},{code}\n")
                refused += 1
            chunk.append(",".join(row))
            if len(chunk) == 4096:
                file.write("\n".join(chunk) + "\n")
                chunk = []
        if chunk:
            file.write("\n".join(chunk) + "\n")
    return refused


def valid(number, count):
    """A key of 1..count that no planted row spoils."""
    key = number % count + 1
    return key if key % EVERY != EVERY - 1 else key - 1


def generate(users, products, orders, folder):
    """Writes the files; gives the number of planted rows of each."""
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "planted.csv"), "w", encoding="utf-8") as planted:
        planted.write("file,line,code\n")
        return {
            "users": write(folder, "users.csv", "id,name,email", users,
                           lambda n: [str(n), f"User {n}", f"user{n}@mail{n % 97}.example"], USER_KINDS, planted),
            "products": write(folder, "products.csv", "id,name,price", products,
                              lambda n: [str(n), f"Product {n}", f"{n % 900 + 1}.{n % 100:02}"], PRODUCT_KINDS, planted),
            # multiplied by primes, so that neighbouring orders name far users, as they do in life
            "orders": write(folder, "orders.csv", "id,user_id,product_id,quantity", orders,
                            lambda n: [str(n), str(valid(n * 7919, users)), str(valid(n * 104729, products)), str(n % 9 + 1)],
                            ORDER_KINDS, planted),
        }


if __name__ == "__main__":
    if len(sys.argv) != 5:
        sys.exit(__doc__)
    counts = generate(*map(int, sys.argv[1:4]), sys.argv[4])
    print(" ".join(f"{name}={count}" for name, count in counts.items()), "rows planted to be refused")
