/* SPDX-License-Identifier: ISC */
/* NOTIFY: the command. RFC 5465 3.1 */
#include "role/mailbox/imap/notify.h"

#include <stdlib.h>

#include "base/must.h"
#include "role/mailbox/imap/fetch.h"

enum { GROUPS_MAX = 100 };

void imap_notify_free(struct imap_notify *n)
{
	if (n == NULL)
		return;
	snapshot_free(&n->last);
	arena_free(n->a);
	arena_free(n->own_a);
	free(n);
}

static const struct {
	const char *word;
	unsigned event;
} events[] = {{"MessageNew", EVENT_NEW}, {"MessageExpunge", EVENT_EXPUNGE},
	{"FlagChange", EVENT_FLAGS}, {"MailboxName", EVENT_NAME},
	{"SubscriptionChange", EVENT_SUBSCRIPTION},
	{"MailboxMetadataChange", EVENT_METADATA},
	{"ServerMetadataChange", EVENT_SERVER_METADATA}};

/* ---- reading ---- */

struct reading {
	struct imap *s;
	struct imap_notify *n;
	bool unknown; /* an event that is not known: NO, not BAD */
	bool selected; /* there was such a group */
};

static bool parse_event(
	struct reading *x, struct imap_in *in, struct notify_group *g)
{
	bool of_selected = g->filter.kind <= FILTER_SELECTED_DELAYED;
	struct str word;
	size_t i = 0;

	while (i < ARRAY_LEN(events) && !imap_word(in, events[i].word))
		i++;
	if (i == ARRAY_LEN(events)) {
		x->unknown = true;
		return imap_atom(in, &word);
	}
	g->events |= events[i].event;
	if (of_selected && (events[i].event & EVENT_MESSAGES) == 0)
		return false;
	return events[i].event != EVENT_NEW || !of_selected ||
	       fetch_parse_behind(x->s, in, &x->n->items);
}

/* RFC 5465 5: some events come together only. */
static bool fits(unsigned e)
{
	bool fresh = (e & EVENT_NEW) != 0, gone = (e & EVENT_EXPUNGE) != 0;

	return fresh == gone && ((e & EVENT_FLAGS) == 0 || fresh);
}

static bool parse_events(
	struct reading *x, struct imap_in *in, struct notify_group *g)
{
	if (imap_word(in, "NONE"))
		return true;
	if (!imap_char(in, '('))
		return false;
	do {
		if (!parse_event(x, in, g))
			return false;
	} while (imap_space(in));
	return imap_char(in, ')') && (x->unknown || fits(g->events));
}

static bool parse_group(struct reading *x, struct imap_in *in)
{
	struct imap_notify *n = x->n;
	struct notify_group g = {0};

	if (!imap_char(in, '(') || !imap_filter_parse(in, &g.filter) ||
		g.filter.kind == FILTER_SUBTREE_ONE || !imap_space(in) ||
		!parse_events(x, in, &g) || !imap_char(in, ')'))
		return false;
	if (g.filter.kind > FILTER_SELECTED_DELAYED) {
		if (n->n_groups == GROUPS_MAX)
			return false;
		n->groups[n->n_groups++] = g;
		return true;
	}
	if (x->selected)
		return false; /* 6.1: only one */
	x->selected = true;
	n->selected = g.events;
	n->delayed = g.filter.kind == FILTER_SELECTED_DELAYED;
	return true;
}

/* "SET [STATUS] (group) ..." */
static bool parse_set(struct reading *x, struct imap_in *in, bool *status_r)
{
	struct imap_notify *n = x->n;

	n->groups = arena_alloc(n->a, GROUPS_MAX * sizeof(*n->groups));
	*status_r = false;
	if (!imap_space(in))
		return false;
	if (imap_word(in, "STATUS")) {
		*status_r = true;
		if (!imap_space(in))
			return false;
	}
	do {
		if (!parse_group(x, in))
			return false;
	} while (imap_space(in));
	return imap_end(in);
}

/* ---- the command ---- */

static void put_badevent(struct imap *s)
{
	struct buf b CLEANUP(buf_fini);

	buf_init(&b, 1024);
	for (size_t i = 0; i < ARRAY_LEN(events); i++)
		buf_putf(&b, "%s%s", i > 0 ? " " : "", events[i].word);
	imap_no(s, "[BADEVENT (%.*s)] not known here", STR_ARG(buf_str(&b)));
}

/* What cannot begin leaves the one before as it was. */
static void set(struct imap *s, struct reading *x, bool status)
{
	struct imap_notify *before = s->notify;
	struct fault f;

	s->notify = x->n;
	imap_hang_bells(s);
	if (!notify_begin(s, status, &f)) {
		s->notify = before;
		imap_hang_bells(s);
		imap_fault(s, &f);
		return;
	}
	x->n = before; /* for who frees it */
	/* Others may be seen now, at whose accounts to listen. */
	imap_hang_bells(s);
	imap_ok(s, "Notify completed");
}

void imap_notify(struct imap *s, struct imap_in *in)
{
	struct reading x = {
		.s = s, .n = must_alloc(sizeof(struct imap_notify))};
	struct arena *was = in->a;
	bool status = false;

	x.n->a = arena_new(SIZE_MAX);
	x.n->own_a = arena_new(SIZE_MAX);
	x.n->none = imap_word(in, "NONE");
	/* What is kept must live longer than the command. */
	in->rest = arena_str(x.n->a, in->rest);
	in->a = x.n->a;
	bool ok = x.n->none
			  ? imap_end(in)
			  : imap_word(in, "SET") && parse_set(&x, in, &status);
	in->a = was;
	if (!ok)
		imap_bad(s, "NOTIFY NONE, or SET [STATUS] (mailboxes events)");
	else if (x.unknown)
		put_badevent(s);
	else
		set(s, &x, status);
	imap_notify_free(x.n);
}
