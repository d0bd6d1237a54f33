/* SPDX-License-Identifier: Apache-2.0 */
#include "openapi_schemas.h"

#include "error.h"
#include "json.h"
#include "limits.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

bool openapi_put(struct buffer *out, const char *format, ...)
{
    size_t begun = out->len;
    va_list arguments;

    va_start(arguments, format);
    int len = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    if (len < 0 || !buffer_reserve(out, (size_t)len + 1))
        return false;
    va_start(arguments, format);
    vsnprintf((char *)out->bytes + begun, (size_t)len + 1, format, arguments);
    va_end(arguments);
    out->len += (size_t)len;
    for (size_t i = begun; i < out->len; i++)
        if (out->bytes[i] == '\'')
            out->bytes[i] = '"';
    return true;
}

/* ---- values ---- */

/* Each comes twice, as NAME and as NAMEOrNull. */
static const struct {
    const char *name;
    const char *shape; /* the members of an object */
} values[] = {
    {"Integer", "'type':'integer','format':'int64'"},
    {"Real", "'type':'number','format':'double'"},
    {"Text", "'type':'string','description':'UTF-8 without U+0000'"},
    {"Blob", "'type':'object','required':['hex'],'additionalProperties':false,'properties':{'hex':{'type':'string',"
             "'pattern':'^([0-9A-Fa-f]{2})*$'}}"},
};

static bool put_values(struct buffer *out)
{
    bool fine = true;

    for (size_t i = 0; fine && i < sizeof values / sizeof *values; i++)
        fine = openapi_put(out, "'%s':{%s},'%sOrNull':{%s,'nullable':true},", values[i].name, values[i].shape,
                           values[i].name, values[i].shape);
    for (int or_null = 0; fine && or_null < 2; or_null++)
        fine = openapi_put(out,
                           "'Value%s':{'description':'What a column can hold that takes everything','anyOf':["
                           "{'$ref':'" OPENAPI_SCHEMA "Integer%s'},{'$ref':'" OPENAPI_SCHEMA
                           "Real'},{'$ref':'" OPENAPI_SCHEMA "Text'},{'$ref':'" OPENAPI_SCHEMA "Blob'}]},",
                           or_null ? "OrNull" : "", or_null ? "OrNull" : "");
    return fine;
}

/* ---- rows ---- */

static const char *shape_of(const struct schema_table *table, const struct schema_column *column)
{
    static const struct {
        const char *type, *shape;
    } types[] = {{"INT", "Integer"}, {"INTEGER", "Integer"}, {"REAL", "Real"}, {"TEXT", "Text"}, {"BLOB", "Blob"}};

    if (table->rowid_column != SCHEMA_NONE && column == &table->columns[table->rowid_column])
        return "Integer";
    for (size_t i = 0; table->strict && i < sizeof types / sizeof *types; i++)
        if (strcasecmp(column->declared_type, types[i].type) == 0)
            return types[i].shape;
    return "Value";
}

/* A key that is assigned when it is null takes null as well. */
static bool takes_null(const struct schema_table *table, const struct schema_column *column)
{
    return (!column->not_null && column->key_position == 0) ||
           (table->rowid_column != SCHEMA_NONE && column == &table->columns[table->rowid_column]);
}

static bool put_column(struct buffer *out, const struct schema_table *table, const struct schema_column *column)
{
    return json_put_string(out, column->name, strlen(column->name)) &&
           openapi_put(out, ":{'allOf':[{'$ref':'" OPENAPI_SCHEMA "%s%s'}],'description':", shape_of(table, column),
                       takes_null(table, column) ? "OrNull" : "") &&
           json_put_string(out, column->declared_type, strlen(column->declared_type)) &&
           (!column->generated || openapi_put(out, ",'readOnly':true")) && buffer_put(out, "}", 1);
}

/* row.NAME, as a component may be called. */
static bool put_row_name(struct buffer *out, const char *table)
{
    bool fine = buffer_put_text(out, "row.");

    for (const char *at = table; fine && *at; at++) {
        bool plain = strchr("_-", *at) || (*at >= '0' && *at <= '9') || ((*at | 32) >= 'a' && (*at | 32) <= 'z');

        fine = plain ? buffer_put(out, at, 1) : buffer_format(out, ".%02X", (unsigned char)*at);
    }
    return fine;
}

