/* SPDX-License-Identifier: ISC */
#include "net/tls_config.h"

#include <openssl/conf.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <stdio.h>

#include "base/must.h"
#include "net/tls.h"

bool tls_config_load(struct str file, struct str name, struct fault *f)
{
	OPENSSL_INIT_SETTINGS *settings;
	char path[4096], section[256], why[160];
	bool usual = str_ieqc(file, "default");

	if (str_ieqc(file, "none")) {
		must(OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG, NULL) ==
			1);
		return true;
	}
	if (usual && name.len == 0)
		return true; /* as OpenSSL does by itself */
	snprintf(path, sizeof(path), "%.*s", STR_ARG(file));
	snprintf(section, sizeof(section), "%.*s", STR_ARG(name));
	settings = OPENSSL_INIT_new();
	if (!usual)
		OPENSSL_INIT_set_config_filename(settings, path);
	if (name.len > 0)
		OPENSSL_INIT_set_config_appname(settings, section);
	OPENSSL_INIT_set_config_file_flags(
		settings, usual ? CONF_MFLAGS_IGNORE_MISSING_FILE : 0);
	bool ok = OPENSSL_init_crypto(OPENSSL_INIT_LOAD_CONFIG, settings) == 1;
	OPENSSL_INIT_free(settings);
	return ok ||
	       fault_set(f, FAULT_PERM, 0, 3, 5, "tls_config_file: %s: %s",
		       path, tls_error_text(why, sizeof(why)));
}
