/* SPDX-License-Identifier: Apache-2.0 */
/* transactions.pml - the protocol between coordinators and shards, for SPIN: every order of steps, crashes and losses
 * within the bounds below.
 *
 * Modelled is what stands in coordinator/engine/{batcher,peer,transaction,recovery}.c and shardd/{batch,prepared,
 * store}.c, in their words: batches with numbers, two of them in flight, sent again after a loss and answered from
 * their marker (B1-B5 of batch.h); PREPARE, DECIDE at the home, RESOLVE, FORGET (P1-P4 of prepared.h, the states of
 * transaction.h); presumed abort, locks that are held until all have resolved and taken again from what is prepared
 * when another coordinator takes over; epochs. Two transactions insert children on different shards while the row that
 * both name is deleted.
 *
 * What may go wrong, at any step: a shard, a coordinator dies; a connection is lost with what is on it; a single
 * message is lost; a coordinator that was given up lives on beside the next (FAULTS and LIVES); a disk is full, a wait
 * becomes too long, a shard is given up (MISHAPS). A coordinator of the model serves as soon as the locks of what is in
 * doubt are held; recovery.c, stricter, waits until it is resolved.
 *
 * Asserted, by the numbers of ARCHITECTURE.md: 1 what is acknowledged is committed, and never undone; 2 once; 3 no
 * child without its parent in the files whenever nothing is in doubt; 4 all or nothing (likewise); what is refused is
 * never applied; and, when nothing can move any more, no promise, decision or lock is left and everybody has an answer.
 *
 * A transition is what a thread does between two waits, so a batch and its COMMIT are one (B2). Batches that share a
 * commit are no case of their own: none of them is answered before it. What a shard reads after its connection was lost
 * is none either: it might have read it just before. Messages on one connection stay in order and none comes twice, as
 * on nng's streams; repeated is what a coordinator sends again. Two coordinators may be connected at once, which links
 * never are: here only epochs part them.
 *
 * test_model.py runs this and says with which bounds, and runs it with each of these faults planted, which must fail:
 * ANSWERED_EARLY, FORGOTTEN_EARLY, LOCKS_NOT_RETAKEN, LOCKS_FALL_EARLY, MARKER_SKIPPED, RESOLVE_ANSWERED_EARLY,
 * EPOCH_NOT_CHECKED, DECISION_READ_EARLY, REFUSED_IS_NO_EFFECT. The searches of the honest model are exhaustive within
 * their bounds: every state is visited (4.2 million, 14 s and 1.1 GB, for the largest). */

/* ---- bounds ---- */

#ifndef SHARDS
#define SHARDS 2
#endif
#ifndef LIVES
#define LIVES 2 /* of coordinators, the first included */
#endif
#ifndef FAULTS
#define FAULTS 1 /* crashes of shards, lost connections, lost messages */
#endif
#ifndef MISHAPS
#define MISHAPS 1 /* a full disk, a wait that takes too long */
#endif

/* ---- the writes of users ---- */

#define T1 0     /* a child on B, a row on A (its home) and one on each other shard */
#define T2 1     /* a child on B (its home) and a row on A */
#define DELETE 2 /* of the children's parent, on A: a batch's row, no transaction */
#define WRITES 3
#define A 0
#define B 1
#define BIT(n) (1 << (n))
#define ALL(n) (BIT(n) - 1)
#define HOME(t) ((t) == T2 -> B : A)
#define TAKES_PART(t, s) ((t) == T1 || ((t) == T2 && (s) <= B) || (s) == A)
#define CHILDREN (BIT(T1) | BIT(T2))

/* T1's and T2's children have the same unique key, or keys of their own; a delete meets both. */
#ifdef SAME_KEY
#define MEET(t, u) ((t) != (u))
#define IS_REFUSED(s) ((s) == B && (shard[B].applied & CHILDREN))
#else
#define MEET(t, u) ((t) != (u) && ((t) == DELETE || (u) == DELETE))
#define IS_REFUSED(s) false
#endif

/* ---- batches ---- */

/* Entries: three bits for each write. */
#define PREPARE 1
#define DECIDE 2
#define COMMIT 3 /* resolve with commit */
#define ABORT 4  /* resolve with abort */
#define FORGET 5
#define ROW 6
#define ENTRY(entries, t) (((entries) >> (3 * (t))) & 7)
#define AS_ENTRY(what, t) ((what) << (3 * (t)))

