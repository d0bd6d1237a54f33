/* SPDX-License-Identifier: Apache-2.0 */
#include "batch.h"

#include "answer.h"
#include "work.h"

#include <string.h>

static bool out_of_memory(struct error *error)
{
    return error_set(error, ERROR_INTERNAL, "out of memory");
}

/* ---- one operation ---- */

static bool read_kind(json_t *object, enum op_kind *ret_kind, struct error *error)
{
    static const struct {
        const char *name;
        enum op_kind kind;
    } kinds[] = {{"insert", OP_INSERT}, {"update", OP_UPDATE}, {"delete", OP_DELETE}};
    const char *name = json_string_value(json_object_get(object, "op"));

    for (size_t i = 0; name && i < sizeof kinds / sizeof *kinds; i++)
        if (strcmp(name, kinds[i].name) == 0) {
            *ret_kind = kinds[i].kind;
            return true;
        }
    return error_set(error, ERROR_PARSE, "\"op\" is \"insert\", \"update\" or \"delete\"");
}

static bool read_table(const struct schema *schema, json_t *object, table_id *ret_table, struct error *error)
{
    json_t *name = json_object_get(object, "table");

    if (!json_is_string(name))
        return error_set(error, ERROR_PARSE, "\"table\" is a table's name");
    *ret_table = schema_find_table(schema, json_string_value(name), json_string_length(name));
    return *ret_table != SCHEMA_NONE ||
           error_set(error, ERROR_UNKNOWN_TABLE, "there is no table \"%s\" in the schema", json_string_value(name));
}

/* The member `name`, an object, which stands there exactly when the operation has use for it. */
static bool read_member(json_t *object, const char *name, bool wanted, const char *operation, json_t **ret_member,
                        struct error *error)
{
    json_t *member = json_object_get(object, name);

    if (!wanted && member)
        return error_set(error, ERROR_PARSE, "%s takes no \"%s\"", operation, name);
    if (wanted && !json_is_object(member))
        return error_set(error, ERROR_PARSE, "%s needs a \"%s\", an object", operation, name);
    *ret_member = member;
    return true;
}

static bool knows_members(json_t *object, struct error *error)
{
    const char *name;
    json_t *member;

    json_object_foreach(object, name, member)
    {
        if (strcmp(name, "op") != 0 && strcmp(name, "table") != 0 && strcmp(name, "key") != 0 &&
            strcmp(name, "row") != 0)
            return error_set(error, ERROR_PARSE, "an operation has no member \"%s\"", name);
    }
    return true;
}

static bool read_op(struct request *request, json_t *object, struct op *op, struct error *error)
{
    const struct schema *schema = request->http->schema;
    json_t *key = NULL, *row = NULL;

    if (!knows_members(object, error) || !read_kind(object, &op->kind, error) ||
        !read_table(schema, object, &op->table, error))
        return false;
    const char *operation = json_string_value(json_object_get(object, "op"));
    const struct schema_table *table = &schema->tables[op->table];
    return read_member(object, "key", op->kind != OP_INSERT, operation, &key, error) &&
           read_member(object, "row", op->kind != OP_DELETE, operation, &row, error) &&
           (!key || work_key(request->work, table, key, op, error)) &&
           (!row || work_row(request->work, table, row, op, error));
}

/* False with an error for the whole request: of an atomic one any; else only a body that is no JSON. */
static bool add_op(struct request *request, const struct json_member *member, struct error *error)
{
    struct error why;
    struct op op = {0};
    json_t *object = work_object(member, &why, error);

    if (error->code != ERROR_NONE)
        return false;
    bool read = object && read_op(request, object, &op, &why);
    json_decref(object);
    if (read) {
        work_add(request->work, &op);
        return true;
    }
    if (request->work->shape == WORK_ATOMIC || why.code == ERROR_INTERNAL) {
        *error = why;
        return false;
    }
    return work_refuse(request->work, &why) || out_of_memory(error);
}

/* ---- the body ---- */

struct body {
    bool atomic, atomic_given;
    const char *ops; /* the array's text; NULL: not there */
    size_t ops_len;
};

static bool is_named(const struct json_member *member, const char *name)
{
    return member->name_len == strlen(name) + 2 && memcmp(member->name + 1, name, strlen(name)) == 0;
}

static bool is_text(const struct json_member *member, const char *text)
{
    size_t len = member->len;

    while (len > 0 && strchr(" \t\r\n", member->value[len - 1]))
        len--;
    return len == strlen(text) && memcmp(member->value, text, len) == 0;
}

static bool read_body_member(const struct json_member *member, struct body *body, struct error *error)
{
    if (is_named(member, "atomic") && !body->atomic_given && (is_text(member, "true") || is_text(member, "false"))) {
        body->atomic = is_text(member, "true");
        body->atomic_given = true;
        return true;
    }
    if (is_named(member, "ops") && !body->ops && json_cut_kind(member->value, member->len) == '[') {
        body->ops = member->value;
        body->ops_len = member->len;
        return true;
    }
    return error_set(error, ERROR_PARSE, "a batch is {\"atomic\":true or false,\"ops\":[…]}, with nothing else");
}

static bool read_body(const struct request *request, struct body *body, struct error *error)
{
    const char *text = (const char *)request->body.bytes;
    struct json_member member;
    enum json_cut_result result;

    *body = (struct body){.atomic = true};
    if (json_cut_kind(text, request->body.len) != '{')
        return error_set(error, ERROR_PARSE, "the body is no JSON object");
    struct json_cut cut = json_cut_open(text, request->body.len);
    while ((result = json_cut_next(&cut, &member, error)) == JSON_CUT_MEMBER)
        if (!read_body_member(&member, body, error))
            return false;
    return result == JSON_CUT_END &&
           (body->ops || error_set(error, ERROR_PARSE, "a batch needs \"ops\", an array of operations"));
}

static bool read_ops(struct request *request, const struct body *body, struct error *error)
{
    enum work_shape shape = body->atomic ? WORK_ATOMIC : WORK_MANY;
    struct json_cut cut = json_cut_open(body->ops, body->ops_len);
    struct json_member member;
    enum json_cut_result result;
    uint32_t count;

    if (!json_cut_count(body->ops, body->ops_len, LIMIT_REQUEST_OPS_MAX, &count, error))
        return false;
    request->work = work_new(request->http->schema, shape, count);
    if (!request->work)
        return out_of_memory(error);
    while ((result = json_cut_next(&cut, &member, error)) == JSON_CUT_MEMBER)
        if (!add_op(request, &member, error))
            return false;
    return result == JSON_CUT_END;
}

void batch_post(struct request *request)
{
    struct error error = {0};
    struct body body;

    if (!read_body(request, &body, &error)) {
        request_refuse_write(request, &error, -1);
    } else if (!read_ops(request, &body, &error)) {
        bool of_one = body.atomic && request->work;
        request_refuse_write(request, &error, of_one ? (int64_t)request->work->count : -1);
    } else {
        request_submit(request, answer_writes);
    }
}
