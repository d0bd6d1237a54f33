/* SPDX-License-Identifier: Apache-2.0 */
/* load_rejects.h - refused rows: counted by reason, and written to a file of JSON lines or, the first of them, to the
 * log.
 *
 * A line is {"file","line","table","code","constraint","message","raw"[,"truncated":true]}; raw is text, or {"hex":…}
 * where the record is no text.
 *
 * Order: load_rejects_open, load_rejects_begin, load_rejects_take any number of times (one caller at a time),
 * load_rejects_close. */
#ifndef SHEAF_LOAD_REJECTS_H
#define SHEAF_LOAD_REJECTS_H

#include "loader.h"
#include "outputs.h"

#define LOAD_REASONS_MAX 1000 /* kinds of refusal counted apart; further ones are counted by code alone */

struct load_reason {
    table_id table;
    enum error_code code;
    char constraint[128];
    uint64_t rows;
};

struct load_rejects;

/* `path` NULL: no file. Never opens one that `outputs` says is to be left alone (ERROR_PARSE). What it held before
 * stays until load_rejects_begin: rejects that are being mended do not go with a mistaken command. */
struct load_rejects *load_rejects_open(const char *path, const struct outputs *outputs, const struct schema *schema,
                                       struct error *error);
/* False, and an error, when something could not be written. NULL is fine. */
bool load_rejects_close(struct load_rejects *rejects, struct error *error);

/* As loader_options' begin and reject; `context` is the rejects. */
bool load_rejects_begin(void *context, struct error *error);
bool load_rejects_take(void *context, const struct loader_reject *reject, struct error *error);

/* Tells the log how many refused rows it did not name. */
void load_rejects_finish(struct load_rejects *rejects);

const struct load_reason *load_rejects_reasons(const struct load_rejects *rejects, size_t *ret_count);

#endif
