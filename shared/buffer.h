/* SPDX-License-Identifier: Apache-2.0 */
/* buffer.h - bytes that grow.
 *
 * A zeroed struct is an empty buffer. Owned by whoever declares it; buffer_release frees the bytes
 * and leaves it empty. Growth doubles; a failed growth leaves the buffer as it was and returns
 * false (the caller answers ERROR_INTERNAL "out of memory"). */
#ifndef SHEAF_BUFFER_H
#define SHEAF_BUFFER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buffer {
    uint8_t *bytes;
    size_t len;
    size_t capacity;
};

/* Room for `more` bytes beyond len. */
bool buffer_reserve(struct buffer *buffer, size_t more);
bool buffer_put(struct buffer *buffer, const void *bytes, size_t len);
bool buffer_put_text(struct buffer *buffer, const char *text); /* without its NUL */
bool buffer_format(struct buffer *buffer, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Keeps the memory, forgets the content. */
void buffer_clear(struct buffer *buffer);
void buffer_release(struct buffer *buffer);
/* Moves the content; `from` is empty afterwards, what `to` held is freed. */
void buffer_move(struct buffer *to, struct buffer *from);

#endif
