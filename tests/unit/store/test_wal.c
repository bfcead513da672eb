/* Protects: a log gives back every synced record after a crash, cuts a torn tail, and never takes
 * damage for one; a full disk leaves it as it was. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "sim_disk.h"
#include "store/wal.h"

enum { INCARNATION = 0x1234567 };

static sim_disk disk;

/* Record n's body: n * 8 bytes that say n, so that a wrong one is seen. */
static size_t body_bytes(uint64_t n)
{
    return (size_t)(n * 7 % 40) * 8 + 8;
}

static nx_status append(nx_wal *l, uint64_t durable)
{
    nx_buf   record = {.max = 1 << 20};
    uint64_t seq = 0, next = l->next_seq;
    size_t   n = NX_WAL_HEAD + body_bytes(next);
    char    *p = nx_buf_room(&record, n, NULL);

    assert_non_null(p);
    for (size_t i = NX_WAL_HEAD; i < n; i += 8) memcpy(p + i, &next, 8);
    record.len = n;
    nx_status st = nx_wal_append(l, &seq, &record, durable, NULL);
    if (!st) assert_int_equal(seq, next);
    nx_buf_free(&record);
    return st;
}

typedef struct seen {
    uint64_t first, n, last;
} seen;

static nx_status see(void *ctx, uint64_t seq, const void *body, size_t bytes, nx_error *err)
{
    seen *s = ctx;

    (void)err;
    if (s->n++ == 0)
        s->first = seq;
    else
        assert_int_equal(seq, s->last + 1);
    s->last = seq;
    if (bytes == 0) return NX_OK; /* a seal */
    assert_int_equal(bytes, body_bytes(seq));
    for (size_t i = 0; i < bytes; i += 8) assert_memory_equal((const char *)body + i, &seq, 8);
    return NX_OK;
}

static nx_status open_log(nx_wal *l, sim_disk *d, uint64_t after, seen *s, uint64_t *cut,
                          nx_error *err)
{
    *s = (seen){0};
    return nx_wal_open(l, &d->base, "c", INCARNATION, after, see, s, cut, err);
}

static void make_log(nx_wal *l)
{
    sim_init(&disk);
    sim_put(&disk.now, "c", NULL);
    sim_put(&disk.safe, "c", NULL);
    assert_int_equal(nx_wal_create(l, &disk.base, "c", INCARNATION, 1, NULL), NX_OK);
    assert_int_equal(disk.base.ops->sync_dir(&disk.base, "c", NULL), NX_OK);
}

static void records_come_back_in_order(void **state)
{
    nx_wal   l;
    seen     s;
    uint64_t cut, seq;
    nx_error err;

    (void)state;
    make_log(&l);
    for (int i = 0; i < 20; i++) assert_int_equal(append(&l, 0), NX_OK);
    assert_int_equal(nx_wal_seal(&l, &seq, &err), NX_OK);
    assert_int_equal(seq, 21);
    assert_int_equal(nx_wal_rotate(&l, &err), NX_OK);
    for (int i = 0; i < 5; i++) assert_int_equal(append(&l, 21), NX_OK);
    uint64_t bytes = nx_wal_bytes(&l);
    nx_wal_close(&l);
    assert_int_equal(open_log(&l, &disk, 0, &s, &cut, &err), NX_OK);
    assert_int_equal(s.n, 26);
    assert_int_equal(cut, 0);
    assert_int_equal(l.next_seq, 27);
    assert_int_equal(nx_wal_bytes(&l), bytes);
    assert_int_equal(nx_wal_trim(&l, 20, &err), NX_OK); /* record 21 is still wanted */
    assert_int_equal(l.n_files, 2);
    assert_int_equal(nx_wal_trim(&l, 24, &err), NX_OK);
    assert_int_equal(l.n_files, 1);
    nx_wal_close(&l);
    assert_int_equal(open_log(&l, &disk, 24, &s, &cut, &err), NX_OK);
    assert_int_equal(s.first, 25);
    assert_int_equal(s.n, 2);
    assert_int_equal(append(&l, 0), NX_OK);
    nx_wal_close(&l);
    assert_int_equal(open_log(&l, &disk, 20, &s, &cut, &err), NX_EFORMAT); /* 21 is gone */
    assert_int_equal(open_log(&l, &disk, 99, &s, &cut, &err), NX_EFORMAT); /* and 99 never was */
    assert_int_equal(nx_wal_open(&l, &disk.base, "c", 5, 21, see, &s, &cut, &err), NX_EFORMAT);
    assert_non_null(strstr(err.text, "another collection"));
    sim_free(&disk);
}

/* Records 1 to 6 synced, 7 to 10 not: whatever survives, 1 to 6 do, and what follows is a
 * beginning. */
