/* SPDX-License-Identifier: ISC */
#include "net/tls_options.h"

#include <openssl/err.h>

#include "base/buf.h"
#include "codec/postfix/lines.h"

struct tls_options tls_options_smtpd(const struct conf *c, bool mandatory)
{
	return (struct tls_options){
		.grade = mandatory ? c->smtpd_tls_mandatory_ciphers
				   : c->smtpd_tls_ciphers,
		.exclude = c->smtpd_tls_exclude_ciphers,
		.exclude_more = mandatory
					? c->smtpd_tls_mandatory_exclude_ciphers
					: STR(""),
		.c = c};
}

struct tls_options tls_options_smtp(const struct conf *c, bool mandatory)
{
	return (struct tls_options){
		.grade = mandatory ? c->smtp_tls_mandatory_ciphers
				   : c->smtp_tls_ciphers,
		.exclude = c->smtp_tls_exclude_ciphers,
		.exclude_more = mandatory
					? c->smtp_tls_mandatory_exclude_ciphers
					: STR(""),
		.c = c};
}

static void put_excluded(struct str list, struct buf *out)
{
	struct str item;

	while (str_present(item = list_item(&list)))
		buf_putf(out, ":!%.*s", STR_ARG(item));
}

static bool set_ciphers(
	SSL_CTX *ctx, const struct tls_options *o, struct fault *f)
{
	struct buf list CLEANUP(buf_fini);
	struct str base = str_ieqc(o->grade, "high") ? o->c->tls_high_cipherlist
			  : str_ieqc(o->grade, "null")
				  ? o->c->tls_null_cipherlist
				  : o->c->tls_medium_cipherlist;

	if (!str_ieqc(o->grade, "high") && !str_ieqc(o->grade, "medium") &&
		!str_ieqc(o->grade, "low") && !str_ieqc(o->grade, "export") &&
		!str_ieqc(o->grade, "null"))
		return fault_set(f, FAULT_PERM, 0, 3, 5,
			"unknown cipher grade \"%.*s\": write high or medium",
			STR_ARG(o->grade));
	buf_init(&list, 65536);
	buf_putf(&list, "%.*s:!aNULL", STR_ARG(base));
	put_excluded(o->exclude, &list);
	put_excluded(o->exclude_more, &list);
	buf_putc(&list, '\0');
	if (SSL_CTX_set_cipher_list(ctx, list.data) == 1)
		return true;
	ERR_clear_error();
	return fault_set(f, FAULT_PERM, 0, 3, 5, "no cipher is left of \"%s\"",
		list.data);
}

static const struct {
	const char *name;
	uint64_t bits;
} switches[] = {{"ENABLE_MIDDLEBOX_COMPAT", SSL_OP_ENABLE_MIDDLEBOX_COMPAT},
	{"LEGACY_SERVER_CONNECT", SSL_OP_LEGACY_SERVER_CONNECT},
	{"NO_TICKET", SSL_OP_NO_TICKET},
	{"NO_COMPRESSION", SSL_OP_NO_COMPRESSION},
	{"NO_RENEGOTIATION", SSL_OP_NO_RENEGOTIATION},
	{"NO_SESSION_RESUMPTION_ON_RENEGOTIATION",
		SSL_OP_NO_SESSION_RESUMPTION_ON_RENEGOTIATION},
	{"PRIORITIZE_CHACHA", SSL_OP_PRIORITIZE_CHACHA}};

static bool set_switches(SSL_CTX *ctx, struct str list, struct fault *f)
{
	struct str item;

	while (str_present(item = list_item(&list))) {
		uint64_t bits = 0;

		for (size_t i = 0; i < ARRAY_LEN(switches); i++)
			if (str_ieqc(item, switches[i].name))
				bits = switches[i].bits;
		if (bits == 0)
			return fault_set(f, FAULT_PERM, 0, 3, 5,
				"tls_ssl_options: unknown word \"%.*s\"",
				STR_ARG(item));
		SSL_CTX_set_options(ctx, bits);
	}
	return true;
}

/* "X25519:prime256v1", and behind them "ffdhe2048" */
static bool set_groups(SSL_CTX *ctx, const struct conf *c, struct fault *f)
{
	struct buf list CLEANUP(buf_fini);
	const struct str both[] = {
		c->tls_eecdh_auto_curves, c->tls_ffdhe_auto_groups};
	struct str item;

	if (c->tls_eecdh_auto_curves.len == 0)
		return true;
	buf_init(&list, 65536);
	for (size_t i = 0; i < ARRAY_LEN(both); i++)
		for (struct str rest = both[i];
			str_present(item = list_item(&rest));)
			buf_putf(&list, "%s%.*s", list.len > 0 ? ":" : "",
				STR_ARG(item));
	buf_putc(&list, '\0');
	if (SSL_CTX_set1_groups_list(ctx, list.data) == 1)
		return true;
	ERR_clear_error();
	return fault_set(f, FAULT_PERM, 0, 3, 5,
		"tls_eecdh_auto_curves, tls_ffdhe_auto_groups: not groups of "
		"this OpenSSL: \"%s\"",
		list.data);
}

bool tls_options_apply(
	SSL_CTX *ctx, const struct tls_options *o, struct fault *f)
{
	if (o->c == NULL)
		return true;
	if (o->c->tls_preempt_cipherlist)
		SSL_CTX_set_options(ctx, SSL_OP_CIPHER_SERVER_PREFERENCE);
	return set_ciphers(ctx, o, f) && set_groups(ctx, o->c, f) &&
	       set_switches(ctx, o->c->tls_ssl_options, f);
}