/* Where a batch is. */
#define NOWHERE 0
#define UNSENT 1
#define DROPPED 2  /* never reached the shard: its members are to be refused */
#define AGAIN 3    /* came back out of order: goes under a new number */
#define NUMBERED 4 /* from here on in flight; the shard is away, never sent */
#define LOST 5     /* sent, and nothing is on its way any more */
#define TO_SHARD 6
#define ANSWERED 7
#define REFUSED 8
#define IN_FLIGHT(l, k) (link[l].where[k] >= NUMBERED)

#define SLOTS 3
#define IN_FLIGHT_MAX 2
#define MARKERS_KEPT 2

/* states of a link */
#define AWAY 0
#define GREETING 1
#define GREETED 2
#define READY 3
#define FENCED 4

/* A coordinator's connection to a shard with its batcher. */
typedef Link {
    byte state;
    byte last, prepared, decided; /* said in the last hello */
    byte next, rewind_to;
    bit rewinding;
    short entries[SLOTS];
    byte where[SLOTS];
    byte number[SLOTS];
    byte failed[SLOTS]; /* a bit an entry */
}
Link link[2 * SHARDS];
#define LINK(c, s) ((c)*SHARDS + (s))

/* ---- coordinators: one, and one that takes over while the other still lives ---- */

#define DOWN 0
#define CLAIMING 1
#define IN_DOUBT 2
#define SERVING 3
byte lives = 1;
byte epoch_of[LIVES + 1]; /* of each life; a life is what the code calls coordinator id */

typedef Coordinator {
    byte life, phase, claimed;
    byte retaken;       /* locks of writes that an earlier life left prepared */
    byte doubt[SHARDS]; /* prepared there, not yet resolved */
    bit dropping;
    byte decided[SHARDS];
}
Coordinator coordinator[2];

#define IDLE 0
#define CHECKED 1
#define WRITING 2
#define PREPARING 3
#define DECIDING 4
#define RESOLVING 5
#define FORGETTING 6
#define ENDED 7

#define PART_IDLE 0
#define PART_SENT 1
#define PART_WAITS 2
#define PART_PREPARED 3
#define PART_DONE 4

#define PENDING 1
#define OK 2
#define NO 3
#define UNKNOWN 4

typedef Write {
    byte state;
    bit at; /* whose it is */
    bit commit;
    byte part[SHARDS];
    byte told; /* what the user knows */
}
Write write[WRITES];

#ifdef LOCKS_FALL_EARLY
#define LAST_LOCKED DECIDING
#else
#define LAST_LOCKED RESOLVING
#endif
#define HOLDS(c, t)                                                                      \
    ((write[t].at == (c) && write[t].state >= CHECKED && write[t].state <= LAST_LOCKED) || \
     (coordinator[c].retaken & BIT(t)))
#define MAY_LOCK(c, t)                                                   \
    (!(MEET(t, T1) && HOLDS(c, T1)) && !(MEET(t, T2) && HOLDS(c, T2)) && \
     !(MEET(t, DELETE) && HOLDS(c, DELETE)))

/* ---- shards ---- */

typedef Shard {
    byte epoch, owner;               /* _sheaf_meta */
    byte last, marker[MARKERS_KEPT]; /* _sheaf_applied: the last batch, what failed in it and in the one before */
    byte prepared, decided;          /* _sheaf_prepared, _sheaf_decision */
    byte applied;                    /* the users' rows */
    bit claimed;                     /* in memory only, like what follows */
#ifdef RESOLVE_ANSWERED_EARLY
    short late; /* answered, and not yet committed */
#endif
}
Shard shard[SHARDS];
#ifdef RESOLVE_ANSWERED_EARLY
#define LATE(s) shard[s].late
#else
#define LATE(s) 0
#endif

byte lives_left, faults, mishaps;

/* Scratch of a step: no part of the state. */
hidden short out[SHARDS]; /* what a step adds to the batchers */
hidden short entries;
hidden byte failed, i, j, k, l, n, t_, s_, what, error, under_way, some;

/* ---- batcher.c ---- */

#define ADD(s, t, what) out[s] = out[s] | AS_ENTRY(what, t)

inline number_slot(l, k)
{
    link[l].number[k] = link[l].next;
    link[l].next++;
    link[l].where[k] = (link[l].state == READY -> TO_SHARD : NUMBERED)
}

inline add_entries(l, s)
{
    i = 0;
    do
    :: i < SLOTS && link[l].where[i] != NOWHERE -> i++
    :: else -> break
    od;
    if
    :: i > 0 && link[l].where[i - 1] == UNSENT -> i--
    :: else -> assert(i < SLOTS); link[l].where[i] = UNSENT
    fi;
    link[l].entries[i] = link[l].entries[i] | out[s];
    out[s] = 0
}

