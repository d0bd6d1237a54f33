/* SPDX-License-Identifier: Apache-2.0 */
/* The part of stage.h about references: who names whom, what waits for whom, what is missing. */
#include "stage_inside.h"

#include <stdlib.h>

static void read_values(sqlite3_stmt *statement, int from, uint16_t count, struct value *values)
{
    for (int i = 0; i < count; i++)
        values[i] = insert_stored(statement, from + i);
}

/* `parent = +child`: the parent's column on the left gives its collation, and the + takes the child's own affinity
 * away, so that the parent's is applied to the value, as SQLite's foreign keys do it. */
bool stage_links_open(struct stage *stage, reference_id id, struct error *error)
{
    const struct schema_reference *reference = &stage->schema->references[id];
    const struct schema_table *child = &stage->schema->tables[reference->child];
    const struct schema_table *parent = &stage->schema->tables[reference->parent];
    bool inside = stage->tables[reference->parent].number != NULL;
    char *sql = sqlite3_mprintf("SELECT c._sheaf_seq, %s", inside ? "p._sheaf_seq" : "NULL");

    for (uint16_t i = 0; i < reference->column_count; i++)
        stage_append(&sql, ", c.\"%w\"", child->columns[reference->child_columns[i]].name);
    stage_append(&sql, " FROM \"%w\" c", child->name);
    if (inside)
        stage_append(&sql, " LEFT JOIN \"%w\" p ON", parent->name);
    for (uint16_t i = 0; inside && i < reference->column_count; i++)
        stage_append(&sql, "%s p.\"%w\" = +c.\"%w\"", i ? " AND" : "",
                     parent->columns[reference->parent_columns[i]].name,
                     child->columns[reference->child_columns[i]].name);
    for (uint16_t i = 0; i < reference->column_count; i++)
        stage_append(&sql, "%s c.\"%w\" IS NOT NULL", i ? " AND" : " WHERE",
                     child->columns[reference->child_columns[i]].name);
    sqlite3_finalize(stage->links);
    stage->links = stage_prepared(stage, sql, error);
    stage->links_reference = id;
    sqlite3_free(sql);
    return stage->links != NULL;
}

int stage_links_next(struct stage *stage, struct stage_link *ret_link, struct error *error)
{
    int found = stage_next(stage, stage->links, error);

    if (found != 1)
        return found;
    read_values(stage->links, 2, stage->schema->references[stage->links_reference].column_count, stage->values);
    *ret_link = (struct stage_link){.child = (uint32_t)sqlite3_column_int64(stage->links, 0),
                                    .parent_is_staged = sqlite3_column_type(stage->links, 1) != SQLITE_NULL,
                                    .parent = (uint32_t)sqlite3_column_int64(stage->links, 1),
                                    .values = stage->values};
    return 1;
}

bool stage_put_edge(struct stage *stage, const struct stage_edge *edge, struct error *error)
{
    sqlite3_stmt *put = stage->statements[STAGE_PUT_EDGE];

    sqlite3_bind_int64(put, 1, edge->parent);
    sqlite3_bind_int64(put, 2, edge->child);
    sqlite3_bind_int(put, 3, edge->reference);
    return stage_finish(stage, put, error);
}

bool stage_edges_index(struct stage *stage, struct error *error)
{
    sqlite3_reset(stage->links); /* a walk that was given up */
    return stage_run_sql(stage, error, "CREATE INDEX _sheaf_edge_parent ON _sheaf_edge(parent, child, ref)");
}

static int edge_next(struct stage *stage, enum stage_statement which, struct stage_edge *ret_edge, struct error *error)
{
    sqlite3_stmt *edges = stage->statements[which];
    int found = stage_next(stage, edges, error);

    if (found == 1)
        *ret_edge =
            (struct stage_edge){(uint32_t)sqlite3_column_int64(edges, 0), (uint32_t)sqlite3_column_int64(edges, 1),
                                (reference_id)sqlite3_column_int(edges, 2)};
    return found;
}

