/* hf_sentence.h - what sentence-transformers keeps beside a model: how its rows become one vector.
 *
 *   modules.json                        which modules there are, in order
 *   N_Pooling/config.json               mean, cls or last token; is the prompt pooled as well?
 *   sentence_bert_config.json           max_seq_length, do_lower_case
 *   config_sentence_transformers.json   prompts
 *
 * They become keys like those of config.json (docs/formats/hf-keys.md). A folder without modules.json
 * says nothing of the kind.
 * Owns:   its JSON documents; the texts are views into them.
 * Thread: any, once read.
 */
#ifndef NX_FORMAT_HF_SENTENCE_H
#define NX_FORMAT_HF_SENTENCE_H

#include "base/jsonread.h"
#include "format/hf_reader.h"

struct nx_hf;

/* Zero-initialise. */
typedef struct nx_hf_sentence {
    bool        present;
    bool        ranks;   /* set by the caller: of a cross-encoder only lengths are read */
    int         pooling; /* GGUF's number: 1 mean, 2 cls, 3 last; 0: not said */
    bool        normalise, leave_out_prompt, lowercase;
    int64_t     max_len;               /* tokens with those around; 0: not said */
    nx_str      query, passage, usual; /* prompts; p NULL: none */
    nx_json_doc settings;              /* that the prompts are views into */
} nx_hf_sentence;

/* NX_EUNSUPPORTED names a module or a way of pooling that we don't compute; NX_EFORMAT names file,
 * line and field; NX_ENOMEM. Free it in every case. */
nx_status nx_hf_sentence_read(nx_hf_sentence *s, const struct nx_hf *hf, nx_error *err);
void      nx_hf_sentence_free(nx_hf_sentence *s);

void nx_hf_put_sentence(nx_hf_reader *r, const nx_hf_sentence *s);

#endif
