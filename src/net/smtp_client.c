/* SPDX-License-Identifier: ISC */
#include "net/smtp_client_private.h"

#include <stdio.h>
#include <string.h>

#include "codec/smtp/command.h"
#include "codec/smtp/path.h"

enum { IN_MAX = 16384, PIPELINE_MAX = 50, EARLY_MS = 10000 };

void smtp_client_init(struct smtp_client *c, int fd, struct arena *a,
	struct str helo_name, bool lmtp, const struct smtp_timeouts *t)
{
	*c = (struct smtp_client){.stream = stream_new(fd, IN_MAX),
		.a = a,
		.helo_name = helo_name,
		.lmtp = lmtp,
		.timeouts = *t};
	smtp_reply_init(&c->reply);
}

bool smtp_client_lost(struct smtp_client *c, struct fault *f)
{
	return fault_set(f, FAULT_TEMP, 421, 4, 2, "%s",
		stream_timed_out(c->stream)
			? "the server does not answer in time"
			: "the server ended the connection");
}

bool smtp_client_read_lines(struct smtp_client *c, int64_t ms,
	smtp_client_line_f *fn, struct fault *f)
{
	bool first = true;

	smtp_reply_fini(&c->reply);
	smtp_reply_init(&c->reply);
	stream_deadline(c->stream, ms);
	if (!stream_flush(c->stream))
		return smtp_client_lost(c, f);
	for (;;) {
		struct str line;
		enum line_result r = stream_line(
			c->stream, SMTP_CLIENT_LINE_MAX, false, &line);

		if (r == LINE_TOO_LONG)
			return fault_set(f, FAULT_TEMP, 451, 5, 0,
				"the server sent an endless line");
		if (r != LINE_OK)
			return smtp_client_lost(c, f);
		if (c->line_filter != NULL)
			line = c->line_filter(line, c->line_filter_ctx);
		enum smtp_reply_state state = smtp_reply_feed(&c->reply, line);
		if (state == SMTP_REPLY_BAD)
			return fault_set(f, FAULT_TEMP, 451, 5, 0,
				"the server does not speak SMTP");
		if (fn != NULL)
			fn(c, line, first);
		if (state == SMTP_REPLY_DONE)
			return true;
		first = false;
	}
}

bool smtp_client_read_reply(struct smtp_client *c, int64_t ms, struct fault *f)
{
	return smtp_client_read_lines(c, ms, NULL, f);
}

bool smtp_client_in_step(struct smtp_client *c, struct fault *f)
{
	if (!stream_has_input(c->stream))
		return true;
	if (!smtp_client_read_reply(c, EARLY_MS, f))
		return false;
	if (c->reply.code >= 400)
		return smtp_client_refused(c, f);
	return fault_set(f, FAULT_TEMP, 451, 5, 0,
		"the server answered what it was not asked yet");
}

bool smtp_client_refused(struct smtp_client *c, struct fault *f)
{
	const struct smtp_reply *r = &c->reply;
	bool perm = r->code >= 500;
	/* 2xx or 3xx where it does not belong is no promise. */
	bool odd = r->code < 400;

	return fault_set(f, perm ? FAULT_PERM : FAULT_TEMP, r->code,
		r->class != 0 && !odd ? r->subject : 0,
		r->class != 0 && !odd ? r->detail : 0, "%s%.*s",
		odd ? "unexpected reply: " : "", STR_ARG(buf_str(&r->text)));
}

bool smtp_client_said(const struct fault *f)
{
	char code[16];

	snprintf(code, sizeof(code), "%d", f->code);
	size_t n = strlen(code);
	return f->code >= 400 && strncmp(f->text, code, n) == 0 &&
	       (f->text[n] == ' ' || f->text[n] == '\0');
}

bool smtp_client_expect(
	struct smtp_client *c, int64_t ms, int class, struct fault *f)
{
	if (!smtp_client_read_reply(c, ms, f))
		return false;
	return c->reply.code / 100 == class || smtp_client_refused(c, f);
}

/* ---- XFORWARD ---- */

