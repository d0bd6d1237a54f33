/* SPDX-License-Identifier: Apache-2.0 */
/* Random tables in circles and random rows, against one SQLite file: every row in the order of its input with foreign
 * keys off, then what foreign_key_check names is deleted until nothing is left. */
#include "world.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define TABLES_MAX 4
#define ROWS 40
#define KEYS 30

static int below(int bound)
{
    return rand() % bound;
}

/* ---- the judge ---- */

struct judge {
    const struct schema *schema;
    sqlite3 *db;
    struct insert *insert;
};

static void judge_sql(const struct judge *judge, const char *format, ...)
{
    char *message = NULL;
    va_list arguments;

    va_start(arguments, format);
    char *text = sqlite3_vmprintf(format, arguments);
    va_end(arguments);
    if (sqlite3_exec(judge->db, text, NULL, NULL, &message) != SQLITE_OK)
        panic("%s: %s", text, message);
    sqlite3_free(text);
}

static void judge_open(struct judge *judge, const struct schema *schema, const char *ddl)
{
    struct error error;

    judge->schema = schema;
    sqlite3_open(":memory:", &judge->db);
    judge_sql(judge, "%s", ddl);
    for (table_id t = 0; t < schema->table_count; t++)
        judge_sql(judge, "ALTER TABLE \"%w\" ADD COLUMN n INTEGER", schema->tables[t].name);
    judge->insert = insert_new(judge->db, schema, &error);
}

static void judge_close(struct judge *judge)
{
    insert_free(judge->insert);
    sqlite3_close(judge->db);
}

/* The number of the row that has this row's primary key. */
static int first_of(const struct judge *judge, table_id id, const struct value *values)
{
    const struct schema_table *table = &judge->schema->tables[id];
    const struct schema_key *key = &table->keys[table->primary_key];
    char text[512];
    int len = snprintf(text, sizeof(text), "SELECT n FROM \"%s\" WHERE 1", table->name);
    sqlite3_stmt *statement;

    for (uint16_t i = 0; i < key->column_count; i++)
        len += snprintf(text + len, sizeof(text) - (size_t)len, " AND \"%s\" = ?%d",
                        table->columns[key->columns[i]].name, i + 1);
    assert_int_equal(sqlite3_prepare_v2(judge->db, text, -1, &statement, NULL), SQLITE_OK);
    for (uint16_t i = 0; i < key->column_count; i++)
        insert_bind(statement, i + 1, &values[key->columns[i]]);
    assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
    int first = sqlite3_column_int(statement, 0);
    sqlite3_finalize(statement);
    return first;
}

static void delete_with_rowid(const struct judge *judge, const char *table)
{
    char *text = sqlite3_mprintf("SELECT rowid FROM pragma_foreign_key_check(%Q)", table);
    sqlite3_stmt *statement;

    assert_int_equal(sqlite3_prepare_v2(judge->db, text, -1, &statement, NULL), SQLITE_OK);
    struct buffer rows = {0};
    while (sqlite3_step(statement) == SQLITE_ROW)
        buffer_format(&rows, "%s%s", rows.len ? "," : "", (const char *)sqlite3_column_text(statement, 0));
    sqlite3_finalize(statement);
    sqlite3_free(text);
    if (rows.len)
        judge_sql(judge, "DELETE FROM \"%w\" WHERE rowid IN (%.*s)", table, (int)rows.len, (char *)rows.bytes);
    buffer_release(&rows);
}

/* foreign_key_check gives no rowid here. */
static void delete_without_rowid(const struct judge *judge, const struct schema_table *table)
{
    for (uint16_t r = 0; r < table->reference_count; r++) {
        const struct schema_reference *reference = &judge->schema->references[table->references[r]];
        const struct schema_table *parent = &judge->schema->tables[reference->parent];
        char given[256] = "1", match[256] = "1";
        for (uint16_t i = 0; i < reference->column_count; i++) {
            const char *child_name = table->columns[reference->child_columns[i]].name;
            snprintf(given + strlen(given), sizeof(given) - strlen(given), " AND %s IS NOT NULL", child_name);
            snprintf(match + strlen(match), sizeof(match) - strlen(match), " AND p.%s = +c.%s",
                     parent->columns[reference->parent_columns[i]].name, child_name);
        }
        judge_sql(judge, "DELETE FROM %s AS c WHERE %s AND NOT EXISTS (SELECT 1 FROM %s p WHERE %s)", table->name,
                  given, parent->name, match);
    }
}

static void delete_orphans(const struct judge *judge)
{
    int before;

    do {
        before = sqlite3_total_changes(judge->db);
        for (table_id t = 0; t < judge->schema->table_count; t++) {
            if (judge->schema->tables[t].without_rowid)
                delete_without_rowid(judge, &judge->schema->tables[t]);
            else
                delete_with_rowid(judge, judge->schema->tables[t].name);
        }
    } while (sqlite3_total_changes(judge->db) != before);
}

