/* SPDX-License-Identifier: Apache-2.0 */
#include "load_rejects.h"

#include "json.h"
#include "log.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOGGED_MAX 20

struct load_rejects {
    const struct schema *schema;
    const char *path;
    FILE *file;
    struct buffer line;
    struct load_reason *reasons;
    size_t reason_count;
    size_t last_reason; /* rows are mostly refused for the reason of the one before */
    uint64_t taken;
};

/* Opened, and looked at through the descriptor: a name may point elsewhere a moment later. */
static FILE *open_file(const char *path, const struct outputs *outputs, struct error *error)
{
    struct stat opened;
    FILE *file = NULL;

    if (!outputs_may_write(outputs, "--rejects", path, error))
        return NULL;
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOCTTY, 0666);

    if (fd < 0 || fstat(fd, &opened) != 0)
        error_set(error, ERROR_PARSE, "--rejects %s: %s", path, strerror(errno));
    else if (outputs_may_replace(outputs, "--rejects", path, &opened, error) && !(file = fdopen(fd, "w")))
        error_set(error, ERROR_IO, "--rejects %s: %s", path, strerror(errno));
    if (!file && fd >= 0)
        close(fd);
    return file;
}

struct load_rejects *load_rejects_open(const char *path, const struct outputs *outputs, const struct schema *schema,
                                       struct error *error)
{
    struct load_rejects *rejects = calloc(1, sizeof *rejects);

    if (rejects)
        rejects->reasons = calloc(LOAD_REASONS_MAX + ERROR_CODE_COUNT, sizeof *rejects->reasons);
    if (!rejects || !rejects->reasons) {
        free(rejects);
        error_set(error, ERROR_INTERNAL, "out of memory");
        return NULL;
    }
    rejects->schema = schema;
    rejects->path = path;
    if (!path || (rejects->file = open_file(path, outputs, error)))
        return rejects;
    free(rejects->reasons);
    free(rejects);
    return NULL;
}

static bool cannot_write(const struct load_rejects *rejects, struct error *error)
{
    return error_set(error, ERROR_IO, "--rejects %s: %s", rejects->path, strerror(errno));
}

bool load_rejects_begin(void *context, struct error *error)
{
    struct load_rejects *rejects = context;
    struct stat file;

    return !rejects->file ||
           (fstat(fileno(rejects->file), &file) == 0 &&
            (!S_ISREG(file.st_mode) || ftruncate(fileno(rejects->file), 0) == 0)) ||
           cannot_write(rejects, error);
}

bool load_rejects_close(struct load_rejects *rejects, struct error *error)
{
    bool fine = true;

    if (!rejects)
        return true;
    if (rejects->file && fclose(rejects->file) != 0)
        fine = cannot_write(rejects, error);
    buffer_release(&rejects->line);
    free(rejects->reasons);
    free(rejects);
    return fine;
}

static bool is_reason(const struct load_reason *reason, const struct loader_reject *reject)
{
    return reason->table == reject->input->table && reason->code == reject->error->code &&
           strncmp(reason->constraint, reject->error->constraint, sizeof reason->constraint - 1) == 0;
}

/* There is always room for one without a constraint per code, of the table that came first. */
static void count_reason(struct load_rejects *rejects, const struct loader_reject *reject)
{
    size_t i = rejects->last_reason;

    if (i >= rejects->reason_count || !is_reason(&rejects->reasons[i], reject))
        for (i = 0; i < rejects->reason_count; i++)
            if (is_reason(&rejects->reasons[i], reject) ||
                (i >= LOAD_REASONS_MAX && rejects->reasons[i].code == reject->error->code))
                break;
    if (i == rejects->reason_count) {
        struct load_reason *reason = &rejects->reasons[rejects->reason_count++];
        reason->table = reject->input->table;
        reason->code = reject->error->code;
        if (i < LOAD_REASONS_MAX)
            snprintf(reason->constraint, sizeof reason->constraint, "%.*s", (int)sizeof reason->constraint - 1,
                     reject->error->constraint);
    }
    rejects->reasons[i].rows++;
    rejects->last_reason = i;
}

