/* SPDX-License-Identifier: ISC */
/* The smtpd role: one service per listener of master.cf. */
#include "role/smtpd/smtpd.h"

#include "base/must.h"
#include "codec/postfix/lines.h"
#include "policy/dnsbl_watch.h"

static bool has_certificate(const struct conf *c)
{
	return c->smtpd_tls_chain_files.len > 0 ||
	       (c->smtpd_tls_cert_file.len > 0 &&
		       !str_eqc(c->smtpd_tls_cert_file, "none"));
}

static void load_certificate(struct role *r, struct smtpd_service *sv)
{
	const struct conf *c = sv->c;
	struct tls_files files = {.chain_files = c->smtpd_tls_chain_files,
		.cert_file = c->smtpd_tls_cert_file,
		.key_file = c->smtpd_tls_key_file,
		.ec_cert_file = c->smtpd_tls_eccert_file,
		.ec_key_file = c->smtpd_tls_eckey_file,
		.protocols = sv->tls_required ? c->smtpd_tls_mandatory_protocols
					      : c->smtpd_tls_protocols,
		.options = tls_options_smtpd(c, sv->tls_required),
		.ask_ccert = c->smtpd_tls_ask_ccert,
		.require_ccert = c->smtpd_tls_req_ccert && sv->tls_required,
		.ca_file = c->smtpd_tls_CAfile,
		.ca_path = c->smtpd_tls_CApath,
		.verify_depth = (int)c->smtpd_tls_ccert_verifydepth,
		.sni_maps = role_sni_maps(r, c),
		.alpn = "smtp"};
	struct fault f;

	if (!has_certificate(c))
		return;
	sv->tls = tls_server_new(&files, &f);
	if (sv->tls == NULL)
		role_die(r, &f);
}

static struct smtpd_service *service_new(
	struct role *r, struct service *service)
{
	struct smtpd_service *sv = arena_make(r->a, struct smtpd_service);
	struct problems ignored = {.a = r->a};
	struct str level = service->conf->smtpd_tls_security_level;
	struct fault f;

	sv->role = r;
	sv->service = service;
	sv->c = service->conf;
	sv->lmtp = service->lmtp;
	sv->tls_required =
		str_eqc(level, "encrypt") || sv->c->smtpd_tls_wrappermode;
	sv->submission = sv->c->smtpd_sasl_auth_enable;
	load_certificate(r, sv);
	/* A certificate and not a word about TLS: offer it. */
	sv->tls_offered = sv->tls != NULL && !str_eqc(level, "none");
	struct maps *dns = maps_open(r->tables, sv->c, "smtpd_dns_reply_filter",
		sv->c->smtpd_dns_reply_filter, 0, &ignored);
	sv->policy = policy_new(sv->c, r->tables,
		resolver_filtered(r->resolver, dns, r->a), &ignored);
	sv->policy->verify = smtpd_verify;
	sv->policy->verify_ctx = sv;
	sv->xclient_hosts = match_list_new(r->tables, sv->c,
		"smtpd_authorized_xclient_hosts",
		sv->c->smtpd_authorized_xclient_hosts, MATCH_ADDRESSES, false,
		&ignored);
	sv->xforward_hosts = match_list_new(r->tables, sv->c,
		"smtpd_authorized_xforward_hosts",
		sv->c->smtpd_authorized_xforward_hosts, MATCH_ADDRESSES, false,
		&ignored);
	sv->verp_hosts = match_list_new(r->tables, sv->c,
		"smtpd_authorized_verp_clients",
		sv->c->smtpd_authorized_verp_clients, MATCH_ADDRESSES, false,
		&ignored);
	sv->ehlo_maps = maps_open(r->tables, sv->c,
		"smtpd_discard_ehlo_keyword_address_maps",
		sv->c->smtpd_discard_ehlo_keyword_address_maps, 0, &ignored);
	sv->command_filter = maps_open(r->tables, sv->c, "smtpd_command_filter",
		sv->c->smtpd_command_filter, 0, &ignored);
	sv->reject_footer = sv->c->smtpd_reject_footer;
	sv->reject_footer_maps =
		maps_open(r->tables, sv->c, "smtpd_reject_footer_maps",
			sv->c->smtpd_reject_footer_maps, 0, &ignored);
	sv->reject_filter =
		maps_open(r->tables, sv->c, "smtpd_reject_filter_maps",
			sv->c->smtpd_reject_filter_maps, 0, &ignored);
	sv->anvil = r->anvil;
	sv->drop_headers = list_items(sv->c->message_drop_headers, r->a);
	/* postern check has refused what does not read. */
	characters_parse(sv->c->message_strip_characters, &sv->strip);
	characters_parse(sv->c->message_reject_characters, &sv->reject);
	sv->submit_users = match_list_new(r->tables, sv->c,
		"authorized_submit_users", sv->c->authorized_submit_users,
		MATCH_NAMES, false, &ignored);
	sv->local_login_senders =
		maps_open(r->tables, sv->c, "local_login_sender_maps",
			sv->c->local_login_sender_maps, 0, &ignored);
	sv->sasl_exceptions = match_list_new(r->tables, sv->c,
		"smtpd_sasl_exceptions_networks",
		sv->c->smtpd_sasl_exceptions_networks, MATCH_ADDRESSES, false,
		&ignored);
	sv->limit_exceptions = match_list_new(r->tables, sv->c,
		"smtpd_client_event_limit_exceptions",
		sv->c->smtpd_client_event_limit_exceptions, MATCH_ADDRESSES,
		false, &ignored);
	sv->account_exceptions = match_list_new(r->tables, sv->c,
		"smtpd_account_limit_exceptions",
		sv->c->smtpd_account_limit_exceptions, MATCH_NAMES, false,
		&ignored);
	smtpd_screen_rules(sv, r->tables, &ignored);
	sv->content = content_checks_new(sv->c, r->tables, &ignored);
	if (sv->c->smtpd_proxy_filter.len > 0 &&
		!endpoint_parse(sv->c->smtpd_proxy_filter,
			sv->c->queue_directory, r->a, &sv->proxy_filter, &f))
		role_die(r, &f);
	sv->milter_content = content_checks_milter(sv->c, r->tables, &ignored);
	sv->milters = milter_list_parse(
		sv->c, "smtpd_milters", sv->c->smtpd_milters, r->a, &ignored);
	sv->dmarc_maps = maps_open(r->tables, sv->c, "smtpd_dmarc_policy_maps",
		sv->c->smtpd_dmarc_policy_maps, 0, &ignored);
	sv->milter_maps = maps_open(r->tables, sv->c, "smtpd_milter_maps",
		sv->c->smtpd_milter_maps, 0, &ignored);
	return sv;
}

