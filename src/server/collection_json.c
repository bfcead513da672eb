/* collection_json.c - from Qdrant's words to slots, and the words kept. */
#include "server/collection_json.h"

#include <string.h>

/* ---- Words, with defaults ---- */

static const char hnsw_defaults[] =
    "{\"m\":16,\"ef_construct\":100,\"full_scan_threshold\":10000,\"max_indexing_threads\":0,"
    "\"on_disk\":false}";
static const char optimizer_defaults[] =
    "{\"deleted_threshold\":0.2,\"vacuum_min_vector_number\":1000,\"default_segment_number\":0,"
    "\"max_segment_size\":null,\"memmap_threshold\":null,\"indexing_threshold\":10000,"
    "\"flush_interval_sec\":5,\"max_optimization_threads\":null}";
static const char wal_defaults[] =
    "{\"wal_capacity_mb\":32,\"wal_segments_ahead\":0,\"wal_retain_closed\":1}";

void nx_json_write(nx_jw *w, const char *key, const nx_json *v)
{
    switch (v->type) {
    case NX_JSON_NULL: nx_jw_null(w, key); break;
    case NX_JSON_BOOL: nx_jw_bool(w, key, v->boolean); break;
    case NX_JSON_INT: nx_jw_int(w, key, v->i); break;
    case NX_JSON_UINT: nx_jw_u64(w, key, v->u); break;
    case NX_JSON_FLOAT: nx_jw_double(w, key, v->f); break;
    case NX_JSON_STRING: nx_jw_string(w, key, v->text); break;
    case NX_JSON_ARRAY:
        nx_jw_open(w, key, '[');
        for (size_t i = 0; i < v->array.n; i++) nx_json_write(w, NULL, &v->array.items[i]);
        nx_jw_close(w, ']');
        break;
    case NX_JSON_OBJECT:
        nx_jw_open(w, key, '{');
        for (size_t i = 0; i < v->object.n; i++) {
            nx_jw_key(w, v->object.members[i].key);
            nx_json_write(w, NULL, &v->object.members[i].value);
        }
        nx_jw_close(w, '}');
        break;
    }
}

/* The members of base, those of over in their place, and those that over has beyond. */
static void write_overlay(nx_jw *w, const char *key, const nx_json *base, const nx_json *over)
{
    nx_jw_open(w, key, '{');
    for (size_t i = 0; base && base->type == NX_JSON_OBJECT && i < base->object.n; i++) {
        const nx_json_member *m = &base->object.members[i];
        const nx_json        *given = nx_json_get_str(over, m->key);
        nx_jw_key(w, m->key);
        nx_json_write(w, NULL, nx_json_absent(given) ? &m->value : given);
    }
    for (size_t i = 0; over && over->type == NX_JSON_OBJECT && i < over->object.n; i++) {
        const nx_json_member *m = &over->object.members[i];
        if (m->value.type == NX_JSON_NULL || nx_json_get_str(base, m->key)) continue;
        nx_jw_key(w, m->key);
        nx_json_write(w, NULL, &m->value);
    }
    nx_jw_close(w, '}');
}

static nx_status parse_kept(const nx_json **out, nx_call *c, nx_str text, nx_error *err)
{
    return nx_json_parse_into(&c->kept, out, "config", text.p, text.len, 0, err);
}

static nx_status write_with_defaults(nx_jw *w, const char *key, nx_call *c, const char *defaults,
                                     const nx_json *given, nx_error *err)
{
    const nx_json *base;
    nx_status      st = parse_kept(&base, c, nx_str_of(defaults), err);

    if (!st) write_overlay(w, key, base, given);
    return st;
}

static void write_or(nx_jw *w, const char *key, const nx_json *body, const char *otherwise)
{
    const nx_json *v = nx_json_get(body, key);

    if (!nx_json_absent(v))
        nx_json_write(w, key, v);
    else if (otherwise)
        nx_jw_raw(w, key, nx_str_of(otherwise));
}

static void write_params(nx_jw *w, const nx_json *body)
{
    nx_jw_open(w, "params", '{');
    write_or(w, "vectors", body, "{}");
    write_or(w, "shard_number", body, "1");
    write_or(w, "replication_factor", body, "1");
    write_or(w, "write_consistency_factor", body, "1");
    write_or(w, "on_disk_payload", body, "true");
    write_or(w, "sparse_vectors", body, NULL);
    nx_jw_close(w, '}');
}

