/* SPDX-License-Identifier: Apache-2.0 */
#include "limits.h"
#include "schema.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <sqlite3.h>

static struct schema *loaded(const char *text)
{
    struct error error = {0};
    struct schema *schema = schema_load(text, strlen(text), "schema.sql", NULL, &error);
    if (!schema)
        fail_msg("%s", error.text);
    return schema;
}

static void the_shop_is_three_databases_with_two_references(void **state)
{
    (void)state;
    struct schema *shop = loaded(schema_shop);
    assert_int_equal(shop->table_count, 3);
    assert_int_equal(shop->database_count, 3);
    assert_int_equal(shop->reference_count, 2);
    const struct schema_table *orders = &shop->tables[schema_find_table(shop, "ORDERS", 6)];
    assert_true(orders->strict);
    assert_int_equal(orders->reference_count, 2);
    assert_string_equal(shop->references[orders->references[0]].constraint, "user_id");
    assert_string_equal(shop->references[orders->references[1]].constraint, "product_id");
    const struct schema_table *users = &shop->tables[schema_find_table(shop, "users", 5)];
    assert_int_equal(users->rowid_column, 0);
    assert_true(users->keys[users->primary_key].referenced);
    assert_int_equal(users->child_count, 1);
    assert_int_equal(schema_find_column(users, "EMAIL", 5), 2);
    assert_int_equal(schema_find_column(users, "emai", 4), SCHEMA_NONE);
    schema_free(shop);
}

/* Whether SQLite itself takes a row of the shop: the rules are tried where they will be enforced. */
static int taken(sqlite3 *db, const char *sql, const char *text)
{
    sqlite3_stmt *statement;
    assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &statement, NULL), SQLITE_OK);
    sqlite3_bind_text(statement, 1, text, -1, SQLITE_STATIC);
    int result = sqlite3_step(statement);
    sqlite3_finalize(statement);
    assert_true(result == SQLITE_DONE || result == SQLITE_CONSTRAINT);
    return result == SQLITE_DONE;
}

