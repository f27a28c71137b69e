/* SPDX-License-Identifier: ISC */
#ifndef NET_TLS_OPTIONS_H
#define NET_TLS_OPTIONS_H

/*
 * tls_options: ciphers and switches of a context, in Postfix's words.
 * TLS_README, postconf(5).  They concern TLS 1.2; the suites of TLS 1.3 are
 * OpenSSL's.  Anonymous ciphers are never used.
 */

#include <openssl/ssl.h>

#include "conf/conf.h"

struct tls_options {
	struct str grade; /* high, medium, null; low and export mean medium */
	struct str exclude, exclude_more; /* cipher names or classes */
	const struct conf *c; /* tls_high_cipherlist and its kin */
};

/* False with a fault for words that OpenSSL does not know. */
bool tls_options_apply(
	SSL_CTX *ctx, const struct tls_options *o, struct fault *f);

/* The options of smtpd or of the SMTP client; mandatory: the level asks for
 * TLS. */
struct tls_options tls_options_smtpd(const struct conf *c, bool mandatory);
struct tls_options tls_options_smtp(const struct conf *c, bool mandatory);

#endif
