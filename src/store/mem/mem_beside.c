/* SPDX-License-Identifier: ISC */
/* What stands beside mailboxes and accounts, in memory: rights of others,
 * annotations. */
#include "base/must.h"
#include "store/mem/mem.h"
#include "store/metadata.h"

void mem_names(
	const struct mem_entries *v, struct arena *arena, struct strs *names_r)
{
	*names_r = (struct strs){0};
	for (size_t i = 0; i < v->n; i++)
		strs_add(names_r, arena, arena_str(arena, v->v[i].name));
}

/* ---- RFC 4314 ---- */

bool store_sharers(struct store *s, int64_t grantee, struct arena *arena,
	struct strs *owners_r, struct fault *f UNUSED)
{
	const struct mem_account *a = mem_enter(s, grantee, false);

	mem_names(&a->sharers, arena, owners_r);
	mem_leave(s);
	return true;
}

bool store_note_sharer(struct store *s, int64_t grantee, struct str owner,
	bool shares, struct fault *f UNUSED)
{
	struct mem_account *a = mem_enter(s, grantee, false);
	const struct mem_entry e = {.name = owner};

	if (shares)
		mem_entry_set(&a->sharers, &e);
	else
		mem_entry_remove(&a->sharers, owner);
	mem_leave(s);
	return true;
}

bool store_acls(struct store *s, int64_t account, int64_t mailbox,
	struct arena *arena, struct store_acl **v_r, size_t *n_r,
	struct fault *f UNUSED)
{
	const struct mem_account *a = mem_enter(s, account, false);
	size_t cap = 0;

	*v_r = NULL;
	*n_r = 0;
	for (size_t i = 0; i < a->n; i++) {
		const struct mem_box *b = a->boxes[i];

		for (size_t k = 0; k < b->acl.n; k++) {
			const struct mem_entry *e = &b->acl.v[k];

			if (mailbox != 0 && mailbox != b->m.id)
				continue;
			*v_r = arena_grown(
				arena, *v_r, *n_r, &cap, sizeof(**v_r));
			(*v_r)[(*n_r)++] =
				(struct store_acl){b->m.id, e->grantee,
					arena_str(arena, e->name), e->rights};
		}
	}
	mem_leave(s);
	return true;
}

static bool set_acl(
	struct mem_account *a, const struct store_acl *acl, struct fault *f)
{
	struct mem_box *b = mem_box(a, acl->mailbox);
	const struct mem_entry e = {.name = acl->name,
		.grantee = acl->grantee,
		.rights = acl->rights};

	if (b == NULL)
		return fault_set(f, FAULT_PERM, 0, 0, 2, "the mailbox is gone");
	a->modseq++;
	/* By whom it is for: his name may be another now. */
	for (size_t i = 0; i < b->acl.n; i++)
		if (b->acl.v[i].grantee == acl->grantee) {
			mem_entry_remove(&b->acl, b->acl.v[i].name);
			break;
		}
	if (acl->rights == 0)
		return true;
	if (b->acl.n >= STORE_ACL_MAX)
		return fault_set(
			f, FAULT_PERM, 0, 0, 5, "too many entries in the list");
	mem_entry_set(&b->acl, &e);
	return true;
}

bool store_acl_set(struct store *s, int64_t account,
	const struct store_acl *acl, struct fault *f)
{
	bool ok = set_acl(mem_enter(s, account, false), acl, f);

	mem_leave(s);
	return ok;
}

/* ---- RFC 5464 ---- */

static struct mem_entries *metadata_of(struct mem_account *a, int64_t mailbox)
{
	struct mem_box *b = mem_box(a, mailbox);

	return mailbox == 0 ? &a->metadata : b != NULL ? &b->metadata : NULL;
}

bool store_metadata(struct store *s, int64_t account, int64_t mailbox,
	void (*fn)(const struct store_entry *e, void *ctx), void *ctx,
	struct fault *f UNUSED)
{
	const struct mem_entries *v =
		metadata_of(mem_enter(s, account, false), mailbox);

	for (size_t i = 0; v != NULL && i < v->n; i++) {
		const struct store_entry e = {v->v[i].name, v->v[i].value};

		fn(&e, ctx);
	}
	mem_leave(s);
	return true;
}

/* How many there would be. */
static size_t with_new(
	const struct mem_entries *have, const struct store_entry *v, size_t n)
{
	size_t all = have->n;

	for (size_t i = 0; i < n; i++) {
		bool there = mem_entry(have, v[i].name) != NULL;

		if (there != str_present(v[i].value))
			all += there ? SIZE_MAX : 1;
	}
	return all;
}

static bool set_metadata(struct mem_entries *have, const struct store_entry *v,
	size_t n, struct fault *f)
{
	if (with_new(have, v, n) > STORE_METADATA_MAX)
		return fault_set(
			f, FAULT_PERM, 0, 0, 6, "too many annotations");
	for (size_t i = 0; i < n; i++) {
		const struct mem_entry e = {
			.name = v[i].name, .value = v[i].value};

		if (str_present(v[i].value))
			mem_entry_set(have, &e);
		else
			mem_entry_remove(have, v[i].name);
	}
	return true;
}

bool store_metadata_set(struct store *s, int64_t account, int64_t mailbox,
	const struct store_entry *v, size_t n, struct fault *f)
{
	struct mem_entries *have =
		metadata_of(mem_enter(s, account, false), mailbox);
	bool ok = have == NULL || set_metadata(have, v, n, f);

	mem_leave(s);
	return ok;
}
