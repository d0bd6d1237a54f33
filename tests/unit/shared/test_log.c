/* SPDX-License-Identifier: Apache-2.0 */
#include "limits.h"
#include "log.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* stderr goes into a file while a test logs. */
static int kept_stderr = -1, file = -1;
static char written[1 << 20];

static void catch_stderr(void)
{
    char path[] = "log-test-XXXXXX";
    file = mkstemp(path);
    assert_true(file >= 0);
    unlink(path);
    fcntl(file, F_SETFL, O_APPEND);
    kept_stderr = dup(STDERR_FILENO);
    dup2(file, STDERR_FILENO);
}

static const char *caught(void)
{
    dup2(kept_stderr, STDERR_FILENO);
    close(kept_stderr);
    ssize_t len = pread(file, written, sizeof written - 1, 0);
    assert_true(len >= 0);
    written[len] = '\0';
    close(file);
    return written;
}

/* What stands behind the time, which is checked for its form. */
static const char *behind_time(const char *line, const char *before)
{
    assert_memory_equal(line, before, strlen(before));
    const char *time = line + strlen(before);
    static const char form[] = "dddd-dd-ddTdd:dd:dd.dddZ";
    for (size_t i = 0; i < sizeof form - 1; i++)
        if (form[i] == 'd' ? time[i] < '0' || time[i] > '9' : time[i] != form[i])
            fail_msg("no time: %s", time);
    return time + sizeof form - 1;
}

static void a_line_of_logfmt_has_its_fields_in_order(void **state)
{
    (void)state;
    catch_stderr();
    log_open("shardd", "orders", LOG_LEVEL_INFO, LOG_LOGFMT);
    log_info("shard ready", LOG_TEXT("database", "orders"), LOG_NUMBER("pid", -7));
    log_write(LOG_LEVEL_WARN, "alone", NULL, 0);
    const char *rest = behind_time(caught(), "ts=");
    static const char first[] = " level=info process=shardd shard=orders msg=\"shard ready\" database=orders pid=-7\n";
    assert_memory_equal(rest, first, strlen(first));
    rest = behind_time(rest + strlen(first), "ts=");
    assert_string_equal(rest, " level=warn process=shardd shard=orders msg=alone\n");
}

static void a_line_of_json_is_an_object(void **state)
{
    (void)state;
    catch_stderr();
    log_open("coordinator", NULL, LOG_LEVEL_INFO, LOG_JSON);
    log_error("no \"good\"", LOG_TEXT("error", "a\\b"), LOG_NUMBER("big", INT64_MIN), LOG_TEXT("empty", ""));
    const char *rest = behind_time(caught(), "{\"ts\":\"");
    assert_string_equal(rest, "\",\"level\":\"error\",\"process\":\"coordinator\",\"msg\":\"no \\\"good\\\"\","
                              "\"error\":\"a\\\\b\",\"big\":-9223372036854775808,\"empty\":\"\"}\n");
}

static void no_value_breaks_a_line(void **state)
{
    (void)state;
    for (int format = LOG_LOGFMT; format <= LOG_JSON; format++) {
        catch_stderr();
        log_open("p", NULL, LOG_LEVEL_INFO, (enum log_format)format);
        log_info("m\nlevel=error", LOG_TEXT("a", "x\r\n\t\x7f\x1b[31m"), LOG_TEXT("b", "k=v w"),
                 LOG_TEXT("c", "\xff\xfe"), LOG_TEXT("d", "h\xc3\xa9"));
        const char *line = caught();
        assert_ptr_equal(strchr(line, '\n'), line + strlen(line) - 1);
        assert_non_null(strstr(line, "\"m\\u000alevel=error\""));
        assert_non_null(strstr(line, "\"x\\u000d\\u000a\\u0009\\u007f\\u001b[31m\""));
        assert_non_null(strstr(line, "\"k=v w\""));
        assert_non_null(strstr(line, "\"\\u00ff\\u00fe\""));
        assert_non_null(strstr(line, "\"h\xc3\xa9\""));
    }
}