static void may_read_all_tables(struct role *r, const struct conf *c)
{
	const struct str lists[] = {c->canonical_maps, c->sender_canonical_maps,
		c->recipient_canonical_maps, c->virtual_alias_maps,
		c->virtual_mailbox_maps, c->transport_maps,
		c->local_recipient_maps, c->relay_recipient_maps,
		c->smtpd_sender_login_maps, c->rbl_reply_maps, c->alias_maps,
		c->virtual_alias_domains, c->virtual_mailbox_domains,
		c->mydestination, c->relay_domains, c->mynetworks,
		c->smtpd_client_restrictions, c->smtpd_helo_restrictions,
		c->smtpd_sender_restrictions, c->smtpd_relay_restrictions,
		c->smtpd_recipient_restrictions, c->smtpd_data_restrictions,
		c->smtpd_end_of_data_restrictions, c->smtpd_etrn_restrictions,
		c->fast_flush_domains, c->permit_mx_backup_networks,
		c->smtpd_tls_chain_files, c->sender_dependent_relayhost_maps,
		c->sender_dependent_default_transport_maps,
		c->smtpd_milter_maps, c->smtpd_dmarc_policy_maps,
		c->smtpd_client_event_limit_exceptions,
		c->smtpd_account_limit_exceptions,
		c->smtpd_sasl_exceptions_networks,
		c->smtpd_authorized_xclient_hosts, c->postscreen_access_list,
		c->smtpd_log_access_permit_actions,
		c->postscreen_dnsbl_reply_map,
		c->postscreen_allowlist_interfaces, c->relocated_maps,
		c->sender_bcc_maps, c->recipient_bcc_maps,
		c->smtpd_discard_ehlo_keyword_address_maps,
		c->smtpd_command_filter, c->smtpd_reject_footer_maps,
		c->smtpd_dns_reply_filter, c->smtpd_reject_filter_maps,
		c->milter_header_checks, c->smtpd_authorized_xforward_hosts,
		c->smtpd_authorized_verp_clients, c->local_login_sender_maps,
		c->header_checks, c->mime_header_checks,
		c->nested_header_checks, c->body_checks};
	struct str files[] = {c->smtpd_tls_cert_file, c->smtpd_tls_key_file,
		c->smtpd_tls_eccert_file, c->smtpd_tls_eckey_file};

	for (size_t i = 0; i < ARRAY_LEN(lists); i++)
		role_may_read_tables(r, lists[i]);
	for (size_t i = 0; i < ARRAY_LEN(files); i++)
		role_may_read_dir(r, files[i]);
	role_may_read_dir(r, c->smtpd_tls_chain_files);
	role_may_read_dir(r, c->smtpd_tls_CAfile);
	role_may_read(r, c->smtpd_tls_CApath);
	role_may_read_tables(r, c->relay_clientcerts);
}

/* The processes see the same: one of them tells. */
static void dnsbl_notice(
	struct str list, const char *text, bool well, void *ctx)
{
	const struct role *r = ctx;

	if (r->index != 0)
		return;
	if (well)
		log_info(
			"dns list", log_s("list", list), log_z("reason", text));
	else
		log_warn(
			"dns list", log_s("list", list), log_z("reason", text));
}

int role_smtpd(struct role *r)
{
	struct smtpd_service *services[ROLE_LISTENERS_MAX];
	unsigned n = 0;

	role_resolver(r);
	anvil_set_window(r->anvil, r->conf->anvil_rate_time_unit);
	for (unsigned i = 0; i < r->n_listeners; i++) {
		struct smtpd_service *sv =
			service_new(r, r->listeners[i].service);

		may_read_all_tables(r, sv->c);
		services[n++] = sv;
	}
	role_may_read(r, r->conf->queue_directory);
	role_may_write(r, arena_printf(r->a, "%.*s/tmp",
				  STR_ARG(r->conf->queue_directory)));
	role_sandbox(r, true);
	if (r->resolver != NULL && r->conf->dnsbl_check_interval > 0) {
		struct dnsbl_watch *watch = dnsbl_watch_new(r->resolver,
			r->conf->dnsbl_check_interval, dnsbl_notice, r);

		for (unsigned i = 0; i < n; i++)
			services[i]->policy->dnsbl_watch = watch;
	}
	r->crew = crew_new((unsigned)r->conf->smtpd_threads);
	for (unsigned i = 0; i < n; i++)
		crew_listen(r->crew, r->listeners[i].fd, smtpd_accepted,
			services[i]);
	return role_run(r, 500);
}
