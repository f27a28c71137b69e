/* SPDX-License-Identifier: ISC */
#include "policy/arc.h"

#include "codec/mail/authres.h"
#include "codec/postfix/lines.h"
#include "policy/dkim.h"

const char *arc_result_name(enum arc_result r)
{
	static const char *const names[] = {"none", "pass", "fail"};

	return names[r];
}

static struct arc_verdict fail(struct arc_verdict v, const char *why)
{
	v.result = ARC_FAIL;
	v.why = why;
	return v;
}

/* The last signature must fit the message as it is. */
static bool check_message(
	struct dkim_message *m, const struct arc_set *s, const char **why_r)
{
	struct dkim_verdict v = {.signature = s->ams};

	dkim_check(m, &s->signature, &v);
	*why_r = v.why;
	return v.result == DKIM_PASS;
}

static bool check_seal(struct resolver *resolver, const struct arc_chain *chain,
	unsigned n, struct arena *a, const char **why_r)
{
	struct buf text CLEANUP(buf_fini);
	struct dkim_verdict v = {.signature = chain->v[n - 1].as};

	buf_init(&text, 1 << 24);
	arc_seal_text(chain, 1, n, &text);
	*why_r = "the sets are too large";
	if (buf_over(&text))
		return false;
	bool ok = dkim_check_text(resolver, buf_str(&text), a, &v);
	*why_r = v.why;
	return ok;
}

struct arc_verdict arc_validate(struct resolver *resolver, struct str message,
	int64_t now, struct arena *a)
{
	struct arc_verdict v = {0};
	struct dkim_message m = dkim_message_begin(resolver, message, now, a);
	const char *why;

	if (!arc_chain_parse(m.head, a, &v.chain, &why))
		return fail(v, why);
	if (v.chain.n == 0)
		return v;
	const struct arc_set *last = &v.chain.v[v.chain.n - 1];
	v.domain = last->as.domain;
	if (last->cv == ARC_CV_FAIL)
		return fail(v, "the last seal says that the chain is broken");
	for (unsigned i = 0; i < v.chain.n; i++)
		if (v.chain.v[i].cv != (i == 0 ? ARC_CV_NONE : ARC_CV_PASS))
			return fail(v, "a wrong cv= in the chain");
	if (!check_message(&m, last, &why))
		return fail(v, why);
	for (unsigned i = v.chain.n; i > 0; i--)
		if (!check_seal(resolver, &v.chain, i, a, &why))
			return fail(v, why);
	v.result = ARC_PASS;
	return v;
}

static bool is_trusted(struct str domain, struct str list)
{
	struct str item;

	while (str_present(item = list_item(&list)))
		if (str_ieq(item, domain))
			return true;
	return false;
}

bool arc_vouches(const struct arc_verdict *v, struct str trusted)
{
	if (v->result != ARC_PASS)
		return false;
	for (unsigned i = 0; i < v->chain.n; i++)
		if (!is_trusted(v->chain.v[i].as.domain, trusted))
			return false;
	return str_ieqc(authres_find(v->chain.v[0].said, "dmarc"), "pass");
}
