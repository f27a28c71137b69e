/* SPDX-License-Identifier: ISC */
#include "role/mailbox/imap/place.h"

#include "codec/smtp/path.h"
#include "role/accounts.h"
#include "role/mailbox/imap/grantee.h"
#include "role/mailbox/imap/imap.h"

/* ---- letters ---- */

static const struct {
	char letter;
	unsigned rights;
} letters[] = {{'l', RIGHT_LOOKUP}, {'r', RIGHT_READ}, {'s', RIGHT_SEEN},
	{'w', RIGHT_WRITE}, {'i', RIGHT_INSERT}, {'p', RIGHT_POST},
	{'k', RIGHT_CREATE}, {'x', RIGHT_DELETE}, {'t', RIGHT_DELETED},
	{'e', RIGHT_EXPUNGE},
	/* RFC 4314 2.1.1: what RFC 2086 had for them */
	{'c', RIGHT_CREATE | RIGHT_DELETE},
	{'d', RIGHT_DELETED | RIGHT_EXPUNGE}, {'a', RIGHT_ADMINISTER}};

void rights_put(unsigned rights, struct buf *out)
{
	for (size_t i = 0; i < ARRAY_LEN(letters); i++)
		if ((rights & letters[i].rights) != 0)
			buf_putc(out, letters[i].letter);
}

bool rights_parse(struct str text, unsigned *rights_r)
{
	*rights_r = 0;
	for (size_t k = 0; k < text.len; k++) {
		size_t i = 0;

		while (i < ARRAY_LEN(letters) &&
			letters[i].letter != text.ptr[k])
			i++;
		if (i == ARRAY_LEN(letters))
			return false;
		*rights_r |= letters[i].rights;
	}
	return true;
}

uint32_t rights_flags(unsigned rights)
{
	return ((rights & RIGHT_SEEN) != 0 ? FLAG_SEEN : 0u) |
	       ((rights & RIGHT_DELETED) != 0 ? FLAG_DELETED : 0u) |
	       ((rights & RIGHT_WRITE) != 0
			       ? FLAG_ANSWERED | FLAG_FLAGGED | FLAG_DRAFT
			       : 0u);
}

/* ---- one account ---- */

/* Somebody else, and the entries of some of his mailboxes. */
struct owner {
	int64_t account; /* 0: there is none */
	struct str address;
	struct str prefix; /* of the session's names, with the last "/" */
	bool anyone; /* of struct imap_place */
	struct store_acl *acls;
	size_t n_acls;
};

/* Of one mailbox, or of all: 0. */
static bool read_acls(
	struct imap *s, struct owner *o, int64_t mailbox, struct fault *f)
{
	return store_acls(s->sv->m->store, o->account, mailbox, s->cmd_a,
		       &o->acls, &o->n_acls, f) &&
	       (o->n_acls == 0 || imap_groups_known(s, f));
}

/* Nobody is another user to himself. */
static bool find_owner(
	struct imap *s, struct str address, struct owner *o, struct fault *f)
{
	const struct conf *c = s->sv->c;

	o->address = address;
	o->anyone =
		c->imap_acl_anyone || str_ieq(address, c->imap_public_account);
	if (!smtp_address_valid(address, true))
		return true;
	switch (accounts_id(
		s->sv->m->role->accounts, address, s->cmd_a, &o->account, f)) {
	case TABLE_FOUND:
		if (o->account == s->account)
			o->account = 0;
		return true;
	case TABLE_NONE:
		o->account = 0;
		return true;
	case TABLE_ERROR:
		break;
	}
	return false;
}

/* Whose mailbox is it by its name, and what is its name there?  Owner 0: the
 * session's own, or nobody's. */
static bool split(struct imap *s, struct str name, struct owner *o,
	struct str *rest_r, struct fault *f)
{
	struct str public = s->sv->c->imap_public_account;
	struct str address = public, rest = STR_NONE;

