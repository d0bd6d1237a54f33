/* SPDX-License-Identifier: Apache-2.0 */
#include "fake_shards.h"

#include "fake_text.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define KINDS 16
#define KEPT 4096
#define DEADLINE_S 60

struct note {
    struct buffer request; /* the write's body */
    struct buffer answer;
};

/* Under an idempotency key, like a row of _sheaf_answers. */
struct kept {
    struct buffer key, outcome;
    uint8_t digest[WIRE_DIGEST_BYTES];
    uint32_t index;
    uint64_t txn; /* prepared only; 0: there */
    struct kept *next;
};

struct shard {
    struct fake_says says;
    bool broken;
    bool connected;
    uint64_t generation;
    uint64_t epoch;
    bool hold[KINDS];
    const char *fails, *same, *absent;
    enum error_code fails_with, refuses_next;
    const int64_t *keys;
    uint32_t key_count;
    unsigned hellos;
    uint64_t unwanted; /* the generation that is to be started again */
    struct fake_request *first, *last, *unread;
    uint64_t last_batch;
    struct note notes[KEPT];
    struct kept *kept; /* by index, ascending */
    int64_t asked_at_ms;
};

struct links {
    int unused;
};

static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    const struct schema *schema;
    struct shard *shards;
    struct links links;
    uint64_t generations;
    links_listener *listener;
    void *context;
} fake = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

/* ---- for tests ---- */

void fake_open(const struct schema *schema)
{
    fake.schema = schema;
    fake.shards = calloc(schema->database_count, sizeof *fake.shards);
    if (!fake.shards)
        panic("out of memory");
    for (table_id t = 0; t < schema->table_count; t++) {
        struct fake_says *says = &fake.shards[schema->tables[t].database].says;
        says->tables[says->table_count++] = (struct wire_table_state){t, false, INT64_MIN, false};
    }
}

void fake_close(void)
{
    for (database_id d = 0; d < fake.schema->database_count; d++) {
        struct shard *shard = &fake.shards[d];
        for (struct fake_request *request = shard->first, *next; request; request = next) {
            next = request->next;
            buffer_release(&request->body);
            free(request);
        }
        for (struct kept *kept = shard->kept, *next; kept; kept = next) {
            next = kept->next;
            buffer_release(&kept->key);
            buffer_release(&kept->outcome);
            free(kept);
        }
        for (unsigned i = 0; i < KEPT; i++) {
            buffer_release(&shard->notes[i].request);
            buffer_release(&shard->notes[i].answer);
        }
    }
    free(fake.shards);
    fake.shards = NULL;
}

struct fake_says *fake_says(database_id database)
{
    return &fake.shards[database].says;
}

void fake_broken(database_id database)
{
    fake.shards[database].broken = true;
}

#define LOCKED(statement)                 \
    do {                                  \
        pthread_mutex_lock(&fake.lock);   \
        statement;                        \
        pthread_mutex_unlock(&fake.lock); \
    } while (0)

void fake_hold(database_id database, enum wire_kind kind, bool hold)
{
    LOCKED(fake.shards[database].hold[kind] = hold);
}

void fake_fails(database_id database, const char *op, enum error_code code)
{
    LOCKED((fake.shards[database].fails = op, fake.shards[database].fails_with = code));
}

void fake_same(database_id database, const char *op)
{
    LOCKED(fake.shards[database].same = op);
}

void fake_absent(database_id database, const char *key)
{
    LOCKED(fake.shards[database].absent = key);
}

void fake_refuses_next(database_id database, enum error_code code)
{
    LOCKED(fake.shards[database].refuses_next = code);
}

void fake_keys(database_id database, const int64_t *rowids, uint32_t count)
{
    LOCKED((fake.shards[database].keys = rowids, fake.shards[database].key_count = count));
}

int64_t fake_asked_at_ms(database_id database)
{
    int64_t at_ms;
    LOCKED(at_ms = fake.shards[database].asked_at_ms);
    return at_ms;
}

struct fake_request *fake_next(database_id database)
{
    struct shard *shard = &fake.shards[database];
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += DEADLINE_S;
    pthread_mutex_lock(&fake.lock);
    while (!shard->unread)
        if (pthread_cond_timedwait(&fake.changed, &fake.lock, &until) != 0)
            panic("nothing comes to database %s", fake.schema->databases[database].name);
    struct fake_request *request = shard->unread;
    for (shard->unread = request->next; shard->unread && shard->unread->silent;)
        shard->unread = shard->unread->next;
    pthread_mutex_unlock(&fake.lock);
    return request;
}

