/* SPDX-License-Identifier: ISC */
/* smtp_header_checks and its kin: header_checks(5), for what goes out.  They
 * change or drop lines; who may have the mail was decided before. */
#include "policy/content.h"

#include "role/sender/sender.h"

struct sender_content {
	const struct conf *c;
	struct content_checks *checks; /* NULL: none */
};

static void add(struct sender *s, const struct conf *c)
{
	struct problems ignored = {.a = s->role->a};
	const struct str lists[] = {c->smtp_header_checks,
		c->smtp_mime_header_checks, c->smtp_nested_header_checks,
		c->smtp_body_checks};

	s->content[s->n_content++] = (struct sender_content){
		c, content_checks_smtp(c, s->role->tables, &ignored)};
	for (size_t i = 0; i < ARRAY_LEN(lists); i++)
		role_may_read_tables(s->role, lists[i]);
}

void sender_load_content(struct sender *s)
{
	const struct services *all = s->role->services;

	s->content = arena_alloc(
		s->role->a, (all->n_transports + 1) * sizeof(*s->content));
	add(s, s->role->conf);
	for (size_t i = 0; i < all->n_transports; i++)
		add(s, all->transports[i].conf);
}

static const struct content_checks *checks_of(
	const struct sender *s, const struct conf *c)
{
	for (size_t i = 0; i < s->n_content; i++)
		if (s->content[i].c == c)
			return s->content[i].checks;
	return NULL;
}

bool sender_check_content(struct sender *s, const struct conf *c,
	const char *id, struct str *message, struct text *fresh,
	struct arena *a, struct fault *f)
{
	const struct content_checks *checks = checks_of(s, c);
	struct content_result r = {0};
	struct strs pieces;

	if (checks == NULL)
		return true;
	if (!content_check(checks, *message, a, &r, f))
		return false;
	for (size_t i = 0; i < r.log.n; i++)
		log_info("content", log_z("queue_id", id),
			log_s("action", r.log.v[i]));
	if (r.code > 0 || r.discard || r.hold || str_present(r.redirect) ||
		str_present(r.filter) || r.bcc.n > 0)
		log_warn("smtp_header_checks can change lines, nothing else",
			log_z("queue_id", id));
	if (r.edits == NULL)
		return true;
	content_apply(*message, r.edits, a, &pieces);
	*fresh = text_join(&pieces);
	*message = fresh->bytes;
	return true;
}
