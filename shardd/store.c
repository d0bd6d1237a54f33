/* SPDX-License-Identifier: Apache-2.0 */
#include "store.h"

#include "failpoint.h"
#include "owner.h"
#include "store_meta.h"
#include "store_sync.h"
#include "trust.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PROGRESS_OPCODES 10000

struct store {
    struct store_options options;
    char *database;
    char *path;
    char *wal_path;
    char *lock_path;
    int lock;
    bool made;           /* by this store_open: the file was not there; */
    struct stat made_as; /* what it was then, and once `opened` */
    bool opened;         /* nobody else can write it */
    sqlite3 *connection;
    sqlite3_stmt *begin, *commit, *rollback, *mark, *forget_marks, *marked;
    bool unread; /* the first claim made the tables, and then they could not be read */
    struct schema *schema;
    struct file_meta meta;
    uint64_t last_batch;
};

/* Of an error of the file system the system's words, where SQLite kept its number. What cannot be opened for writing it
 * tries to read, and that tells nothing of a file that could not be made. */
static const char *reason_of(struct store *store, int result, const char *said)
{
    int number = result == SQLITE_IOERR || result == SQLITE_CANTOPEN ? sqlite3_system_errno(store->connection) : 0;
    if (number == ENOENT && access(store->path, F_OK) == 0)
        number = 0;
    return result == SQLITE_BUSY                  ? "database is locked by another program"
           : number == ENOSPC || number == EDQUOT ? sqlite3_errstr(SQLITE_FULL)
           : number                               ? strerror(number)
                                                  : said;
}

/* `said`: SQLite's own words. */
static bool failed_so(struct store *store, int result, const char *said, const char *doing, struct error *error)
{
    enum error_code code = result == SQLITE_NOTADB || result == SQLITE_CORRUPT ? ERROR_PARSE
                           : result == SQLITE_BUSY                             ? ERROR_UNAVAILABLE
                                                                               : ERROR_IO;
    return error_set(error, code, "database %s: %s: %s: %s", store->database, store->path, doing,
                     reason_of(store, result, said));
}

static bool sqlite_failed(struct store *store, const char *doing, struct error *error)
{
    return failed_so(store, sqlite3_errcode(store->connection) & 0xff, sqlite3_errmsg(store->connection), doing, error);
}

static bool run(struct store *store, const char *sql, const char *doing, struct error *error)
{
    return sqlite3_exec(store->connection, sql, NULL, NULL, NULL) == SQLITE_OK || sqlite_failed(store, doing, error);
}

static bool number_of(struct store *store, const char *sql, int64_t *ret_number, struct error *error)
{
    sqlite3_stmt *statement = NULL;
    bool ok = sqlite3_prepare_v2(store->connection, sql, -1, &statement, NULL) == SQLITE_OK &&
              sqlite3_step(statement) == SQLITE_ROW;
    if (ok)
        *ret_number = sqlite3_column_int64(statement, 0);
    else
        sqlite_failed(store, "reading", error);
    sqlite3_finalize(statement);
    return ok;
}

/* ---- opening ---- */

static int on_progress(void *context)
{
    struct store *store = context;
    store->options.progress(store->options.context);
    return 0;
}

/* https://sqlite.org/src/file/src/os_unix.c: MAX_PATHNAME, for the path from the root with "-journal" behind it. */
#define SQLITE_PATH_MAX (512 - 8)

static bool path_is_short(const struct store *store, const char *name, struct error *error)
{
    char *directory = realpath(store->options.data, NULL);
    if (!directory)
        return error_set(error, ERROR_IO, "database %s: %s: %s", store->database, store->options.data, strerror(errno));
    bool fine = strlen(directory) + 1 + strlen(name) <= SQLITE_PATH_MAX ||
                error_set(error, ERROR_TOO_LARGE,
                          "database %s: the path of its file is longer than SQLite takes, %d bytes: %s/%s",
                          store->database, SQLITE_PATH_MAX, directory, name);
    free(directory);
    return fine;
}

