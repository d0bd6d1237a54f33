/* SPDX-License-Identifier: Apache-2.0 */
#include "csv_skip.h"

#include <string.h>

enum skip_state {
    SKIP_FIELD_BEGINS,
    SKIP_PLAIN,
    SKIP_QUOTED,
    SKIP_QUOTE_CLOSED,
    SKIP_LINE_END, /* a carriage return behind the closing quote */
    SKIP_LINE      /* to the next line feed, whatever stands before it */
};

struct skip {
    uint8_t delimiter;
    enum skip_state state;
    uint64_t lines;
    bool marked; /* behind the first line feed of the quoted field: */
    uint64_t marked_lines;
};

static bool mark(struct skip *skip, struct source *source, struct error *error)
{
    if (skip->marked)
        return true;
    skip->marked = true;
    skip->marked_lines = skip->lines;
    return source_mark(source, error);
}

static void unmark(struct skip *skip, struct source *source)
{
    if (skip->marked)
        source_unmark(source);
    skip->marked = false;
}

/* What a byte means. FORGOTTEN: the quote, which text follows. */
enum step { STEP_ON, STEP_RECORD_OVER, STEP_FIELD_OVER, STEP_FEED_IN_FIELD, STEP_FORGOTTEN };

static enum step step(struct skip *skip, uint8_t byte)
{
    switch (skip->state) {
    case SKIP_FIELD_BEGINS:
    case SKIP_PLAIN:
        if (byte == '\n')
            return STEP_RECORD_OVER;
        if (byte == skip->delimiter)
            skip->state = SKIP_FIELD_BEGINS;
        else
            skip->state = byte == '"' && skip->state == SKIP_FIELD_BEGINS ? SKIP_QUOTED : SKIP_PLAIN;
        return STEP_ON;
    case SKIP_QUOTED:
        if (byte == '"')
            skip->state = SKIP_QUOTE_CLOSED;
        return byte == '\n' ? STEP_FEED_IN_FIELD : STEP_ON;
    case SKIP_QUOTE_CLOSED:
        if (byte == '"')
            skip->state = SKIP_QUOTED; /* it was doubled */
        else if (byte == '\r')
            skip->state = SKIP_LINE_END;
        else if (byte == skip->delimiter)
            skip->state = SKIP_FIELD_BEGINS;
        else
            return byte == '\n' ? STEP_RECORD_OVER : STEP_FORGOTTEN;
        return byte == skip->delimiter ? STEP_FIELD_OVER : STEP_ON;
    case SKIP_LINE_END:
        return byte == '\n' ? STEP_RECORD_OVER : STEP_FORGOTTEN;
    case SKIP_LINE:
        break;
    }
    return byte == '\n' ? STEP_RECORD_OVER : STEP_ON;
}

/* Whether the record is over; *ret_back: at the mark. A forgotten quote without a line feed behind it costs its line.
 */
static bool take(struct skip *skip, struct source *source, bool *ret_back, bool *ret_failed, struct error *error)
{
    while (source_waiting(source) > 0) {
        uint8_t byte = *source_window(source);
        source_take(source, 1);
        skip->lines += byte == '\n';
        switch (step(skip, byte)) {
        case STEP_ON:
            break;
        case STEP_RECORD_OVER:
            return true;
        case STEP_FIELD_OVER:
            unmark(skip, source);
            break;
        case STEP_FEED_IN_FIELD:
            *ret_failed = !mark(skip, source, error);
            if (*ret_failed)
                return true;
            break;
        case STEP_FORGOTTEN:
            *ret_back = skip->marked;
            if (*ret_back)
                return true;
            skip->state = SKIP_LINE;
            break;
        }
    }
    return false;
}

static bool sought_long_enough(const struct skip *skip, const struct source *source)
{
    return skip->marked && source->read - source->mark_read > LIMIT_QUOTE_BYTES_MAX;
}

static enum source_result skip_on(struct skip *skip, struct source *source, bool *ret_back, struct error *error)
{
    enum source_result result = SOURCE_MORE;
    bool back = false, failed = false;

    while (!back && result == SOURCE_MORE && !take(skip, source, &back, &failed, error)) {
        back = sought_long_enough(skip, source);
        result = back ? SOURCE_MORE : source_more(source, error);
        back |= result == SOURCE_END && skip->marked && skip->state == SKIP_QUOTED;
    }
    if (back)
        failed = !source_rewind(source, error);
    else
        unmark(skip, source);
    *ret_back = back;
    return failed ? SOURCE_FAILED : back ? SOURCE_MORE : result;
}

enum source_result csv_skip_record(const struct csv_split *split, struct source *source,
                                   struct csv_skipped *ret_skipped, struct error *error)
{
    static const enum skip_state states[] = {[CSV_FIELD_BEGINS] = SKIP_FIELD_BEGINS,
                                             [CSV_PLAIN] = SKIP_PLAIN,
                                             [CSV_QUOTED] = SKIP_QUOTED,
                                             [CSV_QUOTE_CLOSED] = SKIP_QUOTE_CLOSED,
                                             [CSV_BROKEN] = SKIP_LINE};
    struct skip skip = {.delimiter = split->delimiter, .state = states[split->state], .lines = split->lines};
    const uint8_t *bytes = source_window(source), *feed = NULL;
    bool back;

    if (split->state == CSV_QUOTED || split->state == CSV_QUOTE_CLOSED)
        feed = memchr(bytes + split->quote_at, '\n', split->scan - split->quote_at);
    size_t first_line = feed ? (size_t)(feed - bytes) + 1 : 0;
    source_take(source, feed ? first_line : split->scan);
    if (feed) {
        skip.state = SKIP_QUOTED;
        skip.lines++;
        if (!mark(&skip, source, error))
            return SOURCE_FAILED;
    }
    enum source_result result = skip_on(&skip, source, &back, error);
    bool at_first = back && skip.marked_lines == split->lines + 1;
    *ret_skipped = (struct csv_skipped){back ? skip.marked_lines : skip.lines, at_first ? first_line : 0};
    return result;
}
