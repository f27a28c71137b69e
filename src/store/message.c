/* SPDX-License-Identifier: ISC */
#include "store/message.h"

#include <semaphore.h>
#include <stdlib.h>

#include "sys/waiting.h"

bool store_message(struct store *s, int64_t account, int64_t mailbox,
	uint32_t uid, unsigned parts, struct store_message *m_r,
	struct fault *f)
{
	struct store_reading *r = store_read_begin(s, account, f);
	bool ok =
		r != NULL && store_read_message(r, mailbox, uid, parts, m_r, f);

	store_read_end(r);
	return ok;
}

void store_message_fini(struct store_message *m)
{
	free(m->memory);
	*m = (struct store_message){0};
}

static void told(void *ctx)
{
	sem_post(ctx);
}

void store_deliver(struct store *s, struct store_target *targets, size_t n)
{
	sem_t done;

	sem_init(&done, 0, 0);
	waiting_begin();
	store_post(s, targets, n, told, &done);
	while (sem_wait(&done) != 0)
		continue; /* a signal */
	waiting_end();
	sem_destroy(&done);
}
