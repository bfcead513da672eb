/* cmd_backup.c - `nexus backup` and `nexus restore`: a whole instance into one file, and back. */
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/instance.h"
#include "lib/backends.h"
#include "server/backup.h"

#define OPT_DATA(data_)                                                                            \
    NX_OPT("data", 0, NX_OPT_TEXT, &(data_), "DIR",                                                \
           "the server's data folder; default: $XDG_DATA_HOME/nexus, else ~/.local/share/nexus",   \
           .env = true)

/* ---- Out ---- */

static nx_status back_up(nx_instance *i, const char *file, nx_said *said, nx_error *err)
{
    char      path[4096];
    nx_jw     w = {.buf.max = 1 << 16};
    nx_status st = nx_absolute_path(path, sizeof path, file, err);

    if (st) return st;
    nx_jw_open(&w, NULL, '{');
    nx_jw_text(&w, "path", path);
    nx_jw_close(&w, '}');
    return nx_instance_copy(i, "backing up", "/admin/backup", &w, said, err);
}

static int tell_backup(const nx_said *said, const char *file)
{
    int64_t n_bytes = 0, collections = 0, points = 0, left_out = 0;
    char    bytes[32];
    nx_str  first = {"", 0};

    (void)nx_json_get_int(said->doc.root, "bytes", &n_bytes);
    (void)nx_json_get_int(said->doc.root, "collections", &collections);
    (void)nx_json_get_int(said->doc.root, "points", &points);
    (void)nx_json_get_int(said->doc.root, "left_out", &left_out);
    (void)nx_json_get_string(said->doc.root, "first_left_out", &first);
    nx_format_bytes(bytes, sizeof bytes, (uint64_t)n_bytes);
    nx_log_info("wrote %s: %lld collections with %lld points, keys and usage; %s", file,
                (long long)collections, (long long)points, bytes);
    if (!left_out) return NX_CLI_DONE;
    nx_log_error("left out, since they can't be read: %lld; the first is %.*s", (long long)left_out,
                 (int)first.len, first.p);
    return NX_CLI_FAILED;
}

int nx_cmd_backup(int argc, char **argv)
{
    const char  *data = NULL;
    bool         json = false;
    const nx_opt opts[] = {
        OPT_DATA(data),
        NX_OPT("json", 0, NX_OPT_FLAG, &json, NULL, "print JSON"),
        NX_OPT_END,
    };
    const nx_usage usage = {
        .command = "backup",
        .synopsis = "FILE",
        .about =
            "Write everything that can't be made anew into one file, while the server serves:\n"
            "every collection as it is at one moment, aliases, keys and usage, and the secret\n"
            "that keys are hashed with. So keep the file as safe as the keys; it is made\n"
            "readable for you alone. Each part has a checksum. Models aren't in it: nexus pull\n"
            "fetches them. nexus restore makes a data folder from it.",
        .examples = "  nexus backup /backup/$(date +%F).nexus",
        .options = opts,
        .n_args_min = 1,
        .n_args_max = 1,
        .args_missing = "no FILE given",
    };
    nx_instance i;
    nx_said     said = {0};
    nx_args     args;
    nx_error    err;
    int         code = nx_opt_parse(&usage, &args, argc, argv);

    if (code != NX_CLI_GO) return code;
    nx_status st = nx_instance_open(&i, data, &err);
    if (!st) st = back_up(&i, args.v[0], &said, &err);
    nx_instance_close(&i);
    if (st)
        code = atomic_load(&nx_cli_cancel) ? NX_CLI_INTERRUPTED : nx_cli_fail(&err);
    else
        code = tell_backup(&said, args.v[0]);
    if (!st && json) {
        nx_out_write(said.text.data, said.text.len);
        nx_out_printf("\n");
        (void)nx_out_finish();
    }
    nx_said_free(&said);
    return code;
}

/* ---- Back ---- */

static bool show(void *ctx, uint64_t done, uint64_t total)
{
    nx_progress_at(ctx, (int64_t)done, (int64_t)total);
    return !atomic_load(&nx_cli_cancel);
}

static nx_status restore(const char *data, const char *file, bool force, bool check_only,
                         nx_backup_report *r, nx_error *err)
{
    const nx_distance_ops *distances;
    nx_datadir             dir = {.lock_fd = -1};
    nx_progress            bar;

    nx_status st = nx_backends_distances(&distances, err);
    nx_progress_begin(&bar, check_only ? "checking" : "restoring", "B");
    nx_cli_catch_interrupt();
    if (!st && check_only) {
        st = nx_backup_check(file, show, &bar, r, err);
    } else if (!st) {
        st = nx_datadir_open(&dir, data, err);
        if (!st) st = nx_backup_restore(&dir, file, force, distances, show, &bar, r, err);
        nx_datadir_close(&dir);
    }
    nx_cli_release_interrupt();
    nx_progress_end(&bar);
    return st;
}

int nx_cmd_restore(int argc, char **argv)
{
    const char  *data = NULL;
    bool         force = false, check = false;
    const nx_opt opts[] = {
        NX_OPT("check", 0, NX_OPT_FLAG, &check, NULL,
               "only read the file and compare it with its checksums"),
        NX_OPT("force", 0, NX_OPT_FLAG, &force, NULL,
               "though the folder isn't empty: what is there goes into DIR/before-restore"),
        OPT_DATA(data),
        NX_OPT_END,
    };
    const nx_usage usage = {
        .command = "restore",
        .synopsis = "[--check] [--force] FILE",
        .about = "Make a data folder from a file that nexus backup wrote. No server may run over\n"
                 "it. Every byte of the file is checked before anything changes, and the folder\n"
                 "must be empty, unless --force is given.",
        .examples = "  nexus restore --check /backup/2027-01-31.nexus\n"
                    "  nexus restore --data /srv/nexus /backup/2027-01-31.nexus",
        .options = opts,
        .n_args_min = 1,
        .n_args_max = 1,
        .args_missing = "no FILE given",
    };
    nx_backup_report r = {0};
    nx_args          args;
    nx_error         err;
    int              code = nx_opt_parse(&usage, &args, argc, argv);

    if (code != NX_CLI_GO) return code;
    nx_status st = restore(data, args.v[0], force, check, &r, &err);
    if (st == NX_ECANCELLED) return NX_CLI_INTERRUPTED;
    if (st) return nx_cli_fail(&err);
    nx_log_info("%s: %llu collections %s", args.v[0], (unsigned long long)r.n_collections,
                check ? "and all else, every byte as it was written" : "are restored");
    return NX_CLI_DONE;
}
