/* SPDX-License-Identifier: ISC */
/*
 * The text of one mail: in memory up to MEMORY_MAX, then in a nameless file
 * that the queue links where it wants it.  Headers are completed and rewritten
 * when the blank line is seen, or when they grow beyond what is kept.
 */
#include <string.h>
#include <unistd.h>

#include "base/utf8.h"
#include "codec/mail/date.h"
#include "codec/mail/header.h"
#include "codec/postfix/lines.h"
#include "policy/rewrite.h"
#include "role/smtpd/smtpd.h"
#include "sys/file.h"

enum { MEMORY_MAX = 256 * 1024, MESSAGE_OUT_MAX = 4 << 20 };

void spool_init(struct spool *sp, struct session *s)
{
	*sp = (struct spool){.s = s, .fd = -1};
	sp->raw = (s->tx.mail.flags & SMTP_MAIL_BINARY) != 0;
	buf_init(&sp->memory, MEMORY_MAX * 4);
}

void spool_fini(struct spool *sp)
{
	buf_fini(&sp->memory);
	fd_close(&sp->fd);
}

static void to_file(struct spool *sp, struct str text)
{
	if (sp->fd < 0) {
		struct str dir = arena_printf(sp->s->cmd_a, "%.*s/tmp",
			STR_ARG(sp->s->sv->c->queue_directory));

		sp->fd = file_tmp(dir.ptr, &sp->fault);
		if (sp->fd < 0) {
			sp->failed = true;
			return;
		}
	}
	if (!file_write(sp->fd, text, &sp->fault))
		sp->failed = true;
}

/* RFC 6409 8: only a submission server completes a message, and not that of a
 * stranger: it may be signed as it is. */
static bool completes_headers(const struct session *s)
{
	return s->sv->c->always_add_missing_headers || str_present(s->login) ||
	       (s->sv->submission && smtpd_is_own(s));
}

/* postconf(5) local_header_rewrite_clients */
static bool is_local_client(struct session *s)
{
	struct str rest = s->sv->c->local_header_rewrite_clients, item;

	while (str_present(item = list_item(&rest))) {
		if (str_ieqc(item, "static:all") ||
			(str_ieqc(item, "permit_sasl_authenticated") &&
				str_present(s->login)) ||
			(str_ieqc(item, "permit_mynetworks") && s->trusted) ||
			(str_ieqc(item, "permit_inet_interfaces") &&
				conf_is_own_address(
					s->sv->c, s->addr, s->addr_len)))
			return true;
	}
	return false;
}

/* NULL: the header stays. */
static rewrite_address_f *header_rewriting(struct session *s)
{
	if (smtpd_overrides(s, "no_address_mappings"))
		return NULL;
	if (is_local_client(s))
		return rewrite_head_wanted(s->sv->policy)
			       ? rewrite_header_address
			       : NULL;
	return s->sv->c->remote_header_rewrite_domain.len > 0
		       ? rewrite_header_remote
		       : NULL;
}

static bool names_recipients(struct str head)
{
	static const char *const names[] = {
		"To", "Cc", "Bcc", "Resent-To", "Resent-Cc", "Resent-Bcc"};

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (str_present(mail_field_value(head, names[i])))
			return true;
	return false;
}

static void add_missing(struct session *s, struct str head, struct buf *out)
{
	const struct conf *c = s->sv->c;
	char id[ID_TEXT];

	if (!str_present(mail_field_value(head, "Date"))) {
		int64_t now = clock_unix();

		buf_puts(out, "Date: ");
		mail_date_put(now, clock_zone_minutes(now), out);
		buf_puts(out, "\r\n");
	}
	if (!str_present(mail_field_value(head, "Message-ID"))) {
		id_text(s->tx.id, id);
		s->tx.message_id = arena_printf(
			s->tx_a, "<%s@%.*s>", id, STR_ARG(c->myhostname));
		buf_putf(
			out, "Message-ID: %.*s\r\n", STR_ARG(s->tx.message_id));
	}
	if (!str_present(mail_field_value(head, "From"))) {
		buf_putf(out, "From: %.*s\r\n",
			STR_ARG(s->tx.sender.len > 0 ? s->tx.sender
						     : STR("MAILER-DAEMON")));
	}
	if (c->undisclosed_recipients_header.len > 0 && !names_recipients(head))
		buf_putf(out, "%.*s\r\n",
			STR_ARG(c->undisclosed_recipients_header));
}

/* postconf(5) message_drop_headers: Bcc and Return-Path among them never leave
 * (RFC 5322 3.6.3) */
static bool is_dropped(struct str name, const struct session *s)
{
	const struct strs *all = &s->sv->drop_headers;

	for (size_t i = 0; i < all->n; i++)
		if (str_ieq(all->v[i], name))
			return true;
	return false;
}

static void note_message_id(struct session *s, struct str head)
{
	struct str value = mail_field_value(head, "Message-ID");

	if (str_present(value))
		s->tx.message_id = arena_str(s->tx_a, str_sub(value, 0, 250));
}

