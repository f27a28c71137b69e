/* SPDX-License-Identifier: ISC */
/* SETACL, DELETEACL, GETACL, LISTRIGHTS, MYRIGHTS: RFC 4314 3 */
#include "role/mailbox/imap/grantee.h"
#include "role/mailbox/imap/imap.h"
#include "role/mailbox/imap/place.h"

static void put_begin(struct imap *s, const char *word, struct str mailbox)
{
	struct buf *out = stream_out(s->stream);

	buf_putf(out, "* %s ", word);
	imap_put_name(s, mailbox, out);
	buf_putc(out, ' ');
}

static void put_rights(struct imap *s, unsigned rights)
{
	struct buf *out = stream_out(s->stream);

	if (rights == 0)
		buf_puts(out, "\"\"");
	rights_put(rights, out);
}

void imap_put_myrights(struct imap *s, struct str mailbox, unsigned rights)
{
	put_begin(s, "MYRIGHTS", mailbox);
	put_rights(s, rights);
	stream_puts(s->stream, "\r\n");
}

void imap_myrights(struct imap *s, struct imap_in *in)
{
	struct imap_place p;
	struct str name;

	if (!imap_mailbox(in, &name) || !imap_end(in)) {
		imap_bad(s, "MYRIGHTS needs a mailbox");
		return;
	}
	if (!imap_find(s, name, 0, &p))
		return;
	imap_put_myrights(s, name, p.rights);
	imap_ok(s, "Myrights completed");
}

void imap_getacl(struct imap *s, struct imap_in *in)
{
	struct store_acl *v;
	struct imap_place p;
	struct str name;
	struct fault f;
	size_t n;

	if (!imap_mailbox(in, &name) || !imap_end(in)) {
		imap_bad(s, "GETACL needs a mailbox");
		return;
	}
	if (!imap_find(s, name, RIGHT_ADMINISTER, &p))
		return;
	if (!store_acls(s->sv->m->store, p.account, p.box.id, s->cmd_a, &v, &n,
		    &f)) {
		imap_fault(s, &f);
		return;
	}
	struct buf *out = stream_out(s->stream);
	put_begin(s, "ACL", name);
	imap_put_string(p.owner, out);
	buf_putc(out, ' ');
	rights_put(RIGHTS_ALL, out);
	for (size_t i = 0; i < n; i++) {
		buf_putc(out, ' ');
		imap_put_string(v[i].name, out);
		buf_putc(out, ' ');
		rights_put(v[i].rights, out);
	}
	buf_puts(out, "\r\n");
	imap_ok(s, "Getacl completed");
}

/* ---- who ---- */

/* DELETEACL: also of who has no account any more. */
static bool find_entry(struct imap *s, const struct imap_place *p,
	struct str identifier, struct store_acl *acl, bool *found_r,
	struct fault *f)
{
	struct store_acl *v;
	size_t n;

	*found_r = false;
	if (!store_acls(s->sv->m->store, p->account, p->box.id, s->cmd_a, &v,
		    &n, f))
		return false;
	for (size_t i = 0; i < n; i++)
		if (str_ieq(v[i].name, identifier)) {
			*acl = v[i];
			*found_r = true;
		}
	return true;
}

/* ---- what ---- */

/* "+rights", "-rights", "rights" */
static bool changed(struct str text, unsigned before, unsigned *rights_r)
{
	bool plus = str_starts(text, "+"), minus = str_starts(text, "-");
	unsigned rights;

	if (!rights_parse(str_from_at(text, plus || minus ? 1 : 0), &rights))
		return false;
	*rights_r = plus ? before | rights : minus ? before & ~rights : rights;
	return true;
}

/* Does the grantee have anything of this owner? */
static bool has_any(struct imap *s, const struct imap_place *p, int64_t grantee,
	bool *any_r, struct fault *f)
{
	struct store_acl *v;
	size_t n;

	*any_r = false;
	if (!store_acls(s->sv->m->store, p->account, 0, s->cmd_a, &v, &n, f))
		return false;
	for (size_t i = 0; i < n; i++)
		*any_r |= v[i].grantee == grantee;
	return true;
}

/* Rights without the note are not found, so it is looked at again behind each
 * change of it: what another session gives or takes meanwhile, one of the two
 * sees.  A note too many is harmless. */
