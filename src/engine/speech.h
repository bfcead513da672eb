/* speech.h - from token ids to text that can be shown: whole characters, stop texts held back.
 *
 * Thread: one at a time.
 */
#ifndef NX_ENGINE_SPEECH_H
#define NX_ENGINE_SPEECH_H

#include "engine/stops.h"
#include "token/vocab.h"

typedef struct nx_speech {
    const nx_vocab *vocab; /* NULL: ids say nothing */
    nx_stops        stops; /* its held text begins with what is ready */
    nx_decoder      decoder;
    size_t          n_dropped; /* bytes that were shown or cut off so far */
} nx_speech;

/* stop [n_stop] is borrowed. before [n]: what the answer continues. (A SentencePiece vocabulary spells
 * the space before a text's first word, but nobody wrote it.) */
void nx_speech_begin(nx_speech *s, const nx_vocab *vocab, const nx_str *stop, size_t n_stop,
                     const int32_t *before, size_t n);
void nx_speech_end(nx_speech *s); /* frees; an all-zero struct is fine */

/* Say id. Then *ready [*n_ready] can be shown; *stopped: a stop text is complete, nothing follows.
 * *ready lives until the next call; nx_speech_shown drops it. NX_ENOMEM, NX_EINVAL. */
nx_status nx_speech_push(nx_speech *s, int32_t id, const char **ready, size_t *n_ready,
                         bool *stopped, nx_error *err);

/* The same for what was held back in vain: half a character, the beginning of a stop text. */
nx_status nx_speech_finish(nx_speech *s, const char **ready, size_t *n_ready, bool *stopped,
                           nx_error *err);
void      nx_speech_shown(nx_speech *s, size_t n);

/* Bytes of text that the ids so far make, held ones included. */
size_t nx_speech_length(const nx_speech *s);

#endif
