/* SPDX-License-Identifier: ISC */
#ifndef CODEC_SMTP_MTA_STS_H
#define CODEC_SMTP_MTA_STS_H

/*
 * mta_sts: the TXT record that announces a policy, and the policy.
 * RFC 8461 3.1, 3.2, 4.1
 *
 * Pure.
 */

#include "base/arena.h"

enum mta_sts_mode { MTA_STS_NONE, MTA_STS_TESTING, MTA_STS_ENFORCE };

struct mta_sts_policy {
	enum mta_sts_mode mode;
	struct strs mx; /* patterns */
	int64_t max_age; /* seconds */
};

/* "v=STSv1; id=20160831085700Z;"; false: it is none. */
bool mta_sts_record_parse(struct str text, struct str *id_r);
/* Views point into the text. */
bool mta_sts_policy_parse(
	struct str text, struct arena *a, struct mta_sts_policy *policy_r);
/* "*.example.net" stands for one label. */
bool mta_sts_mx_matches(const struct mta_sts_policy *p, struct str host);

#endif
