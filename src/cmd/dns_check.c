/* SPDX-License-Identifier: ISC */
/* What the world sees of a domain, against what it should see. */
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "cmd/dns.h"
#include "codec/dns/rdata.h"
#include "codec/mail/dmarc.h"
#include "policy/spf.h"
#include "sys/clock.h"

enum { TYPE_SRV = 33, TYPE_CAA = 257 };

struct asking {
	const struct dns_plan *p;
	struct resolver *r;
	struct arena *a;
	unsigned wrong;
};

static void say(const char *mark, enum dns_topic topic, struct str text)
{
	printf("%-6s %s: ", mark, dns_topic_name(topic));
	cmd_put_safe(text.ptr);
	printf("\n");
}

static void well(enum dns_topic topic, struct str text)
{
	say("ok", topic, text);
}

/* line: what to write; NULL: there is nothing to write */
static void wrong(struct asking *k, enum dns_topic topic, struct str text,
	const struct dns_line *line)
{
	struct buf b CLEANUP(buf_fini);

	k->wrong++;
	say("WRONG", topic, text);
	if (line == NULL)
		return;
	buf_init(&b, 65536);
	dns_line_put(line, &b);
	printf("       write: %.*s", STR_ARG(buf_str(&b)));
}

static void hint(enum dns_topic topic, struct str text)
{
	say("hint", topic, text);
}

static struct str name_of(struct asking *k, const struct resolver_addr *addr)
{
	char text[INET6_ADDRSTRLEN];

	inet_ntop(addr->len == 4 ? AF_INET : AF_INET6, addr->bytes, text,
		sizeof(text));
	return arena_str(k->a, str_from(text));
}

static struct str no_answer(struct asking *k, const struct fault *f)
{
	return arena_printf(k->a, "cannot be told: %s", f->text);
}

/* ---- one line of the plan each ---- */

static void check_mx(struct asking *k, const struct dns_line *l)
{
	struct resolver_mx *mx = NULL;
	size_t n = 0;
	bool found = false;
	struct fault f;
	enum dns_result d = resolver_mx(k->r, l->name, k->a, &mx, &n, &f);

	if (d == DNS_TEMP) {
		wrong(k, l->topic, no_answer(k, &f), NULL);
		return;
	}
	for (size_t i = 0; d == DNS_OK && i < n; i++) {
		if (str_ieq(mx[i].host, k->p->host))
			found = true;
		else
			hint(l->topic,
				arena_printf(k->a, "mail goes to %.*s, too",
					STR_ARG(mx[i].host)));
	}
	if (found)
		well(l->topic, k->p->host);
	else
		wrong(k, l->topic,
			arena_printf(k->a, "mail for %.*s does not come here",
				STR_ARG(l->name)),
			l);
}

static bool has_addr(
	const struct resolver_addrs *all, const struct resolver_addr *one)
{
	for (size_t i = 0; i < all->n; i++)
		if (all->v[i].len == one->len &&
			memcmp(all->v[i].bytes, one->bytes, one->len) == 0)
			return true;
	return false;
}

static void check_host(struct asking *k, const struct dns_line *l)
{
	struct resolver_addrs all = {0};
	struct fault f;
	enum dns_result d = resolver_host(
		k->r, l->name, RESOLVER_V4 | RESOLVER_V6, k->a, &all, &f);

	if (d == DNS_TEMP)
		wrong(k, l->topic, no_answer(k, &f), NULL);
	else if (has_addr(&all, &l->addr))
		well(l->topic, arena_printf(k->a, "%.*s is %.*s",
				       STR_ARG(l->name), STR_ARG(l->data)));
	else
		wrong(k, l->topic,
			arena_printf(k->a, "%.*s is not %.*s", STR_ARG(l->name),
				STR_ARG(l->data)),
			l);
}

