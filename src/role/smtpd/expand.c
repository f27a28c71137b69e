/* SPDX-License-Identifier: ISC */
/* Who gets a mail in the end: virtual aliases, copies that nobody is told of.
 */
#include <string.h>

#include "policy/rewrite.h"
#include "role/smtpd/smtpd.h"

enum { EXPANDED_MAX = 10000 };

static bool add(struct session *s, struct expanded *x, struct recipient r,
	struct fault *f)
{
	int64_t most = s->sv->c->duplicate_filter_limit;

	for (uint32_t i = 0; i < x->n && (most == 0 || i < most); i++)
		if (str_ieq(x->v[i].address, r.address))
			return true;
	if (x->n >= EXPANDED_MAX)
		return fault_set(f, FAULT_TEMP, 451, 5, 3,
			"more than %d recipients behind the aliases",
			EXPANDED_MAX);
	if (x->n == x->cap) {
		uint32_t cap = x->cap > 0 ? x->cap * 2 : 8;
		struct recipient *v = arena_alloc(s->tx_a, cap * sizeof(*v));

		if (x->n > 0)
			memcpy(v, x->v, x->n * sizeof(*v));
		x->v = v;
		x->cap = cap;
	}
	x->v[x->n++] = r;
	return true;
}

static bool expand_all(struct session *s, struct expanded *x, struct fault *f)
{
	struct transaction *tx = &s->tx;

	if (tx->redirect.len > 0)
		return add(s, x,
			(struct recipient){.address = tx->redirect,
				.original = tx->rcpts[0].original,
				.notify = tx->rcpts[0].notify},
			f);
	for (size_t i = 0; i < tx->n_rcpts; i++) {
		struct strs list = {0};

		if (smtpd_overrides(s, "no_address_mappings")) {
			if (!add(s, x, tx->rcpts[i], f))
				return false;
			continue;
		}
		if (!rewrite_virtual(s->sv->policy, tx->rcpts[i].address,
			    s->tx_a, &list, f))
			return false;
		for (size_t j = 0; j < list.n; j++) {
			struct recipient r = tx->rcpts[i];

			r.address = list.v[j];
			if (!add(s, x, r, f))
				return false;
		}
	}
	return true;
}

static bool add_bcc(struct session *s, struct expanded *x, struct str address,
	struct fault *f)
{
	struct strs list = {0};
	struct str bcc = rewrite_trivial(s->sv->policy, address, s->tx_a);

	if (!rewrite_virtual(s->sv->policy, bcc, s->tx_a, &list, f))
		return false;
	for (size_t i = 0; i < list.n; i++)
		if (!add(s, x,
			    (struct recipient){.address = list.v[i],
				    .original = bcc,
				    .notify = SMTP_NOTIFY_NEVER},
			    f))
			return false;
	return true;
}

/* always_bcc, sender_bcc_maps, recipient_bcc_maps: nobody is told. */
static bool add_copies(struct session *s, struct expanded *x, struct fault *f)
{
	const struct policy *p = s->sv->policy;
	struct str bcc;

	if (p->c->always_bcc.len > 0 && !add_bcc(s, x, p->c->always_bcc, f))
		return false;
	enum table_result r =
		policy_bcc(p, p->sender_bcc, s->tx.sender, s->tx_a, &bcc, f);
	if (r == TABLE_ERROR || (r == TABLE_FOUND && !add_bcc(s, x, bcc, f)))
		return false;
	for (size_t i = 0; i < s->tx.n_rcpts; i++) {
		r = policy_bcc(p, p->recipient_bcc, s->tx.rcpts[i].address,
			s->tx_a, &bcc, f);
		if (r == TABLE_ERROR ||
			(r == TABLE_FOUND && !add_bcc(s, x, bcc, f)))
			return false;
	}
	return true;
}

bool smtpd_expand(struct session *s, struct expanded *x, struct fault *f)
{
	*x = (struct expanded){0};
	return expand_all(s, x, f) &&
	       (smtpd_overrides(s, "no_address_mappings") ||
		       add_copies(s, x, f));
}
