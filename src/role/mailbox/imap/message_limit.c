/* SPDX-License-Identifier: ISC */
/* MESSAGELIMIT: how many messages one command works on (imap_message_limit).
 * RFC 9738 */
#include "role/mailbox/imap/imap.h"

static size_t limit_of(const struct imap *s)
{
	int64_t limit = s->sv->c->imap_message_limit;

	return limit > 0 ? (size_t)limit : SIZE_MAX;
}

bool imap_is_limited(const struct imap *s)
{
	return limit_of(s) != SIZE_MAX;
}

void imap_limit_newest(struct imap *s, uint32_t **uids, size_t *n)
{
	size_t limit = limit_of(s);

	if (*n <= limit)
		return;
	*uids += *n - limit;
	*n = limit;
	s->limited_from = (*uids)[0];
}

bool imap_within_limit(struct imap *s, size_t n)
{
	size_t limit = limit_of(s);

	if (n <= limit)
		return true;
	imap_no(s, "[MESSAGELIMIT %zu] too many messages for one command",
		limit);
	return false;
}
