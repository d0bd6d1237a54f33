/* SPDX-License-Identifier: Apache-2.0 */
#include "framing.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/* Cuts a head in place as the library does it, and tells its parts. NULL: it is sound. */
static const char *judged(const char *text, size_t len)
{
    static struct error error;
    static char head[1024];
    struct framing framing;

    assert_in_range(len, 1, sizeof head);
    memcpy(head, text, len);
    char *end = head + len, *eol = memchr(head, '\n', len);
    *eol = '\0';
    if (eol[-1] == '\r')
        eol[-1] = '\0';
    char *target = strchr(head, ' ') + 1;
    char *version = eol;
    for (; version[-1] != ' '; version--)
        continue;
    version[-1] = '\0';
    if (!framing_is_target(target))
        return "target";
    framing_begin(&framing, target + strlen(target), version);
    for (char *line = eol + 1; *line != '\r' && *line != '\n'; line = eol + 1) {
        eol = memchr(line, '\n', (size_t)(end - line));
        *eol = '\0';
        if (eol[-1] == '\r')
            eol[-1] = '\0';
        char *colon = strchr(line, ':');
        *colon = '\0';
        char *value = colon + 1 + strspn(colon + 1, " \t");
        framing_header(&framing, line, strlen(line), value, strlen(value));
    }
    return framing_end(&framing, end, &error) ? NULL : error.text;
}

#define JUDGED(text) judged(text, sizeof text - 1)

static void a_sound_head_is_taken(void **state)
{
    (void)state;
    assert_null(JUDGED("GET / HTTP/1.1\r\nHost: x\r\n\r\n"));
    assert_null(JUDGED("GET / HTTP/1.1\nHost:x\n\n"));
    assert_null(JUDGED("GET / HTTP/1.0\r\n\r\n"));
    assert_null(JUDGED(
        "POST /a?b=%00 HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nX-Empty:\r\nAccept: a\r\nAccept:\tb\tc\r\n\r\n"));
    assert_null(JUDGED("POST / HTTP/1.1\r\nTransfer-Encoding: Chunked\r\nhost: x\r\n\r\n"));
    assert_null(JUDGED("POST /\xc3\xa4 HTTP/1.1\r\nHost: x\r\nX: \xc3\xa4\r\n\r\n"));
}

static void what_stands_there_twice_is_named(void **state)
{
    (void)state;
    assert_string_equal(JUDGED("GET / HTTP/1.1\r\nHost: x\r\nhost: x\r\n\r\n"), "Host is given twice");
    assert_string_equal(JUDGED("GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nX: y\r\nContent-length: 1\r\n\r\n"),
                        "Content-Length is given twice");
    assert_non_null(JUDGED("GET / HTTP/1.1\r\nHost: x\r\nIdempotency-Key: 1\r\nIdempotency-Key: 2\r\n\r\n"));
}

static void a_body_has_one_end(void **state)
{
    (void)state;
    assert_non_null(JUDGED("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"));
    assert_non_null(JUDGED("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n"));
    assert_non_null(JUDGED("POST / HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"));
}

static void a_host_there_must_be(void **state)
{
    (void)state;
    assert_non_null(JUDGED("GET / HTTP/1.1\r\n\r\n"));
    assert_non_null(JUDGED("GET / HTTP/1.1\r\nHosts: x\r\n\r\n"));
}

static void nothing_is_hidden_in_a_head(void **state)
{
    (void)state;
    assert_non_null(JUDGED("GET /a\0b HTTP/1.1\r\nHost: x\r\n\r\n"));
    assert_non_null(JUDGED("GET /a\0HTTP/1.1 HTTP/1.1\r\nHost: x\r\n\r\n"));
    assert_non_null(JUDGED("GET /a b HTTP/1.1\r\nHost: x\r\n\r\n"));
    assert_non_null(JUDGED("GET /a\tb HTTP/1.1\r\nHost: x\r\n\r\n"));
    assert_non_null(JUDGED("GET / HTTP/1.1\r\nHost: x\0y\r\nX: y\r\n\r\n"));
    assert_non_null(JUDGED("GET / HTTP/1.1\r\nHost: x\0\r\nX: y\r\n\r\n"));
    assert_non_null(JUDGED("GET / HTTP/1.1\r\nX: y\r\nHost: x\0y\r\n\r\n"));
    assert_non_null(JUDGED("GET / HTTP/1.1\r\nX: y\r\nHost: x\0\r\n\r\n"));
    assert_non_null(JUDGED("GET / HTTP/1.1\r\nHost : x\r\nHost: x\r\n\r\n"));
    assert_non_null(JUDGED("GET / HTTP/1.1\r\nHost: x\rX: y\r\n\r\n"));
    assert_non_null(JUDGED("GET / HTTP/1.1\r\nHost: x\r\n: y\r\n\r\n"));
}

/* As the library does it: what a folded line says is hung behind its name, which moves for it. */
static void a_folded_line_shows(void **state)
{
    (void)state;
    static const char head[] = "/\0HTTP/1.1\0\0Host\0 x\0\0Length\0 5\0\0 y\0\0\0", moved[] = "Lengthy";
    struct framing framing;
    struct error error;

    framing_begin(&framing, head + 1, head + 2);
    framing_header(&framing, head + 12, 4, head + 18, 1);
    framing_header(&framing, moved, 7, head + 29, 1);
    assert_false(framing_end(&framing, head + sizeof head - 1, &error));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_sound_head_is_taken),       cmocka_unit_test(what_stands_there_twice_is_named),
        cmocka_unit_test(a_body_has_one_end),          cmocka_unit_test(a_host_there_must_be),
        cmocka_unit_test(nothing_is_hidden_in_a_head), cmocka_unit_test(a_folded_line_shows),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
