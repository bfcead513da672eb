/* rights.h - what of the collections the one who asks may touch: collections, reading only, access tags.
 *
 * A key may be bound to collections (by their own names, not their aliases), to reading, and to access
 * tags: then it sees the points whose payload has one of its tags at `access_tags`, or has none there, and
 * changes and writes only those that have one. Every handler of a collection asks here first, and every plan, filter and
 * change goes through nx_rights_filter, so that there is one place that can forget it: none.
 *
 * Thread: the call's.
 */
#ifndef NX_SERVER_RIGHTS_H
#define NX_SERVER_RIGHTS_H

#include "server/call.h"
#include "store/filter.h"

#define NX_ACCESS_TAGS "access_tags" /* a text or an array of texts in a payload */

typedef enum nx_right {
    NX_RIGHT_READ,
    NX_RIGHT_WRITE,  /* points */
    NX_RIGHT_MANAGE, /* make, change, drop the collection itself; aliases, snapshots, indexes */
} nx_right;

/* May who asks do that to this collection? Says nothing to the client. */
bool nx_rights_allow(const nx_call *c, nx_str collection, nx_right right);

/* Is the key bound to tags? */
bool nx_rights_tagged(const nx_call *c);

/* own (NULL: all) and, where the key is bound to tags, its tags: what may be seen or changed. In the
 * call's arena. NX_ENOMEM. */
nx_status nx_rights_filter(nx_call *c, const nx_filter *own, const nx_filter **out, nx_error *err);

/* The same for what is to be changed or deleted: points without tags are everybody's to read, and not a
 * tagged key's to change. *out is NULL where anything may be. Of new points see nx_rights_payload. */
nx_status nx_rights_change_filter(nx_call *c, const nx_filter *own, const nx_filter **out,
                                  nx_error *err);

/* Does this payload stay within the key's tags? Of what a tagged key writes: it must have tags of the
 * key's at `access_tags`, and no others. NX_EINVAL says what it should have had. */
nx_status nx_rights_payload(const nx_call *c, nx_value payload, nx_error *err);

#endif
