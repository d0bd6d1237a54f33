/* SPDX-License-Identifier: Apache-2.0 */
#include "csv_split.h"

#include <endian.h>
#include <string.h>

#define ONES UINT64_C(0x0101010101010101)
#define HIGHS UINT64_C(0x8080808080808080)

/* A high bit in each byte of `word` that is zero; exact for the lowest one, which is the one that counts. */
static inline uint64_t zero_bytes(uint64_t word)
{
    return (word - ONES) & ~word & HIGHS;
}

/* The first delimiter or line feed in [at, len), else len. Eight bytes at a time: fields are short, and a call of
 * memchr for each would cost more than the field. */
static inline size_t find_end(const uint8_t *bytes, size_t at, size_t len, uint64_t delimiters)
{
    for (; at < len; at += sizeof(uint64_t)) {
        uint64_t word;
        memcpy(&word, bytes + at, sizeof word);
        word = le64toh(word);
        uint64_t hits = zero_bytes(word ^ delimiters) | zero_bytes(word ^ (ONES * '\n'));
        if (hits) {
            at += (size_t)__builtin_ctzll(hits) / 8;
            return at < len ? at : len;
        }
    }
    return len;
}

static uint32_t count_feeds(const uint8_t *bytes, size_t len)
{
    const uint8_t *end = bytes + len;
    uint32_t count = 0;

    while ((bytes = memchr(bytes, '\n', (size_t)(end - bytes)))) {
        count++;
        bytes++;
    }
    return count;
}

void csv_split_begin(struct csv_split *split)
{
    split->count = 0;
    split->lines = 0;
    split->scan = 0;
    split->state = CSV_FIELD_BEGINS;
}

static inline void add_field(struct csv_split *split, struct csv_field field)
{
    if (split->count < split->capacity)
        split->fields[split->count] = field;
    split->count++;
}

static enum csv_split_result record_over(struct csv_split *split, size_t end, size_t next, uint32_t feeds)
{
    split->end = (uint32_t)end;
    split->next = (uint32_t)next;
    split->lines_taken = split->lines + feeds;
    return CSV_SPLIT_RECORD;
}

/* Fields without quotes from split->scan on, as many as there are. MORE also when a quoted one begins. */
static enum csv_split_result plain_fields(struct csv_split *split, const uint8_t *bytes, size_t len, bool ended)
{
    const uint64_t delimiters = ONES * split->delimiter;
    size_t begin = split->state == CSV_PLAIN ? split->field.at : split->scan;
    size_t at = split->scan;

    for (;;) {
        at = find_end(bytes, at, len, delimiters);
        struct csv_field field = {.at = (uint32_t)begin, .len = (uint32_t)(at - begin)};
        if (at == len && !ended) {
            split->state = CSV_PLAIN;
            split->field = field;
            split->scan = (uint32_t)at;
            return CSV_SPLIT_MORE;
        }
        if (at == len || bytes[at] == '\n') {
            field.len -= field.len > 0 && bytes[at - 1] == '\r';
            add_field(split, field);
            return record_over(split, field.at + field.len, at < len ? at + 1 : at, at < len);
        }
        add_field(split, field);
        begin = ++at;
        if (at == len || bytes[at] == '"') {
            split->state = CSV_FIELD_BEGINS;
            split->scan = (uint32_t)at;
            return CSV_SPLIT_MORE;
        }
    }
}

static void break_off(struct csv_split *split, enum csv_split_result fault)
{
    split->state = CSV_BROKEN;
    split->fault = fault;
    split->scan = split->quote_at;
}

static void quoted_field(struct csv_split *split, const uint8_t *bytes, size_t len, bool ended)
{
    while (split->scan < len) {
        const uint8_t *quote = memchr(bytes + split->scan, '"', len - split->scan);
        if (!quote) {
            split->scan = (uint32_t)len;
            break;
        }
        uint32_t at = (uint32_t)(quote - bytes);
        split->scan = at;
        if (at + 1 == len && !ended)
            return;
        if (at + 1 == len || quote[1] != '"') {
            split->field.len = at - split->field.at;
            split->state = CSV_QUOTE_CLOSED;
            split->scan = at + 1;
            return;
        }
        split->field.doubled = true;
        split->scan = at + 2;
    }
    if (ended)
        break_off(split, CSV_SPLIT_UNCLOSED);
}

/* Behind a closing quote: RECORD when the record is over here. */
static enum csv_split_result after_quote(struct csv_split *split, const uint8_t *bytes, size_t len, bool ended)
{
    size_t at = split->scan;
    bool at_end = at == len;
    bool feed = !at_end && bytes[at] == '\n';
    size_t end = at;

    if (!at_end && bytes[at] == '\r') {
        at_end = at + 1 == len;
        feed = !at_end && bytes[at + 1] == '\n';
        at += at_end || feed;
    }
    if (at_end && !ended)
        return CSV_SPLIT_MORE;
    if (!at_end && !feed && bytes[at] != split->delimiter) {
        break_off(split, CSV_SPLIT_TEXT_AFTER_QUOTE);
        return CSV_SPLIT_MORE;
    }
    add_field(split, split->field);
    split->lines += count_feeds(bytes + split->field.at, split->field.len);
    if (at_end || feed)
        return record_over(split, end, at + feed, feed);
    split->state = CSV_FIELD_BEGINS;
    split->scan = (uint32_t)at + 1;
    return CSV_SPLIT_MORE;
}

/* To the end of the line on which the quote opened. */
static enum csv_split_result broken_line(struct csv_split *split, const uint8_t *bytes, size_t len, bool ended)
{
    const uint8_t *feed = memchr(bytes + split->scan, '\n', len - split->scan);
    size_t end = feed ? (size_t)(feed - bytes) : len;

    split->scan = (uint32_t)end;
    if (!feed && !ended)
        return CSV_SPLIT_MORE;
    record_over(split, end - (end > 0 && bytes[end - 1] == '\r'), feed ? end + 1 : end, feed != NULL);
    return split->fault;
}

enum csv_split_result csv_split_on(struct csv_split *split, const uint8_t *bytes, size_t len, bool ended)
{
    for (;;) {
        enum csv_state state = split->state;
        uint32_t scan = split->scan;
        enum csv_split_result result = CSV_SPLIT_MORE;

        switch (state) {
        case CSV_FIELD_BEGINS:
            if (scan < len && bytes[scan] == '"') {
                split->quote_at = scan;
                split->line_of_quote = split->lines;
                split->field = (struct csv_field){.at = scan + 1, .quoted = true};
                split->state = CSV_QUOTED;
                split->scan = scan + 1;
                break;
            }
            if (scan < len || ended)
                result = plain_fields(split, bytes, len, ended);
            break;
        case CSV_PLAIN:
            result = plain_fields(split, bytes, len, ended);
            break;
        case CSV_QUOTED:
            quoted_field(split, bytes, len, ended);
            break;
        case CSV_QUOTE_CLOSED:
            result = after_quote(split, bytes, len, ended);
            break;
        case CSV_BROKEN:
            result = broken_line(split, bytes, len, ended);
            break;
        }
        if (result != CSV_SPLIT_MORE)
            return result;
        if (split->state == state && split->scan == scan)
            return CSV_SPLIT_MORE; /* no way on without more bytes */
    }
}
