/* settings_file.h - the file `settings` of a collection: docs/formats/store.md.
 *
 * Thread: one at a time for one folder.
 */
#ifndef NX_STORE_SETTINGS_FILE_H
#define NX_STORE_SETTINGS_FILE_H

#include "os/disk.h"
#include "store/settings.h"

#define NX_SETTINGS_MAX ((size_t)64 << 20) /* bytes */

/* What dir/settings says; without the file: no indexes, no note, version 0. nx_settings_release.
 * NX_EFORMAT (damaged, or of another collection), NX_EIO, NX_ENOMEM. */
nx_status nx_settings_load(const nx_settings **out, nx_disk *disk, const char *dir,
                           uint64_t incarnation, nx_error *err);

/* Replace it: nx_whole_write. */
nx_status nx_settings_save(const nx_settings *s, nx_disk *disk, const char *dir,
                           uint64_t incarnation, bool *unclear, nx_error *err);

#endif
