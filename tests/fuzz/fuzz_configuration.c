/* SPDX-License-Identifier: Apache-2.0 */
/* A configuration file: what is accepted is within the limits that are stated, and is accepted again when it is written
 * down from what was understood, with the same meaning. */
#include "config.h"
#include "fuzz.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static bool read_bytes(const void *bytes, size_t len, struct config *config, struct error *error)
{
    static int fd = -1;
    static char path[32];
    if (fd < 0) {
        fd = memfd_create("fuzz", MFD_CLOEXEC);
        snprintf(path, sizeof path, "/dev/fd/%d", fd);
    }
    if (fd < 0 || ftruncate(fd, 0) != 0 || pwrite(fd, bytes, len, 0) != (ssize_t)len)
        panic("no file in memory");
    config_init(config);
    return config_read(config, path, error);
}

static void check_limits(const struct limits *limits)
{
#define X(name, standard, smallest, largest, unit, why)                 \
    if (limits->name < (int64_t)(smallest) || limits->name > (largest)) \
        panic(#name " is %lld", (long long)limits->name);
    LIMITS_SETTABLE(X)
#undef X
}

/* A line has room for 199 bytes; a list of tables goes on in the next. */
static void put_database(struct buffer *text, const struct config_database *database)
{
    bool fine = buffer_format(text, "[database %s]\n", database->name);
    for (size_t i = 0; i < database->table_count; i++)
        fine = fine && buffer_format(text, "%s%s\n", i ? " " : "tables = ", database->tables[i]);
    if (database->address)
        fine = fine && buffer_format(text, "address = %s\n", database->address);
    if (!fine)
        panic("out of memory");
}

static bool put_setting(struct buffer *text, const char *name, const char *value)
{
    return !value || buffer_format(text, "%s = %s\n", name, value);
}

static void put_config(struct buffer *text, const struct config *config)
{
    bool fine = buffer_put_text(text, "[coordinator]\n") && put_setting(text, "data", config->data) &&
                put_setting(text, "cluster", config->cluster) && put_setting(text, "schema", config->schema) &&
                buffer_put_text(text, "[http]\n") && put_setting(text, "listen", config->http_listen) &&
                put_setting(text, "token_file", config->http_token_file) &&
                put_setting(text, "host", config->http_host) && buffer_put_text(text, "[limits]\n");
#define X(name, standard, smallest, largest, unit, why) \
    fine = fine && buffer_format(text, #name " = %lld\n", (long long)config->limits.name);
    LIMITS_SETTABLE(X)
#undef X
    if (!fine)
        panic("out of memory");
    for (size_t i = 0; i < config->database_count; i++)
        put_database(text, &config->databases[i]);
}

/* A relative path is in the file's folder from then on, and may be longer than a line takes. */
static bool fits_lines(const struct buffer *text)
{
    size_t line = 0;
    for (size_t i = 0; i < text->len; i++) {
        line = text->bytes[i] == '\n' ? 0 : line + 1;
        if (line > 199)
            return false;
    }
    return true;
}

/* A name that can only stand behind another one in its line. */
static bool looks_like_comment(const struct config *config)
{
    for (size_t i = 0; i < config->database_count; i++)
        for (size_t t = 1; t < config->databases[i].table_count; t++)
            if (config->databases[i].tables[t][0] == ';' || config->databases[i].tables[t][0] == '#')
                return true;
    return false;
}

static void check_placement(const struct config *config)
{
    struct schema_placement placement = {0};
    struct error error;
    size_t tables = 0;
    if (!config_placement(config, &placement, &error))
        panic("a placement cannot be read: %s", error.text);
    for (size_t i = 0; i < config->database_count; i++)
        tables += config->databases[i].table_count;
    if (placement.count != tables)
        panic("%zu of %zu tables are placed", placement.count, tables);
    schema_placement_release(&placement);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    struct config config, again;
    struct buffer text = {0}, text_again = {0};
    struct error error = {0};

    if (!read_bytes(bytes, len, &config, &error)) {
        if (!error.text[0] || error.code == ERROR_INTERNAL || error.code == ERROR_NONE)
            panic("refused as %s: %s", error_code_name(error.code), error.text);
        config_release(&config);
        return 0;
    }
    if (len && memchr(bytes, '\0', len))
        panic("a NUL is accepted, and what follows it in its line is not read");
    check_limits(&config.limits);
    check_placement(&config);
    put_config(&text, &config);
    if (fits_lines(&text) && !looks_like_comment(&config)) {
        if (!read_bytes(text.bytes, text.len, &again, &error))
            panic("what was accepted is refused: %s\n%.*s", error.text, (int)text.len, (const char *)text.bytes);
        put_config(&text_again, &again);
        if (text.len != text_again.len || memcmp(text.bytes, text_again.bytes, text.len) != 0)
            panic("it means something else: %.*s %.*s", (int)text.len, (const char *)text.bytes, (int)text_again.len,
                  (const char *)text_again.bytes);
        config_release(&again);
    }
    config_release(&config);
    buffer_release(&text);
    buffer_release(&text_again);
    return 0;
}