bool fake_is_quiet(database_id database)
{
    pthread_mutex_lock(&fake.lock);
    bool quiet = !fake.shards[database].unread;
    pthread_mutex_unlock(&fake.lock);
    return quiet;
}

unsigned fake_hellos(database_id database)
{
    pthread_mutex_lock(&fake.lock);
    unsigned hellos = fake.shards[database].hellos;
    pthread_mutex_unlock(&fake.lock);
    return hellos;
}

/* ---- answers ---- */

static void tell(database_id database, const struct link_event *event)
{
    struct link_event told = *event;
    told.database = database;
    told.generation = fake.shards[database].generation;
    if (fake.listener)
        fake.listener(fake.context, &told);
    else
        link_event_release(&told);
}

/* Takes over the message's bytes. */
static void tell_message(database_id database, struct buffer *message)
{
    const struct link_event event = {
        .kind = LINK_MESSAGE, .bytes = message->bytes, .len = message->len, .handle = message->bytes};
    tell(database, &event);
    *message = (struct buffer){0};
}

static void answer_hello(struct shard *shard, struct fake_request *request, struct buffer *message)
{
    struct fake_says *says = &shard->says;
    bool claim = fake_is_claim(cursor_over(request->body.bytes, request->body.len));
    struct wire_hello_answer answer = {.protocol = WIRE_PROTOCOL,
                                       .fresh = says->fresh && !claim,
                                       .epoch = says->epoch,
                                       .last_batch = shard->last_batch,
                                       .kept_at_ms = says->kept_at_ms,
                                       .prepared_count = says->prepared_count,
                                       .decided_count = says->decided_count,
                                       .table_count = says->table_count,
                                       .prepared = says->prepared,
                                       .decided = says->decided,
                                       .tables = says->tables};
    if (claim) {
        says->epoch = answer.epoch = request->header.epoch;
        says->fresh = false;
    }
    strcpy(answer.cluster, "test");
    if (!wire_put_hello_answer(message, &answer))
        panic("out of memory");
}

static bool begins(const char *text, const char *with)
{
    return with && !strncmp(text, with, strlen(with));
}

static void meet(const struct shard *shard, struct wire_write_results *results, uint32_t entry, uint32_t number,
                 const struct wire_op *op)
{
    struct buffer text = {0};
    struct error error;
    fake_put_op(fake.schema, &text, op);
    if (!buffer_put(&text, "", 1))
        panic("out of memory");
    error_set(&error, shard->fails_with, "so told");
    error_about(&error, fake.schema->tables[op->table].name, "rule");
    if (begins((const char *)text.bytes, shard->fails))
        wire_results_failure(results, entry, number, &error);
    else if (begins((const char *)text.bytes, shard->same))
        wire_results_same(results, entry, number);
    buffer_release(&text);
}

static void keep(struct shard *shard, const struct wire_keep *keep, uint64_t txn)
{
    struct kept **at = &shard->kept, *kept = calloc(1, sizeof *kept);
    if (!kept || !buffer_put(&kept->key, keep->key, keep->key_len) ||
        (keep->outcome_len && !buffer_put(&kept->outcome, keep->outcome, keep->outcome_len)))
        panic("out of memory");
    memcpy(kept->digest, keep->digest, sizeof kept->digest);
    kept->index = keep->index;
    kept->txn = txn;
    while (*at && (*at)->index < kept->index)
        at = &(*at)->next;
    kept->next = *at;
    *at = kept;
}

/* The entry was applied: what it keeps is there, or promised. */
static void keep_all(struct shard *shard, const struct wire_entry *entry)
{
    struct cursor ops = entry->ops;
    struct wire_op op;
    if (entry->kind == WIRE_ENTRY_RESOLVE) {
        for (struct kept *kept = shard->kept; kept; kept = kept->next)
            if (kept->txn == entry->txn)
                kept->txn = entry->commit ? 0 : UINT64_MAX;
        return;
    }
    for (uint32_t i = 0; i < entry->op_count; i++)
        if (wire_get_op(&ops, &op, NULL) && op.kind == WIRE_ENTRY_KEEP)
            keep(shard, &op.keep, entry->kind == WIRE_ENTRY_PREPARE ? entry->txn : 0);
}

