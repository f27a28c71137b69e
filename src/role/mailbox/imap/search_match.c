/* SPDX-License-Identifier: ISC */
/* One message held against a search. */
#include <stdio.h>
#include <string.h>

#include "base/sorted.h"
#include "codec/mail/address.h"
#include "codec/mail/casemap.h"
#include "codec/mail/encword.h"
#include "codec/mail/header.h"
#include "role/mailbox/imap/search_key.h"
#include "role/mailbox/text_of.h"
#include "store/message.h"

enum {
	DECODED_MAX = 64 << 20,
	DAY_S = 86400,
	ADDRESSES_MAX = 5000,
	LOOK_EVERY = 16, /* messages between looks at the clock */
	READ_MESSAGES = 128, /* of one reading */
	READ_BYTES = 4 << 20,
};

/* "*" is what it is now. */
static void settle_sets(
	struct search_key *k, uint32_t max_seq, uint32_t max_uid)
{
	for (; k != NULL; k = k->next) {
		if (k->kind == K_SET || k->kind == K_UID)
			imap_set_settle(
				&k->set, k->kind == K_UID ? max_uid : max_seq);
		settle_sets(k->a, max_seq, max_uid);
		settle_sets(k->b, max_seq, max_uid);
	}
}

void search_begin(struct search_candidate *c, struct imap *s,
	const struct search_program *p)
{
	*c = (struct search_candidate){
		.s = s, .told_at = clock_mono_ms(), .a = arena_new(SIZE_MAX)};
	settle_sets(p->key, (uint32_t)s->view.n, view_last_uid(s));
	prefetch_init(&c->ahead);
}

static void forget(struct search_candidate *c)
{
	store_message_fini(&c->message);
	c->loaded = 0;
	c->summarized = c->gone = false;
	arena_reset(c->a);
}

static void end_reading(struct search_candidate *c)
{
	store_read_end(c->reading);
	c->reading = NULL;
	c->n_read = c->bytes_read = 0;
}

bool search_end(struct search_candidate *c, struct fault *f)
{
	forget(c);
	end_reading(c);
	prefetch_fini(&c->ahead);
	arena_free(c->a);
	if (c->failed)
		*f = c->fault;
	return !c->failed;
}

void search_progress(struct search_candidate *c)
{
	int64_t every = c->s->sv->c->imapd_progress_interval * 1000, now;

	if (++c->done % LOOK_EVERY != 0 || every <= 0)
		return;
	now = clock_mono_ms();
	if (now - c->told_at < every)
		return;
	c->told_at = now;
	end_reading(c);
	imap_untagged(c->s, "OK [INPROGRESS (\"%.*s\" %zu %zu)] Searching",
		STR_ARG(str_sub(c->s->tag, 0, 256)), c->done, c->s->view.n);
	stream_deadline(c->s->stream, 60000);
	stream_flush(c->s->stream);
}

/* ---- what a key needs of the store ---- */

static bool read_message(
	struct search_candidate *c, unsigned part, struct fault *f)
{
	struct store *store = c->s->sv->m->store;
	const struct box *box = c->s->view.box;

	if (c->reading == NULL)
		c->reading = store_read_begin(store, box->account, f);
	if (c->reading == NULL)
		return false;
	bool ok = store_read_message(
		c->reading, box->mailbox, c->p->uid, part, &c->message, f);
	if (ok)
		c->bytes_read += c->message.bytes.len;
	if (++c->n_read >= READ_MESSAGES || c->bytes_read >= READ_BYTES)
		end_reading(c);
	/* It may have gone since the reading began. */
	return ok || (f->class == FAULT_TEMP &&
			     store_message(store, box->account, box->mailbox,
				     c->p->uid, part, &c->message, f));
}

static bool load(struct search_candidate *c, unsigned part)
{
	struct fault f;

	if (c->gone)
		return false;
	if ((c->loaded & part) != 0)
		return true;
	if (part == STORE_CACHE &&
		prefetch_get(&c->ahead, c->p->uid, &c->message.saved,
			&c->message.cache)) {
		c->loaded |= STORE_CACHE;
		return true;
	}
	if (part == STORE_HEAD &&
		prefetch_head(&c->ahead, c->p->uid, &c->message.bytes)) {
		c->loaded |= STORE_HEAD;
		return true;
	}
	/* The bytes come with the cache. */
	store_message_fini(&c->message);
	c->gone = !read_message(c, part, &f);
	if (c->gone && f.class == FAULT_TEMP) {
		c->failed = true;
		c->fault = f;
	}
	c->loaded = part | STORE_CACHE |
		    (part == STORE_BYTES ? (unsigned)STORE_HEAD : 0u);
	c->summarized = false;
	return !c->gone;
}

