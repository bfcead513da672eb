/* crc32c.c - with the processor's own instruction where it has one, else by a table of nibbles.
 *
 * The instruction gives 8 bytes every 3 cycles, since each waits for the one before: some 8 GB/s.
 * Three streams side by side would be faster, and more to read; files are checked once, as they
 * come from the disk.
 */
#include "base/crc32c.h"

#include <string.h>

/* table[i]: the nibble i through four steps of the reflected polynomial 0x82F63B78. */
static const uint32_t table[16] = {
    0x00000000, 0x105EC76F, 0x20BD8EDE, 0x30E349B1, 0x417B1DBC, 0x5125DAD3, 0x61C69362, 0x7198540D,
    0x82F63B78, 0x92A8FC17, 0xA24BB5A6, 0xB21572C9, 0xC38D26C4, 0xD3D3E1AB, 0xE330A81A, 0xF36E6F75,
};

uint32_t nx_crc32c_plain(uint32_t crc, const void *bytes, size_t n)
{
    const unsigned char *p = bytes;

    crc = ~crc;
    for (size_t i = 0; i < n; i++) {
        crc ^= p[i];
        crc = table[crc & 15] ^ (crc >> 4);
        crc = table[crc & 15] ^ (crc >> 4);
    }
    return ~crc;
}

#if defined(__x86_64__)

__attribute__((target("sse4.2"))) static uint32_t by_instruction(uint32_t crc, const void *bytes,
                                                                 size_t n)
{
    const unsigned char *p = bytes;
    uint64_t             c = (uint32_t)~crc;

    for (; n >= 8; n -= 8, p += 8) {
        uint64_t x;
        memcpy(&x, p, 8);
        c = __builtin_ia32_crc32di(c, x);
    }
    for (; n > 0; n--) c = __builtin_ia32_crc32qi((uint32_t)c, *p++);
    return ~(uint32_t)c;
}

uint32_t nx_crc32c(uint32_t crc, const void *bytes, size_t n)
{
    if (__builtin_cpu_supports("sse4.2")) return by_instruction(crc, bytes, n);
    return nx_crc32c_plain(crc, bytes, n);
}

#else

uint32_t nx_crc32c(uint32_t crc, const void *bytes, size_t n)
{
    return nx_crc32c_plain(crc, bytes, n);
}

#endif
