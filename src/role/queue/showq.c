/* SPDX-License-Identifier: ISC */
#include "role/queue/showq.h"

#include <pwd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "conf/match.h"
#include "ipc/queue_request.h"
#include "role/ipc_server.h"
#include "sys/sock.h"

enum { THREADS = 4 };

struct showq {
	struct role *role;
	int fd;
	struct match_list *mailq, *flush;
};

struct showq *showq_new(struct role *r)
{
	const struct conf *c = r->conf;
	struct problems ignored = {.a = r->a};
	struct showq *s = arena_make(r->a, struct showq);
	struct str path = role_showq_path(c, r->a);
	struct fault f;

	s->role = r;
	s->mailq = match_list_new(r->tables, c, "authorized_mailq_users",
		c->authorized_mailq_users, MATCH_NAMES, false, &ignored);
	s->flush = match_list_new(r->tables, c, "authorized_flush_users",
		c->authorized_flush_users, MATCH_NAMES, false, &ignored);
	role_may_read_tables(r, c->authorized_mailq_users);
	role_may_read_tables(r, c->authorized_flush_users);
	/* Everybody may connect: who it is, the kernel says. */
	s->fd = sock_unix_listen(path.ptr, 0666, &f);
	if (s->fd >= 0)
		return s;
	log_error("mailq is for root only", log_fault(&f));
	return NULL;
}

void showq_serve(
	struct showq *s, const struct ipc_handlers *handlers, void *role_ctx)
{
	ipc_serve(crew_new(THREADS), s->fd, handlers, role_ctx);
}

/* ---- who may ---- */

static bool is_flush(const struct ipc_frame *frame)
{
	struct wire w = {.rest = buf_str(&frame->payload)};
	struct queue_request r;

	return frame->type == IPC_QUEUE_FLUSH_SITE ||
	       (frame->type == IPC_QUEUE_ACT && queue_request_read(&w, &r) &&
		       r.action == QUEUE_FLUSH);
}

bool showq_may(const struct showq *s, int sock, const struct ipc_frame *frame,
	struct fault *f)
{
	struct arena *a CLEANUP(arena_freep) = arena_new(1 << 16);
	bool flush = is_flush(frame), look = frame->type == IPC_QUEUE_LIST;
	struct passwd pw, *found = NULL;
	struct ucred cred = {.uid = (uid_t)-1};
	socklen_t len = sizeof(cred);
	char buffer[4096];

	if (!flush && !look)
		return fault_set(
			f, FAULT_PERM, 550, 7, 1, "that is for root only");
	if (getsockopt(sock, SOL_SOCKET, SO_PEERCRED, &cred, &len) != 0)
		return fault_sys(f, "SO_PEERCRED");
	getpwuid_r(cred.uid, &pw, buffer, sizeof(buffer), &found);
	struct str name = found != NULL ? str_from(pw.pw_name)
					: arena_printf(a, "%u", cred.uid);
	if (cred.uid == 0 || cred.uid == geteuid())
		return true;
	enum table_result r =
		match_name(flush ? s->flush : s->mailq, name, a, f);
	if (r != TABLE_NONE)
		return r == TABLE_FOUND;
	return fault_set(f, FAULT_PERM, 550, 7, 1, "%s does not name %.*s",
		flush ? "authorized_flush_users" : "authorized_mailq_users",
		STR_ARG(name));
}
