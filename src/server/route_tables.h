/* route_tables.h - what the files of routes share: their groups, and tables that several name. */
#ifndef NX_SERVER_ROUTE_TABLES_H
#define NX_SERVER_ROUTE_TABLES_H

#include "server/handlers.h"

extern const nx_route_group nx_routes_llm;    /* routes_llm.c */
extern const nx_route_group nx_routes_openai; /* routes_openai.c */
extern const nx_route_group nx_routes_rag;    /* routes_rag.c */
extern const nx_route_group nx_routes_admin;  /* routes_admin.c */
extern const nx_route_group nx_routes_ops;    /* routes_ops.c */
extern const nx_route_group nx_routes_backup; /* routes_backup.c */

extern const nx_route_group nx_routes_documents; /* routes_documents.c */

extern const nx_route_group nx_routes_qdrant; /* routes_qdrant.c */
extern const nx_route_group nx_routes_qdrant_points;
extern const nx_route_group nx_routes_qdrant_query; /* routes_qdrant_query.c */

/* Of both files of Qdrant's routes: routes_qdrant.c. */
extern const nx_fields nx_qd_said_true, nx_qd_said_update, nx_qd_of_collection, nx_qd_query_write,
    nx_qd_query_read;

/* What stands around every answer of theirs. */
#define NX_QD_F_ENVELOPE                                                                           \
    NX_F_STRING("status", NULL, .required = true, .choices = "ok"),                                \
        NX_F_NUMBER("time", "Seconds.", .required = true, .range = NX_FROM(0))

#define NX_COUNT_OF(a) (sizeof(a) / sizeof(a)[0])

/* Ids and counts of tokens go into int32_t. */
#define NX_INT32_MAX 2147483647

#define NX_MESSAGES_MAX 4096 /* of one chat */
#define NX_PROMPTS_MAX  256  /* of one request */
#define NX_STOPS_MAX    16

#define NX_REPLIES(...) ((const nx_reply_doc[]){__VA_ARGS__, {0}})

/* A string, or a list of them. */
#define NX_STOP_CHOICES                                                                            \
    NX_LIST(NX_F_STRING(NULL, NULL, .range = NX_FROM(1)),                                          \
            NX_F_ARRAY(NULL, NULL, .range = NX_UP_TO(NX_STOPS_MAX),                                \
                       .of = NX_ONE(.kind = NX_FIELD_STRING, .range = NX_FROM(1))))

/* The same field in every body that a model answers. */
#define NX_F_MODEL                                                                                 \
    NX_F_STRING("model",                                                                           \
                "Which model answers, by its name in /v1/models. Absent: the default one.",        \
                .nullable = true)
#define NX_F_STOP                                                                                  \
    NX_F_ONE_OF("stop", "Texts that end the answer; they are not part of it.", .nullable = true,   \
                .of = NX_STOP_CHOICES)

#endif
