/* main.c - the program's door: the only place that ends the process. */
#include <stdio.h>

#include "nexus/nexus.h"

int main(void)
{
    printf("nexus %s\n", NX_VERSION);
    return 0;
}
