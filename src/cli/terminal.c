/* terminal.c - what stands at the other end: a person or a pipe; and Ctrl-C. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "cli/cli.h"

atomic_bool nx_cli_cancel;

const nx_terminal *nx_terminal_get(void)
{
    static nx_terminal t;
    static bool        known;

    if (known) return &t;
    const char *term = getenv("TERM");
    const char *no_colour = getenv("NO_COLOR");
    const bool  dumb = !term || !*term || strcmp(term, "dumb") == 0;
    const bool  plain = dumb || (no_colour && *no_colour);

    t.in = isatty(0);
    t.out = isatty(1);
    t.err = isatty(2);
    t.out_colour = t.out && !plain;
    t.err_colour = t.err && !plain;
    t.err_redraw = t.err && !dumb;
    known = true;
    return &t;
}

int nx_terminal_width(int fd)
{
    struct winsize w;

    if (ioctl(fd, TIOCGWINSZ, &w) == 0 && w.ws_col >= 20) return w.ws_col;
    return 80;
}

static void on_interrupt(int signal_number)
{
    (void)signal_number;
    atomic_store_explicit(&nx_cli_cancel, true, memory_order_relaxed);
}

void nx_cli_catch_interrupt(void)
{
    /* SA_RESETHAND: the second Ctrl-C finds the default action and kills. */
    struct sigaction a = {.sa_handler = on_interrupt, .sa_flags = (int)SA_RESETHAND};

    atomic_store(&nx_cli_cancel, false);
    sigemptyset(&a.sa_mask);
    sigaction(SIGINT, &a, NULL);
}

void nx_cli_release_interrupt(void)
{
    signal(SIGINT, SIG_DFL);
}
