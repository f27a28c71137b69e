/* SPDX-License-Identifier: ISC */
/* APPEND and REPLACE: RFC 9051 6.3.12, RFC 3502 (several at once), RFC 3516
 * (literal8), RFC 4469 (CATENATE), RFC 8508 (REPLACE), RFC 9755 (UTF8) */
#include <string.h>

#include "base/must.h"
#include "codec/imap/url.h"
#include "codec/mail/date.h"
#include "codec/mail/downgrade.h"
#include "role/mailbox/imap/imap.h"
#include "role/mailbox/imap/place.h"
#include "role/mailbox/indexer.h"
#include "role/mailbox/quota.h"
#include "role/mailbox/summary.h"
#include "store/message.h"

enum {
	MESSAGES_MAX = 1000,
	REMOVING = RIGHT_DELETED | RIGHT_EXPUNGE,
};

struct append {
	struct imap *s;
	struct str mailbox; /* as the client says it */
	struct imap_place to;
	struct store_new *v[MESSAGES_MAX];
	size_t n;
	const char *bad; /* what to answer BAD with */
	const char *no; /* what to answer NO with */
	bool failed; /* answered already */
};

static bool no(struct append *x, const char *why)
{
	x->no = why;
	return false;
}

/* ---- where the bytes come from ---- */

static bool is_nul_free(struct str s)
{
	return str_find(s, '\0') < 0;
}

static size_t bare_newlines(struct str s)
{
	size_t n = 0;

	for (const char *at = s.ptr, *end = s.ptr + s.len;
		(at = memchr(at, '\n', (size_t)(end - at))) != NULL; at++)
		n += at == s.ptr || at[-1] != '\r';
	return n;
}

/* Lines end in CRLF in the store: what is fetched is what is counted. */
static struct str with_crlf(struct str s, struct arena *a)
{
	size_t bare = bare_newlines(s);

	if (bare == 0)
		return s;
	char *out = arena_alloc(a, s.len + bare + 1);
	size_t n = 0;
	for (size_t i = 0; i < s.len; i++) {
		if (s.ptr[i] == '\n' && (i == 0 || s.ptr[i - 1] != '\r'))
			out[n++] = '\r';
		out[n++] = s.ptr[i];
	}
	return str_of(out, n);
}

static bool put_piece(struct str piece, void *ctx)
{
	buf_put(ctx, piece);
	return true;
}

/* literal, literal8, UTF8 (literal8) */
static bool take_literal(struct append *x, struct imap_in *in, struct buf *out)
{
	struct imap *s = x->s;
	bool binary = false, utf8 = imap_word(in, "UTF8");
	struct str bytes;

	if (utf8 && (!imap_space(in) || !imap_char(in, '(')))
		return false;
	if (!imap_literal8(in, &bytes, &binary) ||
		(utf8 && !imap_char(in, ')')))
		return false;
	if (bytes.len == 0) /* RFC 3502 6.3.11: it was cancelled */
		return no(x, "[CANNOT] an empty message");
	if (!binary && !is_nul_free(bytes))
		return false;
	if (is_nul_free(bytes)) {
		buf_put(out, with_crlf(bytes, s->cmd_a));
		return true;
	}
	/* NUL cannot be read back by most: it becomes base64. RFC 3516 4.4 */
	return mail_downgrade(bytes, DOWNGRADE_TO_8BIT, s->cmd_a, put_piece,
		       out) == DOWNGRADE_OK ||
	       no(x, "[UNKNOWN-CTE] NUL where no encoding can hold it");
}

static bool fetch_url(struct append *x, struct str text, struct buf *out)
{
	struct imap *s = x->s;
	struct imap_url url;
	struct imap_section section = {.what = SECTION_ALL};
	struct imap_place p;
	struct store_message m;
	struct fault f;

	if (!imap_url_parse(text, s->cmd_a, &url))
		return no(x, "[BADURL] not an IMAP URL of this server");
	if (!str_present(url.mailbox) && s->view.box != NULL)
		url.mailbox = str_from(s->view.name);
	if (!str_present(url.mailbox) || !imap_locate(s, url.mailbox, &p, &f) ||
		p.box.id == 0 || (p.rights & RIGHT_READ) == 0 ||
		(url.uidvalidity != 0 && url.uidvalidity != p.box.uidvalidity))
		return no(x, "[BADURL] no such mailbox");
	if (str_present(url.section)) {
		struct imap_in in = {.rest = arena_printf(s->cmd_a, "[%.*s]",
					     STR_ARG(url.section)),
			.a = s->cmd_a};

		if (!imap_section_parse(&in, &section) || !imap_end(&in))
			return no(x, "[BADURL] not a section");
	}
	if (!store_message(s->sv->m->store, p.account, p.box.id, url.uid,
		    STORE_BYTES, &m, &f))
		return no(x, "[BADURL] no such message");
	buf_put(out, imap_section_bytes(&section, m.bytes,
			     mime_parse(m.bytes, s->cmd_a), s->cmd_a));
	store_message_fini(&m);
	return true;
}

