/* SPDX-License-Identifier: ISC */
#include "store/message.h"

#include <stdlib.h>

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