	*o = (struct owner){0};
	if (str_starts(name, OTHER_USERS)) {
		rest = str_from_at(name, sizeof(OTHER_USERS) - 1);
		address = str_cut(&rest, '/');
	} else if (str_starts(name, PUBLIC_FOLDERS)) {
		rest = str_from_at(name, sizeof(PUBLIC_FOLDERS) - 1);
	}
	*rest_r = rest;
	return rest.len == 0 || find_owner(s, address, o, f);
}

/* A mailbox of somebody else as the session sees it. */
static struct imap_place place_of(const struct imap *s, const struct owner *o,
	const struct store_mailbox *box, struct str name)
{
	struct imap_place p = {.account = o->account,
		.owner = o->address,
		.name = box->name,
		.rights =
			imap_rights(s, o->acls, o->n_acls, box->id, o->anyone),
		.anyone = o->anyone};

	if (p.rights == 0)
		return p;
	p.box = *box;
	p.box.name = name;
	p.box.role = ROLE_NONE; /* it is his Sent, not the session's */
	p.box.subscribed = false;
	return p;
}

static struct imap_place own(const struct imap *s, struct str name)
{
	return (struct imap_place){.account = s->account,
		.owner = s->login,
		.name = name,
		.rights = RIGHTS_ALL};
}

bool imap_locate(struct imap *s, struct str name, struct imap_place *p_r,
	struct fault *f)
{
	struct store *store = s->sv->m->store;
	struct store_mailbox box;
	struct owner o;
	struct str rest;

	*p_r = own(s, name);
	if (!store_mailbox(store, s->account,
		    (struct store_which){.name = name}, &p_r->box, f))
		return false;
	if (p_r->box.id != 0)
		return true;
	if (!split(s, name, &o, &rest, f))
		return false;
	if (o.account == 0)
		return true;
	if (!store_mailbox(store, o.account, (struct store_which){.name = rest},
		    &box, f) ||
		(box.id != 0 && !read_acls(s, &o, box.id, f)))
		return false;
	if (box.id != 0)
		*p_r = place_of(s, &o, &box, name);
	else
		*p_r = (struct imap_place){.account = o.account,
			.owner = o.address,
			.name = rest,
			.anyone = o.anyone};
	return true;
}

static bool find(struct imap *s, struct str name, unsigned need,
	const char *missing, struct imap_place *p_r)
{
	struct fault f;

	if (!imap_locate(s, name, p_r, &f)) {
		imap_fault(s, &f);
		return false;
	}
	if (p_r->box.id != 0 && (p_r->rights & need) == need)
		return true;
	if (p_r->box.id != 0 && (p_r->rights & RIGHT_LOOKUP) != 0)
		imap_no(s, "[NOPERM] you have no right to do that there");
	else
		imap_no(s, "[%s] no such mailbox", missing);
	return false;
}

bool imap_find(
	struct imap *s, struct str name, unsigned need, struct imap_place *p_r)
{
	return find(s, name, need, "NONEXISTENT", p_r);
}

bool imap_find_target(struct imap *s, struct str name, struct imap_place *p_r)
{
	/* The store looks for the session's own itself. */
	if (!str_starts(name, OTHER_USERS) &&
		!str_starts(name, PUBLIC_FOLDERS)) {
		*p_r = own(s, name);
		return true;
	}
	return find(s, name, RIGHT_INSERT, "TRYCREATE", p_r);
}

bool imap_may_create(struct imap *s, const struct imap_place *p, bool *may_r,
	struct fault *f)
{
	struct owner o = {.account = p->account};

