/* SPDX-License-Identifier: Apache-2.0 */
#include "row.h"
#include "stage_inside.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static const char ddl[] = "CREATE TABLE t (id INTEGER PRIMARY KEY, up INTEGER REFERENCES t (id), note TEXT);";

static enum insert_result put(struct stage *stage, int64_t id, struct error *error)
{
    char note[400];
    memset(note, 'x', sizeof note);
    struct value values[] = {value_integer(id), value_integer(id), value_text(note, sizeof note)};
    struct buffer row = {0};
    uint32_t first;
    int64_t rowid;
    assert_true(row_write(&stage->schema->tables[0], values, &row));
    enum insert_result result = stage_insert(stage, 0, (uint32_t)id, row.bytes, row.len, false, &first, &rowid, error);
    buffer_release(&row);
    return result;
}

/* The databases have room: it is not theirs that is full. */
static void no_room_for_the_temporary_files_says_where_they_are(void **state)
{
    (void)state;
    struct error error = {0};
    const table_id tables[] = {0};
    struct schema *schema = schema_load(ddl, strlen(ddl), "ddl", NULL, &error);
    assert_non_null(schema);
    struct stage *stage = stage_open(".", schema, tables, 1, &error);
    assert_non_null(stage);
    assert_int_equal(sqlite3_exec(stage->connection, "PRAGMA max_page_count = 1", NULL, NULL, NULL), SQLITE_OK);
    enum insert_result result = INSERT_DONE;
    for (int64_t id = 1; result == INSERT_DONE && id < 1000; id++)
        result = put(stage, id, &error);
    assert_int_equal(result, INSERT_FAILED);
    assert_int_equal(error.code, ERROR_IO);
    assert_non_null(strstr(error.text, "the temporary files for tables that refer to each other, in . and $TMPDIR: "));
    assert_non_null(strstr(error.text, "full"));
    stage_close(stage);
    schema_free(schema);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_room_for_the_temporary_files_says_where_they_are),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