/* At the end of each step of a coordinator. */
inline pump(c)
{
    for (s_ : 0 .. SHARDS - 1) {
        l = LINK(c, s_);
        if
        :: out[s_] -> add_entries(l, s_)
        :: else
        fi;
        n = 0;
        for (k : 0 .. SLOTS - 1) {
            if
            :: IN_FLIGHT(l, k) -> n++
            :: link[l].where[k] == UNSENT && !link[l].rewinding &&
               (n == 0 || (n < IN_FLIGHT_MAX && k + 1 < SLOTS && link[l].where[k + 1] == UNSENT)) ->
                number_slot(l, k);
                n++
            :: else
            fi
        }
    }
}

/* Takes a batch out: its members into `entries`, their failures into `failed`. */
inline take(l, k)
{
    entries = link[l].entries[k];
    failed = link[l].failed[k];
    for (i : k .. SLOTS - 2) {
        link[l].entries[i] = link[l].entries[i + 1];
        link[l].where[i] = link[l].where[i + 1];
        link[l].number[i] = link[l].number[i + 1];
        link[l].failed[i] = link[l].failed[i + 1]
    }
    link[l].entries[SLOTS - 1] = 0;
    link[l].where[SLOTS - 1] = NOWHERE;
    link[l].number[SLOTS - 1] = 0;
    link[l].failed[SLOTS - 1] = 0
}

inline finish_rewind(l)
{
    some = !link[l].rewinding;
    for (i : 0 .. SLOTS - 1) {
        some = some || (IN_FLIGHT(l, i) && link[l].number[i] > link[l].rewind_to)
    }
    if
    :: !some ->
        link[l].rewinding = 0;
        link[l].next = link[l].rewind_to;
        link[l].rewind_to = 0;
        for (i : 0 .. SLOTS - 1) {
            if
            :: link[l].where[i] == AGAIN -> link[l].where[i] = UNSENT; link[l].number[i] = 0
            :: else
            fi
        }
    :: else
    fi
}

inline batch_refused(l, k)
{
    some = link[l].rewinding && link[l].where[k] == REFUSED; /* it was behind another */
    if
    :: !link[l].rewinding || link[l].number[k] < link[l].rewind_to ->
        link[l].rewinding = 1;
        link[l].rewind_to = link[l].number[k]
    :: else
    fi;
    if
    :: some -> link[l].where[k] = AGAIN; entries = 0
    :: else -> take(l, k); failed = ALL(WRITES)
    fi;
    finish_rewind(l)
}

#define FIRST(l, place) \
    (link[l].where[0] == (place) -> 0 : (link[l].where[1] == (place) -> 1 : (link[l].where[2] == (place) -> 2 : SLOTS)))
#define HAS_COME_BACK(l, k) (link[l].where[k] == ANSWERED || link[l].where[k] == REFUSED || link[l].where[k] == DROPPED)

/* The first batch that has an outcome: its members into `entries`. */
inline batch_back(c, l)
{
    k = (HAS_COME_BACK(l, 0) -> 0 : (HAS_COME_BACK(l, 1) -> 1 : 2));
    if
    :: link[l].where[k] == ANSWERED -> take(l, k)
    :: link[l].where[k] == DROPPED && link[l].number[k] == 0 -> take(l, k); failed = ALL(WRITES)
#ifndef REFUSED_IS_NO_EFFECT
    :: link[l].where[k] == REFUSED && link[l].number[k] <= link[l].last ->
        coordinator[c].phase = DOWN; /* it is in the file: panic */
        entries = 0
#endif
    :: else -> batch_refused(l, k)
    fi
}

/* ---- transaction.c, commit.c ---- */

inline answer(t, done)
{
    printf("write %d has its outcome: %d\n", t, done);
    if
    :: write[t].told == PENDING && (done) -> 
        write[t].told = OK;
        assert(shard[HOME(t)].applied & BIT(t)) /* promise 1 */
    :: write[t].told == PENDING && !(done) ->
        write[t].told = NO;
        for (j : 0 .. SHARDS - 1) {
            assert(!(shard[j].applied & BIT(t))) /* refused: no effect */
        }
    :: else
    fi
}

inline end_write(t)
{
    write[t].state = ENDED;
    write[t].commit = 0;
    for (j : 0 .. SHARDS - 1) {
        write[t].part[j] = PART_IDLE
    }
}

inline count_under_way(t)
{
    under_way = 0;
    for (j : 0 .. SHARDS - 1) {
        under_way = under_way + (write[t].part[j] == PART_SENT || write[t].part[j] == PART_WAITS)
    }
}

#ifdef FORGOTTEN_EARLY
#define SENDS_FORGET(t) false
#else
#define SENDS_FORGET(t) (write[t].commit && write[t].state == RESOLVING)
#endif