static nx_status keep(nx_str *out, nx_call *c, nx_jw *w, nx_error *err)
{
    nx_status st = w->st ? nx_fail(err, w->st, "%s", w->err.text) : NX_OK;

    if (!st) {
        out->p = nx_arena_strndup(&c->kept, w->buf.data, w->buf.len);
        out->len = w->buf.len;
        if (!out->p) st = nx_fail(err, NX_ENOMEM, "a collection's configuration");
    }
    nx_buf_free(&w->buf);
    return st;
}

static nx_status write_note(nx_str *out, nx_call *c, const nx_json *body, nx_error *err)
{
    nx_jw     w = {.buf.max = NX_CONFIG_NOTE_MAX};
    nx_status st;

    nx_jw_open(&w, NULL, '{');
    write_params(&w, body);
    st = write_with_defaults(&w, "hnsw_config", c, hnsw_defaults, nx_json_get(body, "hnsw_config"),
                             err);
    if (!st)
        st = write_with_defaults(&w, "optimizer_config", c, optimizer_defaults,
                                 nx_json_get(body, "optimizers_config"), err);
    if (!st)
        st = write_with_defaults(&w, "wal_config", c, wal_defaults, nx_json_get(body, "wal_config"),
                                 err);
    write_or(&w, "quantization_config", body, "null");
    write_or(&w, "strict_mode_config", body, "{\"enabled\":false}");
    write_or(&w, "metadata", body, NULL);
    nx_jw_close(&w, '}');
    if (!st) return keep(out, c, &w, err);
    nx_buf_free(&w.buf);
    return st;
}

/* ---- Slots ---- */

static nx_status read_size(int32_t *out, const nx_json *v, nx_error *err)
{
    const nx_json *size = nx_json_get(v, "size");

    if (!size) return nx_fail(err, NX_EINVAL, NX_QD_FORMAT "vectors: missing field `size`");
    if (size->type != NX_JSON_INT || size->i < 1)
        return nx_fail(err, NX_EINVAL,
                       NX_QD_FORMAT "vectors.size: invalid value, expected a nonzero u64");
    if (size->i > NX_DIM_MAX)
        return nx_fail(err, NX_EINVAL,
                       NX_QD_RANGE "[vectors.size: value %lld invalid, must be from 1 to %d]",
                       (long long)size->i, NX_DIM_MAX);
    *out = (int32_t)size->i;
    return NX_OK;
}

static nx_status read_distance(nx_distance *out, const nx_json *v, nx_error *err)
{
    static const char *const names[] = {[NX_COSINE] = "Cosine",
                                        [NX_DOT] = "Dot",
                                        [NX_EUCLID] = "Euclid",
                                        [NX_MANHATTAN] = "Manhattan"};
    const nx_json           *distance = nx_json_get(v, "distance");

    if (!distance) return nx_fail(err, NX_EINVAL, NX_QD_FORMAT "vectors: missing field `distance`");
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (!nx_json_is(distance, names[i])) continue;
        *out = (nx_distance)i;
        return NX_OK;
    }
    return nx_fail(
        err, NX_EINVAL,
        NX_QD_FORMAT "vectors.distance: unknown variant `%.*s`, expected one of "
                     "`Cosine`, `Euclid`, `Dot`, `Manhattan`",
        distance->type == NX_JSON_STRING && distance->text.len < 60 ? (int)distance->text.len : 0,
        distance->type == NX_JSON_STRING ? distance->text.p : "");
}

/* Bytes of int8 are made beside the vectors; of the other kinds the words are kept, and searches are
 * exact. */
static nx_status read_quantization(nx_storage *out, const nx_json *v, nx_error *err)
{
    static const char *const exact[] = {"binary", "product", "turbo"};

    if (nx_json_absent(v)) return NX_OK;
    if (!nx_json_absent(nx_json_get(v, "scalar"))) {
        const nx_json *type = nx_json_get(nx_json_get(v, "scalar"), "type");
        if (!nx_json_is(type, "int8"))
            return nx_fail(err, NX_EINVAL,
                           NX_QD_FORMAT "quantization_config.scalar.type: expected `int8`");
        *out |= NX_STORE_SQ8;
        return NX_OK;
    }
    for (size_t i = 0; i < sizeof exact / sizeof *exact; i++)
        if (!nx_json_absent(nx_json_get(v, exact[i]))) return NX_OK;
    return nx_fail(err, NX_EINVAL,
                   NX_QD_FORMAT "quantization_config: expected one of `scalar`, `product`, "
                                "`binary`, `turbo`");
}

