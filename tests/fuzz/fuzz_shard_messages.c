/* SPDX-License-Identifier: Apache-2.0 */
/* What a shard makes of the bytes that come over its link: they go through serve.c to a file of its own, and what is
 * committed is looked at again after a restart. The link itself (channel.h) is this target's.
 *
 * The first byte: 0 gives an empty file, 1 one that coordinator 7 has claimed in epoch 1. Then come messages
 * (frames.h). Checked: each message that is one gets one answer, which can be read; the file is whole and knows its
 * last batch.
 *
 * A coordinator's locks keep others' writes away from what is prepared (batch.c panics where that was not so). So here
 * messages that write are dropped while something may be prepared. */
#include "channel.h"
#include "frames.h"
#include "fuzz.h"
#include "log.h"
#include "owner.h"
#include "serve.h"

#include <dirent.h>
#include <nng/nng.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define HEAD_BYTES 1u
#define DATABASE "town"

static const char ddl[] =
    "CREATE TABLE people (id INTEGER PRIMARY KEY CHECK (id > 0), name TEXT NOT NULL, email TEXT UNIQUE COLLATE "
    "NOCASE);\n"
    "CREATE TABLE pairs (a INTEGER, b TEXT COLLATE NOCASE, c, PRIMARY KEY (b, a)) WITHOUT ROWID;\n"
    "CREATE TABLE notes (body TEXT, person REFERENCES people);\n"
    "CREATE TABLE counted (id INTEGER PRIMARY KEY AUTOINCREMENT, x NUMERIC, twice AS (x * 2));\n"
    "CREATE TABLE elsewhere (id INTEGER PRIMARY KEY);\n";
static const char placement[] = "town\tpeople\ntown\tpairs\ntown\tnotes\ntown\tcounted\n";

int LLVMFuzzerInitialize(int *argc, char ***argv);
size_t LLVMFuzzerCustomMutator(uint8_t *bytes, size_t len, size_t len_max, unsigned seed);

static char data[64];

/* ---- the link ---- */

static struct {
    struct buffer first; /* the claim; empty: was taken */
    const uint8_t *at, *end;
    unsigned answers;
    unsigned messages;
    uint64_t in_doubt; /* a transaction that may be prepared; 0: none */
} given;

static bool changes_rows(const struct wire_entry *entry)
{
    return entry->kind != WIRE_ENTRY_RESOLVE && entry->kind != WIRE_ENTRY_FORGET && entry->kind != WIRE_ENTRY_TRY;
}

/* Whether a coordinator could send it now; notes what may be prepared then. */
static bool is_allowed(struct cursor body)
{
    struct wire_entry entry;
    uint64_t batch, in_doubt = given.in_doubt;
    uint32_t count;
    if (!wire_get_write(&body, &batch, &count, NULL))
        return true;
    while (count-- > 0 && wire_get_entry(&body, &entry, NULL)) {
        if (in_doubt && changes_rows(&entry))
            return false;
        if (entry.kind == WIRE_ENTRY_PREPARE)
            in_doubt = entry.txn ? entry.txn : UINT64_MAX;
    }
    given.in_doubt = in_doubt;
    return true;
}

static bool next_message(struct frame *message)
{
    struct wire_header header;
    struct cursor body;
    while (frames_next(&given.at, given.end, message)) {
        bool whole = wire_get_request(message->bytes, message->len, &header, &body, NULL);
        if (whole && header.kind == WIRE_WRITE && !is_allowed(body))
            continue;
        given.messages += whole;
        return true;
    }
    return false;
}

nng_msg *channel_take(struct channel *channel, bool wait)
{
    struct frame frame = {given.first.bytes, given.first.len};
    nng_msg *message;
    (void)channel;
    (void)wait;
    if (!frame.len && !next_message(&frame))
        return NULL;
    given.messages += frame.bytes == given.first.bytes;
    if (nng_msg_alloc(&message, 0) != 0 || nng_msg_append(message, frame.bytes, frame.len) != 0)
        panic("out of memory");
    given.first.len = 0;
    return message;
}

static void check_body(unsigned kind, struct cursor *body)
{
    struct wire_hello_answer hello;
    struct wire_write_answer write;
    struct wire_keys_answer keys;
    struct wire_scan_answer scan;
    struct wire_rows rows;
    struct wire_children children;
    struct wire_kept kept;
    struct wire_stats stats;
    struct error error = {0};
    const uint8_t *there;
    uint64_t progress;
    uint32_t count;
    bool fine = false;
    switch ((enum wire_kind)kind) {
    case WIRE_HELLO:
        fine = wire_get_hello_answer(body, &hello, &error);
        if (fine)
            wire_hello_answer_release(&hello);
        break;
    case WIRE_WRITE:
    case WIRE_PROBE:
        fine = wire_get_write_answer(body, &write, &error);
        break;
    case WIRE_EXISTS:
        fine = wire_get_exists_answer(body, &there, &count, &error);
        break;
    case WIRE_KEYS:
        fine = wire_get_keys_answer(body, &keys, &error);
        break;
    case WIRE_SCAN:
        fine = wire_get_scan_answer(body, &scan, &error);
        break;
    case WIRE_READ:
        fine = wire_get_read_answer(body, &rows, &error);
        break;
    case WIRE_CHILDREN:
        fine = wire_get_children_answer(body, &children, &error);
        break;
    case WIRE_KEPT:
        fine = wire_get_kept_answer(body, &kept, &error);
        break;
    case WIRE_STATS:
        fine = wire_get_stats_answer(body, &stats, &error);
        break;
    case WIRE_PING:
        fine = wire_get_ping_answer(body, &progress, &error);
        break;
    }
    if (!fine)
        panic("the answer of a %s cannot be read: %s", wire_kind_name(kind), error.text);
}

