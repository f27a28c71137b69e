/* SPDX-License-Identifier: ISC */
#include <pthread.h>

#include "base/must.h"
#include "role/mailbox/mailbox.h"

enum { BELL_SLOTS = 1024 };

struct bells {
	pthread_mutex_t lock;
	struct bell *slots[BELL_SLOTS];
};

struct bells *bells_new(void)
{
	struct bells *b = must_alloc(sizeof(*b));

	pthread_mutex_init(&b->lock, NULL);
	return b;
}

static struct bell **slot(struct bells *b, int64_t account)
{
	return &b->slots[(uint64_t)account % BELL_SLOTS];
}

void bells_add(struct bells *b, struct bell *bell)
{
	pthread_mutex_lock(&b->lock);
	struct bell **p = slot(b, bell->account);
	bell->next = *p;
	*p = bell;
	pthread_mutex_unlock(&b->lock);
}

void bells_remove(struct bells *b, struct bell *bell)
{
	pthread_mutex_lock(&b->lock);
	struct bell **p = slot(b, bell->account);
	while (*p != NULL && *p != bell)
		p = &(*p)->next;
	if (*p != NULL)
		*p = bell->next;
	pthread_mutex_unlock(&b->lock);
}

void bells_ring(struct bells *b, int64_t account)
{
	/* Under the lock: a session that goes removes its bell first, so the
	 * seat is alive here. */
	pthread_mutex_lock(&b->lock);
	for (struct bell *i = *slot(b, account); i != NULL; i = i->next)
		if (i->account == account)
			crew_ring(i->seat);
	pthread_mutex_unlock(&b->lock);
}
