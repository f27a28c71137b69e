/* SPDX-License-Identifier: ISC */
/* CREATE, DELETE, RENAME, SUBSCRIBE: RFC 9051 6.3.4 to 6.3.8, RFC 6154 */
#include "codec/imap/mailbox_name.h"
#include "role/mailbox/imap/imap.h"

static void change(struct imap *s, enum store_change kind, struct str name,
	struct str to, const char *done)
{
	struct fault f;

	if (!store_change_mailbox(
		    s->sv->m->store, s->account, kind, name, to, ROLE_NONE, &f))
		imap_fault(s, &f);
	else
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

void imap_create(struct imap *s, struct imap_in *in)
{
	enum store_role role = ROLE_NONE;
	struct store_mailbox box;
	struct str name;
	struct fault f;
	bool found, uses = false;

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
	if (uses && role == ROLE_NONE) {
		imap_no(s, "[USEATTR] not a special use that is known here");
		return;
	}
	/* RFC 3501 6.3.3: a trailing separator only announces children. */
	if (name.len > 1 && str_ends(name, "/"))
		name.len--;
	if (!imap_mailbox_name_valid(name) ||
		str_istarts(name, "INBOX/INBOX") || str_ieqc(name, "INBOX")) {
		imap_no(s, "[CANNOT] not a name for a mailbox");
		return;
	}
	if (!store_change_mailbox(s->sv->m->store, s->account, STORE_CREATE,
		    name, STR_NONE, role, &f) ||
		!imap_find_mailbox(s, name, &box, &found, &f)) {
		imap_fault(s, &f);
		return;
	}
	imap_ok(s, "[MAILBOXID (" MAILBOX_ID_FMT ")] Created",
		MAILBOX_ID_ARG(s->account, found ? box.uidvalidity : 0));
}

void imap_delete(struct imap *s, struct imap_in *in)
{
	struct store_mailbox box;
	struct str name;
	struct fault f;
	bool found;

	if (!imap_mailbox(in, &name) || !imap_end(in)) {
		imap_bad(s, "one mailbox name was expected");
		return;
	}
	if (str_eqc(name, "INBOX")) {
		imap_no(s, "[CANNOT] INBOX cannot be deleted");
		return;
	}
	/* By its id: it may have been renamed since it was selected. */
	if (!imap_find_mailbox(s, name, &box, &found, &f)) {
		imap_fault(s, &f);
		return;
	}
	if (found && s->view.box != NULL && s->view.box->mailbox == box.id)
		view_close(s);
	change(s, STORE_DELETE, name, STR_NONE, "Deleted");
}

void imap_rename(struct imap *s, struct imap_in *in)
{
	struct str from, to;

	if (!imap_mailbox(in, &from) || !imap_space(in) ||
		!imap_mailbox(in, &to) || !imap_end(in)) {
		imap_bad(s, "two mailbox names were expected");
		return;
	}
	bool below = to.len > from.len && to.ptr[from.len] == '/' &&
		     str_eq(str_sub(to, 0, from.len), from);
	if (!imap_mailbox_name_valid(to) || below || str_eqc(to, "INBOX")) {
		imap_no(s, "[CANNOT] not a new name for that mailbox");
		return;
	}
	change(s, STORE_RENAME, from, to, "Renamed");
}

static void subscription(struct imap *s, struct imap_in *in, bool on)
{
	struct str name;

	if (!imap_mailbox(in, &name) || !imap_end(in)) {
		imap_bad(s, "one mailbox name was expected");
		return;
	}
	change(s, on ? STORE_SUBSCRIBE : STORE_UNSUBSCRIBE, name, STR_NONE,
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
