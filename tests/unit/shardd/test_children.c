/* SPDX-License-Identifier: Apache-2.0 */
/* The children of a parent: SQLite itself is asked, over every pair of nasty values, which rows its comparison of a
 * parent's column with a child's value finds (what an insert into the child goes by), and what ON DELETE CASCADE takes.
 *
 * Where the two columns have one affinity these are the same. Where not, SQLite's actions compare otherwise than its
 * inserts: they leave children without their parent, take those of another, or fail; Sheaf's take what names the
 * parent. */
#include "shard.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define says assert_string_equal

#define TEXT(t)                                                \
    {                                                          \
        .type = VALUE_TEXT, .len = sizeof(t) - 1, .bytes = (t) \
    }
#define BLOB(t)                                                \
    {                                                          \
        .type = VALUE_BLOB, .len = sizeof(t) - 1, .bytes = (t) \
    }
#define INT(i)                                \
    {                                         \
        .type = VALUE_INTEGER, .integer = (i) \
    }
#define REAL(r)                         \
    {                                   \
        .type = VALUE_REAL, .real = (r) \
    }

static const struct value nasty[] = {
    INT(0),
    INT(1),
    INT(-1),
    INT(9007199254740993),
    INT(9007199254740992),
    INT(INT64_MAX),
    INT(INT64_MIN),
    REAL(0.0),
    REAL(-0.0),
    REAL(1.0),
    REAL(0.5),
    REAL(1e300),
    REAL(-1e19),
    REAL(9007199254740992.0),
    REAL(9223372036854775807.0),
    TEXT("0"),
    TEXT("1"),
    TEXT("01"),
    TEXT("1.0"),
    TEXT(" 1.0 "),
    TEXT("1e0"),
    TEXT("0.5"),
    TEXT("5e-1"),
    TEXT("1e300"),
    TEXT("1.0e+300"),
    TEXT("0x1"),
    TEXT("9007199254740993"),
    TEXT("9007199254740992.0"),
    TEXT("9223372036854775807"),
    TEXT("9223372036854775808"),
    TEXT("9.22337203685478e+18"),
    TEXT(""),
    TEXT(" "),
    TEXT("a"),
    TEXT("A"),
    TEXT("a "),
    TEXT("A "),
    TEXT("ab"),
    TEXT("\xc3\xa4"),
    TEXT("\xc3\x84"),
    TEXT("1a"),
    BLOB("a"),
    BLOB("A"),
    BLOB("a "),
    BLOB("1"),
    BLOB("0.5"),
    BLOB(""),
    REAL(INFINITY),
    REAL(-INFINITY),
    TEXT("Inf"),
    TEXT("-inf"),
    REAL(DBL_MAX),
    REAL(5e-324),
    REAL(0.1),
    REAL(0.30000000000000004),
    TEXT("0.3"),
    TEXT("1.79769313486232e+308"),
    TEXT("-1"),
    TEXT("-"),
    REAL(-123456.78901234567),
    TEXT("-123456.789012346"),
    TEXT("1.0 "),
    REAL(3.0),
    INT(3),
    TEXT("3.0"),
    TEXT("3"),
    TEXT("3.0 "),
};
#define NASTY (sizeof nasty / sizeof *nasty)

static const char *const types[] = {"BLOB", "TEXT", "NUMERIC", "INTEGER", "REAL"};
static const char *const collations[] = {"BINARY", "NOCASE", "RTRIM"};

/* ---- a shard and a SQLite of its own ---- */

static void exec(sqlite3 *db, const char *sql)
{
    if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK)
        fail_msg("%s: %s", sql, sqlite3_errmsg(db));
}

static sqlite3_stmt *prepare(sqlite3 *db, const char *sql)
{
    sqlite3_stmt *statement = NULL;
    if (sqlite3_prepare_v2(db, sql, -1, &statement, NULL) != SQLITE_OK)
        fail_msg("%s: %s", sql, sqlite3_errmsg(db));
    return statement;
}