static bool put_row(struct buffer *out, const struct schema_table *table)
{
    bool fine = buffer_put(out, "\"", 1) && put_row_name(out, table->name) && openapi_put(out, "':{'title':") &&
                json_put_string(out, table->name, strlen(table->name)) &&
                openapi_put(out, ",'type':'object','additionalProperties':false,'properties':{");

    for (uint16_t i = 0; fine && i < table->column_count; i++)
        fine = (i == 0 || buffer_put(out, ",", 1)) && put_column(out, table, &table->columns[i]);
    return fine && buffer_put_text(out, "}},");
}

static bool put_rows(const struct schema *schema, struct buffer *out)
{
    bool fine = true;

    for (uint16_t i = 0; fine && i < schema->table_count; i++)
        fine = put_row(out, &schema->tables[i]);
    fine = fine && openapi_put(out, "'AnyRow':{'description':'The plain object with its columns','anyOf':[");
    for (uint16_t i = 0; fine && i < schema->table_count; i++)
        fine = openapi_put(out, "%s{'$ref':'" OPENAPI_SCHEMA, i ? "," : "") &&
               put_row_name(out, schema->tables[i].name) && openapi_put(out, "'}");
    fine = fine && openapi_put(out, "]},'Table':{'type':'string','enum':[");
    for (uint16_t i = 0; fine && i < schema->table_count; i++)
        fine = (i == 0 || buffer_put(out, ",", 1)) &&
               json_put_string(out, schema->tables[i].name, strlen(schema->tables[i].name));
    return fine && buffer_put_text(out, "]},");
}

/* ---- what is sent and answered ---- */

#define REF(name) "{'$ref':'" OPENAPI_SCHEMA name "'}"
#define OBJECT(required, properties) \
    "{'type':'object','required':[" required "],'additionalProperties':false,'properties':{" properties "}}"
#define LIST(of) "{'type':'array','items':" of "}"
#define COUNT "{'type':'integer','minimum':0}"
#define TEXT "{'type':'string'}"
#define TRUTH "{'type':'boolean'}"
#define ONLY(value) "{'type':'string','enum':['" value "']}"

