/* writes.c - gathers a request. Points are checked and brought into their form here, outside of any
 * lock. */
#include "store/writes.h"

#include <string.h>

#include "base/alloc.h"
#include "store/block.h"
#include "store/path.h"

#define BATCH_BYTES_MAX ((size_t)256 << 20)

nx_writes *nx_writes_create(nx_collection *c)
{
    nx_writes *b = nx_calloc(1, sizeof *b);

    if (!b) return NULL;
    b->c = c;
    b->data.max = BATCH_BYTES_MAX;
    return b;
}

void nx_writes_destroy(nx_writes *b)
{
    if (!b) return;
    nx_buf_free(&b->data);
    nx_free(b->ops);
    nx_free(b);
}

static nx_status room_for_op(nx_writes *b, nx_error *err)
{
    if (b->n == NX_WRITES_OPS_MAX)
        return nx_fail(err, NX_ELIMIT, "more than %d operations in one request", NX_WRITES_OPS_MAX);
    if (b->n < b->cap) return NX_OK;
    size_t cap = b->cap ? 2 * b->cap : 16;
    nx_op *grown = nx_realloc(b->ops, cap, sizeof *grown);
    if (!grown) return nx_fail(err, NX_ENOMEM, "a request of %zu operations", cap);
    b->ops = grown;
    b->cap = cap;
    return NX_OK;
}

static nx_status add_bytes(nx_writes *b, size_t *at, const void *bytes, size_t n, nx_error *err)
{
    static const char zeros[8];

    *at = b->data.len;
    nx_status st = n ? nx_buf_add(&b->data, bytes, n, err) : NX_OK;
    if (!st && n % 8) st = nx_buf_add(&b->data, zeros, 8 - n % 8, err);
    return st;
}

/* Append op with its value and path; on error the batch is as before. */
static nx_status add_op(nx_writes *b, nx_op op, nx_str value, nx_str path, nx_error *err)
{
    size_t    before = b->data.len;
    nx_status st = room_for_op(b, err);

    if (!st && (value.len > NX_PAYLOAD_MAX || path.len > 65536))
        st = nx_fail(err, NX_ELIMIT, "a payload or path too long");
    if (!st) st = add_bytes(b, &op.value, value.p, value.len, err);
    if (!st) st = add_bytes(b, &op.path, path.p, path.len, err);
    if (st) {
        b->data.len = before;
        return st;
    }
    if (!op.all) op.only = b->only;
    op.value_n = (uint32_t)value.len;
    op.path_n = (uint32_t)path.len;
    b->ops[b->n++] = op;
    return NX_OK;
}

static nx_status add_block(nx_writes *b, nx_op op, int kind, const nx_point *p, nx_error *err)
{
    nx_status st = room_for_op(b, err);

    op.block = b->data.len;
    op.id = p->id;
    op.only = b->only;
    if (!st) st = nx_block_add(&b->data, nx_collection_config(b->c), kind, p, err);
    if (!st) b->ops[b->n++] = op;
    return st;
}

nx_status nx_writes_put(nx_writes *b, const nx_point *p, nx_put_mode mode, nx_error *err)
{
    return add_block(b, (nx_op){.kind = NX_OP_PUT, .mode = mode}, NX_BLOCK_PUT, p, err);
}

nx_status nx_writes_update_vectors(nx_writes *b, const nx_point *p, nx_error *err)
{
    nx_point only = *p;

    only.payload = (nx_value){0};
    return add_block(b, (nx_op){.kind = NX_OP_VECTORS}, NX_BLOCK_PATCH, &only, err);
}

static nx_status check_path(nx_str path, nx_error *err)
{
    nx_path parsed;

    return path.len ? nx_path_parse(&parsed, path, err) : NX_OK;
}

static nx_status check_object(nx_value v, nx_error *err)
{
    if (v.n <= NX_PAYLOAD_MAX && nx_value_check(v.p, v.n) && nx_value_kind_of(v) == NX_VALUE_OBJECT)
        return NX_OK;
    return nx_fail(err, NX_EINVAL, "a payload is an object, nested at most %d deep",
                   NX_VALUE_DEPTH_MAX);
}

static nx_str as_str(nx_value v)
{
    return (nx_str){(const char *)v.p, v.n};
}

static const nx_str nothing = {"", 0};

static nx_status check_filter(const nx_writes *b, const nx_filter *filter, nx_error *err)
{
    if (!filter) return nx_fail(err, NX_EINVAL, "a filter that isn't there");
    return nx_filter_check(filter, nx_collection_config(b->c), err);
}

/* ---- Points by their ids, or (all) those for which a filter holds ---- */