static bool catenate(struct append *x, struct imap_in *in, struct buf *out)
{
	struct str text;
	bool binary;

	if (!imap_space(in) || !imap_char(in, '('))
		return false;
	do {
		if (imap_word(in, "TEXT")) {
			if (!imap_space(in) ||
				!imap_literal8(in, &text, &binary))
				return false;
			buf_put(out, with_crlf(text, x->s->cmd_a));
		} else if (imap_word(in, "URL")) {
			if (!imap_space(in) || !imap_astring(in, &text))
				return false;
			if (x->no == NULL)
				fetch_url(x, text, out);
		} else {
			return false;
		}
	} while (imap_space(in));
	return imap_char(in, ')') && x->no == NULL;
}

/* ---- one message ---- */

static bool take_message(struct append *x, struct imap_in *in)
{
	struct imap *s = x->s;
	struct store_new *m = arena_make(s->cmd_a, struct store_new);
	struct buf out CLEANUP(buf_fini);
	int64_t limit = s->sv->c->message_size_limit;
	struct strs words = {0};
	struct str date;

	m->received = clock_unix();
	if (imap_flag_list(in, &words) && !imap_space(in))
		return false;
	if (in->rest.len > 0 && in->rest.ptr[0] == '"' &&
		(!imap_string(in, &date) ||
			!imap_date_parse(date, &m->received) ||
			!imap_space(in)))
		return false;
	if (!imap_flags_parse(&words, s->cmd_a, &m->flags, &m->keywords))
		return false;
	if (x->n == MESSAGES_MAX)
		return no(x, "[LIMIT] too many messages for one command");
	buf_init(&out, limit > 0 ? (size_t)limit * 2 : SIZE_MAX / 4);
	if (!(imap_word(in, "CATENATE") ? catenate(x, in, &out)
					: take_literal(x, in, &out)))
		return false;
	if (buf_over(&out) || (limit > 0 && out.len > (size_t)limit))
		return no(x, "[TOOBIG] the message is too large");
	if (out.len == 0)
		return no(x, "[CANNOT] an empty message");
	m->body = arena_str(s->cmd_a, buf_str(&out));
	m->cache = summary_make(m->body, s->cmd_a);
	m->stamp = summary_stamp(m->cache);
	x->v[x->n++] = m;
	return true;
}

static bool answer_refusal(struct append *x)
{
	if (x->no != NULL)
		imap_no(x->s, "%s", x->no);
	else
		imap_bad(x->s, "a mailbox and a message were expected");
	return false;
}

/* Where they go, and what of their flags may come along (RFC 4314 4); false:
 * answered. */
static bool find_target(struct append *x)
{
	struct imap *s = x->s;
	struct store_quota quota;
	struct fault f;
	uint64_t bytes = 0;

	if (!imap_find_target(s, x->mailbox, &x->to))
		return false;
	for (size_t i = 0; i < x->n; i++)
		bytes += x->v[i]->body.len;
	if (!quota_of(s->sv->m, x->to.account, x->to.owner, s->cmd_a, &quota,
		    &f) ||
		!quota_domain_room(
			s->sv->m, x->to.owner, bytes, x->n, s->cmd_a, &f)) {
		imap_fault(s, &f);
		return false;
	}
	for (size_t i = 0; i < x->n; i++) {
		x->v[i]->mailbox = x->to.name;
		x->v[i]->quota = quota;
		x->v[i]->flags &= rights_flags(x->to.rights);
		if ((x->to.rights & RIGHT_WRITE) == 0)
			x->v[i]->keywords.n = 0;
	}
	return true;
}

