/* crc32c.h - the checksum of our own files: CRC-32C (Castagnoli, RFC 3720). Any thread. */
#ifndef NX_BASE_CRC32C_H
#define NX_BASE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* The checksum of n more bytes behind those that gave `crc`; begin with 0:
 * nx_crc32c(0, "123456789", 9) == 0xE3069283, and nx_crc32c(nx_crc32c(0, a), b) is that of ab. */
uint32_t nx_crc32c(uint32_t crc, const void *bytes, size_t n);

/* The same in plain C, for tests. */
uint32_t nx_crc32c_plain(uint32_t crc, const void *bytes, size_t n);

#endif
