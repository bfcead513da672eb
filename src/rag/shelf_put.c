/* shelf_put.c - one document in: extracted, cut, compared with what is there, and written in one record.
 *
 * Idea: a chunk's id is made of its document, what is embedded of it, and which one of its like it is. So
 *       what stays the same has its id already: it keeps its vector, and its payload is written only where
 *       a position has moved. The document's record and all chunks come, change and go together.
 */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "rag/counter.h"
#include "rag/shelf_in.h"
#include "store/words.h"

enum { HASH_HEX = 32 };

#define RECORD_BYTES_MAX ((uint64_t)128 << 20) /* of the log */

/* A chunk as it is to be. */
typedef struct made {
    char        hash[HASH_HEX];
    nx_point_id id;
} made;

/* A chunk that is there. */
typedef struct old {
    nx_point_id id;
    bool        stays;
} old;

typedef struct putting {
    nx_shelf             *s;
    const nx_incoming    *in;
    nx_embedder          *e;
    const nx_shelf_rules *rules;
    nx_put_report        *report;
    nx_error             *err;

    char          sha256[NX_BLOB_NAME], text_sha256[NX_BLOB_NAME];
    nx_snapshot  *snap;
    nx_point_copy copy; /* of the document as it was */
    nx_document   was;
    bool          there;

    nx_doc    doc;
    nx_chunks chunks;
    made     *made; /* [chunks.n] */
    old      *olds; /* [n_olds], by id */
    size_t    n_olds;
    uint64_t  n_waiting; /* chunks without their vector */

    nx_writes    *w;
    nx_point_copy point; /* scratch */
    nx_buf        text, payload, ids, values;
} putting;

static void putting_free(putting *p)
{
    nx_snapshot_release(p->snap);
    nx_point_copy_free(&p->copy);
    nx_point_copy_free(&p->point);
    nx_doc_free(&p->doc);
    nx_chunks_free(&p->chunks);
    nx_free(p->made);
    nx_free(p->olds);
    nx_writes_destroy(p->w);
    nx_buf_free(&p->text);
    nx_buf_free(&p->payload);
    nx_buf_free(&p->ids);
    nx_buf_free(&p->values);
}

/* ---- Is it the same? ---- */

static bool same_tags(nx_value was, const nx_incoming *in)
{
    nx_value      v;
    nx_str        key;
    size_t        i = 0;
    nx_value_iter it;

    if (!was.n) return in->n_tags == 0;
    if (nx_value_kind_of(was) != NX_VALUE_ARRAY || nx_value_count(was) != in->n_tags) return false;
    for (it = nx_value_each(was); nx_value_next(&it, &key, &v); i++)
        if (nx_value_kind_of(v) != NX_VALUE_TEXT || !nx_str_eq(nx_value_text(v), in->tags[i]))
            return false;
    return true;
}

static bool same_metadata(nx_value was, nx_value now)
{
    if (!was.n || !now.n) return !was.n && !now.n;
    return nx_value_equal(was, now);
}

bool nx_shelf_is_same_version(const nx_shelf_rules *rules, const nx_document *was,
                              const nx_incoming *in, const char *sha256)
{
    nx_str cut = rules ? (nx_str){rules->cut.data, rules->cut.len} : (nx_str){0};

    return strcmp(was->sha256, sha256) == 0 &&
           (!rules || nx_str_eq(nx_field_text(was->payload, "chunking"), cut)) &&
           (in->title.len == 0 || nx_str_eq(was->title, in->title)) &&
           same_tags(nx_value_member(was->payload, NX_STR("access_tags")), in) &&
           same_metadata(nx_value_member(was->payload, NX_STR("metadata")), in->metadata);
}

static bool is_same(const nx_shelf_rules *rules, const nx_document *was, const nx_incoming *in,
                    const char *sha256)
{
    return (was->state == NX_DOCUMENT_READY || was->state == NX_DOCUMENT_WORDS) &&
           nx_shelf_is_same_version(rules, was, in, sha256);
}

bool nx_shelf_at_a_glance(nx_shelf *s, nx_snapshot *snap, const nx_incoming *in, uint64_t bytes)
{
    nx_point_copy copy = {0};
    nx_document   was;
    bool          same = in->modified_ns != 0 &&
                !nx_shelf_get(s, snap, &was, &copy, nx_document_id(in->source), NULL, NULL) &&
                was.bytes == bytes && was.modified_ns == in->modified_ns &&
                is_same(nx_shelf_rules_now(s), &was, in, was.sha256);

    nx_point_copy_free(&copy);
    return same;
}