static bool survived(const struct judge *judge, table_id table, int number)
{
    char *text = sqlite3_mprintf("SELECT 1 FROM \"%w\" WHERE n=%d", judge->schema->tables[table].name, number);
    sqlite3_stmt *statement;

    assert_int_equal(sqlite3_prepare_v2(judge->db, text, -1, &statement, NULL), SQLITE_OK);
    bool there = sqlite3_step(statement) == SQLITE_ROW;
    sqlite3_finalize(statement);
    sqlite3_free(text);
    return there;
}

/* What each record of an input meets by itself: its code, or (NONE) the number of the row whose fate it shares; -1: was
 * there before. */
struct expected {
    enum error_code code;
    int shares;
};

static void judge_input(const struct judge *judge, const struct world_input *input, int from, struct expected *expected)
{
    const struct schema_table *table = &judge->schema->tables[input->table];
    struct buffer row = {0};
    struct error error;
    int64_t rowid;

    for (uint32_t i = 0; i < input->count; i++) {
        buffer_clear(&row);
        row_write(table, input->records[i].values, &row);
        expected[i] = (struct expected){ERROR_NONE, from + (int)i};
        switch (insert_row(judge->insert, input->table, row.bytes, row.len, true, &rowid, &error)) {
        case INSERT_DONE:
            judge_sql(judge, "UPDATE \"%w\" SET n=%d WHERE n IS NULL", table->name, from + (int)i);
            break;
        case INSERT_SAME:
            expected[i].shares = first_of(judge, input->table, input->records[i].values);
            break;
        default:
            expected[i].code = error.code;
        }
    }
    buffer_release(&row);
}

/* ---- random schemas and rows ---- */

/* Kinds of primary keys: how a reference to them is declared, and values for them. */
enum kind { KIND_INTEGER, KIND_TEXT, KIND_NOCASE, KIND_NUMERIC, KIND_PAIR, KINDS };

static const char *const key_columns[KINDS] = {
    "k INTEGER PRIMARY KEY", "k TEXT PRIMARY KEY NOT NULL", "k TEXT COLLATE NOCASE NOT NULL PRIMARY KEY",
    "k NUMERIC NOT NULL PRIMARY KEY", "k INTEGER NOT NULL, k2 TEXT NOT NULL"};
static const char *const texts[] = {"a", "A", "b", "1", "01", "1.0", " 1", "c", "C", "2"};

static void random_schema(enum kind *kinds, int tables, struct buffer *ddl)
{
    static const char *const declared[] = {"INTEGER", "TEXT", "NUMERIC", "", "TEXT COLLATE NOCASE", "BLOB"};

    for (int t = 0; t < tables; t++)
        kinds[t] = (enum kind)below(KINDS);
    for (int t = 0; t < tables; t++) {
        int references[2] = {(t + 1) % tables, below(3) ? -1 : below(tables)}; /* the first ones make the circle */
        bool without_rowid = kinds[t] != KIND_INTEGER && below(2);
        buffer_format(ddl, "CREATE TABLE t%d(%s, u TEXT UNIQUE, v INTEGER DEFAULT 1 CHECK (v <> 3)", t,
                      key_columns[kinds[t]]);
        for (int r = 0; r < 2; r++) {
            bool pair = references[r] >= 0 && kinds[references[r]] == KIND_PAIR;
            buffer_format(ddl, ", r%d %s", r,
                          references[r] >= 0 && kinds[references[r]] == KIND_INTEGER && below(2) ? "INTEGER"
                                                                                                 : declared[below(6)]);
            if (pair)
                buffer_format(ddl, ", s%d %s", r, declared[below(6)]);
        }
        if (kinds[t] == KIND_PAIR)
            buffer_put_text(ddl, below(2) ? ", PRIMARY KEY (k2, k)" : ", PRIMARY KEY (k, k2)");
        for (int r = 0; r < 2; r++)
            if (references[r] >= 0 && kinds[references[r]] == KIND_PAIR)
                buffer_format(ddl, ", FOREIGN KEY (r%d, s%d) REFERENCES t%d(k, k2)", r, r, references[r]);
            else if (references[r] >= 0)
                buffer_format(ddl, ", FOREIGN KEY (r%d) REFERENCES t%d(k)", r, references[r]);
        buffer_format(ddl, ")%s;\n", without_rowid ? " WITHOUT ROWID" : "");
    }
}

static struct value random_text(void)
{
    const char *text = texts[below(10)];

    return value_text(text, strlen(text));
}

