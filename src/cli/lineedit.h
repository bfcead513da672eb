/* lineedit.h - the lines that a person types, or that a pipe brings.
 *
 * On a terminal: libedit's editing (Emacs keys), and a history kept in
 * $XDG_STATE_HOME/nexus/history (else ~/.local/state/nexus/history), readable by its owner only.
 * From a pipe: plain lines, no prompt.
 * A line that ends in a backslash continues on the next one; the backslash becomes the newline.
 * Thread: main thread only.
 */
#ifndef NX_CLI_LINEEDIT_H
#define NX_CLI_LINEEDIT_H

#include "base/buf.h"

typedef struct nx_lineedit nx_lineedit;

typedef enum nx_line {
    NX_LINE_TEXT,    /* out holds it, without its newline */
    NX_LINE_DROPPED, /* Ctrl-C: what was typed is gone */
    NX_LINE_END,     /* Ctrl-D, or the pipe's end */
    NX_LINE_FAILED,  /* err says why */
} nx_line;

/* NX_ENOMEM. A history that can't be read or written is no error: there is just none. */
nx_status nx_lineedit_open(nx_lineedit **out, bool history, nx_error *err);
void      nx_lineedit_close(nx_lineedit *e);

bool nx_lineedit_interactive(const nx_lineedit *e); /* a person types, and sees what we print */

/* Show prompt (borrowed for the call) and read one line into out, which is cleared first. */
nx_line nx_lineedit_read(nx_lineedit *e, const char *prompt, nx_buf *out, nx_error *err);

#endif
