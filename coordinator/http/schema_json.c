/* SPDX-License-Identifier: Apache-2.0 */
#include "schema_json.h"

#include "json.h"

#include <string.h>

static bool put_text(struct buffer *out, const char *text)
{
    return json_put_string(out, text, strlen(text));
}

static bool put_truth(struct buffer *out, const char *name, bool truth)
{
    return buffer_format(out, ",\"%s\":%s", name, truth ? "true" : "false");
}

/* ["a","b"] */
static bool put_columns(struct buffer *out, const struct schema_table *table, const uint16_t *columns, uint16_t count)
{
    bool fine = buffer_put(out, "[", 1);

    for (uint16_t i = 0; fine && i < count; i++)
        fine = (i == 0 || buffer_put(out, ",", 1)) && put_text(out, table->columns[columns[i]].name);
    return fine && buffer_put(out, "]", 1);
}

static bool put_column(struct buffer *out, const struct schema_column *column)
{
    return buffer_put_text(out, "{\"name\":") && put_text(out, column->name) && buffer_put_text(out, ",\"type\":") &&
           put_text(out, column->declared_type) && put_truth(out, "not_null", column->not_null) &&
           buffer_put_text(out, ",\"default\":") &&
           (column->has_default && column->default_text ? put_text(out, column->default_text)
                                                        : buffer_put_text(out, "null")) &&
           put_truth(out, "generated", column->generated) && buffer_put(out, "}", 1);
}

static bool put_keys(struct buffer *out, const struct schema_table *table)
{
    const struct schema_key *primary = table->primary_key == SCHEMA_NONE ? NULL : &table->keys[table->primary_key];
    const char *before = "";
    bool fine = buffer_put_text(out, ",\"primary_key\":") &&
                put_columns(out, table, primary ? primary->columns : NULL, primary ? primary->column_count : 0) &&
                buffer_put_text(out, ",\"unique\":[");

    for (uint16_t i = 0; fine && i < table->key_count; i++) {
        const struct schema_key *key = &table->keys[i];

        if (key->primary || key->partial || key->expression)
            continue;
        fine = buffer_put_text(out, before) && put_columns(out, table, key->columns, key->column_count);
        before = ",";
    }
    return fine && buffer_put(out, "]", 1);
}

static bool put_reference(struct buffer *out, const struct schema *schema, const struct schema_reference *reference)
{
    static const char *const actions[] = {"NO ACTION", "RESTRICT", "SET NULL", "SET DEFAULT", "CASCADE"};
    const struct schema_table *parent = &schema->tables[reference->parent];

    return buffer_put_text(out, "{\"columns\":") &&
           put_columns(out, &schema->tables[reference->child], reference->child_columns, reference->column_count) &&
           buffer_put_text(out, ",\"table\":") && put_text(out, parent->name) &&
           buffer_put_text(out, ",\"parent_columns\":") &&
           put_columns(out, parent, reference->parent_columns, reference->column_count) &&
           buffer_format(out, ",\"on_delete\":\"%s\",\"on_update\":\"%s\"}", actions[reference->on_delete],
                         actions[reference->on_update]);
}

static bool put_table(struct buffer *out, const struct schema *schema, const struct schema_table *table)
{
    bool fine = buffer_put_text(out, "{\"name\":") && put_text(out, table->name) &&
                buffer_put_text(out, ",\"database\":") && put_text(out, schema->databases[table->database].name) &&
                put_truth(out, "strict", table->strict) && put_truth(out, "without_rowid", table->without_rowid) &&
                buffer_put_text(out, ",\"columns\":[");

    for (uint16_t i = 0; fine && i < table->column_count; i++)
        fine = (i == 0 || buffer_put(out, ",", 1)) && put_column(out, &table->columns[i]);
    fine = fine && buffer_put(out, "]", 1) && put_keys(out, table) && buffer_put_text(out, ",\"references\":[");
    for (uint16_t i = 0; fine && i < table->reference_count; i++)
        fine = (i == 0 || buffer_put(out, ",", 1)) &&
               put_reference(out, schema, &schema->references[table->references[i]]);
    return fine && buffer_put_text(out, "]}");
}

static bool put_database(struct buffer *out, const struct schema *schema, const struct schema_database *database)
{
    bool fine =
        buffer_put_text(out, "{\"name\":") && put_text(out, database->name) && buffer_put_text(out, ",\"tables\":[");

    for (uint16_t i = 0; fine && i < database->table_count; i++)
        fine = (i == 0 || buffer_put(out, ",", 1)) && put_text(out, schema->tables[database->tables[i]].name);
    return fine && buffer_put_text(out, "]}");
}

bool schema_json(const struct schema *schema, struct buffer *out)
{
    bool fine = buffer_put_text(out, "{\"databases\":[");

    for (uint16_t i = 0; fine && i < schema->database_count; i++)
        fine = (i == 0 || buffer_put(out, ",", 1)) && put_database(out, schema, &schema->databases[i]);
    fine = fine && buffer_put_text(out, "],\"tables\":[");
    for (uint16_t i = 0; fine && i < schema->table_count; i++)
        fine = (i == 0 || buffer_put(out, ",", 1)) && put_table(out, schema, &schema->tables[i]);
    return fine && buffer_put_text(out, "],\"sql\":") && put_text(out, schema->text) && buffer_put(out, "}", 1);
}