static void fields_modified(nx_fields *f, int64_t modified_ns)
{
    if (!modified_ns) return;
    nx_fields_time(f, "modified", modified_ns / 1000);
}

/* Only the time differs. */
static nx_status write_time(putting *p)
{
    nx_fields f;

    if (p->was.modified_ns == p->in->modified_ns || !p->in->modified_ns || p->in->modified_lately)
        return NX_OK;
    p->w = nx_writes_create(p->s->c);
    if (!p->w) return nx_fail(p->err, NX_ENOMEM, "a request");
    nx_fields_begin(&f, &p->payload, p->err);
    nx_fields_int(&f, "modified_ns", p->in->modified_ns);
    fields_modified(&f, p->in->modified_ns);
    nx_status st = nx_fields_end(&f);
    nx_value  v = nx_shelf_value_of(&p->payload);
    if (!st) st = nx_writes_set_payload(p->w, p->report->id, v, (nx_str){0}, p->err);
    return st ? st : nx_collection_write(p->s->c, p->w, true, NULL, p->err);
}

/* ---- Extracting and cutting ---- */

/* The last part of a path, in one line. */
static nx_status name_as_title(putting *p)
{
    nx_str s = p->in->source;
    size_t from = s.len;

    while (from > 0 && s.p[from - 1] != '/') from--;
    if (from == s.len) from = 0; /* "https://host/" */
    nx_status st = nx_buf_add(&p->doc.title, s.p + from, s.len - from, p->err);
    for (size_t i = 0; !st && i < p->doc.title.len; i++)
        if ((unsigned char)p->doc.title.data[i] < ' ') p->doc.title.data[i] = ' ';
    return st;
}

static nx_status extract(putting *p)
{
    const nx_incoming *in = p->in;
    nx_extract_limits  usual;

    nx_extract_limits_default(&usual);
    nx_status st = nx_extract(&p->doc, in->source, in->type, in->bytes, in->n,
                              in->limits ? in->limits : &usual, p->err);
    if (st) return st;
    if (!p->doc.title.max) p->doc.title.max = 65536;
    if (in->title.len) {
        nx_buf_clear(&p->doc.title);
        return nx_buf_add(&p->doc.title, in->title.p, in->title.len, p->err);
    }
    return p->doc.title.len ? NX_OK : name_as_title(p);
}

static nx_status cut(putting *p)
{
    nx_counter counter = nx_counter_of(p->e);

    return nx_chunks_make(&p->chunks, &p->doc, &p->rules->settings.chunking, &counter, p->err);
}

/* ---- Ids ---- */

static nx_str title_of(const putting *p)
{
    return (nx_str){p->doc.title.data, p->doc.title.len};
}

static nx_str span_of(const putting *p, const nx_chunk *c)
{
    return (nx_str){p->doc.text.data + c->begin, c->end - c->begin};
}

/* What is embedded of chunk i, into p->text. */
static nx_status text_of(putting *p, size_t i)
{
    const nx_chunk *c = &p->chunks.chunks[i];

    nx_buf_clear(&p->text);
    return nx_chunk_text(&p->text, nx_chunks_title(&p->chunks), nx_chunk_headings(&p->chunks, c),
                         nx_chunk_context(&p->chunks, c), span_of(p, c), p->err);
}

static int by_hash(const void *pa, const void *pb)
{
    const made *const *a = pa, *const *b = pb;
    int                c = memcmp((*a)->hash, (*b)->hash, HASH_HEX);

    return c ? c : (*a < *b ? -1 : *a > *b);
}

static nx_status make_id(putting *p, made *m, uint32_t like)
{
    const nx_str parts[] = {NX_STR("nexus chunk"),
                            {(const char *)&p->report->id.hi, 8},
                            {(const char *)&p->report->id.lo, 8},
                            {m->hash, HASH_HEX},
                            {(const char *)&like, sizeof like}};

    return nx_shelf_uuid(&m->id, parts, sizeof parts / sizeof *parts, p->err);
}

/* Those that say the same are told apart by their order. */
static nx_status make_ids(putting *p)
{
    size_t    n = p->chunks.n;
    made    **order = nx_alloc(n, sizeof(made *));
    uint32_t  like = 0;
    nx_status st = order ? NX_OK : nx_fail(p->err, NX_ENOMEM, "%zu chunks", n);

    for (size_t i = 0; !st && i < n; i++) order[i] = &p->made[i];
    if (!st && n > 1) qsort(order, n, sizeof *order, by_hash);
    for (size_t i = 0; !st && i < n; i++) {
        bool again = i > 0 && memcmp(order[i]->hash, order[i - 1]->hash, HASH_HEX) == 0;
        like = again ? like + 1 : 0;
        st = make_id(p, order[i], like);
    }
    nx_free(order);
    return st;
}

