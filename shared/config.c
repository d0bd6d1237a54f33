/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <ctype.h>
#include <errno.h>
#include <ini.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct reading {
    struct config *config;
    struct error *error;
    const char *path;
    FILE *file;
    int line;       /* the one that was read last */
    bool continues; /* it begins with a blank: inih gives it as another value of the setting before */
    bool failed;
    int failed_line;
    char given[64][64]; /* "section.key" of limits and plain settings seen so far */
    size_t given_count;
};

void config_init(struct config *config)
{
    *config = (struct config){.limits = limits_default()};
}

static void release_database(struct config_database *database)
{
    free(database->name);
    free(database->address);
    for (size_t i = 0; i < database->table_count; i++)
        free(database->tables[i]);
    free(database->tables);
}

void config_release(struct config *config)
{
    for (size_t i = 0; i < config->database_count; i++)
        release_database(&config->databases[i]);
    free(config->databases);
    free(config->file);
    free(config->data);
    free(config->cluster);
    free(config->schema);
    free(config->http_listen);
    free(config->http_token_file);
    free(config->http_host);
    config_init(config);
}

/* inih gives only true or false; the reason is kept in the error and the first one stands. */
static int fail(struct reading *reading, enum error_code code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static int fail(struct reading *reading, enum error_code code, const char *format, ...)
{
    if (reading->failed)
        return 0;
    reading->failed = true;
    reading->failed_line = reading->line;
    va_list arguments;
    va_start(arguments, format);
    error_set_v(reading->error, code, format, arguments);
    va_end(arguments);
    return 0;
}

static bool is_comment(const char *text)
{
    text += strspn(text, " \t");
    return *text == ';' || *text == '#';
}

static bool is_section(const char *name, size_t len)
{
    static const char *const plain[] = {"coordinator", "limits", "http"};
    for (size_t i = 0; i < sizeof plain / sizeof *plain; i++)
        if (strlen(plain[i]) == len && !strncmp(name, plain[i], len))
            return true;
    return len >= 9 && !strncmp(name, "database ", 9);
}

/* inih tells of a section with its first setting only, and passes over what stands behind it. */
static void look_at_section(struct reading *reading, const char *text)
{
    size_t len = *text == '[' ? strcspn(text, "]") : 0;
    if (len == 0 || text[len] != ']')
        return;
    if (!is_section(text + 1, len - 1))
        fail(reading, ERROR_PARSE, "there is no section %.*s", (int)len + 1, text);
    else if (text[len + 1 + strspn(text + len + 1, " \t\r\n")])
        fail(reading, ERROR_PARSE, "behind %.*s stands something; a comment stands on a line of its own", (int)len + 1,
             text);
}

/* inih would take the rest of a line that is longer than its own buffer for a line of its own. */
static char *read_line(char *text, int size, void *context)
{
    struct reading *reading = context;
    memset(text, '\n', (size_t)size); /* so that the last NUL is the line's end */
    if (!fgets(text, size, reading->file))
        return NULL;
    reading->line++;
    if (memrchr(text, '\0', (size_t)size) != text + strlen(text))
        fail(reading, ERROR_PARSE, "a NUL is in the line");
    reading->continues = *text == ' ' || *text == '\t';
    look_at_section(reading, text);
    if (strlen(text) + 1 < (size_t)size || strchr(text, '\n'))
        return text;
    int byte = getc(reading->file);
    if (byte != EOF && byte != '\n' && !is_comment(text))
        fail(reading, ERROR_TOO_LARGE, "a line has at most %d bytes; a list of tables goes on in an indented line",
             size - 1);
    for (; byte != EOF && byte != '\n'; byte = getc(reading->file))
        if (byte == '\0')
            fail(reading, ERROR_PARSE, "a NUL is in the line");
    return text;
}

static int set_text(struct reading *reading, char **place, const char *value)
{
    *place = strdup(value);
    return *place ? 1 : fail(reading, ERROR_INTERNAL, "out of memory");
}

/* A path that is not absolute is meant from the configuration's own folder. */
static int set_path(struct reading *reading, char **place, const char *value)
{
    const char *slash = strrchr(reading->path, '/');
    if (value[0] == '/' || !slash)
        return set_text(reading, place, value);
    int result = asprintf(place, "%.*s/%s", (int)(slash - reading->path), reading->path, value);
    if (result < 0)
        *place = NULL;
    return result < 0 ? fail(reading, ERROR_INTERNAL, "out of memory") : 1;
}

static int set_limit(struct reading *reading, const char *name, const char *value)
{
    char *end = NULL;
    errno = 0;
    long long number = strtoll(value, &end, 10);
    if (end == value || *end || errno)
        return fail(reading, ERROR_PARSE, "%s = %s is not a whole number", name, value);
#define X(limit, standard, smallest, largest, unit, why)                                             \
    if (!strcmp(name, #limit)) {                                                                     \
        if (number < (smallest) || number > (largest))                                               \
            return fail(reading, ERROR_PARSE, "%s = %s is not within %lld and %lld %s", name, value, \
                        (long long)(smallest), (long long)(largest), unit);                          \
        reading->config->limits.limit = number;                                                      \
        return 1;                                                                                    \
    }
    LIMITS_SETTABLE(X)
#undef X
    return fail(reading, ERROR_PARSE, "there is no limit called %s", name);
}

static struct config_database *find_or_add(struct reading *reading, const char *name)
{
    struct config *config = reading->config;
    for (size_t i = 0; i < config->database_count; i++) {
        if (!strcmp(config->databases[i].name, name))
            return &config->databases[i];
        if (!strcasecmp(config->databases[i].name, name)) {
            fail(reading, ERROR_PARSE, "databases %s and %s differ only in case", config->databases[i].name, name);
            return NULL;
        }
    }
    if (config->database_count == LIMIT_DATABASES_MAX || !*name || strlen(name) > LIMIT_NAME_BYTES_MAX) {
        fail(reading, ERROR_TOO_LARGE, "more than %d databases, or a name of none or more than %d bytes",
             LIMIT_DATABASES_MAX, LIMIT_NAME_BYTES_MAX);
        return NULL;
    }
    struct config_database *larger =
        realloc(config->databases, (config->database_count + 1) * sizeof *config->databases);
    char *copy = strdup(name);
    if (!larger || !copy) {
        config->databases = larger ? larger : config->databases;
        free(copy);
        fail(reading, ERROR_INTERNAL, "out of memory");
        return NULL;
    }
    config->databases = larger;
    larger[config->database_count] = (struct config_database){.name = copy};
    return &larger[config->database_count++];
}

static int add_table(struct reading *reading, struct config_database *database, const char *name, size_t len)
{
    const struct config *config = reading->config;
    for (size_t d = 0; d < config->database_count; d++)
        for (size_t i = 0; i < config->databases[d].table_count; i++)
            if (strlen(config->databases[d].tables[i]) == len &&
                !strncasecmp(config->databases[d].tables[i], name, len))
                return fail(reading, ERROR_PARSE, "table %.*s is placed twice (database %s)", (int)len, name,
                            config->databases[d].name);
    char **larger = realloc(database->tables, (database->table_count + 1) * sizeof *larger);
    if (!larger)
        return fail(reading, ERROR_INTERNAL, "out of memory");
    database->tables = larger;
    larger[database->table_count] = strndup(name, len);
    return larger[database->table_count++] ? 1 : fail(reading, ERROR_INTERNAL, "out of memory");
}

static int set_tables(struct reading *reading, struct config_database *database, const char *value)
{
    while (*value) {
        size_t len = strcspn(value, ",");
        size_t start = 0, end = len;
        while (start < end && isspace((unsigned char)value[start]))
            start++;
        while (end > start && isspace((unsigned char)value[end - 1]))
            end--;
        if (start == end)
            return fail(reading, ERROR_PARSE, "tables: a name is missing between commas");
        if (!add_table(reading, database, value + start, end - start))
            return 0;
        value += len + (value[len] == ',');
    }
    return database->table_count ? 1 : fail(reading, ERROR_PARSE, "tables: no table is named");
}

static int set_database(struct reading *reading, const char *section, const char *name, const char *value)
{
    const char *database_name = section + strlen("database ");
    while (isspace((unsigned char)*database_name))
        database_name++;
    struct config_database *database = find_or_add(reading, database_name);
    if (!database)
        return 0;
    if (!strcmp(name, "tables"))
        return database->table_count && !reading->continues ? fail(reading, ERROR_PARSE, "tables is given twice")
                                                            : set_tables(reading, database, value);
    if (!strcmp(name, "address"))
        return database->address ? fail(reading, ERROR_PARSE, "address is given twice")
                                 : set_text(reading, &database->address, value);
    return fail(reading, ERROR_PARSE, "[%s] has no setting called %s", section, name);
}

/* Plain settings may be given once. */
static bool first_time(struct reading *reading, const char *section, const char *name)
{
    char both[64];
    snprintf(both, sizeof both, "%s.%s", section, name);
    for (size_t i = 0; i < reading->given_count; i++)
        if (!strcmp(reading->given[i], both))
            return fail(reading, ERROR_PARSE, "%s is given twice", name);
    if (reading->given_count < sizeof reading->given / sizeof *reading->given)
        memcpy(reading->given[reading->given_count++], both, sizeof both);
    return true;
}

static int setting(void *context, const char *section, const char *name, const char *value)
{
    struct reading *reading = context;
    struct config *config = reading->config;
    if (reading->failed)
        return 0;
    if (!strncmp(section, "database ", 9))
        return set_database(reading, section, name, value);
    if (!is_section(section, strlen(section)))
        return fail(reading, ERROR_PARSE, *section ? "there is no section [%s]" : "%.0ssettings belong into a section",
                    section);
    if (!first_time(reading, section, name))
        return 0;
    if (!strcmp(section, "limits"))
        return set_limit(reading, name, value);
    bool coordinator = !strcmp(section, "coordinator");
    if (coordinator && !strcmp(name, "data"))
        return set_path(reading, &config->data, value);
    if (coordinator && !strcmp(name, "schema"))
        return set_path(reading, &config->schema, value);
    if (coordinator && !strcmp(name, "cluster"))
        return set_text(reading, &config->cluster, value);
    if (!coordinator && !strcmp(name, "listen"))
        return set_text(reading, &config->http_listen, value);
    if (!coordinator && !strcmp(name, "host"))
        return set_text(reading, &config->http_host, value);
    if (!coordinator && !strcmp(name, "token_file"))
        return set_path(reading, &config->http_token_file, value);
    return fail(reading, ERROR_PARSE, "[%s] has no setting called %s", section, name);
}

bool config_read(struct config *config, const char *path, struct error *error)
{
    struct config result;
    config_init(&result);
    FILE *file = fopen(path, "re");
    if (!file)
        return error_set(error, ERROR_IO, "%s: %s", path, strerror(errno));
    struct reading *reading = calloc(1, sizeof *reading);
    if (!reading) {
        fclose(file);
        return error_set(error, ERROR_INTERNAL, "out of memory");
    }
    reading->config = &result;
    reading->error = error;
    reading->path = path;
    reading->file = file;
    ini_allow_inline_comments = false; /* they would cut a value that has a " ;" in it */
    int line = ini_parse_stream(read_line, reading, setting, reading);
    bool unreadable = ferror(file) != 0;
    bool ok = line == 0 && !unreadable && !reading->failed;
    if (unreadable)
        error_set(error, ERROR_IO, "%s: cannot be read", path);
    else if (line < 0)
        error_set(error, ERROR_INTERNAL, "%s: out of memory", path);
    else if (reading->failed && (line == 0 || reading->failed_line <= line))
        error_prefix(error, "%s:%d: ", path, reading->failed_line);
    else if (line != 0)
        error_set(error, ERROR_PARSE, "%s:%d: not a [section], a name = value, or a comment", path, line);
    fclose(file);
    free(reading);
    if (ok && !(result.file = strdup(path)))
        ok = error_set(error, ERROR_INTERNAL, "out of memory");
    if (!ok) {
        config_release(&result);
        return false;
    }
    config_release(config);
    *config = result;
    return true;
}

bool config_placement(const struct config *config, struct schema_placement *ret_placement, struct error *error)
{
    struct buffer text = {0};
    bool ok = true;
    for (size_t d = 0; ok && d < config->database_count; d++)
        for (size_t i = 0; ok && i < config->databases[d].table_count; i++)
            ok = buffer_format(&text, "%s\t%s\n", config->databases[d].name, config->databases[d].tables[i]);
    ok = ok ? schema_placement_read((const char *)text.bytes, text.len, ret_placement, error)
            : error_set(error, ERROR_INTERNAL, "out of memory");
    buffer_release(&text);
    return ok;
}

const char *config_address(const struct config *config, const char *database)
{
    for (size_t i = 0; i < config->database_count; i++)
        if (!strcmp(config->databases[i].name, database))
            return config->databases[i].address;
    return NULL;
}
