/* SPDX-License-Identifier: ISC */
#include "role/mailbox/domain_quota.h"

#include <stdlib.h>

#include "base/map.h"
#include "base/must.h"
#include "codec/smtp/path.h"
#include "conf/quota.h"
#include "role/accounts.h"

enum {
	COUNT_EVERY_MS = 60000,
	/* Of a large domain so many times as long as counting took. */
	COUNT_SELDOM = 100
};

struct held {
	uint64_t bytes, messages;
	int64_t due_ms; /* to be counted again: clock_mono_ms */
	bool counting; /* somebody does; the others take what was */
};

struct domains {
	struct maps *maps;
	pthread_mutex_t lock;
	struct map *held; /* of domains with a limit: bounded by the tables */
};

struct domains *domains_new(struct role *r)
{
	struct problems ignored = {.a = r->a};
	struct domains *d = must_alloc(sizeof(*d));

	d->maps = maps_open(r->tables, r->conf, "mailbox_domain_quota_maps",
		r->conf->mailbox_domain_quota_maps, 0, &ignored);
	role_may_read_tables(r, r->conf->mailbox_domain_quota_maps);
	pthread_mutex_init(&d->lock, NULL);
	d->held = map_new();
	return d;
}

/* The limit of a domain, 0 without; false: the table cannot be asked. */
static bool limit_of(struct domains *d, struct str domain, struct arena *a,
	struct store_quota *limit_r, struct fault *f)
{
	struct str value;

	*limit_r = (struct store_quota){0};
	switch (maps_lookup(d->maps, domain, a, &value, f)) {
	case TABLE_FOUND:
		break;
	case TABLE_NONE:
		return true;
	case TABLE_ERROR:
		return false;
	}
	if (!quota_parse(value, &limit_r->bytes, &limit_r->messages))
		log_error("quota", log_s("domain", domain),
			log_s("value", value),
			log_z("problem", "not a quota: 50G, or 50G 1000000"));
	return true;
}

/* False: the caller is to count. */
static bool known(struct domains *d, struct str domain, struct held *h_r)
{
	pthread_mutex_lock(&d->lock);
	struct held *h = map_get(d->held, domain);
	bool good = h != NULL && (h->counting || clock_mono_ms() < h->due_ms);
	if (good)
		*h_r = *h;
	else if (h != NULL)
		h->counting = true;
	pthread_mutex_unlock(&d->lock);
	return good;
}

static void not_counted(struct domains *d, struct str domain)
{
	pthread_mutex_lock(&d->lock);
	struct held *h = map_get(d->held, domain);
	if (h != NULL)
		h->counting = false;
	pthread_mutex_unlock(&d->lock);
}

/* One question for each account. */
static bool count(struct domains *d, struct mailbox_role *m, struct str domain,
	struct arena *a, struct held *h_r, struct fault *f)
{
	struct held *h = must_alloc(sizeof(*h));
	int64_t *ids;
	size_t n;
	bool ok = accounts_of(m->role->accounts, domain, a, &ids, &n, f);

	int64_t begun = clock_mono_ms();
	for (size_t i = 0; ok && i < n; i++) {
		struct store_mailbox used;

		ok = store_mailbox(
			m->store, ids[i], (struct store_which){0}, &used, f);
		h->bytes += used.bytes;
		h->messages += used.n_exists;
	}
	if (!ok) {
		free(h);
		not_counted(d, domain);
		return false;
	}
	int64_t now = clock_mono_ms(), seldom = (now - begun) * COUNT_SELDOM;
	h->due_ms = now + (seldom > COUNT_EVERY_MS ? seldom : COUNT_EVERY_MS);
	*h_r = *h;
	pthread_mutex_lock(&d->lock);
	free(map_set(d->held, domain, h));
	pthread_mutex_unlock(&d->lock);
	return true;
}

bool domains_room(struct domains *d, struct mailbox_role *m, struct str address,
	uint64_t bytes, uint64_t messages, struct arena *a, struct fault *f)
{
	struct store_quota limit;
	struct str local, domain;
	struct held h;

	if (d->maps == NULL)
		return true;
	smtp_address_split(address, &local, &domain);
	domain = arena_lower(a, domain);
	if (!limit_of(d, domain, a, &limit, f))
		return false;
	if (limit.bytes == 0 && limit.messages == 0)
		return true;
	if (!known(d, domain, &h) && !count(d, m, domain, a, &h, f))
		return false;
	if ((limit.bytes == 0 || h.bytes + bytes <= limit.bytes) &&
		(limit.messages == 0 ||
			h.messages + messages <= limit.messages))
		return true;
	return fault_set(f, FAULT_PERM, 552, 2, 2,
		"the mailboxes of %.*s are full", STR_ARG(domain));
}

void domains_came(struct domains *d, struct str address, uint64_t bytes,
	uint64_t messages, struct arena *a)
{
	struct str local, domain;

	if (d->maps == NULL)
		return;
	smtp_address_split(address, &local, &domain);
	pthread_mutex_lock(&d->lock);
	struct held *h = map_get(d->held, arena_lower(a, domain));
	if (h != NULL) {
		h->bytes += bytes;
		h->messages += messages;
	}
	pthread_mutex_unlock(&d->lock);
}