/* When no part is under way. */
inline resolved(t)
{
    count_under_way(t);
    if
    :: under_way > 0
    :: under_way == 0 && SENDS_FORGET(t) ->
        write[t].state = FORGETTING;
        write[t].part[HOME(t)] = PART_SENT;
        ADD(HOME(t), t, FORGET)
    :: else -> end_write(t)
    fi
}

inline resolve(t, how)
{
    write[t].state = RESOLVING;
    write[t].commit = how;
    for (j : 0 .. SHARDS - 1) {
        if
        :: write[t].part[j] == PART_PREPARED ->
            write[t].part[j] = PART_SENT;
            ADD(j, t, (write[t].commit -> COMMIT : ABORT))
        :: else
        fi
    }
#ifdef FORGOTTEN_EARLY
    if
    :: write[t].commit -> write[t].part[HOME(t)] = PART_SENT; ADD(HOME(t), t, FORGET)
    :: else
    fi
#endif
}

inline part_settled(t, s)
{
    if
    :: write[t].state == PREPARING ->
        write[t].part[s] = (error -> PART_DONE : PART_PREPARED);
        write[t].commit = write[t].commit && !error;
        count_under_way(t);
        if
        :: under_way > 0
        :: under_way == 0 && write[t].commit && write[t].told == PENDING ->
#ifdef ANSWERED_EARLY
            answer(t, true);
#endif
            write[t].state = DECIDING;
            write[t].part[HOME(t)] = PART_SENT;
            ADD(HOME(t), t, DECIDE)
        :: else -> resolve(t, false)
        fi
    :: write[t].state == DECIDING -> write[t].part[s] = PART_DONE; resolve(t, !error)
    :: else -> write[t].part[s] = (error -> PART_WAITS : PART_DONE)
    fi;
    if
    :: write[t].state == RESOLVING -> answer(t, write[t].commit)
    :: else
    fi;
    if
    :: write[t].state >= RESOLVING -> resolved(t)
    :: else
    fi
}

/* ---- recovery.c ---- */

inline forget_all(c)
{
    coordinator[c].phase = SERVING;
    for (j : 0 .. SHARDS - 1) {
        for (i : 0 .. WRITES - 1) {
            if
            :: coordinator[c].decided[j] & BIT(i) -> ADD(j, i, FORGET)
            :: else
            fi
        }
        coordinator[c].decided[j] = 0
    }
}

inline count_doubt(c)
{
    some = 0;
    for (j : 0 .. SHARDS - 1) {
        some = some | coordinator[c].doubt[j]
    }
    coordinator[c].retaken = coordinator[c].retaken & some;
    if
    :: some == 0 -> forget_all(c)
    :: else
    fi
}

inline recovery_settled(c, s, t)
{
    if
    :: error -> ADD(s, t, what)
    :: !error && what != FORGET -> coordinator[c].doubt[s] = coordinator[c].doubt[s] & ~BIT(t); count_doubt(c)
    :: else
    fi
}

inline all_claimed(c)
{
    coordinator[c].phase = IN_DOUBT;
    for (j : 0 .. SHARDS - 1) {
        coordinator[c].doubt[j] = link[LINK(c, j)].prepared;
#ifndef DECISION_READ_EARLY
        coordinator[c].decided[j] = link[LINK(c, j)].decided;
#endif
        link[LINK(c, j)].prepared = 0;
        link[LINK(c, j)].decided = 0
    }
    for (j : 0 .. SHARDS - 1) {
        for (i : 0 .. WRITES - 1) {
            if
            :: coordinator[c].doubt[j] & BIT(i) ->
                ADD(j, i, ((coordinator[c].decided[HOME(i)] & BIT(i)) -> COMMIT : ABORT));
#ifndef LOCKS_NOT_RETAKEN
                coordinator[c].retaken = coordinator[c].retaken | BIT(i)
#endif
            :: else
            fi
        }
    }
    count_doubt(c)
}

/* ---- steps of a coordinator ---- */

/* Each member of a batch that is back learns its outcome. */
inline settle_all(c, s)
{
    for (t_ : 0 .. WRITES - 1) {
        what = ENTRY(entries, t_);
        error = (failed >> t_) & 1;
        if
        :: what == 0
        :: what && (write[t_].state == IDLE || write[t_].state == ENDED || write[t_].at != c) ->
            recovery_settled(c, s, t_)
        :: what == ROW -> answer(t_, !error); end_write(t_)
        :: else -> part_settled(t_, s)
        fi
    }
}

