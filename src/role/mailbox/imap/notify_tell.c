/* SPDX-License-Identifier: ISC */
/* What changed, told to a client that asked for it. RFC 5465 5 */
#include "role/mailbox/imap/list_names.h"
#include "role/mailbox/imap/notify.h"

static bool is_selected(const struct imap *s, const struct seen_box *box)
{
	const struct box *open = s->view.box;

	return open != NULL && open->account == box->account &&
	       open->mailbox == box->id;
}

/* Did the client do that itself just now?  RFC 5465 5: then it knows. */
static bool is_own(const struct imap *s, struct str name)
{
	return strs_has(&s->notify->own_names, name);
}

/* ---- replies ---- */

struct list_reply {
	struct str name;
	struct str old; /* absent: none */
	bool exists, subscribed, children, no_access;
};

static void put_list(struct imap *s, const struct list_reply *r)
{
	struct buf *out = stream_out(s->stream);

	buf_puts(out, "* LIST (");
	buf_puts(out, !r->exists    ? "\\NonExistent"
		      : r->children ? "\\HasChildren"
				    : "\\HasNoChildren");
	buf_puts(out, r->subscribed ? " \\Subscribed" : "");
	buf_puts(out, r->no_access ? " \\NoAccess" : "");
	buf_puts(out, ") \"/\" ");
	imap_put_name(s, r->name, out);
	if (str_present(r->old)) {
		buf_puts(out, " (\"OLDNAME\" (");
		imap_put_name(s, r->old, out);
		buf_puts(out, "))");
	}
	buf_puts(out, "\r\n");
}

static void put_status(
	struct imap *s, const struct seen_box *box, unsigned e, bool unseen)
{
	struct buf *out = stream_out(s->stream);

	buf_puts(out, "* STATUS ");
	imap_put_name(s, box->name, out);
	buf_putf(out, " (UIDVALIDITY %u", box->uidvalidity);
	if ((e & (EVENT_NEW | EVENT_EXPUNGE)) != 0)
		buf_putf(out, " UIDNEXT %u MESSAGES %llu", box->uidnext,
			(unsigned long long)box->n_exists);
	if (unseen)
		buf_putf(
			out, " UNSEEN %llu", (unsigned long long)box->n_unseen);
	if (s->condstore || (e & EVENT_FLAGS) != 0)
		buf_putf(out, " HIGHESTMODSEQ %llu",
			(unsigned long long)box->modseq);
	buf_puts(out, ")\r\n");
}

/* "* METADATA box entry entry": names only, RFC 5464 4.4.2 */
static void tell_entries(struct imap *s, struct str name,
	const struct seen_entries *before, const struct seen_entries *now)
{
	struct buf out CLEANUP(buf_fini);

	buf_init(&out, 1 << 20);
	for (size_t i = 0; i < now->n; i++) {
		size_t k = 0;

		while (k < before->n &&
			!(str_eq(before->v[k].name, now->v[i].name) &&
				before->v[k].hash == now->v[i].hash))
			k++;
		if (k == before->n)
			buf_putf(&out, " %.*s", STR_ARG(now->v[i].name));
	}
	for (size_t k = 0; k < before->n; k++) {
		size_t i = 0;

		while (i < now->n && !str_eq(before->v[k].name, now->v[i].name))
			i++;
		if (i == now->n)
			buf_putf(&out, " %.*s", STR_ARG(before->v[k].name));
	}
	if (out.len == 0)
		return;
	stream_puts(s->stream, "* METADATA ");
	imap_put_name(s, name, stream_out(s->stream));
	stream_put(s->stream, buf_str(&out));
	stream_puts(s->stream, "\r\n");
}

/* ---- names ---- */

static struct str parent_of(struct str name)
{
	ptrdiff_t slash = str_rfind(name, '/');

	return slash < 0 ? STR("") : str_sub(name, 0, (size_t)slash);
}

/* The mailbox and its direct parent are affected: 5.4. */
static bool hears_of_name(const struct imap *s, const struct seen_box *box)
{
	struct seen_box parent = {
		.account = box->account, .name = parent_of(box->name)};

	return ((notify_events(s, box) | notify_events(s, &parent)) &
		       EVENT_NAME) != 0 &&
	       !is_own(s, box->name);
}

/* It moved because one above it did: 5.4 */
static bool moved_with_parent(const struct snapshot *last,
	const struct snapshot *now, struct str from, struct str to)
{
	for (size_t i = 1; i < from.len; i++) {
		const struct seen_box *a =
			from.ptr[i] == '/'
				? snapshot_by_name(last, str_sub(from, 0, i))
				: NULL;
		const struct seen_box *b =
			a != NULL ? snapshot_find(now, a->account, a->id)
				  : NULL;

		if (b != NULL && !str_eq(a->name, b->name) &&
			list_name_is_below(to, b->name) &&
			str_eq(str_from_at(from, a->name.len),
				str_from_at(to, b->name.len)))
			return true;
	}
	return false;
}

static void tell_name(struct imap *s, const struct snapshot *last,
	const struct snapshot *now, const struct seen_box *a,
	const struct seen_box *b)
{
	struct list_reply r = {.name = b->name,
		.exists = true,
		.subscribed = b->subscribed,
		.children = b->children};

	if (a != NULL &&
		(str_eq(a->name, b->name) ||
			moved_with_parent(last, now, a->name, b->name)))
		return;
	if (!hears_of_name(s, b) && (a == NULL || !hears_of_name(s, a)))
		return;
	if (a != NULL && is_own(s, a->name))
		return;
	if (a != NULL)
		r.old = a->name;
	put_list(s, &r);
}

