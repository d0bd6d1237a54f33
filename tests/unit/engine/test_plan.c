/* SPDX-License-Identifier: Apache-2.0 */
/* What updates, deletes, upserts and transactions come to, one case each: done by an engine on real shards and by one
 * SQLite file, all tables together in one database and each in its own. What test_differential.c found stands here. */
#include "twin.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* `lines` end with a NULL; `rows` is what is left at the end, NULL: whatever one file holds. */
static void agree(const char *ddl, bool together, const char *const *lines, const char *rows)
{
    struct twin twin;
    struct error error;
    struct buffer text = {0};
    if (!twin_open(&twin, ddl, together, &error))
        fail_msg("%s", error.text);
    for (const char *const *line = lines; *line; line++)
        if (!twin_do(&twin, *line, &text))
            fail_msg("%s\n%.*s", *line, (int)text.len, (const char *)text.bytes);
    if (!twin_same_at_the_end(&twin, &text))
        fail_msg("%.*s", (int)text.len, (const char *)text.bytes);
    twin_dump(&twin, &text);
    if (rows && (text.len != strlen(rows) || (text.len && memcmp(text.bytes, rows, text.len) != 0)))
        fail_msg("left is\n%.*snot\n%s", (int)text.len, text.len ? (const char *)text.bytes : "", rows);
    buffer_release(&text);
    twin_close(&twin);
}

/* Both ways. */
#define assert_agree(rows, ddl, ...)                          \
    do {                                                      \
        const char *const script[] = {__VA_ARGS__, NULL};     \
        for (unsigned together = 0; together < 2; together++) \
            agree(ddl, together != 0, script, rows);          \
    } while (0)

static void an_upsert_that_gives_only_the_key_of_a_row_that_is_there_is_done(void **state)
{
    (void)state;
    assert_agree("t(1,'a')\n", "CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT);\n", "insert t(1,'a')", "upsert t(1,-)",
                 "{ upsert t(1,-); upsert t(1,-) }");
}

static void an_operation_sees_the_earlier_ones_of_its_submission(void **state)
{
    (void)state;
    assert_agree("t(1,2)\n", "CREATE TABLE t (id INTEGER PRIMARY KEY, v INTEGER);\n", "insert t(3,1)",
                 "< update t[3](1,-); insert t(1,7); insert t(3,7); delete t[3]; update t[1](-,2); read t[1] >");
}

/* The row that waits for the key 3 holds the key 1, which the update before it comes to want. */
static void an_update_that_gets_a_key_and_an_insert_that_waits_for_it_do_not_hang(void **state)
{
    (void)state;
    assert_agree("t(1,2,NULL)\n",
                 "CREATE TABLE t (id INTEGER PRIMARY KEY, v INTEGER, f INTEGER REFERENCES t ON UPDATE SET NULL);\n",
                 "insert t(3,2,NULL)", "< update t[3](1,-,-); insert t(1,2,3) >");
}

static void a_default_that_names_the_parent_that_goes_leaves_nobody_alone(void **state)
{
    (void)state;
    assert_agree("p(2)\nc(1,2)\n",
                 "CREATE TABLE p (id INTEGER PRIMARY KEY);\n"
                 "CREATE TABLE c (id INTEGER PRIMARY KEY, f INTEGER DEFAULT 2 REFERENCES p ON DELETE SET DEFAULT ON "
                 "UPDATE SET DEFAULT);\n",
                 "insert p(2)", "insert c(1,2)", "delete p[2]", "update p[2](3)", "{ delete p[2]; upsert c(1,-) }");
}

/* SQLite looks for the parent while the row is out of the table, and compares the row itself byte by byte. */
static void a_row_does_not_come_to_name_itself_by_its_keys_collation(void **state)
{
    (void)state;
    assert_agree("t('b','b')\n", "CREATE TABLE t (id TEXT PRIMARY KEY COLLATE NOCASE, f TEXT REFERENCES t);\n",
                 "insert t('b',NULL)", "update t['b'](-,'B')", "{ update t['b'](-,'B') }", "{ insert t('c','C') }",
                 "upsert t('b','B')", "update t['b'](-,'b')");
}

/* Where no action might follow it stays in the table meanwhile. */
static void a_row_that_names_itself_may_change_its_key_where_nothing_follows(void **state)
{
    (void)state;
    assert_agree("t('B','b')\n", "CREATE TABLE t (id TEXT PRIMARY KEY COLLATE NOCASE, f TEXT REFERENCES t);\n",
                 "insert t('b','b')", "update t['b']('B',-)");
    assert_agree("t('b','b')\n",
                 "CREATE TABLE t (id TEXT PRIMARY KEY COLLATE NOCASE, f TEXT REFERENCES t ON UPDATE CASCADE);\n",
                 "insert t('b','b')", "update t['b']('B',-)");
}

