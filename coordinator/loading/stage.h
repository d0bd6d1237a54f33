/* SPDX-License-Identifier: Apache-2.0 */
/* stage.h - the temporary SQLite file in which tables that refer to each other wait until their references are known.
 *
 * It holds the tables of one component as the schema makes them (so that uniqueness, collations and affinities decide
 * here as they will in the shards; views, triggers and indexes that are not unique are left out), and tables of its
 * own, by the sequence number that each record of the component's input has. Names in the file only: it is unlinked as
 * soon as it is open, so a killed load leaves nothing. No journal: a failure of the environment ends the load, and a
 * refused row changes nothing because SQLite checks before it writes.
 *
 * Memory: SQLite's cache, STAGE_CACHE_KIB, and as much again while an index is made. One thread. At most one walk of a
 * kind (`_open` … `_next`) at a time. After a failed call (ERROR_IO, ERROR_INTERNAL) only stage_close is allowed. */
#ifndef SHEAF_STAGE_H
#define SHEAF_STAGE_H

#include "error.h"
#include "insert.h"
#include "run.h"
#include "schema.h"

#define STAGE_CACHE_KIB 16384

struct stage;

/* The file is made in the folder `scratch`, whose name must stay; what SQLite spills goes where it finds $TMPDIR. */
struct stage *stage_open(const char *scratch, const struct schema *schema, const table_id *tables, uint16_t table_count,
                         struct error *error);
void stage_close(struct stage *stage);

/* Puts a row into its table as number `seq`. INSERT_SAME: the row repeats *ret_first. *ret_rowid is filled for tables
 * with a rowid. */
enum insert_result stage_insert(struct stage *stage, table_id table, uint32_t seq, const uint8_t *row, size_t len,
                                bool same_is_fine, uint32_t *ret_first, int64_t *ret_rowid, struct error *error);

/* What is kept of each record: where it came from, its row (NULL: it has none that will be sent), its text. Ascending
 * `seq`. */
struct stage_record {
    uint32_t seq;
    size_t input;
    uint64_t line;
    const uint8_t *row; /* views until the next call of the same kind */
    size_t row_len;
    struct run_raw raw;
};
bool stage_put_record(struct stage *stage, const struct stage_record *record, struct error *error);
bool stage_get_record(struct stage *stage, uint32_t seq, struct stage_record *ret_record,
                      struct error *error);                        /* without raw */
bool stage_records_open(struct stage *stage, struct error *error); /* ascending; without rows */
int stage_records_next(struct stage *stage, struct stage_record *ret_record,
                       struct error *error); /* 1, 0 at the end, -1 */

/* Why a record was refused; which earlier one it repeats. The getters panic where nothing was put. */
bool stage_put_refusal(struct stage *stage, uint32_t seq, const struct error *refusal, struct error *error);
bool stage_get_refusal(struct stage *stage, uint32_t seq, struct error *ret_refusal, struct error *error);
bool stage_put_repeat(struct stage *stage, uint32_t seq, uint32_t first, struct error *error);
bool stage_get_repeat(struct stage *stage, uint32_t seq, uint32_t *ret_first, struct error *error);

/* Every staged row that names a parent through `reference` (no NULL among its columns), in ascending order of the
 * staged table's key. */
struct stage_link {
    uint32_t child;
    bool parent_is_staged;
    uint32_t parent;
    const struct value *values; /* as stored, in the order of the reference's columns; views until the next call */
};
bool stage_links_open(struct stage *stage, reference_id reference, struct error *error);
int stage_links_next(struct stage *stage, struct stage_link *ret_link, struct error *error);

/* Which staged row waits for which, and through which reference. Walks over a parent's children need stage_edges_index
 * first. */
struct stage_edge {
    uint32_t parent;
    uint32_t child;
    reference_id reference;
};
bool stage_put_edge(struct stage *stage, const struct stage_edge *edge, struct error *error);
bool stage_edges_index(struct stage *stage, struct error *error);
bool stage_edges_open(struct stage *stage, struct error *error);
int stage_edges_next(struct stage *stage, struct stage_edge *ret_edge, struct error *error);
bool stage_children_open(struct stage *stage, uint32_t parent, struct error *error);
int stage_children_next(struct stage *stage, struct stage_edge *ret_edge, struct error *error);

/* References without a parent. stage_missing_index before the first question about them. */
bool stage_put_missing(struct stage *stage, uint32_t child, reference_id reference, struct error *error);
bool stage_missing_index(struct stage *stage, struct error *error);
bool stage_is_missing(struct stage *stage, uint32_t child, reference_id reference, bool *ret_missing,
                      struct error *error);
/* The values of a staged row for a reference, as in stage_link. */
bool stage_values(struct stage *stage, uint32_t child, reference_id reference, const struct value **ret_values,
                  struct error *error);

#endif
