/* SPDX-License-Identifier: ISC */
#include "base/sip.h"

#include <string.h>
#include <sys/random.h>

#include "base/must.h"

static inline uint64_t rotl(uint64_t x, int b)
{
	return (x << b) | (x >> (64 - b));
}

static inline void sip_round(uint64_t v[4])
{
	v[0] += v[1];
	v[1] = rotl(v[1], 13) ^ v[0];
	v[0] = rotl(v[0], 32);
	v[2] += v[3];
	v[3] = rotl(v[3], 16) ^ v[2];
	v[0] += v[3];
	v[3] = rotl(v[3], 21) ^ v[0];
	v[2] += v[1];
	v[1] = rotl(v[1], 17) ^ v[2];
	v[2] = rotl(v[2], 32);
}

struct sip_key sip_key_new(void)
{
	struct sip_key key;

	must(getrandom(&key, sizeof(key), 0) == (ssize_t)sizeof(key));
	return key;
}

/* The octets behind the last eight, and how many there are in all */
static uint64_t last_word(struct str s, size_t from)
{
	uint64_t w = (uint64_t)s.len << 56;

	for (size_t j = 0; from + j < s.len; j++)
		w |= (uint64_t)(unsigned char)s.ptr[from + j] << (8 * j);
	return w;
}

uint64_t sip_hash(const struct sip_key *key, struct str s)
{
	uint64_t v[4] = {key->k0 ^ 0x736f6d6570736575ULL,
		key->k1 ^ 0x646f72616e646f6dULL,
		key->k0 ^ 0x6c7967656e657261ULL,
		key->k1 ^ 0x7465646279746573ULL};
	size_t i = 0;
	uint64_t w;

	for (; i + 8 <= s.len; i += 8) {
		memcpy(&w, s.ptr + i, 8);
		v[3] ^= w;
		sip_round(v);
		v[0] ^= w;
	}
	w = last_word(s, i);
	v[3] ^= w;
	sip_round(v);
	v[0] ^= w;
	v[2] ^= 0xff;
	for (int r = 0; r < 3; r++)
		sip_round(v);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}
