/* SPDX-License-Identifier: Apache-2.0 */
#include "metrics_report.h"

#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct metrics_database databases[2];
static struct buffer out;

static int begin(void **state)
{
    static struct metrics metrics;

    (void)state;
    memset(databases, 0, sizeof databases);
    memset(&metrics, 0, sizeof metrics);
    metrics.coordinator.cpu_ns = 1500000000;
    metrics.coordinator.memory_bytes = 4096;
    metrics.count = 2;
    metrics.databases = databases;
    strcpy(databases[0].name, "a\"b\\c\nd");
    databases[0].answered = true;
    databases[0].rows_accepted = UINT64_C(9007199254740992);
    databases[0].rows_same = 2;
    databases[0].rows_refused = 3;
    databases[0].batches = 4;
    databases[0].cpu_ns = 250000000;
    databases[0].memory_bytes = 5;
    databases[0].file_bytes = 6;
    databases[0].wal_bytes = 7;
    histogram_add(&databases[0].steps[METRICS_COMMIT], 2000000000, 3);
    strcpy(databases[1].name, "orders");
    metrics_merge(&metrics);
    return metrics_prometheus(&metrics, &out) && buffer_put(&out, "", 1) ? 0 : -1;
}

static int end(void **state)
{
    (void)state;
    buffer_release(&out);
    return 0;
}

static void has_line(const char *line)
{
    char framed[512];

    snprintf(framed, sizeof framed, "\n%s\n", line);
    if (!strstr((const char *)out.bytes, framed) &&
        strncmp((const char *)out.bytes, framed + 1, strlen(framed + 1)) != 0)
        fail_msg("no line \"%s\" in\n%s", line, (const char *)out.bytes);
}

static void figures_come_in_base_units_with_escaped_labels(void **state)
{
    (void)state;
#define NAME "database=\"a\\\"b\\\\c\\nd\""
    has_line("sheaf_rows_total{" NAME ",outcome=\"accepted\"} 9007199254740992");
    has_line("sheaf_rows_total{" NAME ",outcome=\"already_there\"} 2");
    has_line("sheaf_rows_total{" NAME ",outcome=\"refused\"} 3");
    has_line("sheaf_rows_total{database=\"orders\",outcome=\"refused\"} 0");
    has_line("sheaf_batches_total{" NAME "} 4");
    has_line("sheaf_shard_up{" NAME "} 1");
    has_line("sheaf_shard_up{database=\"orders\"} 0");
    has_line("sheaf_shard_cpu_seconds_total{" NAME "} 0.25");
    has_line("sheaf_shard_memory_peak_bytes{" NAME "} 5");
    has_line("sheaf_shard_file_bytes{" NAME "} 6");
    has_line("sheaf_shard_wal_bytes{" NAME "} 7");
    has_line("sheaf_step_seconds_sum{" NAME ",step=\"commit\"} 6");
    has_line("sheaf_step_seconds_count{" NAME ",step=\"commit\"} 3");
    has_line("sheaf_step_seconds_count{database=\"orders\",step=\"total\"} 0");
    has_line("sheaf_coordinator_cpu_seconds_total 1.5");
    has_line("sheaf_coordinator_memory_peak_bytes 4096");
}

static void quantiles_are_those_of_the_histogram(void **state)
{
    (void)state;
    const char *const shares[] = {"0.5", "0.9", "0.99"};

    for (size_t i = 0; i < 3; i++) {
        char start[200];

        snprintf(start, sizeof start, "\nsheaf_step_seconds{" NAME ",step=\"commit\",quantile=\"%s\"} ", shares[i]);
        const char *at = strstr((const char *)out.bytes, start);
        assert_non_null(at);
        double seconds = strtod(at + strlen(start), NULL);
        assert_true(seconds >= 2 && seconds <= 2 * 1.0625);
    }
}

/* Every sample stands under the head of its own family, which is told once. */
static void each_family_is_told_once_and_before_its_samples(void **state)
{
    (void)state;
    char *text = strdup((const char *)out.bytes), family[128] = "", *save = NULL;
    char told[4096] = "\n";

    assert_int_equal(text[strlen(text) - 1], '\n');
    for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        char name[128], kind[16], entry[160];

        if (strncmp(line, "# HELP ", 7) == 0)
            continue;
        if (sscanf(line, "# TYPE %127s %15s", name, kind) == 2) {
            snprintf(entry, sizeof entry, "\n%s\n", name);
            assert_null(strstr(told, entry));
            strcat(told, entry + 1);
            strcpy(family, name);
            assert_true(!strcmp(kind, "counter") || !strcmp(kind, "gauge") || !strcmp(kind, "summary"));
            assert_int_equal(strcmp(kind, "counter") == 0,
                             strlen(name) > 6 && !strcmp(name + strlen(name) - 6, "_total"));
            continue;
        }
        assert_int_equal(strncmp(line, family, strlen(family)), 0);
        assert_true(isdigit((unsigned char)line[strlen(line) - 1]));
    }
    free(text);
}

static void a_sample_without_labels_has_no_braces(void **state)
{
    (void)state;
    struct buffer one = {0};

    assert_true(metrics_put_family(&one, "x", "gauge", "What it is.") && metrics_put_sample(&one, "x", "", 0.1) &&
                metrics_put_sample(&one, "x", "a=\"b\"", 1e21) && buffer_put(&one, "", 1));
    assert_string_equal((const char *)one.bytes,
                        "# HELP x What it is.\n# TYPE x gauge\nx 0.10000000000000001\nx{a=\"b\"} 1e+21\n");
    buffer_release(&one);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(figures_come_in_base_units_with_escaped_labels, begin, end),
        cmocka_unit_test_setup_teardown(quantiles_are_those_of_the_histogram, begin, end),
        cmocka_unit_test_setup_teardown(each_family_is_told_once_and_before_its_samples, begin, end),
        cmocka_unit_test(a_sample_without_labels_has_no_braces),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
