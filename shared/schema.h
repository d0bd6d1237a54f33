/* SPDX-License-Identifier: Apache-2.0 */
/* schema.h - tables, columns, keys and references of one schema, and in which database each table lives.
 *
 * Read from ordinary SQLite DDL by loading it, statement by statement and under an authorizer, into an
 * in-memory SQLite and asking that for PRAGMA table_xinfo, foreign_key_list and index_list: there is no SQL parser
 * here. Immutable once loaded: any thread may read it. Both processes load the same text and so number everything
 * alike: table, column, key and reference ids are positions in the arrays below and go over the wire.
 *
 * Refused at load, with ERROR_PARSE or the fitting code and a text "FILE:LINE: … the statement …" that names the
 * statement and why: anything but CREATE TABLE/INDEX/VIEW/TRIGGER (ATTACH, PRAGMA, DML, DROP, transactions, temp
 * objects, CREATE TABLE AS, virtual tables), names beginning with _sheaf_ or sqlite_, triggers that write a table or
 * that RAISE(IGNORE), (ROLLBACK) or (FAIL), or read a table of another database, views that span databases, ON CONFLICT
 * REPLACE/IGNORE/FAIL/ROLLBACK clauses, references to absent tables or to columns that are not a key (SQLite's own rule
 * for "foreign key mismatch"), collations other than BINARY/NOCASE/RTRIM, functions that SQLite lacks, load_extension
 * and file access (the authorizer), more than LIMIT_TABLES_MAX tables. */
#ifndef SHEAF_SCHEMA_H
#define SHEAF_SCHEMA_H

#include "buffer.h"
#include "error.h"
#include "value.h"

typedef uint16_t table_id;
typedef uint16_t database_id;
typedef uint16_t reference_id;
#define SCHEMA_NONE UINT16_MAX

struct schema_column {
    char *name;
    char *declared_type; /* as written, "" when none; BLOB decides how hex in CSV is read */
    enum affinity affinity;
    enum collation collation;
    bool not_null;
    bool has_default;
    char *default_text;    /* the DEFAULT expression as SQLite gives it back; NULL when there is none */
    bool generated;        /* virtual or stored: never given by a user */
    bool declared_blob;    /* declared type contains BLOB: text formats carry hex */
    uint16_t key_position; /* 1-based position in the PRIMARY KEY clause, 0 when not part of it */
};

/* PRIMARY KEY or UNIQUE: a set of columns whose values name at most one row. */
struct schema_key {
    bool primary;
    bool rowid;      /* the one INTEGER PRIMARY KEY column that is the rowid */
    bool partial;    /* CREATE UNIQUE INDEX … WHERE */
    bool expression; /* has a column that is an expression: columns holds only the plain ones */
    bool referenced; /* some reference names it as its parent key */
    uint16_t column_count;
    uint16_t *columns;          /* in the key's own order (PRIMARY KEY clause; index) */
    enum collation *collations; /* beside columns */
    char *index_name;           /* "" for the rowid key */
};

enum reference_action { ACTION_NONE, ACTION_RESTRICT, ACTION_SET_NULL, ACTION_SET_DEFAULT, ACTION_CASCADE };

struct schema_reference {
    table_id child;
    table_id parent;
    uint16_t parent_key; /* position in the parent's keys */
    uint16_t column_count;
    uint16_t *child_columns;
    uint16_t *parent_columns; /* beside child_columns */
    uint16_t *key_order;      /* key_order[i]: which of child_columns stands at column i of the parent key */
    enum reference_action on_delete;
    enum reference_action on_update;
    char *constraint; /* child columns joined by "," as errors name it */
};

struct schema_table {
    char *name;
    database_id database;
    bool strict;
    bool without_rowid;
    bool autoincrement;
    uint16_t rowid_column; /* the INTEGER PRIMARY KEY that is the rowid, or SCHEMA_NONE */
    uint16_t primary_key;  /* position in keys, or SCHEMA_NONE */
    uint16_t column_count;
    uint16_t key_count;
    uint16_t reference_count; /* where this table is the child, in declaration order */
    uint16_t child_count;     /* references where this table is the parent */
    struct schema_column *columns;
    struct schema_key *keys;
    reference_id *references;
    reference_id *children;
    bool has_trigger;
};

struct schema_database {
    char *name;
    uint16_t table_count;
    table_id *tables;
    uint16_t statement_count;
    char **statements; /* the user's own CREATE statements for this database, in their order, verbatim */
};

struct schema {
    char *text;     /* the whole schema file, verbatim (UTF-8, without BOM) */
    char *identity; /* canonical: statements and placement, one per line; equal text = same schema */
    uint16_t table_count;
    uint16_t database_count;
    uint16_t reference_count;
    struct schema_table *tables; /* in order of declaration */
    struct schema_database *databases;
    struct schema_reference *references;
};

/* Which tables live together: `[database NAME] tables = a, b`. Tables that no entry names live in a database of
 * their own that has their name. */
struct schema_placement_entry {
    char *database;
    char *table;
};
struct schema_placement {
    size_t count;
    struct schema_placement_entry *entries;
};

/* Loads `text` (named `file` in messages). `placement` may be NULL. The caller frees the result. */
struct schema *schema_load(const char *text, size_t len, const char *file, const struct schema_placement *placement,
                           struct error *error);
void schema_free(struct schema *schema);

/* Reads a file and loads it. An unreadable file is ERROR_IO, one above LIMIT_SCHEMA_BYTES_MAX ERROR_TOO_LARGE. */
struct schema *schema_load_file(const char *path, const struct schema_placement *placement, struct error *error);

/* The built-in shop: its DDL, one statement a table. */
extern const char schema_shop[];

/* Names match without ASCII case, as in SQLite. SCHEMA_NONE when there is none. */
table_id schema_find_table(const struct schema *schema, const char *name, size_t len);
uint16_t schema_find_column(const struct schema_table *table, const char *name, size_t len);
database_id schema_find_database(const struct schema *schema, const char *name);

/* The first difference between two schemas, for a person ("table users: the statement differs: …"). False only
 * when memory is out; an empty text means that they are the same. */
bool schema_difference(const struct schema *stored, const struct schema *given, struct buffer *text);

/* Placement in a compact text form that goes into files and over the wire ("database\ttable\n"…), and back. */
bool schema_placement_text(const struct schema *schema, struct buffer *text);
bool schema_placement_read(const char *text, size_t len, struct schema_placement *ret_placement, struct error *error);
void schema_placement_release(struct schema_placement *placement);

/* How many values name a row of the table: its primary key's columns, or one for its rowid. */
uint16_t schema_key_columns(const struct schema_table *table);

/* The columns of a key joined by ",": "first,last". Into `text` of `size` bytes, cut when longer. */
void schema_columns_joined(const struct schema_table *table, const uint16_t *columns, uint16_t count, char *text,
                           size_t size);

/* A database's file name: every byte outside [A-Za-z0-9_-] percent-encoded, then ".db". False when it does not fit. */
bool schema_file_name(const char *database, char *name, size_t size);

#endif
