/* SPDX-License-Identifier: ISC */
#include "cmd/check_mailboxes.h"

#include "store/account.h"

struct missing {
	unsigned n;
	struct str first;
};

/* A key that is no address of one user is passed over: domains, names. */
static bool is_user(struct str key)
{
	return str_find(key, '@') > 0;
}

static void count(struct accounts *accounts, const struct strs *keys,
	struct arena *a, struct missing *m)
{
	for (size_t i = 0; i < keys->n; i++) {
		struct account account;
		struct fault f;

		if (!is_user(keys->v[i]) ||
			(accounts != NULL &&
				account_get(accounts, keys->v[i], a, &account,
					&f) != ACCOUNT_NONE))
			continue;
		if (m->n++ == 0)
			m->first = keys->v[i];
	}
}

void check_mailboxes(
	const struct conf *c, struct tables *tables, struct problems *p)
{
	struct maps *maps = maps_open(tables, c, "virtual_mailbox_maps",
		c->virtual_mailbox_maps, 0, p);
	struct accounts *accounts = NULL;
	struct missing missing = {0};
	struct strs keys = {0};
	struct fault f;

	/* Other transports have users of their own. */
	struct str rest = c->virtual_transport;
	struct str transport = str_cut(&rest, ':');
	if (!str_eqc(transport, "store") && !str_eqc(transport, "virtual"))
		return;
	maps_keys(maps, c->a, &keys);
	if (keys.n > 0)
		accounts = accounts_open_to_read(
			arena_cstr(c->a, c->data_directory), &f);
	/* What cannot be read says nothing about anybody. */
	if (keys.n == 0 || (accounts == NULL && f.class != FAULT_PERM))
		return;
	count(accounts, &keys, c->a, &missing);
	accounts_close(accounts);
	if (missing.n > 0)
		conf_problem(c, p, PROBLEM_WARNING, "virtual_mailbox_maps",
			arena_printf(c->a,
				"virtual_mailbox_maps: %u addresses have no "
				"account, %.*s is one: their mail waits",
				missing.n, STR_ARG(missing.first)),
			STR("run postern user add ADDRESS, and postern mailbox "
			    "import for the mail that they have"));
}
