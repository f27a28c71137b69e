/* SPDX-License-Identifier: ISC */
#ifndef SYS_THREAD_H
#define SYS_THREAD_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

/* Starts a thread with a stack of its own size, 0: the system's.  thread_r: to
 * be joined; NULL: nobody joins it.  False: there can be no further one. */
bool thread_start(void *(*run)(void *), void *ctx, size_t stack_bytes,
	pthread_t *thread_r);

#endif
