/* SPDX-License-Identifier: ISC */
#include "codec/sasl/mechanisms.h"

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