const struct summary *search_summary(struct search_candidate *c)
{
	if (!load(c, STORE_CACHE))
		return NULL;
	if (c->summarized)
		return &c->summary;
	c->summarized = true;
	if (summary_read(c->message.cache, &c->summary))
		return &c->summary;
	/* Not stored: made of the bytes. */
	if (load(c, STORE_BYTES) &&
		summary_read(
			summary_make(c->message.bytes, c->a), &c->summary)) {
		c->summarized = true;
		return &c->summary;
	}
	return NULL;
}

/* ---- facts ---- */

void search_facts_begin(struct search_candidate *c)
{
	struct box *box = c->s->view.box;

	pthread_mutex_lock(&box->facts_lock);
	if (box->facts == NULL)
		box->facts = facts_new();
}

void search_facts_end(struct search_candidate *c)
{
	pthread_mutex_unlock(&c->s->view.box->facts_lock);
}

void search_ahead(struct search_candidate *c, const struct view_walk *w)
{
	const struct facts *facts = c->s->view.box->facts;

	if (!view_at_chunk(w))
		return;
	for (size_t i = 0; i < w->n; i++)
		if (facts_get(facts, w->chunk[i].blob) == NULL) {
			prefetch_chunk(&c->ahead, c->s, w, STORE_CACHE);
			return;
		}
}

/* Do the rows of this chunk have all that this key asks for? */
static bool rows_say(enum key_kind kind, const struct view_walk *w)
{
	if (kind < K_SENTBEFORE || kind > K_SENTSINCE)
		return false;
	for (size_t i = 0; i < w->n; i++)
		if (w->chunk[i].stamp == 0)
			return false;
	return true;
}

void search_summaries_ahead(struct search_candidate *c,
	const struct search_program *p, const struct view_walk *w)
{
	/* The first key of the AND is the cheapest. */
	const struct search_key *k = p->key->a;
	bool header = k->cost == COST_HEADER && k->indexed == 0;

	if (!view_at_chunk(w) ||
		(!header && (k->cost != COST_SUMMARY || rows_say(k->kind, w))))
		return;
	end_reading(c);
	prefetch_chunk(&c->ahead, c->s, w,
		header ? STORE_CACHE | STORE_HEAD : STORE_CACHE);
}

struct fact *search_fact(struct search_candidate *c)
{
	struct facts *facts = c->s->view.box->facts;
	struct fact *fact = facts_get(facts, c->p->blob);
	const struct summary *sum;

	if (fact != NULL)
		return fact;
	sum = search_summary(c);
	return sum == NULL
		       ? NULL
		       : facts_make(facts, c->p->blob, sum, c->a, c->s->cmd_a);
}

/* ---- text ---- */

static bool decoded_has(
	struct search_candidate *c, struct str value, struct str text)
{
	struct buf scratch CLEANUP(buf_fini);

	buf_init(&scratch, DECODED_MAX);
	return casemap_has(encword_decode(value, c->a), text, &scratch);
}

/* RFC 9051 6.4.4: FROM and its kin look into the envelope's addresses: without
 * comments and folds. */
static bool addresses_match(struct search_candidate *c,
	const struct search_key *k, struct str value)
{
	struct mail_address_list list = {0};
	struct buf scratch CLEANUP(buf_fini);
	bool found = false;

	buf_init(&scratch, DECODED_MAX);
	mail_address_parse(value, ADDRESSES_MAX, c->a, &list);
	for (size_t i = 0; i < list.n && !found; i++)
		found = list.v[i].kind == MAIL_MAILBOX &&
			casemap_has(arena_printf(c->a, "%.*s@%.*s",
					    STR_ARG(list.v[i].local),
					    STR_ARG(list.v[i].domain)),
				k->text, &scratch);
	return found;
}

static bool header_matches(
	struct search_candidate *c, const struct search_key *k)
{
	struct mail_field field;

	if (!load(c, STORE_HEAD))
		return false;
	struct str rest = c->message.bytes;
	while (mail_field_named(&rest, k->field, &field))
		if (k->text.len == 0 || decoded_has(c, field.value, k->text) ||
			(k->addresses && addresses_match(c, k, field.value)))
			return true;
	return false;
}

static bool text_matches(struct search_candidate *c, const struct search_key *k)
{
	struct buf text CLEANUP(buf_fini);

	if (!load(c, STORE_BYTES))
		return false;
	if (k->text.len == 0)
		return true;
	const struct mime_part *root = mime_parse(c->message.bytes, c->a);
	buf_init(&text, DECODED_MAX * 4);
	text_of_body(root, &text);
	if (str_has(buf_str(&text), k->text))
		return true;
	if (k->kind != K_TEXT)
		return false;
	buf_reset(&text);
	text_of_headers(root, c->a, &text);
	return str_has(buf_str(&text), k->text);
}