static bool offers(const struct smtp_client *c, const char *attribute)
{
	struct str rest = c->xforward, word;

	while (str_present(word = str_word(&rest, " ")))
		if (str_ieqc(word, attribute))
			return true;
	return false;
}

static void put_attribute(
	struct smtp_client *c, const char *name, struct str value)
{
	if (str_present(value) && value.len > 0 && offers(c, name))
		stream_putf(c->stream, " %s=%.*s", name,
			STR_ARG(smtp_xtext_encode(value, c->a)));
}

bool smtp_client_xforward(struct smtp_client *c,
	const struct smtp_client_xforward *x, struct fault *f)
{
	if ((c->caps & CAP_XFORWARD) == 0)
		return true;
	stream_puts(c->stream, "XFORWARD");
	put_attribute(c, "NAME", x->name);
	put_attribute(c, "ADDR", x->addr);
	if (x->port > 0)
		put_attribute(c, "PORT", arena_printf(c->a, "%u", x->port));
	put_attribute(c, "PROTO", x->proto);
	put_attribute(c, "HELO", x->helo);
	put_attribute(c, "IDENT", x->ident);
	put_attribute(c, "SOURCE", x->local ? STR("LOCAL") : STR("REMOTE"));
	stream_puts(c->stream, "\r\n");
	return smtp_client_expect(c, c->timeouts.mail_ms, 2, f);
}

/* ---- mail ---- */

static struct str as_said(struct smtp_client *c,
	const struct smtp_client_mail *m, struct str address)
{
	return m->unquoted ? smtp_address_unquoted(address, c->a) : address;
}

static void put_mail(struct smtp_client *c, const struct smtp_client_mail *m)
{
	stream_putf(c->stream, "MAIL FROM:<%.*s>",
		STR_ARG(as_said(c, m, m->sender)));
	if ((c->caps & CAP_SIZE) != 0)
		stream_putf(
			c->stream, " SIZE=%llu", (unsigned long long)m->size);
	if (m->has_8bit && (c->caps & CAP_8BITMIME) != 0)
		stream_puts(c->stream, " BODY=8BITMIME");
	if (m->utf8)
		stream_puts(c->stream, " SMTPUTF8");
	if ((c->caps & CAP_DSN) != 0 && m->ret_hdrs)
		stream_puts(c->stream, " RET=HDRS");
	if ((c->caps & CAP_DSN) != 0 && m->envid.len > 0)
		stream_putf(c->stream, " ENVID=%.*s",
			STR_ARG(smtp_xtext_encode(m->envid, c->a)));
	if (m->with_verp)
		stream_putf(c->stream, " XVERP%s%.*s",
			m->verp.len > 0 ? "=" : "", STR_ARG(m->verp));
	if (m->dummy_auth && c->logged_in)
		stream_puts(c->stream, " AUTH=<>");
	if (m->requiretls)
		stream_puts(c->stream, " REQUIRETLS");
	if (m->priority != 0 && (c->caps & CAP_PRIORITY) != 0)
		stream_putf(c->stream, " MT-PRIORITY=%d", m->priority);
	if (m->with_by && (c->caps & CAP_DELIVERBY) != 0)
		stream_putf(c->stream, " BY=%lld;%s%s", (long long)m->by,
			m->by_return ? "R" : "N", m->by_trace ? "T" : "");
	stream_puts(c->stream, "\r\n");
}

static void put_rcpt(struct smtp_client *c, const struct smtp_client_mail *m,
	const struct smtp_client_rcpt *r)
{
	static const char *const names[] = {
		"NEVER", "SUCCESS", "FAILURE", "DELAY"};
	const char *sep = " NOTIFY=";

	stream_putf(c->stream, "RCPT TO:<%.*s>",
		STR_ARG(as_said(c, m, r->address)));
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if ((c->caps & CAP_DSN) != 0 && (r->notify & 1u << i) != 0) {
			stream_putf(c->stream, "%s%s", sep, names[i]);
			sep = ",";
		}
	if ((c->caps & CAP_DSN) != 0 && r->orcpt.len > 0) {
		struct str rest = r->orcpt;
		struct str type = str_cut(&rest, ';');

		stream_putf(c->stream, " ORCPT=%.*s;%.*s", STR_ARG(type),
			STR_ARG(smtp_xtext_encode(rest, c->a)));
	}
	stream_puts(c->stream, "\r\n");
}

