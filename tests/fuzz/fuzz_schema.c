/* SPDX-License-Identifier: Apache-2.0 */
/* DDL: what is accepted is the same schema when it is read again, makes the files that it says, and can be written to
 * (the statements of the rooms that build SQL from a schema compile). */
#include "change.h"
#include "file_objects.h"
#include "fuzz.h"
#include "insert.h"
#include "schema.h"

#include <stdlib.h>
#include <string.h>

static struct schema *load(const char *text, size_t len, const struct schema_placement *placement, struct error *error)
{
    *error = (struct error){0};
    return schema_load(text, len, "fuzz", placement, error);
}

/* With the placement that it describes, as a shard and the next start do. */
static void check_again(const struct schema *schema)
{
    struct buffer placed = {0}, difference = {0};
    struct schema_placement placement = {0};
    struct error error;
    if (!schema_placement_text(schema, &placed))
        panic("out of memory");
    if (!schema_placement_read((const char *)placed.bytes, placed.len, &placement, &error))
        panic("its own placement is refused: %s", error.text);
    struct schema *again = load(schema->text, strlen(schema->text), &placement, &error);
    if (!again)
        panic("what was accepted is refused: %s", error.text);
    if (strcmp(again->identity, schema->identity) != 0 || !schema_difference(schema, again, &difference) ||
        difference.len > 0)
        panic("it is another schema: %.*s", (int)difference.len, (const char *)difference.bytes);
    schema_free(again);
    schema_placement_release(&placement);
    buffer_release(&placed);
    buffer_release(&difference);
}

static bool tell(void *context, const char *text, struct error *error)
{
    (void)context;
    (void)error;
    panic("a file of this schema differs from it: %s", text);
}

static bool is_in(const struct schema *schema, database_id database)
{
    return schema->databases[database].statement_count > 0;
}

/* Each database's file can be made of its own statements. */
static void check_files(const struct schema *schema)
{
    for (database_id i = 0; i < schema->database_count; i++) {
        struct error error = {0};
        if (!is_in(schema, i))
            continue;
        sqlite3 *file = file_objects_model(&schema->databases[i]);
        if (!file)
            panic("the file of %s cannot be made", schema->databases[i].name);
        if (file_objects_compare(file, &schema->databases[i], tell, NULL, &error) != FILE_OBJECTS_COMPARED)
            panic("the file of %s: %s", schema->databases[i].name, error.text);
        sqlite3_close(file);
    }
}

static void check_numbers(const struct schema *schema)
{
    for (table_id t = 0; t < schema->table_count; t++) {
        const struct schema_table *table = &schema->tables[t];
        if (schema_find_table(schema, table->name, strlen(table->name)) != t)
            panic("table %s is not found by its name", table->name);
        if (table->database >= schema->database_count)
            panic("table %s is in no database", table->name);
        for (uint16_t c = 0; c < table->column_count; c++)
            if (schema_find_column(table, table->columns[c].name, strlen(table->columns[c].name)) != c)
                panic("column %s is not found by its name", table->columns[c].name);
    }
    for (reference_id r = 0; r < schema->reference_count; r++)
        if (schema->references[r].parent >= schema->table_count ||
            schema->references[r].parent_key >= schema->tables[schema->references[r].parent].key_count)
            panic("reference %u has no parent", r);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    struct error error;
    struct schema *schema = load((const char *)bytes, len, NULL, &error);
    if (!schema) {
        if (!error.text[0] || error.code == ERROR_INTERNAL || error.code == ERROR_NONE)
            panic("refused as %s: %s", error_code_name(error.code), error.text);
        return 0;
    }
    check_numbers(schema);
    check_again(schema);
    check_files(schema);
    schema_free(schema);
    return 0;
}
