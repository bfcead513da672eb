/* folder_name.h - a collection's name, and the folder that bears it: every byte but A-Z a-z 0-9 _ -
 * is written as %XX, so that no name is a path, and no folder of another kind (they have a dot) is a
 * collection's.
 */
#ifndef NX_STORE_FOLDER_NAME_H
#define NX_STORE_FOLDER_NAME_H

#include "base/buf.h"

enum { NX_FOLDER_MAX = 240 };

/* out[NX_FOLDER_MAX + 1]. NX_EINVAL: that is no name. */
nx_status nx_folder_of(char *out, nx_str name, nx_error *err);

/* The name that gives this folder: out[NX_FOLDER_MAX + 1]. False: none does. */
bool nx_folder_name(char *out, const char *folder);

#endif
