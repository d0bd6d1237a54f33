/* SPDX-License-Identifier: Apache-2.0 */
/* The built-in schema. A blank name consists of space, tab, line ends (LF, VT, FF, CR) and U+00A0 only. */
#include "schema.h"

#define BLANKS "' ' || char(9, 10, 11, 12, 13, 160)"

const char schema_shop[] =
    "CREATE TABLE users (\n"
    "  id    INTEGER PRIMARY KEY CONSTRAINT id_positive CHECK (id > 0),\n"
    "  name  TEXT NOT NULL CONSTRAINT name_not_empty CHECK (length(trim(name, " BLANKS ")) > 0),\n"
    "  email TEXT NOT NULL UNIQUE CONSTRAINT email_format CHECK (\n"
    "    email NOT LIKE '%@%@%'                            -- one @\n"
    "    AND email LIKE '_%@_%._%'                         -- something @ something . something\n"
    "    AND substr(email, instr(email, '@') + 1, 1) <> '.'\n"
    "    AND substr(email, -1) <> '.'\n"
    "    AND email NOT GLOB '*[' || char(1) || '-' || char(32) || char(127) || '-' || char(160) || ']*')\n"
    ") STRICT;\n"
    "CREATE TABLE products (\n"
    "  id    INTEGER PRIMARY KEY CONSTRAINT id_positive CHECK (id > 0),\n"
    "  name  TEXT NOT NULL CONSTRAINT name_not_empty CHECK (length(trim(name, " BLANKS ")) > 0),\n"
    "  price REAL NOT NULL CONSTRAINT price_not_negative CHECK (price >= 0 AND price < 9e999)\n"
    ") STRICT;\n"
    "CREATE TABLE orders (\n"
    "  id         INTEGER PRIMARY KEY CONSTRAINT id_positive CHECK (id > 0),\n"
    "  user_id    INTEGER NOT NULL REFERENCES users (id),\n"
    "  product_id INTEGER NOT NULL REFERENCES products (id),\n"
    "  quantity   INTEGER NOT NULL CONSTRAINT quantity_positive CHECK (quantity > 0)\n"
    ") STRICT;\n";
