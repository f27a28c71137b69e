/* SPDX-License-Identifier: ISC */
#include "role/mailbox/local_forward.h"

#include "codec/mail/header.h"
#include "role/requeue.h"
#include "sys/clock.h"

void forward_add(struct forwarded **first, struct str owner, struct str address,
	struct arena *a)
{
	struct forwarded *x = *first;

	while (x != NULL && !(str_present(owner) ? str_eq(x->owner, owner)
						 : !str_present(x->owner)))
		x = x->next;
	if (x == NULL) {
		x = arena_make(a, struct forwarded);
		*x = (struct forwarded){.owner = owner, .next = *first};
		*first = x;
	}
	strs_add(&x->addresses, a, address);
}

static bool queue_one(const struct forwarded *x, struct mailbox_role *m,
	const struct envelope *e, const struct recipient *r, struct str message,
	struct arena *a, struct fault *f)
{
	struct buf text CLEANUP(buf_fini);
	struct recipient *rcpts =
		arena_alloc(a, x->addresses.n * sizeof(*rcpts));

	buf_init(&text, message.len + 4096);
	if (conf_option_has(m->role->conf->prepend_delivered_header, "forward"))
		buf_putf(&text, "Delivered-To: %.*s\r\n", STR_ARG(r->address));
	buf_put(&text, message);
	for (size_t i = 0; i < x->addresses.n; i++)
		rcpts[i] = (struct recipient){.address = x->addresses.v[i],
			.original = r->original,
			.orcpt = r->orcpt,
			.notify = r->notify};
	struct envelope fresh = *e;
	fresh.id = id_new();
	fresh.filter = STR_NONE; /* it has been there */
	fresh.size = text.len;
	fresh.rcpts = rcpts;
	fresh.n_rcpts = (uint32_t)x->addresses.n;
	if (str_present(x->owner) && e->sender.len > 0)
		fresh.sender = x->owner;
	return role_requeue(m->role, &fresh, buf_str(&text), f);
}

bool forward_queue(const struct forwarded *first, struct mailbox_role *m,
	const struct envelope *e, const struct recipient *r, struct str message,
	struct arena *a, struct fault *f)
{
	for (const struct forwarded *x = first; x != NULL; x = x->next)
		if (!queue_one(x, m, e, r, message, a, f))
			return false;
	return true;
}

bool forward_is_loop(struct str message, struct str address)
{
	struct str head, body;
	struct mail_field field;

	mail_split(message, &head, &body);
	while (mail_field_next(&head, &field))
		if (str_ieqc(field.name, "Delivered-To") &&
			str_ieq(field.value, address))
			return true;
	return false;
}
