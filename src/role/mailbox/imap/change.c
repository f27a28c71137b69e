/* SPDX-License-Identifier: ISC */
/* STORE, COPY, MOVE, EXPUNGE, APPEND: RFC 3501 6.4, RFC 4315, RFC 6851 */
#include <stdlib.h>
#include <string.h>

#include "codec/mail/date.h"
#include "role/mailbox/imap/imap.h"

static uint32_t *uids_of(struct imap *s, const size_t *index, size_t n)
{
	uint32_t *uids = arena_alloc(s->cmd_a, (n + 1) * sizeof(*uids));

	for (size_t i = 0; i < n; i++)
		uids[i] = s->view.rows[index[i]].uid;
	return uids;
}

/* ---- STORE ---- */

struct store_args {
	enum store_flag_op op;
	bool silent;
	uint32_t flags;
	struct strs keywords;
};

static bool parse_store(
	struct imap *s, struct imap_in *in, struct store_args *x)
{
	struct strs words = {0};
	struct str flag;

	x->op = imap_char(in, '+')   ? FLAGS_ADD
		: imap_char(in, '-') ? FLAGS_REMOVE
				     : FLAGS_SET;
	if (imap_word(in, "FLAGS.SILENT"))
		x->silent = true;
	else if (!imap_word(in, "FLAGS"))
		return false;
	if (!imap_space(in))
		return false;
	if (!imap_flag_list(in, &words))
		while (imap_flag(in, &flag)) {
			strs_add(&words, s->cmd_a, flag);
			if (!imap_space(in))
				break;
		}
	return imap_end(in) &&
	       imap_flags_parse(&words, s->cmd_a, &x->flags, &x->keywords);
}

/* The view as the store has it now, row by row. */
static void refresh(const struct store_row *row, void *ctx)
{
	struct imap *s = ctx;
	long i = view_find(&s->view, row->uid);
	struct buf words CLEANUP(buf_fini);

	if (i < 0)
		return;
	buf_init(&words, 65536);
	for (size_t k = 0; k < row->keywords.n; k++)
		buf_putf(&words, "%s%.*s", k > 0 ? " " : "",
			STR_ARG(row->keywords.v[k]));
	free(s->view.rows[i].keywords);
	s->view.rows[i].keywords =
		words.len > 0 ? str_heap(buf_str(&words)) : NULL;
	s->view.rows[i].flags = row->flags;
}

void imap_store(struct imap *s, struct imap_in *in)
{
	struct store_args x = {0};
	struct imap_set set;
	size_t *index, n;
	struct fault f;

	if (!imap_set_parse(in, &set) || !imap_space(in) ||
		!parse_store(s, in, &x)) {
		imap_bad(s, "STORE needs numbers, FLAGS and a list");
		return;
	}
	if (!view_pick(s, &set, &index, &n)) {
		imap_bad(s, "a message number is beyond the mailbox");
		return;
	}
	if (!store_flags(s->sv->m->store, s->account, s->view.mailbox,
		    uids_of(s, index, n), n, x.op, x.flags, &x.keywords, &f) ||
		!store_rows(s->sv->m->store, s->account, s->view.mailbox,
			s->view.modseq, s->cmd_a, refresh, s, &f)) {
		imap_fault(s, &f);
		return;
	}
	for (size_t i = 0; i < n && !x.silent; i++) {
		struct buf *out = stream_out(s->stream);

		buf_putf(out, "* %zu FETCH (", index[i] + 1);
		if (s->uid)
			buf_putf(out, "UID %u ", s->view.rows[index[i]].uid);
		buf_puts(out, "FLAGS ");
		view_put_flags(&s->view.rows[index[i]], out);
		buf_puts(out, ")\r\n");
	}
	if (n > 0)
		imap_ring(s);
	imap_ok(s, "Store completed");
}

/* ---- COPY and MOVE ---- */

static void put_uids(
	const uint32_t *uids, const uint32_t *to, size_t n, struct buf *out)
{
	struct imap_set_put p = {0};

	for (size_t i = 0; i < n; i++)
		if (to[i] != 0)
			imap_set_put(&p, uids[i], out);
	imap_set_put_end(&p, out);
}

