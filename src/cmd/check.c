/* SPDX-License-Identifier: ISC */
/*
 * postern check: everything that can be found wrong before the start.  A
 * silent mistake in a mail server is an open relay or lost mail.
 */
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/buf.h"
#include "cmd/check_aliases.h"
#include "cmd/check_authentication.h"
#include "cmd/check_mailboxes.h"
#include "cmd/check_parameters.h"
#include "cmd/check_programs.h"
#include "cmd/check_screen.h"
#include "cmd/check_tls.h"
#include "cmd/check_transports.h"
#include "cmd/check_words.h"
#include "cmd/cmd.h"
#include "codec/postfix/lines.h"
#include "codec/postfix/value.h"
#include "conf/bounce_texts.h"
#include "conf/service_addrs.h"
#include "net/endpoint.h"
#include "net/milter_def.h"
#include "net/resolver.h"
#include "net/tls.h"
#include "policy/content.h"
#include "policy/restrict.h"

struct checker {
	struct conf *c;
	struct services *services;
	struct tables *tables;
	struct problems *p;
};

static void say(struct checker *x, const struct conf *c,
	enum problem_level level, const char *param, const char *what,
	const char *write)
{
	conf_problem(c, x->p, level, param, str_from(what), str_from(write));
}

/* ---- identity ---- */

static void check_identity(struct checker *x)
{
	const struct conf *c = x->c;
	struct str item, rest = c->inet_protocols;

	if (conf_entry(c, STR("compatibility_level")) == NULL)
		say(x, c, PROBLEM_WARNING, "compatibility_level",
			"compatibility_level is missing: the newest defaults "
			"are in force",
			"write compatibility_level = 3.11");
	if (!hostname_valid(c->myhostname))
		say(x, c, PROBLEM_ERROR, "myhostname",
			"myhostname is no host name",
			"write the full name of this machine: "
			"mail.example.org");
	else if (str_find(c->myhostname, '.') < 0)
		say(x, c, PROBLEM_WARNING, "myhostname",
			"myhostname has no dot: other servers will refuse it",
			"write the full name of this machine");
	while (str_present(item = list_item(&rest)))
		if (!str_eqc(item, "ipv4") && !str_eqc(item, "ipv6") &&
			!str_eqc(item, "all"))
			say(x, c, PROBLEM_ERROR, "inet_protocols",
				"inet_protocols: unknown protocol",
				"write ipv4, ipv6 or all");
	if (c->relayhost.len > 0 && str_ieq(c->relayhost, c->myhostname))
		say(x, c, PROBLEM_ERROR, "relayhost",
			"relayhost is this machine: mail would loop",
			"name another server, or leave it empty");
	if (c->smtpd_banner.len == 0)
		say(x, c, PROBLEM_ERROR, "smtpd_banner",
			"smtpd_banner is empty", "write $myhostname ESMTP");
	if (geteuid() == 0 && getpwnam(arena_cstr(c->a, c->mail_owner)) == NULL)
		say(x, c, PROBLEM_WARNING, "mail_owner",
			"mail_owner: there is no such account; the roles keep "
			"uid 0 without any power",
			"useradd --system --no-create-home postern");
}

/* Mail that local(8) hands to itself comes back for ever. */
static void check_local(struct checker *x)
{
	const struct conf *c = x->c;
	const struct {
		const char *name;
		struct str value;
	} specs[] = {{"mailbox_transport", c->mailbox_transport},
		{"fallback_transport", c->fallback_transport}};

	for (size_t i = 0; i < ARRAY_LEN(specs); i++) {
		struct str rest = specs[i].value;

		if (str_eqc(str_cut(&rest, ':'), "local"))
			conf_problem(c, x->p, PROBLEM_ERROR, specs[i].name,
				arena_printf(c->a,
					"%s: local hands the mail "
					"to itself",
					specs[i].name),
				STR("write virtual for the built-in store, or "
				    "for example lmtp:unix:/run/lmtp"));
	}
}

