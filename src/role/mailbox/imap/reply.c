/* SPDX-License-Identifier: ISC */
/* What a session says: tagged replies, and the news in front of them. */
#include <stdio.h>

#include "role/mailbox/imap/context.h"
#include "role/mailbox/imap/fetch.h"
#include "role/mailbox/imap/notify.h"

static void put_line(struct imap *s, const char *start, const char *word,
	const char *fmt, va_list args)
{
	struct buf *out = stream_out(s->stream);
	size_t from;

	buf_putf(out, "%s%s", start, word);
	from = out->len;
	buf_putv(out, fmt, args);
	for (size_t i = from; i < out->len; i++)
		if ((unsigned char)out->data[i] < 0x20)
			out->data[i] = '?';
	buf_puts(out, "\r\n");
}

/* What the client wants to hear of the selected mailbox: RFC 5465 3.1 */
static bool wants_selected(const struct imap *s)
{
	return s->notify == NULL || s->own_expunge ||
	       (!s->notify->none && s->notify->selected != 0);
}

/* Changes of others, where they may be told: RFC 3501 7.4.1 */
void imap_news(struct imap *s, enum news news)
{
	const struct imap_notify *n = s->notify;
	uint32_t newest = s->view.max_uid;
	struct fault f;

	if (news == NEWS_NONE || s->view.box == NULL || s->closing ||
		!wants_selected(s))
		return;
	contexts_remove_gone(s);
	s->quiet_flags = n != NULL && (n->selected & EVENT_FLAGS) == 0;
	if (!view_sync(s, news == NEWS_ALL, &s->own, &f))
		log_error("store", log_s("login", s->login), log_fault(&f));
	else if (n != NULL && str_present(n->items) && !s->closing &&
		 s->view.max_uid > newest)
		fetch_new(s, n->items, newest);
	contexts_update(s, newest);
}

static void tell_news(struct imap *s)
{
	enum news news = s->news;

	s->news = NEWS_NONE;
	imap_news(s, news);
}

static void tagged(
	struct imap *s, const char *word, const char *fmt, va_list args)
{
	char tag[300];

	tell_news(s);
	snprintf(tag, sizeof(tag), "%.*s ", STR_ARG(str_sub(s->tag, 0, 256)));
	put_line(s, tag, word, fmt, args);
}

static void plain_ok(struct imap *s, const char *fmt, ...) PRINTF_LIKE(2, 3);
static void plain_ok(struct imap *s, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	tagged(s, "OK ", fmt, args);
	va_end(args);
}

void imap_ok(struct imap *s, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	if (s->limited_from == 0) {
		tagged(s, "OK ", fmt, args);
	} else {
		/* A reply has one code: RFC 9738 3 takes the tagged one. */
		if (fmt[0] == '[')
			put_line(s, "* ", "OK ", fmt, args);
		plain_ok(s, "[MESSAGELIMIT %lld %u] the newest only",
			(long long)s->sv->c->imap_message_limit,
			s->limited_from);
	}
	va_end(args);
}

void imap_ok_modseq(struct imap *s, const char *text)
{
	tell_news(s);
	if (s->qresync && s->view.box != NULL)
		imap_ok(s, "[HIGHESTMODSEQ %llu] %s",
			(unsigned long long)s->view.modseq, text);
	else
		imap_ok(s, "%s", text);
}

void imap_no(struct imap *s, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	tagged(s, "NO ", fmt, args);
	va_end(args);
}

void imap_bad(struct imap *s, const char *what)
{
	tell_news(s);
	stream_putf(s->stream, "%.*s BAD %s\r\n",
		STR_ARG(str_sub(s->tag, 0, 256)), what);
}

void imap_untagged(struct imap *s, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	put_line(s, "* ", "", fmt, args);
	va_end(args);
}

void imap_fault(struct imap *s, const struct fault *f)
{
	/* store.h: detail of FAULT_PERM; RFC 5530 3 */
	const char *code = f->class == FAULT_TEMP ? "[UNAVAILABLE] "
			   : f->subject == 2      ? "[OVERQUOTA] "
			   : f->detail == 1       ? "[ALREADYEXISTS] "
			   : f->detail == 2       ? "[NONEXISTENT] "
			   : f->detail == 3       ? "[EXPUNGEISSUED] "
			   : f->detail == 4       ? "[USEATTR] "
			   : f->detail == 5       ? "[LIMIT] "
						  : "[CANNOT] ";

	if (f->class == FAULT_PERM) {
		imap_no(s, "%s%s", code, f->text);
		return;
	}
	/* Paths and system calls are for the log. */
	log_error("store", log_s("login", s->login), log_fault(f));
	imap_no(s, "%sthe mailbox cannot be used now, try again later", code);
}

void imap_ring(struct imap *s, int64_t account)
{
	bells_ring(s->sv->m->bells, account);
}

void imap_put_fetch(struct imap *s, uint32_t seq, uint32_t uid, struct buf *out)
{
	buf_puts(out, "* ");
	buf_put_u64(out, s->uidonly ? uid : seq);
	buf_puts(out, s->uidonly ? " UIDFETCH (" : " FETCH (");
}

void imap_put_name(struct imap *s, struct str utf8, struct buf *out)
{
	if (s->utf8)
		imap_put_utf8(utf8, out);
	else
		imap_put_mailbox(utf8, s->cmd_a, out);
}