static nx_status read_datatype(nx_storage *out, const nx_json *v, nx_error *err)
{
    if (nx_json_is(v, "float16")) *out |= NX_STORE_F16;
    if (nx_json_absent(v) || nx_json_is(v, "float32") || nx_json_is(v, "float16")) return NX_OK;
    if (nx_json_is(v, "uint8"))
        return nx_fail(err, NX_EUNSUPPORTED, "not supported: datatype uint8");
    return nx_fail(err, NX_EINVAL,
                   NX_QD_FORMAT "vectors.datatype: expected one of `float32`, `float16`, `uint8`");
}

static nx_status read_multi(nx_form *out, const nx_json *v, nx_error *err)
{
    if (nx_json_absent(v)) return NX_OK;
    if (!nx_json_is(nx_json_get(v, "comparator"), "max_sim"))
        return nx_fail(err, NX_EINVAL,
                       NX_QD_FORMAT "multivector_config.comparator: expected `max_sim`");
    *out = NX_FORM_MULTI;
    return NX_OK;
}

/* NULL: refused. */
static nx_slot *new_slot(nx_config *config, nx_str name, nx_error *err)
{
    if (config->n_slots == NX_SLOTS_MAX) {
        nx_fail(err, NX_ELIMIT, "more than %d vectors of a point", NX_SLOTS_MAX);
        return NULL;
    }
    if (nx_config_slot(config, name) >= 0) {
        nx_fail(err, NX_EINVAL, NX_QD_WRONG "the vector name \"%.*s\" stands there twice",
                (int)(name.len < 100 ? name.len : 100), name.p);
        return NULL;
    }
    nx_slot *slot = &config->slots[config->n_slots++];
    *slot = (nx_slot){.name = name};
    return slot;
}

/* What a vector is made with: ours, beyond Qdrant's words. */
static void read_model(nx_slot *slot, const nx_json *v)
{
    nx_json_get_string(v, "model", &slot->model);
    nx_json_get_string(v, "prompt", &slot->prompt);
}

static nx_status read_vector(nx_config *config, nx_str name, const nx_json *v,
                             const nx_json *quantization, nx_error *err)
{
    const nx_json *own = nx_json_get(v, "quantization_config");

    if (v->type != NX_JSON_OBJECT)
        return nx_fail(err, NX_EINVAL, NX_QD_FORMAT "vectors: expected an object, found %s",
                       nx_json_type_name(v));
    nx_slot *slot = new_slot(config, name, err);
    if (!slot) return err->status;
    slot->form = NX_FORM_DENSE;
    nx_status st = read_size(&slot->dim, v, err);
    if (!st) st = read_distance(&slot->distance, v, err);
    if (!st) st = read_datatype(&slot->storage, nx_json_get(v, "datatype"), err);
    if (!st) st = read_multi(&slot->form, nx_json_get(v, "multivector_config"), err);
    if (!st) st = read_quantization(&slot->storage, nx_json_absent(own) ? quantization : own, err);
    if (slot->form == NX_FORM_MULTI) slot->storage = NX_STORE_F32; /* theirs are f32 alone */
    read_model(slot, v);
    return st;
}

/* One vector's parameters, or an object of them by names. */
static nx_status read_vectors(nx_config *config, const nx_json *body, nx_error *err)
{
    const nx_json *v = nx_json_get(body, "vectors");
    const nx_json *size = nx_json_get(v, "size"), *distance = nx_json_get(v, "distance");
    const nx_json *quantization = nx_json_get(body, "quantization_config");
    nx_status      st = NX_OK;

    if (nx_json_absent(v)) return NX_OK;
    if (v->type != NX_JSON_OBJECT)
        return nx_fail(err, NX_EINVAL, NX_QD_FORMAT "vectors: expected an object, found %s",
                       nx_json_type_name(v));
    if ((size && size->type != NX_JSON_OBJECT) || (distance && distance->type != NX_JSON_OBJECT))
        return read_vector(config, NX_STR(""), v, quantization, err);
    for (size_t i = 0; !st && i < v->object.n; i++)
        st = read_vector(config, v->object.members[i].key, &v->object.members[i].value,
                         quantization, err);
    return st;
}

