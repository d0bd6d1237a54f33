/* SPDX-License-Identifier: Apache-2.0 */
#include "pack.h"

#include <msgpack.h>
#include <string.h>

static int append(void *data, const char *bytes, size_t len)
{
    return buffer_put(data, bytes, len) ? 0 : -1;
}

static msgpack_packer packer(struct buffer *buffer)
{
    msgpack_packer result;
    msgpack_packer_init(&result, buffer, append);
    return result;
}

bool pack_array(struct buffer *buffer, uint32_t count)
{
    msgpack_packer p = packer(buffer);
    return msgpack_pack_array(&p, count) == 0;
}

bool pack_uint(struct buffer *buffer, uint64_t number)
{
    msgpack_packer p = packer(buffer);
    return msgpack_pack_uint64(&p, number) == 0;
}

bool pack_int(struct buffer *buffer, int64_t number)
{
    msgpack_packer p = packer(buffer);
    return msgpack_pack_int64(&p, number) == 0;
}

bool pack_bool(struct buffer *buffer, bool truth)
{
    msgpack_packer p = packer(buffer);
    return (truth ? msgpack_pack_true(&p) : msgpack_pack_false(&p)) == 0;
}

bool pack_text(struct buffer *buffer, const char *text, size_t len)
{
    msgpack_packer p = packer(buffer);
    return msgpack_pack_str(&p, len) == 0 && msgpack_pack_str_body(&p, text, len) == 0;
}

bool pack_string(struct buffer *buffer, const char *text)
{
    if (text)
        return pack_text(buffer, text, strlen(text));
    msgpack_packer p = packer(buffer);
    return msgpack_pack_nil(&p) == 0;
}

bool pack_blob(struct buffer *buffer, const void *bytes, size_t len)
{
    msgpack_packer p = packer(buffer);
    return msgpack_pack_bin(&p, len) == 0 && msgpack_pack_bin_body(&p, bytes, len) == 0;
}

bool pack_value(struct buffer *buffer, const struct value *value)
{
    msgpack_packer p = packer(buffer);
    switch (value->type) {
    case VALUE_NULL:
        return msgpack_pack_nil(&p) == 0;
    case VALUE_INTEGER:
        return msgpack_pack_int64(&p, value->integer) == 0;
    case VALUE_REAL:
        return msgpack_pack_double(&p, value->real) == 0;
    case VALUE_TEXT:
        return pack_text(buffer, value->bytes, value->len);
    case VALUE_BLOB:
        return pack_blob(buffer, value->bytes, value->len);
    case VALUE_ABSENT:
        return msgpack_pack_false(&p) == 0;
    }
    return false;
}

bool pack_raw(struct buffer *buffer, const void *bytes, size_t len)
{
    return buffer_put(buffer, bytes, len);
}

static bool pack_filled(struct buffer *buffer, const char *text)
{
    return pack_string(buffer, text[0] ? text : NULL);
}

bool pack_error(struct buffer *buffer, const struct error *error)
{
    return pack_uint(buffer, error->code) && pack_filled(buffer, error->table) &&
           pack_filled(buffer, error->constraint) && pack_filled(buffer, error->text);
}

bool pack_array_open(struct buffer *buffer, size_t *ret_at)
{
    static const uint8_t empty[5] = {0xdd, 0, 0, 0, 0};
    size_t at = buffer->len;
    if (!buffer_put(buffer, empty, sizeof empty))
        return false;
    *ret_at = at;
    return true;
}

void pack_array_close(struct buffer *buffer, size_t at, uint32_t count)
{
    for (unsigned i = 0; i < 4; i++)
        buffer->bytes[at + 1 + i] = (uint8_t)(count >> (24 - 8 * i));
}
