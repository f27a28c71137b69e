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

int64_t clock_mono_us(void)
{
	struct timespec t;

	must(clock_gettime(CLOCK_MONOTONIC, &t) == 0);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

int64_t clock_mono_ms(void)
{
	struct timespec t;

	must(clock_gettime(CLOCK_MONOTONIC_COARSE, &t) == 0);
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

/* ---- ids: microseconds, lane, number ---- */

enum { LANE_BITS = 6, NUMBER_BITS = 6 };

static uint64_t id_last; /* microseconds and number of the last one */
static uint64_t id_lane_plus_1; /* 0: not chosen yet */

void id_lane(unsigned lane)
{
	__atomic_store_n(&id_lane_plus_1, lane % (1u << LANE_BITS) + 1,
		__ATOMIC_RELAXED);
}

static uint64_t lane_of_process(void)
{
	uint64_t lane = __atomic_load_n(&id_lane_plus_1, __ATOMIC_RELAXED);

	if (lane == 0) {
		id_lane((unsigned)random_u64());
		lane = __atomic_load_n(&id_lane_plus_1, __ATOMIC_RELAXED);
	}
	return lane - 1;
}

uint64_t id_new(void)
{
	/* 51 bits of microseconds last until the year 2041 in 63 bits. */
	uint64_t us = (uint64_t)clock_unix_us() & ((1ULL << 51) - 1);
	uint64_t last = __atomic_load_n(&id_last, __ATOMIC_RELAXED);
	uint64_t next;

	/* Each is above the last, whatever the clock says. */
	do {
		next = us << NUMBER_BITS;
		if (next <= last)
			next = last + 1;
	} while (!__atomic_compare_exchange_n(&id_last, &last, next, true,
		__ATOMIC_RELAXED, __ATOMIC_RELAXED));
	return next >> NUMBER_BITS << (LANE_BITS + NUMBER_BITS) |
	       lane_of_process() << NUMBER_BITS |
	       (next & ((1u << NUMBER_BITS) - 1));
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