static void check_values(struct checker *x)
{
	const struct conf *c = x->c;
	struct sock_addr addr;

	if (c->mailbox_size_limit > 0 &&
		(c->message_size_limit == 0 ||
			c->mailbox_size_limit < c->message_size_limit))
		say(x, c, PROBLEM_ERROR, "mailbox_size_limit",
			"mailbox_size_limit is smaller than message_size_limit",
			"make it larger, or 0 for no limit");
	if (c->smtp_bind_address.len > 0 &&
		!sock_addr_parse(c->smtp_bind_address, 0, &addr))
		say(x, c, PROBLEM_ERROR, "smtp_bind_address",
			"smtp_bind_address is no address",
			"write a numeric IPv4 address");
	if (c->qmgr_message_active_limit < 1)
		say(x, c, PROBLEM_ERROR, "qmgr_message_active_limit",
			"qmgr_message_active_limit: without any active message "
			"nothing is delivered",
			"write 20000, or at least 1");
	if (c->smtp_unanswered_limit < 1)
		say(x, c, PROBLEM_ERROR, "smtp_unanswered_limit",
			"smtp_unanswered_limit: no new server would ever be "
			"tried",
			"write 1000, or at least 1");
	if (service_port(c->smtp_tcp_port) == 0)
		say(x, c, PROBLEM_ERROR, "smtp_tcp_port",
			"smtp_tcp_port: unknown port",
			"write smtp or a number");
	if (!str_eqc(c->maillog_format, "text") &&
		!str_eqc(c->maillog_format, "json"))
		say(x, c, PROBLEM_ERROR, "maillog_format",
			"maillog_format: unknown format", "write text or json");
	if (c->home_mailbox.len > 0 && c->home_mailbox.ptr[0] == '/')
		conf_problem(c, x->p, PROBLEM_WARNING, "home_mailbox",
			arena_printf(c->a,
				"home_mailbox = %.*s is relative to each "
				"user's home: bob -> /home/bob%.*s (%s)",
				STR_ARG(c->home_mailbox),
				STR_ARG(c->home_mailbox),
				str_ends(c->home_mailbox, "/") ? "Maildir"
							       : "mbox"),
			STR("write Maildir/, or mail_spool_directory for one "
			    "place for all"));
}

/* maillog_file has to lie where the administrator said logs may lie. */
static void check_log(struct checker *x)
{
	const struct conf *c = x->c;
	struct str rest = c->maillog_file_prefixes, item;
	struct str own[] = {c->queue_directory, c->data_directory, c->dir};
	bool ok = c->maillog_file.len == 0;

	while (str_present(item = list_item(&rest)))
		ok |= str_starts(c->maillog_file, arena_cstr(c->a, item));
	for (size_t i = 0; i < ARRAY_LEN(own); i++)
		ok |= str_starts(c->maillog_file, arena_cstr(c->a, own[i]));
	if (!ok)
		say(x, c, PROBLEM_ERROR, "maillog_file",
			"maillog_file lies outside of maillog_file_prefixes",
			"add its directory to maillog_file_prefixes");
}

/* ---- relaying ---- */

static void check_networks(
	struct checker *x, const struct conf *c, const struct policy *p)
{
	unsigned four = match_widest(p->mynetworks, 4);
	unsigned six = match_widest(p->mynetworks, 16);
	bool said_twice = c->postern_allow_open_relay;

	if ((four == 0 || six == 0) && !said_twice)
		say(x, c, PROBLEM_ERROR, "mynetworks",
			"mynetworks covers the whole Internet: an open relay",
			"name your own networks (or, if you mean it, "
			"postern_allow_open_relay = yes)");
	else if (four < 8 || six < 32)
		say(x, c, PROBLEM_WARNING, "mynetworks",
			"mynetworks is very wide: everybody in it may relay",
			"name your own networks");
}