static void tell_gone(
	struct imap *s, const struct snapshot *last, const struct snapshot *now)
{
	for (size_t i = 0; i < last->n; i++) {
		const struct seen_box *a = &last->v[i];
		struct list_reply r = {
			.name = a->name, .subscribed = a->subscribed};

		if (a->id != 0 &&
			snapshot_find(now, a->account, a->id) == NULL &&
			hears_of_name(s, a))
			put_list(s, &r);
	}
}

/* ---- subscriptions: of names, with and without a mailbox ---- */

static void tell_subscription(
	struct imap *s, const struct seen_box *box, bool subscribed)
{
	struct seen_box either = *box;
	struct list_reply r = {.name = box->name,
		.exists = box->id != 0,
		.subscribed = subscribed,
		.children = box->children};

	either.subscribed = true; /* it is or was */
	if ((notify_events(s, &either) & EVENT_SUBSCRIPTION) != 0 &&
		!is_own(s, box->name))
		put_list(s, &r);
}

static void tell_subscriptions(
	struct imap *s, const struct snapshot *last, const struct snapshot *now)
{
	for (size_t i = 0; i < now->n; i++) {
		const struct seen_box *a =
			snapshot_by_name(last, now->v[i].name);

		if (now->v[i].subscribed != (a != NULL && a->subscribed))
			tell_subscription(s, &now->v[i], now->v[i].subscribed);
	}
	for (size_t i = 0; i < last->n; i++)
		if (last->v[i].subscribed &&
			snapshot_by_name(now, last->v[i].name) == NULL)
			tell_subscription(s, &last->v[i], false);
}

/* ---- messages of other mailboxes ---- */

static void tell_messages(
	struct imap *s, const struct seen_box *a, const struct seen_box *b)
{
	unsigned e = (b->rights & RIGHT_READ) != 0 ? notify_events(s, b) : 0;
	bool counts = a->uidnext != b->uidnext || a->n_exists != b->n_exists;
	bool unseen = a->n_unseen != b->n_unseen;
	bool validity = a->uidvalidity != b->uidvalidity;
	unsigned told = 0;

	if (is_selected(s, b))
		return;
	if ((counts || validity) && (e & (EVENT_NEW | EVENT_EXPUNGE)) != 0)
		told |= EVENT_NEW | EVENT_EXPUNGE;
	/* 5.1: without CONDSTORE there is only UNSEEN to tell. */
	if (a->modseq != b->modseq && (e & EVENT_FLAGS) != 0 &&
		(s->condstore || unseen || validity))
		told |= EVENT_FLAGS;
	if (told != 0)
		put_status(s, b,
			s->condstore ? told : told & (unsigned)~EVENT_FLAGS,
			unseen);
}

/* ---- all of it ---- */

static void tell_difference(
	struct imap *s, const struct snapshot *last, const struct snapshot *now)
{
	tell_gone(s, last, now);
	for (size_t i = 0; i < now->n; i++)
		if (now->v[i].id != 0)
			tell_name(s, last, now,
				snapshot_find(
					last, now->v[i].account, now->v[i].id),
				&now->v[i]);
	tell_subscriptions(s, last, now);
	for (size_t i = 0; i < now->n; i++) {
		const struct seen_box *b = &now->v[i];
		const struct seen_box *a =
			snapshot_find(last, b->account, b->id);

		if (a == NULL)
			continue;
		tell_messages(s, a, b);
		if (!is_own(s, b->name))
			tell_entries(s, b->name, &a->entries, &b->entries);
	}
	if (!is_own(s, STR("")))
		tell_entries(s, STR(""), &last->entries, &now->entries);
}

void notify_tell(struct imap *s)
{
	struct imap_notify *n = s->notify;
	struct snapshot now;
	struct fault f;

	if (n == NULL || n->n_groups == 0)
		return;
	if (!snapshot_take(s, &now, &f)) {
		log_error("store", log_s("login", s->login), log_fault(&f));
		return;
	}
	tell_difference(s, &n->last, &now);
	snapshot_free(&n->last);
	n->last = now;
	n->own_names = (struct strs){0};
	arena_trim(n->own_a);
}

void imap_own_name(struct imap *s, struct str name)
{
	struct imap_notify *n = s->notify;

	if (n != NULL && n->n_groups > 0)
		strs_add(&n->own_names, n->own_a, arena_str(n->own_a, name));
}

/* 3.1: the state of what is watched, and what cannot be */
static void tell_state(struct imap *s, const struct seen_box *b, bool status)
{
	unsigned e = notify_events(s, b);
	struct list_reply r = {.name = b->name,
		.exists = true,
		.subscribed = b->subscribed,
		.children = b->children,
		.no_access = true};

	if (b->id == 0 || (e & EVENT_MESSAGES) == 0 || is_selected(s, b))
		return;
	if ((b->rights & RIGHT_READ) == 0)
		put_list(s, &r);
	else if (status)
		put_status(s, b, e, true);
}

bool notify_begin(struct imap *s, bool status, struct fault *f)
{
	struct imap_notify *n = s->notify;

	if (n->n_groups == 0)
		return true;
	if (!snapshot_take(s, &n->last, f))
		return false;
	for (size_t i = 0; i < n->last.n; i++)
		tell_state(s, &n->last.v[i], status);
	return true;
}
