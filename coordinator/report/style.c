/* SPDX-License-Identifier: Apache-2.0 */
#include "style.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define COLUMNS_LEAST 40
#define COLUMNS_MOST 80

bool style_colour(int fd)
{
    const char *no_color = getenv("NO_COLOR");
    const char *terminal = getenv("TERM");

    if (no_color && *no_color)
        return false;
    if (!terminal || strcmp(terminal, "dumb") == 0)
        return false;
    return isatty(fd) == 1;
}

unsigned style_width(int fd)
{
    struct winsize size = {0};

    if (ioctl(fd, TIOCGWINSZ, &size) != 0 || size.ws_col == 0 || size.ws_col > COLUMNS_MOST)
        return COLUMNS_MOST;
    return size.ws_col < COLUMNS_LEAST ? COLUMNS_LEAST : size.ws_col;
}

bool style_put(struct buffer *out, enum style style, bool colour, const char *text, size_t len)
{
    static const char *const begin[] = {
        [STYLE_PLAIN] = "",         [STYLE_BOLD] = "\033[1m",    [STYLE_DIM] = "\033[2m",
        [STYLE_GREEN] = "\033[32m", [STYLE_YELLOW] = "\033[33m", [STYLE_RED] = "\033[31m",
    };

    if (!colour || style == STYLE_PLAIN || len == 0)
        return buffer_put(out, text, len);
    return buffer_put_text(out, begin[style]) && buffer_put(out, text, len) && buffer_put_text(out, "\033[0m");
}

/* Three digits that count: 1.23, 12.3, 123. */
static void short_number(double number, const char *unit, char *text)
{
    int decimals = number < 9.995 ? 2 : number < 99.95 ? 1 : 0;

    snprintf(text, STYLE_SHORT, "%.*f%s", decimals, number, unit);
}

const char *style_duration(uint64_t ns, char *text)
{
    if (ns == 0)
        snprintf(text, STYLE_SHORT, "0");
    else if (ns < 1000)
        snprintf(text, STYLE_SHORT, "%" PRIu64 " ns", ns);
    else if (ns < 999500)
        short_number((double)ns / 1e3, " µs", text);
    else if (ns < 999500000)
        short_number((double)ns / 1e6, " ms", text);
    else if (ns < 59950000000)
        short_number((double)ns / 1e9, " s", text);
    else {
        uint64_t seconds = (ns + 500000000) / 1000000000;

        if (seconds < 3600)
            snprintf(text, STYLE_SHORT, "%" PRIu64 " min %" PRIu64 " s", seconds / 60, seconds % 60);
        else
            snprintf(text, STYLE_SHORT, "%" PRIu64 " h %" PRIu64 " min", seconds / 3600, seconds % 3600 / 60);
    }
    return text;
}

const char *style_bytes(uint64_t bytes, char *text)
{
    static const char *const units[] = {" KiB", " MiB", " GiB", " TiB", " PiB", " EiB"};
    double number = (double)bytes / 1024;
    size_t unit = 0;

    if (bytes < 1024) {
        snprintf(text, STYLE_SHORT, "%" PRIu64 " B", bytes);
        return text;
    }
    for (; number >= 1023.5 && unit + 1 < sizeof units / sizeof *units; unit++)
        number /= 1024;
    short_number(number, units[unit], text);
    return text;
}

const char *style_rate(double per_second, char *text)
{
    if (!(per_second > 0))
        snprintf(text, STYLE_SHORT, "0");
    else if (per_second < 9.95)
        snprintf(text, STYLE_SHORT, "%.1f", per_second);
    else if (per_second < 999.5)
        snprintf(text, STYLE_SHORT, "%.0f", per_second);
    else if (per_second < 999500)
        short_number(per_second / 1e3, "k", text);
    else
        short_number(per_second / 1e6, "M", text);
    return text;
}

