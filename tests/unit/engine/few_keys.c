/* SPDX-License-Identifier: Apache-2.0 */
#include "few_keys.h"

#include <string.h>

#define TABLES_MAX 5u

static void written(bool ok)
{
    if (!ok)
        panic("out of memory");
}

/* splitmix64 */
uint32_t few_keys_number(struct few_keys *keys, uint32_t bound)
{
    uint64_t z = keys->state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return (uint32_t)((z ^ z >> 31) >> 32) % bound;
}

static bool chance(struct few_keys *keys, uint32_t percent)
{
    return few_keys_number(keys, 100) < percent;
}

#define one_of(keys, ...)   \
    ((const char *const[]){ \
        __VA_ARGS__}[few_keys_number(keys, sizeof((const char *const[]){__VA_ARGS__}) / sizeof(const char *))])

static void put(struct buffer *text, const char *part)
{
    written(buffer_put_text(text, part));
}

/* ---- schemas ---- */

enum form { ROWID, TEXT_KEY, INT_KEY, TWO_COLUMNS, NO_KEY, FORMS };

struct plan_table {
    enum form form;
    bool strict;
    bool without_rowid;
    bool has_unique;
    const char *key_type, *key_collation; /* of `id`, or of the second column of two */
    const char *unique_type, *unique_collation;
};

static void choose_table(struct few_keys *keys, struct plan_table *table)
{
    *table = (struct plan_table){.form = (enum form)few_keys_number(keys, FORMS), .strict = chance(keys, 30)};
    table->without_rowid = table->form != NO_KEY && chance(keys, 25);
    table->has_unique = table->form == NO_KEY || chance(keys, 40);
    bool is_text = table->form == TEXT_KEY || table->form == TWO_COLUMNS;
    table->key_type = is_text ? "TEXT" : table->form == INT_KEY ? "INT" : "INTEGER";
    table->key_collation = is_text ? one_of(keys, "", " COLLATE NOCASE", " COLLATE RTRIM") : "";
    table->unique_type = chance(keys, 50) ? "TEXT" : table->strict ? "ANY" : one_of(keys, "INTEGER", "REAL", "");
    table->unique_collation =
        strcmp(table->unique_type, "TEXT") ? "" : one_of(keys, "", "", " COLLATE NOCASE", " COLLATE RTRIM");
}

/* Where SQLite compares one way when it looks for a parent, and other ways when it looks for children and when it acts
 * on them, it leaves rows alone, or refuses what it has acted on; Sheaf does neither. Other types than the parent's
 * only where both ways are the same. */
static const char *type_near(struct few_keys *keys, const struct plan_table *child, const char *type)
{
    if (!strcmp(type, "") || !strcmp(type, "ANY"))
        return child->strict ? "ANY" : "";
    return chance(keys, 80) || !strcmp(type, "REAL") ? type : "TEXT";
}

static void put_attributes(struct few_keys *keys, struct buffer *ddl)
{
    if (chance(keys, 12))
        put(ddl, " NOT NULL");
    if (chance(keys, 30))
        put(ddl, one_of(keys, " DEFAULT 1", " DEFAULT 2", " DEFAULT 'a'", " DEFAULT '2'"));
    if (chance(keys, 12))
        put(ddl, " UNIQUE");
    if (chance(keys, 10))
        put(ddl, " COLLATE NOCASE");
}

static void put_actions(struct few_keys *keys, struct buffer *text)
{
    const char *actions[2];
    for (int i = 0; i < 2; i++)
        actions[i] = one_of(keys, "", "NO ACTION", "RESTRICT", "RESTRICT", "SET NULL", "SET NULL", "SET DEFAULT",
                            "SET DEFAULT", "CASCADE", "CASCADE");
    if (*actions[0])
        written(buffer_format(text, " ON DELETE %s", actions[0]));
    if (*actions[1])
        written(buffer_format(text, " ON UPDATE %s", actions[1]));
    if (chance(keys, 15))
        put(text, " DEFERRABLE INITIALLY DEFERRED");
}