static nx_status identify(putting *p)
{
    nx_status st = NX_OK;

    p->made = nx_calloc(p->chunks.n, sizeof *p->made);
    if (!p->made) return nx_fail(p->err, NX_ENOMEM, "%zu chunks", p->chunks.n);
    for (size_t i = 0; !st && i < p->chunks.n; i++) {
        char hex[NX_BLOB_NAME];
        st = text_of(p, i);
        if (st) break;
        nx_blob_name(hex, p->text.data ? p->text.data : "", p->text.len);
        memcpy(p->made[i].hash, hex, HASH_HEX);
    }
    return st ? st : make_ids(p);
}

/* ---- What is there ---- */

static nx_status find_olds(putting *p)
{
    nx_point_id *ids = NULL;
    size_t       n = 0;

    if (!p->there) return NX_OK;
    nx_status st = nx_shelf_chunk_ids(p->snap, &ids, &n, p->report->id, p->err);
    if (!st) p->olds = nx_calloc(n, sizeof *p->olds);
    if (!st && !p->olds) st = nx_fail(p->err, NX_ENOMEM, "%zu chunks", n);
    if (!st) p->n_olds = n;
    for (size_t i = 0; i < p->n_olds; i++) p->olds[i].id = ids[i];
    nx_free(ids);
    return st;
}

static int old_by_id(const void *pa, const void *pb)
{
    const old *a = pa, *b = pb;

    return nx_id_compare(a->id, b->id);
}

static old *find_old(const putting *p, nx_point_id id)
{
    old key = {.id = id};

    return p->n_olds ? bsearch(&key, p->olds, p->n_olds, sizeof key, old_by_id) : NULL;
}

static bool has_dense(const putting *p, const nx_point *point)
{
    for (int32_t i = 0; i < point->n_vectors; i++)
        if (point->vectors[i].slot == p->s->dense) return true;
    return false;
}

/* ---- The chunks' records ---- */

static void fields_common(putting *p, nx_fields *f)
{
    if (p->in->n_tags) nx_fields_texts(f, "access_tags", p->in->tags, p->in->n_tags);
    nx_fields_value(f, "metadata", p->in->metadata);
}

static void fields_headings(nx_fields *f, nx_str path)
{
    nx_str parts[16];
    size_t n = 0, from = 0;

    if (path.len == 0) return;
    for (size_t i = 0; i <= path.len && n < sizeof parts / sizeof *parts; i++) {
        if (i < path.len && path.p[i] != '\n') continue;
        parts[n++] = (nx_str){path.p + from, i - from};
        from = i + 1;
    }
    nx_fields_texts(f, "headings", parts, n);
    nx_fields_text(f, "path", path);
}

static nx_status chunk_payload(putting *p, size_t i, const char *doc_id)
{
    const nx_chunk *c = &p->chunks.chunks[i];
    nx_fields       f;

    nx_buf_clear(&p->payload);
    nx_fields_begin(&f, &p->payload, p->err);
    nx_fields_text(&f, "kind", NX_STR("chunk"));
    nx_fields_text(&f, "doc_id", nx_str_of(doc_id));
    nx_fields_uint(&f, "chunk_id", i);
    nx_fields_text(&f, "text", span_of(p, c));
    nx_fields_uint(&f, "start_pos", c->begin);
    nx_fields_uint(&f, "end_pos", c->end);
    nx_fields_uint(&f, "start_char", c->begin_char);
    nx_fields_uint(&f, "end_char", c->end_char);
    nx_fields_uint(&f, "chunk_size", c->end_char - c->begin_char);
    nx_fields_int(&f, "n_tokens", c->n_tokens);
    nx_fields_text(&f, "source", p->in->source);
    nx_fields_text(&f, "title", nx_chunks_title(&p->chunks));
    fields_headings(&f, nx_chunk_headings(&p->chunks, c));
    nx_fields_some(&f, "context", nx_chunk_context(&p->chunks, c));
    if (c->page) {
        nx_fields_int(&f, "page", c->page);
        nx_fields_int(&f, "page_end", c->page_end);
        nx_fields_some(&f, "place", nx_str_of(nx_place_name(p->doc.place)));
    }
    nx_fields_text(&f, "origin", p->doc.origin == NX_ORIGIN_TEXT ? NX_STR("text") : NX_STR("file"));
    nx_fields_text(&f, "hash", (nx_str){p->made[i].hash, HASH_HEX});
    fields_modified(&f, p->in->modified_ns);
    fields_common(p, &f);
    return nx_fields_end(&f);
}

