/* SPDX-License-Identifier: ISC */
#include "role/mailbox/local_pass.h"

#include "codec/postfix/expand.h"
#include "codec/smtp/path.h"
#include "policy/rewrite.h"
#include "role/requeue.h"

bool local_transport(struct mailbox_role *m, struct str user, bool unknown,
	struct arena *a, struct str *spec_r, struct fault *f)
{
	const struct conf *c = m->role->conf;
	struct maps *maps = unknown ? m->policy->fallback_transport
				    : m->policy->mailbox_transport;
	struct str all = unknown ? c->fallback_transport : c->mailbox_transport;

	*spec_r = all.len > 0 ? all : STR_NONE;
	return maps_lookup(maps, user, a, spec_r, f) != TABLE_ERROR;
}

/* ---- luser_relay ---- */

struct names {
	const struct conf *c;
	struct str recipient, local, domain, user, extension;
};

static struct str name_of(struct str name, void *ctx)
{
	const struct names *n = ctx;
	const struct {
		const char *name;
		struct str value;
	} all[] = {{"user", n->user}, {"local", n->local},
		{"domain", n->domain}, {"extension", n->extension},
		{"recipient", n->recipient},
		{"recipient_delimiter", n->c->recipient_delimiter}};

	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		if (str_eqc(name, all[i].name))
			return all[i].value;
	return STR_NONE;
}

bool local_luser(struct mailbox_role *m, struct str recipient, struct arena *a,
	struct str *address_r, struct fault *f)
{
	const struct conf *c = m->role->conf;
	struct names n = {.c = c, .recipient = expand_plain(recipient, a)};
	struct str ext;
	const char *why;

	*address_r = STR_NONE;
	/* As it stands: $user is filled in for each mail. */
	struct str raw = c->luser_relay;
	if (raw.len == 0)
		return true;
	smtp_address_split(n.recipient, &n.local, &n.domain);
	n.extension = STR("");
	n.user = n.local;
	if (address_extension(n.local, c->recipient_delimiter,
		    c->owner_request_special, &n.user, &ext))
		n.extension = str_from_at(ext, 1);
	return expand(raw, name_of, &n, a, address_r, &why) ||
	       fault_set(f, FAULT_TEMP, 451, 3, 5, "luser_relay: %s", why);
}

/* ---- the queue ---- */

struct str passed_address(struct mailbox_role *m, const struct recipient *r,
	struct str user, struct arena *a)
{
	const struct conf *c = m->role->conf;
	struct str local, domain, own, ext;

	smtp_address_split(r->address, &local, &domain);
	address_extension(local, c->recipient_delimiter,
		c->owner_request_special, &own, &ext);
	return str_ieq(own, user) ? r->address
				  : rewrite_trivial(m->policy, user, a);
}

void passed_add(struct passed **first, struct str spec,
	const struct recipient *rcpt, struct arena *a)
{
	struct passed **p = first;

	while (*p != NULL && !str_eq((*p)->spec, spec))
		p = &(*p)->next;
	if (*p == NULL) {
		*p = arena_make(a, struct passed);
		(*p)->spec = spec;
	}
	(*p)->rcpts =
		arena_grown(a, (*p)->rcpts, (*p)->n, &(*p)->cap, sizeof(*rcpt));
	(*p)->rcpts[(*p)->n++] = *rcpt;
}

bool passed_queue(const struct passed *first, struct mailbox_role *m,
	const struct envelope *e, struct str message, struct fault *f)
{
	for (const struct passed *p = first; p != NULL; p = p->next) {
		struct envelope fresh = *e;

		fresh.id = id_new();
		fresh.filter = p->spec;
		fresh.size = message.len;
		fresh.rcpts = p->rcpts;
		fresh.n_rcpts = (uint32_t)p->n;
		if (!role_requeue(m->role, &fresh, message, f))
			return false;
	}
	return true;
}
