/* SPDX-License-Identifier: Apache-2.0 */
/* one_file - what Sheaf is measured against: one process inserts the shop's rows, already in memory, into one SQLite
 * file, as well as SQLite can be set: foreign keys on, synchronous FULL, 64 MB cache, checkpoints at 10,000 pages,
 * 10,000 rows a transaction. Rows that SQLite refuses are counted and left out.
 *
 *   one_file DATABASE USERS.csv PRODUCTS.csv ORDERS.csv
 *
 * Prints one line: rows inserted, rows refused, seconds. Reading and parsing are not in the time. */
#include "clock.h"
#include "input.h"
#include "insert.h"
#include "row.h"
#include "schema.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROWS_PER_TRANSACTION 10000u

static const char settings[] = "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;"
                               "PRAGMA cache_size = -65536; PRAGMA wal_autocheckpoint = 10000;";

/* One table's rows: values of all, one row after the other, viewing `bytes`. */
struct rows {
    const struct schema_table *table;
    struct buffer bytes;
    struct value *values;
    size_t count;
};

static void fail(const char *what, const char *why)
{
    fprintf(stderr, "one_file: %s: %s\n", what, why);
    exit(1);
}

static struct rows read_rows(const struct schema *schema, table_id table, const char *path)
{
    struct rows rows = {.table = &schema->tables[table]};
    struct error error;
    struct input_record record;
    enum input_result result;
    struct input *input = input_open(path, INPUT_FORMAT_CSV, schema, table, NULL, &error);
    if (!input)
        fail(path, error.text);
    size_t *ends = NULL, capacity = 0;
    while ((result = input_next(input, &rows.bytes, &record, &error)) != INPUT_END) {
        if (result == INPUT_FAILED)
            fail(path, error.text);
        if (result == INPUT_REFUSED)
            continue;
        if (rows.count == capacity && !(ends = realloc(ends, (capacity = capacity * 2 + 1024) * sizeof *ends)))
            fail(path, "out of memory");
        ends[rows.count++] = rows.bytes.len;
    }
    input_close(input);
    rows.values = malloc((rows.count * rows.table->column_count + 1) * sizeof *rows.values);
    if (!rows.values)
        fail(path, "out of memory");
    for (size_t i = 0; i < rows.count; i++) {
        size_t at = i ? ends[i - 1] : 0;
        if (!row_read(rows.table, rows.bytes.bytes + at, ends[i] - at, &rows.values[i * rows.table->column_count],
                      &error))
            fail(path, error.text);
    }
    free(ends);
    return rows;
}

static sqlite3_stmt *prepare(sqlite3 *database, const struct schema_table *table)
{
    char sql[1024], marks[256] = "?";
    sqlite3_stmt *insert;
    for (uint16_t i = 1; i < table->column_count; i++)
        strcat(marks, ",?");
    snprintf(sql, sizeof sql, "INSERT INTO %s VALUES (%s)", table->name, marks);
    if (sqlite3_prepare_v2(database, sql, -1, &insert, NULL) != SQLITE_OK)
        fail(sql, sqlite3_errmsg(database));
    return insert;
}

static void execute(sqlite3 *database, const char *sql)
{
    if (sqlite3_exec(database, sql, NULL, NULL, NULL) != SQLITE_OK)
        fail(sql, sqlite3_errmsg(database));
}

static size_t insert_rows(sqlite3 *database, const struct rows *rows)
{
    sqlite3_stmt *insert = prepare(database, rows->table);
    size_t refused = 0;
    execute(database, "BEGIN IMMEDIATE");
    for (size_t i = 0; i < rows->count; i++) {
        for (uint16_t c = 0; c < rows->table->column_count; c++)
            insert_bind(insert, c + 1, &rows->values[i * rows->table->column_count + c]);
        refused += sqlite3_step(insert) != SQLITE_DONE;
        sqlite3_reset(insert);
        if ((i + 1) % ROWS_PER_TRANSACTION == 0)
            execute(database, "COMMIT; BEGIN IMMEDIATE");
    }
    execute(database, "COMMIT");
    sqlite3_finalize(insert);
    return refused;
}

int main(int argc, char **argv)
{
    struct error error;
    sqlite3 *database;
    struct rows rows[3];
    size_t count = 0, refused = 0;
    if (argc != 5) {
        fprintf(stderr, "usage: one_file DATABASE USERS.csv PRODUCTS.csv ORDERS.csv\n");
        return 2;
    }
    struct schema *schema = schema_load(schema_shop, strlen(schema_shop), "shop", NULL, &error);
    if (!schema || schema->table_count != 3)
        fail("the shop's schema", error.text);
    for (table_id t = 0; t < 3; t++)
        count += (rows[t] = read_rows(schema, t, argv[2 + t])).count;
    if (sqlite3_open(argv[1], &database) != SQLITE_OK)
        fail(argv[1], sqlite3_errmsg(database));
    execute(database, settings);
    execute(database, schema_shop);
    uint64_t begun = clock_monotonic_ns();
    for (table_id t = 0; t < 3; t++)
        refused += insert_rows(database, &rows[t]);
    double seconds = (double)(clock_monotonic_ns() - begun) / 1e9;
    printf("%zu %zu %.3f\n", count - refused, refused, seconds);
    for (table_id t = 0; t < 3; t++) {
        buffer_release(&rows[t].bytes);
        free(rows[t].values);
    }
    sqlite3_close(database);
    schema_free(schema);
    return 0;
}