static void check_relay(
	struct checker *x, const struct conf *c, const struct policy *p)
{
	if (!restrictions_relay_open(p) || c->postern_allow_open_relay)
		return;
	say(x, c, PROBLEM_ERROR,
		conf_entry(c, STR("smtpd_relay_restrictions")) != NULL
			? "smtpd_relay_restrictions"
			: "smtpd_recipient_restrictions",
		"nothing keeps strangers from relaying: an open relay",
		"put reject_unauth_destination into smtpd_relay_restrictions");
}

/* A domain in two classes: the first wins and the other is dead. */
static void check_classes(struct checker *x, const struct policy *p)
{
	const struct {
		const char *param;
		const struct match_list *list;
	} classes[] = {{"mydestination", p->mydestination},
		{"virtual_alias_domains", p->virtual_alias_domains},
		{"virtual_mailbox_domains", p->virtual_mailbox_domains},
		{"relay_domains", p->relay_domains}};
	struct arena *a = x->c->a;
	struct str word;
	struct fault f;

	for (size_t i = 0; i < ARRAY_LEN(classes); i++)
		for (size_t k = 0; match_word(classes[i].list, k, &word); k++)
			for (size_t j = i + 1; j < ARRAY_LEN(classes); j++) {
				if (word.len == 0 || word.ptr[0] == '.' ||
					match_name(classes[j].list, word, a,
						&f) != TABLE_FOUND)
					continue;
				conf_problem(x->c, x->p, PROBLEM_WARNING,
					classes[j].param,
					arena_printf(a,
						"%.*s is in %s and in %s: the "
						"first one wins",
						STR_ARG(word), classes[i].param,
						classes[j].param),
					STR("take it out of one"));
			}
}

/* ---- TLS and AUTH ---- */

static struct str chain_of(const struct conf *c, enum service_kind kind)
{
	struct str own = kind == SERVICE_IMAPD   ? c->imapd_tls_chain_files
			 : kind == SERVICE_POP3D ? c->pop3d_tls_chain_files
						 : STR("");

	return own.len > 0 ? own : c->smtpd_tls_chain_files;
}

/* smtpd_proxy_filter, footers, and who may have us as a backup. */
static void check_smtpd_extras(struct checker *x, const struct conf *c)
{
	const struct str lists[] = {
		c->smtpd_relay_restrictions, c->smtpd_recipient_restrictions};
	struct endpoint e;
	struct fault f;

	content_checks_milter(c, x->tables, x->p);
	maps_open(x->tables, c, "smtpd_reject_footer_maps",
		c->smtpd_reject_footer_maps, 0, x->p);
	maps_open(x->tables, c, "smtpd_reject_filter_maps",
		c->smtpd_reject_filter_maps, 0, x->p);
	match_list_new(x->tables, c, "smtpd_account_limit_exceptions",
		c->smtpd_account_limit_exceptions, MATCH_NAMES, false, x->p);
	if (c->smtpd_proxy_filter.len > 0 &&
		!endpoint_parse(c->smtpd_proxy_filter, c->queue_directory, c->a,
			&e, &f))
		conf_problem(c, x->p, PROBLEM_ERROR, "smtpd_proxy_filter",
			arena_printf(c->a, "smtpd_proxy_filter: %s", f.text),
			STR_NONE);
	for (size_t i = 0; i < ARRAY_LEN(lists); i++)
		if (conf_option_has(lists[i], "permit_mx_backup") &&
			c->permit_mx_backup_networks.len == 0)
			conf_problem(c, x->p, PROBLEM_WARNING,
				"permit_mx_backup_networks",
				STR("permit_mx_backup: whoever names us in "
				    "his MX records may relay"),
				STR("set permit_mx_backup_networks"));
}

