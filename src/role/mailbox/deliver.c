/* SPDX-License-Identifier: ISC */
/* Delivery into the built-in store. */
#include <string.h>

#include "codec/smtp/path.h"
#include "role/accounts.h"
#include "role/mailbox/indexer.h"
#include "role/mailbox/mailbox.h"
#include "role/mailbox/quota.h"
#include "role/mailbox/summary.h"
#include "store/message.h"

struct str mailbox_prefix(const struct conf *c, const struct envelope *e,
	const struct recipient *r, bool delivered_to, struct arena *a)
{
	struct str delivered = delivered_to
				       ? arena_join(a, STR("Delivered-To: "),
						 r->address, STR("\r\n"))
				       : STR("");
	struct str original =
		c->enable_original_recipient && str_present(r->original)
			? arena_join(a, STR("X-Original-To: "), r->original,
				  STR("\r\n"))
			: STR("");

	return arena_join(a, STR("Return-Path: <"), envelope_sender(e, r, a),
		STR(">\r\n"), original, delivered);
}

/* ---- delivery ---- */

static void add(struct outcomes *o, struct outcome_of one)
{
	o->v[o->n++] = one;
}

/* user+ext@domain belongs to user@domain. */
static enum table_result find_account(struct mailbox_role *m,
	struct str address, struct arena *a, int64_t *id_r,
	struct str *account_r, struct fault *f)
{
	struct str local, domain, user, ext;
	enum table_result r =
		accounts_id(m->role->accounts, address, a, id_r, f);

	*account_r = address;
	if (r != TABLE_NONE)
		return r;
	smtp_address_split(address, &local, &domain);
	if (!address_extension(local, m->role->conf->recipient_delimiter,
		    m->role->conf->owner_request_special, &user, &ext))
		return TABLE_NONE;
	*account_r =
		arena_printf(a, "%.*s@%.*s", STR_ARG(user), STR_ARG(domain));
	return accounts_id(m->role->accounts, *account_r, a, id_r, f);
}

bool mailbox_is_full(struct mailbox_role *m, struct str address, uint64_t bytes,
	struct arena *a, bool *full_r, struct fault *f)
{
	struct store_quota quota;
	struct store_mailbox used;
	struct str name;
	int64_t account;

	*full_r = false;
	switch (find_account(m, address, a, &account, &name, f)) {
	case TABLE_FOUND:
		break;
	case TABLE_NONE:
		return true;
	case TABLE_ERROR:
		return false;
	}
	if (!quota_of(m, account, name, a, &quota, f) ||
		!store_mailbox(
			m->store, account, (struct store_which){0}, &used, f))
		return false;
	*full_r = (quota.bytes > 0 && used.bytes + bytes > quota.bytes) ||
		  (quota.messages > 0 && used.n_exists >= quota.messages);
	if (*full_r || quota_domain_room(m, name, bytes, 1, a, f))
		return true;
	*full_r = f->class == FAULT_PERM;
	return *full_r;
}

/* The address stands in virtual_mailbox_maps, and not because every one would:
 * who moves here from elsewhere has yet to make its account, and its mail waits
 * for that. */
static enum table_result awaits_account(struct mailbox_role *m,
	struct str address, struct arena *a, struct fault *f)
{
	struct maps *maps = m->policy->virtual_mailbox;
	struct str local, domain, value;
	enum table_result r = maps_lookup(maps, address, a, &value, f);

	if (r != TABLE_FOUND)
		return r;
	smtp_address_split(address, &local, &domain);
	r = maps_lookup(maps,
		arena_printf(a, "%016llx@%.*s",
			(unsigned long long)random_u64(), STR_ARG(domain)),
		a, &value, f);
	return r == TABLE_NONE    ? TABLE_FOUND
	       : r == TABLE_FOUND ? TABLE_NONE
				  : r;
}

/* The fault; a table that cannot be asked says its own. */
static void no_account(struct mailbox_role *m, struct str address,
	struct str user, struct arena *a, struct fault *f)
{
	enum table_result r = awaits_account(m, address, a, f);

	if (r == TABLE_NONE && !str_eq(user, address))
		r = awaits_account(m, user, a, f);
	if (r == TABLE_FOUND)
		fault_set(f, FAULT_TEMP, 450, 2, 1,
			"%.*s stands in virtual_mailbox_maps, and has no "
			"account yet",
			STR_ARG(address));
	if (r == TABLE_NONE)
		fault_set(f, FAULT_PERM, 550, 1, 1,
			"user unknown: there is no account %.*s",
			STR_ARG(address));
}

/* One message on its way into the store; in the caller's arena. */
struct delivery {
	struct mailbox_role *m;
	const struct envelope *e;
	struct arena *a;
	struct outcomes *o;
	struct file_map map; /* of the text */
	struct store_target *targets;
	const struct store_new **asked; /* in the order that was asked for */
	uint32_t *index; /* of the recipient, in the same order */
	struct str *names; /* of the account */
	uint32_t n;
	store_done_f *done; /* NULL: somebody waits */
	void *ctx;
};

static void add_target(
	struct delivery *d, uint32_t n, struct str body, struct str cache)
{
	struct mailbox_role *m = d->m;
	const struct envelope *e = d->e;
	const struct recipient *r = &e->rcpts[n];
	struct outcomes *o = d->o;
	struct arena *a = d->a;
	struct store_quota quota;
	struct str name;
	int64_t account;
	struct fault f;
	struct outcome_of one;

