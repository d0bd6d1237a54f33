/* SPDX-License-Identifier: Apache-2.0 */
#include "metrics_report.h"
#include "style.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

/* Two shards, the second of which does not answer. */
static void fill(struct metrics *metrics)
{
    static struct metrics_database databases[2];

    memset(databases, 0, sizeof databases);
    memset(metrics, 0, sizeof *metrics);
    metrics->wall_ns = 2500000000;
    metrics->coordinator.cpu_ns = 7;
    metrics->count = 2;
    metrics->databases = databases;
    strcpy(databases[0].name, "users \"x\"");
    databases[0].answered = true;
    databases[0].rows_accepted = 3;
    databases[0].rows_refused = 1;
    databases[0].batches = 2;
    databases[0].cpu_ns = 11;
    histogram_add(&databases[0].batch_rows, 2, 2);
    histogram_add(&databases[0].steps[METRICS_COMMIT], 350000, 4);
    strcpy(databases[1].name, "orders");
    databases[1].rows_accepted = 5;
    databases[1].rows_same = 2;
    error_set(&databases[1].why, ERROR_UNAVAILABLE, "orders: it is gone");
    histogram_add(&databases[1].steps[METRICS_COMMIT], 1200000, 4);
    histogram_add(&databases[1].steps[METRICS_TOTAL], 1, 1);
    metrics->refused_in_input = 9;
    metrics_merge(metrics);
}

static json_int_t number_at(json_t *from, const char *a, const char *b, const char *c)
{
    json_t *at = json_object_get(from, a);

    at = b ? json_object_get(at, b) : at;
    at = c ? json_object_get(at, c) : at;
    assert_true(json_is_integer(at));
    return json_integer_value(at);
}

static void json_has_every_documented_key(void **state)
{
    static const char *const steps[] = {"parse", "wait", "check", "queue", "decode", "apply", "commit", "total"};
    static const char *const shares[] = {"count", "mean_ns", "p50_ns", "p99_ns", "max_ns"};
    struct metrics metrics;
    struct buffer out = {0};
    json_t *all, *databases, *first, *second;

    (void)state;
    fill(&metrics);
    assert_true(metrics_json(&metrics, &out));
    assert_int_equal(out.bytes[out.len - 1], '\n');
    all = json_loadb((const char *)out.bytes, out.len, 0, NULL);
    assert_non_null(all);
    assert_int_equal(number_at(all, "wall_ns", NULL, NULL), 2500000000);
    assert_int_equal(number_at(all, "coordinator", "cpu_ns", NULL), 7);
    assert_int_equal(number_at(all, "refused_in_input", NULL, NULL), 9);
    databases = json_object_get(all, "databases");
    assert_int_equal(json_array_size(databases), 2);
    first = json_array_get(databases, 0);
    second = json_array_get(databases, 1);
    assert_string_equal(json_string_value(json_object_get(first, "name")), "users \"x\"");
    assert_int_equal(number_at(first, "rows", "accepted", NULL), 3);
    assert_int_equal(number_at(first, "rows_per_batch", "max", NULL), 2);
    assert_int_equal(number_at(first, "process", "cpu_ns", NULL), 11);
    assert_int_equal(number_at(first, "steps", "commit", "max_ns"), 350000);
    for (size_t i = 0; i < 8; i++)
        for (size_t j = 0; j < 5; j++)
            number_at(first, "steps", steps[i], shares[j]);
    assert_null(json_object_get(second, "process"));
    assert_string_equal(json_string_value(json_object_get(json_object_get(second, "error"), "code")), "unavailable");
    json_decref(all);
    buffer_release(&out);
}

static void over_all_is_the_merge_of_the_databases(void **state)
{
    struct metrics metrics;
    struct buffer out = {0};
    json_t *all, *merged;

    (void)state;
    fill(&metrics);
    assert_true(metrics_json(&metrics, &out));
    all = json_loadb((const char *)out.bytes, out.len, 0, NULL);
    assert_non_null(all);
    merged = json_object_get(all, "all");
    assert_int_equal(number_at(merged, "rows", "accepted", NULL), 8);
    assert_int_equal(number_at(merged, "rows", "already_there", NULL), 2);
    assert_int_equal(number_at(merged, "rows", "refused", NULL), 1);
    assert_int_equal(number_at(merged, "steps", "commit", "count"), 8);
    assert_int_equal(number_at(merged, "steps", "commit", "max_ns"), 1200000);
    assert_int_equal(number_at(merged, "process", "cpu_ns", NULL), 11);
    json_decref(all);
    buffer_release(&out);
}

static void text_fits_80_columns_and_names_what_is_missing(void **state)
{
    struct metrics metrics;
    struct buffer out = {0};
    char *line, *rest;

    (void)state;
    fill(&metrics);
    memset(metrics.databases[0].name, 'x', LIMIT_NAME_BYTES_MAX);
    metrics.databases[0].rows_accepted = UINT64_MAX;
    assert_true(metrics_text(&metrics, false, &out) && buffer_put(&out, "", 1));
    assert_non_null(strstr((const char *)out.bytes, "no answer"));
    assert_non_null(strstr((const char *)out.bytes, "1.20 ms"));
    assert_non_null(strstr((const char *)out.bytes, "wall time 2.50 s"));
    assert_null(strstr((const char *)out.bytes, "\033"));
    for (line = strtok_r((char *)out.bytes, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
        assert_true(style_columns(line, strlen(line)) <= 80);
    buffer_release(&out);
}

static void the_file_is_replaced_and_its_failure_is_named(void **state)
{
    struct metrics_target target = {.format = METRICS_JSON, .standard = METRICS_NONE, .fd = 1};
    char folder[] = "/tmp/sheaf-metrics-XXXXXX";
    char path[64], text[16] = "";
    struct metrics metrics;
    struct error error;
    int fd;

    (void)state;
    fill(&metrics);
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/m.json", folder);
    target.file = path;
    assert_true(metrics_write(&metrics, &target, &error));
    assert_true(metrics_write(&metrics, &target, &error));
    fd = open(path, O_RDONLY);
    assert_true(fd >= 0);
    assert_int_equal(read(fd, text, 10), 10);
    close(fd);
    assert_string_equal(text, "{\"wall_ns\"");
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(folder), 0); /* nothing else was left behind */
    assert_false(metrics_write(&metrics, &target, &error));
    assert_int_equal(error.code, ERROR_IO);
    assert_non_null(strstr(error.text, path));
    target.file = "/dev/full";
    assert_false(metrics_write(&metrics, &target, &error));
    assert_int_equal(error.code, ERROR_IO);
}

static void a_file_without_a_format_asks_for_text(void **state)
{
    (void)state;
    assert_false(metrics_wanted(&(struct metrics_target){.standard = METRICS_NONE}));
    assert_true(metrics_wanted(&(struct metrics_target){.standard = METRICS_NONE, .file = "x"}));
    assert_true(metrics_wanted(&(struct metrics_target){.standard = METRICS_TEXT}));
    assert_true(metrics_wanted(&(struct metrics_target){.format = METRICS_JSON, .standard = METRICS_NONE}));
    assert_false(
        metrics_wanted(&(struct metrics_target){.format = METRICS_NONE, .standard = METRICS_TEXT, .file = "x"}));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(json_has_every_documented_key),
        cmocka_unit_test(over_all_is_the_merge_of_the_databases),
        cmocka_unit_test(text_fits_80_columns_and_names_what_is_missing),
        cmocka_unit_test(the_file_is_replaced_and_its_failure_is_named),
        cmocka_unit_test(a_file_without_a_format_asks_for_text),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
