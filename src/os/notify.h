/* notify.h - tells the service manager (systemd) how the program is: sd_notify(3), by hand.
 *
 * The manager hands a socket's name over in $NOTIFY_SOCKET; each message is one datagram of lines
 * KEY=VALUE. Without the variable nobody listens, and every call is NX_OK.
 *
 *     nx_notify("READY=1", "serving nexus-mini on 127.0.0.1:8000", NULL);
 *     nx_notify("STOPPING=1", "waiting for 3 requests", NULL);
 *     nx_notify(NULL, "2 requests left", NULL);
 *
 * Thread: any that doesn't change the environment at the same time.
 */
#ifndef NX_OS_NOTIFY_H
#define NX_OS_NOTIFY_H

#include "base/error.h"

/* Send state (a line "KEY=VALUE", or NULL) and status (a sentence for `systemctl status`, or NULL;
 * line breaks become blanks, and it is cut at 512 bytes). Waits at most a second for the manager.
 * NX_EINVAL: a socket's name that can't be one; NX_EIO: nobody takes the message. Neither is a
 * reason to stop serving. */
nx_status nx_notify(const char *state, const char *status, nx_error *err);

#endif
