/* SPDX-License-Identifier: ISC */
/* What the words of an account say to a search, before it reads a message. */
#include "role/mailbox/imap/search_key.h"
#include "role/mailbox/indexer.h"

struct asking {
	struct imap *s;
	struct fts *fts;
	uint32_t marked;
	bool broken;
};

static bool is_text(const struct search_key *k)
{
	return (k->kind == K_BODY || k->kind == K_TEXT ||
		       k->kind == K_HEADER) &&
	       k->text.len > 0;
}

static void ask(struct asking *x, struct search_key *k)
{
	enum fts_column column = k->kind == K_BODY     ? FTS_BODY
				 : k->kind == K_HEADER ? FTS_HEADER
						       : FTS_TEXT;
	bool usable;
	struct fault f;

	if (!fts_candidates(x->fts, column, k->text, x->s->cmd_a, &k->blobs,
		    &k->n_blobs, &usable, &f)) {
		log_warn("search index", log_s("login", x->s->login),
			log_fault(&f));
		x->broken = true;
	} else if (usable) {
		k->indexed = x->marked;
	}
}

static void each_text(struct search_key *k,
	void (*fn)(struct asking *x, struct search_key *k), struct asking *x)
{
	for (; k != NULL && !x->broken; k = k->next) {
		if (is_text(k))
			fn(x, k);
		each_text(k->a, fn, x);
		each_text(k->b, fn, x);
	}
}

static void nothing(struct asking *x, struct search_key *k UNUSED)
{
	x->marked = 1;
}

static void forget(struct asking *x UNUSED, struct search_key *k)
{
	k->indexed = 0;
}

void search_ask_index(struct imap *s, const struct search_program *p)
{
	struct asking x = {.s = s};
	struct indexer *indexer = s->sv->m->indexer;

	each_text(p->key, nothing, &x);
	if (x.marked == 0)
		return; /* no text is asked for */
	indexer_wanted(indexer, s->view.box->account, s->view.n);
	struct lent_index *l = indexer_lend(indexer, s->view.box->account,
		s->view.box->mailbox, &x.fts, &x.marked);
	if (l == NULL)
		return;
	each_text(p->key, ask, &x);
	indexer_return(indexer, l, x.broken);
	if (x.broken) {
		x.broken = false;
		each_text(p->key, forget, &x);
	}
}
