/* SPDX-License-Identifier: ISC */
#include "policy/verify_sender.h"

#include "codec/smtp/path.h"

enum { CODE_MAX = 16 };

/* Digits and consonants: no code is a word. */
static struct str code_of(int64_t period, char text[CODE_MAX])
{
	static const char digits[] = "0123456789bcdfghjklmnpqrstvwxyz";
	size_t at = CODE_MAX;

	do {
		text[--at] = digits[period % (int64_t)(sizeof(digits) - 1)];
		period /= (int64_t)(sizeof(digits) - 1);
	} while (period > 0 && at > 0);
	return str_of(text + at, CODE_MAX - at);
}

struct str verify_sender(const struct conf *c, int64_t now, struct arena *a)
{
	struct str sender = c->address_verify_sender, local, domain;
	struct str code = STR("");
	char text[CODE_MAX];

	if (sender.len == 0 || str_eqc(sender, "<>"))
		return STR("");
	smtp_address_split(sender, &local, &domain);
	if (c->address_verify_sender_ttl > 0)
		code = code_of(now / c->address_verify_sender_ttl, text);
	return arena_printf(a, "%.*s%.*s@%.*s", STR_ARG(local), STR_ARG(code),
		STR_ARG(str_present(domain) ? domain : c->myorigin));
}

bool verify_sender_is(const struct conf *c, struct str name, struct str local,
	struct str domain, int64_t now)
{
	char text[CODE_MAX];

	if (name.len == 0 || !str_ieq(domain, c->myorigin) ||
		local.len < name.len ||
		!str_ieq(str_sub(local, 0, name.len), name))
		return false;
	struct str rest = str_from_at(local, name.len);
	if (rest.len == 0 || c->address_verify_sender_ttl <= 0)
		return rest.len == 0;
	int64_t period = now / c->address_verify_sender_ttl;
	return str_ieq(rest, code_of(period, text)) ||
	       str_ieq(rest, code_of(period - 1, text));
}
