/* SPDX-License-Identifier: ISC */
#include "net/resolver.h"

#include <stdlib.h>
#include <string.h>
#include <unbound.h>

#include "base/buf.h"
#include "base/must.h"
#include "codec/dns/rdata.h"
#include "codec/postfix/lines.h"
#include "codec/postfix/value.h"
#include "net/answers.h"
#include "net/dns_filter.h"
#include "sys/clock.h"
#include "sys/waiting.h"

enum {
	TYPE_A = 1,
	TYPE_NS = 2,
	TYPE_PTR = 12,
	TYPE_MX = 15,
	TYPE_SRV = 33,
	TYPE_TXT = 16,
	TYPE_AAAA = 28,
	TYPE_TLSA = 52,
};
enum { RECORDS_MAX = 200 };

struct resolver {
	struct ub_ctx *ctx;
	struct answers *answers;
	int64_t until_ms; /* of resolver_until; 0: no end */
	struct maps *filter; /* of resolver_filtered; NULL: none */
};

/* "[addr]:port" or "addr" to unbound's "addr@port" */
static bool add_server(struct resolver *r, struct str item, struct fault *f)
{
	char text[128];
	struct str host = item, port = STR("53");
	unsigned char addr[16];
	size_t len;
	ptrdiff_t close = str_find(item, ']');
	ptrdiff_t colon = str_rfind(item, ':');

	if (close >= 0 && colon == close + 1) {
		host = str_sub(item, 0, (size_t)close + 1);
		port = str_from_at(item, (size_t)colon + 1);
	} else if (close < 0 && colon >= 0 && str_find(item, ':') == colon) {
		host = str_sub(item, 0, (size_t)colon);
		port = str_from_at(item, (size_t)colon + 1);
	}
	if (host.len >= 2 && host.ptr[0] == '[')
		host = str_sub(host, 1, host.len - 2);
	uint64_t n;
	if (!address_parse(host, addr, &len) || !str_u64(port, &n) || n > 65535)
		return fault_set(f, FAULT_PERM, 0, 3, 5,
			"dns_resolvers: %.*s is no [address]:port",
			STR_ARG(item));
	struct buf b CLEANUP(buf_fini);
	buf_init(&b, sizeof(text));
	buf_putf(&b, "%.*s@%.*s", STR_ARG(host), STR_ARG(port));
	buf_putc(&b, '\0');
	int error = ub_ctx_set_fwd(r->ctx, b.data);
	if (error != 0)
		return fault_set(f, FAULT_PERM, 0, 3, 5, "dns_resolvers: %s",
			ub_strerror(error));
	return true;
}

static void set_option(struct resolver *r, const char *name, const char *value)
{
	/* An option that this libunbound does not know keeps its default. */
	int error = ub_ctx_set_option(r->ctx, name, value);

	(void)error;
}

/*
 * libunbound answers for some names itself (RFC 6303, RFC 6761).  Servers that
 * the administrator named know better: private networks and test zones.
 */
static void ask_servers_for_all(struct resolver *r)
{
	static const char *const zones[] = {
		"test.", "home.arpa.", "127.in-addr.arpa."};

	set_option(r, "unblock-lan-zones:", "yes");
	set_option(r, "insecure-lan-zones:", "yes");
	for (size_t i = 0; i < ARRAY_LEN(zones); i++)
		ub_ctx_zone_add(r->ctx, zones[i], "transparent");
}

static bool add_anchors(struct resolver *r, struct str file, struct fault *f)
{
	if (file.len == 0)
		return true;
	char *path = str_heap(file);
	int error = ub_ctx_add_ta_file(r->ctx, path);

	free(path);
	return error == 0 ||
	       fault_set(f, FAULT_PERM, 0, 3, 5, "dns_trust_anchor_file: %s",
		       ub_strerror(error));
}

struct resolver *resolver_new(const struct resolver_options *o, struct fault *f)
{
	struct resolver *r = must_alloc(sizeof(*r));
	struct str rest = o->servers, item;
	bool ok = true;

