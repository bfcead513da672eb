/* random_blocks.h - random weights of any type, made in memory: models of a real shape to time.
 *
 * Every bit pattern that is written is a valid block with finite scales; over many blocks the
 * decoded numbers have mean 0 and a standard deviation within 3 % of the one asked for.
 */
#ifndef NX_NUM_RANDOM_BLOCKS_H
#define NX_NUM_RANDOM_BLOCKS_H

#include <stdint.h>

#include "num/dtype.h"

/* Ranges begin at multiples of this many numbers: cut work for threads here. */
#define NX_RANDOM_GRAIN 256

/* Write numbers begin .. begin + n - 1 of an endless random row to dst. The bytes of a number
 * depend on (type, std, seed, its place) only, so ranges filled by any threads in any order give
 * the same row.
 *   dst    room for nx_dtype_row_bytes(t, n); no alignment needed
 *   std    0.001 to 1000; smaller ones lose precision in f16 scales
 *   begin  a multiple of NX_RANDOM_GRAIN, >= 0
 *   n      a multiple of the type's block_len
 * Any thread. */
void nx_random_blocks_fill(void *dst, nx_dtype t, float std, uint64_t seed, int64_t begin,
                           int64_t n);

#endif