static void an_update_tells_the_key_that_it_left_its_row_with(void **state)
{
    (void)state;
    const char *ddl = "CREATE TABLE t (a INTEGER NOT NULL UNIQUE, b TEXT NOT NULL,\n"
                      " f INTEGER REFERENCES t (a) ON UPDATE CASCADE, PRIMARY KEY (b, a));\n";
    /* inserted before in the same transaction, changed again by a later operation, followed by others of its table */
    assert_agree("t(4,'y',4)\nt(9,'z',4)\n", ddl, "{ insert t('1','x',NULL); update t['x',1](2,-,-) }",
                 "{ update t['x',2](3,-,-); update t['x',3](-,-,3); update t['x',3](-,'y',-) }", "insert t(9,'z',3)",
                 "update t['y',3](4,-,-)", "{ update t['y',4](4,-,-); update t['z',9](-,'z',4) }");
    assert_agree("t(1,2)\nt(2,2)\n",
                 "CREATE TABLE t (a INTEGER NOT NULL UNIQUE, b INTEGER NOT NULL REFERENCES t (a) ON UPDATE CASCADE,\n"
                 " PRIMARY KEY (b, a)) WITHOUT ROWID;\n",
                 "insert t(3,3)", "insert t(1,3)", "update t[3,3](2,-)");
}

/* The parent's values are carried as they are stored, not as they were given. */
static void a_cascade_carries_what_is_stored(void **state)
{
    (void)state;
    assert_agree("p(1,'3')\nc(1,1,'3')\n",
                 "CREATE TABLE p (a INTEGER NOT NULL, b TEXT NOT NULL, PRIMARY KEY (a, b));\n"
                 "CREATE TABLE c (id INTEGER PRIMARY KEY, a, b,\n"
                 " FOREIGN KEY (a, b) REFERENCES p ON UPDATE CASCADE);\n",
                 "{ insert p('1',2); insert c(1,1,'2'); update p[1,'2'](-,3) }");
}

/* The child goes by the one reference before the other is looked at, or would. */
static void restrict_waits_for_the_end_of_a_transaction_of_one_operation_as_well(void **state)
{
    (void)state;
    const char *ddl = "CREATE TABLE p (id INTEGER PRIMARY KEY);\n"
                      "CREATE TABLE c (id INTEGER PRIMARY KEY, f INTEGER REFERENCES p ON DELETE CASCADE,\n"
                      " g INTEGER REFERENCES p ON DELETE RESTRICT);\n";
    assert_agree("", ddl, "insert p(1)", "insert c(1,1,1)", "delete p[1]", "{ delete p[1] }");
    assert_agree("p(1)\nc(1,NULL,1)\n", ddl, "insert p(1)", "insert c(1,NULL,1)", "delete p[1]", "{ delete p[1] }");
}

/* Nobody can name such a row before it is there; what follows from other operations meets it. */
static void a_row_without_a_key_is_changed_by_the_transaction_that_inserts_it(void **state)
{
    (void)state;
    const char *ddl =
        "CREATE TABLE p (id INTEGER PRIMARY KEY, n TEXT UNIQUE);\n"
        "CREATE TABLE c (v INTEGER CHECK (v < 9), n TEXT DEFAULT 'a' REFERENCES p (n) ON DELETE SET DEFAULT\n"
        " ON UPDATE CASCADE, f INTEGER REFERENCES p ON DELETE CASCADE ON UPDATE SET NULL);\n";
    assert_agree("", ddl, "{ insert p(1,'a'); insert c(1,NULL,1); delete p[1] }");
    assert_agree("p(2,'a')\nc(1,NULL,NULL)\nc(2,NULL,2)\nc(3,NULL,NULL)\n", ddl,
                 "{ insert p(1,'a'); insert c(1,NULL,1); insert c(3,NULL,1); update p[1](2,-); insert c(2,NULL,2) }");
    assert_agree("p(1,'a')\np(3,'e')\nc(1,'a',3)\nc(2,'a',NULL)\nc(3,'a',1)\n", ddl, "insert p(1,'a')",
                 "insert c(4,'a',1)", "insert c(3,'a',1)",
                 "{ insert p(2,'b'); insert c(1,'b',3); insert c(2,'b',2); insert p(3,'d'); delete c[1]; "
                 "update p[2](4,'c'); delete p[4]; update p[3](-,'c') }",
                 "delete c[3]",
                 "{ insert p(5,'x'); insert c(1,'x',3); update p[5](6,-); delete p[6]; update p[3](-,'e') }");
    assert_agree("p(1,'a')\n", ddl, "insert p(1,'a')", "{ insert p(2,'b'); insert c(8,'b',2); update c[1](9,-,-) }",
                 "{ insert c(1,'a',2); delete p[2] }");
}