static void check_ptr(struct asking *k, const struct dns_line *l)
{
	struct strs names = {0};
	struct fault f;
	struct str addr = name_of(k, &l->addr);
	enum dns_result d = resolver_ptrs(
		k->r, l->addr.bytes, l->addr.len, k->a, &names, &f);

	if (d == DNS_TEMP) {
		wrong(k, l->topic, no_answer(k, &f), NULL);
		return;
	}
	for (size_t i = 0; i < names.n; i++)
		if (str_ieq(names.v[i], k->p->host)) {
			well(l->topic,
				arena_printf(k->a, "%.*s is %.*s",
					STR_ARG(addr), STR_ARG(k->p->host)));
			return;
		}
	wrong(k, l->topic,
		arena_printf(k->a,
			"%.*s is %.*s, not %.*s: many servers refuse such "
			"mail; who gave you the address can set it",
			STR_ARG(addr),
			STR_ARG(names.n > 0 ? names.v[0] : STR("nameless")),
			STR_ARG(k->p->host)),
		l);
}

/* Not the text of the record counts, but what it says of our addresses. */
static void check_spf(struct asking *k, const struct dns_line *l)
{
	const struct dns_plan *p = k->p;
	bool helo = l->topic == DNS_TOPIC_SPF_HELO;

	for (size_t i = 0; i < p->n_addrs; i++) {
		struct spf_query q = {.resolver = k->r,
			.addr = p->addrs[i].bytes,
			.addr_len = p->addrs[i].len,
			.helo = p->host,
			.sender = helo ? STR("")
				       : arena_printf(k->a, "postmaster@%.*s",
						 STR_ARG(p->domain)),
			.receiver = p->host,
			.now = clock_unix()};
		struct spf_verdict v = spf_check(&q, k->a);
		struct str text = arena_printf(k->a, "%.*s from %.*s: %s%s%.*s",
			STR_ARG(l->name), STR_ARG(name_of(k, &p->addrs[i])),
			spf_result_name(v.result),
			str_present(v.why) ? ", " : "", STR_ARG(v.why));

		if (v.result == SPF_PASS)
			well(l->topic, text);
		else
			wrong(k, l->topic, text, l);
	}
	if (p->n_addrs == 0)
		hint(l->topic, STR("no public address here to ask about"));
}

static void check_dkim(struct asking *k, const struct dns_line *l)
{
	for (size_t i = 0; i < k->p->keys.n; i++) {
		const struct dkim_key_file *key = &k->p->keys.v[i];

		if (!str_eq(l->data, key->record))
			continue;
		if (dkim_key_published(k->r, k->p->domain, key, k->a) == DNS_OK)
			well(l->topic, key->selector);
		else
			wrong(k, l->topic,
				arena_printf(k->a, "DNS does not show %.*s",
					STR_ARG(key->selector)),
				l);
	}
}

static bool find_text(struct asking *k, struct str name, const char *begin,
	struct str *text_r)
{
	struct strs texts = {0};
	struct fault f;

	resolver_txt(k->r, name, k->a, &texts, &f);
	for (size_t i = 0; i < texts.n; i++)
		if (str_istarts(texts.v[i], begin)) {
			*text_r = texts.v[i];
			return true;
		}
	return false;
}

static void check_dmarc(struct asking *k, const struct dns_line *l)
{
	struct dmarc_record r;
	struct str text;

	if (!find_text(k, l->name, "v=DMARC1", &text))
		wrong(k, l->topic, STR("there is no policy"), l);
	else if (!dmarc_record_parse(text, k->a, &r))
		wrong(k, l->topic,
			arena_printf(
				k->a, "\"%.*s\" is no policy", STR_ARG(text)),
			l);
	else if (r.p == DMARC_NO_POLICY)
		hint(l->topic, STR("p=none: others may send as this domain"));
	else
		well(l->topic,
			arena_printf(k->a, "p=%s", dmarc_policy_name(r.p)));
}

static struct str tlsa_text(struct asking *k, const struct dns_tlsa *t)
{
	struct buf b CLEANUP(buf_fini);

	buf_init(&b, 4096);
	buf_putf(&b, "%u %u %u ", t->usage, t->selector, t->matching);
	for (size_t i = 0; i < t->data.len; i++)
		buf_putf(&b, "%02x", (unsigned char)t->data.ptr[i]);
	return arena_str(k->a, buf_str(&b));
}