static void a_line_has_its_limit_and_still_ends(void **state)
{
    (void)state;
    static char huge[10000];
    for (int fill = 0; fill < 2; fill++)
        for (int format = LOG_LOGFMT; format <= LOG_JSON; format++) {
            memset(huge, fill ? '"' : 'x', sizeof huge - 1);
            catch_stderr();
            log_open("p", huge + sizeof huge - 1 - LIMIT_NAME_BYTES_MAX, LOG_LEVEL_INFO, (enum log_format)format);
            log_info(huge, LOG_TEXT("a", huge), LOG_TEXT("b", "left out"));
            log_open("p", NULL, LOG_LEVEL_INFO, (enum log_format)format);
            log_info("m", LOG_TEXT("a", huge), LOG_TEXT("b", "left out"));
            const char *line = caught();
            const char *first_end = strchr(line, '\n');
            assert_non_null(first_end);
            assert_true(first_end - line < 4096);
            assert_int_equal(first_end[strlen(first_end) - 1], '\n');
            assert_true(strlen(first_end + 1) <= 4096);
            assert_null(strstr(line, "left out"));
            if (format == LOG_JSON) {
                assert_memory_equal(first_end - 2, "\"}", 2);
                assert_memory_equal(first_end + strlen(first_end) - 3, "\"}\n", 3);
            }
        }
}

static void a_level_that_is_not_wanted_is_not_written(void **state)
{
    (void)state;
    catch_stderr();
    log_open("p", NULL, LOG_LEVEL_WARN, LOG_LOGFMT);
    log_info("no", LOG_NUMBER("n", 1));
    log_debug("no", LOG_NUMBER("n", 1));
    assert_true(log_wants(LOG_LEVEL_ERROR) && log_wants(LOG_LEVEL_WARN));
    assert_false(log_wants(LOG_LEVEL_INFO) || log_wants(LOG_LEVEL_DEBUG));
    log_warn("yes", LOG_NUMBER("n", 1));
    assert_non_null(strstr(caught(), "level=warn process=p msg=yes n=1\n"));
    assert_null(strstr(written, "msg=no"));
}

static void errno_is_left_as_it_was(void **state)
{
    (void)state;
    catch_stderr();
    log_open("p", NULL, LOG_LEVEL_INFO, LOG_LOGFMT);
    close(STDERR_FILENO); /* the write fails */
    errno = ENOSPC;
    log_info("m", LOG_NUMBER("n", 1));
    assert_int_equal(errno, ENOSPC);
    caught();
}

static void *log_many(void *context)
{
    for (int i = 0; i < 500; i++)
        log_info("from a thread", LOG_TEXT("who", context), LOG_NUMBER("i", i));
    return NULL;
}

static void lines_of_several_threads_do_not_mix(void **state)
{
    (void)state;
    pthread_t threads[4];
    static char names[4][3] = {"t0", "t1", "t2", "t3"};
    catch_stderr();
    log_open("p", NULL, LOG_LEVEL_INFO, LOG_LOGFMT);
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, log_many, names[i]), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    unsigned lines = 0;
    for (char *line = (char *)caught(), *end; (end = strchr(line, '\n')); line = end + 1, lines++) {
        *end = '\0';
        char who[8];
        int i, used = 0;
        const char *rest = behind_time(line, "ts=");
        if (sscanf(rest, " level=info process=p msg=\"from a thread\" who=%7s i=%d%n", who, &i, &used) != 2 ||
            rest[used])
            fail_msg("mixed: %s", line);
    }
    assert_int_equal(lines, 2000);
}

static void levels_and_formats_have_names(void **state)
{
    (void)state;
    enum log_level level = LOG_LEVEL_ERROR;
    enum log_format format = LOG_JSON;
    assert_true(log_level_of("debug", &level) && level == LOG_LEVEL_DEBUG);
    assert_true(log_level_of("error", &level) && level == LOG_LEVEL_ERROR);
    assert_false(log_level_of("Debug", &level) || log_level_of("", &level));
    assert_true(log_format_of("logfmt", &format) && format == LOG_LOGFMT);
    assert_true(log_format_of("json", &format) && format == LOG_JSON);
    assert_false(log_format_of("xml", &format));
    assert_true(level == LOG_LEVEL_ERROR && format == LOG_JSON); /* untouched by what failed */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_of_logfmt_has_its_fields_in_order),
        cmocka_unit_test(a_line_of_json_is_an_object),
        cmocka_unit_test(no_value_breaks_a_line),
        cmocka_unit_test(a_line_has_its_limit_and_still_ends),
        cmocka_unit_test(a_level_that_is_not_wanted_is_not_written),
        cmocka_unit_test(errno_is_left_as_it_was),
        cmocka_unit_test(lines_of_several_threads_do_not_mix),
        cmocka_unit_test(levels_and_formats_have_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
