/* SPDX-License-Identifier: Apache-2.0 */
/* The part of stage.h about records: their rows and texts, refusals, repeats. */
#include "stage_inside.h"

#include <stdio.h>

bool stage_put_record(struct stage *stage, const struct stage_record *record, struct error *error)
{
    sqlite3_stmt *put = stage->statements[STAGE_PUT_RECORD];

    sqlite3_bind_int64(put, 1, record->seq);
    sqlite3_bind_int64(put, 2, (int64_t)record->input);
    sqlite3_bind_int64(put, 3, (int64_t)record->line);
    sqlite3_bind_blob64(put, 4, record->row, record->row_len, SQLITE_STATIC);
    sqlite3_bind_blob64(put, 5, record->raw.bytes, record->raw.len, SQLITE_STATIC);
    sqlite3_bind_int(put, 6, record->raw.truncated);
    return stage_finish(stage, put, error);
}

bool stage_get_record(struct stage *stage, uint32_t seq, struct stage_record *ret_record, struct error *error)
{
    sqlite3_stmt *get = stage->statements[STAGE_GET_RECORD];

    sqlite3_reset(get);
    sqlite3_bind_int64(get, 1, seq);
    int found = stage_next(stage, get, error);
    if (found == 0)
        panic("the staged record %u is not there", seq);
    if (found < 0)
        return false;
    *ret_record = (struct stage_record){.seq = seq,
                                        .input = (size_t)sqlite3_column_int64(get, 1),
                                        .line = (uint64_t)sqlite3_column_int64(get, 2),
                                        .row = sqlite3_column_blob(get, 3),
                                        .row_len = (size_t)sqlite3_column_bytes(get, 3)};
    return true;
}

bool stage_records_open(struct stage *stage, struct error *error)
{
    return sqlite3_reset(stage->statements[STAGE_RECORDS]) == SQLITE_OK || stage_failed(stage, error);
}

int stage_records_next(struct stage *stage, struct stage_record *ret_record, struct error *error)
{
    sqlite3_stmt *records = stage->statements[STAGE_RECORDS];
    int found = stage_next(stage, records, error);

    if (found == 1)
        *ret_record =
            (struct stage_record){.seq = (uint32_t)sqlite3_column_int64(records, 0),
                                  .input = (size_t)sqlite3_column_int64(records, 1),
                                  .line = (uint64_t)sqlite3_column_int64(records, 2),
                                  .raw = {sqlite3_column_blob(records, 3), (size_t)sqlite3_column_bytes(records, 3),
                                          sqlite3_column_int(records, 4) != 0}};
    return found;
}

bool stage_put_refusal(struct stage *stage, uint32_t seq, const struct error *refusal, struct error *error)
{
    sqlite3_stmt *put = stage->statements[STAGE_PUT_REFUSAL];

    sqlite3_bind_int64(put, 1, seq);
    sqlite3_bind_int(put, 2, (int)refusal->code);
    sqlite3_bind_text(put, 3, refusal->table, -1, SQLITE_STATIC);
    sqlite3_bind_text(put, 4, refusal->constraint, -1, SQLITE_STATIC);
    sqlite3_bind_text(put, 5, refusal->text, -1, SQLITE_STATIC);
    return stage_finish(stage, put, error);
}

static void copy_text(char *to, size_t size, sqlite3_stmt *statement, int column)
{
    const unsigned char *text = sqlite3_column_text(statement, column);

    snprintf(to, size, "%s", text ? (const char *)text : "");
}

/* The one row of a question about `seq`. */
static bool ask(struct stage *stage, enum stage_statement which, uint32_t seq, struct error *error)
{
    sqlite3_reset(stage->statements[which]);
    sqlite3_bind_int64(stage->statements[which], 1, seq);
    int found = stage_next(stage, stage->statements[which], error);
    if (found == 0)
        panic("nothing is kept of the staged record %u", seq);
    return found == 1;
}

bool stage_get_refusal(struct stage *stage, uint32_t seq, struct error *ret_refusal, struct error *error)
{
    sqlite3_stmt *get = stage->statements[STAGE_GET_REFUSAL];

    if (!ask(stage, STAGE_GET_REFUSAL, seq, error))
        return false;
    *ret_refusal = (struct error){.code = (enum error_code)sqlite3_column_int(get, 0)};
    copy_text(ret_refusal->table, sizeof(ret_refusal->table), get, 1);
    copy_text(ret_refusal->constraint, sizeof(ret_refusal->constraint), get, 2);
    copy_text(ret_refusal->text, sizeof(ret_refusal->text), get, 3);
    sqlite3_reset(get);
    return true;
}

bool stage_put_repeat(struct stage *stage, uint32_t seq, uint32_t first, struct error *error)
{
    sqlite3_bind_int64(stage->statements[STAGE_PUT_REPEAT], 1, seq);
    sqlite3_bind_int64(stage->statements[STAGE_PUT_REPEAT], 2, first);
    return stage_finish(stage, stage->statements[STAGE_PUT_REPEAT], error);
}

bool stage_get_repeat(struct stage *stage, uint32_t seq, uint32_t *ret_first, struct error *error)
{
    if (!ask(stage, STAGE_GET_REPEAT, seq, error))
        return false;
    *ret_first = (uint32_t)sqlite3_column_int64(stage->statements[STAGE_GET_REPEAT], 0);
    sqlite3_reset(stage->statements[STAGE_GET_REPEAT]);
    return true;
}
