/* SPDX-License-Identifier: ISC */
#include "codec/sasl/mechanisms.h"

#include "codec/postfix/lines.h"

#include "base/attr.h"

const struct sasl_mechanism sasl_mechanisms[SASL_MECHANISMS] = {
	{"SCRAM-SHA-256-PLUS", SASL_SCRAM, SCRAM_SHA256, true, false},
	{"SCRAM-SHA-256", SASL_SCRAM, SCRAM_SHA256, false, false},
	{"SCRAM-SHA-1-PLUS", SASL_SCRAM, SCRAM_SHA1, true, false},
	{"SCRAM-SHA-1", SASL_SCRAM, SCRAM_SHA1, false, false},
	{"EXTERNAL", SASL_EXTERNAL, SCRAM_SHA256, false, false},
	{"OAUTHBEARER", SASL_OAUTHBEARER, SCRAM_SHA256, false, true},
	{"XOAUTH2", SASL_XOAUTH2, SCRAM_SHA256, false, true},
	{"PLAIN", SASL_PLAIN, SCRAM_SHA256, false, true},
	{"LOGIN", SASL_LOGIN, SCRAM_SHA256, false, true},
};

const struct sasl_mechanism *sasl_mechanism_find(struct str name)
{
	for (size_t i = 0; i < ARRAY_LEN(sasl_mechanisms); i++)
		if (str_ieqc(name, sasl_mechanisms[i].name))
			return &sasl_mechanisms[i];
	return NULL;
}

bool sasl_possible(const struct sasl_mechanism *m, struct sasl_session s)
{
	switch (m->kind) {
	case SASL_SCRAM:
		return !m->plus || s.tls;
	case SASL_EXTERNAL:
		return s.tls && s.certificate;
	case SASL_OAUTHBEARER:
	case SASL_XOAUTH2:
		/* RFC 7628 4: a token is good for whoever has it. */
		return s.tls && s.tokens;
	case SASL_PLAIN:
	case SASL_LOGIN:
		break;
	}
	return true;
}

bool sasl_filter_allows(struct str filter, const char *name)
{
	bool only = false, listed = false;
	struct str item;

	while (str_present(item = list_item(&filter))) {
		if (str_starts(item, "!")) {
			if (str_ieqc(str_from_at(item, 1), name))
				return false;
		} else if (str_find(item, ':') < 0) {
			only = true;
			listed |= str_ieqc(item, name);
		}
	}
	return !only || listed;
}