/* An entry has at most one failure: the first. */
static void meet_all(struct shard *shard, struct cursor body, uint32_t count, struct wire_write_results *results)
{
    struct wire_entry entry;
    struct wire_op op;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t failures = results->failure_count;
        if (!wire_get_entry(&body, &entry, NULL))
            panic("an entry cannot be read");
        struct cursor ops = entry.ops;
        if (entry.kind < WIRE_ENTRY_GROUP)
            meet(shard, results, i, 0, &entry.op);
        else if (entry.kind != WIRE_ENTRY_RESOLVE && entry.kind != WIRE_ENTRY_FORGET) {
            for (uint32_t o = 0; o < entry.op_count && failures == results->failure_count; o++)
                if (wire_get_op(&ops, &op, NULL))
                    meet(shard, results, i, o, &op);
        }
        if (failures == results->failure_count)
            keep_all(shard, &entry);
    }
}

/* The answer's body into `message`, or false with the refusal. */
static bool answer_write(struct shard *shard, const struct fake_request *request, struct buffer *message,
                         struct error *refusal)
{
    struct cursor body = cursor_over(request->body.bytes, request->body.len);
    struct wire_write_results results = {0};
    uint64_t batch;
    uint32_t count;
    if (!wire_get_write(&body, &batch, &count, refusal) || batch >= KEPT)
        panic("batch %llu", (unsigned long long)batch);
    struct note *note = &shard->notes[batch];
    if (batch > shard->last_batch + 1)
        return error_set(refusal, ERROR_CONFLICT, "batch %llu is out of order", (unsigned long long)batch);
    if (batch == shard->last_batch + 1) {
        if (shard->refuses_next) {
            error_set(refusal, shard->refuses_next, "so told");
            shard->refuses_next = ERROR_NONE;
            return false;
        }
        meet_all(shard, body, count, &results);
        if (!wire_put_write_answer(&note->answer, batch, 1, 2, 3, &results) ||
            !buffer_put(&note->request, request->body.bytes, request->body.len))
            panic("out of memory");
        wire_results_release(&results);
        shard->last_batch = batch;
    } else if (note->request.len != request->body.len ||
               memcmp(note->request.bytes, request->body.bytes, request->body.len) != 0)
        panic("batch %llu came again with other bytes", (unsigned long long)batch);
    if (!buffer_put(message, note->answer.bytes, note->answer.len))
        panic("out of memory");
    return true;
}

static void answer_exists(const struct shard *shard, const struct fake_request *request, struct buffer *message)
{
    struct cursor body = cursor_over(request->body.bytes, request->body.len);
    struct wire_exists exists;
    uint8_t there[8192];
    if (!wire_get_exists(&body, fake.schema, &exists, NULL) || exists.count > sizeof there)
        panic("a question cannot be read");
    for (uint32_t i = 0; i < exists.count; i++) {
        struct buffer text = {0};
        fake_put_key(&text, &exists, fake_key_columns(fake.schema, &exists));
        there[i] =
            !shard->absent || text.len != strlen(shard->absent) || memcmp(text.bytes, shard->absent, text.len) != 0;
        buffer_release(&text);
    }
    wire_put_exists_answer(message, there, exists.count);
}

static void answer_keys(const struct shard *shard, const struct fake_request *request, struct buffer *message)
{
    struct cursor body = cursor_over(request->body.bytes, request->body.len);
    struct wire_keys keys;
    if (!wire_get_keys(&body, fake.schema, &keys, NULL))
        panic("a question cannot be read");
    uint32_t half = shard->key_count / 2, from = keys.has_after ? half : 0;
    uint32_t to = keys.has_after || half == 0 ? shard->key_count : half;
    wire_put_keys_answer(message, shard->last_batch, to == shard->key_count, &shard->keys[from], to - from);
}

/* Each op alone: as if each were an entry. */
static void answer_probe(const struct shard *shard, const struct fake_request *request, struct buffer *message)
{
    struct cursor body = cursor_over(request->body.bytes, request->body.len), ops;
    struct wire_write_results results = {0};
    struct wire_op op;
    uint32_t count = 0;
    if (request->body.len && !wire_get_probe(&body, &count, &ops, NULL))
        panic("a question cannot be read");
    for (uint32_t i = 0; i < count && wire_get_op(&ops, &op, NULL); i++)
        meet(shard, &results, i, 0, &op);
    if (!wire_put_write_answer(message, 0, 0, 0, 0, &results))
        panic("out of memory");
    wire_results_release(&results);
}