static bool name_files(struct store *store, struct error *error)
{
    char name[3 * LIMIT_NAME_BYTES_MAX + 8];
    struct stat is;
    if (stat(store->options.data, &is) != 0)
        return error_set(error, ERROR_IO, "database %s: %s: %s", store->database, store->options.data, strerror(errno));
    if (!S_ISDIR(is.st_mode))
        return error_set(error, ERROR_IO, "database %s: %s is not a directory", store->database, store->options.data);
    if (!schema_file_name(store->database, name, sizeof name))
        return error_set(error, ERROR_TOO_LARGE, "database %s: its name is too long for a file", store->database);
    if (asprintf(&store->path, "%s/%s", store->options.data, name) < 0) {
        store->path = NULL;
        return error_set(error, ERROR_INTERNAL, "out of memory");
    }
    if (asprintf(&store->wal_path, "%s-wal", store->path) < 0) {
        store->wal_path = NULL;
        return error_set(error, ERROR_INTERNAL, "out of memory");
    }
    return path_is_short(store, name, error);
}

static bool take_lock_file(struct store *store, struct error *error)
{
    if (asprintf(&store->lock_path, "%s.lock", store->path) < 0)
        return error_set(error, ERROR_INTERNAL, "out of memory");
    store->lock = owner_lock(store->lock_path, store->options.lock_file_ms, error);
    store->made = store->lock >= 0 && access(store->path, F_OK) != 0 && errno == ENOENT;
    return store->lock >= 0 || error_prefix(error, "database %s: ", store->database);
}

/* Only what is empty or Sheaf's own may be written. */
static bool judge_file(struct store *store, bool *ret_fresh, struct error *error)
{
    int64_t application, format, objects;
    if (!number_of(store, "PRAGMA application_id", &application, error) ||
        !number_of(store, "PRAGMA user_version", &format, error) ||
        !number_of(store, "SELECT count(*) FROM sqlite_schema", &objects, error))
        return false;
    *ret_fresh = application == 0 && objects == 0;
    if (*ret_fresh)
        return true;
    if (application != FILE_APPLICATION_ID)
        return error_set(error, ERROR_PARSE, "database %s: %s holds another program's tables; it is left as it is",
                         store->database, store->path);
    if (format > FILE_FORMAT)
        return error_set(error, ERROR_PARSE, "database %s: %s has format %lld, this Sheaf knows up to %d",
                         store->database, store->path, (long long)format, FILE_FORMAT);
    return true;
}

/* What is set is read back: a pragma that is not understood says nothing. */
static bool configure(struct store *store, struct error *error)
{
    char sql[200];
    int64_t synchronous, foreign_keys;
    snprintf(sql, sizeof sql, "PRAGMA cache_size = -%lld; PRAGMA wal_autocheckpoint = %lld;",
             (long long)(store->options.cache_bytes / 1024), (long long)store->options.wal_checkpoint_pages);
    if (!run(store, "PRAGMA synchronous = FULL; PRAGMA foreign_keys = OFF;", "setting up", error) ||
        !run(store, sql, "setting up", error) || !number_of(store, "PRAGMA synchronous", &synchronous, error) ||
        !number_of(store, "PRAGMA foreign_keys", &foreign_keys, error))
        return false;
    if (synchronous != 2 || foreign_keys != 0)
        return error_set(error, ERROR_INTERNAL, "database %s: synchronous is %lld, foreign_keys %lld", store->database,
                         (long long)synchronous, (long long)foreign_keys);
    return true;
}

/* WAL, and the write lock that is then never given back. Waits for a foreign writer as long as for a lock file. */
static bool take_write_lock(struct store *store, struct error *error)
{
    sqlite3_stmt *mode = NULL;
    sqlite3_busy_timeout(store->connection, (int)store->options.lock_file_ms);
    bool ok = sqlite3_prepare_v2(store->connection, "PRAGMA journal_mode = WAL", -1, &mode, NULL) == SQLITE_OK &&
              sqlite3_step(mode) == SQLITE_ROW;
    const char *now = ok ? (const char *)sqlite3_column_text(mode, 0) : NULL;
    if (!ok)
        sqlite_failed(store, "switching to WAL", error);
    else if (!now || strcmp(now, "wal"))
        ok = error_set(error, ERROR_IO, "database %s: %s: its file system does not do for WAL (journal mode is %s)",
                       store->database, store->path, now ? now : "unknown");
    /* it is told the mode before it is switched to */
    if (sqlite3_finalize(mode) != SQLITE_OK && ok)
        ok = sqlite_failed(store, "switching to WAL", error);
    ok = ok && run(store, "BEGIN IMMEDIATE; COMMIT;", "taking the write lock", error);
    /* from here on only a reader can be in the way, and only of a checkpoint: who waits for it looks mute */
    sqlite3_busy_timeout(store->connection, 0);
    return ok;
}