static void a_crash_loses_only_what_was_not_synced(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 3000; seed++) {
        nx_wal   l;
        seen     s;
        uint64_t cut;
        nx_error err = {0};
        sim_disk after;
        make_log(&l);
        for (int i = 0; i < 6; i++) assert_int_equal(append(&l, 0), NX_OK);
        assert_int_equal(nx_wal_sync(&l, NULL), NX_OK);
        for (int i = 0; i < 4; i++) assert_int_equal(append(&l, 6), NX_OK);
        sim_crash(&after, &disk, seed);
        nx_wal_close(&l);
        nx_status st = open_log(&l, &after, 0, &s, &cut, &err);
        if (st) fail_msg("seed %llu: %s", (unsigned long long)seed, err.text);
        assert_true(s.n >= 6 && s.n <= 10);
        assert_int_equal(append(&l, s.n), NX_OK); /* and it goes on from there */
        nx_wal_close(&l);
        assert_int_equal(open_log(&l, &after, 0, &s, &cut, &err), NX_OK);
        assert_int_equal(cut, 0);
        nx_wal_close(&l);
        sim_free(&after);
        sim_free(&disk);
    }
}

/* Every byte of a sealed log, flipped: refused, or nothing is missing but the seal. */
static void damage_is_never_taken_for_a_torn_tail(void **state)
{
    nx_wal   l;
    seen     s;
    uint64_t cut, seq;
    nx_error err;
    int      n_refused = 0;

    (void)state;
    make_log(&l);
    for (int i = 0; i < 6; i++) assert_int_equal(append(&l, 0), NX_OK);
    assert_int_equal(nx_wal_seal(&l, &seq, NULL), NX_OK);
    size_t n = (size_t)l.end;
    nx_wal_close(&l);
    for (size_t at = 0; at < n; at++) {
        sim_disk after;
        sim_crash(&after, &disk, 0);
        sim_node *node = after.now.v[sim_find(&after.now, "c/log-0000000000000001")].node;
        assert_int_equal(node->now_n, n);
        node->now[at] ^= (uint8_t)(1 << at % 8);
        nx_status st = open_log(&l, &after, 0, &s, &cut, &err);
        if (st) {
            assert_int_equal(st, NX_EFORMAT);
            assert_non_null(strstr(err.text, "log-0000000000000001"));
            n_refused++;
        } else {
            assert_int_equal(s.n, 6);
            assert_true(cut > 0);
        }
        nx_wal_close(&l);
        sim_free(&after);
    }
    assert_true(n_refused > (int)n - 45); /* all but the seal's 40 bytes */
    sim_free(&disk);
}

static void no_room_leaves_it_as_it_was(void **state)
{
    nx_wal   l;
    seen     s;
    uint64_t cut;
    nx_error err;

    (void)state;
    make_log(&l);
    assert_int_equal(append(&l, 0), NX_OK);
    disk.room = sim_used(&disk) + 60;
    uint64_t end = l.end;
    assert_int_equal(append(&l, 0), NX_EFULL);
    assert_int_equal(l.end, end);
    assert_int_equal(sim_used(&disk), end); /* the part that was written is gone again */
    disk.room = UINT64_MAX / 2;
    assert_int_equal(append(&l, 0), NX_OK);
    sim_fail_at(&disk, 0, true); /* the write, and the cut after it */
    assert_int_equal(append(&l, 0), NX_EIO);
    sim_fail_at(&disk, -1, false);
    assert_int_equal(append(&l, 0), NX_EIO); /* for good: the end is unclear */
    nx_wal_close(&l);
    assert_int_equal(open_log(&l, &disk, 0, &s, &cut, &err), NX_OK);
    assert_int_equal(s.n, 2);
    nx_wal_close(&l);
    sim_free(&disk);
}

/* A rotation that fails at any call leaves a log that goes on, and opens again. */
static void a_failed_rotation_is_no_harm(void **state)
{
    (void)state;
    for (int64_t n = 0; n < 6; n++) {
        nx_wal   l;
        seen     s;
        uint64_t cut, seq;
        nx_error err;
        make_log(&l);
        assert_int_equal(append(&l, 0), NX_OK);
        assert_int_equal(nx_wal_seal(&l, &seq, NULL), NX_OK);
        sim_fail_at(&disk, n, false);
        nx_status st = nx_wal_rotate(&l, &err);
        sim_fail_at(&disk, -1, false);
        if (n < 4) assert_int_equal(st, NX_EIO);
        assert_int_equal(append(&l, 2), NX_OK);
        assert_int_equal(nx_wal_sync(&l, NULL), NX_OK);
        for (uint64_t seed = 0; seed < 30; seed++) {
            sim_disk after;
            nx_wal   again;
            sim_crash(&after, &disk, seed);
            if (open_log(&again, &after, 0, &s, &cut, &err)) fail_msg("%s", err.text);
            assert_int_equal(s.n, 3);
            assert_int_equal(append(&again, 3), NX_OK);
            nx_wal_close(&again);
            assert_int_equal(open_log(&again, &after, 0, &s, &cut, &err), NX_OK);
            assert_int_equal(s.n, 4);
            nx_wal_close(&again);
            sim_free(&after);
        }
        nx_wal_close(&l);
        sim_free(&disk);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(records_come_back_in_order),
        cmocka_unit_test(a_crash_loses_only_what_was_not_synced),
        cmocka_unit_test(damage_is_never_taken_for_a_torn_tail),
        cmocka_unit_test(no_room_leaves_it_as_it_was),
        cmocka_unit_test(a_failed_rotation_is_no_harm),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
