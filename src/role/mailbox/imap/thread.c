/* SPDX-License-Identifier: ISC */
/* THREAD: RFC 5256 */
#include "codec/imap/thread.h"

#include "role/mailbox/imap/search.h"

static const struct {
	const char *name;
	enum imap_thread_kind kind;
} algorithms[] = {{"ORDEREDSUBJECT", THREAD_ORDEREDSUBJECT},
	{"REFERENCES", THREAD_REFERENCES}, {"REFS", THREAD_REFS}};

struct messages {
	struct imap_thread_message *v;
	struct fact **facts; /* of each; never NULL */
	size_t n, cap, cap_facts;
};

static void add(struct messages *m, struct search_candidate *c,
	const struct pick *p, struct fact *none)
{
	struct arena *a = c->s->cmd_a;
	struct fact *fact = search_fact(c);

	m->v = arena_grown(a, m->v, m->n, &m->cap, sizeof(*m->v));
	m->facts = arena_grown(
		a, m->facts, m->n, &m->cap_facts, sizeof(struct fact *));
	if (fact == NULL)
		fact = none;
	m->facts[m->n] = fact;
	m->v[m->n++] = (struct imap_thread_message){
		.number = c->s->uid ? p->uid : p->seq,
		.date = fact->dated ? fact->sent : p->received,
		.reply = fact->reply,
		.id = fact->id,
		.references = fact->references,
		.n_references = fact->n_references};
}

static void number_subjects(struct search_candidate *c, struct messages *m)
{
	facts_rank(c->s->view.box->facts, m->facts, m->n, TEXT_SUBJECT);
	for (size_t i = 0; i < m->n; i++)
		m->v[i].subject = m->facts[i]->rank[TEXT_SUBJECT];
}

static bool thread(struct imap *s, const struct search_program *p,
	enum imap_thread_kind kind, struct fault *f)
{
	struct fact *none = arena_make(s->cmd_a, struct fact);
	struct messages all = {0};
	struct search_candidate c;
	struct view_walk *w;
	const struct pick *pick;
	struct buf out CLEANUP(buf_fini);

	search_ask_index(s, p);
	search_begin(&c, s, p);
	search_facts_begin(&c);
	view_walk_all(s, &w);
	while ((pick = view_next(w)) != NULL) {
		search_ahead(&c, w);
		search_progress(&c);
		if (search_matches(&c, p->key, pick))
			add(&all, &c, pick, none);
	}
	if (kind != THREAD_REFS)
		number_subjects(&c, &all);
	buf_init(&out, 256 << 20);
	buf_puts(&out, all.n > 0 ? "* THREAD " : "* THREAD");
	imap_thread_put(kind, all.v, all.n, s->cmd_a, &out);
	search_facts_end(&c);
	buf_puts(&out, "\r\n");
	if (!search_end(&c, f))
		return false;
	if (buf_over(&out))
		return fault_set(f, FAULT_PERM, 0, 0, 5,
			"too many messages for one reply");
	stream_put(s->stream, buf_str(&out));
	return true;
}

void imap_thread(struct imap *s, struct imap_in *in)
{
	struct search_program p = {0};
	struct fault f;
	size_t i = 0;

	while (i < ARRAY_LEN(algorithms) && !imap_word(in, algorithms[i].name))
		i++;
	if (i == ARRAY_LEN(algorithms) || !imap_space(in)) {
		imap_bad(s, "THREAD needs an algorithm, a charset and keys");
		return;
	}
	if (!search_parse_charset(s, in, &p)) {
		search_refuse(s, &p);
		return;
	}
	if (thread(s, &p, algorithms[i].kind, &f))
		imap_ok(s, "Thread completed");
	else
		imap_fault(s, &f);
}
