/* SPDX-License-Identifier: Apache-2.0 */
/* What a row locks, and whether it names another: SQLite itself is asked, over every pair of nasty values. */
#include "rowkeys.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <sqlite3.h>

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
    TEXT(" 1.0 "),
    TEXT("1e0"),
    TEXT("0.5"),
    TEXT("5e-1"),
    TEXT("1e300"),
    TEXT("0x1"),
    TEXT("9007199254740993"),
    TEXT("9223372036854775807"),
    TEXT("9223372036854775808"),
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
    BLOB(""),
    {.type = VALUE_NULL},
};
#define NASTY (sizeof nasty / sizeof *nasty)

static const char *const types[] = {"BLOB", "TEXT", "NUMERIC", "INTEGER", "REAL"}; /* as enum affinity */
static const char *const collations[] = {"BINARY", "NOCASE", "RTRIM"};

struct world {
    struct schema *schema;
    struct rowkeys *rowkeys;
    struct affinity_scratch *scratch;
};

static struct world world_of(const char *ddl)
{
    struct error error;
    struct world world = {.schema = schema_load(ddl, strlen(ddl), "test", NULL, &error)};
    if (!world.schema)
        fail_msg("%s", error.text);
    world.rowkeys = rowkeys_new(world.schema);
    world.scratch = affinity_open(&error);
    assert_true(world.rowkeys && world.scratch);
    return world;
}

static void world_end(struct world *world)
{
    rowkeys_free(world->rowkeys);
    affinity_close(world->scratch);
    schema_free(world->schema);
}

static const struct schema_reference *reference(const struct world *world, table_id child, uint16_t number)
{
    return &world->schema->references[world->schema->tables[child].references[number]];
}

static void bind(sqlite3_stmt *statement, int at, const struct value *value)
{
    int result = SQLITE_OK;
    if (value->type == VALUE_INTEGER)
        result = sqlite3_bind_int64(statement, at, value->integer);
    else if (value->type == VALUE_REAL)
        result = sqlite3_bind_double(statement, at, value->real);
    else if (value->type == VALUE_TEXT)
        result = sqlite3_bind_text(statement, at, value->bytes, (int)value->len, SQLITE_STATIC);
    else if (value->type == VALUE_BLOB)
        result = sqlite3_bind_blob(statement, at, value->bytes, (int)value->len, SQLITE_STATIC);
    else
        result = sqlite3_bind_null(statement, at);
    assert_int_equal(result, SQLITE_OK);
}

static sqlite3 *database_of(const char *ddl)
{
    sqlite3 *db;
    assert_int_equal(sqlite3_open(":memory:", &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "PRAGMA foreign_keys=ON", NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, ddl, NULL, NULL, NULL), SQLITE_OK);
    return db;
}

static sqlite3_stmt *prepare(sqlite3 *db, const char *sql)
{
    sqlite3_stmt *statement;
    if (sqlite3_prepare_v2(db, sql, -1, &statement, NULL) != SQLITE_OK)
        fail_msg("%s: %s", sql, sqlite3_errmsg(db));
    return statement;
}

/* SQLite up to at least 3.40 does not find 5 in an INTEGER PRIMARY KEY for a REAL column that says 5 (its OP_MustBeInt
 * passes over integers that are stored as reals), nor a real beyond 2^53 that was given as an integer. Its own `=`
 * does. */
static bool is_a_miss_of_sqlite(const struct schema *schema, const struct schema_reference *r, bool sqlite, bool ours)
{
    return !sqlite && ours &&
           (schema->tables[r->child].columns[r->child_columns[0]].affinity == AFFINITY_REAL ||
            schema->tables[r->parent].columns[r->parent_columns[0]].affinity == AFFINITY_REAL);
}

/* Inserts one row; whether SQLite took it. */
static bool insert(sqlite3_stmt *statement, const struct value *first, const struct value *second)
{
    bind(statement, 1, first);
    if (second)
        bind(statement, 2, second);
    int result = sqlite3_step(statement);
    sqlite3_reset(statement);
    return result == SQLITE_DONE;
}

/* ---- one column ---- */