/* Everything that is declared lives in one database. */
static struct shard *shard_of(const char *ddl)
{
    static char placement[65536];
    void *state;
    static const char create[] = "CREATE TABLE ";
    placement[0] = '\0';
    for (const char *at = ddl; (at = strstr(at, create));) {
        at += strlen(create);
        size_t used = strlen(placement);
        snprintf(placement + used, sizeof placement - used, "town\t%.*s\n", (int)strcspn(at, " "), at);
    }
    shard_setup_of(&state, ddl, placement);
    shard_start(state, 1);
    return state;
}

static bool insert(sqlite3_stmt *statement, const struct value *value)
{
    sqlite3_bind_null(statement, 1);
    switch (value->type) {
    case VALUE_INTEGER:
        sqlite3_bind_int64(statement, 1, value->integer);
        break;
    case VALUE_REAL:
        sqlite3_bind_double(statement, 1, value->real);
        break;
    case VALUE_TEXT:
        sqlite3_bind_text(statement, 1, value->bytes, (int)value->len, SQLITE_STATIC);
        break;
    default:
        sqlite3_bind_blob(statement, 1, value->bytes, (int)value->len, SQLITE_STATIC);
        break;
    }
    int result = sqlite3_step(statement);
    sqlite3_reset(statement);
    return result == SQLITE_DONE;
}

/* A child for every nasty value, its rowid the value's place and one. */
static void fill_children(sqlite3 *db, const char *child)
{
    char sql[120];
    snprintf(sql, sizeof sql, "INSERT INTO %s (r) VALUES (?)", child);
    sqlite3_stmt *put = prepare(db, sql);
    for (size_t i = 0; i < NASTY; i++)
        assert_true(insert(put, &nasty[i]));
    sqlite3_finalize(put);
}

static struct value stored_parent(sqlite3_stmt *look)
{
    assert_int_equal(sqlite3_step(look), SQLITE_ROW);
    switch (sqlite3_column_type(look, 0)) {
    case SQLITE_INTEGER:
        return value_integer(sqlite3_column_int64(look, 0));
    case SQLITE_FLOAT:
        return value_real(sqlite3_column_double(look, 0));
    case SQLITE_TEXT:
        return value_text((const char *)sqlite3_column_text(look, 0), (size_t)sqlite3_column_bytes(look, 0));
    default:
        return value_blob(sqlite3_column_blob(look, 0), (size_t)sqlite3_column_bytes(look, 0));
    }
}

/* Which children the shard finds. */
static void find(struct shard *s, reference_id reference, const struct value *parent, bool *ret_found)
{
    struct buffer message = {0};
    struct wire_children_ask ask;
    struct wire_children answer;
    memset(ret_found, 0, NASTY);
    assert_true(wire_put_children(&message, reference, 1) && pack_value(&message, parent));
    struct cursor body = cursor_over(message.bytes, message.len);
    buffer_clear(&s->answer);
    if (!wire_get_children(&body, s->schema, &ask, &s->error) ||
        !children_find(s->children, &ask, &s->answer, &s->error))
        fail_msg("%s", s->error.text);
    body = cursor_over(s->answer.bytes, s->answer.len);
    assert_true(wire_get_children_answer(&body, &answer, &s->error));
    for (uint32_t i = 0; i < answer.count; i++) {
        const uint8_t *row;
        size_t len;
        int64_t rowid;
        assert_true(wire_get_child(&answer, &rowid, &row, &len));
        assert_in_range(rowid, 1, NASTY);
        ret_found[rowid - 1] = true;
    }
    buffer_release(&message);
}

struct oracle {
    sqlite3 *db;
    sqlite3_stmt *put, *look, *take, *left, *named;
};