bool channel_send(struct channel *channel, const struct buffer *bytes)
{
    struct wire_header header;
    struct error refusal, error;
    struct cursor body;
    bool done;
    (void)channel;
    if (!wire_get_answer(bytes->bytes, bytes->len, &header, &done, &refusal, &body, &error))
        panic("an answer cannot be read: %s", error.text);
    if (done)
        check_body(header.kind, &body);
    else if (refusal.code == ERROR_INTERNAL && strstr(refusal.text, "out of memory"))
        panic("%s", refusal.text);
    given.answers++;
    return true;
}

struct channel *channel_open(const char *url, channel_beside *beside, void *context, struct error *error)
{
    static char nothing;
    (void)url;
    (void)beside;
    (void)context;
    (void)error;
    return (struct channel *)&nothing;
}

void channel_close(struct channel *channel)
{
    (void)channel;
}

void channel_stop(struct channel *channel)
{
    (void)channel;
}

void channel_progress(struct channel *channel)
{
    (void)channel;
}

uint64_t channel_progressed(const struct channel *channel)
{
    (void)channel;
    return 1;
}

/* ---- the file ---- */

static void clear_data(void)
{
    char path[512];
    DIR *directory = opendir(data);
    for (struct dirent *entry; directory && (entry = readdir(directory));) {
        if (entry->d_name[0] == '.')
            continue;
        snprintf(path, sizeof path, "%s/%s", data, entry->d_name);
        unlink(path);
    }
    if (directory)
        closedir(directory);
}

static void remove_data(void)
{
    clear_data();
    rmdir(data);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    struct error error;
    (void)argc;
    (void)argv;
    const char *folder = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : getenv("TMPDIR");
    int len = snprintf(data, sizeof data, "%s/sheaf-fuzz-XXXXXX", folder ? folder : "/tmp");
    log_open("fuzz", NULL, LOG_LEVEL_ERROR, LOG_LOGFMT);
    if (len < 0 || (size_t)len >= sizeof data || !mkdtemp(data) || atexit(remove_data) != 0 ||
        !owner_register_vfs(&error))
        panic("no folder for the file");
    return 0;
}

static struct store *open_store(void)
{
    const struct store_options options = {.database = DATABASE,
                                          .data = data,
                                          .cache_bytes = 1 << 20,
                                          .wal_checkpoint_pages = 1000,
                                          .wal_bytes = 1 << 30,
                                          .kept_keys = 4};
    struct error error;
    struct store *store = store_open(&options, &error);
    if (!store)
        panic("%s", error.text);
    return store;
}

static void put_claim(struct buffer *message)
{
    const struct wire_header header = {.kind = WIRE_HELLO, .epoch = 1, .coordinator = 7, .generation = 1, .request = 1};
    const struct wire_hello hello = {.protocol = WIRE_PROTOCOL,
                                     .claim = true,
                                     .cluster = "c",
                                     .cluster_len = 1,
                                     .database = DATABASE,
                                     .database_len = sizeof DATABASE - 1,
                                     .schema = ddl,
                                     .schema_len = sizeof ddl - 1,
                                     .placement = placement,
                                     .placement_len = sizeof placement - 1};
    if (!wire_put_request(message, &header) || !wire_put_hello(message, &hello))
        panic("out of memory");
}

static int run(uint64_t *ret_last, uint64_t *ret_epoch)
{
    struct error error;
    struct store *store = open_store();
    struct serve *serve = serve_open(store, "none", 1000, &error);
    if (!serve)
        panic("%s", error.text);
    int status = serve_run(serve);
    serve_close(serve);
    *ret_last = store_last_batch(store);
    *ret_epoch = store_epoch(store);
    store_close(store);
    return status;
}

static void check_file(uint64_t last, uint64_t epoch)
{
    struct wire_hello_answer answer;
    struct error error;
    sqlite3_stmt *check = NULL;
    struct store *store = open_store();
    if (!store_describe(store, &answer, &error))
        panic("%s", error.text);
    if (answer.last_batch != last || answer.epoch != epoch)
        panic("after a restart the last batch is %llu of epoch %llu, and was %llu of %llu",
              (unsigned long long)answer.last_batch, (unsigned long long)answer.epoch, (unsigned long long)last,
              (unsigned long long)epoch);
    wire_hello_answer_release(&answer);
    if (sqlite3_prepare_v2(store_connection(store), "PRAGMA integrity_check", -1, &check, NULL) != SQLITE_OK ||
        sqlite3_step(check) != SQLITE_ROW || strcmp((const char *)sqlite3_column_text(check, 0), "ok") != 0)
        panic("the file is not whole: %s", sqlite3_errmsg(store_connection(store)));
    sqlite3_finalize(check);
    store_close(store);
}

size_t LLVMFuzzerCustomMutator(uint8_t *bytes, size_t len, size_t len_max, unsigned seed)
{
    return frames_mutate(bytes, len, len_max, seed, HEAD_BYTES);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    uint64_t last, epoch;
    if (len < HEAD_BYTES)
        return 0;
    buffer_clear(&given.first);
    if (bytes[0] % 2)
        put_claim(&given.first);
    given.at = bytes + HEAD_BYTES;
    given.end = bytes + len;
    given.answers = given.messages = 0;
    given.in_doubt = 0;
    if (run(&last, &epoch) != 0)
        panic("the shard has ended");
    if (given.answers != given.messages)
        panic("%u messages, and %u answers", given.messages, given.answers);
    if (len % 4 == 1) /* it takes longer than all the rest */
        check_file(last, epoch);
    clear_data();
    return 0;
}
