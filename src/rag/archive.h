/* archive.h - the members of a zip file that is wholly in memory: office files and books are such.
 *
 * Idea:   opening lists the members; one is unpacked when it is asked for. Members in the order of the file cost
 *         one pass, whoever goes back begins anew.
 * Trust:  names are only compared, never given to the file system. What is unpacked is counted: beyond 1 MiB, more
 *         than limits->ratio times the file is a bomb; no member is over limits->text_bytes, and there are at most
 *         limits->members.
 * Owns:   the list; bytes are borrowed until nx_archive_close.
 * Thread: one at a time.
 */
#ifndef NX_RAG_ARCHIVE_H
#define NX_RAG_ARCHIVE_H

#include "rag/watch.h"

typedef struct nx_archive nx_archive;

/* NX_EFORMAT (no zip, damaged), NX_EUNSUPPORTED (encrypted), NX_ELIMIT, NX_ECANCELLED, NX_ENOMEM. */
nx_status nx_archive_open(nx_archive **out, nx_str bytes, const nx_extract_limits *limits,
                          nx_watch *watch, nx_error *err);
void      nx_archive_close(nx_archive *a); /* NULL does nothing */

bool nx_archive_has(const nx_archive *a, nx_str name);

/* The whole member into out (cleared; its ceiling is set). NX_ENOENT: no such member; else as nx_archive_open. */
nx_status nx_archive_read(nx_archive *a, nx_buf *out, nx_str name, nx_error *err);

/* Where target, as written in the member `from`, leads: "../media/a.xml" from "ppt/slides/b.xml" is
 * "ppt/media/a.xml". "/x" is "x"; %20 and the like are undone where url says so, a #fragment is cut. A path that
 * leads out of the archive stops at its root. NX_ENOMEM, NX_ELIMIT. */
nx_status nx_archive_resolve(nx_buf *out, nx_str from, nx_str target, bool url, nx_error *err);

#endif
