/* SPDX-License-Identifier: ISC */
#include "codec/mail/dmarc.h"

#include "base/attr.h"
#include "codec/mail/dkim.h"
#include "codec/mail/uri.h"

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

/* fo=: letters by colons; d and s ask for reports of other kinds. */
static bool has_option(struct str list, const char *option)
{
	while (str_present(list))
		if (str_eqc(str_trim(str_cut(&list, ':')), option))
			return true;
	return false;
}

bool dmarc_record_parse(
	struct str text, struct arena *a, struct dmarc_record *r_r)
{
	struct dmarc_record r = {0};
	struct dkim_tags tags;

	if (!dmarc_is_record(text) || !dkim_tags_parse(text, a, &tags))
		return false;
	r.text = text;
	r.rua = dkim_tag_value(&tags, "rua");
	r.ruf = dkim_tag_value(&tags, "ruf");
	r.any = has_option(dkim_tag_value(&tags, "fo"), "1");
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

/* ---- rua ---- */

/* "10m": a limit as RFC 7489 had it, still to be met. */
static uint64_t parse_limit(struct str s)
{
	uint64_t n = 0, unit = 1;
	char last = s.len > 0 ? ascii_lower(s.ptr[s.len - 1]) : '\0';

	if (last == 'k' || last == 'm' || last == 'g' || last == 't') {
		unit = last == 'k'   ? 1ull << 10
		       : last == 'm' ? 1ull << 20
		       : last == 'g' ? 1ull << 30
				     : 1ull << 40;
		s.len--;
	}
	return s.len < 8 && str_u64(s, &n) ? n * unit : 0;
}

size_t dmarc_rua_parse(
	struct str rua, size_t max, struct arena *a, struct dmarc_rua *v)
{
	size_t n = 0;

	while (str_present(rua) && n < max) {
		struct str uri = str_trim(str_cut(&rua, ','));
		struct str limit = uri;
		struct str address = str_cut(&limit, '!');

		if (!str_istarts(address, "mailto:"))
			continue;
		address = str_from_at(address, 7);
		address = str_cut(&address, '?');
		v[n++] = (struct dmarc_rua){uri_unescape(str_trim(address), a),
			str_present(limit) ? parse_limit(str_trim(limit)) : 0};
	}
	return n;
}