/* What `=` says about a parent's key and each nasty value that a child could hold. */
struct equality {
    sqlite3 *db;
    sqlite3_stmt *put_parent, *compare;
};

static struct equality equality_of(const char *ddl)
{
    struct equality equality = {.db = database_of(ddl)};
    assert_int_equal(sqlite3_exec(equality.db, "PRAGMA foreign_keys=OFF", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_stmt *put_child = prepare(equality.db, "INSERT INTO c VALUES (?)");
    for (size_t i = 0; i < NASTY; i++)
        assert_true(insert(put_child, &nasty[i], NULL));
    sqlite3_finalize(put_child);
    equality.put_parent = prepare(equality.db, "INSERT INTO p VALUES (?)");
    equality.compare = prepare(equality.db, "SELECT c.rowid - 1 FROM p, c WHERE p.k = +c.r");
    return equality;
}

static void equal_to(struct equality *equality, const struct value *parent, bool *ret_equal)
{
    memset(ret_equal, 0, NASTY);
    assert_int_equal(sqlite3_exec(equality->db, "DELETE FROM p", NULL, NULL, NULL), SQLITE_OK);
    assert_true(insert(equality->put_parent, parent, NULL));
    while (sqlite3_step(equality->compare) == SQLITE_ROW)
        ret_equal[sqlite3_column_int(equality->compare, 0)] = true;
    sqlite3_reset(equality->compare);
}

static void equality_end(struct equality *equality)
{
    sqlite3_finalize(equality->put_parent);
    sqlite3_finalize(equality->compare);
    sqlite3_close(equality->db);
}

/* Each pair of values, one as the parent's key and one naming it: rowkeys_names is what SQLite does, and where it is
 * true both have one lock key. */
static unsigned compare_with_sqlite(const char *ddl)
{
    struct world world = world_of(ddl);
    struct equality equality = equality_of(ddl);
    sqlite3 *db = database_of(ddl);
    sqlite3_stmt *put_parent = prepare(db, "INSERT INTO p VALUES (?)");
    sqlite3_stmt *put_child = prepare(db, "INSERT INTO c VALUES (?)");
    const struct schema_reference *r = reference(&world, 1, 0);
    unsigned equal = 0;
    /* references are checked at once all the same, and a statement costs a tenth of what it does on its own */
    assert_int_equal(sqlite3_exec(db, "BEGIN", NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_exec(equality.db, "BEGIN", NULL, NULL, NULL), SQLITE_OK);
    for (size_t i = 0; i < NASTY; i++) {
        bool equals[NASTY];
        assert_int_equal(sqlite3_exec(db, "DELETE FROM c; DELETE FROM p", NULL, NULL, NULL), SQLITE_OK);
        if (nasty[i].type == VALUE_NULL || !insert(put_parent, &nasty[i], NULL))
            continue; /* no such row in that column */
        equal_to(&equality, &nasty[i], equals);
        for (size_t j = 0; j < NASTY; j++) {
            uint64_t taken, named;
            if (nasty[j].type == VALUE_NULL)
                continue;
            bool sqlite = insert(put_child, &nasty[j], NULL);
            bool ours = rowkeys_names(world.scratch, world.schema, r, &nasty[j], &nasty[i]);
            if (ours != equals[j] || (sqlite != ours && !is_a_miss_of_sqlite(world.schema, r, sqlite, ours)))
                fail_msg("%s: parent %zu, child %zu: = %d, foreign key %d, rowkeys_names %d", ddl, i, j, equals[j],
                         sqlite, ours);
            assert_true(rowkeys_taken(world.rowkeys, 0, 0, &nasty[i], &taken));
            assert_true(rowkeys_named(world.rowkeys, r, &nasty[j], &named));
            if (ours && taken != named)
                fail_msg("%s: parent %zu, child %zu: equal, and the lock keys differ", ddl, i, j);
            equal += ours && i != j;
        }
    }
    sqlite3_finalize(put_parent);
    sqlite3_finalize(put_child);
    sqlite3_close(db);
    equality_end(&equality);
    world_end(&world);
    return equal;
}

static void a_row_names_just_what_sqlite_finds(void **state)
{
    char ddl[200];
    unsigned equal = 0;
    (void)state;
    for (unsigned child = 0; child < 5; child++)
        for (unsigned parent = 0; parent < 5; parent++)
            for (unsigned c = 0; c < 3; c++) {
                snprintf(ddl, sizeof ddl,
                         "CREATE TABLE p (k %s COLLATE %s UNIQUE);"
                         "CREATE TABLE c (r %s REFERENCES p (k));",
                         types[parent], collations[c], types[child]);
                equal += compare_with_sqlite(ddl);
            }
    assert_true(equal > 500); /* else it asked nothing */
}

static void a_rowid_is_named_as_sqlite_finds_it(void **state)
{
    char ddl[200];
    (void)state;
    for (unsigned child = 0; child < 5; child++) {
        snprintf(ddl, sizeof ddl, "CREATE TABLE p (k INTEGER PRIMARY KEY); CREATE TABLE c (r %s REFERENCES p);",
                 types[child]);
        assert_true(compare_with_sqlite(ddl) > 5);
    }
}

/* The index's own collation decides, not the column's. */
static void an_index_may_have_a_collation_of_its_own(void **state)
{
    char ddl[200];
    (void)state;
    for (unsigned c = 1; c < 3; c++) {
        snprintf(ddl, sizeof ddl,
                 "CREATE TABLE p (k TEXT COLLATE %s); CREATE UNIQUE INDEX i ON p (k);"
                 "CREATE TABLE c (r REFERENCES p (k));",
                 collations[c]);
        assert_true(compare_with_sqlite(ddl) > 5);
    }
}

/* ---- a row that names itself ---- */

static void compare_self(const char *ddl)
{
    struct world world = world_of(ddl);
    sqlite3 *db = database_of(ddl);
    sqlite3_stmt *put = prepare(db, "INSERT INTO t VALUES (?, ?)");
    for (size_t i = 0; i < NASTY; i++)
        for (size_t j = 0; j < NASTY; j++) {
            const struct value row[] = {nasty[i], nasty[j]};
            if (nasty[i].type == VALUE_NULL || nasty[j].type == VALUE_NULL)
                continue;
            bool sqlite = insert(put, &nasty[i], &nasty[j]);
            if (!sqlite && (sqlite3_extended_errcode(db) != SQLITE_CONSTRAINT_FOREIGNKEY))
                continue; /* not even without the reference */
            bool ours = rowkeys_names_itself(world.scratch, world.schema, reference(&world, 0, 0), row, false);
            if (sqlite != ours && !is_a_miss_of_sqlite(world.schema, reference(&world, 0, 0), sqlite, ours))
                fail_msg("%s: key %zu, reference %zu: SQLite %d, rowkeys_names_itself %d", ddl, i, j, sqlite, ours);
            if (sqlite)
                assert_int_equal(sqlite3_exec(db, "DELETE FROM t", NULL, NULL, NULL), SQLITE_OK);
        }
    sqlite3_finalize(put);
    sqlite3_close(db);
    world_end(&world);
}

static void a_row_names_itself_just_where_sqlite_thinks_so(void **state)
{
    static const char *const when[] = {"", " DEFERRABLE INITIALLY DEFERRED"};
    char ddl[200];
    (void)state;
    for (unsigned child = 0; child < 5; child++)
        for (unsigned parent = 0; parent < 5; parent++)
            for (unsigned c = 0; c < 3; c++)
                for (unsigned deferred = 0; deferred < 2; deferred++) {
                    snprintf(ddl, sizeof ddl, "CREATE TABLE t (k %s COLLATE %s UNIQUE, r %s REFERENCES t (k)%s);",
                             types[parent], collations[c], types[child], when[deferred]);
                    compare_self(ddl);
                }
    for (unsigned child = 0; child < 5; child++)
        for (unsigned deferred = 0; deferred < 2; deferred++) {
            snprintf(ddl, sizeof ddl, "CREATE TABLE t (k INTEGER PRIMARY KEY, r %s REFERENCES t%s);", types[child],
                     when[deferred]);
            compare_self(ddl);
        }
}

static void a_row_of_another_table_is_never_itself(void **state)
{
    struct world world = world_of("CREATE TABLE p (k INTEGER PRIMARY KEY);"
                                  "CREATE TABLE c (k INTEGER PRIMARY KEY, r REFERENCES p);");
    const struct value row[] = {INT(1), INT(1)};
    (void)state;
    assert_false(rowkeys_names_itself(world.scratch, world.schema, reference(&world, 1, 0), row, false));
    assert_false(rowkeys_names_itself(world.scratch, world.schema, reference(&world, 1, 0), row, true));
    world_end(&world);
}

/* ---- several columns ---- */

static const char composite[] = "CREATE TABLE p (x TEXT COLLATE NOCASE, y INTEGER, z, UNIQUE (y, x));"
                                "CREATE TABLE c (a, b, d, FOREIGN KEY (a, b) REFERENCES p (x, y),"
                                " FOREIGN KEY (b, a) REFERENCES p (y, x));";

static void columns_are_compared_in_the_keys_order_however_a_reference_lists_them(void **state)
{
    struct world world = world_of(composite);
    sqlite3 *db = database_of(composite);
    sqlite3_stmt *put_parent = prepare(db, "INSERT INTO p VALUES (?, ?, NULL)");
    sqlite3_stmt *put_child = prepare(db, "INSERT INTO c VALUES (?, ?, NULL)");
    const struct value some[] = {INT(1), TEXT("1"), TEXT("1.0"), TEXT("a"), TEXT("A"), INT(2)};
    enum { SOME = 6 };
    unsigned equal = 0;
    (void)state;
    for (int i = 0; i < SOME * SOME; i++) {
        const struct value parent[] = {some[i / SOME], some[i % SOME], {.type = VALUE_NULL}};
        assert_int_equal(sqlite3_exec(db, "DELETE FROM c; DELETE FROM p", NULL, NULL, NULL), SQLITE_OK);
        assert_true(insert(put_parent, &parent[0], &parent[1]));
        for (int j = 0; j < SOME * SOME; j++) {
            const struct value child[] = {some[j / SOME], some[j % SOME], {.type = VALUE_NULL}};
            bool sqlite = insert(put_child, &child[0], &child[1]);
            equal += sqlite;
            for (uint16_t r = 0; r < 2; r++) {
                uint64_t taken, named;
                assert_int_equal(rowkeys_names(world.scratch, world.schema, reference(&world, 1, r), child, parent),
                                 sqlite);
                assert_true(rowkeys_taken(world.rowkeys, 0, 0, parent, &taken));
                assert_true(rowkeys_named(world.rowkeys, reference(&world, 1, r), child, &named));
                assert_true(!sqlite || taken == named);
            }
        }
    }
    assert_true(equal > SOME * SOME);
    const struct value turned[] = {INT(2), INT(1), {.type = VALUE_NULL}}, straight[] = {INT(1), INT(2), INT(3)};
    uint64_t a, b;
    assert_true(rowkeys_taken(world.rowkeys, 0, 0, turned, &a));
    assert_true(rowkeys_taken(world.rowkeys, 0, 0, straight, &b));
    assert_true(a != b);
    sqlite3_finalize(put_parent);
    sqlite3_finalize(put_child);
    sqlite3_close(db);
    world_end(&world);
}

static void a_key_with_a_null_locks_nothing(void **state)
{
    struct world world = world_of(composite);
    const struct value parent[] = {TEXT("a"), {.type = VALUE_NULL}, INT(1)},
                       child[] = {TEXT("a"), {.type = VALUE_ABSENT}};
    struct lock_want wants[8];
    uint64_t key;
    (void)state;
    assert_false(rowkeys_taken(world.rowkeys, 0, 0, parent, &key));
    assert_false(rowkeys_named(world.rowkeys, reference(&world, 1, 0), child, &key));
    assert_false(rowkeys_names(world.scratch, world.schema, reference(&world, 1, 0), child, parent));
    assert_int_equal(rowkeys_wants(world.rowkeys, 0, parent, false, wants), 0);
    assert_int_equal(rowkeys_wants(world.rowkeys, 1, child, true, wants), 0);
    world_end(&world);
}

/* ---- wants ---- */

static const char several[] =
    "CREATE TABLE p (id INTEGER PRIMARY KEY, mail TEXT COLLATE NOCASE UNIQUE, part TEXT, low TEXT);"
    "CREATE UNIQUE INDEX p_part ON p (part) WHERE part > 'm';"
    "CREATE UNIQUE INDEX p_low ON p (lower(low));"
    "CREATE TABLE c (id INTEGER PRIMARY KEY, p REFERENCES p, m REFERENCES p (mail));";

static unsigned exclusive_of(const struct lock_want *wants, size_t count)
{
    unsigned exclusive = 0;
    for (size_t i = 0; i < count; i++)
        exclusive += wants[i].exclusive;
    return exclusive;
}

static void a_row_takes_its_keys_and_shares_its_parents(void **state)
{
    struct world world = world_of(several);
    const struct value parent[] = {INT(1), TEXT("Ann@x"), TEXT("z"), TEXT("Low")};
    const struct value child[] = {INT(1), TEXT("1.0"), TEXT("ann@X")};
    struct lock_want wants[8];
    uint64_t rowid, mail;
    size_t count = rowkeys_wants(world.rowkeys, 1, child, false, wants);
    (void)state;
    assert_int_equal(count, 3);
    assert_int_equal(exclusive_of(wants, count), 1);
    assert_int_equal(rowkeys_wants_max(world.rowkeys, 1), 3);
    const struct schema_table *p = &world.schema->tables[0];
    for (uint16_t k = 0; k < p->key_count; k++) {
        if (p->keys[k].rowid)
            assert_true(rowkeys_taken(world.rowkeys, 0, k, parent, &rowid));
        else if (!p->keys[k].partial && !p->keys[k].expression)
            assert_true(rowkeys_taken(world.rowkeys, 0, k, parent, &mail));
    }
    for (size_t i = 0; i < count; i++)
        assert_true(wants[i].exclusive || wants[i].key == rowid || wants[i].key == mail);
    assert_true(rowid != mail);
    world_end(&world);
}

/* Its place in the batch decides there; a transaction that comes meanwhile waits for it, and it for that. */
static void a_single_row_shares_what_cannot_be_computed_here_and_a_transaction_takes_it(void **state)
{
    struct world world = world_of(several);
    const struct value a[] = {INT(1), TEXT("a"), TEXT("a"), TEXT("a")}, b[] = {INT(2), TEXT("b"), TEXT("b"), TEXT("b")};
    struct lock_want of_a[8], of_b[8];
    unsigned common = 0;
    (void)state;
    assert_int_equal(rowkeys_wants(world.rowkeys, 0, a, false, of_a), 4);
    assert_int_equal(exclusive_of(of_a, 4), 2);
    assert_int_equal(rowkeys_wants(world.rowkeys, 0, b, true, of_b), 4);
    assert_int_equal(exclusive_of(of_b, 4), 4);
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < 4; j++)
            if (of_a[i].key == of_b[j].key) { /* the expression: one key for the whole table */
                common++;
                assert_false(of_a[i].exclusive);
            }
    assert_int_equal(common, 1);
    world_end(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_row_names_just_what_sqlite_finds),
        cmocka_unit_test(a_rowid_is_named_as_sqlite_finds_it),
        cmocka_unit_test(an_index_may_have_a_collation_of_its_own),
        cmocka_unit_test(a_row_names_itself_just_where_sqlite_thinks_so),
        cmocka_unit_test(a_row_of_another_table_is_never_itself),
        cmocka_unit_test(columns_are_compared_in_the_keys_order_however_a_reference_lists_them),
        cmocka_unit_test(a_key_with_a_null_locks_nothing),
        cmocka_unit_test(a_row_takes_its_keys_and_shares_its_parents),
        cmocka_unit_test(a_single_row_shares_what_cannot_be_computed_here_and_a_transaction_takes_it),
    };
    return cmocka_run_group_tests_name("rowkeys", tests, NULL, NULL);
}