#define L link[LINK(c, s)]
#define MAY_ACT(c) (coordinator[c].phase != DOWN && !coordinator[c].dropping)

inline take_outcome(c, s)
{
    batch_back(c, LINK(c, s));
    printf("coordinator %d: entries %o are back from shard %d, failed %o\n", coordinator[c].life, entries, s, failed);
    settle_all(c, s);
    coordinator[c].dropping = coordinator[c].dropping && FIRST(LINK(c, s), DROPPED) < SLOTS;
    pump(c)
}

inline claim_answered(c, s)
{
    printf("coordinator %d has claimed shard %d: prepared %o, decided %o\n", coordinator[c].life, s, L.prepared,
           L.decided);
    L.next = L.last + 1;
    L.state = READY;
    coordinator[c].claimed = coordinator[c].claimed | BIT(s);
    if
    :: coordinator[c].claimed == ALL(SHARDS) -> all_claimed(c)
    :: else
    fi;
    pump(c)
}

/* The shard was away and is back. */
inline send_again(c, s)
{
    printf("coordinator %d is connected with shard %d again, last batch %d\n", coordinator[c].life, s, L.last);
    L.state = READY;
    L.prepared = 0;
    L.decided = 0;
    for (k : 0 .. SLOTS - 1) {
        if
        :: L.where[k] == LOST || L.where[k] == NUMBERED -> L.where[k] = TO_SHARD
        :: else
        fi
    }
    pump(c)
}

/* Lost too often with these: what the hello has not told of cannot come to the file any more. */
inline give_up(c, s)
{
    printf("coordinator %d gives up what shard %d does not take, last batch %d\n", coordinator[c].life, s, L.last);
    for (k : 0 .. SLOTS - 1) {
        if
        :: ((L.where[k] == LOST || L.where[k] == NUMBERED) && L.number[k] > L.last) || L.where[k] == AGAIN ||
           L.where[k] == UNSENT ->
            L.where[k] = DROPPED;
            L.number[k] = 0
        :: else
        fi
    }
    L.next = L.last + 1;
    L.rewinding = 0;
    L.rewind_to = 0;
    coordinator[c].dropping = FIRST(LINK(c, s), DROPPED) < SLOTS
}

#define WAITS(t, c, s) (write[t].part[s] == PART_WAITS && write[t].at == (c) && L.state == READY)

inline ask_again(t, c, s)
{
    write[t].part[s] = PART_SENT;
    ADD(s, t, (s == HOME(t) -> FORGET : (write[t].commit -> COMMIT : ABORT)));
    pump(c)
}

/* ---- shardd: prepared.c, batch.c, store.c ---- */

inline apply(s, t)
{
    printf("shard %d applies write %d\n", s, t);
    assert(!(shard[s].applied & BIT(t))); /* promise 2: once */
    assert(write[t].told != NO);        /* refused: no effect */
    shard[s].applied = shard[s].applied | BIT(t)
}

inline apply_entry(s, t)
{
    if
    :: (what == PREPARE || what == DECIDE) && IS_REFUSED(s) -> failed = failed | BIT(t)
    :: what == PREPARE && !IS_REFUSED(s) -> shard[s].prepared = shard[s].prepared | BIT(t)
    :: what == DECIDE && !IS_REFUSED(s) -> apply(s, t); shard[s].decided = shard[s].decided | BIT(t)
    :: what == COMMIT && (shard[s].prepared & BIT(t)) ->
        assert(!IS_REFUSED(s)); /* P2 */
        apply(s, t);
        shard[s].prepared = shard[s].prepared & ~BIT(t)
    :: what == ABORT ->
        assert(write[t].told != OK); /* acknowledged: never undone */
        shard[s].prepared = shard[s].prepared & ~BIT(t)
    :: what == FORGET -> shard[s].decided = shard[s].decided & ~BIT(t)
    :: what == ROW -> apply(s, t)
    :: else
    fi
}

/* After each commit: what holds in the files whenever nothing is in doubt. */
inline check_promises()
{
    some = 0;
    for (j : 0 .. SHARDS - 1) {
        some = some || shard[j].prepared || LATE(j)
    }
    for (j : 0 .. SHARDS - 1) {
        for (i : T1 .. T2) {
            assert(some || !TAKES_PART(i, j) ||
                   (shard[j].applied & BIT(i)) == (shard[HOME(i)].applied & BIT(i))) /* promise 4: all or nothing */
        }
    }
    assert(some || !(shard[B].applied & CHILDREN) || !(shard[A].applied & BIT(DELETE))) /* promise 3: no dangling */
}

