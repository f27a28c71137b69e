/* SPDX-License-Identifier: ISC */
/* `postern check`: certificates, and who is asked about tokens. */
#include "cmd/check_tls.h"

#include <openssl/evp.h>
#include <sys/stat.h>

#include "codec/postfix/lines.h"
#include "net/tls.h"
#include "net/tls_config.h"
#include "policy/tls_policy.h"

static void check_key_file(const struct conf *c, const char *param,
	struct str path, struct problems *p)
{
	struct stat st;

	if (path.len > 0 && stat(arena_cstr(c->a, path), &st) == 0 &&
		(st.st_mode & 0004) != 0)
		conf_problem(c, p, PROBLEM_WARNING, param,
			arena_printf(c->a, "%.*s: everybody can read the key",
				STR_ARG(path)),
			arena_printf(c->a, "chmod 600 %.*s", STR_ARG(path)));
}

bool check_certificate(const struct conf *c, const char *param,
	struct str chain, struct problems *p)
{
	struct tls_files files = {.chain_files = chain,
		.cert_file = c->smtpd_tls_cert_file,
		.key_file = c->smtpd_tls_key_file,
		.ec_cert_file = c->smtpd_tls_eccert_file,
		.ec_key_file = c->smtpd_tls_eckey_file,
		.protocols = c->smtpd_tls_protocols,
		.options = tls_options_smtpd(c, false),
		.ask_ccert = c->smtpd_tls_ask_ccert,
		.ca_file = c->smtpd_tls_CAfile,
		.ca_path = c->smtpd_tls_CApath};
	struct str rest = chain, item;
	struct fault f;

	if (chain.len == 0 &&
		(files.cert_file.len == 0 || str_eqc(files.cert_file, "none")))
		return false;
	struct tls_server *t = tls_server_new(&files, &f);
	if (t == NULL)
		conf_problem(c, p, PROBLEM_ERROR,
			chain.len > 0 ? param : "smtpd_tls_cert_file",
			arena_printf(c->a, "certificate: %s", f.text),
			STR("name PEM files that hold key and chain"));
	tls_server_free(t);
	while (str_present(item = list_item(&rest)))
		check_key_file(c, param, item, p);
	if (chain.len == 0)
		check_key_file(
			c, "smtpd_tls_key_file", c->smtpd_tls_key_file, p);
	if (!tls_protocols_valid(c->smtpd_tls_protocols) ||
		!tls_protocols_valid(c->smtpd_tls_mandatory_protocols))
		conf_problem(c, p, PROBLEM_ERROR, "smtpd_tls_protocols",
			STR("smtpd_tls_protocols: unknown protocol"),
			STR("write >=TLSv1.2"));
	return true;
}

void check_sni(const struct conf *c, struct tables *tables, struct problems *p)
{
	static const char param[] = "tls_server_sni_maps";
	struct maps *m =
		maps_open(tables, c, param, c->tls_server_sni_maps, 0, p);
	struct strs chains = {0};

	if (!maps_values(m, c->a, &chains))
		conf_problem(c, p, PROBLEM_WARNING, param,
			STR("tls_server_sni_maps: the files that this kind of "
			    "table names cannot be known before start"),
			STR("keep them in the directory of "
			    "smtpd_tls_chain_files, or use a text table"));
	for (size_t i = 0; i < chains.n; i++)
		if (chains.v[i].len == 0)
			conf_problem(c, p, PROBLEM_ERROR, param,
				STR("tls_server_sni_maps: a name without "
				    "files"),
				STR("name PEM files that hold key and chain"));
		else
			check_certificate(c, param, chains.v[i], p);
}

void check_openssl(const struct conf *c, struct problems *p)
{
	struct fault f;

	if (!tls_config_load(c->tls_config_file, c->tls_config_name, &f))
		conf_problem(c, p, PROBLEM_ERROR, "tls_config_file",
			arena_str(c->a, str_from(f.text)),
			STR("write default, none, or a file and a section that "
			    "it has"));
}

void check_trust_anchors(const struct conf *c, struct problems *p)
{
	struct tls_trust trust = {.protocols = c->smtp_tls_protocols,
		.options = tls_options_smtp(c, false),
		.anchors = c->smtp_tls_trust_anchor_file};
	struct fault f;

	if (trust.anchors.len == 0)
		return;
	SSL_CTX *ctx = tls_client_ctx(&trust, &f);
	if (ctx == NULL)
		conf_problem(c, p, PROBLEM_ERROR, "smtp_tls_trust_anchor_file",
			arena_printf(
				c->a, "smtp_tls_trust_anchor_file: %s", f.text),
			STR("name PEM files with certificates; a public key "
			    "alone does not do"));
	SSL_CTX_free(ctx);
}

