/* SPDX-License-Identifier: ISC */
#include "sys/clock.h"

#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "base/must.h"

/* No vowels: no words.  Sorted, so that texts sort as the numbers do. */
static const char digits[] = "0123456789BCDFGHJKLMNPQRSTVWXYZ";
enum { BASE = sizeof(digits) - 1 };

int64_t clock_unix_us(void)
{
	struct timespec t;

	must(clock_gettime(CLOCK_REALTIME, &t) == 0);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

int64_t clock_unix(void)
{
	return clock_unix_us() / 1000000;
}

int64_t clock_mono_ms(void)
{
	struct timespec t;

	must(clock_gettime(CLOCK_MONOTONIC, &t) == 0);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

int clock_zone_minutes(int64_t at)
{
	time_t t = (time_t)at;
	struct tm tm;

	if (localtime_r(&t, &tm) == NULL)
		return 0;
	return (int)(tm.tm_gmtoff / 60);
}

void random_fill(void *p, size_t len)
{
	unsigned char *at = p;

	while (len > 0) {
		ssize_t n = getrandom(at, len > 256 ? 256 : len, 0);

		must(n > 0);
		at += n;
		len -= (size_t)n;
	}
}

uint64_t random_u64(void)
{
	uint64_t v;

	random_fill(&v, sizeof(v));
	return v;
}

/* Ids are no secrets: the kernel is asked once for many. */
static uint64_t id_noise(void)
{
	static _Thread_local uint16_t pool[64];
	static _Thread_local size_t left;

	if (left == 0) {
		random_fill(pool, sizeof(pool));
		left = sizeof(pool) / sizeof(pool[0]);
	}
	return pool[--left] & 0xfff;
}

uint64_t id_new(void)
{
	/* 51 bits of microseconds last until the year 2041 in 63 bits. */
	uint64_t us = (uint64_t)clock_unix_us() & ((1ULL << 51) - 1);

	return us << 12 | id_noise();
}

void id_text(uint64_t id, char out[ID_TEXT])
{
	out[ID_TEXT - 1] = '\0';
	for (int i = ID_TEXT - 2; i >= 0; i--) {
		out[i] = digits[id % BASE];
		id /= BASE;
	}
}

bool id_parse(struct str s, uint64_t *id_r)
{
	uint64_t id = 0;

	if (s.len != ID_TEXT - 1)
		return false;
	for (size_t i = 0; i < s.len; i++) {
		const char *at =
			s.ptr[i] != '\0' ? strchr(digits, s.ptr[i]) : NULL;

		if (at == NULL || __builtin_mul_overflow(id, BASE, &id) ||
			__builtin_add_overflow(
				id, (uint64_t)(at - digits), &id))
			return false;
	}
	*id_r = id;
	return true;
}
