/* SPDX-License-Identifier: ISC */
/* CREATE, DELETE, RENAME, SUBSCRIBE: RFC 9051 6.3.4 to 6.3.8, RFC 6154 */
#include "codec/imap/mailbox_name.h"
#include "role/mailbox/imap/imap.h"
#include "role/mailbox/imap/place.h"

static void change(struct imap *s, enum store_change_kind kind,
	const struct imap_place *p, struct str to, const char *done)
{
	struct fault f;

	if (!store_change_mailbox(s->sv->m->store, p->account,
		    &(struct store_change){
			    .kind = kind, .name = p->name, .to = to},
		    &f)) {
		imap_fault(s, &f);
		return;
	}
	imap_ring(s, p->account);
	if (p->account != s->account)
		log_info("mailbox of another user", log_s("login", s->login),
			log_s("owner", p->owner), log_s("mailbox", p->name),
			log_z("done", done));
	imap_ok(s, "%s", done);
}

static const char *const roles[STORE_ROLES] = {"", "\\Drafts", "\\Sent",
	"\\Junk", "\\Trash", "\\Archive", "\\All", "\\Flagged", "\\Important"};

const char *imap_role_name(enum store_role role)
{
	return roles[role];
}

/* " (USE (\Sent))": RFC 6154 5.2.  One use: the store has room for one. */
static bool parse_use(struct imap_in *in, enum store_role *role_r)
{
	struct str flag;

	if (!imap_space(in))
		return true;
	if (!imap_char(in, '(') || !imap_word(in, "USE") || !imap_space(in) ||
		!imap_char(in, '(') || !imap_flag(in, &flag))
		return false;
	for (int i = 1; i < STORE_ROLES; i++)
		if (str_ieqc(flag, roles[i]))
			*role_r = (enum store_role)i;
	return imap_char(in, ')') && imap_char(in, ')');
}

/* False: answered. */
static bool may_make(struct imap *s, const struct imap_place *p)
{
	struct fault f;
	bool may;

	if (!imap_may_create(s, p, &may, &f))
		imap_fault(s, &f);
	else if (!may)
		imap_no(s, "[NOPERM] you have no right to create that");
	else
		return true;
	return false;
}

/* RFC 9051 6.3.4; not a second INBOX below the first, as some clients try. */
static bool name_fits(struct str name)
{
	return imap_mailbox_name_valid(name) &&
	       !str_istarts(name, "INBOX/INBOX") && !str_ieqc(name, "INBOX");
}

static void create(struct imap *s, const struct imap_place *p, struct str name,
	enum store_role role)
{
	struct imap_place made;
	struct fault f;

	if (!store_change_mailbox(s->sv->m->store, p->account,
		    &(struct store_change){.kind = STORE_CREATE,
			    .name = p->name,
			    .role = role},
		    &f)) {
		imap_fault(s, &f);
		return;
	}
	imap_own_name(s, name);
	imap_ring(s, p->account);
	if (!imap_locate(s, name, &made, &f))
		imap_fault(s, &f);
	else
		imap_ok(s, "[MAILBOXID (" MAILBOX_ID_FMT ")] Created",
			MAILBOX_ID_ARG(made.account, made.box.uidvalidity));
}

void imap_create(struct imap *s, struct imap_in *in)
{
	enum store_role role = ROLE_NONE;
	struct imap_place p;
	struct str name;
	struct fault f;
	bool uses = false;

	if (imap_mailbox(in, &name)) {
		uses = !imap_end(in);
		if (!parse_use(in, &role) || !imap_end(in)) {
			imap_bad(
				s, "CREATE: a name, and perhaps (USE (\\Use))");
			return;
		}
	} else {
		imap_bad(s, "one mailbox name was expected");
		return;
	}
	/* RFC 3501 6.3.3: a trailing separator only announces children. */
	if (name.len > 1 && str_ends(name, "/"))
		name.len--;
	if (!imap_locate(s, name, &p, &f)) {
		imap_fault(s, &f);
		return;
	}
	if (uses && (role == ROLE_NONE || p.account != s->account))
		imap_no(s, "[USEATTR] not a special use that is known here");
	else if (!name_fits(name) || !name_fits(p.name))
		imap_no(s, "[CANNOT] not a name for a mailbox");
	else if (may_make(s, &p))
		create(s, &p, name, role);
}

void imap_delete(struct imap *s, struct imap_in *in)
{
	const struct box *open = s->view.box;
	struct imap_place p;
	struct str name;

	if (!imap_mailbox(in, &name) || !imap_end(in)) {
		imap_bad(s, "one mailbox name was expected");
		return;
	}
	if (!imap_find(s, name, RIGHT_DELETE, &p))
		return;
	if (str_eqc(p.name, "INBOX")) {
		imap_no(s, "[CANNOT] INBOX cannot be deleted");
		return;
	}
	/* By its id: it may have been renamed since it was selected. */
	if (open != NULL && open->account == p.account &&
		open->mailbox == p.box.id)
		view_close(s);
	imap_own_name(s, name);
	change(s, STORE_DELETE, &p, STR_NONE, "Deleted");
}

void imap_rename(struct imap *s, struct imap_in *in)
{
	struct imap_place p, q;
	struct str from, to;
	struct fault f;

	if (!imap_mailbox(in, &from) || !imap_space(in) ||
		!imap_mailbox(in, &to) || !imap_end(in)) {
		imap_bad(s, "two mailbox names were expected");
		return;
	}
	if (!imap_find(s, from, RIGHT_DELETE, &p))
		return;
	if (!imap_locate(s, to, &q, &f)) {
		imap_fault(s, &f);
		return;
	}
	bool below = to.len > from.len && to.ptr[from.len] == '/' &&
		     str_eq(str_sub(to, 0, from.len), from);
	if (!imap_mailbox_name_valid(to) || !imap_mailbox_name_valid(q.name) ||
		below || str_eqc(q.name, "INBOX"))
		imap_no(s, "[CANNOT] not a new name for that mailbox");
	else if (p.account != q.account ||
		 (p.account != s->account && str_eqc(p.name, "INBOX")))
		imap_no(s, "[CANNOT] a mailbox stays with its owner");
	else if (may_make(s, &q)) {
		imap_own_name(s, from);
		imap_own_name(s, to);
		change(s, STORE_RENAME, &p, q.name, "Renamed");
	}
}

static void subscription(struct imap *s, struct imap_in *in, bool on)
{
	struct imap_place p;
	struct str name;

	if (!imap_mailbox(in, &name) || !imap_end(in)) {
		imap_bad(s, "one mailbox name was expected");
		return;
	}
	if (on && !imap_find(s, name, RIGHT_LOOKUP, &p))
		return;
	/* The list is the session's, whose ever the mailbox is. */
	p = (struct imap_place){.account = s->account, .name = name};
	imap_own_name(s, name);
	change(s, on ? STORE_SUBSCRIBE : STORE_UNSUBSCRIBE, &p, STR_NONE,
		on ? "Subscribed" : "Unsubscribed");
}

void imap_subscribe(struct imap *s, struct imap_in *in)
{
	subscription(s, in, true);
}

void imap_unsubscribe(struct imap *s, struct imap_in *in)
{
	subscription(s, in, false);
}
