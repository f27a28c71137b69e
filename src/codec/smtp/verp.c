/* SPDX-License-Identifier: ISC */
#include "codec/smtp/verp.h"

#include "codec/smtp/path.h"

bool verp_delimiters_fit(struct str delimiters, struct str filter)
{
	for (size_t i = 0; i < delimiters.len; i++)
		if (str_find(filter, delimiters.ptr[i]) < 0)
			return false;
	return delimiters.len == 2;
}

/* What stands between the quotes; escapes in it stay. */
static struct str bare(struct str local, bool *quoted)
{
	bool is = local.len >= 2 && local.ptr[0] == '"';

	*quoted |= is;
	return is ? str_sub(local, 1, local.len - 2) : local;
}

struct str verp_sender(struct str delimiters, struct str sender,
	struct str recipient, struct arena *a)
{
	struct str owner, origin, user, domain;
	bool quoted = false;

	smtp_address_split(sender, &owner, &origin);
	smtp_address_split(recipient, &user, &domain);
	if (origin.len == 0)
		return sender;
	owner = bare(owner, &quoted);
	user = bare(user, &quoted);
	const char *quote = quoted ? "\"" : "";
	return arena_printf(a, "%s%.*s%c%.*s%.*s%.*s%s@%.*s", quote,
		STR_ARG(owner), delimiters.ptr[0], STR_ARG(user),
		domain.len > 0 ? 1 : 0, delimiters.ptr + 1, STR_ARG(domain),
		quote, STR_ARG(origin));
}