static bool open_connection(struct store *store, struct error *error)
{
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE;
    mode_t before = umask(0077);
    int result = sqlite3_open_v2(store->path, &store->connection, flags, OWNER_VFS);
    umask(before);
    if (store->made)
        stat(store->path, &store->made_as);
    if (result != SQLITE_OK)
        return sqlite_failed(store, "opening", error);
    /* SQLite then opens it to be read only, and makes a WAL that nobody may write either */
    if (sqlite3_db_readonly(store->connection, "main") > 0)
        return failed_so(store, SQLITE_READONLY, access(store->path, W_OK) != 0 ? strerror(errno) : "it is read-only",
                         "opening for writing", error);
    /* until the file is known to be ours, and its WAL to be on the disk, closing it must not fold the one into the
     * other: pages of it over a WAL of which a power cut leaves only the beginning are a broken file */
    sqlite3_db_config(store->connection, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    sqlite3_extended_result_codes(store->connection, 1);
    sqlite3_busy_timeout(store->connection, (int)store->options.lock_file_ms);
    if (!trust_functions(store->connection))
        return sqlite_failed(store, "setting up", error);
    sqlite3_limit(store->connection, SQLITE_LIMIT_ATTACHED, 0);
    if (store->options.progress)
        sqlite3_progress_handler(store->connection, PROGRESS_OPCODES, on_progress, store);
    return true;
}

/* What its last owner left is on the disk before anything of it is told. */
static bool sync_what_is_there(struct store *store, struct error *error)
{
    return store_sync(store->connection, error) ||
           error_prefix(error, "database %s: %s: ", store->database, store->path);
}

static bool prepare(struct store *store, const char *sql, sqlite3_stmt **statement, struct error *error)
{
    return sqlite3_prepare_v3(store->connection, sql, -1, SQLITE_PREPARE_PERSISTENT, statement, NULL) == SQLITE_OK ||
           sqlite_failed(store, "preparing", error);
}

/* Everything that needs the tables to be there. */
static bool read_own_tables(struct store *store, struct error *error)
{
    int64_t last;
    if (!file_meta_read(store->connection, &store->meta, error) ||
        !number_of(store, "SELECT coalesce(max(batch), 0) FROM _sheaf_applied", &last, error))
        return error_prefix(error, "database %s: %s: ", store->database, store->path);
    if (strcmp(store->meta.database, store->database))
        return error_set(error, ERROR_PARSE, "database %s: %s is database %s's file", store->database, store->path,
                         store->meta.database);
    store->last_batch = (uint64_t)last;
    struct schema_placement placement = {0};
    if (!schema_placement_read(store->meta.placement, strlen(store->meta.placement), &placement, error))
        return false;
    store->schema = schema_load(store->meta.schema, strlen(store->meta.schema), "the stored schema", &placement, error);
    schema_placement_release(&placement);
    if (store->schema && schema_find_database(store->schema, store->database) == SCHEMA_NONE)
        return error_set(error, ERROR_PARSE, "database %s: %s: the stored schema places no table in it",
                         store->database, store->path);
    return store->schema &&
           store_check_objects(store->connection, store->schema, store->database, store->path, error) &&
           prepare(store, "INSERT INTO _sheaf_applied VALUES (?1, ?2)", &store->mark, error) &&
           prepare(store, "DELETE FROM _sheaf_applied WHERE batch <= ?1", &store->forget_marks, error) &&
           prepare(store, "SELECT result FROM _sheaf_applied WHERE batch = ?1", &store->marked, error);
}

/* As it was before they were read. */
static void forget_own_tables(struct store *store)
{
    sqlite3_stmt **const statements[] = {&store->mark, &store->forget_marks, &store->marked};
    for (size_t i = 0; i < sizeof statements / sizeof *statements; i++) {
        sqlite3_finalize(*statements[i]);
        *statements[i] = NULL;
    }
    schema_free(store->schema);
    store->schema = NULL;
    file_meta_release(&store->meta);
    store->last_batch = 0;
}

/* All of it or nothing: it may be tried again. */
static bool load_own_tables(struct store *store, struct error *error)
{
    store->unread = !read_own_tables(store, error);
    if (store->unread)
        forget_own_tables(store);
    return !store->unread;
}

struct store *store_open(const struct store_options *options, struct error *error)
{
    struct store *store = calloc(1, sizeof *store);
    if (!store || !(store->database = strdup(options->database))) {
        free(store);
        error_set(error, ERROR_INTERNAL, "out of memory");
        return NULL;
    }
    store->options = *options;
    store->lock = -1;
    bool fresh = false;
    bool ok = name_files(store, error) && take_lock_file(store, error);
    FAILPOINT("start.locked", NULL);
    ok = ok && open_connection(store, error) && judge_file(store, &fresh, error) && take_write_lock(store, error) &&
         sync_what_is_there(store, error);
    FAILPOINT("start.opened", NULL);
    if (ok)
        sqlite3_db_config(store->connection, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0, NULL);
    ok = ok && configure(store, error) && prepare(store, "BEGIN IMMEDIATE", &store->begin, error) &&
         prepare(store, "COMMIT", &store->commit, error) && prepare(store, "ROLLBACK", &store->rollback, error) &&
         (fresh || load_own_tables(store, error));
    if (!ok) {
        store_close(store);
        return NULL;
    }
    store->opened = !store->made || stat(store->path, &store->made_as) == 0;
    return store;
}

/* Nobody has put another file there, or, once it is open, written into it past SQLite. */
static bool is_as_made(const struct store *store)
{
    struct stat is;
    return stat(store->path, &is) == 0 && is.st_dev == store->made_as.st_dev && is.st_ino == store->made_as.st_ino &&
           (!store->opened || is.st_size == store->made_as.st_size);
}

/* It was made here, or was to be, nobody has claimed it, and nothing is in it. */
static bool is_for_nothing(struct store *store)
{
    bool fresh = false;
    struct error error;
    if (!store->made || store->schema)
        return false;
    if (access(store->path, F_OK) != 0 && errno == ENOENT)
        return true;
    return is_as_made(store) && judge_file(store, &fresh, &error) && fresh;
}

/* While nobody else can write; SQLite leaves alone what belongs to a file that is gone. */
static void unlink_files(const struct store *store)
{
    static const char *const endings[] = {"", "-journal", "-wal", "-shm"};
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
        char *path = NULL;
        if (asprintf(&path, "%s%s", store->path, endings[i]) >= 0)
            unlink(path);
        free(path);
    }
}