/* A reference of table `from` in its columns f<number>…: those come into `columns`, the clause into `clauses`. */
static void put_reference(struct few_keys *keys, const struct plan_table *tables, uint32_t from, uint32_t to,
                          uint32_t number, struct buffer *columns, struct buffer *clauses)
{
    const struct plan_table *parent = &tables[to], *child = &tables[from];
    bool to_unique = parent->form == NO_KEY || (parent->has_unique && chance(keys, 30));
    const char *to_type = to_unique ? parent->unique_type : parent->key_type;
    if (parent->form == TWO_COLUMNS && !to_unique) {
        written(buffer_format(columns, ", f%ua %s", number, type_near(keys, child, "TEXT")));
        put_attributes(keys, columns);
        written(buffer_format(columns, ", f%ub %s", number, type_near(keys, child, "INTEGER")));
        put_attributes(keys, columns);
        written(buffer_format(clauses, ", FOREIGN KEY (f%ua, f%ub) REFERENCES t%u (k, id)", number, number, to));
    } else if (child->form < TWO_COLUMNS && !strcmp(child->key_type, to_type) &&
               chance(keys, 30)) { /* its key is the reference */
        written(buffer_format(clauses, ", FOREIGN KEY (id) REFERENCES t%u (%s)", to, to_unique ? "u" : "id"));
    } else if (child->has_unique && !strcmp(child->unique_type, to_type) && chance(keys, 30)) {
        written(buffer_format(clauses, ", FOREIGN KEY (u) REFERENCES t%u (%s)", to, to_unique ? "u" : "id"));
    } else {
        const char *type = type_near(keys, child, to_type);
        written(buffer_format(columns, ", f%u %s", number, type));
        put_attributes(keys, columns);
        written(buffer_format(clauses, ", FOREIGN KEY (f%u) REFERENCES t%u (%s)", number, to, to_unique ? "u" : "id"));
    }
    put_actions(keys, clauses);
}

static void put_key(const struct plan_table *table, struct buffer *ddl)
{
    switch (table->form) {
    case ROWID:
        put(ddl, "id INTEGER PRIMARY KEY");
        return;
    case TEXT_KEY:
    case INT_KEY:
        written(buffer_format(ddl, "id %s PRIMARY KEY NOT NULL%s", table->key_type, table->key_collation));
        return;
    case TWO_COLUMNS:
        written(buffer_format(ddl, "id INTEGER NOT NULL, k TEXT NOT NULL%s", table->key_collation));
        return;
    case NO_KEY:
        put(ddl, "id INTEGER");
        return;
    case FORMS:
        break;
    }
    panic("no form of a table");
}

static void put_table(struct few_keys *keys, const struct plan_table *tables, uint32_t count, uint32_t t,
                      struct buffer *ddl)
{
    const struct plan_table *table = &tables[t];
    struct buffer clauses = {0};
    written(buffer_format(ddl, "CREATE TABLE t%u (", t));
    put_key(table, ddl);
    if (table->has_unique)
        written(buffer_format(ddl, ", u %s UNIQUE%s", table->unique_type, table->unique_collation));
    if (chance(keys, 50))
        put(ddl, ", v INTEGER CHECK (v < 3 OR id = 3)");
    uint32_t references = (t == 0 ? 0 : 1) + few_keys_number(keys, 2);
    for (uint32_t r = 0; r < references; r++)
        put_reference(keys, tables, t, few_keys_number(keys, count), r, ddl, &clauses);
    if (table->form == TWO_COLUMNS)
        put(ddl, ", PRIMARY KEY (k, id)");
    written(buffer_put(ddl, clauses.bytes, clauses.len));
    put(ddl, ")");
    put(ddl, table->strict ? " STRICT" : "");
    put(ddl, table->without_rowid ? table->strict ? ", WITHOUT ROWID" : " WITHOUT ROWID" : "");
    put(ddl, ";\n");
    buffer_release(&clauses);
}

void few_keys_schema(struct few_keys *keys, struct buffer *ddl)
{
    struct plan_table tables[TABLES_MAX];
    uint32_t count = 2 + few_keys_number(keys, TABLES_MAX - 1);
    for (uint32_t t = 0; t < count; t++)
        choose_table(keys, &tables[t]);
    for (uint32_t t = 0; t < count; t++)
        put_table(keys, tables, count, t, ddl);
    written(buffer_put(ddl, "", 1));
}