/* A change that its shard refuses takes all of it back, also when the other shards had promised theirs. */
static void what_a_row_without_a_key_comes_to_may_be_refused(void **state)
{
    (void)state;
    assert_agree("p(1)\n",
                 "CREATE TABLE p (id INTEGER PRIMARY KEY);\n"
                 "CREATE TABLE c (f INTEGER CHECK (f < 5) UNIQUE REFERENCES p ON UPDATE CASCADE);\n",
                 "insert p(1)", "{ insert p(2); insert c(2); update p[2](6) }");
}

/* Its key is assigned when the transaction begins. */
static void a_row_whose_key_is_assigned_is_changed_by_the_transaction_that_inserts_it(void **state)
{
    (void)state;
    const char *ddl = "CREATE TABLE p (id INTEGER PRIMARY KEY);\n"
                      "CREATE TABLE c (id INTEGER PRIMARY KEY, f INTEGER REFERENCES p ON DELETE CASCADE\n"
                      " ON UPDATE SET NULL);\n";
    assert_agree(
        "p(1)\np(4)\nc(2,NULL)\n", ddl,
        "{ insert p(1); insert p(-); insert c(-,2); insert p(3); insert c(NULL,3); delete p[2]; update p[3](4) }");
    assert_agree("p(2)\nc(7,2)\n", ddl,
                 "{ insert p(-); insert c(-,1); update c[1](7,-); update p[1](2); update c[7](-,2) }");
}

/* A child that goes before the one that may not be left alone by it; or after. */
static void rows_follow_in_the_order_in_which_one_file_comes_upon_them(void **state)
{
    (void)state;
    const char *ddl = "CREATE TABLE t (id INTEGER PRIMARY KEY, f INTEGER REFERENCES t ON DELETE CASCADE,\n"
                      " g INTEGER REFERENCES t ON DELETE RESTRICT);\n";
    assert_agree("t(1,NULL,NULL)\nt(2,1,NULL)\nt(3,1,2)\n", ddl, "insert t(1,NULL,NULL)", "insert t(2,1,NULL)",
                 "insert t(3,1,2)", "delete t[1]");
    assert_agree("", ddl, "insert t(1,NULL,NULL)", "insert t(3,1,NULL)", "insert t(2,1,3)", "delete t[1]");
    ddl = "CREATE TABLE t (id TEXT PRIMARY KEY, f TEXT REFERENCES t ON DELETE CASCADE,\n"
          " g TEXT REFERENCES t ON DELETE RESTRICT);\n";
    assert_agree("t('a','c','b')\nt('b','c',NULL)\nt('c',NULL,NULL)\n", ddl, "insert t('c',NULL,NULL)",
                 "insert t('b','c',NULL)", "insert t('a','c','b')", "delete t['c']");
    ddl = "CREATE TABLE t (id TEXT PRIMARY KEY, f TEXT REFERENCES t ON DELETE CASCADE,\n"
          " g TEXT REFERENCES t ON DELETE RESTRICT) WITHOUT ROWID;\n";
    assert_agree("", ddl, "insert t('c',NULL,NULL)", "insert t('b','c',NULL)", "insert t('a','c','b')",
                 "delete t['c']");
    assert_agree(NULL,
                 "CREATE TABLE t (u INTEGER UNIQUE, f INTEGER REFERENCES t (u) ON DELETE CASCADE,\n"
                 " g INTEGER REFERENCES t (u) ON DELETE RESTRICT);\n",
                 "insert t(1,NULL,NULL)", "insert t(2,1,NULL)", "insert t(3,1,2)", "delete t[1]",
                 "update t[3](-,-,NULL)", "update t[2](-,-,3)", "delete t[1]");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_upsert_that_gives_only_the_key_of_a_row_that_is_there_is_done),
        cmocka_unit_test(an_operation_sees_the_earlier_ones_of_its_submission),
        cmocka_unit_test(an_update_that_gets_a_key_and_an_insert_that_waits_for_it_do_not_hang),
        cmocka_unit_test(a_default_that_names_the_parent_that_goes_leaves_nobody_alone),
        cmocka_unit_test(a_row_does_not_come_to_name_itself_by_its_keys_collation),
        cmocka_unit_test(a_row_that_names_itself_may_change_its_key_where_nothing_follows),
        cmocka_unit_test(an_update_tells_the_key_that_it_left_its_row_with),
        cmocka_unit_test(a_cascade_carries_what_is_stored),
        cmocka_unit_test(restrict_waits_for_the_end_of_a_transaction_of_one_operation_as_well),
        cmocka_unit_test(a_row_without_a_key_is_changed_by_the_transaction_that_inserts_it),
        cmocka_unit_test(what_a_row_without_a_key_comes_to_may_be_refused),
        cmocka_unit_test(a_row_whose_key_is_assigned_is_changed_by_the_transaction_that_inserts_it),
        cmocka_unit_test(rows_follow_in_the_order_in_which_one_file_comes_upon_them),
    };
    return cmocka_run_group_tests_name("plan", tests, NULL, NULL);
}
