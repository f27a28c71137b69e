/* SPDX-License-Identifier: ISC */
/*
 * smtpd_account_*_limit: what an account may send out in a day.  Beyond it
 * the mail is taken and held, and the owner is told, once a day: a password
 * that was stolen must not burn the server's name, and an honest newsletter
 * must not be lost.
 */
#include <unistd.h>

#include "codec/mail/date.h"
#include "policy/rewrite.h"
#include "role/smtpd/smtpd.h"
#include "sys/file.h"

static const char *const over_names[] = {"", "smtpd_account_message_limit",
	"smtpd_account_recipient_limit", "smtpd_account_new_recipient_limit"};

/* Mail that stays here harms nobody. */
static bool leaves_us(struct session *s, struct str address)
{
	enum address_class class;
	ptrdiff_t at = str_rfind(address, '@');
	struct fault f;

	return !policy_class(s->sv->policy,
		       str_from_at(address, (size_t)(at + 1)), s->cmd_a, &class,
		       &f) ||
	       class == CLASS_DEFAULT || class == CLASS_RELAY;
}

static bool is_exempt(struct session *s)
{
	struct fault f;

	return match_name(s->sv->account_exceptions, s->login, s->cmd_a, &f) ==
	       TABLE_FOUND;
}

void smtpd_account_check(struct session *s, struct usage_result *result_r)
{
	const struct conf *c = s->sv->c;
	struct usage_limits limits = {c->smtpd_account_message_limit,
		c->smtpd_account_recipient_limit,
		c->smtpd_account_new_recipient_limit};
	struct strs out = {0};
	struct fault f;
	char id[ID_TEXT];

	*result_r = (struct usage_result){.over = USAGE_WITHIN};
	if (!str_present(s->login) ||
		limits.messages + limits.recipients + limits.new_recipients ==
			0)
		return;
	for (size_t i = 0; i < s->tx.n_rcpts; i++)
		if (leaves_us(s, s->tx.rcpts[i].address))
			strs_add(&out, s->tx_a, s->tx.rcpts[i].address);
	if (out.n == 0 || is_exempt(s))
		return;
	/* Without an answer the mail goes: the limit is no reason to lose it.
	 */
	if (!accounts_spend(s->sv->role->auth, s->login_id, &out, &limits,
		    result_r, &f)) {
		log_warn("account limits not checked", log_s("login", s->login),
			log_fault(&f));
		return;
	}
	if (result_r->over == USAGE_WITHIN)
		return;
	s->tx.hold = true;
	id_text(s->tx.id, id);
	log_warn("limit exceeded: held", log_z("queue_id", id),
		log_z("limit", over_names[result_r->over]),
		log_n("count", result_r->count), log_s("client", s->client),
		log_s("login", s->login));
}

static void put_notice(struct session *s, const struct usage_result *r,
	const char *id, struct buf *out)
{
	const struct conf *c = s->sv->c;
	int64_t now = clock_unix();

	buf_putf(out,
		"From: Mail system <MAILER-DAEMON@%.*s>\r\nTo: <%.*s>\r\n"
		"Subject: Mail from your account is being held\r\n"
		"Message-ID: <%s.held@%.*s>\r\nAuto-Submitted: auto-generated"
		"\r\nMIME-Version: 1.0\r\n"
		"Content-Type: text/plain; charset=us-ascii\r\nDate: ",
		STR_ARG(c->myhostname), STR_ARG(s->login), id,
		STR_ARG(c->myhostname));
	mail_date_put(now, clock_zone_minutes(now), out);
	buf_putf(out,
		"\r\n\r\nThis is the mail system at %.*s.\r\n\r\n"
		"The account %.*s has sent more today than it may:\r\n"
		"%lld %s.\r\n\r\n"
		"What it sends from now on is kept, but not delivered, until "
		"an\r\nadministrator lets it go. Nothing is lost.\r\n\r\n"
		"The first mail that is held has the queue id %s and came "
		"from\r\nthe address %.*s.\r\n\r\n"
		"If it was not you who sent it, somebody knows your password: "
		"change\r\nit now, and tell your administrator.\r\n\r\n"
		"For the administrator: postern why %s tells more; postern "
		"queue list\r\nshows what is held, postern queue release ID "
		"sends it,\r\n%s in main.cf is the limit.\r\n",
		STR_ARG(c->myhostname), STR_ARG(s->login), (long long)r->count,
		r->over == USAGE_MESSAGES     ? "messages"
		: r->over == USAGE_RECIPIENTS ? "recipients"
					      : "recipients that it never "
						"wrote to before",
		id, STR_ARG(s->client), id, over_names[r->over]);
}

void smtpd_account_tell(struct session *s, const struct usage_result *r)
{
	struct buf text CLEANUP(buf_fini);
	struct recipient to[2] = {{.address = s->login,
					  .original = s->login,
					  .notify = SMTP_NOTIFY_NEVER},
		{.notify = SMTP_NOTIFY_NEVER}};
	char id[ID_TEXT];
	struct fault f;

	if (!r->first)
		return;
	id_text(s->tx.id, id);
	to[1].address = to[1].original =
		rewrite_trivial(s->sv->policy, STR("postmaster"), s->cmd_a);
	buf_init(&text, 16384);
	put_notice(s, r, id, &text);
	struct envelope env = {.id = id_new(),
		.arrival = clock_unix(),
		.flags = ENV_DSN,
		.size = text.len,
		.sender = STR(""),
		.client = STR("local"),
		.rcpts = to,
		.n_rcpts = 2};
	struct text notice = text_view(buf_str(&text));
	if (!smtpd_put_in_queue(s, &env, &notice, &f))
		log_warn("owner not told", log_s("login", s->login),
			log_fault(&f));
}