	r->answers = answers_new();
	r->ctx = ub_ctx_create();
	must(r->ctx != NULL);
	set_option(r, "do-not-query-localhost:", "no");
	set_option(r, "msg-cache-size:", "4m");
	set_option(r, "rrset-cache-size:", "8m");
	set_option(r, "use-syslog:", "no");
	/* A session waits for the answer: a server that is silent must be
	 * given up in seconds, and asked again as soon as it may be back. */
	set_option(r, "outbound-msg-retry:", "3");
	set_option(r, "infra-cache-max-rtt:", "3000");
	set_option(r, "infra-keep-probing:", "yes");
	ub_ctx_debuglevel(r->ctx, 0);
	if (o->servers.len == 0)
		ub_ctx_resolvconf(r->ctx, NULL);
	while (ok && str_present(item = list_item(&rest)))
		ok = add_server(r, item, f);
	/* Before the zones: they end the time of settings. */
	ok = ok && add_anchors(r, o->trust_anchor_file, f);
	ub_ctx_hosts(r->ctx, NULL);
	if (o->servers.len > 0)
		ask_servers_for_all(r);
	if (ok)
		return r;
	resolver_free(r);
	return NULL;
}

void resolver_free(struct resolver *r)
{
	if (r == NULL)
		return;
	ub_ctx_delete(r->ctx);
	answers_free(r->answers);
	free(r);
}

struct resolver *resolver_until(
	const struct resolver *r, int64_t mono_ms, struct arena *a)
{
	struct resolver *view = arena_make(a, struct resolver);

	*view = *r;
	view->until_ms = mono_ms;
	return view;
}

struct resolver *resolver_filtered(
	struct resolver *r, struct maps *filter, struct arena *a)
{
	if (r == NULL || filter == NULL)
		return r;
	struct resolver *view = arena_make(a, struct resolver);
	*view = *r;
	view->filter = filter;
	return view;
}

static void free_result(struct ub_result **r)
{
	ub_resolve_free(*r);
}

static struct dns_answer answer_of(
	const struct ub_result *result, enum dns_result kind, struct arena *a)
{
	struct dns_answer answer = {
		.kind = kind, .secure = result->secure != 0};
	struct str canonical = str_from(result->canonname);

	if (str_present(canonical))
		answer.canonical = arena_str(a, canonical);
	for (int i = 0;
		kind == DNS_OK && result->data[i] != NULL && i < RECORDS_MAX;
		i++)
		strs_add(&answer.data, a,
			arena_str(a, str_of(result->data[i],
					     (size_t)result->len[i])));
	return answer;
}

static enum dns_result failed(
	struct fault *f, struct str name, const char *why, const char *detail)
{
	fault_set(f, FAULT_TEMP, 451, 4, 3, "DNS: %.*s: %s%s", STR_ARG(name),
		why, detail);
	return DNS_TEMP;
}

static enum dns_result ask_unbound(struct resolver *r, struct str name,
	const char *text, int type, struct arena *a,
	struct dns_answer *answer_r, struct fault *f)
{
	struct ub_result *result CLEANUP(free_result) = NULL;
	waiting_begin();
	int error = ub_resolve(r->ctx, text, type, 1, &result);
	waiting_end();

	if (error != 0)
		return failed(f, name, ub_strerror(error), "");
	if (result->bogus)
		return failed(f, name, "DNSSEC validation failed: ",
			result->why_bogus != NULL ? result->why_bogus : "");
	if (!result->nxdomain && !result->havedata && result->rcode != 0)
		return failed(f, name, "the server failed", "");
	*answer_r = answer_of(result,
		result->nxdomain   ? DNS_NXDOMAIN
		: result->havedata ? DNS_OK
				   : DNS_NONE,
		a);
	answers_put(r->answers, str_from(text), type, answer_r, result->ttl);
	return answer_r->kind;
}

static enum dns_result ask_all(struct resolver *r, struct str name, int type,
	struct arena *a, struct dns_answer *answer_r, struct fault *f)
{
	struct str text = resolver_ascii(name, a);

	*answer_r = (struct dns_answer){0};
	if (!str_present(text) || name.len == 0 || name.len > 1000 ||
		str_find(name, '\0') >= 0)
		return DNS_NXDOMAIN;
	if (answers_get(r->answers, text, type, a, answer_r))
		return answer_r->kind;
	if (r->until_ms > 0 && clock_mono_ms() > r->until_ms)
		return failed(f, name, "out of time", "");
	return ask_unbound(r, name, text.ptr, type, a, answer_r, f);
}

static enum dns_result ask(struct resolver *r, struct str name, int type,
	struct arena *a, struct dns_answer *answer_r, struct fault *f)
{
	enum dns_result d = ask_all(r, name, type, a, answer_r, f);

	return d == DNS_OK && r->filter != NULL
		       ? dns_filter(
				 r->filter, name, type, a, &answer_r->data, f)
		       : d;
}

