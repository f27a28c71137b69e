/* SPDX-License-Identifier: ISC */
#include "role/mailbox/imap/facts.h"

#include <stdlib.h>

#include "base/must.h"
#include "base/sip.h"
#include "codec/imap/envelope.h"
#include "codec/imap/subject.h"
#include "codec/mail/casemap.h"
#include "codec/mail/encword.h"

enum { FACTS_MAX = 300000, BYTES_MAX = 96 << 20 };

struct slot {
	int64_t blob; /* 0: free */
	struct fact *fact;
};

struct facts {
	struct arena *a;
	struct sip_key sip;
	struct slot *slots;
	size_t cap, n; /* cap is a power of two */
	size_t ranked[FACT_TEXTS]; /* n when all had their rank; 0: never */
};

struct facts *facts_new(void)
{
	struct facts *t = must_alloc(sizeof(*t));

	t->a = arena_new(SIZE_MAX);
	t->sip = sip_key_new();
	t->cap = 256;
	t->slots = must_alloc(t->cap * sizeof(*t->slots));
	return t;
}

void facts_free(struct facts *t)
{
	if (t == NULL)
		return;
	arena_free(t->a);
	free(t->slots);
	free(t);
}

static size_t place(const struct facts *t, int64_t blob)
{
	size_t i = (uint64_t)blob * 0x9e3779b97f4a7c15u >> 20 & (t->cap - 1);

	while (t->slots[i].blob != 0 && t->slots[i].blob != blob)
		i = (i + 1) & (t->cap - 1);
	return i;
}

struct fact *facts_get(const struct facts *t, int64_t blob)
{
	return t->slots[place(t, blob)].fact;
}

static void keep(struct facts *t, int64_t blob, struct fact *fact)
{
	fact->kept = true;
	if (t->n * 2 >= t->cap) {
		struct slot *old = t->slots;
		size_t n = t->cap;

		t->cap *= 2;
		t->slots = must_alloc(t->cap * sizeof(*t->slots));
		for (size_t i = 0; i < n; i++)
			if (old[i].blob != 0)
				t->slots[place(t, old[i].blob)] = old[i];
		free(old);
	}
	t->slots[place(t, blob)] = (struct slot){blob, fact};
	t->n++;
}

/* RFC 5957 2: the display name, else the address */
static struct str display(const struct imap_person *p, struct arena *a)
{
	struct str name =
		str_present(p->name) ? encword_decode(p->name, a) : STR("");

	if (str_trim(name).len > 0)
		return str_trim(name);
	if (!str_present(p->mailbox))
		return STR("");
	return arena_printf(a, "%.*s@%.*s", STR_ARG(p->mailbox),
		STR_ARG(str_present(p->host) ? p->host : STR("")));
}

static struct str folded(struct str s, struct arena *a)
{
	return str_present(s) ? casemap(s, a) : STR("");
}

static uint64_t id_hash(const struct facts *t, struct str id)
{
	uint64_t hash = id.len > 0 ? sip_hash(&t->sip, id) : 0;

	return hash == 0 && id.len > 0 ? 1 : hash;
}

/* RFC 5256 3: the first id of In-Reply-To where there are no References */
static struct str references_of(const struct summary *sum,
	const struct imap_envelope *env, struct arena *scratch)
{
	struct str ids = sum->references;

	if (ids.len == 0 && str_present(env->in_reply_to)) {
		struct str rest = message_ids(env->in_reply_to, scratch);

		ids = str_word(&rest, " ");
	}
	return ids;
}

static void take_references(const struct facts *t, struct fact *fact,
	struct str ids, struct arena *a)
{
	struct str rest = ids;
	size_t n = 0;

	while (str_present(str_word(&rest, " ")))
		n++;
	fact->references = arena_alloc(a, n * sizeof(*fact->references));
	while (fact->n_references < n)
		fact->references[fact->n_references++] =
			id_hash(t, str_word(&ids, " "));
}

static void fill(const struct facts *t, struct fact *fact,
	const struct summary *sum, struct arena *scratch, struct arena *a)
{
	struct imap_envelope env = {0};
	struct str ids = STR("");

	fact->sent = sum->sent;
	fact->dated = sum->dated;
	imap_envelope_read(sum->envelope, scratch, &env);
	fact->text[TEXT_SUBJECT] = arena_str(
		a, base_subject(str_present(env.subject)
					? encword_decode(env.subject, scratch)
					: STR(""),
			   scratch, &fact->reply));
	fact->text[TEXT_FROM] = folded(env.from.mailbox, a);
	fact->text[TEXT_TO] = folded(env.to.mailbox, a);
	fact->text[TEXT_CC] = folded(env.cc.mailbox, a);
	fact->text[TEXT_DISPLAYFROM] = folded(display(&env.from, scratch), a);
	fact->text[TEXT_DISPLAYTO] = folded(display(&env.to, scratch), a);
	if (str_present(env.message_id))
		ids = message_ids(env.message_id, scratch);
	fact->id = id_hash(t, str_word(&ids, " "));
	take_references(t, fact, references_of(sum, &env, scratch), a);
}

struct fact *facts_make(struct facts *t, int64_t blob,
	const struct summary *sum, struct arena *scratch, struct arena *spare)
{
	bool room = t->n < FACTS_MAX && arena_used(t->a) < BYTES_MAX;
	struct arena *a = room ? t->a : spare;
	struct fact *fact = arena_make(a, struct fact);

	fill(t, fact, sum, scratch, a);
	if (room)
		keep(t, blob, fact);
	return fact;
}

/* ---- ranks ---- */

struct ranked {
	uint64_t prefix; /* the first octets: most differ by them */
	struct fact *fact;
};

static uint64_t prefix_of(struct str text)
{
	uint64_t prefix = 0;

	for (size_t i = 0; i < sizeof(prefix); i++)
		prefix = prefix << 8 |
			 (i < text.len ? (unsigned char)text.ptr[i] : 0u);
	return prefix;
}

static int by_text(const void *x, const void *y, void *ctx)
{
	const struct ranked *a = x, *b = y;
	const enum fact_text *by = ctx;

	if (a->prefix != b->prefix)
		return a->prefix < b->prefix ? -1 : 1;
	return str_cmp(a->fact->text[*by], b->fact->text[*by]);
}

static void rank(struct ranked *v, size_t n, enum fact_text by)
{
	uint32_t rank = 0;

	for (size_t i = 0; i < n; i++)
		v[i].prefix = prefix_of(v[i].fact->text[by]);
	qsort_r(v, n, sizeof(*v), by_text, &by);
	for (size_t i = 0; i < n; i++) {
		struct str text = v[i].fact->text[by];

		rank += i == 0 ? text.len > 0
			       : by_text(&v[i - 1], &v[i], &by) != 0;
		v[i].fact->rank[by] = rank;
	}
}

static bool all_kept(struct fact *const *v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!v[i]->kept)
			return false;
	return true;
}

void facts_rank(struct facts *t, struct fact **v, size_t n, enum fact_text by)
{
	bool table = all_kept(v, n);
	size_t cap = table ? t->n : n, to = 0;

	if (n == 0 || (table && t->ranked[by] == t->n))
		return;
	struct ranked *all = must_alloc_raw(cap * sizeof(*all));
	for (size_t i = 0; table && i < t->cap; i++)
		if (t->slots[i].blob != 0)
			all[to++].fact = t->slots[i].fact;
	for (size_t i = 0; !table && i < n; i++)
		all[to++].fact = v[i];
	rank(all, to, by);
	t->ranked[by] = table ? t->n : 0;
	free(all);
}
