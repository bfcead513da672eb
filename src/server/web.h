/* web.h - the files of web/, which the build puts into the program.
 *
 * Thread: any: nothing changes.
 */
#ifndef NX_SERVER_WEB_H
#define NX_SERVER_WEB_H

#include "base/buf.h"

/* The file that a path of the server stands for: "/docs" is docs.html, "/docs/docs.css" is docs.css.
 * bytes and type live as long as the program. false: there is none. */
bool nx_web_file(const char *path, nx_str *bytes, const char **type);

/* What cmake/embed.cmake writes; ends with a name of NULL. */
typedef struct nx_web_entry {
    const char          *name;
    const unsigned char *bytes;
    size_t               len;
} nx_web_entry;

extern const nx_web_entry nx_web_entries[];

#endif
