/* SPDX-License-Identifier: ISC */
/* COPY and MOVE into a mailbox of another account: RFC 4314 4 says which flags
 * come along. */
#include <string.h>

#include "base/must.h"
#include "role/mailbox/imap/imap.h"
#include "role/mailbox/imap/place.h"
#include "store/message.h"

enum { BATCH_MESSAGES = 200, BATCH_BYTES = 16 << 20 };

struct far {
	struct imap *s;
	const struct imap_place *to;
	const struct store_quota *quota;
	struct arena *a; /* of the batch */
	struct store_message held[BATCH_MESSAGES + 1];
	struct store_new v[BATCH_MESSAGES];
	uint32_t *to_r[BATCH_MESSAGES]; /* where the new UID goes */
	size_t n, bytes;
	uint32_t *made; /* new UIDs, ascending */
	size_t n_made;
	uint32_t *parts; /* the first of each batch but the last */
	size_t n_parts, parts_cap;
	int64_t mailbox; /* where they are */
	uint32_t uidvalidity;
};

/* But for one that was read and is not described yet. */
static void drop_held(struct far *x)
{
	for (size_t i = 0; i < x->n; i++)
		store_message_fini(&x->held[i]);
	x->n = x->bytes = 0;
	arena_reset(x->a);
}

/* more: it is not the last. */
static bool put_batch(struct far *x, bool more, struct fault *f)
{
	struct store_target *t = arena_alloc(x->a, (x->n + 1) * sizeof(*t));

	if (x->n == 0)
		return true;
	x->v[0].more = more;
	x->v[0].parts = x->parts;
	x->v[0].n_parts = more ? 0 : x->n_parts;
	for (size_t i = 0; i < x->n; i++)
		t[i] = (struct store_target){
			.account = x->to->account, .m = &x->v[i]};
	store_deliver(x->s->sv->m->store, t, x->n);
	bool ok = t[0].ok;
	if (!ok)
		*f = t[0].fault;
	for (size_t i = 0; ok && i < x->n; i++) {
		*x->to_r[i] = x->made[x->n_made++] = t[i].uid;
		x->uidvalidity = t[i].uidvalidity;
		x->mailbox = t[i].mailbox;
	}
	if (ok && more) {
		x->parts = arena_grown(x->s->cmd_a, x->parts, x->n_parts,
			&x->parts_cap, sizeof(*x->parts));
		x->parts[x->n_parts++] = t[0].uid;
	}
	drop_held(x);
	return ok;
}

static void describe(
	struct far *x, const struct pick *p, const struct store_message *m)
{
	struct store_new *one = &x->v[x->n];
	struct str words = arena_str(x->a, str_from(p->keywords)), word;

	*one = (struct store_new){.mailbox = x->to->name,
		.flags = p->flags & rights_flags(x->to->rights),
		.received = p->received,
		.quota = *x->quota,
		.body = m->bytes,
		.cache = m->cache,
		.stamp = p->stamp};
	while ((x->to->rights & RIGHT_WRITE) != 0 &&
		str_present(word = str_word(&words, " ")))
		strs_add(&one->keywords, x->a, word);
}

/* What is gone meanwhile is passed over. */
static bool take(struct far *x, uint32_t uid, uint32_t *to_r, struct fault *f)
{
	struct imap *s = x->s;
	struct store_message *m = &x->held[x->n];
	struct pick p;

	*to_r = 0;
	if (!view_pick(s, uid, &p) || (p.flags & ROW_GONE) != 0)
		return true;
	if (!store_message(s->sv->m->store, s->view.box->account,
		    s->view.box->mailbox, uid, STORE_BYTES | STORE_CACHE, m, f))
		return f->class == FAULT_PERM;
	/* Only now it is sure that the last batch was not the last. */
	if (x->n == BATCH_MESSAGES || x->bytes >= BATCH_BYTES) {
		struct store_message next = *m;
		bool ok = put_batch(x, true, f);

		x->held[0] = next;
		if (!ok) {
			store_message_fini(&x->held[0]);
			return false;
		}
		m = &x->held[0];
	}
	describe(x, &p, m);
	x->to_r[x->n++] = to_r;
	x->bytes += m->bytes.len;
	return true;
}

/* All or none: RFC 9051 6.4.7. */
static void take_back(struct far *x)
{
	struct fault f;

	drop_held(x);
	if (x->n_made > 0 && !store_expunge(x->s->sv->m->store, x->to->account,
				     x->mailbox, x->made, x->n_made, &f))
		log_error("store", log_s("login", x->s->login), log_fault(&f));
}

static bool expunge_moved(struct imap *s, const uint32_t *uids,
	const uint32_t *to, size_t n, struct fault *f)
{
	uint32_t *moved = arena_alloc(s->cmd_a, (n + 1) * sizeof(*moved));
	size_t n_moved = 0;

	for (size_t i = 0; i < n; i++)
		if (to[i] != 0)
			moved[n_moved++] = uids[i];
	return imap_expunge_uids(s, moved, n_moved, f);
}

bool imap_copy_far(struct imap *s, const uint32_t *uids, size_t n,
	const struct imap_place *to, bool move, const struct store_quota *quota,
	uint32_t *to_r, uint32_t *uidvalidity_r, struct fault *f)
{
	struct far *x = must_alloc(sizeof(*x));
	bool ok = true;

	*x = (struct far){.s = s,
		.to = to,
		.quota = quota,
		.a = arena_new(SIZE_MAX),
		.made = arena_alloc(s->cmd_a, (n + 1) * sizeof(*x->made))};
	for (size_t i = 0; ok && i < n; i++)
		ok = take(x, uids[i], &to_r[i], f);
	ok = ok && put_batch(x, false, f);
	if (!ok)
		take_back(x);
	*uidvalidity_r = x->uidvalidity;
	arena_free(x->a);
	free(x);
	/* They are there: what goes wrong now leaves two, not none. */
	return ok && (!move || expunge_moved(s, uids, to_r, n, f));
}