/* The index says that it cannot be. */
static bool ruled_out(
	const struct search_candidate *c, const struct search_key *k)
{
	return c->p->uid <= k->indexed &&
	       sorted_find(&c->p->blob, k->blobs, k->n_blobs, sizeof(*k->blobs),
		       sorted_by_i64) == NULL;
}

/* ---- rows ---- */

static bool has_keyword(const char *words, struct str word)
{
	struct str rest = str_from(words), one;

	while (str_present(one = str_word(&rest, " ")))
		if (str_ieq(one, word))
			return true;
	return false;
}

/* kind: BEFORE, ON, SINCE stand behind each other in each triple. */
static bool day_matches(int64_t at, int64_t day, int kind)
{
	if (kind == 0)
		return at < day;
	return at >= day && (kind == 2 || at < day + DAY_S);
}

static bool sent_matches(struct search_candidate *c, const struct search_key *k)
{
	const struct summary *sum;
	bool dated;
	int64_t sent;
	int zone;

	if (!summary_stamp_read(c->p->stamp, &dated, &sent, &zone)) {
		sum = search_summary(c);
		if (sum == NULL)
			return false;
		dated = sum->dated;
		sent = sum->sent;
		zone = sum->zone;
	}
	/* RFC 9051 6.4.4: the day as written, whatever the zone */
	return dated && day_matches(sent + (int64_t)zone * 60, k->day,
				(int)k->kind - K_SENTBEFORE);
}

static bool id_matches(struct search_candidate *c, const struct search_key *k)
{
	const struct summary *sum;
	char id[32];

	if (k->kind == K_EMAILID) {
		snprintf(id, sizeof(id), "E%llx",
			(unsigned long long)c->p->blob);
		return str_eqc(k->text, id);
	}
	sum = search_summary(c);
	if (sum == NULL || sum->thread == 0)
		return false;
	snprintf(id, sizeof(id), "T%llx", (unsigned long long)sum->thread);
	return str_eqc(k->text, id);
}

static bool matches(struct search_candidate *c, const struct search_key *k);

static bool all_match(struct search_candidate *c, const struct search_key *k)
{
	for (; k != NULL; k = k->next)
		if (!matches(c, k))
			return false;
	return true;
}

static bool saved_matches(
	struct search_candidate *c, const struct search_key *k)
{
	return load(c, STORE_CACHE) && day_matches(c->message.saved, k->day,
					       (int)k->kind - K_SAVEDBEFORE);
}

static bool matches(struct search_candidate *c, const struct search_key *k)
{
	const struct pick *p = c->p;

	switch (k->kind) {
	case K_ALL:
		return true;
	case K_FLAG:
		return (p->flags & k->flag) != 0;
	case K_NOT_FLAG:
		return (p->flags & k->flag) == 0;
	case K_NEW:
		return (p->flags & (PICK_RECENT | FLAG_SEEN)) == PICK_RECENT;
	case K_KEYWORD:
		return has_keyword(p->keywords, k->text);
	case K_NOT_KEYWORD:
		return !has_keyword(p->keywords, k->text);
	case K_SET:
		return imap_set_has(&k->set, p->seq);
	case K_UID:
		return imap_set_has(&k->set, p->uid);
	case K_BEFORE:
	case K_ON:
	case K_SINCE:
		return day_matches(
			p->received, k->day, (int)k->kind - K_BEFORE);
	case K_OLDER:
		return p->received <= k->day;
	case K_YOUNGER:
		return p->received >= k->day;
	case K_LARGER:
		return p->size > k->number;
	case K_SMALLER:
		return p->size < k->number;
	case K_MODSEQ:
		return p->modseq >= k->number;
	case K_NOT:
		return !matches(c, k->a);
	case K_OR:
		return matches(c, k->a) || matches(c, k->b);
	case K_AND:
		return all_match(c, k->a);
	case K_SENTBEFORE:
	case K_SENTON:
	case K_SENTSINCE:
		return sent_matches(c, k);
	case K_SAVEDBEFORE:
	case K_SAVEDON:
	case K_SAVEDSINCE:
		return saved_matches(c, k);
	case K_EMAILID:
	case K_THREADID:
		return id_matches(c, k);
	case K_HEADER:
		return !ruled_out(c, k) && header_matches(c, k);
	case K_BODY:
	case K_TEXT:
		return !ruled_out(c, k) && text_matches(c, k);
	}
	return false;
}

bool search_matches(struct search_candidate *c, const struct search_key *k,
	const struct pick *p)
{
	forget(c);
	c->p = p;
	/* Also NOT of what another session expunged matches nothing. */
	return !c->failed && matches(c, k) && !c->gone;
}