static void add_addr(struct resolver_addrs *addrs, struct arena *a,
	const unsigned char *bytes, size_t len)
{
	struct resolver_addr *v = arena_alloc(a, (addrs->n + 1) * sizeof(*v));

	if (addrs->n > 0)
		memcpy(v, addrs->v, addrs->n * sizeof(*v));
	memcpy(v[addrs->n].bytes, bytes, len);
	v[addrs->n].len = len;
	addrs->v = v;
	addrs->n++;
}

static enum dns_result host_type(struct resolver *r, struct str name, int type,
	struct arena *a, struct resolver_addrs *addrs, struct fault *f)
{
	struct dns_answer answer;
	enum dns_result d = ask(r, name, type, a, &answer, f);
	size_t want = type == TYPE_A ? 4 : 16;
	size_t before = addrs->n;

	if (d != DNS_OK)
		return d;
	addrs->insecure |= !answer.secure;
	struct str canonical = answer.canonical;
	if (str_ends(canonical, "."))
		canonical.len--;
	if (canonical.len > 0 && !str_ieq(canonical, name))
		addrs->canonical = arena_str(a, canonical);
	for (size_t i = 0; i < answer.data.n; i++)
		if (answer.data.v[i].len == want)
			add_addr(addrs, a,
				(const unsigned char *)answer.data.v[i].ptr,
				want);
	return addrs->n > before ? DNS_OK : DNS_NONE;
}

enum dns_result resolver_host(struct resolver *r, struct str name,
	unsigned families, struct arena *a, struct resolver_addrs *addrs,
	struct fault *f)
{
	unsigned char bytes[16];
	size_t len;
	enum dns_result four = DNS_NONE, six = DNS_NONE;

	if (address_parse(name, bytes, &len)) {
		add_addr(addrs, a, bytes, len);
		addrs->insecure = true;
		return DNS_OK;
	}
	if ((families & RESOLVER_V6) != 0)
		six = host_type(r, name, TYPE_AAAA, a, addrs, f);
	if ((families & RESOLVER_V4) != 0)
		four = host_type(r, name, TYPE_A, a, addrs, f);
	if (six == DNS_OK || four == DNS_OK)
		return DNS_OK;
	if (six == DNS_TEMP || four == DNS_TEMP)
		return DNS_TEMP;
	return four == DNS_NXDOMAIN || six == DNS_NXDOMAIN ? DNS_NXDOMAIN
							   : DNS_NONE;
}

static int by_preference(const void *x, const void *y)
{
	const struct resolver_mx *a = x;
	const struct resolver_mx *b = y;

	return (int)a->preference - (int)b->preference;
}

enum dns_result resolver_mx(struct resolver *r, struct str domain,
	struct arena *a, struct resolver_mx **list_r, size_t *n_r,
	struct fault *f)
{
	struct dns_answer answer;
	enum dns_result d = ask(r, domain, TYPE_MX, a, &answer, f);
	struct resolver_mx *list = arena_alloc(a, RECORDS_MAX * sizeof(*list));
	size_t n = 0;

	if (d != DNS_OK)
		return d;
	for (size_t i = 0; i < answer.data.n; i++) {
		struct dns_mx mx;

		if (dns_mx_parse(answer.data.v[i], a, &mx))
			list[n++] = (struct resolver_mx){
				mx.preference, mx.host, answer.secure};
	}
	if (n == 0) {
		fault_set(f, FAULT_TEMP, 451, 4, 3,
			"DNS: %.*s: no usable MX record", STR_ARG(domain));
		return DNS_TEMP;
	}
	qsort(list, n, sizeof(*list), by_preference);
	*list_r = list;
	*n_r = n;
	return DNS_OK;
}

static int by_priority(const void *x, const void *y)
{
	const struct resolver_srv *a = x;
	const struct resolver_srv *b = y;

	return (int)a->srv.priority - (int)b->srv.priority;
}

/* RFC 2782, "Weight": of equal priority each in its turn is drawn, the heavier
 * the likelier; who weighs nothing has a small chance too. */
static void draw(struct resolver_srv *v, size_t n)
{
	for (; n > 1; v++, n--) {
		uint64_t total = 0, at;
		size_t i = 0;

		for (size_t k = 0; k < n; k++)
			total += v[k].srv.weight * 100 + 1;
		at = random_u64() % total;
		while (at >= v[i].srv.weight * 100 + 1)
			at -= v[i++].srv.weight * 100 + 1;
		struct resolver_srv t = v[0];
		v[0] = v[i];
		v[i] = t;
	}
}