static struct value random_value(const char *column, bool rowid_key)
{
    if (rowid_key)
        return below(12) == 0 ? value_absent() : below(20) == 0 ? random_text() : value_integer(below(KEYS) + 1);
    if (strcmp(column, "k2") == 0)
        return below(5) ? value_text("a", 1) : random_text();
    switch (column[0]) {
    case 'u':
        return below(4) ? value_null() : random_text();
    case 'v':
        return below(4) ? value_absent() : value_integer(below(8));
    case 'k':
        return below(8) ? value_integer(below(KEYS) + 1) : random_text();
    case 's':
        return below(5) ? value_text(below(2) ? "a" : "A", 1) : random_text();
    default:
        return below(5) < 3 ? value_null() : below(8) ? value_integer(below(KEYS) + 1) : random_text();
    }
}

static void random_input(struct world *world, table_id id)
{
    const struct schema_table *table = &world->schema->tables[id];
    struct world_input *input = world_input(world, table->name, ROWS);

    for (uint32_t i = 0; i < ROWS; i++) {
        if (i > 0 && below(8) == 0) {
            input->records[i] = input->records[below((int)i)]; /* a repeat */
            continue;
        }
        for (uint16_t c = 0; c < table->column_count; c++)
            input->records[i].values[c] = random_value(table->columns[c].name, c == table->rowid_column);
    }
}

static uint64_t accepted, offered;

static void compare(const struct world *world, const struct judge *judge, struct expected (*expected)[ROWS],
                    unsigned seed)
{
    for (uint32_t i = 0; i < world->input_count; i++) {
        const struct world_input *input = &world->inputs[i];
        const struct loader_counts *counts = &world->counts[i];
        uint64_t refused = 0;
        for (uint32_t r = 0; r < input->count; r++) {
            enum error_code code = expected[i][r].code;
            if (code == ERROR_NONE && expected[i][r].shares >= 0 &&
                !survived(judge, input->table, expected[i][r].shares))
                code = ERROR_REFERENCE_MISSING;
            if (input->verdicts[r].code != code)
                panic("seed %u: %s:%u: %s instead of %s (%s)\n%s", seed, judge->schema->tables[input->table].name,
                      r + 1, error_code_name(input->verdicts[r].code), error_code_name(code), input->verdicts[r].text,
                      world->schema->text);
            refused += code != ERROR_NONE;
        }
        assert_int_equal(counts->read, input->count);
        assert_int_equal(counts->inserted + counts->same + refused, input->count);
        accepted += counts->inserted + counts->same;
        offered += input->count;
    }
    char *ours = world_dump(world->schema, world->db), *theirs = world_dump(judge->schema, judge->db);
    if (strcmp(ours, theirs) != 0)
        panic("seed %u: loaded\n%s\none file\n%s\n%s", seed, ours, theirs, world->schema->text);
    free(ours);
    free(theirs);
}

static void circles_end_as_in_one_file(void **state)
{
    (void)state;
    unsigned seeds = getenv("SHEAF_SEEDS") ? (unsigned)atoi(getenv("SHEAF_SEEDS")) : 150;

    for (unsigned seed = 1; seed <= seeds; seed++) {
        enum kind kinds[TABLES_MAX];
        struct expected expected[TABLES_MAX * 2][ROWS];
        struct buffer ddl = {0};
        struct judge judge;
        srand(seed);
        int tables = 1 + below(3);
        random_schema(kinds, tables, &ddl);
        buffer_put(&ddl, "", 1);
        struct world *world = world_new_thorough((const char *)ddl.bytes);
        world->inputs_wait = ddl.len % 2;
        judge_open(&judge, world->schema, (const char *)ddl.bytes);
        for (int round = 0; round < 3; round++) { /* the later ones meet what is there */
            for (table_id t = 0; t < world->schema->table_count; t++)
                judge_sql(&judge, "UPDATE \"%w\" SET n=-1", world->schema->tables[t].name);
            for (int t = 0; t < tables; t++)
                random_input(world, (table_id)t);
            if (round == 2)
                random_input(world, 0);            /* a table's second file */
            world->conflicts = round == 1 ? 1 : 0; /* a transaction that meets another is tried again */
            world_load(world);
            assert_int_equal(world->result, LOADER_DONE);
            for (uint32_t i = 0; i < world->input_count; i++)
                judge_input(&judge, &world->inputs[i], (int)i * 1000, expected[i]);
            delete_orphans(&judge);
            compare(world, &judge, expected, seed);
            world_forget_inputs(world);
        }
        judge_close(&judge);
        world_free(world);
        buffer_release(&ddl);
    }
    print_message("%" PRIu64 " of %" PRIu64 " rows accepted\n", accepted, offered);
    assert_true(accepted * 4 >= offered);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(circles_end_as_in_one_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
