/* SPDX-License-Identifier: Apache-2.0 */
/* Rows at the edge of LIMIT_ROW_BYTES_MAX, as they are stored, however they came to be so. */
#include "shard.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define says assert_string_equal

static const char ddl[] = "CREATE TABLE plain (id INTEGER PRIMARY KEY, a TEXT, b TEXT);\n"
                          "CREATE TABLE named (k TEXT PRIMARY KEY COLLATE NOCASE, a TEXT, twice AS (a || a));\n"
                          "CREATE TABLE pairs (a INTEGER, b TEXT, c, PRIMARY KEY (b, a)) WITHOUT ROWID;\n"
                          "CREATE TABLE nameless (a TEXT);\n"
                          "CREATE TABLE grown (id INTEGER PRIMARY KEY, x TEXT, y DEFAULT (zeroblob(900000000)));\n"
                          "CREATE TABLE checked (id INTEGER PRIMARY KEY, x TEXT CHECK (length(hex(x)) > 1));\n"
                          "CREATE TABLE elsewhere (id INTEGER PRIMARY KEY);\n";
static const char placement[] =
    "town\tplain\ntown\tnamed\ntown\tpairs\ntown\tnameless\ntown\tgrown\ntown\tchecked\nother\telsewhere\n";

enum { PLAIN, NAMED, PAIRED, NAMELESS, GROWN, CHECKED };

static int setup(void **state)
{
    shard_setup_of(state, ddl, placement);
    shard_start(*state, 1);
    return 0;
}

/* `format` with one %s, that of a text of `len` bytes; in one of four turns of memory. */
static const char *row(const char *format, size_t len)
{
    static char *rows[4];
    static unsigned turn;
    char **made = &rows[turn++ % 4];
    char *text = malloc(len + 2);
    assert_non_null(text);
    memset(text, 'z', len);
    text[len] = '\0';
    free(*made);
    assert_true(asprintf(made, format, text) >= 0);
    free(text);
    return *made;
}

static uint64_t batch;

static const char *write_it(struct shard *s)
{
    return shard_write(s, ++batch);
}

/* In the wire form the array takes 1 byte, id 1, a text of more than 65535 bytes 5 with itself, NULL 1. */
#define LONGEST_A ((size_t)LIMIT_ROW_BYTES_MAX - 8)

static void an_insert_keeps_to_it(void **state)
{
    struct shard *s = *state;
    batch = 0;
    shard_insert(s, PLAIN, row("1|'%s|NULL", LONGEST_A));
    shard_insert(s, PLAIN, row("2|'%s|NULL", LONGEST_A + 1));
    shard_insert_again(s, PLAIN, row("1|'%s|NULL", LONGEST_A));
    shard_insert(s, PLAIN, row("-|'%s|NULL", LONGEST_A)); /* 2, which is assigned */
    says(write_it(s), "applied; 1.0 too_large plain(); same 2.0");
    says(shard_sql(s, "SELECT id, length(a) FROM plain"), "1|1048568;2|1048568");
}

static void an_update_keeps_to_it_with_what_is_stored_already(void **state)
{
    struct shard *s = *state;
    batch = 0;
    shard_insert(s, PLAIN, row("1|'%s|NULL", 600000));
    says(write_it(s), "applied");
    shard_update(s, PLAIN, "1", row("-|-|'%s", LONGEST_A - 600000 - 4 + 1));
    says(write_it(s), "applied; 0.0 too_large plain()");
    says(shard_sql(s, "SELECT id, length(a), b FROM plain"), "1|600000|NULL");
    shard_update(s, PLAIN, "1", row("-|-|'%s", LONGEST_A - 600000 - 4));
    says(write_it(s), "applied");
    shard_update(s, PLAIN, "1", "300|-|-"); /* two bytes more: its key grows */
    says(write_it(s), "applied; 0.0 too_large plain()");
    shard_update(s, PLAIN, "1", "9|-|-");
    shard_update(s, PLAIN, "9", "-|'|-");
    says(write_it(s), "applied");
    says(shard_sql(s, "SELECT id, length(a), length(b) FROM plain"), "9|0|448564");
}

