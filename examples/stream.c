/* stream.c - load a model, continue a prompt, print the text as it comes.
 *
 *     cc -o stream stream.c $(pkg-config --cflags --libs nexus)
 *     ./stream model.gguf "Once upon a time"
 */
#include <nexus/nexus.h>
#include <stdio.h>

static int on_text(void *ctx, const char *text, size_t len)
{
    (void)ctx;
    return fwrite(text, 1, len, stdout) != len || fflush(stdout) != 0; /* not 0: stop */
}

int main(int argc, char **argv)
{
    nx_engine          *engine = NULL;
    nx_session         *session = NULL;
    nx_generate_options opt;
    nx_error            err;

    if (argc != 3) {
        fprintf(stderr, "usage: %s MODEL PROMPT\n", argv[0]);
        return 2;
    }
    nx_generate_options_default(&opt);
    opt.n_predict = 48;
    opt.temperature = 0; /* greedy: the same text every time */
    nx_status st = nx_engine_open(&engine, argv[1], NULL, &err);
    if (!st) st = nx_session_create(&session, engine, NULL, &err);
    if (!st) st = nx_session_generate(session, argv[2], &opt, on_text, NULL, NULL, &err);
    putchar('\n');
    if (st) fprintf(stderr, "%s: %s\n", nx_status_text(st), err.text);
    nx_session_destroy(session);
    nx_engine_close(engine);
    return st ? 1 : 0;
}
