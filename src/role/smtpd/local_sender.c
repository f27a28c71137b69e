/* SPDX-License-Identifier: ISC */
/* As whom may an account of this machine write?  postconf(5)
 * local_login_sender_maps: its tables say it by login name. */
#include "codec/postfix/lines.h"
#include "codec/smtp/path.h"
#include "role/smtpd/smtpd.h"

static bool matches(const struct conf *c, struct str pattern, struct str sender)
{
	struct str local, domain;

	smtp_address_split(sender, &local, &domain);
	if (str_eqc(pattern, "*"))
		return true;
	if (str_eq(pattern,
		    c->empty_address_local_login_sender_maps_lookup_key))
		return sender.len == 0;
	if (str_starts(pattern, "@"))
		return str_ieq(str_from_at(pattern, 1), domain);
	/* A bare name: sendmail(1) has put ours behind it. */
	if (str_find(pattern, '@') < 0)
		return str_ieq(pattern, local) && str_ieq(domain, c->myorigin);
	return str_ieq(pattern, sender);
}

bool smtpd_local_sender_refused(struct session *s)
{
	const struct conf *c = s->sv->c;
	struct str sender = s->tx.sender_said, patterns, pattern;
	struct fault f;

	if (!s->sv->service->local || s->sv->local_login_senders == NULL)
		return false;
	switch (maps_lookup(s->sv->local_login_senders, s->local_user, s->cmd_a,
		&patterns, &f)) {
	case TABLE_FOUND:
		break;
	case TABLE_NONE:
		patterns = STR("");
		break;
	case TABLE_ERROR:
		smtpd_refuse_lookup(s, s->local_user, &f);
		return true;
	}
	while (str_present(pattern = list_item(&patterns)))
		if (matches(c, pattern, sender))
			return false;
	smtpd_refuse(s, 553, "5.7.1 %.*s may not send as <%.*s>",
		STR_ARG(s->local_user), STR_ARG(sender));
	return true;
}
