/* SPDX-License-Identifier: ISC */
#include "policy/policy.h"

#include "base/buf.h"
#include "codec/postfix/lines.h"
#include "codec/postfix/value.h"
#include "codec/smtp/path.h"
#include "codec/smtp/reply.h"
#include "conf/service.h"
#include "policy/restrict.h"
#include "policy/verify_sender.h"
#include "sys/clock.h"

struct policy *policy_new(const struct conf *c, struct tables *tables,
	struct resolver *resolver, struct problems *problems)
{
	struct policy *p = arena_make(c->a, struct policy);

	p->c = c;
	p->tables = tables;
	p->resolver = resolver;
#define LIST(name, kind)                                                       \
	match_list_new(tables, c, #name, c->name, kind,                        \
		match_subdomains(c, #name), problems)
	p->mynetworks = LIST(mynetworks, MATCH_ADDRESSES);
	p->mydestination = LIST(mydestination, MATCH_DOMAINS);
	p->relay_domains = LIST(relay_domains, MATCH_DOMAINS);
	p->mx_backup_networks =
		LIST(permit_mx_backup_networks, MATCH_ADDRESSES);
	p->fast_flush_domains = LIST(fast_flush_domains, MATCH_DOMAINS);
	p->virtual_alias_domains = LIST(virtual_alias_domains, MATCH_DOMAINS);
	p->virtual_mailbox_domains =
		LIST(virtual_mailbox_domains, MATCH_DOMAINS);
	p->bare_newline_exclusions =
		LIST(smtpd_forbid_bare_newline_exclusions, MATCH_ADDRESSES);
	p->log_permit = LIST(smtpd_log_access_permit_actions, MATCH_NAMES);
#undef LIST
#define MAPS(name, flags) maps_open(tables, c, #name, c->name, flags, problems)
	p->canonical = MAPS(canonical_maps, 0);
	p->sender_canonical = MAPS(sender_canonical_maps, 0);
	p->recipient_canonical = MAPS(recipient_canonical_maps, 0);
	p->virtual_alias = MAPS(virtual_alias_maps, 0);
	p->virtual_mailbox = MAPS(virtual_mailbox_maps, 0);
	p->transport = MAPS(transport_maps, 0);
	p->sender_relayhost = MAPS(sender_dependent_relayhost_maps, 0);
	p->sender_transport = MAPS(sender_dependent_default_transport_maps, 0);
	p->relay_recipient = MAPS(relay_recipient_maps, 0);
	p->generic = MAPS(smtp_generic_maps, 0);
	p->sender_login = MAPS(smtpd_sender_login_maps, 0);
	p->sasl_password = MAPS(smtp_sasl_password_maps, 0);
	p->tls_policy = MAPS(smtp_tls_policy_maps, 0);
	p->alias = MAPS(alias_maps, MAPS_ALIASES);
	p->mailbox_transport = MAPS(mailbox_transport_maps, 0);
	p->fallback_transport = MAPS(fallback_transport_maps, 0);
	p->rbl_reply = MAPS(rbl_reply_maps, 0);
	p->relay_clientcerts = MAPS(relay_clientcerts, 0);
	p->relocated = MAPS(relocated_maps, 0);
	p->sender_bcc = MAPS(sender_bcc_maps, 0);
	p->recipient_bcc = MAPS(recipient_bcc_maps, 0);
#undef MAPS
	/* $alias_maps inside of it are aliases(5) files too. */
	struct str rest = c->local_recipient_maps, item;
	struct buf open CLEANUP(buf_fini);
	buf_init(&open, 1 << 16);
	while (str_present(item = list_item(&rest)))
		if (str_isearch(c->alias_maps, item) < 0)
			buf_putf(&open, "%.*s ", STR_ARG(item));
	p->local_recipient = maps_open(tables, c, "local_recipient_maps",
		arena_str(c->a, buf_str(&open)), 0, problems);
	characters_parse(c->smtpd_expansion_filter, &p->expansion);
	p->restrictions = restrictions_new(p, problems);
	return p;
}

const char *address_class_name(enum address_class class)
{
	static const char *const names[] = {"local", "virtual alias",
		"virtual mailbox", "relay", "default"};

	return names[class];
}

/* user@[ip] is local when the address is ours. */
static bool own_literal(const struct policy *p, struct str domain)
{
	unsigned char addr[16];
	size_t len;

	return domain.len > 2 && domain.ptr[0] == '[' &&
	       address_parse(domain, addr, &len) &&
	       conf_is_own_address(p->c, addr, len);
}

bool policy_class(const struct policy *p, struct str domain, struct arena *a,
	enum address_class *class_r, struct fault *f)
{
	const struct {
		const struct match_list *list;
		enum address_class class;
	} order[] = {{p->mydestination, CLASS_LOCAL},
		{p->virtual_alias_domains, CLASS_VIRTUAL_ALIAS},
		{p->virtual_mailbox_domains, CLASS_VIRTUAL_MAILBOX},
		{p->relay_domains, CLASS_RELAY}};

	*class_r = CLASS_DEFAULT;
	if (domain.len == 0 || own_literal(p, domain)) {
		*class_r = CLASS_LOCAL;
		return true;
	}
	for (size_t i = 0; i < ARRAY_LEN(order); i++) {
		enum table_result r = match_name(order[i].list, domain, a, f);

		if (r == TABLE_ERROR)
			return false;
		if (r == TABLE_FOUND) {
			*class_r = order[i].class;
			return true;
		}
	}
	return true;
}

struct address_keys policy_keys(
	const struct policy *p, struct str address, struct arena *a)
{
	struct str local, domain;
	struct fault f;
	struct address_keys keys = {.delimiter = p->c->recipient_delimiter};

	smtp_address_split(address, &local, &domain);
	keys.domain_is_ours =
		str_present(domain) &&
		(str_ieq(domain, p->c->myorigin) || own_literal(p, domain) ||
			match_name(p->mydestination, domain, a, &f) ==
				TABLE_FOUND);
	return keys;
}

/* Three users exist everywhere: RFC 5321 4.5.1, RFC 3464 */
static bool always_known(struct str local)
{
	return str_ieqc(local, "postmaster") ||
	       str_ieqc(local, "mailer-daemon") ||
	       str_ieqc(local, "double-bounce");
}

static enum table_result in_maps(const struct policy *p, struct maps *maps,
	struct str address, struct arena *a, struct fault *f)
{
	struct address_keys keys = policy_keys(p, address, a);
	struct str value, ext;

	return maps_lookup_address(maps, address, &keys, a, &value, &ext, f);
}

enum table_result policy_bcc(const struct policy *p, struct maps *maps,
	struct str address, struct arena *a, struct str *bcc_r, struct fault *f)
{
	struct address_keys keys = policy_keys(p, address, a);
	struct str ext;

	if (maps == NULL || address.len == 0)
		return TABLE_NONE;
	return maps_lookup_address(maps, address, &keys, a, bcc_r, &ext, f);
}

enum table_result policy_relocated(const struct policy *p, struct str address,
	struct arena *a, struct str *text_r, struct fault *f)
{
	enum table_result r =
		policy_bcc(p, p->relocated, address, a, text_r, f);
	int class, subject, detail;

	if (r != TABLE_FOUND)
		return r;
	if (p->c->relocated_prefix_enable)
		*text_r = arena_printf(
			a, "5.1.6 User has moved to %.*s", STR_ARG(*text_r));
	else if (!smtp_enhanced_parse(*text_r, &class, &subject, &detail))
		*text_r = arena_concat(a, STR("5.1.6 "), *text_r);
	return r;
}

/* aliases and passwd know local parts only */
static enum table_result local_known(const struct policy *p, struct str address,
	struct str local, struct arena *a, struct fault *f)
{
	struct str user, ext, value;
	struct maps *both[2] = {p->alias, p->local_recipient};

	if (p->c->local_recipient_maps.len == 0)
		return TABLE_FOUND;
	address_extension(local, p->c->recipient_delimiter,
		p->c->owner_request_special, &user, &ext);
	for (size_t i = 0; i < 2; i++) {
		enum table_result r = maps_lookup(both[i], local, a, &value, f);

		if (r == TABLE_NONE)
			r = maps_lookup(both[i], user, a, &value, f);
		if (r != TABLE_NONE)
			return r;
	}
	return in_maps(p, p->local_recipient, address, a, f);
}

static enum table_result known_in_class(const struct policy *p,
	enum address_class class, struct str address, struct str local,
	struct arena *a, const char **table_r, struct fault *f)
{
	switch (class) {
	case CLASS_LOCAL:
		*table_r = "local recipient table";
		return local_known(p, address, local, a, f);
	case CLASS_VIRTUAL_ALIAS:
		*table_r = "virtual alias table";
		return TABLE_NONE;
	case CLASS_VIRTUAL_MAILBOX:
		*table_r = "virtual mailbox table";
		return p->virtual_mailbox == NULL
			       ? TABLE_FOUND
			       : in_maps(p, p->virtual_mailbox, address, a, f);
	case CLASS_RELAY:
		*table_r = "relay recipient table";
		return p->relay_recipient == NULL
			       ? TABLE_FOUND
			       : in_maps(p, p->relay_recipient, address, a, f);
	case CLASS_DEFAULT:
		break;
	}
	return TABLE_FOUND;
}

/* The sender of our probes: mail for it is taken and forgotten, as Postfix
 * does, for those who ask back. */
static bool is_double_bounce(
	const struct policy *p, struct str local, struct str domain)
{
	return verify_sender_is(
		p->c, p->c->double_bounce_sender, local, domain, clock_unix());
}

bool policy_recipient_known(const struct policy *p, struct str address,
	struct arena *a, bool *known_r, enum address_class *class_r,
	const char **table_r, struct fault *f)
{
	struct maps *rewriting[] = {
		p->recipient_canonical, p->canonical, p->virtual_alias};
	struct str local, domain;

	*known_r = true;
	smtp_address_split(address, &local, &domain);
	if (!policy_class(p, domain, a, class_r, f))
		return false;
	if ((*class_r == CLASS_LOCAL && always_known(local)) ||
		is_double_bounce(p, local, domain))
		return true;
	for (size_t i = 0; i < ARRAY_LEN(rewriting); i++) {
		enum table_result r = in_maps(p, rewriting[i], address, a, f);

		if (r != TABLE_NONE)
			return r == TABLE_FOUND;
	}
	enum table_result r =
		known_in_class(p, *class_r, address, local, a, table_r, f);
	/* Every domain of ours has a postmaster; who is seen at delivery. */
	if (r == TABLE_NONE && str_ieqc(local, "postmaster"))
		r = TABLE_FOUND;
	*known_r = r == TABLE_FOUND;
	return r != TABLE_ERROR;
}

/* ---- routing ---- */

static void set_route(struct route *route, struct str spec, struct str domain)
{
	struct str rest = spec;
	struct str transport = str_cut(&rest, ':');

	if (transport.len > 0)
		route->transport = transport;
	route->nexthop = rest.len > 0 ? rest : domain;
}

bool policy_defers(const struct policy *p, struct str transport)
{
	struct str rest = p->c->defer_transports, item;

	while (str_present(item = list_item(&rest)))
		if (str_eq(item, transport) ||
			(str_eqc(item, "virtual") &&
				str_eqc(transport, "store")))
			return true;
	return false;
}

struct route policy_filter_route(const struct policy *p, struct str spec)
{
	struct route route = {.class = CLASS_DEFAULT, .transport = STR("smtp")};

	set_route(&route, spec,
		p->c->default_filter_nexthop.len > 0
			? p->c->default_filter_nexthop
			: p->c->myhostname);
	return route;
}

/* transport(5): user+ext@dom, user@dom, dom, .parent, *  */
static enum table_result lookup_transport(const struct policy *p,
	struct str address, struct str domain, struct arena *a,
	struct str *value_r, struct fault *f)
{
	struct address_keys keys = {
		.delimiter = p->c->recipient_delimiter, .user_at = true};
	struct str ext;
	enum table_result r = maps_lookup_address(
		p->transport, address, &keys, a, value_r, &ext, f);

	if (r == TABLE_NONE)
		r = maps_lookup(p->transport, domain, a, value_r, f);
	for (struct str d = domain; r == TABLE_NONE && str_find(d, '.') >= 0;) {
		ptrdiff_t dot = str_find(str_from_at(d, 1), '.');

		if (dot < 0)
			break;
		d = str_from_at(d, (size_t)dot + 1);
		r = maps_lookup(p->transport, d, a, value_r, f);
	}
	if (r == TABLE_NONE)
		r = maps_lookup(p->transport, STR("*"), a, value_r, f);
	return r;
}

/* A setting that a table may replace by sender; DUNNO: it stays. */
static bool by_sender(const struct policy *p, struct maps *maps,
	struct str sender, struct str empty, struct arena *a,
	struct str *setting, struct fault *f)
{
	struct address_keys keys = policy_keys(p, sender, a);
	struct str value, ext;

	if (maps == NULL)
		return true;
	enum table_result r = maps_lookup_address(maps,
		sender.len > 0 ? sender : empty, &keys, a, &value, &ext, f);
	if (r == TABLE_FOUND && !str_ieqc(value, "DUNNO"))
		*setting = value;
	return r != TABLE_ERROR;
}

/* The table's parameter and its word, for the log. */
static struct str said_by(const char *param, struct str value, struct arena *a)
{
	return arena_printf(a, "%s %.*s", param, STR_ARG(value));
}

/* relayhost, by sender first; only for mail that leaves. */
static bool choose_relayhost(const struct policy *p, struct str sender,
	struct arena *a, struct str *hosts_r, struct str *by_r, struct fault *f)
{
	struct str own = p->c->relayhost;

	*hosts_r = own;
	if (!by_sender(p, p->sender_relayhost, sender,
		    p->c->empty_address_relayhost_maps_lookup_key, a, hosts_r,
		    f))
		return false;
	if (hosts_r->ptr != own.ptr)
		*by_r = said_by("sender_dependent_relayhost_maps", *hosts_r, a);
	else if (own.len > 0)
		*by_r = STR("relayhost");
	return true;
}

static bool route_default(const struct policy *p, struct str sender,
	struct str domain, struct arena *a, struct route *route,
	struct fault *f)
{
	struct str relayhosts, spec = p->c->default_transport;

	route->by = STR("default_transport");
	if (!choose_relayhost(p, sender, a, &relayhosts, &route->by, f) ||
		!by_sender(p, p->sender_transport, sender,
			p->c->empty_address_default_transport_maps_lookup_key,
			a, &spec, f))
		return false;
	if (spec.ptr != p->c->default_transport.ptr)
		route->by = said_by(
			"sender_dependent_default_transport_maps", spec, a);
	set_route(route, spec, relayhosts.len > 0 ? relayhosts : domain);
	return true;
}

bool policy_route(const struct policy *p, struct str sender,
	struct str recipient, struct arena *a, struct route *route_r,
	struct fault *f)
{
	struct route route = {.transport = STR("smtp")};
	struct str local, domain, value;

	smtp_address_split(recipient, &local, &domain);
	if (!policy_class(p, domain, a, &route.class, f))
		return false;
	if (route.class != CLASS_DEFAULT &&
		is_double_bounce(p, local, domain)) {
		route.transport = STR("discard");
		route.nexthop = STR("");
		route.by = STR("double_bounce_sender");
		*route_r = route;
		return true;
	}
	switch (route.class) {
	case CLASS_LOCAL:
		set_route(&route, p->c->local_transport, domain);
		route.by = STR("local_transport");
		break;
	case CLASS_VIRTUAL_ALIAS:
		route.transport = STR("error");
		route.nexthop =
			STR("5.1.1 User unknown in virtual alias table");
		route.by = STR("virtual_alias_domains");
		break;
	case CLASS_VIRTUAL_MAILBOX:
		set_route(&route, p->c->virtual_transport, domain);
		route.by = STR("virtual_transport");
		break;
	case CLASS_RELAY: {
		struct str relayhosts;

		route.by = STR("relay_transport");
		if (!choose_relayhost(p, sender, a, &relayhosts, &route.by, f))
			return false;
		set_route(&route, p->c->relay_transport,
			relayhosts.len > 0 ? relayhosts : domain);
		break;
	}
	case CLASS_DEFAULT:
		if (!route_default(p, sender, domain, a, &route, f))
			return false;
		break;
	}
	if (p->transport != NULL) {
		enum table_result r =
			lookup_transport(p, recipient, domain, a, &value, f);

		if (r == TABLE_ERROR)
			return false;
		if (r == TABLE_FOUND) {
			set_route(&route, value, domain);
			route.by = said_by("transport_maps", value, a);
		}
	}
	struct str where;
	enum table_result moved = policy_relocated(p, recipient, a, &where, f);
	if (moved == TABLE_ERROR)
		return false;
	if (moved == TABLE_FOUND) {
		route.transport = STR("error");
		route.nexthop = where;
		route.by = said_by("relocated_maps", where, a);
	}
	*route_r = route;
	return true;
}

bool policy_login_owns(const struct policy *p, struct str login,
	struct str sender, struct arena *a, bool *owns_r, bool *owned_r,
	struct fault *f)
{
	struct address_keys keys = policy_keys(p, sender, a);
	struct str value = STR_NONE, ext, item;
	struct str local, domain, user, dropped;

	*owns_r = *owned_r = false;
	enum table_result r = maps_lookup_address(
		p->sender_login, sender, &keys, a, &value, &ext, f);
	if (r == TABLE_ERROR)
		return false;
	if (r == TABLE_FOUND) {
		*owned_r = true;
		while (str_present(item = list_item(&value)))
			*owns_r |= str_ieq(item, login);
		return true;
	}
	/* An account owns its address, with any extension. */
	smtp_address_split(sender, &local, &domain);
	address_extension(local, p->c->recipient_delimiter,
		p->c->owner_request_special, &user, &dropped);
	struct str plain =
		arena_printf(a, "%.*s@%.*s", STR_ARG(user), STR_ARG(domain));
	*owns_r = str_ieq(login, sender) || str_ieq(login, plain);
	r = maps_lookup(p->virtual_mailbox, plain, a, &value, f);
	*owned_r = *owns_r || r == TABLE_FOUND;
	return r != TABLE_ERROR;
}