void store_close(struct store *store)
{
    if (!store)
        return;
    sqlite3_stmt *const statements[] = {store->begin, store->commit,       store->rollback,
                                        store->mark,  store->forget_marks, store->marked};
    for (size_t i = 0; i < sizeof statements / sizeof *statements; i++)
        sqlite3_finalize(statements[i]);
    bool undone = is_for_nothing(store);
    if (undone)
        unlink_files(store);
    sqlite3_close(store->connection);
    if (undone)
        owner_undo(store->lock, store->lock_path);
    else
        owner_unlock(store->lock);
    schema_free(store->schema);
    file_meta_release(&store->meta);
    free(store->database);
    free(store->path);
    free(store->wal_path);
    free(store->lock_path);
    free(store);
}

/* ---- what is there ---- */

sqlite3 *store_connection(struct store *store)
{
    return store->connection;
}

const char *store_database(const struct store *store)
{
    return store->database;
}

const struct schema *store_schema(const struct store *store)
{
    return store->schema;
}

uint64_t store_epoch(const struct store *store)
{
    return store->meta.epoch;
}

uint64_t store_coordinator(const struct store *store)
{
    return store->meta.coordinator;
}

uint64_t store_last_batch(const struct store *store)
{
    return store->last_batch;
}

int64_t store_kept_keys(const struct store *store)
{
    return store->options.kept_keys;
}

bool store_describe(struct store *store, struct wire_hello_answer *ret_answer, struct error *error)
{
    if (store->unread && !load_own_tables(store, error))
        return false;
    struct wire_hello_answer answer = {.protocol = WIRE_PROTOCOL,
                                       .fresh = store->schema == NULL,
                                       .epoch = store->meta.epoch,
                                       .last_batch = store->last_batch};
    if (store->schema) {
        snprintf(answer.cluster, sizeof answer.cluster, "%s", store->meta.cluster);
        if (!store_describe_tables(store->connection, store->schema, store->database, &answer, error)) {
            wire_hello_answer_release(&answer);
            return false;
        }
    }
    *ret_answer = answer;
    return true;
}

/* ---- claiming ---- */

static bool same_text(const char *stored, const char *given, size_t len)
{
    return strlen(stored) == len && !memcmp(stored, given, len);
}

