/* SPDX-License-Identifier: ISC */
#ifndef POLICY_MTA_STS_H
#define POLICY_MTA_STS_H

/*
 * mta_sts: what a domain promises about TLS at its servers.  RFC 8461: found by
 * DNS, fetched by HTTPS, kept as long as it says, over restarts too: who can
 * lie in DNS must not be able to make it forgotten.
 *
 * Any thread; blocks while DNS and web are asked.
 */

#include "codec/smtp/mta_sts.h"
#include "net/web.h"

struct mta_sts;

/* directory: where policies are kept.  ca_file, ca_path: NULL for those of the
 * system.  All must stay. */
struct mta_sts *mta_sts_new(struct resolver *resolver, const char *directory,
	const char *ca_file, const char *ca_path);

/* The policy in force; mode NONE: there is none.  *why_r: a fetch went wrong
 * just now (absent: none did).  Strings live in the arena. */
struct mta_sts_policy mta_sts_of(struct mta_sts *s, struct str domain,
	struct arena *a, struct str *why_r);

#endif