static struct oracle oracle_of(sqlite3 *db, const char *parent, const char *child)
{
    char sql[5][120];
    snprintf(sql[0], sizeof *sql, "INSERT INTO %s (k) VALUES (?)", parent);
    snprintf(sql[1], sizeof *sql, "SELECT k FROM %s", parent);
    snprintf(sql[2], sizeof *sql, "DELETE FROM %s", parent);
    snprintf(sql[3], sizeof *sql, "SELECT rowid FROM %s", child);
    snprintf(sql[4], sizeof *sql, "SELECT c.rowid FROM %s AS p CROSS JOIN %s AS c WHERE p.k = +c.r", parent, child);
    return (struct oracle){
        db, prepare(db, sql[0]), prepare(db, sql[1]), prepare(db, sql[2]), prepare(db, sql[3]), prepare(db, sql[4])};
}

static void oracle_end(struct oracle *oracle)
{
    sqlite3_stmt *const statements[] = {oracle->put, oracle->look, oracle->take, oracle->left, oracle->named};
    for (unsigned i = 0; i < 5; i++)
        sqlite3_finalize(statements[i]);
}

static void mark(sqlite3_stmt *rowids, bool *marks, bool as)
{
    for (size_t i = 0; i < NASTY; i++)
        marks[i] = !as;
    while (sqlite3_step(rowids) == SQLITE_ROW)
        marks[sqlite3_column_int(rowids, 0) - 1] = as;
    sqlite3_reset(rowids);
}

/* The one parent that is there: how many children it has. */
static unsigned compare_one(struct shard *s, struct oracle *oracle, reference_id reference, bool like,
                            const char *where)
{
    bool found[NASTY], named[NASTY], gone[NASTY];
    unsigned count = 0;
    struct value stored = stored_parent(oracle->look);
    find(s, reference, &stored, found);
    sqlite3_reset(oracle->look);
    mark(oracle->named, named, true);
    bool done = sqlite3_step(oracle->take) == SQLITE_DONE;
    sqlite3_reset(oracle->take);
    mark(oracle->left, gone, false);
    for (size_t j = 0; j < NASTY; j++) {
        if (named[j] != found[j] || (like && (!done || gone[j] != found[j])))
            fail_msg("%s, child %zu: named %d, found %d, SQLite took it %d", where, j, named[j], found[j], gone[j]);
        count += found[j];
    }
    return count;
}

static bool is_like(const struct schema *schema, const struct schema_reference *reference)
{
    enum affinity child = schema->tables[reference->child].columns[reference->child_columns[0]].affinity;
    enum affinity parent = schema->tables[reference->parent].columns[reference->parent_columns[0]].affinity;
    return child == parent || (child >= AFFINITY_NUMERIC && parent >= AFFINITY_NUMERIC);
}

/* One parent after the other; how many children they had in all. */
static unsigned compare(struct shard *s, sqlite3 *db, const char *parent, const char *child)
{
    char where[120];
    table_id id = schema_find_table(s->schema, child, strlen(child));
    reference_id reference = s->schema->tables[id].references[0];
    unsigned children = 0;
    fill_children(store_connection(s->store), child);
    exec(db, "PRAGMA foreign_keys = OFF");
    fill_children(db, child);
    exec(db, "PRAGMA foreign_keys = ON");
    struct oracle oracle = oracle_of(db, parent, child);
    for (size_t i = 0; i < NASTY; i++) {
        exec(db, "BEGIN");
        snprintf(where, sizeof where, "%s and %s, parent %zu", parent, child, i);
        if (insert(oracle.put, &nasty[i])) /* else there is no such row in that column */
            children +=
                compare_one(s, &oracle, reference, is_like(s->schema, &s->schema->references[reference]), where);
        exec(db, "ROLLBACK");
    }
    oracle_end(&oracle);
    return children;
}

static sqlite3 *sqlite_of(const char *ddl)
{
    sqlite3 *db;
    assert_int_equal(sqlite3_open(":memory:", &db), SQLITE_OK);
    exec(db, ddl);
    return db;
}