/* UTF-8; U+0000 may stand in it, since JSON can say it. */
static bool is_text(const uint8_t *bytes, size_t len)
{
    while (len > 0) {
        const uint8_t *zero = memchr(bytes, 0, len);
        size_t piece = zero ? (size_t)(zero - bytes) : len;
        if (!value_text_is_valid((const char *)bytes, piece))
            return false;
        bytes += zero ? piece + 1 : piece;
        len -= zero ? piece + 1 : piece;
    }
    return true;
}

/* A record that was cut may have been cut inside a character. */
static size_t whole_characters(const struct loader_reject *reject)
{
    size_t len = reject->raw_len;

    if (reject->raw_truncated)
        for (size_t back = 1; back <= 3 && back <= len; back++)
            if ((reject->raw[len - back] & 0xc0) != 0x80)
                return reject->raw[len - back] >= 0x80 ? len - back : len;
    return len;
}

static bool put_hex(struct buffer *line, const uint8_t *bytes, size_t len)
{
    static const char digits[] = "0123456789abcdef";
    bool fine = buffer_put_text(line, "{\"hex\":\"") && buffer_reserve(line, len * 2);

    for (size_t i = 0; fine && i < len; i++) {
        line->bytes[line->len++] = (uint8_t)digits[bytes[i] >> 4];
        line->bytes[line->len++] = (uint8_t)digits[bytes[i] & 15];
    }
    return fine && buffer_put_text(line, "\"}");
}

static bool put_raw(struct buffer *line, const struct loader_reject *reject)
{
    size_t len = whole_characters(reject);

    if (reject->input->format == INPUT_FORMAT_MSGPACK || !is_text(reject->raw, len))
        return put_hex(line, reject->raw, reject->raw_len);
    return json_put_string(line, (const char *)reject->raw, len);
}

static bool put_line(const struct load_rejects *rejects, const struct loader_reject *reject, struct buffer *line)
{
    const struct error *error = reject->error;
    const char *table = rejects->schema->tables[reject->input->table].name;
    const char *code = error_code_name(error->code);

    buffer_clear(line);
    return buffer_put_text(line, "{\"file\":") &&
           json_put_string(line, reject->input->path, strlen(reject->input->path)) &&
           buffer_format(line, ",\"line\":%" PRIu64 ",\"table\":", reject->line) &&
           json_put_string(line, table, strlen(table)) && buffer_put_text(line, ",\"code\":") &&
           json_put_string(line, code, strlen(code)) && buffer_put_text(line, ",\"constraint\":") &&
           (error->constraint[0] ? json_put_string(line, error->constraint, strlen(error->constraint))
                                 : buffer_put_text(line, "null")) &&
           buffer_put_text(line, ",\"message\":") && json_put_string(line, error->text, strlen(error->text)) &&
           buffer_put_text(line, ",\"raw\":") && put_raw(line, reject) &&
           buffer_put_text(line, reject->raw_truncated ? ",\"truncated\":true}\n" : "}\n");
}

bool load_rejects_take(void *context, const struct loader_reject *reject, struct error *error)
{
    struct load_rejects *rejects = context;

    count_reason(rejects, reject);
    rejects->taken++;
    if (rejects->file) {
        if (!put_line(rejects, reject, &rejects->line))
            return error_set(error, ERROR_INTERNAL, "out of memory");
        if (fwrite(rejects->line.bytes, 1, rejects->line.len, rejects->file) != rejects->line.len)
            return cannot_write(rejects, error);
        return true;
    }
    if (rejects->taken <= LOGGED_MAX && log_wants(LOG_LEVEL_WARN)) {
        struct error text;
        error_set(&text, reject->error->code, "%s:%" PRIu64 ": %s: %s", reject->input->path, reject->line,
                  error_code_name(reject->error->code), reject->error->text);
        log_write(LOG_LEVEL_WARN, text.text, NULL, 0);
    }
    return true;
}

void load_rejects_finish(struct load_rejects *rejects)
{
    if (!rejects->file && rejects->taken > LOGGED_MAX)
        log_warn("more rows were refused; --rejects FILE tells of each",
                 LOG_NUMBER("rows", rejects->taken - LOGGED_MAX));
}

const struct load_reason *load_rejects_reasons(const struct load_rejects *rejects, size_t *ret_count)
{
    *ret_count = rejects->reason_count;
    return rejects->reasons;
}
