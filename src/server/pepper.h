/* pepper.h - the secret that hashes of keys are mixed with, in a file of its own: whoever steals only
 * the database can't even try keys against it.
 *
 * The file is exactly NX_PEPPER_BYTES random bytes. Thread: one at a time.
 */
#ifndef NX_SERVER_PEPPER_H
#define NX_SERVER_PEPPER_H

#include <stdbool.h>

#include "base/error.h"

#define NX_PEPPER_BYTES 32

/* Read the file at path; make it (0600, whole or not at all) where there is none and may_make allows
 * it. NX_ENOENT: there is none, and it may not be made. NX_EFORMAT: not of the right size; it is left
 * as it is. NX_EIO. Whoever calls holds the data folder. */
nx_status nx_pepper_load(unsigned char out[NX_PEPPER_BYTES], const char *path, bool may_make,
                         nx_error *err);

#endif
