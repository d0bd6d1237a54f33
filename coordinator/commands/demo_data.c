/* SPDX-License-Identifier: Apache-2.0 */
#include "demo_data.h"

#include <math.h>

#define I(number_)                                  \
    {                                               \
        .type = VALUE_INTEGER, .integer = (number_) \
    }
#define R(number_)                            \
    {                                         \
        .type = VALUE_REAL, .real = (number_) \
    }
#define T(text_)                                                       \
    {                                                                  \
        .type = VALUE_TEXT, .len = sizeof(text_) - 1, .bytes = (text_) \
    }
#define NOTHING            \
    {                      \
        .type = VALUE_NULL \
    }
#define USER(expected_, what_, id_, name_, email_) {"users", what_, ERROR_##expected_, 3, {id_, name_, email_}},
#define PRODUCT(expected_, what_, id_, name_, price_) {"products", what_, ERROR_##expected_, 3, {id_, name_, price_}},
#define ORDER(expected_, what_, id_, user_, product_, quantity_) \
    {"orders", what_, ERROR_##expected_, 4, {id_, user_, product_, quantity_}},

/* clang-format off */
const struct demo_row demo_rows[] = {
    USER(NONE, "a user", I(1), T("Ada Lovelace"), T("ada@example.org"))
    USER(NONE, "a user", I(2), T("Grace Hopper"), T("grace@example.org"))
    USER(NONE, "a user", I(3), T("Zoë Müller"), T("zoe@example.net"))
    USER(NONE, "a user", I(4), T("Patrick O'Brian"), T("p.obrian@sub.example.com"))
    USER(NONE, "a user", I(5), T("山田 花子"), T("hanako@example.jp"))
    USER(NONE, "a user", I(6), T("Ana Souza"), T("ana+shop@example.com.br"))

    PRODUCT(NONE, "a product", I(1), T("Tea, Darjeeling"), R(12.5))
    PRODUCT(NONE, "a product", I(2), T("Mug \"Sheaf\""), R(8.0))
    PRODUCT(NONE, "a product", I(3), T("Kettle"), R(39.9))
    PRODUCT(NONE, "a product", I(4), T("Filter papers"), R(2.25))
    PRODUCT(NONE, "a gift", I(5), T("Sticker"), R(0.0))

    /* These wait for the commits of their parents, which are under way at the same time in other processes. */
    ORDER(NONE, "an order", I(1), I(1), I(1), I(2))
    ORDER(NONE, "an order", I(2), I(1), I(2), I(1))
    ORDER(NONE, "an order", I(3), I(2), I(3), I(1))
    ORDER(NONE, "an order", I(4), I(3), I(4), I(10))
    ORDER(NONE, "an order", I(5), I(4), I(5), I(100))
    ORDER(NONE, "an order", I(6), I(5), I(1), I(4))
    ORDER(NONE, "an order", I(7), I(6), I(2), I(6))
    ORDER(NONE, "an order", I(8), I(6), I(2), I(6))

    USER(UNIQUE, "e-mail address used twice", I(20), T("Ada Byron"), T("ada@example.org"))
    USER(UNIQUE, "id used twice, other values", I(2), T("Alan Turing"), T("alan@example.org"))
    USER(CHECK, "id zero", I(0), T("Nobody"), T("nobody@example.org"))
    USER(CHECK, "negative id", I(-7), T("Minus Seven"), T("minus7@example.org"))
    USER(CHECK, "empty name", I(21), T(""), T("empty@example.org"))
    USER(CHECK, "blank name", I(22), T(" \t\u00a0"), T("blank@example.org"))
    USER(NOT_NULL, "no name", I(23), NOTHING, T("noname@example.org"))
    USER(CHECK, "malformed e-mail address", I(24), T("Eve"), T("eve at example.org"))
    USER(CHECK, "e-mail address without a dot", I(25), T("Mallory"), T("mallory@localhost"))
    USER(TYPE, "id is a word", T("seven"), T("Seven"), T("seven@example.org"))

    PRODUCT(CHECK, "negative price", I(20), T("Discount"), R(-1.0))
    PRODUCT(CHECK, "infinite price", I(21), T("Priceless"), R(INFINITY))
    PRODUCT(TYPE, "price is a word", I(22), T("Antique"), T("on request"))
    PRODUCT(UNIQUE, "id used twice, other values", I(1), T("Coffee"), R(12.5))

    ORDER(CHECK, "quantity zero", I(20), I(1), I(1), I(0))
    ORDER(CHECK, "negative quantity", I(21), I(1), I(1), I(-3))
    ORDER(TYPE, "quantity is a fraction", I(22), I(1), I(1), R(1.5))
    ORDER(REFERENCE_MISSING, "missing user", I(23), I(99), I(1), I(1))
    ORDER(REFERENCE_MISSING, "missing product", I(24), I(1), I(99), I(1))
    ORDER(REFERENCE_MISSING, "both missing", I(25), I(98), I(99), I(1))
    ORDER(REFERENCE_MISSING, "its user was refused above", I(26), I(24), I(1), I(1))
    ORDER(UNIQUE, "id used twice, other values", I(3), I(2), I(3), I(5))
};
/* clang-format on */
const unsigned demo_row_count = sizeof demo_rows / sizeof *demo_rows;
