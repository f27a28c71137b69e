/* SPDX-License-Identifier: ISC */
#include "role/auth/verified.h"

#include <openssl/crypto.h>
#include <pthread.h>
#include <string.h>

#include "base/buf.h"
#include "base/must.h"
#include "sys/clock.h"
#include "sys/crypto.h"

enum { PLACES = 16384 };

struct place {
	int64_t account;
	int64_t until; /* 0: nothing */
	unsigned char sum[SCRAM_KEY_MAX];
};

struct verified {
	pthread_mutex_t lock;
	int64_t keep_s;
	unsigned char key[32];
	struct place *places;
};

struct verified *verified_new(int64_t keep_s)
{
	struct verified *v = must_alloc(sizeof(*v));

	pthread_mutex_init(&v->lock, NULL);
	v->keep_s = keep_s;
	random_fill(v->key, sizeof(v->key));
	v->places = must_alloc(PLACES * sizeof(*v->places));
	return v;
}

static void sum_of(const struct verified *v, const struct account *account,
	struct str password, unsigned char sum[SCRAM_KEY_MAX])
{
	struct buf both CLEANUP(buf_fini);
	size_t len = account->hash.len + password.len + 1;

	buf_init(&both, len);
	buf_reserve(&both, len);
	buf_put(&both, account->hash);
	buf_putc(&both, '\0');
	buf_put(&both, password);
	scram_hmac(SCRAM_SHA256, str_of(v->key, sizeof(v->key)), buf_str(&both),
		sum);
	OPENSSL_cleanse(both.data, both.len);
}

static struct place *place_of(struct verified *v, const struct account *account)
{
	return &v->places[(uint64_t)account->id % PLACES];
}

bool verified_has(struct verified *v, const struct account *account,
	struct str password, int64_t now)
{
	unsigned char sum[SCRAM_KEY_MAX];

	if (v->keep_s <= 0)
		return false;
	sum_of(v, account, password, sum);
	pthread_mutex_lock(&v->lock);
	const struct place *p = place_of(v, account);
	bool has = p->until > now && p->account == account->id &&
		   str_eq_secret(str_of(p->sum, sizeof(p->sum)),
			   str_of(sum, sizeof(sum)));
	pthread_mutex_unlock(&v->lock);
	return has;
}

void verified_put(struct verified *v, const struct account *account,
	struct str password, int64_t now)
{
	struct place fresh = {.account = account->id, .until = now + v->keep_s};

	if (v->keep_s <= 0)
		return;
	sum_of(v, account, password, fresh.sum);
	pthread_mutex_lock(&v->lock);
	*place_of(v, account) = fresh;
	pthread_mutex_unlock(&v->lock);
}
