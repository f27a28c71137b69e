/* SPDX-License-Identifier: ISC */
/*
 * smtpd_proxy_filter: SMTPD_PROXY_README.  The whole message is here before
 * the filter is called (Postfix's speed_adjust): its reply to the end of the
 * data is ours, so that a client never holds 250 for mail that nobody has.
 */
#include "net/endpoint.h"
#include "net/smtp_client.h"
#include "role/smtpd/smtpd.h"
#include "sys/file.h"

static struct smtp_client_rcpt *rcpts_of(struct session *s)
{
	struct smtp_client_rcpt *v =
		arena_alloc(s->tx_a, (s->tx.n_rcpts + 1) * sizeof(*v));

	for (size_t i = 0; i < s->tx.n_rcpts; i++)
		v[i] = (struct smtp_client_rcpt){
			.address = s->tx.rcpts[i].address,
			.orcpt = s->tx.rcpts[i].orcpt,
			.notify = s->tx.rcpts[i].notify};
	return v;
}

static bool converse(struct session *s, struct smtp_client *c,
	struct str message, const struct spool *sp, struct fault *f)
{
	unsigned flags = s->tx.mail.flags;
	struct smtp_client_xforward x = {.name = s->client_name,
		.addr = s->addr_len == 16 ? arena_printf(s->cmd_a, "IPv6:%.*s",
						    STR_ARG(s->client))
					  : s->client,
		.helo = s->helo,
		.proto = s->esmtp ? STR("ESMTP") : STR("SMTP"),
		.port = s->client_port};
	struct smtp_client_mail m = {.sender = s->tx.sender,
		.envid = s->tx.mail.envid,
		.ret_hdrs = (flags & SMTP_MAIL_RET_HDRS) != 0,
		.utf8 = (flags & SMTP_MAIL_UTF8) != 0,
		.has_8bit = sp->has_8bit,
		.all = true,
		.size = message.len,
		.rcpts = rcpts_of(s),
		.n_rcpts = s->tx.n_rcpts,
		.message = message};

	return smtp_client_hello(c, f) && smtp_client_xforward(c, &x, f) &&
	       smtp_client_send(c, &m, f);
}

/* "250 2.0.0 Ok" without its code */
static struct str words(struct str reply)
{
	return reply.len > 4 && ascii_is_digit(reply.ptr[0])
		       ? str_from_at(reply, 4)
		       : reply;
}

/* The filter's no is the client's; that it cannot be asked is ours. */
static void answer(struct session *s, const struct smtp_client *c, bool ok,
	const struct fault *f)
{
	bool said = !ok && smtp_client_said(f);
	char id[ID_TEXT];

	id_text(s->tx.id, id);
	log_info(ok ? "proxy accept" : "proxy reject", log_z("queue_id", id),
		log_s("client", s->client), log_s("from", s->tx.sender_said),
		log_s("filter", s->sv->c->smtpd_proxy_filter),
		log_s("message_id", s->tx.message_id),
		log_s("reply",
			ok ? buf_str(&c->reply.text) : str_from(f->text)));
	if (ok) {
		s->mails++;
		s->errors = s->junk = 0;
		struct str text = words(buf_str(&c->reply.text));

		smtpd_reply(s, 250, "%.*s", STR_ARG(text));
	} else if (said) {
		struct str text = words(str_from(f->text));

		smtpd_refuse(s, f->code, "%.*s", STR_ARG(text));
	} else {
		smtpd_reply(s, 451,
			"4.3.0 Error: the content filter does not answer; try "
			"again later");
	}
}

/* access(5): the mail is not ours to hold, or to send elsewhere. */
static void warn_of_actions(struct session *s)
{
	const struct transaction *tx = &s->tx;

	if (tx->hold || tx->redirect.len > 0 || tx->filter.len > 0)
		log_warn("with smtpd_proxy_filter HOLD, REDIRECT and FILTER "
			 "are skipped",
			log_s("client", s->client),
			log_s("from", tx->sender_said));
}

bool smtpd_proxy_filter(struct session *s, const struct text *text,
	const struct spool *sp, struct fault *f)
{
	const struct conf *c = s->sv->c;
	int64_t ms = c->smtpd_proxy_timeout * 1000;
	struct smtp_timeouts t = {ms, ms, ms, ms, ms, ms, 1000};
	struct file_map map CLEANUP(file_unmap) = {0};
	struct smtp_client client;

	warn_of_actions(s);
	if (!text_map(text, &map, f))
		return false;
	int sock = endpoint_open(&s->sv->proxy_filter, ms, f);
	if (sock < 0)
		return false;
	smtp_client_init(
		&client, sock, s->tx_a, c->smtpd_proxy_ehlo, false, &t);
	bool ok = converse(s, &client, map.bytes, sp, f);
	answer(s, &client, ok, f);
	smtp_client_close(&client, !stream_failed(client.stream));
	return true;
}