bool stage_edges_open(struct stage *stage, struct error *error)
{
    return sqlite3_reset(stage->statements[STAGE_EDGES]) == SQLITE_OK || stage_failed(stage, error);
}

int stage_edges_next(struct stage *stage, struct stage_edge *ret_edge, struct error *error)
{
    return edge_next(stage, STAGE_EDGES, ret_edge, error);
}

bool stage_children_open(struct stage *stage, uint32_t parent, struct error *error)
{
    sqlite3_reset(stage->statements[STAGE_CHILDREN]);
    return sqlite3_bind_int64(stage->statements[STAGE_CHILDREN], 1, parent) == SQLITE_OK || stage_failed(stage, error);
}

int stage_children_next(struct stage *stage, struct stage_edge *ret_edge, struct error *error)
{
    return edge_next(stage, STAGE_CHILDREN, ret_edge, error);
}

bool stage_put_missing(struct stage *stage, uint32_t child, reference_id reference, struct error *error)
{
    sqlite3_bind_int64(stage->statements[STAGE_PUT_MISSING], 1, child);
    sqlite3_bind_int(stage->statements[STAGE_PUT_MISSING], 2, reference);
    return stage_finish(stage, stage->statements[STAGE_PUT_MISSING], error);
}

bool stage_missing_index(struct stage *stage, struct error *error)
{
    sqlite3_reset(stage->statements[STAGE_GET_RECORD]); /* no table may be in use while an index is made */
    sqlite3_reset(stage->links);
    if (!stage_run_sql(stage, error, "CREATE INDEX IF NOT EXISTS _sheaf_missing_child ON _sheaf_missing(child, ref)"))
        return false;
    for (table_id t = 0; t < stage->schema->table_count; t++)
        if (stage->tables[t].number &&
            !stage_run_sql(stage, error, "CREATE INDEX IF NOT EXISTS _sheaf_seq_%u ON \"%w\"(_sheaf_seq)", t,
                           stage->schema->tables[t].name))
            return false;
    return true;
}

bool stage_is_missing(struct stage *stage, uint32_t child, reference_id reference, bool *ret_missing,
                      struct error *error)
{
    sqlite3_stmt *is_missing = stage->statements[STAGE_IS_MISSING];

    sqlite3_reset(is_missing);
    sqlite3_bind_int64(is_missing, 1, child);
    sqlite3_bind_int(is_missing, 2, reference);
    int found = stage_next(stage, is_missing, error);
    sqlite3_reset(is_missing);
    if (found < 0)
        return false;
    *ret_missing = found == 1;
    return true;
}

static sqlite3_stmt *prepare_values(const struct stage *stage, const struct schema_reference *reference,
                                    struct error *error)
{
    const struct schema_table *child = &stage->schema->tables[reference->child];
    char *sql = sqlite3_mprintf("SELECT _sheaf_seq");

    for (uint16_t i = 0; i < reference->column_count; i++)
        stage_append(&sql, ", \"%w\"", child->columns[reference->child_columns[i]].name);
    stage_append(&sql, " FROM \"%w\" WHERE _sheaf_seq=?1", child->name);
    sqlite3_stmt *statement = stage_prepared(stage, sql, error);
    sqlite3_free(sql);
    return statement;
}

bool stage_values(struct stage *stage, uint32_t child, reference_id id, const struct value **ret_values,
                  struct error *error)
{
    const struct schema_reference *reference = &stage->schema->references[id];
    sqlite3_stmt **values_of = &stage->values_of[id];

    if (!*values_of && !(*values_of = prepare_values(stage, reference, error)))
        return false;
    sqlite3_reset(*values_of);
    sqlite3_bind_int64(*values_of, 1, child);
    int found = stage_next(stage, *values_of, error);
    if (found == 0)
        panic("the staged row %u is not there", child);
    if (found < 0)
        return false;
    read_values(*values_of, 1, reference->column_count, stage->values);
    *ret_values = stage->values;
    return true;
}
