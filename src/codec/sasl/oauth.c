/* SPDX-License-Identifier: ISC */
#include "codec/sasl/sasl.h"

#include "base/utf8.h"

/* RFC 6750 2.1: b64token */
static bool bearer(struct str value, struct str *token_r)
{
	struct str rest = value;
	struct str scheme = str_cut(&rest, ' ');

	if (!str_ieqc(scheme, "Bearer") || !str_present(rest))
		return false;
	rest = str_trim(rest);
	for (size_t i = 0; i < rest.len; i++)
		if (rest.ptr[i] <= 0x20 || rest.ptr[i] > 0x7e)
			return false;
	*token_r = rest;
	return rest.len > 0;
}

/* Pairs up to the empty one at the end; unknown keys are skipped. */
static bool pairs(struct str rest, struct str *user, struct str *token_r)
{
	struct str token = STR_NONE;

	while (str_present(rest) && rest.len > 0) {
		struct str value = str_cut(&rest, '\1');

		if (value.len == 0)
			break;
		struct str key = str_cut(&value, '=');
		if (!str_present(value))
			return false;
		if (str_eqc(key, "auth") && !bearer(value, &token))
			return false;
		if (user != NULL && str_eqc(key, "user"))
			*user = value;
	}
	*token_r = token;
	return str_present(token) && (!str_present(rest) || rest.len == 0);
}

bool oauthbearer_parse(
	struct str message, struct arena *a, struct sasl_token *token_r)
{
	struct sasl_token t = {0};
	struct str rest = message;
	struct str head = str_cut(&rest, '\1');
	struct str flag = str_cut(&head, ',');

	/* No channel binding: there is no -PLUS form. */
	if ((!str_eqc(flag, "n") && !str_eqc(flag, "y")) ||
		!str_present(head) || !utf8_valid(message))
		return false;
	struct str authzid = str_cut(&head, ',');
	if (!str_present(head) || head.len > 0)
		return false;
	if (authzid.len > 0 &&
		(!str_starts(authzid, "a=") ||
			!sasl_name_decode(str_from_at(authzid, 2), a, &t.user)))
		return false;
	if (!pairs(rest, NULL, &t.token))
		return false;
	*token_r = t;
	return true;
}

bool xoauth2_parse(struct str message, struct sasl_token *token_r)
{
	struct sasl_token t = {0};

	if (!utf8_valid(message) || !pairs(message, &t.user, &t.token) ||
		t.user.len == 0)
		return false;
	*token_r = t;
	return true;
}
