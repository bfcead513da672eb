/* fault.c - a jump out of SIGBUS, for each thread its own. */
#include "os/fault.h"

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stddef.h>

static _Thread_local sigjmp_buf *volatile way_out; /* of the innermost nx_fault_run; NULL outside */

static struct sigaction before;

static void on_sigbus(int sig, siginfo_t *info, void *context)
{
    if (way_out) siglongjmp(*way_out, 1);
    if (before.sa_flags & SA_SIGINFO) {
        before.sa_sigaction(sig, info, context);
    } else if (before.sa_handler != SIG_DFL && before.sa_handler != SIG_IGN) {
        before.sa_handler(sig);
    } else {
        signal(sig, SIG_DFL); /* the faulting instruction runs again, and ends the program */
    }
}

/* SA_NODEFER: the jump leaves the handler, and a second fault must come through as well. */
static void install(void)
{
    struct sigaction a = {.sa_sigaction = on_sigbus, .sa_flags = SA_SIGINFO | SA_NODEFER};

    sigemptyset(&a.sa_mask);
    sigaction(SIGBUS, &a, &before);
}

bool nx_fault_run(void (*fn)(void *ctx), void *ctx)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    sigjmp_buf *volatile outer = way_out;
    sigjmp_buf here;

    pthread_once(&once, install);
    if (sigsetjmp(here, 0) != 0) {
        way_out = outer;
        return false;
    }
    way_out = &here;
    fn(ctx);
    way_out = outer;
    return true;
}
