/* record.h - numbers and texts one behind the other: read with every length checked, and written;
 * and the frame of a small file: magic, length, checksum.
 *
 *     nx_record r = {bytes, n, false};
 *     uint32_t  n_items = nx_record_u32(&r);
 *     nx_str    name = nx_record_text(&r);
 *     if (nx_record_bad(&r)) ... cut, or too long
 *
 * After the first fault every read gives zeros, so that one question at the end is enough; whoever
 * counts by what was read asks r.bad before.
 * Thread: one at a time.
 */
#ifndef NX_STORE_RECORD_H
#define NX_STORE_RECORD_H

#include <stdint.h>

#include "base/buf.h"

typedef struct nx_record {
    const uint8_t *p;
    size_t         left;
    bool           bad;
} nx_record;

uint8_t  nx_record_u8(nx_record *r);
uint16_t nx_record_u16(nx_record *r);
uint32_t nx_record_u32(nx_record *r);
uint64_t nx_record_u64(nx_record *r);
nx_str   nx_record_text(nx_record *r); /* u32 bytes, then the text: a view */

/* A fault, or something is left. */
static inline bool nx_record_bad(const nx_record *r)
{
    return r->bad || r->left > 0;
}

/* Append a text in that form. NX_ENOMEM, NX_ELIMIT. */
nx_status nx_record_add_text(nx_buf *out, nx_str s, nx_error *err);

/* ---- A file in a frame: magic [8], u64 bytes of the file, content, zeros up to a multiple of 8,
 *      u64 checksum of all before it ---- */

enum { NX_FRAME_HEAD = 16, NX_FRAME_TAIL = 8 };

nx_status nx_frame_begin(nx_buf *b, const char magic[8], nx_error *err); /* b is empty */
nx_status nx_frame_end(nx_buf *b, nx_error *err);

/* Is it whole? The content (with its zeros) lies from NX_FRAME_HEAD to n - NX_FRAME_TAIL.
 * NX_EFORMAT; name: for the message. */
nx_status nx_frame_check(const void *bytes, size_t n, const char magic[8], const char *name,
                         nx_error *err);

#endif
