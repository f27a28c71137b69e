/* SPDX-License-Identifier: ISC */
#ifndef CODEC_SASL_SASL_H
#define CODEC_SASL_SASL_H

/*
 * The messages of SASL mechanisms, bytes to structs and back.
 *
 * RFC 4616 2 (PLAIN), RFC 5802 7 (SCRAM messages), RFC 7677 (SHA-256),
 * RFC 7628 3.1 (OAUTHBEARER), Google's XOAUTH2
 *
 * Pure.  Views point into the message.
 */

#include "base/arena.h"

enum { SASL_RESPONSE_MAX = 12288 }; /* RFC 4954 4, base64 form */

enum scram_digest { SCRAM_SHA256, SCRAM_SHA1, SCRAM_DIGESTS };

struct sasl_plain {
	struct str authzid; /* may be empty */
	struct str authcid;
	struct str password;
};
/* message = [authzid] NUL authcid NUL passwd */
bool sasl_plain_parse(struct str message, struct sasl_plain *plain_r);

struct scram_client_first {
	char binding; /* 'n', 'y' or 'p' */
	struct str binding_name; /* of 'p': "tls-exporter" */
	struct str gs2; /* "n,a=user,": goes into the c= check */
	struct str authzid; /* decoded; absent without */
	struct str user; /* decoded =2C =3D */
	struct str nonce;
	struct str bare; /* client-first-message-bare */
};
struct scram_client_final {
	struct str channel; /* c=, base64 as sent */
	struct str nonce;
	struct str proof; /* base64 as sent */
	struct str without_proof;
};
bool scram_client_first_parse(struct str message, struct arena *a,
	struct scram_client_first *first_r);
bool scram_client_final_parse(
	struct str message, struct scram_client_final *final_r);

struct scram_server_first {
	struct str nonce;
	struct str salt; /* base64 */
	uint64_t iterations;
};
bool scram_server_first_parse(
	struct str message, struct scram_server_first *first_r);
/* saslname: "," and "=" escaped. RFC 5802 5.1 */
bool sasl_name_decode(struct str s, struct arena *a, struct str *name_r);
struct str scram_name_encode(struct str name, struct arena *a);

struct sasl_token {
	struct str user; /* who it is for; absent where not said */
	struct str token;
};
/* gs2-header %x01 *(key "=" value %x01) %x01, with auth=Bearer */
bool oauthbearer_parse(
	struct str message, struct arena *a, struct sasl_token *token_r);
/* "user=" user %x01 "auth=Bearer " token %x01 %x01 */
bool xoauth2_parse(struct str message, struct sasl_token *token_r);

#endif