static void every_kind_of_table_keeps_to_it(void **state)
{
    struct shard *s = *state;
    batch = 0;
    shard_insert(s, NAMED, row("'k|'%s|-", LONGEST_A - 1));
    shard_insert(s, NAMED, row("'l|'%s|-", LONGEST_A));
    shard_insert(s, PAIRED, row("1|'%s|NULL", LONGEST_A));
    shard_insert(s, PAIRED, row("2|'%s|NULL", LONGEST_A + 1));
    shard_insert(s, NAMELESS, row("'%s", LONGEST_A + 2));
    shard_insert(s, NAMELESS, row("'%s", LONGEST_A + 3));
    says(write_it(s), "applied; 1.0 too_large named(); 3.0 too_large pairs(); 5.0 too_large nameless()");
    shard_update(s, NAMED, "'K", row("'m|'%s|-", LONGEST_A - 1));
    shard_update(s, NAMED, "'M", row("-|'%s|-", LONGEST_A));
    shard_update(s, NAMELESS, "1", row("'%s", LONGEST_A + 2));
    shard_update(s, NAMELESS, "1", row("'%s", LONGEST_A + 3));
    says(write_it(s), "applied; 1.0 too_large named(); 3.0 too_large nameless()");
    shard_update(s, PAIRED, row("'%s|1", LONGEST_A), row("3|'%s|1", LONGEST_A));
    shard_update(s, PAIRED, row("'%s|3", LONGEST_A), "300|-|-");
    says(write_it(s), "applied; 1.0 too_large pairs()");
    says(shard_sql(s, "SELECT k, length(a) FROM named"), "m|1048567");
    says(shard_sql(s, "SELECT a, length(b), c FROM pairs"), "3|1048568|1");
}

static void what_a_default_makes_of_it_is_refused_before_it_is_made(void **state)
{
    struct shard *s = *state;
    batch = 0;
    shard_group(s, 2);
    shard_op(s, GROWN, "1|'small|x00");
    shard_op(s, GROWN, "2|'small|-");
    shard_insert(s, GROWN, "3|'small|-");
    shard_insert(s, GROWN, "4|'small|x00");
    says(write_it(s), "applied; 0.1 too_large grown(); 1.0 too_large grown()");
    says(shard_sql(s, "SELECT id FROM grown"), "4");
}

static void what_expressions_compute_from_it_may_be_larger(void **state)
{
    struct shard *s = *state;
    batch = 0;
    shard_insert(s, CHECKED, row("1|'%s", 1000000));
    shard_insert(s, CHECKED, "2|'");
    says(write_it(s), "applied; 1.0 check checked(length(hex(x)) > 1)");
    shard_update(s, CHECKED, "1", row("-|'%s", 1000001));
    says(write_it(s), "applied");
}

/* As it was promised by an older Sheaf, and as it was made by one. */
static void what_was_promised_is_kept_and_what_is_there_can_be_made_smaller(void **state)
{
    struct shard *s = *state;
    batch = 0;
    shard_insert(s, PLAIN, "1|'small|'small");
    shard_prepare(s, 7, "locks", 1);
    shard_op_update(s, PLAIN, "1", row("-|-|'%s", 1000000));
    shard_prepare(s, 8, "locks", 1);
    shard_op_update(s, PLAIN, "1", row("-|-|'%s", LONGEST_A));
    says(write_it(s), "applied; 2.0 too_large plain()");
    shard_sql(s, "UPDATE plain SET a = hex(zeroblob(1500000))");
    shard_resolve(s, 7, true);
    says(write_it(s), "applied");
    says(shard_sql(s, "SELECT length(a), length(b) FROM plain"), "3000000|1000000");
    shard_update(s, PLAIN, "1", "-|-|'small");
    says(write_it(s), "applied; 0.0 too_large plain()");
    shard_update(s, PLAIN, "1", "-|'small|-");
    says(write_it(s), "applied");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, shard_teardown)
    const struct CMUnitTest tests[] = {
        TEST(an_insert_keeps_to_it),
        TEST(an_update_keeps_to_it_with_what_is_stored_already),
        TEST(every_kind_of_table_keeps_to_it),
        TEST(what_a_default_makes_of_it_is_refused_before_it_is_made),
        TEST(what_expressions_compute_from_it_may_be_larger),
        TEST(what_was_promised_is_kept_and_what_is_there_can_be_made_smaller),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
