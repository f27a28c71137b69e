/* SPDX-License-Identifier: ISC */
/*
 * authentication verify|sign CONFIG-DIR ROUNDS < message: CPU per message, in
 * microseconds, of SPF + DKIM + DMARC with answers in the cache, or of the
 * signatures that the keys of CONFIG-DIR make.
 */
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/must.h"
#include "policy/authenticate.h"
#include "policy/dkim_sign.h"
#include "sys/clock.h"
#include "sys/file.h"

static double cpu_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static void verify(const struct conf *c, struct resolver *r, struct str message)
{
	static const unsigned char addr[4] = {192, 0, 2, 1};
	struct arena *a = arena_new(SIZE_MAX);
	struct authenticate_query q = {.resolver = r,
		.what = AUTHENTICATE_SPF | AUTHENTICATE_DKIM |
			AUTHENTICATE_DMARC | AUTHENTICATE_ARC,
		.addr = addr,
		.addr_len = sizeof(addr),
		.client = STR("192.0.2.1"),
		.helo = STR("mx.a.test"),
		.sender = STR("joe@a.test"),
		.receiver = c->myhostname,
		.now = clock_unix(),
		.timeout_ms = 30000,
		.message = message};
	struct authentication v = authenticate(&q, a);

	must(v.mail.result == SPF_PASS && v.n_dkim == 2 &&
		v.dkim[0].result == DKIM_PASS &&
		v.dkim[1].result == DKIM_PASS && v.dmarc.result == DMARC_PASS);
	arena_free(a);
}

static void sign(struct dkim_signer *s, struct str message)
{
	struct arena *a = arena_new(SIZE_MAX);
	struct dkim_request q = {.message = message, .now = clock_unix()};
	struct dkim_signed done;
	struct fault f;

	must(dkim_sign(s, &q, a, &done, &f) && done.fields.len > 0);
	arena_free(a);
}

int main(int argc, char **argv)
{
	struct problems ignored = {.a = arena_new(SIZE_MAX)};
	struct table_env env = {0};
	struct buf message;
	struct fault f;
	uint64_t rounds;

	buf_init(&message, 1 << 24);
	if (argc != 4 || !str_u64(str_from(argv[3]), &rounds) || rounds == 0 ||
		!file_read_fd(STDIN_FILENO, 1 << 24, &message, &f))
		return 64;
	struct conf *c = conf_load(argv[2], &ignored);
	struct resolver *r = resolver_new(
		&(struct resolver_options){.servers = c->dns_resolvers}, &f);
	must(r != NULL);
	struct dkim_signer *s = dkim_signer_new(c, tables_new(&env),
		dkim_keyring_new(c->dkim_key_directory, r), &ignored);
	double from = 0;
	for (uint64_t i = 0; i <= rounds; i++) {
		if (i == 1)
			from = cpu_us(); /* the first one filled the caches */
		if (strcmp(argv[1], "sign") == 0)
			sign(s, buf_str(&message));
		else
			verify(c, r, buf_str(&message));
	}
	printf("%.1f\n", (cpu_us() - from) / (double)rounds);
	return 0;
}