	switch (find_account(m, r->address, a, &account, &name, &f)) {
	case TABLE_FOUND:
		break;
	case TABLE_NONE:
		no_account(m, r->address, name, a, &f);
		outcome_fault(&one, n, &f, a);
		add(o, one);
		return;
	case TABLE_ERROR:
		outcome_fault(&one, n, &f, a);
		add(o, one);
		return;
	}
	if (!quota_of(m, account, name, a, &quota, &f) ||
		!quota_domain_room(m, name, body.len, 1, a, &f)) {
		outcome_fault(&one, n, &f, a);
		add(o, one);
		return;
	}
	struct store_new *msg = arena_make(a, struct store_new);
	bool junk = (e->flags & ENV_JUNK) != 0;

	*msg = (struct store_new){.mailbox = junk ? STR("Junk") : STR("INBOX"),
		.use = junk ? ROLE_JUNK : ROLE_NONE,
		.create = true,
		.received = clock_unix(),
		.quota = quota,
		.prefix = mailbox_prefix(m->role->conf, e, r, true, a),
		.body = body,
		.cache = cache,
		.stamp = summary_stamp(cache),
		.msg = (int64_t)e->id};
	d->names[d->n] = name;
	d->asked[d->n] = msg;
	d->targets[d->n] = (struct store_target){.account = account, .m = msg};
	d->index[d->n++] = n;
}

static void log_delivered(const struct envelope *e, const struct recipient *r,
	bool ok, const struct fault *f)
{
	char id[ID_TEXT];

	id_text(e->id, id);
	if (ok)
		log_info("stored", log_z("queue_id", id),
			log_s("to", r->address));
	else
		log_warn("not stored", log_z("queue_id", id),
			log_s("to", r->address), log_fault(f));
}

static void delivered(struct mailbox_role *m, const struct store_target *t,
	struct str name, struct arena *a)
{
	const struct store_quota *quota = &t->m->quota;
	struct store_mailbox used;
	struct fault f;

	if (t->uid != 0)
		quota_domain_came(
			m, name, t->m->prefix.len + t->m->body.len, 1, a);
	if (t->uid != 0 && (quota->bytes > 0 || quota->messages > 0) &&
		store_mailbox(m->store, t->account, (struct store_which){0},
			&used, &f))
		quota_warn(m, t->account, name, quota, &used,
			t->m->prefix.len + t->m->body.len, a);
	bells_ring(m->bells, t->account);
	indexer_note(m->indexer, t->account);
}

/* store_post has sorted the targets. */
static const struct store_target *target_of(
	const struct delivery *d, const struct store_new *asked)
{
	const struct store_target *t = d->targets;

	while (t->m != asked)
		t++;
	return t;
}

static void finish(void *ctx)
{
	struct delivery *d = ctx;

	for (uint32_t i = 0; i < d->n; i++) {
		const struct store_target *t = target_of(d, d->asked[i]);
		struct outcome_of one = {.n = d->index[i],
			.kind = DELIVERED,
			.text = STR("delivered to mailbox")};

		if (!t->ok)
			outcome_fault(&one, d->index[i], &t->fault, d->a);
		log_delivered(
			d->e, &d->e->rcpts[d->index[i]], t->ok, &t->fault);
		if (t->ok)
			delivered(d->m, t, d->names[i], d->a);
		add(d->o, one);
	}
	file_unmap(&d->map);
	if (d->done != NULL)
		d->done(d->ctx);
}

static struct delivery *prepare(struct mailbox_role *m,
	const struct envelope *e, const uint32_t *pick, uint32_t n,
	const struct text *body, struct arena *a, struct outcomes *o)
{
	struct delivery *d = arena_make(a, struct delivery);
	struct fault f;

	*d = (struct delivery){.m = m,
		.e = e,
		.a = a,
		.o = o,
		.targets = arena_alloc(a, (n + 1) * sizeof(*d->targets)),
		.asked = arena_alloc(a, (n + 1) * sizeof(struct store_new *)),
		.index = arena_alloc(a, (n + 1) * sizeof(*d->index)),
		.names = arena_alloc(a, (n + 1) * sizeof(*d->names))};
	if (!text_map(body, &d->map, &f)) {
		for (uint32_t i = 0; i < n; i++)
			outcome_fault(&o->v[o->n++], pick[i], &f, a);
		return d;
	}
	struct str cache = summary_make(d->map.bytes, a);
	for (uint32_t i = 0; i < n; i++)
		add_target(d, pick[i], d->map.bytes, cache);
	return d;
}

void mailbox_deliver(struct mailbox_role *m, const struct envelope *e,
	const uint32_t *pick, uint32_t n, const struct text *body,
	struct arena *a, struct outcomes *o)
{
	struct delivery *d = prepare(m, e, pick, n, body, a, o);

	store_deliver(m->store, d->targets, d->n);
	finish(d);
}

void mailbox_post(struct mailbox_role *m, const struct envelope *e,
	const uint32_t *pick, uint32_t n, const struct text *body,
	struct arena *a, struct outcomes *o, store_done_f *done, void *ctx)
{
	struct delivery *d = prepare(m, e, pick, n, body, a, o);

	d->done = done;
	d->ctx = ctx;
	store_post(m->store, d->targets, d->n, finish, d);
}

void mailbox_job(const struct job *job, const struct text *body,
	struct arena *a, struct outcomes *o, void *ctx)
{
	struct mailbox_role *m = ctx;

	const struct transport *t =
		transport_find(m->role->services, job->transport);

	if (t != NULL && t->pipe != NULL)
		mailbox_pipe(m, job, body, a, o);
	else if (str_eqc(job->transport, "local"))
		mailbox_local(m, job, body, a, o);
	else
		mailbox_deliver(
			m, &job->env, job->pick, job->n_pick, body, a, o);
}