inline apply_batch(c, s)
{
    failed = 0;
    for (t_ : 0 .. WRITES - 1) {
        what = ENTRY(L.entries[k], t_);
#ifdef RESOLVE_ANSWERED_EARLY
        if
        :: what == COMMIT || what == ABORT ->
            shard[s].late = shard[s].late | AS_ENTRY(what, t_);
            what = 0
        :: else
        fi;
#endif
        apply_entry(s, t_)
    }
    shard[s].marker[1] = shard[s].marker[0];
    shard[s].marker[0] = failed;
    shard[s].last = L.number[k];
    L.failed[k] = failed;
    L.where[k] = ANSWERED;
    check_promises()
}

#ifdef EPOCH_NOT_CHECKED
#define IS_ENTITLED(c, s) true
#define IS_OUTDATED(c, s) false
#else
#define IS_ENTITLED(c, s) (shard[s].claimed && shard[s].owner == coordinator[c].life)
#define IS_OUTDATED(c, s)                                       \
    (epoch_of[coordinator[c].life] < shard[s].epoch ||          \
     (epoch_of[coordinator[c].life] == shard[s].epoch && shard[s].owner != coordinator[c].life))
#endif
#ifdef MARKER_SKIPPED
#define IS_REPEATED(s, number) false
#define IS_NEXT(s, number) ((number) <= shard[s].last + 1)
#else
#define IS_REPEATED(s, number) ((number) <= shard[s].last && (number) + MARKERS_KEPT > shard[s].last)
#define IS_NEXT(s, number) ((number) == shard[s].last + 1)
#endif

inline take_batch(c, s)
{
    k = FIRST(LINK(c, s), TO_SHARD);
    printf("shard %d gets batch %d of coordinator %d: %o\n", s, L.number[k], coordinator[c].life, L.entries[k]);
    if
    :: IS_ENTITLED(c, s) && IS_REPEATED(s, L.number[k]) ->
        L.failed[k] = shard[s].marker[shard[s].last - L.number[k]]; /* B3 */
        L.where[k] = ANSWERED
    :: IS_ENTITLED(c, s) && !IS_REPEATED(s, L.number[k]) && IS_NEXT(s, L.number[k]) -> apply_batch(c, s)
    :: else -> L.where[k] = REFUSED /* B1 */
    fi
}

inline take_hello(c, s)
{
    if
    :: IS_OUTDATED(c, s) -> L.state = FENCED
    :: else ->
        shard[s].epoch = epoch_of[coordinator[c].life];
        shard[s].owner = coordinator[c].life;
        shard[s].claimed = 1;
        L.last = shard[s].last;
        L.prepared = shard[s].prepared;
        L.decided = shard[s].decided;
        L.state = GREETED
    fi
}

/* ---- what goes wrong ---- */

inline lose_link(l)
{
    printf("link %d is lost\n", l);
    for (k : 0 .. SLOTS - 1) {
        if
        :: link[l].where[k] > LOST -> link[l].where[k] = LOST; link[l].failed[k] = 0
        :: else
        fi
    }
    link[l].state = (link[l].state == FENCED -> FENCED : AWAY)
}

inline kill_shard(s)
{
    printf("shard %d dies\n", s);
    shard[s].claimed = 0;
#ifdef RESOLVE_ANSWERED_EARLY
    shard[s].late = 0;
#endif
    lose_link(LINK(0, s));
    lose_link(LINK(1, s))
}

/* Epochs are read before anything is claimed. */
inline start(c)
{
    lives++;
    lives_left--;
    coordinator[c].life = lives;
    coordinator[c].phase = CLAIMING;
    for (j : 0 .. SHARDS - 1) {
        epoch_of[lives] = (shard[j].epoch >= epoch_of[lives] -> shard[j].epoch + 1 : epoch_of[lives]);
#ifdef DECISION_READ_EARLY
        coordinator[c].decided[j] = shard[j].decided
#endif
    }
}

inline clear_link(l)
{
    link[l].state = AWAY;
    link[l].last = 0;
    link[l].prepared = 0;
    link[l].decided = 0;
    link[l].next = 0;
    link[l].rewind_to = 0;
    link[l].rewinding = 0;
    for (k : 0 .. SLOTS - 1) {
        link[l].entries[k] = 0;
        link[l].where[k] = NOWHERE;
        link[l].number[k] = 0;
        link[l].failed[k] = 0
    }
}