/* ---- operations ---- */

static void put_any(struct few_keys *keys, struct buffer *line)
{
    put(line, one_of(keys, "1", "2", "3", "'a'", "'A'", "'b'", "'1'", "'2'", "2.0", "1.5", "x'61'", "'b '"));
}

static void put_value(struct few_keys *keys, const struct schema_column *column, struct buffer *line)
{
    if (chance(keys, 4)) {
        put_any(keys, line);
        return;
    }
    switch (column->affinity) {
    case AFFINITY_INTEGER:
    case AFFINITY_NUMERIC:
        put(line, chance(keys, 92) ? one_of(keys, "1", "2", "3") : one_of(keys, "'1'", "2.0", "'3 '"));
        return;
    case AFFINITY_REAL:
        put(line, one_of(keys, "1", "2.0", "1.5", "'2'"));
        return;
    case AFFINITY_TEXT:
        put(line, chance(keys, 92) ? one_of(keys, "'a'", "'b'", "'A'", "'b '") : one_of(keys, "1", "2", "1.5"));
        return;
    case AFFINITY_BLOB:
        put(line, one_of(keys, "1", "2", "'a'", "'b'", "'1'", "2.0"));
        return;
    }
}

/* What an operation is put together with. */
struct making {
    struct few_keys *keys;
    const struct schema *schema;
    sqlite3 *rows;
    uint32_t pick; /* of the rows of a table */
    struct buffer *line;
    bool inserted[TABLES_MAX]; /* by earlier operations of the same transaction, into a table without a key */
};

/* Columns of a row that is there, joined by commas. */
static bool put_stored(const struct making *making, const struct schema_table *table, const uint16_t *columns,
                       uint16_t count)
{
    struct buffer sql = {0};
    sqlite3_stmt *statement = NULL;
    if (!making->rows)
        return false;
    for (uint16_t i = 0; i < count; i++)
        written(buffer_format(&sql, "%s quote(%s)", i ? " || ',' ||" : "SELECT", table->columns[columns[i]].name));
    written(buffer_format(&sql, "%s FROM %s LIMIT 1 OFFSET %u %% max(1, (SELECT count(*) FROM %s))%c",
                          count ? "" : "SELECT rowid", table->name, making->pick, table->name, '\0'));
    if (sqlite3_prepare_v2(making->rows, (const char *)sql.bytes, -1, &statement, NULL) != SQLITE_OK)
        panic("%s: %s", (const char *)sql.bytes, sqlite3_errmsg(making->rows));
    bool there = sqlite3_step(statement) == SQLITE_ROW;
    if (there)
        put(making->line, (const char *)sqlite3_column_text(statement, 0));
    sqlite3_finalize(statement);
    buffer_release(&sql);
    return there;
}

static void put_key_values(const struct making *making, const struct schema_table *table)
{
    const struct schema_key *key = table->primary_key == SCHEMA_NONE ? NULL : &table->keys[table->primary_key];
    struct few_keys *keys = making->keys;
    put(making->line, "[");
    if (chance(keys, 25) || !put_stored(making, table, key ? key->columns : NULL, key ? key->column_count : 0)) {
        for (uint16_t i = 0; key && i < key->column_count; i++) {
            put(making->line, i ? "," : "");
            put_value(keys, &table->columns[key->columns[i]], making->line);
        }
        put(making->line, key ? "" : one_of(keys, "1", "2", "3", "4"));
    }
    put(making->line, "]");
}

/* The column as one of the reference's, if it refers. */
static const struct schema_reference *reference_of(const struct making *making, const struct schema_table *table,
                                                   uint16_t column, uint16_t *ret_at)
{
    for (uint16_t r = 0; r < table->reference_count; r++) {
        const struct schema_reference *reference = &making->schema->references[table->references[r]];
        for (*ret_at = 0; *ret_at < reference->column_count; ++*ret_at)
            if (reference->child_columns[*ret_at] == column)
                return reference;
    }
    return NULL;
}