/* A token is a password: it does not travel in clear text. */
void check_oauth(const struct conf *c, struct problems *p)
{
	struct str url = c->oauth2_introspection_url;

	if (url.len == 0 || str_istarts(url, "https://") ||
		str_istarts(url, "http://127.0.0.1") ||
		str_istarts(url, "http://[::1]") ||
		str_istarts(url, "http://localhost"))
		return;
	conf_problem(c, p, PROBLEM_ERROR, "oauth2_introspection_url",
		STR("oauth2_introspection_url: tokens would travel in clear "
		    "text, or it is no URL"),
		STR("write https://..."));
}

static void no_anchors(const struct conf *c, const char *param,
	enum tls_level level, struct problems *p)
{
	bool only = level == TLS_DANE_ONLY;

	if ((level != TLS_DANE && !only) || c->dns_trust_anchor_file.len > 0)
		return;
	conf_problem(c, p, only ? PROBLEM_ERROR : PROBLEM_WARNING, param,
		arena_printf(c->a, "%s: level %s without DNSSEC: %s", param,
			tls_level_name(level),
			only ? "no mail would leave"
			     : "every host is treated as with level may"),
		STR("write dns_trust_anchor_file = /usr/share/dns/root.key "
		    "(Debian: package dns-root-data)"));
}

/* dnssec says that answers are proved; who did that elsewhere does it here. */
static void check_dnssec(const struct conf *c, struct problems *p)
{
	if (str_eqc(c->smtp_dns_support_level, "dnssec") &&
		c->dns_trust_anchor_file.len == 0)
		conf_problem(c, p, PROBLEM_WARNING, "smtp_dns_support_level",
			STR("smtp_dns_support_level = dnssec without "
			    "dns_trust_anchor_file: nothing is proved"),
			STR("write dns_trust_anchor_file = "
			    "/usr/share/dns/root.key (Debian: package "
			    "dns-root-data)"));
}

/* The certificate that our client shows. */
static void check_own_certificate(const struct conf *c, struct problems *p)
{
	struct tls_pairs pairs = {c->smtp_tls_chain_files,
		c->smtp_tls_cert_file, c->smtp_tls_key_file,
		c->smtp_tls_eccert_file, c->smtp_tls_eckey_file};
	struct tls_pair_paths paths;
	struct tls_trust trust = {
		.protocols = c->smtp_tls_protocols, .own = &paths};
	struct fault f;

	tls_pairs_paths(&pairs, c->a, &paths);
	SSL_CTX *ctx = tls_client_ctx(&trust, &f);
	if (ctx == NULL)
		conf_problem(c, p, PROBLEM_ERROR,
			paths.mixed ? "smtp_tls_chain_files"
				    : "smtp_tls_cert_file",
			str_from(f.text),
			STR("name PEM files that the server's user may read, "
			    "or leave the parameter out"));
	SSL_CTX_free(ctx);
}

void check_client_tls(
	const struct conf *c, struct tables *tables, struct problems *p)
{
	static const char level_param[] = "smtp_tls_security_level";
	static const char maps_param[] = "smtp_tls_policy_maps";
	struct maps *m =
		maps_open(tables, c, maps_param, c->smtp_tls_policy_maps, 0, p);
	struct str insecure = c->smtp_tls_dane_insecure_mx_policy;
	struct strs values = {0};
	struct tls_policy policy;
	enum tls_level level;
	const char *why;

	if (!tls_level_parse(c->smtp_tls_security_level, &level))
		conf_problem(c, p, PROBLEM_ERROR, level_param,
			STR("smtp_tls_security_level: no such level"),
			STR("write none, may, encrypt, fingerprint, dane, "
			    "dane-only, verify or secure"));
	else
		no_anchors(c, level_param, level, p);
	if (EVP_get_digestbyname(
		    arena_cstr(c->a, c->smtp_tls_fingerprint_digest)) == NULL)
		conf_problem(c, p, PROBLEM_ERROR, "smtp_tls_fingerprint_digest",
			STR("smtp_tls_fingerprint_digest: no such digest"),
			STR("write sha256"));
	if (!str_eqc(insecure, "dane") && !str_eqc(insecure, "encrypt") &&
		!str_eqc(insecure, "may"))
		conf_problem(c, p, PROBLEM_ERROR,
			"smtp_tls_dane_insecure_mx_policy",
			STR("smtp_tls_dane_insecure_mx_policy: no such level"),
			STR("write dane, encrypt or may"));
	check_own_certificate(c, p);
	maps_values(m, c->a, &values);
	for (size_t i = 0; i < values.n; i++)
		if (!tls_policy_parse(values.v[i], c->a, &policy, &why))
			conf_problem(c, p, PROBLEM_ERROR, maps_param,
				arena_printf(c->a,
					"smtp_tls_policy_maps: "
					"\"%.*s\": %s",
					STR_ARG(values.v[i]), why),
				STR("see TLS_README, SMTP client policy"));
		else
			no_anchors(c, maps_param, policy.level, p);
	check_dnssec(c, p);
}