static void the_shops_rules(void **state)
{
    (void)state;
    sqlite3 *db;
    assert_int_equal(sqlite3_open(":memory:", &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, schema_shop, NULL, NULL, NULL), SQLITE_OK);
    const char *email = "INSERT INTO users (name, email) VALUES ('x', ?)";
    const char *name = "INSERT INTO products (name, price) VALUES (?, 1)";
    const char *price = "INSERT INTO products (name, price) VALUES ('x', ?)";
    const char *good[] = {"a@b.c", "\xc3\xa4.b+1@sub.b.example", "\xc2\xa1@b.c", "'@b.c"};
    const char *bad[] = {
        "",        "a",       "a@",           "@b.c",    "a@b",    "a@b.",      "a@.c",      "a@@b.c",
        "a@b@c.d", "a b@c.d", "a@b.c\n",      "\ta@b.c", "a@ b.c", "a\x01@b.c", "a@b.c\x7f", "a\xc2\xa0@b.c",
        "a@b.c.",  "a@",      "a\xc2\x85@b.c"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        assert_true(taken(db, email, good[i]));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (taken(db, email, bad[i]))
            fail_msg("e-mail %zu '%s' was taken", i, bad[i]);
    const char *blank[] = {"", " ", "\t", "\n", "\v", "\f", "\r", "\xc2\xa0", " \xc2\xa0\n"};
    for (size_t i = 0; i < sizeof blank / sizeof *blank; i++)
        assert_false(taken(db, name, blank[i]));
    assert_true(taken(db, name, "\xc2\xa0x"));
    const char *no_price[] = {"-1", "1e999", "-1e999", "x", "-0.001"};
    for (size_t i = 0; i < sizeof no_price / sizeof *no_price; i++)
        assert_false(taken(db, price, no_price[i]));
    assert_true(taken(db, price, "0") && taken(db, price, "1e308"));
    sqlite3_close(db);
}

static void keys_of_every_kind_are_read_back(void **state)
{
    (void)state;
    struct schema *schema =
        loaded("CREATE TABLE \"two words\" (a TEXT COLLATE NOCASE, b INTEGER, c, PRIMARY KEY (b, a)) WITHOUT ROWID;\n"
               "CREATE TABLE child (id INTEGER PRIMARY KEY AUTOINCREMENT, x TEXT, y INT DEFAULT 4, g AS (y * 2) "
               "STORED, up REFERENCES child,\n"
               "  FOREIGN KEY (x, y) REFERENCES \"two words\" (a, b) ON DELETE SET NULL ON UPDATE CASCADE,\n"
               "  UNIQUE (y, x));\n"
               "CREATE UNIQUE INDEX part ON child (x) WHERE y > 1;\n"
               "CREATE UNIQUE INDEX expr ON child (lower(x));\n"
               "CREATE TABLE desc_key (id INTEGER PRIMARY KEY DESC);\n");
    const struct schema_table *two = &schema->tables[0], *child = &schema->tables[1];
    assert_true(two->without_rowid);
    assert_int_equal(two->keys[two->primary_key].columns[0], 1);
    assert_int_equal(two->keys[two->primary_key].columns[1], 0);
    assert_int_equal(two->keys[two->primary_key].collations[1], COLLATION_NOCASE);
    assert_true(child->autoincrement);
    assert_true(child->columns[3].generated);
    assert_true(child->columns[2].has_default);
    assert_int_equal(child->key_count, 4);
    const struct schema_reference *self = &schema->references[child->references[0]];
    const struct schema_reference *both = &schema->references[child->references[1]];
    assert_string_equal(self->constraint, "up");
    assert_string_equal(both->constraint, "x,y");
    assert_int_equal(both->on_delete, ACTION_SET_NULL);
    assert_int_equal(both->on_update, ACTION_CASCADE);
    assert_int_equal(both->key_order[0], 1); /* the key begins with b, which is y's parent */
    bool partial = false, expression = false;
    for (uint16_t i = 0; i < child->key_count; i++) {
        partial |= child->keys[i].partial;
        expression |= child->keys[i].expression;
    }
    assert_true(partial && expression);
    assert_int_equal(schema->tables[2].rowid_column, SCHEMA_NONE); /* SQLite's own quirk: DESC makes it no rowid */
    schema_free(schema);
}

static void what_cannot_be_kept_is_refused_by_name(void **state)
{
    (void)state;
    const char *base =
        "CREATE TABLE t (id INTEGER PRIMARY KEY, a UNIQUE, b);\nCREATE TABLE s (id INTEGER PRIMARY KEY);\n";
    const char *const cases[][2] = {
        {"ATTACH 'x' AS y;", "ATTACH"},
        {"PRAGMA user_version = 1;", "PRAGMA"},
        {"INSERT INTO t VALUES (1, 2, 3);", "INSERT"},
        {"DROP TABLE t;", "make a schema"},
        {"SELECT 1;", "make a schema"},
        {"VACUUM;", "make a schema"},
        {"BEGIN;", "BEGIN"},
        {"CREATE TEMP TABLE x (y);", "temporary objects live in no database"},
        {"CREATE TABLE temp.x (y);", "temporary objects live in no database"},
        {"CREATE INDEX temp.x ON t (b);", "TEMP index on non-TEMP table"},
        {"CREATE TEMP VIEW x AS SELECT 1;", "temporary objects live in no database"},
        {"CREATE TABLE \"\" (y);", "an empty name"},
        {"CREATE TABLE x AS SELECT * FROM t;", "AS SELECT"},
        {"CREATE VIRTUAL TABLE v USING fts5(x);", "VIRTUAL"},
        {"CREATE TABLE _sheaf_x (y);", "_sheaf_"},
        {"CREATE INDEX _Sheaf_i ON t (b);", "_sheaf_"},
        {"CREATE TRIGGER g AFTER INSERT ON t BEGIN DELETE FROM s; END;", "writes table s"},
        {"CREATE TRIGGER g AFTER UPDATE OF b ON t BEGIN UPDATE t SET a = 1; END;", "writes table t"},
        {"CREATE TRIGGER g BEFORE INSERT ON t BEGIN SELECT RAISE(IGNORE); END;", "RAISE(IGNORE)"},
        {"CREATE TRIGGER g BEFORE DELETE ON t BEGIN SELECT id FROM s; END;", "another database"},
        {"CREATE TRIGGER g BEFORE DELETE ON t BEGIN SELECT 1 FROM s; END;", "reads table s, which"},
        {"CREATE TRIGGER g BEFORE DELETE ON t BEGIN SELECT 1 WHERE EXISTS (SELECT 1 FROM s LIMIT 1); END;",
         "reads table s"},
        {"CREATE TRIGGER g BEFORE DELETE ON t BEGIN WITH s AS (SELECT 1) SELECT 1 FROM s, main.s; END;",
         "reads table s"},
        {"CREATE VIEW w AS SELECT * FROM t, s;", "another database"},
        {"CREATE VIEW w AS SELECT a, (SELECT count(*) FROM s) FROM t;", "another database"},
        {"CREATE VIEW w AS SELECT * FROM nowhere;", "nowhere"},
        {"CREATE TABLE x (y REFERENCES nowhere (z));", "nowhere"},
        {"CREATE TABLE x (y REFERENCES t (b));", "(y) names (b) of t, which is no key there; its primary key is (id)"},
        {"CREATE TABLE k (a, b, PRIMARY KEY (b, a)); CREATE TABLE x (y REFERENCES k);",
         "(y) names (b) of k, which is no key there; its primary key is (b,a)"},
        {"CREATE TABLE x (y, z, FOREIGN KEY (y, z) REFERENCES t);", "primary key"},
        {"CREATE TABLE x (y UNIQUE ON CONFLICT REPLACE);", "ON CONFLICT REPLACE"},
        {"CREATE TABLE x (y UNIQUE ON /* really */ CONFLICT\nignore);", "ON CONFLICT IGNORE"},
        {"CREATE TABLE x (y TEXT COLLATE german);", "german"},
        {"CREATE TABLE x (y CHECK (nosuch(y)));", "nosuch"},
        {"CREATE TABLE x (y CHECK (load_extension(y)));", "load_extension"},
        {"CREATE TABLE T (y);", "already exists"},
        {"CREATE TABLE x (y", "incomplete"},
        {"gibberish;", "gibberish"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct error error = {0};
        struct buffer text = {0};
        assert_true(buffer_put_text(&text, base) && buffer_put_text(&text, cases[i][0]));
        struct schema *schema = schema_load((const char *)text.bytes, text.len, "schema.sql", NULL, &error);
        if (schema)
            fail_msg("%s was accepted", cases[i][0]);
        if (!strstr(error.text, cases[i][1]) || !strstr(error.text, "schema.sql:3: "))
            fail_msg("%s is refused with: %s", cases[i][0], error.text);
        buffer_release(&text);
    }
    struct error error;
    assert_null(schema_load("", 0, "empty.sql", NULL, &error));
    assert_null(schema_load("CREATE TABLE \xff (a);", 19, "bad.sql", NULL, &error));
}

static void what_only_looks_forbidden_is_accepted(void **state)
{
    (void)state;
    struct schema *schema = loaded(
        "-- ON CONFLICT REPLACE; ATTACH\n"
        "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT DEFAULT 'ON CONFLICT IGNORE', b UNIQUE ON CONFLICT ABORT);;\n"
        "CREATE VIEW v AS SELECT a FROM t;\n"
        "CREATE TRIGGER g BEFORE INSERT ON t WHEN NEW.a = 'x' BEGIN SELECT RAISE(ABORT, 'no x'); END;\n");
    assert_int_equal(schema->databases[0].statement_count, 3);
    assert_int_equal(schema->table_count, 1);
    assert_true(schema->tables[0].has_trigger);
    assert_memory_equal(schema->databases[0].statements[0], "CREATE TABLE t (", 16);
    assert_memory_equal(schema->databases[0].statements[2] + strlen(schema->databases[0].statements[2]) - 3, "END", 3);
    schema_free(schema);
}

/* SQLite tells of both in the same way. */
static void a_with_that_has_a_tables_name_is_not_that_table(void **state)
{
    (void)state;
    struct schema *schema = loaded(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, a);\nCREATE TABLE c (x UNIQUE);\n"
        "CREATE TRIGGER g BEFORE INSERT ON t BEGIN WITH RECURSIVE c(x) AS (VALUES (1) UNION ALL SELECT x + 1 FROM c"
        " WHERE x < 5) SELECT RAISE(ABORT, 'no') FROM c WHERE new.a = 7; END;\n"
        "CREATE VIEW v AS WITH c AS (SELECT 1) SELECT a, (SELECT count(*) FROM c) FROM t;\n");
    assert_int_equal(schema->databases[0].statement_count, 3);
    assert_int_equal(schema->databases[1].statement_count, 1);
    schema_free(schema);
}

static void more_databases_than_there_can_be_name_the_way_out(void **state)
{
    (void)state;
    struct buffer text = {0};
    struct error error;
    for (unsigned i = 0; i <= LIMIT_DATABASES_MAX; i++)
        assert_true(buffer_format(&text, "CREATE TABLE t%u (x);\n", i));
    assert_null(schema_load((const char *)text.bytes, text.len, "many.sql", NULL, &error));
    assert_non_null(strstr(error.text, "[database NAME] tables = "));
    buffer_release(&text);
}

static void placement_decides_what_lives_together(void **state)
{
    (void)state;
    struct error error = {0};
    struct schema_placement placement;
    const char text[] = "Shop\tusers\nShop\tProducts\n";
    assert_true(schema_placement_read(text, strlen(text), &placement, &error));
    struct schema *together = schema_load(schema_shop, strlen(schema_shop), "shop", &placement, &error);
    assert_non_null(together);
    assert_int_equal(together->database_count, 2);
    assert_int_equal(together->databases[0].table_count, 2);
    struct buffer back = {0}, difference = {0};
    assert_true(schema_placement_text(together, &back));
    assert_int_equal(back.len, strlen("Shop\tusers\nShop\tproducts\norders\torders\n"));
    struct schema *apart = loaded(schema_shop);
    assert_true(schema_difference(together, apart, &difference));
    assert_non_null(strstr((char *)difference.bytes, "users"));
    schema_placement_release(&placement);
    assert_true(schema_placement_read("x\tabsent\n", 9, &placement, &error));
    assert_null(schema_load(schema_shop, strlen(schema_shop), "shop", &placement, &error));
    assert_non_null(strstr(error.text, "absent"));
    schema_placement_release(&placement);
    assert_true(schema_placement_read("SHOP\tusers\nshop\torders\n", 23, &placement, &error));
    assert_null(schema_load(schema_shop, strlen(schema_shop), "shop", &placement, &error));
    schema_placement_release(&placement);
    buffer_release(&back);
    buffer_release(&difference);
    schema_free(together);
    schema_free(apart);
}

static void a_difference_is_named_and_layout_is_none(void **state)
{
    (void)state;
    struct schema *one = loaded("CREATE TABLE t (a, b);");
    struct schema *laid_out = loaded("-- the same\nCREATE TABLE t (\n  a, /* first */\n  b\n);");
    struct schema *other = loaded("CREATE TABLE t (a, c);");
    struct schema *more = loaded("CREATE TABLE t (a, b); CREATE TABLE extra (x);");
    struct buffer text = {0};
    assert_true(schema_difference(one, laid_out, &text));
    assert_int_equal(text.len, 0);
    assert_true(schema_difference(one, other, &text));
    assert_non_null(strstr((char *)text.bytes, "( a , c )"));
    assert_true(schema_difference(one, more, &text));
    assert_non_null(strstr((char *)text.bytes, "extra"));
    assert_true(schema_difference(more, one, &text));
    assert_non_null(strstr((char *)text.bytes, "extra"));
    buffer_release(&text);
    schema_free(one);
    schema_free(laid_out);
    schema_free(other);
    schema_free(more);
}

static void a_file_name_is_safe(void **state)
{
    (void)state;
    char name[40];
    assert_true(schema_file_name("Order_1-x", name, sizeof name));
    assert_string_equal(name, "Order_1-x.db");
    assert_true(schema_file_name("../a b", name, sizeof name));
    assert_string_equal(name, "%2E%2E%2Fa%20b.db");
    assert_false(schema_file_name("0123456789012345678901234567890123456789", name, sizeof name));
}

/* Each view names the one before it twice: SQLite takes twice the memory and the time for each. */
static void views_that_double_each_other_are_too_much(void **state)
{
    (void)state;
    struct buffer text = {0};
    struct error error;
    assert_true(buffer_put_text(&text, "CREATE TABLE t (a);\nCREATE VIEW v0 AS SELECT DISTINCT a FROM t;\n"));
    for (int i = 1; i < 60; i++)
        assert_true(
            buffer_format(&text, "CREATE VIEW v%d AS SELECT DISTINCT x.a FROM v%d x, v%d y;\n", i, i - 1, i - 1));
    assert_null(schema_load((const char *)text.bytes, text.len, "schema.sql", NULL, &error));
    assert_int_equal(error.code, ERROR_TOO_LARGE);
    assert_non_null(strstr(error.text, "more memory than a schema may"));
    schema_free(loaded("CREATE TABLE t (a);")); /* and SQLite goes on */
    assert_int_equal(sqlite3_hard_heap_limit64(-1), 0);
    assert_int_equal(sqlite3_soft_heap_limit64(-1), 0);
    buffer_release(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_shop_is_three_databases_with_two_references),
        cmocka_unit_test(the_shops_rules),
        cmocka_unit_test(keys_of_every_kind_are_read_back),
        cmocka_unit_test(what_cannot_be_kept_is_refused_by_name),
        cmocka_unit_test(what_only_looks_forbidden_is_accepted),
        cmocka_unit_test(a_with_that_has_a_tables_name_is_not_that_table),
        cmocka_unit_test(more_databases_than_there_can_be_name_the_way_out),
        cmocka_unit_test(placement_decides_what_lives_together),
        cmocka_unit_test(a_difference_is_named_and_layout_is_none),
        cmocka_unit_test(a_file_name_is_safe),
        cmocka_unit_test(views_that_double_each_other_are_too_much),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
