/* dispatch.h - what the HTTP server does with a request. */
#ifndef NX_SERVER_DISPATCH_H
#define NX_SERVER_DISPATCH_H

#include "server/call.h"

/* The hooks of a server that is set up but for its listeners. */
void nx_dispatch_hooks(nx_httpd_hooks *out, nx_server *s);

#endif