static void answer_kept(struct shard *shard, const struct fake_request *request, struct buffer *message)
{
    struct cursor body = cursor_over(request->body.bytes, request->body.len);
    struct wire_kept_ask ask;
    struct buffer list = {0};
    uint32_t count = 0;
    bool more = false;
    if (!wire_get_kept(&body, &ask, NULL))
        panic("a question cannot be read");
    shard->asked_at_ms = ask.at_ms;
    for (const struct kept *kept = shard->kept; kept && !more; kept = kept->next) {
        if (kept->txn || kept->index < ask.from || kept->key.len != ask.key_len ||
            memcmp(kept->key.bytes, ask.key, ask.key_len) != 0)
            continue;
        more = count == FAKE_KEPT_PAGE;
        if (!more && !wire_put_kept_one(&list, kept->index, kept->digest, kept->outcome.bytes, kept->outcome.len))
            panic("out of memory");
        count += !more;
    }
    if (!wire_put_kept_answer(message, !more, count, &list))
        panic("out of memory");
    buffer_release(&list);
}

static void answer_now(struct fake_request *request)
{
    struct shard *shard = &fake.shards[request->database];
    struct buffer message = {0}, body = {0};
    struct error refusal;
    bool done = true;
    request->answered = true;
    if (request->header.kind == WIRE_HELLO)
        answer_hello(shard, request, &body);
    else if (request->header.kind == WIRE_WRITE)
        done = answer_write(shard, request, &body, &refusal);
    else if (request->header.kind == WIRE_EXISTS)
        answer_exists(shard, request, &body);
    else if (request->header.kind == WIRE_KEYS)
        answer_keys(shard, request, &body);
    else if (request->header.kind == WIRE_PROBE)
        answer_probe(shard, request, &body);
    else if (request->header.kind == WIRE_KEPT)
        answer_kept(shard, request, &body);
    else
        wire_put_nothing(&body);
    bool ok = done ? wire_put_done(&message, &request->header) && buffer_put(&message, body.bytes, body.len)
                   : wire_put_error(&message, &request->header, &refusal);
    if (!ok)
        panic("out of memory");
    if (shard->connected && request->header.generation == shard->generation)
        tell_message(request->database, &message);
    buffer_release(&message);
    buffer_release(&body);
}

void fake_answer(struct fake_request *request)
{
    LOCKED(answer_now(request));
}

void fake_refuse(struct fake_request *request, enum error_code code, const char *text)
{
    struct buffer message = {0};
    struct error refusal;
    error_set(&refusal, code, "%s", text);
    if (!wire_put_error(&message, &request->header, &refusal))
        panic("out of memory");
    request->answered = true;
    LOCKED(tell_message(request->database, &message));
}

void fake_say(struct fake_request *request, const void *body, size_t len)
{
    struct buffer message = {0};
    if (!wire_put_done(&message, &request->header) || !buffer_put(&message, body, len))
        panic("out of memory");
    LOCKED(tell_message(request->database, &message));
}

void fake_lose(database_id database, bool applies)
{
    struct shard *shard = &fake.shards[database];
    struct link_event event = {.kind = LINK_LOST};
    pthread_mutex_lock(&fake.lock);
    shard->connected = false;
    for (struct fake_request *request = shard->first; request; request = request->next)
        if (applies && !request->answered && request->header.kind == WIRE_WRITE)
            answer_now(request);
    error_set(&event.error, ERROR_UNAVAILABLE, "database %s: lost, as told", fake.schema->databases[database].name);
    tell(database, &event);
    pthread_mutex_unlock(&fake.lock);
}

static void connect_now(database_id database)
{
    const struct link_event event = {.kind = LINK_CONNECTED};
    fake.shards[database].generation = ++fake.generations;
    fake.shards[database].connected = true;
    tell(database, &event);
}

void fake_connect(database_id database)
{
    LOCKED(connect_now(database));
}