/* Every other table is a parent, the next its child. */
static unsigned compare_all(const char *ddl)
{
    struct shard *s = shard_of(ddl);
    sqlite3 *db = sqlite_of(ddl);
    unsigned children = 0;
    for (table_id t = 0; t < s->schema->table_count; t += 2)
        children += compare(s, db, s->schema->tables[t].name, s->schema->tables[t + 1].name);
    sqlite3_close(db);
    shard_teardown((void **)&s);
    return children;
}

static void children_are_those_that_name_the_parent_and_that_a_cascade_takes(void **state)
{
    static char ddl[65536];
    (void)state;
    ddl[0] = '\0';
    for (unsigned i = 0; i < 5 * 3 * 5 * 3; i++) {
        const char *parent = types[i % 5], *of_key = collations[i / 5 % 3], *child = types[i / 15 % 5];
        size_t used = strlen(ddl);
        snprintf(ddl + used, sizeof ddl - used,
                 "CREATE TABLE p%u (k %s COLLATE %s UNIQUE);\n"
                 "CREATE TABLE c%u (r %s COLLATE %s REFERENCES p%u (k) ON DELETE CASCADE);\n",
                 i, parent, of_key, i, child, collations[i / 75], i);
    }
    assert_true(compare_all(ddl) > 10000); /* else it asked nothing */
}

static void so_are_those_of_a_rowid_and_of_an_index_with_its_own_collation(void **state)
{
    static char ddl[8192];
    (void)state;
    ddl[0] = '\0';
    for (unsigned i = 0; i < 5; i++) {
        size_t used = strlen(ddl);
        snprintf(ddl + used, sizeof ddl - used,
                 "CREATE TABLE p%u (k INTEGER PRIMARY KEY);\n"
                 "CREATE TABLE c%u (r %s REFERENCES p%u ON DELETE CASCADE);\n"
                 "CREATE TABLE q%u (k TEXT COLLATE %s);\nCREATE UNIQUE INDEX i%u ON q%u (k);\n"
                 "CREATE TABLE d%u (r TEXT COLLATE %s REFERENCES q%u (k) ON DELETE CASCADE);\n",
                 i, i, types[i], i, i, collations[i % 3], i, i, i, collations[(i + 1) % 3], i);
    }
    assert_true(compare_all(ddl) > 200);
}

/* ---- what is told ---- */

static const char told[] =
    "CREATE TABLE p (x TEXT COLLATE NOCASE, y INTEGER, k INTEGER PRIMARY KEY, UNIQUE (y, x));\n"
    "CREATE TABLE c (a, b INTEGER, t TEXT, twice AS (b * 2), FOREIGN KEY (t, b) REFERENCES p (x, y));\n"
    "CREATE TABLE d (id INTEGER PRIMARY KEY, p REFERENCES p (k), u TEXT, v TEXT, w TEXT);\n"
    "CREATE TABLE self (id INTEGER PRIMARY KEY REFERENCES p (k), other INT REFERENCES p (k));\n"
    "CREATE TABLE untyped (t REFERENCES q (t), n REFERENCES p (k));\n"
    "CREATE TABLE q (t TEXT PRIMARY KEY);\n";
enum { C_P, D_P, SELF_ID, SELF_OTHER, UNTYPED_T, UNTYPED_N }; /* references, in their order */

static int setup(void **state)
{
    *state = shard_of(told);
    return 0;
}

static void rows_are_told_whole_behind_their_rowids_or_nil(void **state)
{
    struct shard *s = *state;
    shard_sql(s, "INSERT INTO c (rowid, a, b, t) VALUES (7, 'x', 1, 'Ann'), (9, 'y', 2, 'Ann'), (11, NULL, 1, 'ANN')");
    shard_sql(s, "INSERT INTO d (id, p) VALUES (3, 1), (4, 2), (5, NULL)");
    says(shard_children(s, C_P, "'ann|1"), "7: 'x'|1|'Ann'|2;11: NULL|1|'ANN'|2");
    says(shard_children(s, C_P, "'Ann|2"), "9: 'y'|2|'Ann'|4");
    says(shard_children(s, C_P, "'Bob|1"), "");
    says(shard_children(s, D_P, "1"), "3|1|NULL|NULL|NULL");
    says(shard_children(s, D_P, "NULL"), "");
    says(shard_children(s, D_P, "1|2"), "parse");
    says(shard_children(s, 6, "1"), "parse");
}

