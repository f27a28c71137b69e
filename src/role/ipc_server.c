/* SPDX-License-Identifier: ISC */
#include "role/ipc_server.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/must.h"
#include "sys/clock.h"
#include "sys/waiting.h"

enum { FRAME_TIMEOUT_MS = 30000 };

struct server {
	struct crew *crew;
	const struct ipc_handlers *handlers;
	void *role_ctx;
};

struct session {
	struct ipc_session s; /* first: a seat is a session */
	struct server *server;
};

static struct session *session_of(struct seat *seat)
{
	union {
		struct seat *seat;
		struct session *session;
	} u = {.seat = seat};

	return u.session;
}

static enum next end(struct session *x)
{
	if (x->server->handlers->closed != NULL)
		x->server->handlers->closed(&x->s);
	pthread_mutex_lock(&x->s.write_lock);
	waiting_begin();
	while (x->s.owed > 0)
		pthread_cond_wait(&x->s.paid, &x->s.write_lock);
	waiting_end();
	pthread_mutex_unlock(&x->s.write_lock);
	crew_leave(&x->s.seat);
	close(x->s.seat.fd);
	pthread_cond_destroy(&x->s.paid);
	pthread_mutex_destroy(&x->s.write_lock);
	free(x);
	return NEXT_CLOSE;
}

static void may_be_quiet(struct session *x)
{
	unsigned quiet_s = x->server->handlers->quiet_s;

	if (quiet_s > 0)
		x->s.seat.deadline_ms = clock_mono_ms() + quiet_s * 1000;
}

/* One frame a call: others have their turn. */
static enum next serve(struct seat *seat)
{
	struct session *x = session_of(seat);
	struct ipc_frame frame CLEANUP(ipc_frame_fini);
	struct fault f;

	ipc_frame_init(&frame);
	if (x->server->handlers->frame_max > 0)
		frame.payload.max = x->server->handlers->frame_max;
	/* Who has just connected may not have said anything yet; what was said
	 * before the end is answered. */
	if (!seat->readable && !ipc_readable(seat->fd))
		return crew_ending(seat->crew) || seat->timed_out ? end(x)
								  : NEXT_PARK;
	if (!ipc_recv_only(seat->fd, x->server->handlers->likely_bytes,
		    FRAME_TIMEOUT_MS, &frame, &f) ||
		!x->server->handlers->frame(&x->s, &frame))
		return end(x);
	may_be_quiet(x);
	return NEXT_PARK;
}

static void accepted(int fd, void *ctx)
{
	struct server *server = ctx;
	unsigned most = server->handlers->sessions_max;

	if (most > 0 && crew_sessions(server->crew) >= most) {
		close(fd);
		return;
	}
	struct session *x = must_alloc(sizeof(*x));
	x->server = server;
	x->s.role_ctx = server->role_ctx;
	x->s.seat.fd = fd;
	x->s.seat.serve = serve;
	pthread_mutex_init(&x->s.write_lock, NULL);
	pthread_cond_init(&x->s.paid, NULL);
	may_be_quiet(x);
	crew_add(server->crew, &x->s.seat);
}

void ipc_serve(struct crew *crew, int listen_fd,
	const struct ipc_handlers *handlers, void *role_ctx)
{
	struct server *server = must_alloc(sizeof(*server));

	*server = (struct server){crew, handlers, role_ctx};
	crew_listen(crew, listen_fd, accepted, server);
}

bool ipc_answer(
	struct ipc_session *s, enum ipc_type type, struct str payload, int fd)
{
	struct fault f;

	pthread_mutex_lock(&s->write_lock);
	bool ok = ipc_send(s->seat.fd, type, payload, fd, &f);
	pthread_mutex_unlock(&s->write_lock);
	return ok;
}

bool ipc_answer_fault(struct ipc_session *s, const struct fault *f)
{
	struct buf b CLEANUP(buf_fini);

	buf_init(&b, 4096);
	ipc_put_fault(&b, f);
	return ipc_answer(s, IPC_NO, buf_str(&b), -1);
}

void ipc_owe(struct ipc_session *s)
{
	pthread_mutex_lock(&s->write_lock);
	s->owed++;
	pthread_mutex_unlock(&s->write_lock);
}

void ipc_paid(struct ipc_session *s)
{
	pthread_mutex_lock(&s->write_lock);
	if (--s->owed == 0)
		pthread_cond_signal(&s->paid);
	pthread_mutex_unlock(&s->write_lock);
}
