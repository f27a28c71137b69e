/* SPDX-License-Identifier: ISC */
/* `postern check`: certificates, and who is asked about tokens. */
#include "cmd/check_tls.h"

#include <sys/stat.h>

#include "codec/postfix/lines.h"
#include "net/tls.h"

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