/* The stored schema and placement against those of the coordinator. */
static bool compare_schema(struct store *store, const struct schema *given, struct error *error)
{
    struct buffer difference = {0};
    bool same = schema_difference(store->schema, given, &difference) && difference.len == 0;
    if (!same)
        error_set(error, ERROR_PARSE, "database %s: it was made with another schema: %s", store->database,
                  difference.len ? (const char *)difference.bytes : "out of memory");
    buffer_release(&difference);
    return same;
}

static struct schema *given_schema(const struct wire_hello *hello, struct error *error)
{
    struct schema_placement placement;
    if (!schema_placement_read(hello->placement, hello->placement_len, &placement, error))
        return NULL;
    struct schema *schema = schema_load(hello->schema, hello->schema_len, "the schema", &placement, error);
    schema_placement_release(&placement);
    return schema;
}

/* The first claim of a fresh file: the user's tables and Sheaf's, in one transaction. */
static bool create(struct store *store, const struct schema *schema, const struct file_meta *meta, struct error *error)
{
    database_id id = schema_find_database(schema, store->database);
    if (id == SCHEMA_NONE)
        return error_set(error, ERROR_PARSE, "database %s: the schema places no table in it", store->database);
    if (!run(store, "BEGIN IMMEDIATE", "creating", error))
        return false;
    bool ok = true;
    for (uint16_t i = 0; ok && i < schema->databases[id].statement_count; i++)
        ok = run(store, schema->databases[id].statements[i], "creating", error);
    char pragmas[120];
    snprintf(pragmas, sizeof pragmas, "PRAGMA application_id = %d; PRAGMA user_version = %d;", FILE_APPLICATION_ID,
             FILE_FORMAT);
    ok = ok && store_meta_create(store->connection, meta, error) && run(store, pragmas, "creating", error);
    FAILPOINT("create.before", NULL);
    ok = ok && run(store, "COMMIT", "creating", error);
    FAILPOINT("create.after", NULL);
    if (!ok)
        sqlite3_exec(store->connection, "ROLLBACK", NULL, NULL, NULL);
    return ok;
}

static bool claim_fresh(struct store *store, const struct schema *schema, uint64_t epoch, uint64_t coordinator,
                        const struct wire_hello *hello, struct error *error)
{
    struct file_meta meta = {.epoch = epoch,
                             .coordinator = coordinator,
                             .database = strdup(store->database),
                             .cluster = strndup(hello->cluster, hello->cluster_len),
                             .schema = strndup(hello->schema, hello->schema_len),
                             .placement = strndup(hello->placement, hello->placement_len)};
    bool ok = meta.database && meta.cluster && meta.schema && meta.placement;
    ok = ok ? create(store, schema, &meta, error) : error_set(error, ERROR_INTERNAL, "out of memory");
    file_meta_release(&meta);
    return ok && load_own_tables(store, error);
}

static bool claim_known(struct store *store, const struct schema *schema, uint64_t epoch, uint64_t coordinator,
                        const struct wire_hello *hello, struct error *error)
{
    if (!same_text(store->meta.cluster, hello->cluster, hello->cluster_len))
        return error_set(error, ERROR_PARSE, "database %s: it belongs to another cluster (%s)", store->database,
                         store->meta.cluster);
    if (!compare_schema(store, schema, error))
        return false;
    if (epoch == store->meta.epoch && coordinator == store->meta.coordinator)
        return true;
    if (!store_meta_claim(store->connection, epoch, coordinator, error))
        return error_prefix(error, "database %s: ", store->database);
    store->meta.epoch = epoch;
    store->meta.coordinator = coordinator;
    return true;
}

bool store_is_meant(struct store *store, const struct wire_hello *hello, struct error *error)
{
    return same_text(store->database, hello->database, hello->database_len) ||
           error_set(error, ERROR_PARSE, "database %.*s: it is expected here, but this shardd owns database %s",
                     (int)hello->database_len, hello->database, store->database);
}

bool store_claim(struct store *store, uint64_t epoch, uint64_t coordinator, const struct wire_hello *hello,
                 struct error *error)
{
    if (store->unread && !load_own_tables(store, error))
        return false;
    if (epoch < store->meta.epoch || (epoch == store->meta.epoch && coordinator != store->meta.coordinator))
        return error_set(error, ERROR_UNAVAILABLE,
                         "database %s: a newer coordinator has taken over (epoch %llu, not %llu)", store->database,
                         (unsigned long long)store->meta.epoch, (unsigned long long)epoch);
    if (hello->cluster_len >= sizeof((struct wire_hello_answer *)NULL)->cluster)
        return error_set(error, ERROR_TOO_LARGE, "database %s: the cluster's name has %zu bytes", store->database,
                         hello->cluster_len);
    struct schema *schema = given_schema(hello, error);
    if (!schema)
        return false;
    bool ok = store->schema ? claim_known(store, schema, epoch, coordinator, hello, error)
                            : claim_fresh(store, schema, epoch, coordinator, hello, error);
    schema_free(schema);
    return ok;
}