static const struct {
    const char *name;
    const char *shape;
} shapes[] = {
    {"Key", "{'type':'object','minProperties':1,'additionalProperties':" REF(
                "Value") ",'description':"
                         "'The columns of a primary key; of a table without one rowid'}"},
    {"True", "{'type':'boolean','enum':[true]}"},
    {"Fine", OBJECT("'ok'", "'ok':" REF("True"))},
    {"Done", OBJECT("'ok'", "'ok':" REF("True") ",'id':" REF("Integer") ",'key':" REF("Key"))},
    {"Refusal", OBJECT("'ok','error'", "'ok':{'type':'boolean','enum':[false]},'error':" REF("Error") ",'op':" COUNT)},
    {"Result", "{'oneOf':[" REF("Done") "," REF("Refusal") "]}"},
    {"Results", OBJECT("'results','accepted','refused'",
                       "'results':" LIST(REF("Result")) ",'accepted':" COUNT ",'refused':" COUNT)},
    {"WriteAnswer", "{'oneOf':[" REF("Done") "," REF("Results") "]}"},
    {"BatchDone", OBJECT("'ok','results'", "'ok':" REF("True") ",'results':" LIST(REF("Done")))},
    {"BatchAnswer", "{'oneOf':[" REF("BatchDone") "," REF("Results") "]}"},
    {"Page", OBJECT("'rows','next'", "'rows':" LIST(REF("AnyRow")) ",'next':{'type':'string','nullable':true}")},
    {"Insert", OBJECT("'op','table','row'", "'op':" ONLY("insert") ",'table':" REF("Table") ",'row':" REF("AnyRow"))},
    {"Update", OBJECT("'op','table','key','row'",
                      "'op':" ONLY("update") ",'table':" REF("Table") ",'key':" REF("Key") ",'row':" REF("AnyRow"))},
    {"Delete", OBJECT("'op','table','key'", "'op':" ONLY("delete") ",'table':" REF("Table") ",'key':" REF("Key"))},
    {"Operation", "{'oneOf':[" REF("Insert") "," REF("Update") "," REF("Delete") "]}"},
    {"Schema", OBJECT("'databases','tables','sql'",
                      "'databases':" LIST(REF("SchemaDatabase")) ",'tables':" LIST(REF("SchemaTable")) ",'sql':" TEXT)},
    {"SchemaDatabase", OBJECT("'name','tables'", "'name':" TEXT ",'tables':" LIST(REF("Table")))},
    {"SchemaTable",
     OBJECT(
         "'name','database','strict','without_rowid','columns','primary_key','unique','references'",
         "'name':" REF("Table") ",'database':" TEXT ",'strict':" TRUTH ",'without_rowid':" TRUTH
                                ",'columns':" LIST(REF("SchemaColumn")) ",'primary_key':" LIST(TEXT) ",'unique':" LIST(
                                    LIST(TEXT)) ",'references':" LIST(REF("SchemaReference")))},
    {"SchemaColumn", OBJECT("'name','type','not_null','default','generated'",
                            "'name':" TEXT ",'type':" TEXT ",'not_null':" TRUTH ",'generated':" TRUTH
                            ",'default':{'type':'string','nullable':true}")},
    {"SchemaReference", OBJECT("'columns','table','parent_columns','on_delete','on_update'",
                               "'columns':" LIST(TEXT) ",'table':" REF("Table") ",'parent_columns':" LIST(
                                   TEXT) ",'on_delete':" REF("Action") ",'on_update':" REF("Action"))},
    {"Action", "{'type':'string','enum':['NO ACTION','RESTRICT','SET NULL','SET DEFAULT','CASCADE']}"},
    {"Stats", OBJECT("'http','wall_ns','coordinator','refused_in_input','databases','all'",
                     "'http':" REF("StatsHttp") ",'wall_ns':" COUNT ",'coordinator':" REF(
                         "StatsProcess") ",'refused_in_input':" COUNT
                                         ",'databases':" LIST(REF("StatsDatabase")) ",'all':" REF("StatsDatabase"))},
    {"StatsHttp",
     OBJECT("'connections','open','ended_for_room','working','waiting_ops','bodies_bytes','answers_bytes','answers'",
            "'connections':" COUNT ",'open':" COUNT ",'ended_for_room':" COUNT ",'working':" COUNT
            ",'waiting_ops':" COUNT ",'bodies_bytes':" COUNT ",'answers_bytes':" COUNT ",'answers':" REF("Counts"))},
    {"StatsProcess",
     OBJECT("'busy_ns','cpu_ns','memory_bytes'", "'busy_ns':" COUNT ",'cpu_ns':" COUNT ",'memory_bytes':" COUNT)},
    {"StatsDatabase", OBJECT("'rows','batches','rows_per_batch','steps'",
                             "'name':" TEXT ",'rows':" REF("Counts") ",'batches':" COUNT ",'rows_per_batch':" REF(
                                 "Counts") ",'steps':"
                                           "{'type':'object','additionalProperties':" REF("Counts") "},'process':" REF(
                                               "StatsProcess") ",'file_bytes':" COUNT ",'wal_bytes':" COUNT
                                                               ",'error':" OBJECT("'code','message'",
                                                                                  "'code':" TEXT ",'message':" TEXT))},
    {"Counts", "{'type':'object','additionalProperties':{'type':'number','minimum':0}}"},
    {"Description", "{'type':'object','required':['openapi','info','paths','components']}"},
};

static bool put_shapes(struct buffer *out)
{
    bool fine = true;

    for (size_t i = 0; fine && i < sizeof shapes / sizeof *shapes; i++)
        fine = openapi_put(out, "'%s':%s,", shapes[i].name, shapes[i].shape);
    return fine;
}

static bool put_error(struct buffer *out)
{
    bool fine = openapi_put(
        out, "'Error':{'type':'object','required':['code','table','constraint','message'],'additionalProperties':false,"
             "'properties':{'table':{'type':'string','nullable':true},'constraint':{'type':'string','nullable':true},"
             "'message':{'type':'string'},'code':{'type':'string','enum':[");

    for (enum error_code code = ERROR_NONE + 1; fine && code < ERROR_CODE_COUNT; code++)
        fine = openapi_put(out, "%s'%s'", code > 1 ? "," : "", error_code_name(code));
    return fine && buffer_put_text(out, "]}}},");
}

static bool put_bodies(struct buffer *out)
{
    return openapi_put(
        out,
        "'Rows':{'oneOf':[" REF("AnyRow") ",{'type':'array','maxItems':%d,'items':" REF(
            "AnyRow") "}]},"
                      "'Batch':{'type':'object','required':['ops'],'additionalProperties':false,'properties':{"
                      "'atomic':{'type':'boolean','default':true},'ops':{'type':'array','maxItems':%d,'items':" REF(
                          "Operation") "}}}",
        LIMIT_REQUEST_OPS_MAX, LIMIT_REQUEST_OPS_MAX);
}

bool openapi_schemas(const struct schema *schema, struct buffer *out)
{
    return buffer_put(out, "{", 1) && put_values(out) && put_rows(schema, out) && put_shapes(out) && put_error(out) &&
           put_bodies(out) && buffer_put(out, "}", 1);
}
