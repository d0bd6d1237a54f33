/* SPDX-License-Identifier: Apache-2.0 */
/* json_cut.h - a large JSON array or object cut into its members, without building a tree of it.
 *
 * A body may hold 100,000 rows: each is parsed by itself, so that memory is bounded by one of them. Cutting follows
 * brackets and strings only; whether a member is JSON is told by whoever parses it. Views into the text. One thread. */
#ifndef SHEAF_JSON_CUT_H
#define SHEAF_JSON_CUT_H

#include "error.h"

#include <stdint.h>

struct json_cut {
    const char *at, *end;
    char close; /* ']' or '}' */
    bool begun;
};

struct json_member {
    const char *name; /* of an object: with its quotes, not unescaped; NULL in an array */
    size_t name_len;
    const char *value;
    size_t len;
};

enum json_cut_result { JSON_CUT_MEMBER, JSON_CUT_END, JSON_CUT_WRONG /* ERROR_PARSE */ };

/* '[' or '{': what the text begins with after blanks; else 0. */
char json_cut_kind(const char *text, size_t len);

/* `text` is of kind '[' or '{'. */
struct json_cut json_cut_open(const char *text, size_t len);
enum json_cut_result json_cut_next(struct json_cut *cut, struct json_member *ret_member, struct error *error);

/* How many members it has. ERROR_TOO_LARGE: more than `most`. */
bool json_cut_count(const char *text, size_t len, uint32_t most, uint32_t *ret_count, struct error *error);

#endif
