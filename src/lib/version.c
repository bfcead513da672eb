/* version.c - which library is in use. */
#include "nexus/nexus.h"

const char *nx_version(void)
{
    return NX_VERSION;
}
