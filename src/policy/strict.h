/* SPDX-License-Identifier: ISC */
#ifndef POLICY_STRICT_H
#define POLICY_STRICT_H

/*
 * strict: what MIME forbids, and mail does all the same: strict_7bit_headers,
 * strict_8bitmime, strict_8bitmime_body, strict_mime_encoding_domain and
 * mime_nesting_limit of postconf(5).  Pure; any thread.
 */

#include "conf/conf.h"

/* May any mail be refused? */
bool strict_wanted(const struct conf *c);
/* Why the message is refused ("5.6.0 improper use of ..."); absent: it is not.
 * utf8: it came with SMTPUTF8, which allows UTF-8 in headers (RFC 6532). */
struct str strict_refusal(
	const struct conf *c, struct str message, bool utf8, struct arena *a);

#endif