enum dns_result resolver_srv(struct resolver *r, struct str name,
	struct arena *a, struct resolver_srv **list_r, size_t *n_r,
	struct fault *f)
{
	struct dns_answer answer;
	enum dns_result d = ask(r, name, TYPE_SRV, a, &answer, f);
	struct resolver_srv *v = arena_alloc(a, RECORDS_MAX * sizeof(*v));
	size_t n = 0;

	if (d != DNS_OK)
		return d;
	for (size_t i = 0; i < answer.data.n; i++) {
		v[n].secure = answer.secure;
		n += dns_srv_parse(answer.data.v[i], a, &v[n].srv);
	}
	qsort(v, n, sizeof(*v), by_priority);
	for (size_t i = 0, end; i < n; i = end) {
		for (end = i + 1;
			end < n && v[end].srv.priority == v[i].srv.priority;)
			end++;
		draw(v + i, end - i);
	}
	*list_r = v;
	*n_r = n;
	return n > 0 ? DNS_OK : DNS_NONE;
}

/* Names out of the answers of one question. */
static enum dns_result names(struct resolver *r, struct str name, int type,
	struct arena *a, struct strs *names_r, struct fault *f)
{
	struct dns_answer answer;
	enum dns_result d = ask(r, name, type, a, &answer, f);

	if (d != DNS_OK)
		return d;
	for (size_t i = 0; i < answer.data.n; i++) {
		struct str rdata = answer.data.v[i];
		struct str one;

		if (dns_name_parse(&rdata, a, &one))
			strs_add(names_r, a, one);
	}
	return names_r->n > 0 ? DNS_OK : DNS_NONE;
}

enum dns_result resolver_ptrs(struct resolver *r, const unsigned char *addr,
	size_t len, struct arena *a, struct strs *names_r, struct fault *f)
{
	return names(r,
		dns_reverse_name(addr, len, "in-addr.arpa", "ip6.arpa", a),
		TYPE_PTR, a, names_r, f);
}

enum dns_result resolver_ptr(struct resolver *r, const unsigned char *addr,
	size_t len, struct arena *a, struct str *name_r, struct fault *f)
{
	struct strs all = {0};
	enum dns_result d = resolver_ptrs(r, addr, len, a, &all, f);

	if (d == DNS_OK)
		*name_r = all.v[0];
	return d;
}

enum dns_result resolver_ns(struct resolver *r, struct str domain,
	struct arena *a, struct strs *hosts, struct fault *f)
{
	return names(r, domain, TYPE_NS, a, hosts, f);
}

enum dns_result resolver_txt(struct resolver *r, struct str name,
	struct arena *a, struct strs *texts, struct fault *f)
{
	struct dns_answer answer;
	enum dns_result d = ask(r, name, TYPE_TXT, a, &answer, f);

	if (d != DNS_OK)
		return d;
	for (size_t i = 0; i < answer.data.n; i++) {
		struct str text;

		if (dns_txt_parse(answer.data.v[i], a, &text))
			strs_add(texts, a, text);
	}
	return DNS_OK;
}

enum dns_result resolver_records(struct resolver *r, struct str name, int type,
	struct arena *a, struct strs *rdata, struct fault *f)
{
	struct dns_answer answer;
	enum dns_result d = ask(r, name, type, a, &answer, f);

	for (size_t i = 0; i < answer.data.n; i++)
		strs_add(rdata, a, answer.data.v[i]);
	return d;
}

enum dns_result resolver_tlsa(struct resolver *r, struct str name,
	struct arena *a, struct dns_tlsa **list_r, size_t *n_r, struct fault *f)
{
	struct dns_answer answer;
	enum dns_result d = ask(r, name, TYPE_TLSA, a, &answer, f);
	struct dns_tlsa *list = arena_alloc(a, RECORDS_MAX * sizeof(*list));
	size_t n = 0;

	*n_r = 0;
	if (d != DNS_OK)
		return d;
	if (!answer.secure)
		return DNS_NONE;
	for (size_t i = 0; i < answer.data.n; i++)
		if (dns_tlsa_parse(answer.data.v[i], &list[n]))
			n++;
	*list_r = list;
	*n_r = n;
	return n > 0 ? DNS_OK : DNS_NONE;
}