static bool take_rcpt_reply(struct smtp_client *c, struct smtp_client_rcpt *r,
	size_t *accepted, struct fault *f)
{
	if (!smtp_client_read_reply(c, c->timeouts.rcpt_ms, f))
		return false;
	r->ok = c->reply.code / 100 == 2;
	r->refused = !r->ok;
	if (r->ok)
		(*accepted)++;
	else
		smtp_client_refused(c, &r->fault);
	return true;
}

/* MAIL and RCPTs, in groups where the server takes them. */
static bool envelope(struct smtp_client *c, struct smtp_client_mail *m,
	size_t *accepted, struct fault *f)
{
	bool group = (c->caps & CAP_PIPELINING) != 0;
	size_t sent = 0, answered = 0;

	put_mail(c, m);
	while (group && sent < m->n_rcpts && sent < PIPELINE_MAX)
		put_rcpt(c, m, &m->rcpts[sent++]);
	bool mail_ok = smtp_client_expect(c, c->timeouts.mail_ms, 2, f);
	if (!mail_ok && (c->reply.code == 0 || stream_failed(c->stream)))
		return false;
	while (answered < m->n_rcpts && (mail_ok || answered < sent)) {
		struct fault dropped;

		while (mail_ok && sent < m->n_rcpts &&
			sent < answered + (group ? PIPELINE_MAX : 1))
			put_rcpt(c, m, &m->rcpts[sent++]);
		if (!take_rcpt_reply(c, &m->rcpts[answered], accepted,
			    mail_ok ? f : &dropped))
			return false;
		answered++;
	}
	return mail_ok;
}

static bool fits(struct smtp_client *c, const struct smtp_client_mail *m,
	struct fault *f)
{
	bool clean = smtp_address_clean(m->sender);

	for (size_t i = 0; i < m->n_rcpts; i++)
		clean &= smtp_address_clean(m->rcpts[i].address);
	if (!clean)
		return fault_set(
			f, FAULT_PERM, 553, 1, 3, "control byte in an address");
	if (m->utf8 && (c->caps & CAP_SMTPUTF8) == 0)
		return fault_set(f, FAULT_PERM, 553, 6, 7,
			"the next server does not take internationalized mail "
			"(SMTPUTF8)");
	if (c->size_max > 0 && m->size > c->size_max)
		return fault_set(f, FAULT_PERM, 552, 3, 4,
			"the next server takes at most %llu bytes",
			(unsigned long long)c->size_max);
	return true;
}

/* Servers that refuse recipients behind DATA: the answer to it counts. */
static bool probe_data(struct smtp_client *c, struct fault *f)
{
	stream_puts(c->stream, "DATA\r\n");
	c->in_text = smtp_client_expect(c, c->timeouts.data_init_ms, 3, f);
	return c->in_text;
}

bool smtp_client_send(
	struct smtp_client *c, struct smtp_client_mail *m, struct fault *f)
{
	size_t accepted = 0;

	c->text_begun = false;
	if (!fits(c, m, f) || !smtp_client_in_step(c, f) ||
		!envelope(c, m, &accepted, f))
		return false;
	if (accepted == 0) {
		*f = m->rcpts[0].fault;
		return false;
	}
	for (size_t i = 0; i < m->n_rcpts && m->all; i++)
		if (!m->rcpts[i].ok) {
			*f = m->rcpts[i].fault;
			return false;
		}
	if (m->probe)
		return !m->probe_data || probe_data(c, f);
	return smtp_client_text(c, m, f);
}

void smtp_client_close(struct smtp_client *c, bool polite)
{
	struct fault f;

	/* Who did not answer in time does not answer QUIT either. */
	if (polite && !c->in_text && !stream_failed(c->stream) &&
		!stream_timed_out(c->stream)) {
		stream_puts(c->stream, "QUIT\r\n");
		smtp_client_read_reply(c, c->timeouts.quit_ms, &f);
	}
	stream_free(c->stream);
	c->stream = NULL;
	smtp_reply_fini(&c->reply);
}
