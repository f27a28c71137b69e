/* SPDX-License-Identifier: ISC */
#include "codec/smtp/mta_sts.h"

enum { MX_MAX = 100, AGE_MAX = 31557600 };

/* ---- the record ---- */

static bool is_id(struct str s)
{
	for (size_t i = 0; i < s.len; i++)
		if (!ascii_is_alnum(s.ptr[i]))
			return false;
	return s.len > 0 && s.len <= 32;
}

bool mta_sts_record_parse(struct str text, struct str *id_r)
{
	bool first = true;

	*id_r = STR_NONE;
	while (str_present(text)) {
		struct str value = str_trim(str_cut(&text, ';'));
		struct str name = str_trim(str_cut(&value, '='));

		value = str_trim(value);
		if (first && (!str_eqc(name, "v") || !str_eqc(value, "STSv1")))
			return false;
		first = false;
		if (str_eqc(name, "id") && !str_present(*id_r))
			*id_r = value;
	}
	return str_present(*id_r) && is_id(*id_r);
}

/* ---- the policy ---- */

static bool parse_mode(struct str value, enum mta_sts_mode *mode_r)
{
	static const char *const names[] = {"none", "testing", "enforce"};

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (str_eqc(value, names[i])) {
			*mode_r = (enum mta_sts_mode)i;
			return true;
		}
	return false;
}

bool mta_sts_policy_parse(
	struct str text, struct arena *a, struct mta_sts_policy *policy_r)
{
	bool version = false, mode = false, age = false;
	uint64_t n;

	*policy_r = (struct mta_sts_policy){0};
	while (str_present(text)) {
		struct str value = str_trim(str_cut(&text, '\n'));
		struct str name = str_trim(str_cut(&value, ':'));

		value = str_trim(value);
		/* Of what stands twice the first counts. */
		if (str_eqc(name, "version") && !version) {
			if (!str_eqc(value, "STSv1"))
				return false;
			version = true;
		} else if (str_eqc(name, "mode") && !mode) {
			if (!parse_mode(value, &policy_r->mode))
				return false;
			mode = true;
		} else if (str_eqc(name, "max_age") && !age) {
			if (value.len > 10 || !str_u64(value, &n))
				return false;
			policy_r->max_age = n > AGE_MAX ? AGE_MAX : (int64_t)n;
			age = true;
		} else if (str_eqc(name, "mx") && value.len > 0 &&
			   policy_r->mx.n < MX_MAX) {
			strs_add(&policy_r->mx, a, value);
		}
	}
	return version && mode && age &&
	       (policy_r->mx.n > 0 || policy_r->mode == MTA_STS_NONE);
}

bool mta_sts_mx_matches(const struct mta_sts_policy *p, struct str host)
{
	if (str_ends(host, "."))
		host.len--;
	ptrdiff_t dot = str_find(host, '.');
	struct str behind =
		dot > 0 ? str_from_at(host, (size_t)dot + 1) : STR("");

	for (size_t i = 0; i < p->mx.n; i++) {
		struct str pattern = p->mx.v[i];

		if (str_starts(pattern, "*.")
				? behind.len > 0 &&
					  str_ieq(behind,
						  str_from_at(pattern, 2))
				: str_ieq(host, pattern))
			return true;
	}
	return false;
}
