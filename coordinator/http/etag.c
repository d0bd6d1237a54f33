/* SPDX-License-Identifier: Apache-2.0 */
#include "etag.h"

#include "record.h"

#include <stdio.h>
#include <string.h>

#define BLANKS " \t"

void etag_text(const struct row_tag *tag, char text[ETAG_TEXT_SIZE])
{
    text[0] = '"';
    for (size_t i = 0; i < ROW_TAG_BYTES; i++)
        snprintf(text + 1 + 2 * i, 3, "%02x", tag->bytes[i]);
    memcpy(text + ETAG_TEXT_SIZE - 2, "\"", 2);
}

/* One entity tag; NULL when there is none at `text`, else what follows it. */
static const char *read_one(const char *text, bool weak_too, struct buffer *tags, bool *ret_memory)
{
    bool weak = strncmp(text, "W/", 2) == 0;
    const char *begin = text + (weak ? 2 : 0);
    const char *end = *begin == '"' ? strchr(begin + 1, '"') : NULL;
    struct row_tag tag;

    if (!end)
        return NULL;
    if (end - begin - 1 == 2 * ROW_TAG_BYTES && record_hex(begin + 1, 2 * ROW_TAG_BYTES, tag.bytes) &&
        (!weak || weak_too))
        *ret_memory = buffer_put(tags, tag.bytes, sizeof tag.bytes);
    return end + 1;
}

bool etag_read_list(const char *text, bool weak_too, bool *ret_any, struct buffer *tags, struct error *error)
{
    size_t begun = tags->len;
    bool memory = true;

    text += strspn(text, BLANKS);
    if (*text == '*' && text[1 + strspn(text + 1, BLANKS)] == '\0') {
        *ret_any = true;
        return true;
    }
    do {
        text += strspn(text, BLANKS);
        text = read_one(text, weak_too, tags, &memory);
        if (text)
            text += strspn(text, BLANKS);
    } while (text && memory && *text++ == ',');
    if (text && memory && text[-1] == '\0') {
        *ret_any = false;
        return true;
    }
    tags->len = begun;
    return error_set(error, memory ? ERROR_PARSE : ERROR_INTERNAL,
                     memory ? "a list of tags is `*` or \"…\", \"…\"" : "out of memory");
}