static void check_service(struct checker *x, const struct service *s)
{
	const struct conf *c = s->conf;
	static const char *const params_of[] = {"smtpd_tls_chain_files",
		"imapd_tls_chain_files", "pop3d_tls_chain_files"};
	bool cert = check_certificate(
		c, params_of[s->kind], chain_of(c, s->kind), x->p);
	bool wrapped = s->kind == SERVICE_SMTPD   ? c->smtpd_tls_wrappermode
		       : s->kind == SERVICE_IMAPD ? c->imapd_tls_wrappermode
						  : c->pop3d_tls_wrappermode;
	bool smtpd = s->kind == SERVICE_SMTPD;
	struct arena *a = x->c->a;

	if (!cert && (wrapped || (smtpd && str_eqc(c->smtpd_tls_security_level,
						   "encrypt"))))
		problem_add(x->p, PROBLEM_ERROR, x->services->master_cf,
			s->line,
			arena_printf(a,
				"%.*s needs TLS, but there is no "
				"certificate",
				STR_ARG(s->name)),
			STR("set smtpd_tls_chain_files"));
	if (smtpd && c->smtpd_sasl_auth_enable && !c->smtpd_tls_auth_only)
		problem_add(x->p,
			conf_entry(c, STR("smtpd_tls_auth_only")) != NULL &&
					c->postern_allow_open_relay
				? PROBLEM_WARNING
				: PROBLEM_ERROR,
			x->services->master_cf, s->line,
			arena_printf(a,
				"%.*s offers AUTH without TLS: "
				"passwords travel in clear",
				STR_ARG(s->name)),
			STR("remove smtpd_tls_auth_only = no"));
	else if (smtpd && c->smtpd_sasl_auth_enable && !cert)
		problem_add(x->p, PROBLEM_WARNING, x->services->master_cf,
			s->line,
			arena_printf(a,
				"%.*s has AUTH, but without a "
				"certificate nobody can log in",
				STR_ARG(s->name)),
			STR("set smtpd_tls_chain_files"));
	else if (!smtpd && !cert)
		problem_add(x->p, PROBLEM_WARNING, x->services->master_cf,
			s->line,
			arena_printf(a,
				"%.*s has no certificate: nobody can "
				"log in",
				STR_ARG(s->name)),
			STR("set smtpd_tls_chain_files"));
	if (!smtpd)
		return;
	struct policy *p = policy_new(c, x->tables, NULL, x->p);
	check_words(c, x->p);
	check_smtpd_extras(x, c);
	if (s->screen)
		check_screen(c, x->tables, x->p);
	content_checks_new(c, x->tables, x->p);
	content_checks_smtp(c, x->tables, x->p);
	maps_open(x->tables, c, "smtpd_discard_ehlo_keyword_address_maps",
		c->smtpd_discard_ehlo_keyword_address_maps, 0, x->p);
	maps_open(x->tables, c, "smtpd_command_filter", c->smtpd_command_filter,
		0, x->p);
	milter_list_parse(c, "smtpd_milters", c->smtpd_milters, c->a, x->p);
	maps_open(x->tables, c, "smtpd_dmarc_policy_maps",
		c->smtpd_dmarc_policy_maps, 0, x->p);
	maps_open(x->tables, c, "smtpd_milter_maps", c->smtpd_milter_maps, 0,
		x->p);
	check_networks(x, c, p);
	check_relay(x, c, p);
}

static void check_resolver(struct checker *x)
{
	struct fault f;
	struct resolver *r = cmd_resolver(x->c, &f);

	if (r == NULL)
		conf_problem(x->c, x->p, PROBLEM_ERROR,
			x->c->dns_resolvers.len > 0 ? "dns_resolvers"
						    : "dns_trust_anchor_file",
			arena_str(x->c->a, str_from(f.text)), STR_NONE);
	resolver_free(r);
}

/* Those that nothing else here opens. */
static void check_tables(struct checker *x)
{
	const struct conf *c = x->c;
#define NAMED(param)                                                           \
	{                                                                      \
#param, c->param                                               \
	}
	const struct {
		const char *param;
		struct str list;
	} all[] = {NAMED(local_login_sender_maps), NAMED(mailbox_quota_maps),
		NAMED(mailbox_command_maps), NAMED(imap_acl_groups_maps),
		NAMED(smtp_dns_reply_filter), NAMED(smtpd_dns_reply_filter),
		NAMED(smtp_discard_ehlo_keyword_address_maps),
		NAMED(address_verify_transport_maps),
		NAMED(address_verify_sender_dependent_relayhost_maps),
		NAMED(address_verify_sender_dependent_default_transport_maps)};
#undef NAMED

	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		maps_open(x->tables, c, all[i].param, all[i].list, 0, x->p);
}

