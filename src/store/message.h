/* SPDX-License-Identifier: ISC */
#ifndef STORE_MESSAGE_H
#define STORE_MESSAGE_H

/* message: what is made of the functions of store.h, whatever the engine. */

#include "store/store.h"

/* False with FAULT_PERM when it is gone. */
bool store_message(struct store *s, int64_t account, int64_t mailbox,
	uint32_t uid, unsigned parts, struct store_message *m_r,
	struct fault *f);
void store_message_fini(struct store_message *m);

/* store_post, and waits until all targets are told. */
void store_deliver(struct store *s, struct store_target *targets, size_t n);

#endif
