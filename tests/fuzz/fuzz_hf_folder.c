/* fuzz_hf_folder.c - the small JSON of a Hugging Face folder: the index of its shards, and the
 * quant_state of a 4-bit weight. Any text there opens or is refused with a message that names the
 * folder, and what opens can be decoded to its last row.
 *
 * First byte: even, the rest is model.safetensors.index.json; odd, a quant_state.
 */
#include <stdlib.h>
#include <string.h>

#include "../unit/format/folder_maker.h"
#include "format/checkpoint.h"

static char shards[64], quantised[64];

static void remove_all(void)
{
    folder_remove(shards);
    folder_remove(quantised);
}

static void make_dirs(void)
{
    const char *where = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";

    if (shards[0]) return;
    MK_PRINT(shards, "%s/nx-fuzz-XXXXXX", where);
    MK_PRINT(quantised, "%s/nx-fuzz-XXXXXX", where);
    if (!mkdtemp(shards) || !mkdtemp(quantised)) abort();
    folder_make(shards, FOLDER_SHARDS);
    mk_write_file(quantised, "config.json", mk_config(FOLDER_NF4), strlen(mk_config(FOLDER_NF4)));
    atexit(remove_all);
}

/* One weight of 32 x 64 with that text as its quant_state. */
static void write_weight(const uint8_t *state, size_t n)
{
    static unsigned char file[16384];
    char                 header[1024];

#define P "\"model.layers.0.self_attn.q_proj.weight"
    int len =
        snprintf(header, sizeof header,
                 "{" P "\":{\"dtype\":\"U8\",\"shape\":[1024,1],\"data_offsets\":[0,1024]}," P
                 ".absmax\":{\"dtype\":\"F32\",\"shape\":[32],\"data_offsets\":[1024,1152]}," P
                 ".quant_map\":{\"dtype\":\"F32\",\"shape\":[16],\"data_offsets\":[1152,1216]}," P
                 ".quant_state.bitsandbytes__nf4\":{\"dtype\":\"U8\",\"shape\":[%zu],"
                 "\"data_offsets\":[1216,%zu]}}",
                 n, 1216 + n);
#undef P
    memset(file, 0, sizeof file);
    file[0] = (unsigned char)len;
    file[1] = (unsigned char)(len >> 8);
    memcpy(file + 8, header, (size_t)len);
    unsigned char *data = file + 8 + len;
    memcpy(data + 1152, nx_nf4_levels, 64);
    if (n) memcpy(data + 1216, state, n);
    mk_write_file(quantised, "model.safetensors", file, 8 + (size_t)len + 1216 + n);
}

static void open_folder(const char *dir)
{
    static float   row[1 << 16];
    nx_checkpoint *cp = NULL;
    nx_error       err = {0};

    if (nx_checkpoint_open(&cp, dir, &err)) {
        if (!strstr(err.text, dir) || strlen(err.text) < strlen(dir) + 10) abort();
        return;
    }
    for (int64_t i = 0; i < nx_checkpoint_n_tensors(cp); i++) {
        const nx_tensor *t = nx_checkpoint_tensor_at(cp, i);
        if (t->ne[0] > 1 << 16) abort();
        nx_tensor_decode(row, t, nx_tensor_rows(t) - 1, 1);
    }
    nx_checkpoint_close(cp);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0 || size > 8192) return 0;
    make_dirs();
    if (data[0] % 2) {
        write_weight(data + 1, size - 1);
        open_folder(quantised);
    } else {
        mk_write_file(shards, "model.safetensors.index.json", data + 1, size - 1);
        open_folder(shards);
    }
    return 0;
}