static void settle_note(struct imap *s, const struct imap_place *p,
	int64_t grantee, struct str owner)
{
	struct store *store = s->sv->m->store;
	bool any, now;
	struct fault f;

	if (!has_any(s, p, grantee, &now, &f)) {
		log_warn("acl", log_s("owner", owner), log_fault(&f));
		return;
	}
	do {
		any = now;
		if (!store_note_sharer(store, grantee, owner, any, &f) ||
			!has_any(s, p, grantee, &now, &f)) {
			log_warn("acl", log_s("owner", owner), log_fault(&f));
			return;
		}
	} while (now != any);
}

/* The note for who gets something comes first, and fails the command. */
static bool set_rights(struct imap *s, const struct imap_place *p,
	const struct store_acl *acl, struct fault *f)
{
	struct store *store = s->sv->m->store;
	struct str owner = arena_lower(s->cmd_a, p->owner);
	bool gives = (acl->grantee & STORE_NEGATIVE) == 0;
	int64_t whom = acl->grantee & ~STORE_NEGATIVE;

	if (gives && acl->rights != 0 &&
		!store_note_sharer(store, whom, owner, true, f))
		return false;
	if (!store_acl_set(store, p->account, acl, f))
		return false;
	if (gives)
		settle_note(s, p, whom, owner);
	imap_ring(s, p->account);
	if (whom != STORE_ANYONE)
		imap_ring(s, whom);
	return true;
}

static void set_entry(struct imap *s, const struct imap_place *p,
	struct store_acl *acl, unsigned rights, const char *done)
{
	struct fault f;

	if ((acl->grantee & ~STORE_NEGATIVE) == p->account) {
		imap_no(s, "[CANNOT] the owner has all rights");
		return;
	}
	acl->mailbox = p->box.id;
	acl->rights = rights;
	log_info("acl", log_s("login", s->login), log_s("owner", p->owner),
		log_s("mailbox", p->name), log_s("grantee", acl->name),
		log_n("rights", rights));
	if (set_rights(s, p, acl, &f))
		imap_ok(s, "%s", done);
	else
		imap_fault(s, &f);
}

void imap_setacl(struct imap *s, struct imap_in *in)
{
	struct str name, identifier, text;
	struct store_acl acl = {0}, had;
	struct imap_place p;
	struct fault f;
	unsigned rights;
	bool found;

	if (!imap_mailbox(in, &name) || !imap_space(in) ||
		!imap_astring(in, &identifier) || !imap_space(in) ||
		!imap_astring(in, &text) || !imap_end(in) ||
		!changed(text, 0, &rights)) {
		imap_bad(s, "SETACL needs a mailbox, an identifier and rights "
			    "of lrswipkxteacd");
		return;
	}
	if (!imap_find(s, name, RIGHT_ADMINISTER, &p))
		return;
	if (!find_entry(s, &p, identifier, &had, &found, &f)) {
		imap_fault(s, &f);
		return;
	}
	if (!imap_grantee(s, &p, identifier, &acl))
		return;
	changed(text, found ? had.rights : 0, &rights);
	set_entry(s, &p, &acl, rights, "Setacl completed");
}

void imap_deleteacl(struct imap *s, struct imap_in *in)
{
	struct str name, identifier;
	struct store_acl acl;
	struct imap_place p;
	struct fault f;
	bool found;

	if (!imap_mailbox(in, &name) || !imap_space(in) ||
		!imap_astring(in, &identifier) || !imap_end(in)) {
		imap_bad(s, "DELETEACL needs a mailbox and an identifier");
		return;
	}
	if (!imap_find(s, name, RIGHT_ADMINISTER, &p))
		return;
	if (!find_entry(s, &p, identifier, &acl, &found, &f))
		imap_fault(s, &f);
	else if (found)
		set_entry(s, &p, &acl, 0, "Deleteacl completed");
	else
		imap_ok(s, "There was none");
}

void imap_listrights(struct imap *s, struct imap_in *in)
{
	struct str name, identifier;
	struct imap_place p;

	if (!imap_mailbox(in, &name) || !imap_space(in) ||
		!imap_astring(in, &identifier) || !imap_end(in)) {
		imap_bad(s, "LISTRIGHTS needs a mailbox and an identifier");
		return;
	}
	if (!imap_find(s, name, RIGHT_ADMINISTER, &p))
		return;
	struct buf *out = stream_out(s->stream);
	put_begin(s, "LISTRIGHTS", name);
	imap_put_string(identifier, out);
	buf_putc(out, ' ');
	if (str_ieq(identifier, p.owner))
		rights_put(RIGHTS_ALL, out);
	else
		buf_puts(out, "\"\" l r s w i p k x t e c d a");
	buf_puts(out, "\r\n");
	imap_ok(s, "Listrights completed");
}
