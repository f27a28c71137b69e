/* SPDX-License-Identifier: ISC */
/* smtp_send_xforward_command: a filter behind us hears who our client was.
 * XFORWARD_README */
#include "codec/postfix/value.h"
#include "role/sender/delivery.h"
#include "sys/clock.h"

/* "name[address]", as the envelope has it. */
static bool split_client(struct str client, struct str *name_r,
	struct str *address_r, unsigned char *bytes, size_t *len_r)
{
	struct str rest = client;

	*name_r = str_cut(&rest, '[');
	*address_r = str_cut(&rest, ']');
	return address_r->len > 0 && address_parse(*address_r, bytes, len_r);
}

bool sender_xforward(struct delivery *d, struct smtp_client *c, struct fault *f)
{
	const struct envelope *env = &d->job->env;
	unsigned char bytes[16];
	struct str name, address;
	char id[ID_TEXT];
	size_t len;

	if (!d->c->smtp_send_xforward_command)
		return true;
	bool remote = split_client(env->client, &name, &address, bytes, &len);
	id_text(env->id, id);
	struct smtp_client_xforward x = {
		.name = remote && !str_eqc(name, "unknown")
				? name
				: STR("[UNAVAILABLE]"),
		.addr = !remote     ? STR("[UNAVAILABLE]")
			: len == 16 ? arena_printf(d->a, "IPv6:%.*s",
					      STR_ARG(address))
				    : address,
		.helo = str_present(env->helo) ? env->helo
					       : STR("[UNAVAILABLE]"),
		.proto = env->protocol,
		.port = env->port,
		.ident = arena_str(d->a, str_from(id)),
		.local = !remote};

	return smtp_client_xforward(c, &x, f);
}