void fake_restart(database_id database)
{
    struct shard *shard = &fake.shards[database];
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += DEADLINE_S;
    pthread_mutex_lock(&fake.lock);
    while (!shard->unwanted)
        if (pthread_cond_timedwait(&fake.changed, &fake.lock, &until) != 0)
            panic("nobody wants database %s to be started again", fake.schema->databases[database].name);
    if (shard->unwanted != shard->generation)
        panic("what is to be started again is over");
    shard->unwanted = 0;
    pthread_mutex_unlock(&fake.lock);
    fake_lose(database, false);
    fake_connect(database);
}

void fake_fail_to_start(database_id database, const char *why)
{
    struct link_event event = {.kind = LINK_FAILED};
    error_set(&event.error, ERROR_UNAVAILABLE, "database %s: %s", fake.schema->databases[database].name, why);
    LOCKED(tell(database, &event));
}

void fake_let_go(void)
{
    pthread_mutex_lock(&fake.lock);
    for (database_id d = 0; fake.listener && d < fake.schema->database_count; d++) {
        struct shard *shard = &fake.shards[d];
        memset(shard->hold, 0, sizeof shard->hold);
        shard->refuses_next = ERROR_NONE;
        if (!shard->connected && !shard->broken)
            connect_now(d);
        for (struct fake_request *request = shard->first; request; request = request->next)
            if (!request->answered && request->header.generation == shard->generation)
                answer_now(request);
    }
    pthread_mutex_unlock(&fake.lock);
}

/* ---- links.h ---- */

struct links *links_open(const struct links_options *options, struct error *error)
{
    (void)error;
    pthread_mutex_lock(&fake.lock);
    fake.listener = options->listener;
    fake.context = options->context;
    for (database_id d = 0; d < fake.schema->database_count; d++) {
        struct link_event failed = {.kind = LINK_FAILED};
        fake.shards[d].last_batch = fake.shards[d].says.last_batch;
        error_set(&failed.error, ERROR_IO, "database %s: cannot be started, as told", fake.schema->databases[d].name);
        if (fake.shards[d].broken)
            tell(d, &failed);
        else
            connect_now(d);
    }
    pthread_mutex_unlock(&fake.lock);
    return &fake.links;
}

static void take_in(struct shard *shard, struct fake_request *request)
{
    bool hello = request->header.kind == WIRE_HELLO, hold = shard->hold[request->header.kind % KINDS];
    fake_describe(fake.schema, request);
    shard->hellos += hello;
    if (shard->last)
        shard->last->next = request;
    else
        shard->first = request;
    shard->last = request;
    request->silent = hello && !hold;
    if (!shard->unread && !request->silent)
        shard->unread = request;
    if (!hold)
        answer_now(request);
}

bool links_send(struct links *links, database_id database, uint64_t generation, const void *head, size_t head_len,
                const void *body, size_t body_len)
{
    struct shard *shard = &fake.shards[database];
    struct fake_request *request = calloc(1, sizeof *request);
    struct buffer message = {0};
    struct cursor cursor;
    struct error error;
    if (!request || links != &fake.links || !buffer_put(&message, head, head_len) ||
        (body_len && !buffer_put(&message, body, body_len)))
        panic("out of memory");
    if (!wire_get_request(message.bytes, message.len, &request->header, &cursor, &error))
        panic("%s", error.text);
    if (!buffer_put(&request->body, cursor.at, cursor_left(&cursor)))
        panic("out of memory");
    buffer_release(&message);
    request->database = database;
    pthread_mutex_lock(&fake.lock);
    bool live = shard->connected && shard->generation == generation;
    if (live && request->header.generation != generation)
        panic("a message that names another generation");
    if (live)
        take_in(shard, request);
    else {
        buffer_release(&request->body);
        free(request);
    }
    pthread_cond_broadcast(&fake.changed);
    pthread_mutex_unlock(&fake.lock);
    return live;
}

void links_restart(struct links *links, database_id database, uint64_t generation)
{
    (void)links;
    pthread_mutex_lock(&fake.lock);
    fake.shards[database].unwanted = generation;
    pthread_cond_broadcast(&fake.changed);
    pthread_mutex_unlock(&fake.lock);
}

int64_t links_pid(const struct links *links, database_id database)
{
    (void)links;
    (void)database;
    return 0;
}

void links_close(struct links *links)
{
    if (links)
        LOCKED(fake.listener = NULL);
}

void link_event_release(struct link_event *event)
{
    if (event->kind == LINK_MESSAGE)
        free(event->handle);
}
