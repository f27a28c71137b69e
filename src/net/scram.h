/* SPDX-License-Identifier: ISC */
#ifndef NET_SCRAM_H
#define NET_SCRAM_H

/*
 * scram: the client side of SCRAM-SHA-256 and SCRAM-SHA-1 as a conversation.
 * RFC 5802 3 and 5, RFC 7677.  Without channel binding.
 */

#include "sys/crypto.h"

struct scram_client {
	enum scram_digest digest;
	struct str first; /* to send */
	struct str bare;
	struct str password;
	struct str nonce;
	struct arena *a;
	unsigned char server_signature[SCRAM_KEY_MAX];
};

void scram_client_begin(struct scram_client *s, enum scram_digest digest,
	struct str user, struct str password, struct arena *a);
/* server-first to client-final; false when it is broken or too costly. */
bool scram_client_answer(
	struct scram_client *s, struct str server_first, struct str *final_r);
bool scram_client_verify(const struct scram_client *s, struct str server_final);

#endif