static void a_reference_of_another_database_is_refused(void **state)
{
    void *made;
    (void)state;
    shard_setup_of(&made, told, "town\tp\ntown\tc\n");
    struct shard *s = made;
    shard_start(s, 1);
    says(shard_children(s, C_P, "'ann|1"), "");
    says(shard_children(s, D_P, "1"), "internal");
    shard_teardown(&made);
}

static void too_many_rows_or_bytes_are_refused(void **state)
{
    struct shard *s = *state;
    shard_sql(s, "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000)"
                 " INSERT INTO untyped (n) SELECT 1 FROM n");
    shard_children(s, UNTYPED_N, "1");
    assert_in_range(s->answer.len, 5 * 100000, 12 * 100000);
    shard_sql(s, "INSERT INTO untyped (n) VALUES (1)");
    says(shard_children(s, UNTYPED_N, "1"), "too_large");
    assert_string_equal(s->error.table, "untyped");
    shard_sql(s, "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 34)"
                 " INSERT INTO c (a, b, t) SELECT zeroblob(1048000), 1, 'x' FROM n");
    says(shard_children(s, C_P, "'x|1"), "too_large");
    shard_sql(s, "DELETE FROM c WHERE rowid > 30");
    shard_children(s, C_P, "'x|1");
    assert_in_range(s->answer.len, 30 * 1048000, 31 * 1048000);
}

/* ---- the index ---- */

#define INDEXES                                                                    \
    "SELECT name, sql FROM sqlite_schema WHERE type = 'index' AND sql IS NOT NULL" \
    " AND name <> '_sheaf_answers_at' ORDER BY name"

static void the_first_question_makes_the_index_that_is_missing_and_a_restart_finds_it(void **state)
{
    struct shard *s = *state;
    shard_sql(s, "INSERT INTO c (a, b, t) VALUES (1, 1, 'Ann')");
    says(shard_sql(s, INDEXES), "");
    says(shard_children(s, C_P, "'ann|1"), "1: 1|1|'Ann'|2");
    const char *made = "_sheaf_ix_0|CREATE INDEX _sheaf_ix_0 ON \"c\" (\"t\" COLLATE NOCASE, \"b\" COLLATE BINARY)";
    says(shard_sql(s, INDEXES), made);
    says(shard_children(s, C_P, "'ann|1"), "1: 1|1|'Ann'|2");
    shard_close(s);
    shard_start(s, 2); /* with the schema that the coordinator has: the index makes no difference */
    says(shard_children(s, C_P, "'ANN|1"), "1: 1|1|'Ann'|2");
    says(shard_sql(s, INDEXES), made);
}

static void an_index_that_begins_with_the_columns_does(void **state)
{
    static const struct {
        const char *sql;
        bool serves;
    } indexes[] = {
        {"CREATE INDEX i ON c (t COLLATE NOCASE, b, a)", true},
        {"CREATE UNIQUE INDEX i ON c (b, t COLLATE NOCASE)", true},
        {"CREATE INDEX i ON c (t, b)", false}, /* its collation */
        {"CREATE INDEX i ON c (a, t COLLATE NOCASE, b)", false},
        {"CREATE INDEX i ON c (t COLLATE NOCASE)", false},
        {"CREATE INDEX i ON c (b, b, t COLLATE NOCASE)", true}, /* SQLite drops the second */
        {"CREATE INDEX i ON c (t COLLATE NOCASE, b) WHERE b > 0", false},
        {"CREATE INDEX i ON c (lower(t), b)", false},
    };
    for (size_t i = 0; i < sizeof indexes / sizeof *indexes; i++) {
        struct shard *s = *state;
        shard_sql(s, indexes[i].sql);
        says(shard_children(s, C_P, "'ann|1"), "");
        if ((shard_sql(s, INDEXES), strstr(s->text, "_sheaf_ix_0") == NULL) != indexes[i].serves)
            fail_msg("%s: %s", indexes[i].sql, s->text);
        shard_teardown(state);
        setup(state);
    }
}

