/* SPDX-License-Identifier: ISC */
#ifndef ROLE_IPC_SERVER_H
#define ROLE_IPC_SERVER_H

/*
 * ipc_server: the side of a role that answers other roles.  Conversations are
 * sessions of the crew: a quiet one is parked.
 */

#include "ipc/messages.h"
#include "net/crew.h"

struct ipc_session {
	struct seat seat;
	void *role_ctx; /* as given to ipc_serve */
	void *own; /* the handler's, for this conversation */
	pthread_mutex_t write_lock; /* for who writes from other threads */
	pthread_cond_t paid;
	unsigned owed;
};

struct ipc_handlers {
	/* One frame; false ends the conversation. */
	bool (*frame)(struct ipc_session *s, struct ipc_frame *frame);
	/* The conversation is over; may be NULL. */
	void (*closed)(struct ipc_session *s);
	/* Where anybody may ask: octets of a frame, conversations at a time
	 * (who comes then is sent away), and seconds that one may be quiet.
	 * 0: as any role, without such limits. */
	size_t frame_max;
	unsigned sessions_max;
	unsigned quiet_s;
	/* Where who asks awaits the answer before he asks again: octets of
	 * most frames.  0: frames may follow one another. */
	size_t likely_bytes;
};

/* Serves the listening socket in the crew.  handlers must stay. */
void ipc_serve(struct crew *crew, int listen_fd,
	const struct ipc_handlers *handlers, void *role_ctx);

/* Answers; false when the peer is gone. */
bool ipc_answer(
	struct ipc_session *s, enum ipc_type type, struct str payload, int fd);
bool ipc_answer_fault(struct ipc_session *s, const struct fault *f);

/* The answer comes later, from another thread, which says ipc_paid behind it: a
 * conversation that is over stays until then. */
void ipc_owe(struct ipc_session *s);
void ipc_paid(struct ipc_session *s);

#endif