/* All of them, in one transaction; false: answered. */
static bool put_all(struct append *x, struct buf *uids, uint32_t *uidvalidity)
{
	struct imap *s = x->s;
	struct store_target *t = arena_alloc(s->cmd_a, x->n * sizeof(*t));
	struct imap_set_put put = {0};

	for (size_t i = 0; i < x->n; i++)
		t[i] = (struct store_target){
			.account = x->to.account, .m = x->v[i]};
	store_deliver(s->sv->m->store, t, x->n);
	if (!t[0].ok) {
		imap_fault_trycreate(s, &t[0].fault);
		return false;
	}
	uint32_t *fresh = arena_alloc(s->cmd_a, x->n * sizeof(*fresh));
	for (size_t i = 0; i < x->n; i++) {
		fresh[i] = t[i].uid;
		imap_set_put(&put, t[i].uid, uids);
	}
	if (s->view.box != NULL && str_eqc(x->mailbox, s->view.name)) {
		s->own_new = fresh;
		s->n_own_new = x->n;
	}
	imap_set_put_end(&put, uids);
	*uidvalidity = t[0].uidvalidity;
	for (size_t i = 0; i < x->n; i++)
		quota_domain_came(
			s->sv->m, x->to.owner, x->v[i]->body.len, 1, s->cmd_a);
	imap_ring(s, x->to.account);
	indexer_note(s->sv->m->indexer, x->to.account);
	return true;
}

void imap_append(struct imap *s, struct imap_in *in)
{
	struct append *x = arena_make(s->cmd_a, struct append);
	struct buf uids CLEANUP(buf_fini);
	uint32_t uidvalidity;

	buf_init(&uids, 1 << 20);
	x->s = s;
	if (!imap_mailbox(in, &x->mailbox) || !imap_space(in)) {
		answer_refusal(x);
		return;
	}
	do {
		if (!take_message(x, in)) {
			answer_refusal(x);
			return;
		}
	} while (imap_space(in));
	if (!imap_end(in))
		answer_refusal(x);
	else if (find_target(x) && put_all(x, &uids, &uidvalidity))
		imap_ok(s, "[APPENDUID %u %.*s] Appended", uidvalidity,
			STR_ARG(buf_str(&uids)));
}

void imap_replace(struct imap *s, struct imap_in *in)
{
	struct append *x = arena_make(s->cmd_a, struct append);
	struct buf uids CLEANUP(buf_fini);
	struct imap_range one = {0};
	struct imap_set set = {&one, 1};
	struct view_walk *w;
	const struct pick *p;
	uint32_t uidvalidity;
	struct fault f;

	buf_init(&uids, 1 << 20);
	x->s = s;
	bool number = imap_char(in, '*') ||
		      (imap_number(in, &one.first) && one.first != 0);
	one.last = one.first;
	if (!number || !imap_space(in) || !imap_mailbox(in, &x->mailbox) ||
		!imap_space(in) || !take_message(x, in) || !imap_end(in)) {
		answer_refusal(x);
		return;
	}
	if (!view_walk(s, &set, s->uid, &w)) {
		imap_bad(s, "a message number is beyond the mailbox");
		return;
	}
	p = view_next(w);
	if (p == NULL || (p->flags & ROW_GONE) != 0) {
		imap_no(s, "[NONEXISTENT] no such message");
		return;
	}
	if ((s->view.rights & REMOVING) != REMOVING) {
		imap_no(s, "[NOPERM] you have no right to remove it here");
		return;
	}
	if (!find_target(x))
		return;
	uint32_t old = p->uid;
	bool near = x->to.account == s->view.box->account;
	x->v[0]->instead_mailbox = s->view.box->mailbox;
	x->v[0]->instead_uid = near ? old : 0;
	if (!put_all(x, &uids, &uidvalidity))
		return;
	if (!near && !imap_expunge_uids(s, &old, 1, &f)) {
		imap_fault(s, &f);
		return;
	}
	/* RFC 8508 3.3: APPENDUID first, then what goes */
	imap_untagged(s, "OK [APPENDUID %u %.*s] Replacement ready",
		uidvalidity, STR_ARG(buf_str(&uids)));
	s->news = NEWS_ALL;
	imap_ok_modseq(s, "Replace completed");
}
