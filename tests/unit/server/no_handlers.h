/* no_handlers.h - handlers that do nothing, for tests of the tables that name them. Weak: where the
 * library's own are linked, those are taken. */
#ifndef NX_TESTS_SERVER_NO_HANDLERS_H
#define NX_TESTS_SERVER_NO_HANDLERS_H

#include "server/handlers.h"

#define X(name)                                                                                    \
    __attribute__((weak)) void nx_handle_##name(nx_call *c)                                        \
    {                                                                                              \
        (void)c;                                                                                   \
    }
NX_HANDLERS(X)
#undef X

#endif