static void check_tlsa(struct asking *k, const struct dns_line *l)
{
	struct dns_tlsa *list = NULL;
	size_t n = 0;
	struct fault f;

	if (resolver_tlsa(k->r, l->name, k->a, &list, &n, &f) != DNS_OK ||
		n == 0) {
		hint(l->topic,
			STR("no records that DNSSEC protects, as far as can "
			    "be seen here (dns_trust_anchor_file)"));
		return;
	}
	for (size_t i = 0; i < n; i++)
		if (str_ieq(tlsa_text(k, &list[i]), l->data)) {
			well(l->topic, l->data);
			return;
		}
	wrong(k, l->topic,
		STR("the records are of another key: servers that heed DANE "
		    "send no mail"),
		l);
}

static void check_text(struct asking *k, const struct dns_line *l)
{
	struct str rest = l->data, begin = str_cut(&rest, ';'), text;

	if (find_text(k, l->name, arena_cstr(k->a, begin), &text))
		well(l->topic, text);
	else
		hint(l->topic, arena_printf(k->a, "%.*s has no %.*s",
				       STR_ARG(l->name), STR_ARG(begin)));
}

static struct str rdata_text(struct asking *k, int type, struct str rdata)
{
	struct str out = STR("");

	if (type == TYPE_SRV)
		dns_srv_text(rdata, k->a, &out);
	else
		dns_caa_text(rdata, k->a, &out);
	return out;
}

static void check_record(struct asking *k, const struct dns_line *l)
{
	int type = l->topic == DNS_TOPIC_SRV ? TYPE_SRV : TYPE_CAA;
	struct strs all = {0};
	struct fault f;
	enum dns_result d =
		resolver_records(k->r, l->name, type, k->a, &all, &f);

	for (size_t i = 0; i < all.n; i++)
		if (str_ieq(rdata_text(k, type, all.v[i]), l->data)) {
			well(l->topic,
				arena_printf(k->a, "%.*s %.*s",
					STR_ARG(l->name), STR_ARG(l->data)));
			return;
		}
	if (d == DNS_OK)
		wrong(k, l->topic,
			arena_printf(k->a, "%.*s says something else",
				STR_ARG(l->name)),
			l);
	else
		hint(l->topic, arena_printf(k->a, "%.*s is not there",
				       STR_ARG(l->name)));
}

/* It serves clients that find a web server there, and harms nobody. */
static void check_nothing(
	struct asking *k UNUSED, const struct dns_line *l UNUSED)
{
}

unsigned dns_check(const struct dns_plan *p, struct resolver *r)
{
	static void (*const checks[])(
		struct asking * k, const struct dns_line *l) = {
		[DNS_TOPIC_MX] = check_mx,
		[DNS_TOPIC_HOST] = check_host,
		[DNS_TOPIC_PTR] = check_ptr,
		[DNS_TOPIC_SPF] = check_spf,
		[DNS_TOPIC_SPF_HELO] = check_spf,
		[DNS_TOPIC_DKIM] = check_dkim,
		[DNS_TOPIC_DMARC] = check_dmarc,
		[DNS_TOPIC_TLSA] = check_tlsa,
		[DNS_TOPIC_TLSRPT] = check_text,
		[DNS_TOPIC_MTA_STS] = check_text,
		[DNS_TOPIC_CAA] = check_record,
		[DNS_TOPIC_SRV] = check_record,
		[DNS_TOPIC_AUTOCONFIG] = check_nothing,
	};
	struct asking k = {.p = p, .r = r, .a = p->a};

	for (size_t i = 0; i < p->n; i++)
		checks[p->lines[i].topic](&k, &p->lines[i]);
	if (p->keys.n == 0)
		wrong(&k, DNS_TOPIC_DKIM,
			arena_printf(k.a, "no keys: postern dkim generate %.*s",
				STR_ARG(p->domain)),
			NULL);
	return k.wrong;
}
