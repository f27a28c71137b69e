/* SPDX-License-Identifier: ISC */
/* Replies: what is said, counted and noted when something is refused. */
#include <stdio.h>
#include <string.h>

#include "role/smtpd/smtpd.h"

/* The reply, and the lines of smtpd_reject_footer behind it; "\\c" in front
 * puts its first line on ours. */
static void put_lines(
	struct session *s, int code, const char *text, struct str footer)
{
	size_t enhanced = strspn(text, "0123456789.");
	struct str prefix = STR("");

	/* RFC 2034 4: each line has the enhanced code, or none has. */
	if (enhanced > 0 && text[enhanced] == ' ')
		prefix = str_of(text, enhanced + 1);
	bool joined = str_starts(footer, "\\c");
	bool more =
		str_present(footer) && (!joined || str_find(footer, '\n') >= 0);
	buf_put_u64(stream_out(s->stream), (uint64_t)code);
	stream_puts(s->stream, more ? "-" : " ");
	stream_puts(s->stream, text);
	if (joined) {
		footer = str_from_at(footer, 2);
		struct str first = str_cut(&footer, '\n');

		stream_putf(s->stream, "%.*s", STR_ARG(first));
	}
	stream_puts(s->stream, "\r\n");
	while (str_present(footer)) {
		struct str line = str_cut(&footer, '\n');

		stream_putf(s->stream, "%d%c%.*s%.*s\r\n", code,
			str_present(footer) ? '-' : ' ', STR_ARG(prefix),
			STR_ARG(line));
	}
}

static void put_reply(
	struct session *s, int code, const char *fmt, va_list args)
{
	char text[900];

	vsnprintf(text, sizeof(text), fmt, args);
	if (code >= 400 && s->sv->reject_filter != NULL)
		smtpd_reject_filter(s, &code, text, sizeof(text));
	for (char *p = text; *p != '\0'; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			*p = '?';
	struct str footer =
		code >= 400 ? smtpd_reject_footer(s, code, text) : STR_NONE;
	for (unsigned i = 0; i < 1 + s->tx.more_replies; i++)
		put_lines(s, code, text, footer);
}

void smtpd_reply(struct session *s, int code, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	put_reply(s, code, fmt, args);
	va_end(args);
}

static void count_error(struct session *s)
{
	const struct conf *c = s->sv->c;

	s->errors++;
	if (s->errors >= (unsigned)c->smtpd_hard_error_limit) {
		s->tx.more_replies = 0; /* this one is of the session */
		smtpd_reply(s, 421, "4.7.0 %.*s Error: too many errors",
			STR_ARG(c->myhostname));
		log_info("session ended", log_s("client", s->client),
			log_z("reason", "too many errors"));
		s->closing = true;
	} else if (s->errors > (unsigned)c->smtpd_soft_error_limit) {
		s->delay_ms += c->smtpd_error_sleep_time * 1000;
	}
}

/* Why was it refused?  Each refusal leaves a line; a credential never. */
static void log_refusal(struct session *s, int code, const char *text)
{
	log_info("refused", log_s("client", s->client),
		log_s("command", s->command), log_s("login", s->login),
		log_s("from", s->tx.open ? s->tx.sender_said : STR_NONE),
		log_n("code", code), log_z("reply", text));
}

void smtpd_refuse(struct session *s, int code, const char *fmt, ...)
{
	char text[900];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	smtpd_reply(s, code, "%s", text);
	log_refusal(s, code, text);
	count_error(s);
}

void smtpd_refuse_lookup(
	struct session *s, struct str what, const struct fault *f)
{
	log_warn("lookup", log_s("client", s->client), log_s("of", what),
		log_fault(f));
	smtpd_refuse(s, 451, "4.3.0 <%.*s>: Temporary lookup failure",
		STR_ARG(what));
}

static void log_warnings(struct session *s, const struct check *c)
{
	for (size_t i = 0; i < c->warnings.n; i++)
		log_warn("restriction", log_s("client", s->client),
			log_s("from", s->tx.sender_said),
			log_s("to", c->recipient),
			log_s("reason", c->warnings.v[i]));
	for (size_t i = 0; i < c->permits.n; i++)
		log_info("permit", log_s("client", s->client),
			log_s("client_name", s->client_name),
			log_s("from", s->tx.sender_said),
			log_s("to", c->recipient), log_s("login", s->login),
			log_s("by", c->permits.v[i]));
}

/* The line of the configuration that decided: "main.cf:12" */
static struct str set_in(struct session *s, const struct check *c)
{
	const struct conf_entry *e =
		c->param != NULL ? conf_entry(s->sv->c, str_from(c->param))
				 : NULL;

	if (c->param == NULL)
		return STR("");
	if (e == NULL)
		return STR("its default");
	return e->line > 0 ? arena_printf(s->cmd_a, "%.*s:%u", STR_ARG(e->file),
				     e->line)
			   : STR("-o in master.cf");
}

void smtpd_refuse_decision(struct session *s, const struct check *c,
	const struct decision *d, const char *stage)
{
	log_info("reject", log_z("stage", stage), log_s("client", s->client),
		log_s("client_name", s->client_name), log_s("helo", s->helo),
		log_s("from", s->tx.open ? s->tx.sender_said : c->sender),
		log_s("to", c->recipient), log_s("login", s->login),
		log_s("rule", c->rule), log_z("list", c->param),
		log_s("set_in", set_in(s, c)), log_n("code", d->code),
		log_s("reply", d->text));
	log_warnings(s, c);
	smtpd_reply(s, d->code, "%.*s", STR_ARG(d->text));
	count_error(s);
	if (d->code == 421 || d->code == 521)
		s->closing = true;
}

void smtpd_keep_actions(struct session *s, const struct check *c)
{
	s->tx.hold |= c->hold;
	s->tx.discard |= c->discard;
	if (c->filter.len > 0)
		s->tx.filter = arena_str(s->tx_a, c->filter);
	if (c->redirect.len > 0)
		s->tx.redirect = arena_str(s->tx_a, c->redirect);
	for (size_t i = 0; i < c->prepend.n; i++)
		if (!strs_has(&s->tx.prepend, c->prepend.v[i]))
			strs_add(&s->tx.prepend, s->tx_a,
				arena_str(s->tx_a, c->prepend.v[i]));
	log_warnings(s, c);
}

void smtpd_skip_actions(struct session *s, const struct check *c)
{
	if (c->hold || c->discard || c->filter.len > 0 || c->redirect.len > 0 ||
		c->prepend.n > 0)
		log_warn("with smtpd_delay_reject = no there is no mail yet: "
			 "HOLD, DISCARD, FILTER, REDIRECT and PREPEND of this "
			 "list are skipped",
			log_s("client", s->client), log_z("list", c->param));
	log_warnings(s, c);
}

bool smtpd_overrides(const struct session *s, const char *word)
{
	struct str list = s->sv->c->receive_override_options;

	return list.len > 0 && conf_option_has(list, word);
}