static void put_column(const struct making *making, const struct schema_table *table, uint16_t column)
{
    uint16_t at;
    const struct schema_reference *reference = reference_of(making, table, column, &at);
    if (reference && !table->columns[column].key_position && chance(making->keys, 70) &&
        put_stored(making, &making->schema->tables[reference->parent], &reference->parent_columns[at], 1))
        return;
    put_value(making->keys, &table->columns[column], making->line);
}

/* A row that is inserted: nearly everything is given, but a reference often is not, so that there are parents. */
static void put_row(const struct making *making, const struct schema_table *table)
{
    struct few_keys *keys = making->keys;
    uint16_t at;
    for (uint16_t c = 0; c < table->column_count; c++) {
        bool refers = reference_of(making, table, c, &at) != NULL;
        put(making->line, c ? "," : "(");
        if (table->columns[c].key_position ? chance(keys, 3) : chance(keys, refers ? 30 : 12))
            put(making->line, one_of(keys, "-", "NULL", "NULL"));
        else
            put_column(making, table, c);
    }
    put(making->line, ")");
}

/* A change of one or two columns. */
static void put_change(const struct making *making, const struct schema_table *table)
{
    struct few_keys *keys = making->keys;
    uint32_t given = few_keys_number(keys, table->column_count), other = few_keys_number(keys, table->column_count);
    if (table->child_count && chance(keys, 50)) /* a key that others may name: id or u, see put_table */
        given = table->column_count == 1 || chance(keys, 70) ? 0 : 1;
    for (uint16_t c = 0; c < table->column_count; c++) {
        put(making->line, c ? "," : "(");
        if (c != given && (c != other || chance(keys, 70)))
            put(making->line, "-");
        else if (!table->columns[c].key_position && chance(keys, 15))
            put(making->line, "NULL");
        else
            put_column(making, table, c);
    }
    put(making->line, ")");
}

/* Together with others no row is named by a rowid that it may have got from them: nobody could know that yet. And which
 * of several rows on their own gets which rowid is a matter of who is first at the shard. */
static uint32_t kind_for_nameless(const struct making *making, const struct schema_table *table, uint32_t kind,
                                  bool atomic)
{
    if (!atomic)
        return 99;
    return making->rows && !making->inserted[table - making->schema->tables] ? kind : 0;
}

static void put_op(struct making *making, bool alone, bool atomic)
{
    struct few_keys *keys = making->keys;
    const struct schema_table *table = &making->schema->tables[few_keys_number(keys, making->schema->table_count)];
    if (!table->child_count) /* parents twice as often */
        table = &making->schema->tables[few_keys_number(keys, making->schema->table_count)];
    bool nameless = table->primary_key == SCHEMA_NONE;
    uint32_t kind = few_keys_number(keys, atomic ? 90 : 100);
    if (!alone && nameless)
        kind = kind_for_nameless(making, table, kind, atomic);
    making->inserted[table - making->schema->tables] |= nameless && (kind < 30 || kind >= 78);
    making->pick = few_keys_number(keys, 1000);
    written(buffer_format(making->line, "%s %s",
                          kind < 30   ? "insert"
                          : kind < 64 ? "update"
                          : kind < 78 ? "delete"
                          : kind < 90 ? "upsert"
                                      : "read",
                          table->name));
    if ((kind >= 30 && kind < 78) || kind >= 90)
        put_key_values(making, table);
    if (kind < 30 || (kind >= 78 && kind < 90))
        put_row(making, table);
    else if (kind < 64)
        put_change(making, table);
}

void few_keys_line(struct few_keys *keys, const struct schema *schema, sqlite3 *rows, struct buffer *line)
{
    struct making making = {.keys = keys, .schema = schema, .rows = rows, .line = line};
    uint32_t shape = few_keys_number(keys, 100), count = shape < 70 ? 1 : 1 + few_keys_number(keys, 3);
    bool atomic = shape >= 70 && shape < 92;
    put(line, shape < 70 ? "" : atomic ? "{ " : "< ");
    for (uint32_t i = 0; i < count; i++) {
        put(line, i ? "; " : "");
        put_op(&making, shape < 70, atomic);
    }
    put(line, shape < 70 ? "" : atomic ? " }" : " >");
    written(buffer_put(line, "", 1));
}