static void a_rowid_needs_no_index(void **state)
{
    struct shard *s = *state;
    says(shard_children(s, SELF_ID, "1"), "");
    says(shard_sql(s, INDEXES), "");
    says(shard_children(s, SELF_OTHER, "1"), "");
    says(shard_sql(s, INDEXES), "_sheaf_ix_3|CREATE INDEX _sheaf_ix_3 ON \"self\" (\"other\" COLLATE BINARY)");
}

static void no_index_is_made_while_the_wal_has_no_room(void **state)
{
    struct shard *s = *state;
    shard_close(s);
    s->options.wal_bytes = 8192;
    s->options.wal_checkpoint_pages = 1;
    shard_start(s, 2);
    sqlite3 *reader;
    assert_int_equal(sqlite3_open(shard_path(s, "town.db"), &reader), SQLITE_OK);
    exec(reader, "BEGIN; SELECT count(*) FROM q");
    uint64_t n = 1;
    char row[20];
    do {
        snprintf(row, sizeof row, "'%llu", (unsigned long long)n);
        shard_insert(s, 5, row);
    } while (!strcmp(shard_write(s, n), "applied") && n++ < 1000);
    says(s->text, "failed unavailable");
    batch_abandon(s->batch);
    says(shard_children(s, C_P, "'ann|1"), "unavailable");
    says(shard_sql(s, INDEXES), "");
    sqlite3_close(reader);
    says(shard_children(s, C_P, "'ann|1"), "");
    assert_non_null(strstr(shard_sql(s, INDEXES), "_sheaf_ix_0"));
}

/* Every question is answered by an index, also where a column has no type. */
static void no_child_table_is_read_as_a_whole(void **state)
{
    struct shard *s = *state;
    shard_sql(s, "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000)"
                 " INSERT INTO untyped SELECT iif(i % 2, 'k' || i, i), i FROM n");
    shard_sql(s, "INSERT INTO c (a, b, t) SELECT 1, n, t FROM untyped");
    says(shard_children(s, UNTYPED_T, "'k7"), "7: 'k7'|7");
    says(shard_children(s, UNTYPED_T, "'8"), "8: 8|8");
    says(shard_children(s, UNTYPED_N, "9"), "9: 'k9'|9");
    says(shard_children(s, C_P, "'K11|11"), "11: 1|11|'k11'|22");
    says(shard_children(s, SELF_ID, "1"), "");
    says(shard_children(s, SELF_OTHER, "1"), "");
    unsigned looked = 0;
    for (sqlite3_stmt *at = NULL; (at = sqlite3_next_stmt(store_connection(s->store), at));)
        if (strstr(sqlite3_sql(at), "COLLATE")) {
            if (sqlite3_stmt_status(at, SQLITE_STMTSTATUS_FULLSCAN_STEP, 0))
                fail_msg("%s", sqlite3_sql(at));
            looked++;
        }
    assert_int_equal(looked, 5);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, shard_teardown)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(children_are_those_that_name_the_parent_and_that_a_cascade_takes),
        cmocka_unit_test(so_are_those_of_a_rowid_and_of_an_index_with_its_own_collation),
        cmocka_unit_test(a_reference_of_another_database_is_refused),
        TEST(rows_are_told_whole_behind_their_rowids_or_nil),
        TEST(too_many_rows_or_bytes_are_refused),
        TEST(the_first_question_makes_the_index_that_is_missing_and_a_restart_finds_it),
        TEST(an_index_that_begins_with_the_columns_does),
        TEST(a_rowid_needs_no_index),
        TEST(no_index_is_made_while_the_wal_has_no_room),
        TEST(no_child_table_is_read_as_a_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
