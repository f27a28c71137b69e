/* SPDX-License-Identifier: ISC */
/* THREAD: RFC 5256 */
#include "codec/imap/thread.h"

#include <string.h>

#include "role/mailbox/imap/search.h"

static const struct {
	const char *name;
	enum imap_thread_kind kind;
} algorithms[] = {{"ORDEREDSUBJECT", THREAD_ORDEREDSUBJECT},
	{"REFERENCES", THREAD_REFERENCES}, {"REFS", THREAD_REFS}};

struct messages {
	struct imap_thread_message *v;
	size_t n, cap;
};

static struct imap_thread_message *add(struct messages *m, struct arena *a)
{
	m->v = arena_grown(a, m->v, m->n, &m->cap, sizeof(*m->v));
	return &m->v[m->n++];
}

static void describe(struct search_candidate *c, const struct pick *p,
	struct imap_thread_message *m)
{
	const struct fact *fact = search_fact(c);

	*m = (struct imap_thread_message){.number = c->s->uid ? p->uid : p->seq,
		.date = p->received,
		.subject = STR("")};
	if (fact == NULL)
		return;
	if (fact->dated)
		m->date = fact->sent;
	m->subject = fact->text[TEXT_SUBJECT];
	m->reply = fact->reply;
	m->id = fact->id;
	m->references = fact->references;
}

static bool thread(struct imap *s, const struct search_program *p,
	enum imap_thread_kind kind, struct fault *f)
{
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
			describe(&c, pick, add(&all, s->cmd_a));
	}
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
