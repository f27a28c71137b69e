/* SPDX-License-Identifier: ISC */
#include "codec/mail/dmarc.h"

#include "base/attr.h"
#include "codec/mail/dkim.h"

static const char *const policies[] = {"none", "quarantine", "reject"};

const char *dmarc_policy_name(enum dmarc_policy p)
{
	return policies[p];
}

static bool parse_policy(struct str text, enum dmarc_policy *p_r)
{
	for (size_t i = 0; i < ARRAY_LEN(policies); i++)
		if (str_ieqc(text, policies[i])) {
			*p_r = (enum dmarc_policy)i;
			return true;
		}
	return false;
}

bool dmarc_is_record(struct str text)
{
	struct str value = str_trim(str_cut(&text, ';'));
	struct str name = str_trim(str_cut(&value, '='));

	return str_eqc(name, "v") && str_eqc(str_trim(value), "DMARC1");
}

bool dmarc_record_parse(
	struct str text, struct arena *a, struct dmarc_record *r_r)
{
	struct dmarc_record r = {0};
	struct dkim_tags tags;

	if (!dmarc_is_record(text) || !dkim_tags_parse(text, a, &tags))
		return false;
	r.rua = dkim_tag_value(&tags, "rua");
	/* 4.7: without a policy but with somebody who wants to know: none. */
	if (!parse_policy(dkim_tag_value(&tags, "p"), &r.p) &&
		!str_present(r.rua))
		return false;
	if (!parse_policy(dkim_tag_value(&tags, "sp"), &r.sp))
		r.sp = r.p;
	if (!parse_policy(dkim_tag_value(&tags, "np"), &r.np))
		r.np = r.sp;
	struct str psd = dkim_tag_value(&tags, "psd");
	r.psd = str_ieqc(psd, "y")   ? DMARC_PSD_YES
		: str_ieqc(psd, "n") ? DMARC_PSD_NO
				     : DMARC_PSD_UNKNOWN;
	r.strict_dkim = str_ieqc(dkim_tag_value(&tags, "adkim"), "s");
	r.strict_spf = str_ieqc(dkim_tag_value(&tags, "aspf"), "s");
	r.testing = str_ieqc(dkim_tag_value(&tags, "t"), "y");
	*r_r = r;
	return true;
}