static nx_status set_payload(nx_writes *b, nx_op op, nx_value object, nx_str path, nx_error *err)
{
    nx_status st = check_object(object, err);

    op.kind = NX_OP_SET;
    if (!st) st = check_path(path, err);
    return st ? st : add_op(b, op, as_str(object), path, err);
}

static nx_status overwrite_payload(nx_writes *b, nx_op op, nx_value object, nx_error *err)
{
    nx_status st = check_object(object, err);

    op.kind = NX_OP_OVERWRITE;
    return st ? st : add_op(b, op, as_str(object), nothing, err);
}

static nx_status remove_payload(nx_writes *b, nx_op op, nx_str path, nx_error *err)
{
    nx_status st = path.len ? check_path(path, err) : nx_fail(err, NX_EINVAL, "an empty path");

    op.kind = NX_OP_REMOVE;
    return st ? st : add_op(b, op, nothing, path, err);
}

static nx_value empty_object(void)
{
    static const uint8_t empty[9] = {NX_VALUE_OBJECT};

    return (nx_value){empty, sizeof empty};
}

nx_status nx_writes_delete(nx_writes *b, nx_point_id id, nx_error *err)
{
    return add_op(b, (nx_op){.kind = NX_OP_DELETE, .id = id}, nothing, nothing, err);
}

nx_status nx_writes_delete_where(nx_writes *b, nx_str path, nx_str text, nx_error *err)
{
    nx_status st = path.len ? check_path(path, err) : nx_fail(err, NX_EINVAL, "an empty path");

    return st ? st : add_op(b, (nx_op){.kind = NX_OP_DELETE_WHERE}, text, path, err);
}

nx_status nx_writes_set_payload(nx_writes *b, nx_point_id id, nx_value object, nx_str path,
                                nx_error *err)
{
    return set_payload(b, (nx_op){.id = id}, object, path, err);
}

nx_status nx_writes_overwrite_payload(nx_writes *b, nx_point_id id, nx_value object, nx_error *err)
{
    return overwrite_payload(b, (nx_op){.id = id}, object, err);
}

nx_status nx_writes_remove_payload(nx_writes *b, nx_point_id id, nx_str path, nx_error *err)
{
    return remove_payload(b, (nx_op){.id = id}, path, err);
}

nx_status nx_writes_clear_payload(nx_writes *b, nx_point_id id, nx_error *err)
{
    return overwrite_payload(b, (nx_op){.id = id}, empty_object(), err);
}

nx_status nx_writes_delete_if(nx_writes *b, const nx_filter *filter, nx_error *err)
{
    nx_status st = check_filter(b, filter, err);

    if (st) return st;
    return add_op(b, (nx_op){.kind = NX_OP_DELETE, .all = filter}, nothing, nothing, err);
}

nx_status nx_writes_set_payload_if(nx_writes *b, const nx_filter *filter, nx_value object,
                                   nx_str path, nx_error *err)
{
    nx_status st = check_filter(b, filter, err);

    return st ? st : set_payload(b, (nx_op){.all = filter}, object, path, err);
}

nx_status nx_writes_overwrite_payload_if(nx_writes *b, const nx_filter *filter, nx_value object,
                                         nx_error *err)
{
    nx_status st = check_filter(b, filter, err);

    return st ? st : overwrite_payload(b, (nx_op){.all = filter}, object, err);
}

nx_status nx_writes_remove_payload_if(nx_writes *b, const nx_filter *filter, const nx_str *paths,
                                      size_t n, nx_error *err)
{
    nx_status st = check_filter(b, filter, err);

    for (size_t i = 0; !st && i < n; i++)
        st = remove_payload(b, (nx_op){.all = filter, .same = i > 0}, paths[i], err);
    return st;
}

nx_status nx_writes_clear_payload_if(nx_writes *b, const nx_filter *filter, nx_error *err)
{
    return nx_writes_overwrite_payload_if(b, filter, empty_object(), err);
}

nx_status nx_writes_delete_vectors_if(nx_writes *b, const nx_filter *filter, uint64_t slots,
                                      nx_error *err)
{
    int       n_slots = nx_collection_config(b->c)->n_slots;
    nx_status st = check_filter(b, filter, err);

    if (!st && n_slots < 64 && slots >> n_slots)
        st = nx_fail(err, NX_EINVAL, "a vector that isn't there");
    nx_op op = {.kind = NX_OP_DROP_VECTORS, .all = filter, .slots = slots};
    return st ? st : add_op(b, op, nothing, nothing, err);
}

nx_status nx_writes_only_if(nx_writes *b, const nx_filter *filter, nx_error *err)
{
    nx_status st = filter ? check_filter(b, filter, err) : NX_OK;

    if (!st) b->only = filter;
    return st;
}
