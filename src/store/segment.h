/* segment.h - an immutable segment: a mapped file of rows in order of their ids, and the stamps of
 * those that died since.
 *
 * Owns:   the mapping, the stamps, which pieces were checked; counted references.
 * Thread: any that holds a reference; stamps are set by the writer. No lock: a piece that two
 *         threads check at once is checked twice.
 * Errors: NX_EFORMAT for damage, NX_EIO for a page that the disk can't give: both name the file
 *         and byte. Damage in derived sections is no error: they are made anew.
 */
#ifndef NX_STORE_SEGMENT_H
#define NX_STORE_SEGMENT_H

#include <stdatomic.h>

#include "os/disk.h"
#include "store/block.h"

enum {
    NX_SEG_HEAD = 8192,
    NX_SEG_PIECE = 65536,
    NX_SEG_ALIGN = 4096,
    NX_SEG_SECTIONS_MAX = 200,
};

typedef enum nx_section_kind {
    NX_SECTION_IDS = 1,
    NX_SECTION_PLACES,
    NX_SECTION_ROWS,
    NX_SECTION_DENSE,
    NX_SECTION_PRESENT,
    NX_SECTION_CODES,    /* derived */
    NX_SECTION_SCALES,   /* derived */
    NX_SECTION_POSTINGS, /* derived, of sparse slots: postings.h */
} nx_section_kind;

typedef struct nx_section {
    uint32_t kind, slot;
    uint64_t at, bytes;
    uint32_t width; /* codes: of a row */
    uint32_t zero;
    uint64_t zero2;
} nx_section;

typedef struct nx_seg_head {
    char       magic[8];
    uint64_t   incarnation, number, bytes, n_rows, n_numbers, table_at;
    uint32_t   n_sections, zero, table_crc, head_crc;
    nx_section sections[NX_SEG_SECTIONS_MAX];
} nx_seg_head;

_Static_assert(sizeof(nx_section) == 40 && sizeof(nx_seg_head) <= NX_SEG_HEAD,
               "the head of a segment is drawn in docs/formats/store.md");
_Static_assert(3 + 4 * NX_SLOTS_MAX <= NX_SEG_SECTIONS_MAX, "every slot has its sections");

/* The codes of one dense slot: i8 [n_rows, width], f32 [n_rows, 2]. */
typedef struct nx_codes {
    const int8_t *codes;
    const float  *scales;
    uint32_t      width;
} nx_codes;

typedef struct nx_seg {
    atomic_int        refs;
    nx_disk          *disk;
    char             *path;
    const nx_config  *config; /* the collection's: outlives the segment */
    nx_disk_map       map;
    nx_seg_head       head; /* a copy */
    uint32_t         *crcs; /* of the pieces; a copy */
    size_t            n_pieces;
    _Atomic uint64_t *checked; /* a bit for each piece */
    _Atomic uint64_t *deaths;  /* [n_rows]; 0: lives */
    _Atomic uint64_t  n_dead;
    const nx_section *dense[NX_SLOTS_MAX], *present[NX_SLOTS_MAX], *codes[NX_SLOTS_MAX],
        *scales[NX_SLOTS_MAX], *ids, *places, *rows;
    const nx_section                 *postings[NX_SLOTS_MAX];
    _Atomic(struct nx_seg_postings *) lists[NX_SLOTS_MAX]; /* postings_seg.h */
    _Atomic(struct nx_index *)        indexes;             /* of payloads: index.h */
    atomic_bool                       indexing;            /* somebody makes one */
    _Atomic(nx_codes *) made[NX_SLOTS_MAX]; /* codes made anew, where the file's are damaged */
} nx_seg;

/* Open the file at path. Everything but its head and its table of checksums is left for later.
 * NX_EFORMAT, NX_ENOENT, NX_EIO, NX_ENOMEM. config outlives it. */
nx_status nx_seg_open(nx_seg **out, nx_disk *disk, const char *path, const nx_config *config,
                      uint64_t incarnation, uint64_t number, nx_error *err);
void      nx_seg_retain(nx_seg *s);
void      nx_seg_release(nx_seg *s); /* NULL does nothing */

/* Where `at` lies, with `bytes` from there on checked. What the pointer gives may still be SIGBUS:
 * read it inside of nx_fault_run. */
nx_status nx_seg_need(nx_seg *s, uint64_t at, uint64_t bytes, const void **out, nx_error *err);

/* Check these bytes anew when they are next needed. */
void nx_seg_forget(nx_seg *s, uint64_t at, uint64_t bytes);

/* As nx_seg_need, copied: no SIGBUS afterwards. */
nx_status nx_seg_copy(nx_seg *s, void *out, uint64_t at, uint64_t bytes, nx_error *err);

nx_status nx_seg_id(nx_seg *s, nx_point_id *out, uint64_t row, nx_error *err);

/* The first row whose id is not before `id`; n_rows when all are. *same: it has that id. */
nx_status nx_seg_lower_bound(nx_seg *s, uint64_t *row, bool *same, nx_point_id id, nx_error *err);

/* Append the row's block without its dense vectors, as the file has it, or whole. 8-aligned within
 * out. */
nx_status nx_seg_row_bare(nx_seg *s, nx_buf *out, uint64_t row, nx_error *err);
nx_status nx_seg_row(nx_seg *s, nx_buf *out, uint64_t row, nx_error *err);

/* Is the dense vector of that slot there? */
nx_status nx_seg_has_dense(nx_seg *s, bool *out, int32_t slot, uint64_t row, nx_error *err);

/* That vector [dim] of a segment that has the section, widened where it is kept in halves. */
nx_status nx_seg_dense(nx_seg *s, float *out, int32_t slot, uint64_t row, nx_error *err);

/* The codes of a slot, checked, or made anew; NULL where the segment has none. They live as long
 * as the segment does; in the file they may be SIGBUS. */
nx_status nx_seg_codes(nx_seg *s, nx_codes *out, bool *has, int32_t slot, nx_error *err);

/* The same of a segment that has codes, of which only rows [from, from + n) are looked at. */
nx_status nx_seg_codes_of(nx_seg *s, nx_codes *out, int32_t slot, uint64_t from, uint64_t n,
                          nx_error *err);

static inline uint64_t nx_seg_death(const nx_seg *s, uint64_t row)
{
    return atomic_load_explicit(&s->deaths[row], memory_order_acquire);
}

void nx_seg_kill(nx_seg *s, uint64_t row, uint64_t seq);

#endif
