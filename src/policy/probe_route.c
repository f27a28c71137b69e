/* SPDX-License-Identifier: ISC */
/* The way of address probes: address_verify_local_transport and its kin of
 * postconf(5) stand in for what mail goes by. */
#include "policy/policy.h"

enum { NAMES = 8 };

/* As main.cf means it: "address_verify_relayhost = $relayhost" must not lead to
 * itself. */
static size_t settings(const struct conf *c, struct conf_override o[NAMES])
{
	const struct str names[NAMES] = {STR("address_verify_local_transport"),
		STR("address_verify_virtual_transport"),
		STR("address_verify_relay_transport"),
		STR("address_verify_default_transport"),
		STR("address_verify_relayhost"),
		STR("address_verify_transport_maps"),
		STR("address_verify_sender_dependent_relayhost_maps"),
		STR("address_verify_sender_dependent_default_transport_maps")};
	size_t n = 0;

	for (size_t i = 0; i < NAMES; i++) {
		struct str value;
		const char *why;

		if (conf_entry(c, names[i]) != NULL &&
			conf_expand_name(c, names[i], c->a, &value, &why))
			o[n++] = (struct conf_override){
				.name = str_from_at(names[i],
					sizeof("address_verify_") - 1),
				.value = value};
	}
	return n;
}

struct policy *policy_for_probes(struct policy *p)
{
	struct conf_override o[NAMES];
	struct problems told = {.a = p->c->a}; /* of main.cf, by check */
	size_t n = settings(p->c, o);

	if (n == 0)
		return p;
	const struct conf *c = conf_load_texts(
		p->c->dir.ptr, p->c->main_text, p->c->master_text, o, n, &told);
	return policy_new(c, p->tables, p->resolver, &told);
}
