/* SPDX-License-Identifier: Apache-2.0 */
#include "findings.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool findings_add(struct findings *findings, struct error *error, enum finding_kind kind, const char *about,
                  const char *format, ...)
{
    struct finding finding = {.kind = kind, .about = strdup(about)};
    va_list arguments;
    va_start(arguments, format);
    if (vasprintf(&finding.text, format, arguments) < 0)
        finding.text = NULL;
    va_end(arguments);
    struct finding *larger = realloc(findings->items, (findings->count + 1) * sizeof *larger);
    if (larger)
        findings->items = larger;
    if (!larger || !finding.about || !finding.text) {
        free(finding.about);
        free(finding.text);
        return error_set(error, ERROR_INTERNAL, "out of memory");
    }
    findings->items[findings->count++] = finding;
    findings->counts[kind]++;
    return true;
}

void findings_release(struct findings *findings)
{
    for (size_t i = 0; i < findings->count; i++) {
        free(findings->items[i].about);
        free(findings->items[i].text);
    }
    free(findings->items);
    *findings = (struct findings){0};
}