static nx_status read_sparse(nx_config *config, const nx_json *body, nx_error *err)
{
    const nx_json *v = nx_json_get(body, "sparse_vectors");
    nx_status      st = NX_OK;

    for (size_t i = 0; !st && v && v->type == NX_JSON_OBJECT && i < v->object.n; i++) {
        const nx_json_member *m = &v->object.members[i];
        const nx_json        *modifier = nx_json_get(&m->value, "modifier");
        nx_slot              *slot = new_slot(config, m->key, err);
        if (!slot) return err->status;
        slot->form = NX_FORM_SPARSE;
        slot->distance = NX_DOT;
        slot->idf = nx_json_is(modifier, "idf");
        if (!nx_json_absent(modifier) && !slot->idf && !nx_json_is(modifier, "none"))
            st = nx_fail(err, NX_EINVAL,
                         NX_QD_FORMAT "sparse_vectors: modifier: expected one of `none`, `idf`");
        read_model(slot, &m->value);
    }
    return st;
}

static nx_status refuse_unsupported(const nx_json *body, nx_error *err)
{
    if (!nx_json_absent(nx_json_get(body, "init_from")))
        return nx_fail(err, NX_EUNSUPPORTED, "not supported: init_from");
    if (nx_json_is(nx_json_get(body, "sharding_method"), "custom"))
        return nx_fail(err, NX_EUNSUPPORTED, "not supported: sharding_method custom");
    return NX_OK;
}

nx_status nx_collection_json_read(nx_config *out, nx_call *c, const nx_json *body, nx_error *err)
{
    nx_status st = refuse_unsupported(body, err);

    *out = (nx_config){0};
    if (!st) st = read_vectors(out, body, err);
    if (!st) st = read_sparse(out, body, err);
    return st ? st : write_note(&out->note, c, body, err);
}

/* ---- Out ---- */

static void write_slot(nx_jw *w, const nx_slot *s)
{
    static const char *const names[] = {[NX_COSINE] = "Cosine",
                                        [NX_DOT] = "Dot",
                                        [NX_EUCLID] = "Euclid",
                                        [NX_MANHATTAN] = "Manhattan"};

    nx_jw_key(w, s->name);
    nx_jw_open(w, NULL, '{');
    nx_jw_int(w, "size", s->dim);
    nx_jw_text(w, "distance", names[s->distance]);
    if (s->form == NX_FORM_MULTI)
        nx_jw_raw(w, "multivector_config", NX_STR("{\"comparator\":\"max_sim\"}"));
    if (s->storage & NX_STORE_F16) nx_jw_text(w, "datatype", "float16");
    if (s->storage & NX_STORE_SQ8)
        nx_jw_raw(w, "quantization_config", NX_STR("{\"scalar\":{\"type\":\"int8\"}}"));
    if (s->model.len) nx_jw_string(w, "model", s->model);
    nx_jw_close(w, '}');
}

/* The words that would have made such a collection. */
static void write_body_of(nx_jw *w, const nx_config *config)
{
    nx_jw_open(w, NULL, '{');
    nx_jw_open(w, "vectors", '{');
    for (int32_t i = 0; i < config->n_slots; i++)
        if (config->slots[i].form != NX_FORM_SPARSE) write_slot(w, &config->slots[i]);
    nx_jw_close(w, '}');
    nx_jw_open(w, "sparse_vectors", '{');
    for (int32_t i = 0; i < config->n_slots; i++) {
        if (config->slots[i].form != NX_FORM_SPARSE) continue;
        nx_jw_key(w, config->slots[i].name);
        nx_jw_raw(w, NULL, config->slots[i].idf ? NX_STR("{\"modifier\":\"idf\"}") : NX_STR("{}"));
    }
    nx_jw_close(w, '}');
    nx_jw_close(w, '}');
}

static bool is_ours(const nx_json *note)
{
    return note && nx_json_get(note, "params") && nx_json_get(note, "hnsw_config");
}

/* The note that is in force, parsed; made where the collection has none of ours. */
static nx_status read_note(const nx_json **out, nx_call *c, const nx_config *config, nx_str note,
                           nx_error *err)
{
    nx_jw     w = {.buf.max = NX_CONFIG_NOTE_MAX};
    nx_str    text;
    nx_status st;

    if (note.len && parse_kept(out, c, note, NULL) == NX_OK && is_ours(*out)) return NX_OK;
    write_body_of(&w, config);
    st = keep(&text, c, &w, err);
    if (!st) st = parse_kept(out, c, text, err);
    if (!st) st = write_note(&text, c, *out, err);
    return st ? st : parse_kept(out, c, text, err);
}