static void check_all(const char *dir, struct problems *p)
{
	struct table_env env = {0};
	struct checker x = {.p = p, .tables = tables_new(&env)};
	struct bounce_template bounces[BOUNCE_KINDS];

	x.c = conf_load(dir, p);
	x.services = services_load(x.c, p);
	if (access(x.c->main_cf.ptr, R_OK) != 0)
		return;
	check_openssl(x.c, p);
	check_parameters(x.c, p);
	check_identity(&x);
	check_values(&x);
	check_local(&x);
	check_main_transport(x.c, x.tables, p);
	check_log(&x);
	check_resolver(&x);
	check_aliases(x.c, x.tables, p);
	check_sni(x.c, x.tables, p);
	check_mailboxes(x.c, x.tables, p);
	check_programs(x.services, x.c->a, p);
	check_authentication(x.c, x.tables, p);
	bounce_texts_load(x.c, p, bounces);
	check_tables(&x);
	match_list_new(x.tables, x.c, "imap_quota_admins",
		x.c->imap_quota_admins, MATCH_NAMES, false, p);
	check_trust_anchors(x.c, p);
	check_oauth(x.c, p);
	milter_list_parse(
		x.c, "non_smtpd_milters", x.c->non_smtpd_milters, x.c->a, p);
	struct policy *policy = policy_new(x.c, x.tables, NULL, p);
	check_classes(&x, policy);
	bool any = false;
	if (x.c->smtpd_upstream_proxy_protocol.len > 0 &&
		!str_eqc(x.c->smtpd_upstream_proxy_protocol, "haproxy"))
		say(&x, x.c, PROBLEM_ERROR, "smtpd_upstream_proxy_protocol",
			"smtpd_upstream_proxy_protocol: unknown protocol",
			"write haproxy");
	for (size_t i = 0; i < x.services->n_transports; i++)
		check_transport(&x.services->transports[i], x.tables, p);
	for (size_t i = 0; i < x.services->n; i++) {
		if (x.services->v[i].local)
			continue;
		any = true;
		check_overrides(x.services->v[i].conf, p);
		check_service(&x, &x.services->v[i]);
	}
	if (!any)
		problem_add(p, PROBLEM_ERROR, x.services->master_cf, 0,
			STR("no service that postern knows"),
			STR("write: smtp inet n - n - - smtpd"));
}

int check_run(const char *dir, enum problem_level level)
{
	struct problems p = {.a = arena_new(SIZE_MAX)};

	check_all(dir, &p);
	problems_sort(&p);
	for (size_t i = 0; i < p.n; i++) {
		const struct problem *v = &p.v[i];

		if (v->level > level)
			continue;
		fprintf(stderr, "%.*s:%u: %s: %.*s", STR_ARG(v->file), v->line,
			problem_level_name(v->level), STR_ARG(v->what));
		if (v->write.len > 0)
			fprintf(stderr, ": %.*s", STR_ARG(v->write));
		fprintf(stderr, "\n");
	}
	return problems_count(&p, PROBLEM_ERROR) > 0 ? EX_CONFIG : EX_OK;
}

int cmd_check(struct cmd *c)
{
	static const struct option_def defs[] = {{"--list-parameters", false}};
	const char *value;
	int at = 1, i;

	while ((i = cmd_option(c, &at, defs, ARRAY_LEN(defs), &value)) != -2) {
		if (i == -3)
			return EX_USAGE;
		if (i == 0) {
			check_list_parameters();
			return EX_OK;
		}
		return cmd_usage(c, "unexpected \"%s\"", value);
	}
	return check_run(c->dir, PROBLEM_NOTE);
}