inline kill_coordinator(c)
{
    printf("coordinator %d dies\n", coordinator[c].life);
    for (i : 0 .. WRITES - 1) {
        if
        :: write[i].at == c && write[i].state != IDLE && write[i].state != ENDED ->
            write[i].told = (write[i].told == PENDING -> UNKNOWN : write[i].told);
            end_write(i)
        :: else
        fi
    }
    for (j : 0 .. SHARDS - 1) {
        clear_link(LINK(c, j));
        coordinator[c].doubt[j] = 0;
        coordinator[c].decided[j] = 0
    }
    coordinator[c].claimed = 0;
    coordinator[c].retaken = 0;
    coordinator[c].dropping = 0;
    coordinator[c].life = 0;
    coordinator[c].phase = DOWN;
    if
    :: lives_left > 0 -> start(c)
    :: else
    fi
}

/* ---- processes ---- */

#define MAY_READ(c, s) (link[LINK(c, s)].state == READY && IS_ENTITLED(c, s))
#define MAY_BEGIN(c, t)                                                                              \
    (write[t].state == IDLE && MAY_ACT(c) && coordinator[c].phase >= IN_DOUBT && MAY_LOCK(c, t) && \
     MAY_READ(c, A) && MAY_READ(c, B))
#define REFERENCES_HOLD(t) \
    ((t) == DELETE -> !(shard[B].applied & CHILDREN) : !(shard[A].applied & BIT(DELETE)))

/* The locks are taken and the references are looked at; what was seen then is believed later, when `send` goes. */
inline begin(c, t)
{
    printf("coordinator %d begins write %d\n", coordinator[c].life, t);
    write[t].at = c;
    write[t].told = PENDING;
    if
    :: REFERENCES_HOLD(t) -> write[t].state = CHECKED
    :: else -> answer(t, false); end_write(t)
    fi
}

inline send(t)
{
    if
    :: t == DELETE -> write[t].state = WRITING; ADD(A, t, ROW)
    :: else ->
        write[t].state = PREPARING;
        write[t].commit = 1;
        for (j : 0 .. SHARDS - 1) {
            if
            :: TAKES_PART(t, j) && j != HOME(t) -> write[t].part[j] = PART_SENT; ADD(j, t, PREPARE)
            :: else
            fi
        }
    fi;
    pump(write[t].at)
}

proctype client(byte t)
{
end:
    do
    :: d_step { MAY_BEGIN(0, t) -> begin(0, t); skip }
    :: d_step { MAY_BEGIN(1, t) -> begin(1, t); skip }
    :: d_step { write[t].state == CHECKED && MAY_ACT(write[t].at) -> send(t); skip }
    :: d_step { /* it takes too long: the user is told that the outcome is not known */
        mishaps > 0 && write[t].told == PENDING && write[t].state >= WRITING ->
        mishaps--;
        write[t].told = UNKNOWN
    }
    od
}

/* Lost for certain: the batch is in flight and nothing is on its way. The supervisor ends such a link in the end. */
#define WAITS_IN_VAIN(c, s) (L.state == READY && FIRST(LINK(c, s), LOST) < SLOTS)
#define HAS_UNSENT(c, s) (FIRST(LINK(c, s), NUMBERED) < SLOTS || FIRST(LINK(c, s), UNSENT) < SLOTS)
#define HAS_OUTCOME(c, s)                                    \
    (coordinator[c].dropping                                 \
         -> FIRST(LINK(c, s), DROPPED) < SLOTS               \
         : HAS_COME_BACK(LINK(c, s), 0) || HAS_COME_BACK(LINK(c, s), 1))

