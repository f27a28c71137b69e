/* SPDX-License-Identifier: ISC */
#include "sys/thread.h"

bool thread_start(void *(*run)(void *), void *ctx, size_t stack_bytes,
	pthread_t *thread_r)
{
	pthread_attr_t attr;
	pthread_t thread;

	pthread_attr_init(&attr);
	if (stack_bytes > 0)
		pthread_attr_setstacksize(&attr, stack_bytes);
	if (thread_r == NULL)
		pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	bool ok = pthread_create(&thread, &attr, run, ctx) == 0;
	pthread_attr_destroy(&attr);
	if (ok && thread_r != NULL)
		*thread_r = thread;
	return ok;
}