/* ---- transactions ---- */

static bool step_done(struct store *store, sqlite3_stmt *statement, const char *doing, struct error *error)
{
    bool ok = sqlite3_step(statement) == SQLITE_DONE;
    if (!ok)
        sqlite_failed(store, doing, error);
    sqlite3_reset(statement);
    return ok;
}

bool store_begin(struct store *store, struct error *error)
{
    return step_done(store, store->begin, "beginning", error);
}

void store_rollback(struct store *store)
{
    /* SQLite may have rolled back by itself, after a full disk for instance */
    if (!sqlite3_get_autocommit(store->connection))
        sqlite3_step(store->rollback);
    sqlite3_reset(store->rollback);
}

/* What a COMMIT that fails has done is not known, so what mostly makes it fail is met before it: COMMIT itself then
 * only writes one frame, and syncs. */
bool store_flush(struct store *store, struct error *error)
{
    int result = sqlite3_db_cacheflush(store->connection);
    return result == SQLITE_OK || failed_so(store, result & 0xff, sqlite3_errstr(result), "writing", error);
}

bool store_commit(struct store *store, struct error *error)
{
    return step_done(store, store->commit, "committing", error);
}

bool store_mark_applied(struct store *store, uint64_t batch, const void *answer, size_t len, struct error *error)
{
    sqlite3_bind_int64(store->mark, 1, (sqlite3_int64)batch);
    bool ok = sqlite3_bind_blob64(store->mark, 2, answer, len, SQLITE_STATIC) == SQLITE_OK
                  ? step_done(store, store->mark, "marking a batch", error)
                  : sqlite_failed(store, "marking a batch", error);
    sqlite3_clear_bindings(store->mark);
    if (ok && batch > LIMIT_MARKERS_KEPT) {
        sqlite3_bind_int64(store->forget_marks, 1, (sqlite3_int64)(batch - LIMIT_MARKERS_KEPT));
        ok = step_done(store, store->forget_marks, "forgetting a batch", error);
    }
    return ok;
}

void store_advance(struct store *store, uint64_t batch)
{
    store->last_batch = batch;
}

bool store_applied_answer(struct store *store, uint64_t batch, struct buffer *answer, bool *ret_kept,
                          struct error *error)
{
    sqlite3_bind_int64(store->marked, 1, (sqlite3_int64)batch);
    int result = sqlite3_step(store->marked);
    const void *bytes = result == SQLITE_ROW ? sqlite3_column_blob(store->marked, 0) : NULL;
    size_t len = bytes ? (size_t)sqlite3_column_bytes(store->marked, 0) : 0;
    bool ok = result == SQLITE_DONE || bytes || sqlite_failed(store, "reading what a batch came to", error);
    if (bytes)
        ok = buffer_put(answer, bytes, len) || error_set(error, ERROR_INTERNAL, "out of memory");
    sqlite3_reset(store->marked);
    if (ok)
        *ret_kept = bytes != NULL;
    return ok;
}

void store_sizes(const struct store *store, uint64_t *ret_file_bytes, uint64_t *ret_wal_bytes)
{
    struct stat is;
    *ret_file_bytes = stat(store->path, &is) == 0 ? (uint64_t)is.st_size : 0;
    *ret_wal_bytes = stat(store->wal_path, &is) == 0 ? (uint64_t)is.st_size : 0;
}

bool store_wal_has_room(struct store *store, struct error *error)
{
    uint64_t file_bytes, wal_bytes;
    store_sizes(store, &file_bytes, &wal_bytes);
    if (wal_bytes <= (uint64_t)store->options.wal_bytes)
        return true;
    /* a finished reader may have let go meanwhile */
    sqlite3_wal_checkpoint_v2(store->connection, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
    store_sizes(store, &file_bytes, &wal_bytes);
    return wal_bytes <= (uint64_t)store->options.wal_bytes ||
           error_set(error, ERROR_UNAVAILABLE,
                     "database %s: a program that reads %s holds back its checkpoint; the WAL has %llu bytes",
                     store->database, store->path, (unsigned long long)wal_bytes);
}
