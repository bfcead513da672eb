/* routes_backup.c - the routes of files: collections and the whole instance. handle_backup.c. */
#include "server/route_tables.h"

#define F_COUNT(name, about_) NX_F_INT(name, about_, .required = true, .range = NX_FROM(0))
#define F_PATH(about_)        NX_F_STRING("path", about_, .required = true, .range = NX_FROM(1))
#define F_COLLECTION                                                                               \
    NX_F_STRING("collection", "Its name, or an alias of it.", .required = true, .range = NX_FROM(1))

static const nx_fields to_file =
    NX_FIELDS("CollectionToFile", F_COLLECTION, F_PATH("Absolute, on the server's machine."));

static const nx_fields written =
    NX_FIELDS("CollectionFile", F_PATH(NULL), F_COUNT("bytes", NULL), F_COUNT("points", NULL),
              NX_F_STRING("sha256", "Of the whole file.", .required = true));

static const nx_fields from_file = NX_FIELDS(
    "CollectionFromFile",
    NX_F_STRING("collection", "The name that it gets.", .required = true, .range = NX_FROM(1)),
    F_PATH("Absolute, on the server's machine."),
    NX_F_BOOL("replace", "In place of the one of that name, in one step.", .preset = "false"));

static const nx_fields one_name = NX_FIELDS("CollectionNamed", F_COLLECTION);

static const nx_fields restored = NX_FIELDS("CollectionRestored", F_COLLECTION);

static const nx_fields backup = NX_FIELDS("Backup", F_PATH("Absolute, on the server's machine."));

static const nx_fields backed_up =
    NX_FIELDS("BackupFile", F_PATH(NULL), F_COUNT("bytes", NULL), F_COUNT("collections", NULL),
              F_COUNT("points", NULL),
              F_COUNT("left_out", "Collections in quarantine: what they hold can't be read."),
              NX_F_STRING("first_left_out", "The first one's name, and why."));

static const nx_fields state =
    NX_FIELDS("BackupState", NX_F_BOOL("running", NULL, .required = true),
              F_COUNT("done", "Bytes of the file that is written or read."),
              F_COUNT("total", "About how many it has; 0: not known yet."));

#define SAID_STATE(example_)                                                                       \
    NX_REPLIES({.status = 200, .about = "How far it is.", .body = &state, .example = example_})

static const nx_route routes[] = {
    {
        .method = "POST",
        .path = "/admin/collections/export",
        .scope = NX_SCOPE_ADMIN,
        .dialect = NX_DIALECT_PLAIN,
        .summary = "A collection into a file",
        .about = "Through the control socket only. Others read and write meanwhile.",
        .request = &to_file,
        .example = "{\"collection\": \"handbook\", \"path\": \"/backup/handbook.snapshot\"}",
        .replies = NX_REPLIES({.status = 200,
                               .about = "It is on the disk.",
                               .body = &written,
                               .example = "{\"path\": \"/backup/handbook.snapshot\", \"bytes\": "
                                          "1832, \"points\": 12, \"sha256\": \"9f86d0818...\"}"},
                              {.status = 409, .about = "Another file is being written or read."}),
        .handle = nx_handle_admin_export,
    },
    {
        .method = "POST",
        .path = "/admin/collections/import",
        .scope = NX_SCOPE_ADMIN,
        .dialect = NX_DIALECT_PLAIN,
        .summary = "A collection from a file",
        .about = "Through the control socket only. Every byte is checked before anything changes.",
        .request = &from_file,
        .example = "{\"collection\": \"handbook\", \"path\": \"/backup/handbook.snapshot\"}",
        .replies = NX_REPLIES({.status = 200,
                               .about = "It serves.",
                               .body = &restored,
                               .example = "{\"collection\": \"handbook\"}"},
                              {.status = 409, .about = "Another file is being written or read."}),
        .handle = nx_handle_admin_import,
    },
    {
        .method = "POST",
        .path = "/admin/collections/check",
        .scope = NX_SCOPE_ADMIN,
        .dialect = NX_DIALECT_PLAIN,
        .summary = "Read every byte of a collection",
        .about = "Through the control socket only. Damage quarantines it; what is derived is made "
                 "anew.",
        .request = &one_name,
        .example = "{\"collection\": \"handbook\"}",
        .replies = NX_REPLIES({.status = 200,
                               .about = "Every byte has its checksum.",
                               .body = &restored,
                               .example = "{\"collection\": \"handbook\"}"}),
        .handle = nx_handle_admin_check,
    },
    {
        .method = "POST",
        .path = "/admin/collections/reopen",
        .scope = NX_SCOPE_ADMIN,
        .dialect = NX_DIALECT_PLAIN,
        .summary = "Open a collection anew that is quarantined or read-only",
        .about = "Through the control socket only.",
        .request = &one_name,
        .example = "{\"collection\": \"handbook\"}",
        .replies = NX_REPLIES({.status = 200,
                               .about = "It serves.",
                               .body = &restored,
                               .example = "{\"collection\": \"handbook\"}"}),
        .handle = nx_handle_admin_reopen,
    },
    {
        .method = "POST",
        .path = "/admin/backup",
        .scope = NX_SCOPE_ADMIN,
        .dialect = NX_DIALECT_PLAIN,
        .summary = "The whole instance into a file",
        .about = "Through the control socket only: collections, aliases, keys and usage.",
        .request = &backup,
        .example = "{\"path\": \"/backup/monday.nexus\"}",
        .replies = NX_REPLIES({.status = 200,
                               .about = "It is on the disk.",
                               .body = &backed_up,
                               .example = "{\"path\": \"/backup/monday.nexus\", \"bytes\": 91832, "
                                          "\"collections\": 2, \"points\": 40, \"left_out\": 0}"},
                              {.status = 409, .about = "Another file is being written or read."}),
        .handle = nx_handle_admin_backup,
    },
    {
        .method = "GET",
        .path = "/admin/backup",
        .scope = NX_SCOPE_ADMIN,
        .dialect = NX_DIALECT_PLAIN,
        .summary = "How far a backup, a snapshot or a restore is",
        .replies = SAID_STATE("{\"running\": true, \"done\": 1048576, \"total\": 91832000}"),
        .handle = nx_handle_admin_backup_state,
    },
    {
        .method = "DELETE",
        .path = "/admin/backup",
        .scope = NX_SCOPE_ADMIN,
        .dialect = NX_DIALECT_PLAIN,
        .summary = "Stop it",
        .about = "It leaves no file, and changes nothing.",
        .replies = SAID_STATE("{\"running\": true, \"done\": 1048576, \"total\": 91832000}"),
        .handle = nx_handle_admin_backup_stop,
    },
};

const nx_route_group nx_routes_backup = {
    .tag = "Backup",
    .about = "Files of this machine, for its owner: what nexus backup and nexus collection ask.",
    .routes = routes,
    .n = NX_COUNT_OF(routes),
};
