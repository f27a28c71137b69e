/* SPDX-License-Identifier: ISC */
#include "net/pace.h"

#include <dirent.h>
#include <sched.h>
#include <stdlib.h>
#include <time.h>

#include "sys/clock.h"

enum {
	TICK_MS = 2,
	TICKS = 5, /* between decisions */
	FOUND_MIN = 10, /* 1,000 a second */
	LATE_US = 700, /* on average, twice: there are others */
	REST_TICKS = 250,
};

struct pace pace_new(void)
{
	return (struct pace){.fixed = sched_getscheduler(0) != SCHED_OTHER};
}

bool pace_sleep(struct pace *p)
{
	const struct timespec tick = {.tv_nsec = TICK_MS * 1000000};
	int64_t began = clock_mono_us();

	nanosleep(&tick, NULL);
	return pace_tick(p, clock_mono_us() - began - TICK_MS * 1000);
}

bool pace_tick(struct pace *p, int64_t late_us)
{
	p->late_us += late_us;
	p->rest -= p->rest > 0;
	return ++p->ticks >= TICKS;
}

bool pace_decide(struct pace *p)
{
	bool late = p->batch && p->late_us > (int64_t)LATE_US * p->ticks;
	bool many = p->found >= FOUND_MIN && p->found * 2 >= p->looks * 3;

	if (late && p->late)
		p->rest = REST_TICKS;
	p->late = late;
	p->looks = p->found = p->ticks = 0;
	p->late_us = 0;
	return many && p->rest == 0 && !p->fixed;
}

void pace_set(struct pace *p, bool batch)
{
	const struct sched_param none = {0};
	DIR *d;

	if (batch == p->batch || (d = opendir("/proc/self/task")) == NULL)
		return;
	p->batch = batch;
	for (struct dirent *e; (e = readdir(d)) != NULL;) {
		int thread = atoi(e->d_name);

		/* One that has ended meanwhile is no matter. */
		if (thread > 0)
			sched_setscheduler(thread,
				batch ? SCHED_BATCH : SCHED_OTHER, &none);
	}
	closedir(d);
}
