/* SPDX-License-Identifier: ISC */
/* How a view follows the store, and tells its client. */
#include "base/sorted.h"
#include "role/mailbox/imap/view_private.h"

enum { NEWS_MAX = 1 << 30 };

/* ---- following the store ---- */

bool view_refresh(struct imap *s, struct fault *f)
{
	bool deleted;

	if (!box_refresh(s->sv->m->boxes, s->view.box, &deleted, f))
		return false;
	return !deleted ||
	       fault_set(f, FAULT_PERM, 0, 0, 2, "the mailbox was deleted");
}

static void tell_flags(struct imap *s, const struct pick *p, struct buf *out)
{
	imap_put_fetch(s, p->seq, p->uid, out);
	if (!s->uidonly) {
		buf_puts(out, "UID ");
		buf_put_u64(out, p->uid);
		buf_putc(out, ' ');
	}
	buf_puts(out, "FLAGS ");
	view_put_flags(p->flags, p->keywords, out);
	if (s->condstore) {
		buf_puts(out, " MODSEQ (");
		buf_put_u64(out, p->modseq);
		buf_putc(out, ')');
	}
	buf_puts(out, ")\r\n");
}

static bool is_own(const struct view_own *own, const struct box_row *row)
{
	return own != NULL && row->modseq == own->modseq &&
	       sorted_find(&row->uid, own->uids, own->n, sizeof(*own->uids),
		       sorted_by_u32) != NULL;
}

/* With the lock of the box held, as all that tells: into memory, for nobody
 * may wait for a client while it is. */
static void tell_changes(
	struct imap *s, const struct view_own *own, struct buf *out)
{
	struct view *v = &s->view;
	const struct box *box = v->box;
	uint32_t seq = 0;

	if (box->changed <= v->modseq || s->quiet_flags)
		return;
	for (size_t i = 0; i < box->n && box->rows[i].uid <= v->max_uid; i++) {
		const struct box_row *row = &box->rows[i];

		if ((row->flags & ROW_GONE) != 0 && view_told_gone(v, row))
			continue;
		seq++;
		if (row->modseq <= v->modseq || (row->flags & ROW_GONE) != 0 ||
			is_own(own, row))
			continue;
		struct pick p = view_pick_of(v, row, seq);
		tell_flags(s, &p, out);
	}
}

static bool to_tell(const struct view *v, const struct box_gone *gone)
{
	return gone->modseq > view_told(v) && gone->modseq <= v->box->modseq &&
	       gone->uid <= v->max_uid;
}

/* RFC 7162 3.2.10, RFC 9586 3.3: UIDs where that was asked for */
static void tell_vanished(struct imap *s, struct buf *out)
{
	struct view *v = &s->view;
	const struct box *box = v->box;
	struct imap_set_put put = {0};
	bool any = false;

	for (size_t i = 0; i < box->n_gone; i++) {
		if (!to_tell(v, &box->gone[i]))
			continue;
		if (!any)
			buf_puts(out, "* VANISHED ");
		any = true;
		v->n--;
		recent_gone(v, box->gone[i].uid);
		imap_set_put(&put, box->gone[i].uid, out);
	}
	imap_set_put_end(&put, out);
	if (any)
		buf_puts(out, "\r\n");
}

/* The number of each is what it is behind those that were told of before it. */
static void tell_expunged(struct imap *s, struct buf *out)
{
	struct view *v = &s->view;
	const struct box *box = v->box;
	size_t told = 0;

	for (size_t i = 0; i < box->n_gone; i++) {
		const struct box_gone *gone = &box->gone[i];

		if (to_tell(v, gone)) {
			buf_puts(out, "* ");
			buf_put_u64(out, box_lower(box, gone->uid) - told + 1);
			buf_puts(out, " EXPUNGE\r\n");
			v->n--;
			recent_gone(v, gone->uid);
			told++;
		} else if (gone->modseq <= view_told(v)) {
			told++;
		}
	}
}