static void transfer(struct imap *s, struct imap_in *in, bool move)
{
	struct imap_set set;
	struct str name;
	size_t *index, n;
	uint32_t uidvalidity = 0;
	struct fault f;

	if (!imap_set_parse(in, &set) || !imap_space(in) ||
		!imap_mailbox(in, &name) || !imap_end(in)) {
		imap_bad(s, "numbers and a mailbox were expected");
		return;
	}
	if (!view_pick(s, &set, &index, &n)) {
		imap_bad(s, "a message number is beyond the mailbox");
		return;
	}
	if (n == 0) {
		imap_ok(s, "Nothing to do");
		return;
	}
	uint32_t *uids = uids_of(s, index, n);
	uint32_t *to = arena_alloc(s->cmd_a, (n + 1) * sizeof(*to));
	if (!store_copy(s->sv->m->store, s->account, s->view.mailbox, uids, n,
		    name, move, to, &uidvalidity, &f)) {
		/* RFC 3501 6.4.7: the client may create it and try again. */
		if (f.class == FAULT_PERM && f.detail == 2)
			imap_no(s, "[TRYCREATE] no such mailbox");
		else
			imap_fault(s, &f);
		return;
	}
	struct buf from CLEANUP(buf_fini);
	struct buf fresh CLEANUP(buf_fini);
	buf_init(&from, 1 << 20);
	buf_init(&fresh, 1 << 20);
	put_uids(uids, to, n, &from);
	put_uids(to, to, n, &fresh);
	imap_ring(s);
	if (!move) {
		imap_ok(s, "[COPYUID %u %.*s %.*s] Copied", uidvalidity,
			STR_ARG(buf_str(&from)), STR_ARG(buf_str(&fresh)));
		return;
	}
	/* RFC 6851 4.3: COPYUID comes before the EXPUNGEs. */
	imap_untagged(s, "OK [COPYUID %u %.*s %.*s] Moved", uidvalidity,
		STR_ARG(buf_str(&from)), STR_ARG(buf_str(&fresh)));
	if (!view_sync(s, true, &f))
		imap_fault(s, &f);
	else
		imap_ok(s, "Move completed");
}

void imap_copy(struct imap *s, struct imap_in *in)
{
	transfer(s, in, false);
}

void imap_move(struct imap *s, struct imap_in *in)
{
	transfer(s, in, true);
}

/* ---- EXPUNGE ---- */

void imap_expunge(struct imap *s, struct imap_in *in)
{
	struct view *v = &s->view;
	uint32_t *uids = arena_alloc(s->cmd_a, (v->n + 1) * sizeof(*uids));
	struct imap_set set = {0};
	size_t n = 0;
	struct fault f;

	/* RFC 4315 2.1: UID EXPUNGE spares what is not named. */
	if (s->uid ? !imap_set_parse(in, &set) || !imap_end(in)
		   : !imap_end(in)) {
		imap_bad(s, "EXPUNGE has no argument, UID EXPUNGE has UIDs");
		return;
	}
	uint32_t max = v->n > 0 ? v->rows[v->n - 1].uid : 0;
	for (size_t i = 0; i < v->n; i++)
		if ((v->rows[i].flags & FLAG_DELETED) != 0 &&
			(!s->uid || imap_set_has(&set, v->rows[i].uid, max)))
			uids[n++] = v->rows[i].uid;
	if (!store_expunge(
		    s->sv->m->store, s->account, v->mailbox, uids, n, &f) ||
		!view_sync(s, true, &f)) {
		imap_fault(s, &f);
		return;
	}
	if (n > 0)
		imap_ring(s);
	imap_ok(s, "Expunge completed");
}

/* ---- APPEND ---- */

void imap_append(struct imap *s, struct imap_in *in)
{
	struct store_new m = {.received = clock_unix()};
	struct strs words = {0};
	struct str name, date;
	uint32_t uid = 0, uidvalidity = 0;
	struct fault f;

	if (!imap_mailbox(in, &name) || !imap_space(in)) {
		imap_bad(s, "APPEND needs a mailbox and a message");
		return;
	}
	if (imap_flag_list(in, &words) && !imap_space(in)) {
		imap_bad(s, "a message was expected behind the flags");
		return;
	}
	if (in->rest.len > 0 && in->rest.ptr[0] == '"' &&
		(!imap_string(in, &date) ||
			!imap_date_parse(date, &m.received) ||
			!imap_space(in))) {
		imap_bad(s, "bad date-time");
		return;
	}
	if (!imap_string(in, &m.body) || !imap_end(in) ||
		!imap_flags_parse(&words, s->cmd_a, &m.flags, &m.keywords)) {
		imap_bad(s, "APPEND needs one literal");
		return;
	}
	if (m.body.len == 0) {
		imap_no(s, "[CANNOT] an empty message");
		return;
	}
	m.mailbox = name;
	m.cache = mailbox_cache(m.body, s->cmd_a);
	if (!store_deliver(
		    s->sv->m->store, s->account, &m, &uid, &uidvalidity, &f)) {
		if (f.class == FAULT_PERM && f.detail == 2)
			imap_no(s, "[TRYCREATE] no such mailbox");
		else
			imap_fault(s, &f);
		return;
	}
	imap_ring(s);
	if (s->view.mailbox != 0 && !view_sync(s, true, &f)) {
		imap_fault(s, &f);
		return;
	}
	imap_ok(s, "[APPENDUID %u %u] Appended", uidvalidity, uid);
}