static nx_value payload_of(const putting *p)
{
    return nx_shelf_value_of(&p->payload);
}

static nx_status put_new(putting *p, size_t i)
{
    const nx_bm25_options words = {.language = p->rules->settings.language};
    nx_vector             v = {.slot = p->s->words, .form = NX_FORM_SPARSE};
    nx_point              point = {.id = p->made[i].id, .vectors = &v, .n_vectors = 1};
    nx_status             st = text_of(p, i);

    nx_buf_clear(&p->ids);
    nx_buf_clear(&p->values);
    if (!st)
        st = nx_bm25_vector(&p->ids, &p->values, (nx_str){p->text.data, p->text.len}, false, &words,
                            p->err);
    if (st) return st;
    v.n = (int32_t)(p->ids.len / sizeof *v.indices);
    v.indices = (const uint32_t *)(const void *)p->ids.data;
    v.values = (const float *)(const void *)p->values.data;
    point.payload = payload_of(p);
    p->report->n_new++;
    p->n_waiting++;
    return nx_writes_put(p->w, &point, NX_PUT, p->err);
}

static nx_status keep(putting *p, old *o)
{
    nx_status st = nx_snapshot_get(p->snap, &p->point, o->id, p->err);

    if (st) return st;
    o->stays = true;
    p->report->n_kept++;
    p->n_waiting += !has_dense(p, &p->point.point);
    if (nx_value_equal(p->point.point.payload, payload_of(p))) return NX_OK;
    return nx_writes_overwrite_payload(p->w, o->id, payload_of(p), p->err);
}

static nx_status write_chunks(putting *p)
{
    char      doc_id[NX_ID_TEXT];
    nx_status st = NX_OK;

    nx_id_write(doc_id, p->report->id);
    for (size_t i = 0; !st && i < p->chunks.n; i++) {
        old *o = find_old(p, p->made[i].id);
        st = chunk_payload(p, i, doc_id);
        if (!st) st = o ? keep(p, o) : put_new(p, i);
        p->report->n_tokens += (uint64_t)p->chunks.chunks[i].n_tokens;
    }
    p->report->n_chunks = p->chunks.n;
    for (size_t i = 0; !st && i < p->n_olds; i++) {
        if (p->olds[i].stays) continue;
        st = nx_writes_delete(p->w, p->olds[i].id, p->err);
        p->report->n_gone++;
    }
    return st;
}

/* ---- The document's record ---- */

static nx_status document_payload(putting *p)
{
    const nx_incoming *in = p->in;
    nx_fields          f;
    char               doc_id[NX_ID_TEXT];
    nx_document_state  state = p->n_waiting ? NX_DOCUMENT_WORDS : NX_DOCUMENT_READY;
    bool               text = p->doc.origin == NX_ORIGIN_TEXT;

    nx_buf_clear(&p->payload);
    nx_fields_begin(&f, &p->payload, p->err);
    nx_fields_text(&f, "kind", NX_STR("document"));
    nx_fields_text(&f, "doc_id", nx_str_of(nx_id_write(doc_id, p->report->id)));
    nx_fields_text(&f, "state", nx_str_of(nx_document_state_name(state)));
    nx_fields_text(&f, "source", in->source);
    nx_fields_some(&f, "root", in->root);
    nx_fields_text(&f, "title", title_of(p));
    nx_fields_text(&f, "type", nx_str_of(nx_doc_kind_name(p->doc.kind)));
    nx_fields_text(&f, "encoding", nx_str_of(p->doc.encoding));
    nx_fields_text(&f, "origin", text ? NX_STR("text") : NX_STR("file"));
    nx_fields_some(&f, "place", nx_str_of(nx_place_name(p->doc.place)));
    if (p->doc.n_pages) nx_fields_int(&f, "n_pages", p->doc.n_pages);
    nx_fields_uint(&f, "bytes", in->n);
    nx_fields_uint(&f, "text_bytes", p->doc.text.len);
    nx_fields_uint(&f, "n_chunks", p->chunks.n);
    nx_fields_uint(&f, "n_tokens", p->report->n_tokens);
    if (p->n_waiting) nx_fields_uint(&f, "n_waiting", p->n_waiting);
    nx_fields_text(&f, "sha256", nx_str_of(p->sha256));
    if (text) nx_fields_text(&f, "text_sha256", nx_str_of(p->text_sha256));
    nx_fields_some(&f, "warnings", (nx_str){p->doc.warnings.data, p->doc.warnings.len});
    fields_modified(&f, in->modified_ns);
    if (in->modified_ns && !in->modified_lately) nx_fields_int(&f, "modified_ns", in->modified_ns);
    nx_fields_time(&f, "indexed_at", nx_shelf_now_us());
    nx_fields_text(&f, "chunking", (nx_str){p->rules->cut.data, p->rules->cut.len});
    fields_common(p, &f);
    return nx_fields_end(&f);
}