size_t style_decode(const char *text, size_t len, uint32_t *ret_point)
{
    const uint8_t *at = (const uint8_t *)text;
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t want = at[0] < 0x80 ? 1 : at[0] < 0xc2 ? 0 : at[0] < 0xe0 ? 2 : at[0] < 0xf0 ? 3 : at[0] < 0xf5 ? 4 : 0;
    uint32_t point = want < 2 ? at[0] : at[0] & (0x7fu >> want);

    if (want == 0 || want > len)
        return 0;
    for (size_t i = 1; i < want; i++) {
        if ((at[i] & 0xc0) != 0x80)
            return 0;
        point = point << 6 | (at[i] & 0x3fu);
    }
    if (point < least[want] || point > 0x10ffff || (point >= 0xd800 && point <= 0xdfff))
        return 0;
    *ret_point = point;
    return want;
}

/* Code points that move the cursor, turn the direction of writing, or cannot be seen. */
static bool must_be_escaped(uint32_t point)
{
    return point < 0x20 || (point >= 0x7f && point < 0xa0) || point == 0x200b || point == 0x200e || point == 0x200f ||
           (point >= 0x2028 && point <= 0x202e) || (point >= 0x2060 && point <= 0x2069) || point == 0xfeff;
}

bool style_escape(struct buffer *out, const char *text, size_t len)
{
    for (size_t i = 0; i < len;) {
        uint32_t point;
        size_t bytes = style_decode(text + i, len - i, &point);
        bool fine;

        if (bytes == 0) {
            fine = buffer_format(out, "\\x%02x", (uint8_t)text[i]);
            bytes = 1;
        } else if (!must_be_escaped(point)) {
            fine = buffer_put(out, text + i, bytes);
        } else {
            fine = point < 0x80 ? buffer_format(out, "\\x%02x", point) : buffer_format(out, "\\u{%x}", point);
        }
        if (!fine)
            return false;
        i += bytes;
    }
    return true;
}

struct range {
    uint32_t from;
    uint32_t to;
};

static bool in_ranges(uint32_t point, const struct range *ranges, size_t count)
{
    for (size_t i = 0; i < count && point >= ranges[i].from; i++)
        if (point <= ranges[i].to)
            return true;
    return false;
}

/* Own and short instead of wcwidth, which knows nothing in the C locale. */
static size_t point_columns(uint32_t point)
{
    static const struct range none[] = {{0x300, 0x36f},   {0x483, 0x489},   {0x591, 0x5bd},   {0x610, 0x61a},
                                        {0x64b, 0x65f},   {0xe31, 0xe31},   {0xe34, 0xe3a},   {0xe47, 0xe4e},
                                        {0x1ab0, 0x1aff}, {0x1dc0, 0x1dff}, {0x200c, 0x200d}, {0x20d0, 0x20ff},
                                        {0xfe00, 0xfe0f}, {0xfe20, 0xfe2f}};
    static const struct range wide[] = {{0x1100, 0x115f},   {0x2e80, 0x303e},   {0x3041, 0x33ff},  {0x3400, 0x4dbf},
                                        {0x4e00, 0x9fff},   {0xa000, 0xa4cf},   {0xac00, 0xd7a3},  {0xf900, 0xfaff},
                                        {0xfe30, 0xfe6f},   {0xff00, 0xff60},   {0xffe0, 0xffe6},  {0x1f300, 0x1f64f},
                                        {0x1f680, 0x1f6ff}, {0x1f900, 0x1f9ff}, {0x20000, 0x3fffd}};

    if (point < 0x300)
        return 1;
    if (in_ranges(point, none, sizeof none / sizeof *none))
        return 0;
    return in_ranges(point, wide, sizeof wide / sizeof *wide) ? 2 : 1;
}

/* Bytes and columns of the longest prefix of at most `limit` columns. */
static size_t measure(const char *text, size_t len, size_t limit, size_t *ret_columns)
{
    size_t columns = 0;
    size_t i = 0;

    while (i < len) {
        uint32_t point = '?';
        size_t bytes = style_decode(text + i, len - i, &point);
        size_t more = bytes ? point_columns(point) : 1;

        if (columns + more > limit)
            break;
        columns += more;
        i += bytes ? bytes : 1;
    }
    *ret_columns = columns;
    return i;
}

size_t style_columns(const char *text, size_t len)
{
    size_t columns;

    measure(text, len, SIZE_MAX / 2, &columns);
    return columns;
}

size_t style_fit(const char *text, size_t len, size_t columns)
{
    size_t taken;

    return measure(text, len, columns, &taken);
}