	*may_r = p->account == s->account &&
		 !str_starts(p->name, OTHER_USERS) &&
		 !str_starts(p->name, PUBLIC_FOLDERS);
	if (p->account == s->account)
		return true;
	for (size_t i = p->name.len; i > 0; i--) {
		struct store_mailbox above;

		if (p->name.ptr[i - 1] != '/')
			continue;
		if (!store_mailbox(s->sv->m->store, p->account,
			    (struct store_which){
				    .name = str_sub(p->name, 0, i - 1)},
			    &above, f) ||
			(above.id != 0 && !read_acls(s, &o, above.id, f)))
			return false;
		if (above.id == 0)
			continue;
		*may_r =
			(imap_rights(s, o.acls, o.n_acls, above.id, p->anyone) &
				RIGHT_CREATE) != 0;
		break;
	}
	return true;
}

bool imap_still_may_read(struct imap *s)
{
	struct view *v = &s->view;
	struct owner o = {0};
	struct fault f;

	if (v->box == NULL || v->box->account == s->account)
		return true;
	o.account = v->box->account;
	if (!read_acls(s, &o, v->box->mailbox, &f)) {
		log_error("store", log_s("login", s->login), log_fault(&f));
		return true;
	}
	v->rights =
		imap_rights(s, o.acls, o.n_acls, v->box->mailbox, v->anyone);
	if ((v->rights & RIGHT_READ) != 0)
		return true;
	s->closing = true;
	stream_puts(s->stream, "* BYE you may not read this any more\r\n");
	return false;
}

/* ---- all of others ---- */

static bool add_owner(
	struct imap *s, struct imap_places *l, struct owner *o, struct fault *f)
{
	struct store_mailbox *boxes;
	size_t n;

	if (!store_mailboxes(s->sv->m->store, o->account, s->cmd_a, &boxes, &n,
		    NULL, f) ||
		!read_acls(s, o, 0, f))
		return false;
	for (size_t i = 0; i < n; i++) {
		struct imap_place p = place_of(s, o, &boxes[i],
			arena_concat(s->cmd_a, o->prefix, boxes[i].name));

		if ((p.rights & RIGHT_LOOKUP) == 0)
			continue;
		l->v = arena_grown(
			s->cmd_a, l->v, l->n, &l->cap, sizeof(*l->v));
		l->v[l->n++] = p;
	}
	return true;
}

static bool add_sharers(
	struct imap *s, int64_t grantee, struct strs *owners, struct fault *f)
{
	struct strs more;

	if (!store_sharers(s->sv->m->store, grantee, s->cmd_a, &more, f))
		return false;
	for (size_t i = 0; i < more.n; i++)
		if (!strs_has(owners, more.v[i]))
			strs_add(owners, s->cmd_a, more.v[i]);
	return true;
}

/* With the session, its groups, or anyone. */
static bool find_sharers(struct imap *s, struct strs *owners, struct fault *f)
{
	if (!add_sharers(s, s->account, owners, f) ||
		(s->sv->c->imap_acl_anyone &&
			!add_sharers(s, STORE_ANYONE, owners, f)) ||
		!imap_groups_known(s, f))
		return false;
	for (size_t i = 0; i < s->n_groups; i++)
		if (!add_sharers(s, s->groups[i], owners, f))
			return false;
	return true;
}

bool imap_places_of_others(
	struct imap *s, struct imap_places *l, struct fault *f)
{
	struct str public = s->sv->c->imap_public_account;
	struct strs owners = {0};
	struct owner o = {0};

	*l = (struct imap_places){0};
	if (!find_sharers(s, &owners, f))
		return false;
	for (size_t i = 0; i < owners.n; i++) {
		o = (struct owner){
			.prefix = arena_printf(s->cmd_a, OTHER_USERS "%.*s/",
				STR_ARG(owners.v[i]))};
		if (str_ieq(owners.v[i], public))
			continue;
		if (!find_owner(s, owners.v[i], &o, f) ||
			(o.account != 0 && !add_owner(s, l, &o, f)))
			return false;
	}
	o = (struct owner){.prefix = STR(PUBLIC_FOLDERS)};
	return public.len == 0 ||
	       (find_owner(s, public, &o, f) &&
		       (o.account == 0 || add_owner(s, l, &o, f)));
}