static void put_head(struct spool *sp, struct str head, struct buf *out)
{
	struct session *s = sp->s;
	struct buf kept CLEANUP(buf_fini);
	struct mail_field field;
	struct str rest = head;

	buf_init(&kept, head.len + 16);
	while (mail_field_next(&rest, &field)) {
		sp->received += str_ieqc(field.name, "Received");
		sp->tls_optional |= str_ieqc(field.name, "TLS-Required") &&
				    str_ieqc(field.value, "No");
		sp->says_8bit |=
			str_ieqc(field.name, "Content-Transfer-Encoding") &&
			(str_ieqc(str_trim(field.value), "8bit") ||
				str_ieqc(str_trim(field.value), "binary"));
		if (!utf8_is_ascii(field.whole)) {
			sp->head_utf8 = (!sp->head_8bit || sp->head_utf8) &&
					utf8_valid(field.whole);
			sp->head_8bit = true;
		}
		if (!is_dropped(field.name, s) &&
			!smtpd_forged_field(s, &field))
			buf_put(&kept, field.whole);
	}
	sp->loop = sp->received > (size_t)s->sv->c->hopcount_limit;
	for (size_t i = 0; i < s->tx.prepend.n; i++)
		buf_putf(out, "%.*s\r\n", STR_ARG(s->tx.prepend.v[i]));
	smtpd_put_received(s, out);
	rewrite_address_f *rewrite = header_rewriting(s);
	if (rewrite == NULL)
		buf_put(out, buf_str(&kept));
	else if (!rewrite_head(s->sv->policy, buf_str(&kept), rewrite, s->cmd_a,
			 out, &sp->fault))
		sp->failed = true;
	note_message_id(s, head);
	if (completes_headers(s))
		add_missing(s, buf_str(&kept), out);
}

/* The header ends with a line that is none of its own: postconf(5)
 * non_empty_end_of_header_action */
static void unfinished_head(struct spool *sp, struct buf *out)
{
	static const char why[] =
		"message header was not terminated by empty line";
	struct str action = sp->s->sv->c->non_empty_end_of_header_action;

	if (str_ieqc(action, "add_header"))
		buf_putf(out, "MIME-Error: %s\r\n", why);
	if (!str_ieqc(action, "reject") || sp->failed)
		return;
	sp->failed = true;
	fault_set(&sp->fault, FAULT_PERM, 550, 6, 0, "%s", why);
}

/* Splits off the header and puts it, finished, in front of the rest. */
static void finish_head(struct spool *sp)
{
	struct buf out CLEANUP(buf_fini);
	struct str head, body;
	struct str all = buf_str(&sp->memory);

	buf_init(&out, MESSAGE_OUT_MAX);
	mail_split(all, &head, &body);
	sp->head_done = true;
	put_head(sp, head, &out);
	if (body.len > 0 && body.ptr == head.ptr + head.len)
		unfinished_head(sp, &out);
	/* The blank line is written even where the client left it out. */
	buf_puts(&out, "\r\n");
	buf_put(&out, body);
	if (buf_over(&out)) {
		sp->failed = true;
		fault_set(&sp->fault, FAULT_PERM, 552, 3, 4,
			"message header too large");
		return;
	}
	struct buf old = sp->memory;
	sp->memory = out;
	out = old;
}

static void put(struct spool *sp, struct str text);

/* message_strip_characters */
static void put_stripped(struct spool *sp, struct str text)
{
	const struct characters *strip = &sp->s->sv->strip;

	for (size_t at = 0; at < text.len;) {
		size_t end = characters_find(strip, text, at);

		put(sp, str_sub(text, at, end - at));
		at = end + 1;
	}
}

void spool_put(struct spool *sp, struct str text)
{
	const struct smtpd_service *sv = sp->s->sv;

	if (sv->reject.any && !sp->raw && !sp->failed &&
		characters_find(&sv->reject, text, 0) < text.len) {
		sp->failed = true;
		fault_set(&sp->fault, FAULT_PERM, 550, 7, 1,
			"Message contains a character that is not allowed");
	}
	if (sv->strip.any && !sp->raw)
		put_stripped(sp, text);
	else
		put(sp, text);
}

static void put(struct spool *sp, struct str text)
{
	if (sp->failed)
		return;
	if (sp->fd >= 0) {
		to_file(sp, text);
		return;
	}
	buf_put(&sp->memory, text);
	if (sp->memory.len <= MEMORY_MAX)
		return;
	finish_head(sp);
	if (!sp->failed)
		to_file(sp, buf_str(&sp->memory));
	buf_shrink(&sp->memory);
}

bool spool_finish(struct spool *sp, struct text *text_r, struct fault *f)
{
	if (!sp->failed && !sp->head_done)
		finish_head(sp);
	if (sp->failed) {
		*f = sp->fault;
		return false;
	}
	if (sp->fd < 0 && sp->memory.len <= TEXT_MEMORY_MAX) {
		*text_r = text_view(buf_str(&sp->memory));
		return true;
	}
	int fd = sp->fd < 0 ? file_memory(buf_str(&sp->memory), f) : sp->fd;
	if (fd < 0)
		return false;
	sp->fd = -1;
	*text_r = text_file(fd, (uint64_t)lseek(fd, 0, SEEK_END));
	lseek(fd, 0, SEEK_SET);
	return true;
}

bool spool_replace(struct session *s, const struct strs *pieces,
	struct text *text, struct fault *f)
{
	struct str dir = arena_printf(
		s->cmd_a, "%.*s/tmp", STR_ARG(s->sv->c->queue_directory));
	uint64_t total = 0;

	for (size_t i = 0; i < pieces->n; i++)
		total += pieces->v[i].len;
	if (total <= TEXT_MEMORY_MAX) {
		struct text joined = text_join(pieces);

		text_fini(text);
		*text = joined;
		return true;
	}
	int fresh CLEANUP(fd_close) = total > MEMORY_MAX
					      ? file_tmp(dir.ptr, f)
					      : file_memory(STR(""), f);
	if (fresh < 0)
		return false;
	for (size_t i = 0; i < pieces->n; i++)
		if (!file_write(fresh, pieces->v[i], f))
			return false;
	lseek(fresh, 0, SEEK_SET);
	text_fini(text);
	*text = text_file(fresh, total);
	fresh = -1;
	return true;
}