/* A connection, with what happens at its two ends and to it. (A d_step must not end in a loop: hence `skip`.) */
proctype connection(byte c; byte s)
{
end:
    do
    /* the coordinator */
    :: d_step { MAY_ACT(c) && L.state == AWAY -> L.state = GREETING }
    :: d_step { MAY_ACT(c) && L.state == GREETED && coordinator[c].phase == CLAIMING -> claim_answered(c, s); skip }
    :: d_step { MAY_ACT(c) && L.state == GREETED && coordinator[c].phase > CLAIMING -> send_again(c, s); skip }
    :: d_step { coordinator[c].phase != DOWN && HAS_OUTCOME(c, s) -> take_outcome(c, s); skip }
    :: d_step {
        MAY_ACT(c) && (WAITS(T1, c, s) || WAITS(T2, c, s)) ->
        t_ = (WAITS(T1, c, s) -> T1 : T2);
        ask_again(t_, c, s);
        skip
    }
    :: d_step { /* the next batch is full: it need not wait for the answer */
        MAY_ACT(c) && L.state == READY && !L.rewinding && IN_FLIGHT(LINK(c, s), 0) && L.where[1] == UNSENT ->
        number_slot(LINK(c, s), 1)
    }

    /* the shard */
    :: d_step { L.state == GREETING -> take_hello(c, s); skip }
    :: d_step { FIRST(LINK(c, s), TO_SHARD) < SLOTS -> take_batch(c, s); skip }
#ifdef RESOLVE_ANSWERED_EARLY
    :: d_step {
        shard[s].late && c == 0 ->
        for (t_ : 0 .. WRITES - 1) {
            what = ENTRY(shard[s].late, t_);
            apply_entry(s, t_)
        }
        shard[s].late = 0;
        check_promises();
        skip
    }
#endif

    /* faults */
    :: d_step { faults > 0 && L.state != AWAY && L.state != FENCED -> faults--; lose_link(LINK(c, s)); skip }
    :: d_step { WAITS_IN_VAIN(c, s) -> lose_link(LINK(c, s)); skip }
    :: d_step {
        faults > 0 && FIRST(LINK(c, s), TO_SHARD) < SLOTS ->
        faults--;
        k = FIRST(LINK(c, s), TO_SHARD);
        L.where[k] = LOST
    }
    :: d_step {
        faults > 0 && FIRST(LINK(c, s), ANSWERED) < SLOTS ->
        faults--;
        k = FIRST(LINK(c, s), ANSWERED);
        L.where[k] = LOST;
        L.failed[k] = 0
    }
    :: d_step { faults > 0 && c == 0 -> faults--; kill_shard(s); skip }

    /* lives: a coordinator is killed and started again, or given up and replaced by the second one */
    :: d_step {
        s == 0 && coordinator[c].life && (lives_left > 0 || coordinator[c].phase == DOWN) ->
        kill_coordinator(c);
        skip
    }
    :: d_step { s == 0 && c == 1 && !coordinator[c].life && lives_left > 0 -> start(c); skip }

    /* mishaps */
    :: d_step { /* the disk is full (B4) */
        mishaps > 0 && FIRST(LINK(c, s), TO_SHARD) < SLOTS && IS_ENTITLED(c, s) &&
        L.number[FIRST(LINK(c, s), TO_SHARD)] == shard[s].last + 1 ->
        mishaps--;
        k = FIRST(LINK(c, s), TO_SHARD);
        L.where[k] = REFUSED
    }
    :: d_step {
        mishaps > 0 && MAY_ACT(c) && L.state == GREETED && coordinator[c].phase > CLAIMING &&
        FIRST(LINK(c, s), LOST) < SLOTS ->
        mishaps--;
        give_up(c, s);
        skip
    }
    :: d_step { /* away for too long: what was never sent is refused */
        mishaps > 0 && MAY_ACT(c) && L.state == AWAY && HAS_UNSENT(c, s) ->
        mishaps--;
        k = (FIRST(LINK(c, s), NUMBERED) < SLOTS -> FIRST(LINK(c, s), NUMBERED) : FIRST(LINK(c, s), UNSENT));
        L.where[k] = DROPPED;
        coordinator[c].dropping = 1
    }
    od
}

/* When nothing can move any more, nothing is left over, no lock hangs, and everybody has an answer. */
#define NEWEST (coordinator[0].life == lives -> 0 : 1)
#define HAS_CLAIMED(c) (coordinator[c].life == lives && coordinator[c].phase == SERVING)

proctype rest()
{
    timeout ->
    d_step {
        for (j : 0 .. SHARDS - 1) {
            assert(!HAS_CLAIMED(NEWEST) || (!shard[j].prepared && !shard[j].decided))
        }
        for (i : 0 .. WRITES - 1) {
            assert(!HAS_CLAIMED(NEWEST) || write[i].state == ENDED ||
                   (write[i].state != IDLE && write[i].at != NEWEST));
            assert(write[i].state != ENDED || write[i].told != PENDING)
        }
        skip
    }
}

init
{
    d_step {
        coordinator[0].life = 1;
        coordinator[0].phase = SERVING;
        coordinator[0].claimed = ALL(SHARDS);
        epoch_of[1] = 1;
        for (j : 0 .. SHARDS - 1) {
            link[LINK(0, j)].state = READY;
            link[LINK(0, j)].next = 1;
            shard[j].claimed = 1;
            shard[j].epoch = 1;
            shard[j].owner = 1
        }
        j = 0
    }
    atomic {
        select (lives_left : 0 .. LIVES - 1);
        select (faults : 0 .. FAULTS);
        select (mishaps : 0 .. MISHAPS);
        run client(T1);
        run client(T2);
        run client(DELETE);
        run connection(0, A);
        run connection(0, B);
        run connection(1, A);
        run connection(1, B);
#if SHARDS > 2
        run connection(0, 2);
        run connection(1, 2);
#endif
        run rest()
    }
}
