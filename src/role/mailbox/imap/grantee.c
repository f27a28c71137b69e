/* SPDX-License-Identifier: ISC */
#include "role/mailbox/imap/grantee.h"

#include "base/utf8.h"
#include "codec/smtp/path.h"
#include "role/accounts.h"
#include "role/mailbox/imap/imap.h"
#include "role/mailbox/imap/place.h"

enum { GROUP_NAME_MAX = 128, GROUPS_MAX = 1000 };

/* ---- identifiers ---- */

static bool is_anyone(
	struct imap *s, const struct imap_place *p, struct store_acl *acl)
{
	const struct conf *c = s->sv->c;

	acl->grantee = STORE_ANYONE;
	if (c->imap_acl_anyone || str_ieq(p->owner, c->imap_public_account))
		return true;
	imap_no(s, "[CANNOT] \"anyone\" is everybody on this server: "
		   "imap_acl_anyone is off");
	return false;
}

static bool is_group(struct imap *s, struct str name, struct store_acl *acl)
{
	acl->grantee = store_group(name);
	if (s->sv->m->acl_groups == NULL) {
		imap_no(s, "[CANNOT] there are no groups: imap_acl_groups_maps "
			   "is empty");
		return false;
	}
	for (size_t i = 0; i < name.len; i++)
		if ((unsigned char)name.ptr[i] <= ' ' || name.ptr[i] == ',')
			name.len = 0;
	if (name.len > 0 && name.len <= GROUP_NAME_MAX && utf8_valid(name))
		return true;
	imap_no(s, "[CANNOT] no group is called so");
	return false;
}

static bool is_account(
	struct imap *s, struct str address, struct store_acl *acl)
{
	struct fault f;

	if (!utf8_valid(address) || !smtp_address_valid(address, true)) {
		imap_no(s, "[CANNOT] an identifier is an address, $group or "
			   "anyone");
		return false;
	}
	switch (accounts_id(s->sv->m->role->accounts, address, s->cmd_a,
		&acl->grantee, &f)) {
	case TABLE_FOUND:
		return true;
	case TABLE_NONE:
		imap_no(s, "[CANNOT] there is no account of that address");
		return false;
	case TABLE_ERROR:
		break;
	}
	imap_fault(s, &f);
	return false;
}

bool imap_grantee(struct imap *s, const struct imap_place *p,
	struct str identifier, struct store_acl *acl)
{
	acl->name = arena_lower(s->cmd_a, identifier);
	bool negative = str_starts(acl->name, "-");
	struct str whom = str_from_at(acl->name, negative ? 1 : 0);
	bool ok = str_eqc(whom, "anyone") ? is_anyone(s, p, acl)
		  : str_starts(whom, "$")
			  ? is_group(s, str_from_at(whom, 1), acl)
			  : is_account(s, whom, acl);

	if (negative)
		acl->grantee |= STORE_NEGATIVE;
	return ok;
}

/* ---- the session ---- */

static void take_groups(struct imap *s, struct str names)
{
	struct str name;
	size_t cap = 0;

	while (s->n_groups < GROUPS_MAX &&
		str_present(name = str_word(&names, ", \t"))) {
		s->groups = arena_grown(
			s->a, s->groups, s->n_groups, &cap, sizeof(*s->groups));
		s->groups[s->n_groups++] =
			store_group(arena_lower(s->cmd_a, name));
	}
}

bool imap_groups_known(struct imap *s, struct fault *f)
{
	struct address_keys keys = {.delimiter = s->sv->c->recipient_delimiter};
	struct maps *maps = s->sv->m->acl_groups;
	struct str value, ext;
	enum table_result r = TABLE_NONE;

	if (s->groups_known)
		return true;
	if (maps != NULL)
		r = maps_lookup_address(maps, arena_lower(s->cmd_a, s->login),
			&keys, s->cmd_a, &value, &ext, f);
	if (r == TABLE_ERROR)
		return false;
	if (r == TABLE_FOUND)
		take_groups(s, value);
	s->groups_known = true;
	return true;
}

static bool concerns(const struct imap *s, int64_t grantee, bool anyone)
{
	if (grantee == s->account)
		return true;
	if (grantee == STORE_ANYONE)
		return anyone;
	for (size_t i = 0; i < s->n_groups; i++)
		if (s->groups[i] == grantee)
			return true;
	return false;
}

unsigned imap_rights(const struct imap *s, const struct store_acl *v, size_t n,
	int64_t mailbox, bool anyone)
{
	unsigned given = 0, taken = 0;

	for (size_t i = 0; i < n; i++) {
		bool negative = (v[i].grantee & STORE_NEGATIVE) != 0;

		if (v[i].mailbox == mailbox &&
			concerns(s, v[i].grantee & ~STORE_NEGATIVE, anyone))
			*(negative ? &taken : &given) |= v[i].rights;
	}
	return given & ~taken;
}
