/* SPDX-License-Identifier: Apache-2.0 */
#include "etag.h"

#include "status.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define ONE "\"000102030405060708090a0b0c0d0e0f\""
#define TWO "\"ffffffffffffffffffffffffffffffff\""

static void a_tag_is_written_and_read(void **state)
{
    (void)state;
    struct row_tag tag;
    char text[ETAG_TEXT_SIZE];
    struct buffer tags = {0};
    struct error error;
    bool any = true;

    for (size_t i = 0; i < ROW_TAG_BYTES; i++)
        tag.bytes[i] = (uint8_t)i;
    etag_text(&tag, text);
    assert_string_equal(text, ONE);
    assert_true(etag_read_list(text, false, &any, &tags, &error));
    assert_false(any);
    assert_int_equal(tags.len, ROW_TAG_BYTES);
    assert_memory_equal(tags.bytes, tag.bytes, ROW_TAG_BYTES);
    buffer_release(&tags);
}

static void lists_give_what_could_be_ours(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool weak_too, any;
        size_t tags;
    } lists[] = {{"*", false, true, 0},
                 {" * ", false, true, 0},
                 {ONE "," TWO, false, false, 2},
                 {" " ONE " ,\t" TWO " ", false, false, 2},
                 {"W/" ONE "," TWO, false, false, 1},
                 {"W/" ONE "," TWO, true, false, 2},
                 {"\"x\", " ONE, false, false, 1},
                 {"\"\"", false, false, 0}};
    struct buffer tags = {0};
    struct error error;

    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        bool any = !lists[i].any;

        buffer_clear(&tags);
        assert_true(etag_read_list(lists[i].text, lists[i].weak_too, &any, &tags, &error));
        assert_true(any == lists[i].any);
        assert_int_equal(tags.len, lists[i].tags * ROW_TAG_BYTES);
    }
    buffer_release(&tags);
}

static void what_is_no_list_is_refused(void **state)
{
    (void)state;
    const char *const wrong[] = {"", "x", "\"", ONE ",", ONE " " TWO, ONE "x", "*,*", "* " ONE, "w/" ONE, "," ONE};
    struct buffer tags = {0};
    struct error error;
    bool any;

    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        assert_false(etag_read_list(wrong[i], true, &any, &tags, &error));
        assert_int_equal(error.code, ERROR_PARSE);
        assert_int_equal(tags.len, 0);
    }
    buffer_release(&tags);
}

/* As the interface promises them. */
static void every_code_has_its_status(void **state)
{
    (void)state;
    static const struct {
        const char *code;
        unsigned status;
    } promised[] = {{"parse", 400},      {"unknown_column", 400},    {"unauthorized", 401}, {"forbidden", 403},
                    {"method", 405},     {"unknown_table", 404},     {"not_found", 404},    {"unique", 409},
                    {"referenced", 409}, {"conflict", 409},          {"key_reused", 409},   {"precondition", 412},
                    {"too_large", 413},  {"media_type", 415},        {"check", 422},        {"not_null", 422},
                    {"type", 422},       {"reference_missing", 422}, {"busy", 429},         {"io", 500},
                    {"internal", 500},   {"unavailable", 503},       {"unknown", 504}};

    assert_int_equal(sizeof promised / sizeof *promised, ERROR_CODE_COUNT - 1);
    for (size_t i = 0; i < sizeof promised / sizeof *promised; i++)
        assert_int_equal(status_of(error_code_of(promised[i].code)), promised[i].status);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_tag_is_written_and_read),
        cmocka_unit_test(lists_give_what_could_be_ours),
        cmocka_unit_test(what_is_no_list_is_refused),
        cmocka_unit_test(every_code_has_its_status),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
