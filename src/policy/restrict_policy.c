/* SPDX-License-Identifier: ISC */
/* check_policy_service: SMTPD_POLICY_README */
#include "base/buf.h"
#include "policy/restrict_private.h"

/* A value must not end its line. */
static void attribute(struct buf *out, const char *name, struct str value)
{
	buf_putf(out, "%s=", name);
	for (size_t i = 0; i < value.len; i++)
		buf_putc(out, (unsigned char)value.ptr[i] < 0x20
				      ? '?'
				      : value.ptr[i]);
	buf_putc(out, '\n');
}

static void number(struct buf *out, const char *name, uint64_t value)
{
	buf_putf(out, "%s=%llu\n", name, (unsigned long long)value);
}

static void put_attributes(const struct check *c, struct buf *out)
{
	bool data = c->state[0] == 'D' || c->state[0] == 'B' ||
		    str_eqc(str_from(c->state), "END-OF-MESSAGE");

	attribute(out, "request", STR("smtpd_access_policy"));
	attribute(out, "protocol_state", str_from(c->state));
	attribute(out, "protocol_name", str_from(c->protocol));
	attribute(out, "client_address", c->client_text);
	attribute(out, "client_name", c->client_name);
	number(out, "client_port", c->client_port);
	attribute(out, "reverse_client_name", c->reverse_name);
	attribute(out, "server_address", c->server_text);
	number(out, "server_port", c->server_port);
	attribute(out, "helo_name", c->helo);
	attribute(out, "sender", c->sender);
	attribute(out, "recipient", c->recipient);
	number(out, "recipient_count", data ? c->recipients : 0);
	attribute(out, "queue_id", data ? c->instance : STR(""));
	attribute(out, "instance", c->instance);
	number(out, "size", c->size);
	attribute(out, "etrn_domain", c->etrn_domain);
	attribute(out, "stress", STR(""));
	attribute(out, "sasl_method", c->sasl_method);
	attribute(out, "sasl_username", c->login);
	attribute(out, "sasl_sender", STR(""));
	attribute(out, "ccert_subject",
		c->ccert_trusted ? c->ccert_subject : STR(""));
	attribute(out, "ccert_issuer",
		c->ccert_trusted ? c->ccert_issuer : STR(""));
	attribute(out, "ccert_fingerprint", c->ccert_fingerprint);
	attribute(out, "ccert_pubkey_fingerprint", c->ccert_pubkey_fingerprint);
	attribute(out, "encryption_protocol", str_from(c->tls_version));
	attribute(out, "encryption_cipher", str_from(c->tls_cipher));
	number(out, "encryption_keysize", (uint64_t)c->tls_bits);
	attribute(
		out, "compatibility_level", c->policy->c->compatibility_level);
	attribute(out, "mail_version", STR(POSTERN_VERSION));
}

enum outcome restrict_policy_service(
	struct check *c, const struct rule *rule, struct decision *d)
{
	struct buf out CLEANUP(buf_fini);
	const char *why;

	if (rule->service == NULL)
		return OUT_DUNNO;
	buf_init(&out, 65536);
	put_attributes(c, &out);
	struct str action =
		policy_service_ask(rule->service, buf_str(&out), c->a, &why);
	if (why != NULL)
		strs_add(&c->warnings, c->a, str_from(why));
	return restrict_action(c, action, restrict_subject(c), d);
}