static nx_status too_much(putting *p)
{
    return nx_fail(
        p->err, NX_ELIMIT,
        "its %zu chunks are more than one record of the log holds (128 MiB, %d changes): "
        "split the document",
        p->chunks.n, NX_WRITES_OPS_MAX);
}

static nx_status write_document(putting *p)
{
    nx_point  point = {.id = p->report->id};
    nx_status st = document_payload(p);

    point.payload = payload_of(p);
    if (!st) st = nx_writes_put(p->w, &point, NX_PUT, p->err);
    if (!st) st = nx_collection_write(p->s->c, p->w, true, NULL, p->err);
    return st == NX_ELIMIT ? too_much(p) : st;
}

/* Durable before a record names them. */
static nx_status keep_bytes(putting *p)
{
    char      name[NX_BLOB_NAME];
    nx_status st = nx_blobs_put(p->s->blobs, name, p->in->bytes, p->in->n, p->err);

    if (st || p->doc.origin != NX_ORIGIN_TEXT) return st;
    return nx_blobs_put(p->s->blobs, p->text_sha256, p->doc.text.data ? p->doc.text.data : "",
                        p->doc.text.len, p->err);
}

/* ---- All of it ---- */

static nx_status look(putting *p)
{
    nx_error  inner = {0};
    nx_status st;

    p->snap = nx_snapshot_take(p->s->c);
    st = nx_shelf_get(p->s, p->snap, &p->was, &p->copy, p->report->id, NULL, &inner);
    p->there = p->report->was_there = !st;
    if (st && st != NX_ENOENT && p->err) *p->err = inner;
    return st == NX_ENOENT ? NX_OK : st;
}

/* The least that the record takes: it is known before hashes and words are made and bytes are kept. */
static nx_status check_size(putting *p)
{
    uint64_t n = 0;

    for (size_t i = 0; i < p->chunks.n; i++)
        n += p->chunks.chunks[i].end - p->chunks.chunks[i].begin;
    return n > RECORD_BYTES_MAX || p->chunks.n >= NX_WRITES_OPS_MAX ? too_much(p) : NX_OK;
}

static nx_status replace(putting *p)
{
    nx_status st = extract(p);

    if (!st) st = cut(p);
    if (!st) st = check_size(p);
    if (!st) st = identify(p);
    if (!st) st = find_olds(p);
    if (st) return st;
    p->w = nx_writes_create(p->s->c);
    if (!p->w) return nx_fail(p->err, NX_ENOMEM, "a request");
    st = write_chunks(p);
    if (!st) st = keep_bytes(p);
    return st ? st : write_document(p);
}

nx_status nx_shelf_put_locked(nx_shelf *s, const nx_incoming *in, nx_embedder *counts_with,
                              nx_put_report *report, nx_error *err)
{
    putting p = {.s = s,
                 .in = in,
                 .e = counts_with,
                 .rules = nx_shelf_rules_now(s),
                 .report = report,
                 .err = err,
                 .text.max = NX_PAYLOAD_MAX,
                 .payload.max = NX_PAYLOAD_MAX,
                 .ids.max = NX_PAYLOAD_MAX,
                 .values.max = NX_PAYLOAD_MAX};

    *report = (nx_put_report){.id = nx_document_id(in->source)};
    nx_blob_name(p.sha256, in->bytes ? in->bytes : "", in->n);
    nx_status st = look(&p);
    if (!st && p.there) st = nx_shelf_may_replace(s, p.snap, in, err);
    if (!st && p.there && is_same(p.rules, &p.was, in, p.sha256)) {
        report->unchanged = true;
        report->n_chunks = report->n_kept = p.was.n_chunks;
        report->n_tokens = p.was.n_tokens;
        st = write_time(&p);
    } else if (!st) {
        st = replace(&p);
    }
    putting_free(&p);
    return st;
}

nx_status nx_shelf_put(nx_shelf *s, const nx_incoming *in, nx_embedder *counts_with,
                       nx_put_report *report, nx_error *err)
{
    nx_point_id id = nx_document_id(in->source);

    nx_shelf_lock(id);
    nx_status st = nx_shelf_put_locked(s, in, counts_with, report, err);
    nx_shelf_unlock(id);
    return st;
}
