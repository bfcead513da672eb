/* handlers.h - what the table of routes calls, by name. A handler finds its fields checked; it runs on
 * an I/O thread and must not block. */
#ifndef NX_SERVER_HANDLERS_H
#define NX_SERVER_HANDLERS_H

#include "server/route.h"

#define NX_HANDLERS(X)                                                                             \
    X(llm_generate)                                                                                \
    X(llm_chat)                                                                                    \
    X(llm_batch_generate)                                                                          \
    X(llm_model_info)                                                                              \
    X(llm_health)                                                                                  \
    X(v1_models)                                                                                   \
    X(v1_model)                                                                                    \
    X(v1_chat_completions)                                                                         \
    X(v1_completions)                                                                              \
    X(v1_embeddings)                                                                               \
    X(v1_rerank)                                                                                   \
    X(v1_tokenize)                                                                                 \
    X(v1_detokenize)                                                                               \
    X(qd_collections)                                                                              \
    X(qd_collection_exists)                                                                        \
    X(qd_collection)                                                                               \
    X(qd_collection_create)                                                                        \
    X(qd_collection_drop)                                                                          \
    X(qd_collection_patch)                                                                         \
    X(qd_aliases_change)                                                                           \
    X(qd_aliases)                                                                                  \
    X(qd_collection_aliases)                                                                       \
    X(qd_index_create)                                                                             \
    X(qd_index_drop)                                                                               \
    X(qd_snapshots)                                                                                \
    X(qd_snapshot_create)                                                                          \
    X(qd_snapshot)                                                                                 \
    X(qd_snapshot_drop)                                                                            \
    X(qd_snapshot_recover)                                                                         \
    X(qd_snapshot_upload)                                                                          \
    X(qd_cluster)                                                                                  \
    X(qd_collection_cluster)                                                                       \
    X(qd_points_upsert)                                                                            \
    X(qd_points_delete)                                                                            \
    X(qd_payload_set)                                                                              \
    X(qd_payload_overwrite)                                                                        \
    X(qd_payload_delete)                                                                           \
    X(qd_payload_clear)                                                                            \
    X(qd_vectors_update)                                                                           \
    X(qd_vectors_delete)                                                                           \
    X(qd_points_batch)                                                                             \
    X(qd_points_get)                                                                               \
    X(qd_point)                                                                                    \
    X(qd_points_scroll)                                                                            \
    X(qd_points_count)                                                                             \
    X(qd_query)                                                                                    \
    X(qd_query_batch)                                                                              \
    X(qd_query_groups)                                                                             \
    X(qd_search)                                                                                   \
    X(qd_search_batch)                                                                             \
    X(qd_search_groups)                                                                            \
    X(qd_recommend)                                                                                \
    X(qd_recommend_batch)                                                                          \
    X(qd_recommend_groups)                                                                         \
    X(qd_facet)                                                                                    \
    X(qd_discover)                                                                                 \
    X(qd_matrix)                                                                                   \
    X(rag_index)                                                                                   \
    X(rag_search)                                                                                  \
    X(rag_query)                                                                                   \
    X(rag_collections)                                                                             \
    X(rag_collection)                                                                              \
    X(rag_collection_change)                                                                       \
    X(rag_collection_drop)                                                                         \
    X(rag_cache_stats)                                                                             \
    X(rag_cache_clear)                                                                             \
    X(rag_health)                                                                                  \
    X(rag_config)                                                                                  \
    X(llm_rag_query)                                                                               \
    X(llm_rag_enable)                                                                              \
    X(llm_rag_disable)                                                                             \
    X(llm_rag_status)                                                                              \
    X(healthz)                                                                                     \
    X(admin_requests)                                                                              \
    X(admin_models)                                                                                \
    X(admin_models_load)                                                                           \
    X(admin_models_unload)                                                                         \
    X(admin_usage)                                                                                 \
    X(admin_keys_create)                                                                           \
    X(admin_keys_list)                                                                             \
    X(admin_keys_revoke)                                                                           \
    X(rag_documents_upload)                                                                        \
    X(rag_documents)                                                                               \
    X(rag_documents_delete)                                                                        \
    X(rag_document)                                                                                \
    X(rag_document_delete)                                                                         \
    X(rag_document_chunks)                                                                         \
    X(rag_document_content)                                                                        \
    X(rag_jobs)                                                                                    \
    X(rag_job)                                                                                     \
    X(rag_job_cancel)                                                                              \
    X(admin_index)                                                                                 \
    X(admin_reindex)                                                                               \
    X(admin_stop)                                                                                  \
    X(admin_export)                                                                                \
    X(admin_check)                                                                                 \
    X(admin_reopen)                                                                                \
    X(admin_import)                                                                                \
    X(admin_backup)                                                                                \
    X(admin_backup_state)                                                                          \
    X(admin_backup_stop)                                                                           \
    X(startupz)                                                                                    \
    X(livez)                                                                                       \
    X(readyz)                                                                                      \
    X(health)                                                                                      \
    X(metrics)                                                                                     \
    X(root)                                                                                        \
    X(openapi)                                                                                     \
    X(web) /* the files of web/: /docs and what it loads */

#define X(name) void nx_handle_##name(nx_call *c);
NX_HANDLERS(X)
#undef X

/* Not a route's own: of /v1/chat/completions, where the model is called "rag:COLLECTION". */
void nx_handle_rag_chat(nx_call *c);

#endif
