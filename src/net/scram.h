/* SPDX-License-Identifier: ISC */
#ifndef NET_SCRAM_H
#define NET_SCRAM_H

/*
 * scram: the client side of SCRAM-SHA-256 and SCRAM-SHA-1 as a conversation.
 * RFC 5802 3, 5 and 6 (channel binding), RFC 7677.
 */

#include "sys/crypto.h"

struct scram_client {
	enum scram_digest digest;
	struct str first; /* to send */
	struct str gs2; /* header, and with it the binding's data, for c= */
	struct str binding;
	struct str bare;
	struct str password;
	struct str nonce;
	struct arena *a;
	unsigned char server_signature[SCRAM_KEY_MAX];
};

/* gs2: "p=tls-exporter" with the data of the binding; "y": we could, the server
 * does not offer it; "n": we cannot. */
void scram_client_begin(struct scram_client *s, enum scram_digest digest,
	struct str user, struct str password, const char *gs2,
	struct str binding, struct arena *a);
/* server-first to client-final; false when it is broken or too costly. */
bool scram_client_answer(
	struct scram_client *s, struct str server_first, struct str *final_r);
bool scram_client_verify(const struct scram_client *s, struct str server_final);

#endif
