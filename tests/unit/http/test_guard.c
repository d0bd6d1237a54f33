/* SPDX-License-Identifier: Apache-2.0 */
#include "guard.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void only_the_whole_token_fits(void **state)
{
    (void)state;
    assert_true(guard_token_fits("secret", "Bearer secret"));
    assert_true(guard_token_fits("secret", "bearer secret"));
    const char *const wrong[] = {NULL,
                                 "",
                                 "secret",
                                 "Basic secret",
                                 "Bearer ",
                                 "Bearer secre",
                                 "Bearer Secret",
                                 "Bearer secretsecret",
                                 "Bearer secret "};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_false(guard_token_fits("secret", wrong[i]));
    assert_false(guard_token_fits("", "Bearer "));
}

static void foreign_names_are_no_hosts_of_ours(void **state)
{
    (void)state;
    const char *const known[] = {"localhost", "LOCALHOST:80", "127.0.0.1", "10.0.0.7:8080",
                                 "[::1]",     "[::1]:80",     "db.x:1"};
    const char *const foreign[] = {NULL,
                                   "",
                                   ":80",
                                   "evil.example",
                                   "localhost.evil.example",
                                   "127.0.0.1.evil.example",
                                   "localhost:",
                                   "localhost:x",
                                   "[::1",
                                   "[localhost]",
                                   "::1",
                                   "localhost:80:80"};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        assert_true(guard_host_is_known(known[i], "db.x"));
    for (size_t i = 0; i < sizeof foreign / sizeof *foreign; i++)
        assert_false(guard_host_is_known(foreign[i], "db.x"));
    assert_false(guard_host_is_known("db.x", NULL));
}

static void an_origin_is_ours_with_host_and_port(void **state)
{
    (void)state;
    const struct {
        const char *origin, *host;
    } own[] = {{NULL, "localhost:80"},
               {NULL, NULL},
               {"http://localhost:80", "localhost:80"},
               {"http://LOCALHOST:8080", "localhost:8080"},
               {"HTTPS://db.example", "db.example"}, /* TLS ends at a proxy, which passes Host on */
               {"https://db.example:8443", "db.example:8443"},
               {"https://db.example", "db.example:443"},
               {"http://db.example", "db.example:80"},
               {"http://db.example:80", "db.example"},
               {"https://db.example:443", "db.example"},
               {"http://db.example", "db.example"},
               {"https://[::1]:8443", "[::1]:8443"},
               {"https://[::1]", "[::1]"}};
    const struct {
        const char *origin, *host;
    } foreign[] = {{"http://localhost:81", "localhost:80"},
                   {"http://localhost:80.evil", "localhost:80"},
                   {"http://localhost", "localhost:8080"},
                   {"https://db.example", "db.example:80"},
                   {"http://db.example", "db.example:443"},
                   {"http://db.example:443", "db.example"},
                   {"https://db.example:80", "db.example"},
                   {"https://db.example:8443", "db.example"},
                   {"https://evil.example", "db.example"},
                   {"https://db.example.evil", "db.example"},
                   {"https://db.example@evil", "db.example"},
                   {"https://[::1]", "::1"},
                   {"https://::1", "[::1]"},
                   {"https://[::2]", "[::1]"},
                   {"https://db.example/", "db.example"},
                   {"https://db.example:", "db.example"},
                   {"https://db.example:443x", "db.example"},
                   {"https://db.example:0443", "db.example"},
                   {"https://", "db.example"},
                   {"https://", ""},
                   {"ftp://db.example", "db.example"},
                   {"db.example", "db.example"},
                   {"null", "localhost:80"},
                   {"null", "null"},
                   {"", "localhost:80"},
                   {"http://localhost:80", NULL}};
    for (size_t i = 0; i < sizeof own / sizeof *own; i++)
        assert_true(guard_origin_is_own(own[i].origin, own[i].host));
    for (size_t i = 0; i < sizeof foreign / sizeof *foreign; i++)
        assert_false(guard_origin_is_own(foreign[i].origin, foreign[i].host));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_the_whole_token_fits),
        cmocka_unit_test(foreign_names_are_no_hosts_of_ours),
        cmocka_unit_test(an_origin_is_ours_with_host_and_port),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
