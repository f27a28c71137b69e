/* SPDX-License-Identifier: ISC */
#ifndef BASE_SIP_H
#define BASE_SIP_H

/*
 * sip: SipHash-1-3 with a random key, for tables whose keys a peer can choose:
 * without the key nobody finds two that collide (row 54 of the attack list).
 */

#include "base/str.h"

struct sip_key {
	uint64_t k0, k1;
};

struct sip_key sip_key_new(void);
uint64_t sip_hash(const struct sip_key *key, struct str s);

#endif
