/* address.c - which addresses are the public Internet (IANA's special-purpose registries, RFC 6890). */
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include "net/fetch.h"

typedef struct network {
    uint32_t address;
    int      bits;
} network;

static bool v4_is_public(uint32_t a)
{
    static const network reserved[] = {
        {0x00000000, 8},  /* this network, and "any address" */
        {0x0A000000, 8},  /* private */
        {0x64400000, 10}, /* carriers' (CGNAT) */
        {0x7F000000, 8},  /* this machine */
        {0xA9FE0000, 16}, /* the link's, and clouds' metadata */
        {0xAC100000, 12}, /* private */
        {0xC0000000, 24}, /* protocols' */
        {0xC0000200, 24}, /* examples */
        {0xC0586300, 24}, /* 6to4 relays */
        {0xC0A80000, 16}, /* private */
        {0xC6120000, 15}, /* benchmarks */
        {0xC6336400, 24}, /* examples */
        {0xCB007100, 24}, /* examples */
        {0xE0000000, 4},  /* multicast */
        {0xF0000000, 4},  /* reserved, and broadcast */
    };

    for (size_t i = 0; i < sizeof reserved / sizeof *reserved; i++)
        if ((a ^ reserved[i].address) >> (32 - reserved[i].bits) == 0) return false;
    return true;
}

static uint32_t word(const unsigned char *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static bool v6_is_public(const unsigned char a[16])
{
    static const unsigned char nat64[12] = {0, 0x64, 0xFF, 0x9B};

    if (memcmp(a, nat64, sizeof nat64) == 0) return v4_is_public(word(a + 12));
    if (a[0] >> 5 != 1) return false;                           /* not 2000::/3 */
    if (a[0] == 0x20 && a[1] == 0x01 && a[2] < 2) return false; /* 2001::/23: Teredo, protocols' */
    if (word(a) == 0x20010DB8) return false;                    /* examples */
    if (a[0] == 0x20 && a[1] == 0x02) return false;             /* 6to4 */
    return !(a[0] == 0x3F && a[1] == 0xFF && (a[2] & 0xF0) == 0); /* 3fff::/20: examples */
}

bool nx_address_is_public(const struct sockaddr *address)
{
    struct sockaddr_in  v4;
    struct sockaddr_in6 v6;

    if (address->sa_family == AF_INET) {
        memcpy(&v4, address, sizeof v4);
        return v4_is_public(ntohl(v4.sin_addr.s_addr));
    }
    if (address->sa_family != AF_INET6) return false;
    memcpy(&v6, address, sizeof v6);
    return v6_is_public(v6.sin6_addr.s6_addr);
}