static void tell_new(struct imap *s, struct buf *out)
{
	struct view *v = &s->view;
	const struct box *box = v->box;
	size_t fresh = 0;
	size_t pos = box_lower(box, v->max_uid + 1);

	if (pos == box->n)
		return;
	uint32_t newest = box->rows[box->n - 1].uid;
	uint32_t recent = recent_take(s, v->max_uid + 1, newest + 1);
	for (; pos < box->n; pos++)
		if (!view_told_gone(v, &box->rows[pos])) {
			fresh++;
			v->recent.count += box->rows[pos].uid >= recent;
		}
	v->max_uid = newest;
	if (fresh == 0)
		return;
	v->n += fresh;
	buf_putf(out, "* %zu EXISTS\r\n", v->n);
}

static bool say_deleted(struct imap *s)
{
	if (!s->closing)
		stream_puts(s->stream,
			"* BYE the selected mailbox was deleted\r\n");
	s->closing = true;
	return true;
}

struct glance {
	uint32_t max_uid;
	uint32_t recent; /* from this UID on they are */
	bool numbers; /* something happened that needs them */
	size_t fresh, n_recent;
};

static bool glance_row(const struct store_row *row, void *ctx)
{
	struct glance *g = ctx;

	g->numbers = row->uid <= g->max_uid;
	g->fresh++;
	g->n_recent += row->uid >= g->recent;
	return !g->numbers;
}

static void glance_vanished(uint32_t uid, uint64_t modseq UNUSED, void *ctx)
{
	struct glance *g = ctx;

	g->numbers |= uid <= g->max_uid;
}

/* While nobody needs numbers, new mail is told without loading the box. */
static bool sync_unloaded(struct imap *s, bool *done_r, struct fault *f)
{
	struct view *v = &s->view;
	struct box *box = v->box;
	struct store_mailbox m;
	struct glance g = {.max_uid = v->max_uid};

	*done_r = false;
	pthread_rwlock_rdlock(&box->lock);
	bool loaded = box->loaded;
	pthread_rwlock_unlock(&box->lock);
	if (loaded)
		return true;
	if (!store_mailbox(box->store, box->account,
		    (struct store_which){.id = box->mailbox}, &m, f)) {
		*done_r = f->class == FAULT_PERM;
		return *done_r && say_deleted(s);
	}
	*done_r = m.modseq <= v->modseq;
	if (*done_r)
		return true;
	if (m.uidvalidity != v->uidvalidity) {
		*done_r = true; /* an import brought its own */
		return say_deleted(s);
	}
	g.recent = recent_take(s, v->max_uid + 1, m.uidnext);
	if (!store_vanished(box->store, box->account, box->mailbox, v->modseq,
		    glance_vanished, &g, f) ||
		!store_rows(box->store, box->account, box->mailbox, v->modseq,
			0, glance_row, &g, f))
		return false;
	if (g.numbers || m.n_exists != v->n + g.fresh)
		return true;
	*done_r = true;
	v->modseq = m.modseq;
	__atomic_store_n(&v->user.expunged, m.modseq, __ATOMIC_RELAXED);
	v->max_uid = m.uidnext - 1;
	if (m.n_exists > v->n) {
		v->n = m.n_exists;
		v->recent.count += g.n_recent;
		imap_untagged(s, "%zu EXISTS", v->n);
		if (g.n_recent > 0)
			imap_untagged(s, "%zu RECENT", v->recent.count);
	}
	return true;
}

bool view_sync(struct imap *s, bool expunges, const struct view_own *own,
	struct fault *f)
{
	struct view *v = &s->view;
	struct box *box = v->box;
	bool done;

	if (!sync_unloaded(s, &done, f))
		return false;
	if (done)
		return true;
	if (!view_refresh(s, f))
		return f->class == FAULT_PERM && say_deleted(s);
	struct buf out CLEANUP(buf_fini);
	buf_init(&out, NEWS_MAX);
	pthread_rwlock_rdlock(&box->lock);
	if (box->modseq > v->modseq || box->modseq > view_told(v)) {
		size_t recent = v->recent.count;

		tell_changes(s, own, &out);
		if (expunges) {
			if (s->qresync || s->uidonly)
				tell_vanished(s, &out);
			else
				tell_expunged(s, &out);
			__atomic_store_n(&v->user.expunged, box->modseq,
				__ATOMIC_RELAXED);
		}
		v->modseq = box->modseq;
		tell_new(s, &out);
		if (v->recent.count != recent)
			buf_putf(&out, "* %zu RECENT\r\n", v->recent.count);
	}
	pthread_rwlock_unlock(&box->lock);
	stream_put(s->stream, buf_str(&out));
	return true;
}
