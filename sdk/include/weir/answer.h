/* SPDX-License-Identifier: Apache-2.0 */
/* Host extension "weir.answer/1": what an answer depends on, and giving one that is known already.
 *
 * For plugins that keep answers. The host knows every parameter of a request after defaults and
 * policies, and how an answer is written for each endpoint, streamed or not; so it makes the key
 * and it writes the answer, and a plugin keeps chunks. */
#ifndef WEIR_ANSWER_H
#define WEIR_ANSWER_H

#include "weir/backend_stream.h"

#ifdef __cplusplus
extern "C" {
#endif

#define WEIR_EXT_ANSWER "weir.answer/1"

enum { WEIR_ANSWER_DIGEST_BYTES = 32, WEIR_ANSWER_SECRET_BYTES = 16 };

enum weir_answer_flags {
    /* Tokens are drawn and the client gave no seed: another run would give another answer. */
    WEIR_ANSWER_DRAWN = 1u << 0,
    /* The client stated the most tokens it wants: an answer that ends there is what it asked for,
     * not one that was cut. */
    WEIR_ANSWER_LIMITED = 1u << 1
};

typedef struct weir_answer_key {
    uint32_t struct_size;
    uint32_t flags; /* enum weir_answer_flags */
    uint8_t digest[WEIR_ANSWER_DIGEST_BYTES];
} weir_answer_key;

typedef struct weir_ext_answer {
    uint32_t struct_size;
    uint32_t reserved;

    /* SHA-256 over all that the answer depends on: tenant, model, what the model is made of, the
     * target it is pinned to, and every parameter of the generation; not over how it is delivered
     * (stream, usage asked for, user). Equal digests: equal requests. From BODY on; in ROUTE,
     * policies that stand in front have been heard. WEIR_E_NOTFOUND: the request generates nothing.
     * [loop] */
    int (*key)(const weir_host *, weir_req *, weir_answer_key *out);

    /* Inside a hook of BODY or ROUTE that then returns WEIR_RESPOND: answers with these chunks, in
     * the form that the client asked for, as if a target had given them. Plugins with the phase
     * REPLAY are asked first; on_chunk of the plugins behind this one sees the chunks; on_complete
     * gets the outcome's numbers. All is copied. Counts as the hook's one answer. WEIR_E_NOMEM:
     * more than one request may use; the hook can still return CONTINUE. [loop] */
    int (*replay)(const weir_host *, weir_req *, const weir_chunk *chunks, size_t n_chunks,
                  const weir_outcome *outcome);

    /* As key(), for who keeps answers in this process alone: a faster hash under a secret of the
     * caller's. It has 128 bits, the rest of the digest is 0; who does not know the secret, of 16
     * random bytes, cannot make two requests that meet. */
    int (*own_key)(const weir_host *, weir_req *, const uint8_t secret[WEIR_ANSWER_SECRET_BYTES],
                   weir_answer_key *out);
} weir_ext_answer;

#ifdef __cplusplus
}
#endif
#endif
