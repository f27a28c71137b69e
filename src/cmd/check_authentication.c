/* SPDX-License-Identifier: ISC */
/* `postern check`: what proves and signs mail, and with which keys. */
#include "cmd/check_authentication.h"

#include <dirent.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "codec/postfix/lines.h"
#include "codec/smtp/path.h"
#include "policy/dkim_keys.h"

/* A key that cannot be read delays all mail of its domain. */
static void check_domain(
	const struct conf *c, struct str domain, struct problems *p)
{
	struct str dir = arena_printf(c->a, "%.*s/%.*s",
		STR_ARG(c->dkim_key_directory), STR_ARG(domain));
	struct dkim_keys keys;
	struct fault f;
	struct stat st;

	if (!dkim_keys_load(c->dkim_key_directory, domain, c->a, &keys, &f)) {
		conf_problem(c, p, PROBLEM_ERROR, "dkim_key_directory",
			arena_str(c->a, str_from(f.text)),
			arena_printf(c->a,
				"mail of %.*s waits until the file is a key "
				"that postern can read, or is gone",
				STR_ARG(domain)));
		return;
	}
	if (keys.n > 0 && stat(dir.ptr, &st) == 0 && (st.st_mode & 0005) != 0)
		conf_problem(c, p, PROBLEM_WARNING, "dkim_key_directory",
			arena_printf(c->a, "%.*s: everybody can look into it",
				STR_ARG(dir)),
			arena_printf(c->a, "chmod 700 %.*s", STR_ARG(dir)));
	dkim_keys_free(&keys);
}

static void check_keys(const struct conf *c, struct problems *p)
{
	struct dirent **names;
	int n = scandir(arena_cstr(c->a, c->dkim_key_directory), &names, NULL,
		alphasort);

	for (int i = 0; i < n; i++) {
		if (names[i]->d_name[0] != '.')
			check_domain(c,
				arena_str(c->a, str_from(names[i]->d_name)), p);
		free(names[i]);
	}
	if (n >= 0)
		free(names);
}

/* None of these can be nothing. */
static void check_time(const struct conf *c, const char *name, int64_t value,
	struct problems *p)
{
	if (value <= 0)
		conf_problem(c, p, PROBLEM_ERROR, name,
			arena_printf(c->a, "%s is no time", name),
			STR("write a time above 0, or drop the line"));
}

void check_authentication(
	const struct conf *c, struct tables *tables, struct problems *p)
{
	struct str rest = c->dkim_sign_headers, item;
	bool from = false;

	while (str_present(item = list_item(&rest)))
		from |= str_ieqc(item, "From");
	if (!from)
		conf_problem(c, p, PROBLEM_ERROR, "dkim_sign_headers",
			STR("dkim_sign_headers: a signature without From is "
			    "none"),
			STR("write From among the others"));
	if (!smtp_address_valid(c->dmarc_report_address, false))
		conf_problem(c, p, PROBLEM_ERROR, "dmarc_report_address",
			arena_printf(c->a,
				"dmarc_report_address: \"%.*s\" is no address",
				STR_ARG(c->dmarc_report_address)),
			STR("write postmaster@$myhostname, or another one in "
			    "full"));
	check_time(c, "dmarc_report_interval", c->dmarc_report_interval, p);
	check_time(c, "smtpd_authentication_timeout",
		c->smtpd_authentication_timeout, p);
	maps_open(tables, c, "dkim_signing_table", c->dkim_signing_table, 0, p);
	check_keys(c, p);
}