static nx_str note_in_force(const nx_config *config, const nx_settings *settings)
{
    return settings && settings->note.len ? settings->note : config->note;
}

nx_status nx_collection_json_write(nx_jw *w, const char *key, nx_call *c, const nx_config *config,
                                   const nx_settings *settings, nx_error *err)
{
    const nx_json *note;
    nx_status      st = read_note(&note, c, config, note_in_force(config, settings), err);

    if (!st) nx_json_write(w, key, note);
    return st;
}

/* ---- Changes ---- */

/* "vectors" of a PATCH: by names, "" for the only one. */
static nx_status patch_vectors(nx_jw *w, const nx_json *old, const nx_json *change, nx_error *err)
{
    const nx_json *size = nx_json_get(old, "size");
    bool           single = size && size->type == NX_JSON_INT;

    for (size_t i = 0; change && i < change->object.n; i++) {
        nx_str name = change->object.members[i].key;
        if (single ? name.len > 0 : !nx_json_get_str(old, name))
            return nx_fail(err, NX_EINVAL, NX_QD_WRONG "Not existing vector name error: %.*s",
                           (int)(name.len < 200 ? name.len : 200), name.p);
    }
    if (single) {
        write_overlay(w, "vectors", old, nx_json_get(change, ""));
        return NX_OK;
    }
    nx_jw_open(w, "vectors", '{');
    for (size_t i = 0; old && i < old->object.n; i++) {
        const nx_json_member *m = &old->object.members[i];
        nx_jw_key(w, m->key);
        write_overlay(w, NULL, &m->value, nx_json_get_str(change, m->key));
    }
    nx_jw_close(w, '}');
    return NX_OK;
}

static nx_status patch_params(nx_jw *w, const nx_json *old, const nx_json *body, nx_error *err)
{
    const nx_json *params = nx_json_get(body, "params"), *vectors = nx_json_get(body, "vectors");
    nx_status      st;

    nx_jw_open(w, "params", '{');
    st = patch_vectors(w, nx_json_get(old, "vectors"), nx_json_absent(vectors) ? NULL : vectors,
                       err);
    for (size_t i = 0; !st && i < old->object.n; i++) {
        const nx_json_member *m = &old->object.members[i];
        const nx_json        *given = nx_json_get_str(params, m->key);
        if (nx_str_eq(m->key, NX_STR("vectors"))) continue;
        nx_jw_key(w, m->key);
        nx_json_write(w, NULL, nx_json_absent(given) ? &m->value : given);
    }
    nx_jw_close(w, '}');
    return st;
}

/* Members of the note, and what of a PATCH changes them. */
static const struct {
    const char *in_note, *in_body;
    bool        whole; /* replaced, not merged */
} changes[] = {
    {"hnsw_config", "hnsw_config", false},
    {"optimizer_config", "optimizers_config", false},
    {"wal_config", "", false},
    {"quantization_config", "quantization_config", true},
    {"strict_mode_config", "strict_mode_config", false},
    {"metadata", "metadata", false},
};

static void patch_member(nx_jw *w, size_t i, const nx_json *old, const nx_json *body)
{
    const char    *key = changes[i].in_note;
    const nx_json *was = nx_json_get(old, key), *given = nx_json_get(body, changes[i].in_body);

    if (nx_json_absent(given)) {
        if (was) nx_json_write(w, key, was);
    } else if (changes[i].whole) {
        if (nx_json_is(given, "Disabled"))
            nx_jw_null(w, key);
        else
            nx_json_write(w, key, given);
    } else {
        write_overlay(w, key, was, given);
    }
}

nx_status nx_collection_json_patch(nx_str *out, nx_call *c, const nx_config *config,
                                   const nx_settings *settings, const nx_json *body, nx_error *err)
{
    nx_jw          w = {.buf.max = NX_SETTINGS_NOTE_MAX};
    const nx_json *old;
    nx_storage     storage = NX_STORE_F32;
    const nx_json *quantization = nx_json_get(body, "quantization_config");
    nx_status      st = read_note(&old, c, config, note_in_force(config, settings), err);

    if (!st && !nx_json_is(quantization, "Disabled"))
        st = read_quantization(&storage, quantization, err);
    if (st) return st;
    nx_jw_open(&w, NULL, '{');
    st = patch_params(&w, nx_json_get(old, "params"), body, err);
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) patch_member(&w, i, old, body);
    nx_jw_close(&w, '}');
    if (!st) return keep(out, c, &w, err);
    nx_buf_free(&w.buf);
    return st;
}
