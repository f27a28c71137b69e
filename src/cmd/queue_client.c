/* SPDX-License-Identifier: ISC */
#include "cmd/queue_client.h"

#include <errno.h>
#include <unistd.h>

#include "role/role.h"
#include "sys/clock.h"
#include "sys/file.h"

enum { LIST_MS = 60000, ACT_MS = 600000, REQUEST_MAX = 1 << 16 };

/* Who may not come in by the roles' door asks at the one for all. */
static struct ipc_client *client(const struct conf *c)
{
	struct str path = role_socket_path(c, "queue", c->a);

	if (access(path.ptr, W_OK) != 0 && errno == EACCES)
		path = role_showq_path(c, c->a);
	return ipc_client_new(path.ptr, true);
}

const char *ask_queue_text(const json_t *j, const char *key)
{
	const char *s = json_string_value(json_object_get(j, key));

	return s != NULL ? s : "";
}

static bool each(const struct conf *c, enum ipc_type what, struct str payload,
	void (*fn)(const json_t *m, void *ctx), void *ctx, struct fault *f)
{
	struct ipc_frame reply CLEANUP(ipc_frame_fini);
	struct ipc_client *queue = client(c);

	ipc_frame_init(&reply);
	int sock CLEANUP(fd_close) = ipc_client_take(queue, f);
	bool ok = sock >= 0 && ipc_send(sock, what, payload, -1, f);
	while (ok && (ok = ipc_recv(sock, LIST_MS, &reply, f)) &&
		reply.type == IPC_MORE) {
		struct wire w = {.rest = buf_str(&reply.payload)};
		struct str row = wire_str(&w);
		json_t *j = json_loadb(row.ptr, row.len, 0, NULL);

		if (j != NULL)
			fn(j, ctx);
		json_decref(j);
	}
	ipc_client_free(queue);
	return ok && (reply.type == IPC_OK ||
			     ipc_read_fault(buf_str(&reply.payload), f));
}

bool ask_queue_each(const struct conf *c, const struct queue_request *r,
	void (*fn)(const json_t *m, void *ctx), void *ctx, struct fault *f)
{
	struct buf b CLEANUP(buf_fini);

	buf_init(&b, REQUEST_MAX);
	queue_request_put(&b, r);
	return each(c, IPC_QUEUE_LIST, buf_str(&b), fn, ctx, f);
}

bool ask_queue_sites(const struct conf *c,
	void (*fn)(const json_t *site, void *ctx), void *ctx, struct fault *f)
{
	return each(c, IPC_QUEUE_SITES, STR_NONE, fn, ctx, f);
}

/* One frame there, one back. */
static bool ask(const struct conf *c, enum ipc_type what, const struct buf *b,
	struct ipc_frame *reply, struct wire *w_r, struct fault *f)
{
	struct ipc_client *queue = client(c);

	ipc_frame_init(reply);
	bool ok = ipc_call(queue, what, buf_str(b), -1, ACT_MS, reply, f);
	*w_r = (struct wire){.rest = buf_str(&reply->payload)};
	ipc_client_free(queue);
	return ok;
}

bool ask_queue_act(const struct conf *c, const struct queue_request *r,
	struct queue_done *done_r, struct fault *f)
{
	struct ipc_frame reply CLEANUP(ipc_frame_fini);
	struct buf b CLEANUP(buf_fini);
	struct wire w;

	buf_init(&b, REQUEST_MAX);
	queue_request_put(&b, r);
	bool ok = ask(c, IPC_QUEUE_ACT, &b, &reply, &w, f);
	done_r->n = ok ? wire_u64(&w) : 0;
	done_r->busy = ok ? wire_u64(&w) : 0;
	return ok;
}

bool ask_queue_flush_site(const struct conf *c, const char *domain,
	unsigned long long *n_r, struct fault *f)
{
	struct ipc_frame reply CLEANUP(ipc_frame_fini);
	struct buf b CLEANUP(buf_fini);
	struct wire w;

	buf_init(&b, REQUEST_MAX);
	wire_put_str(&b, str_from(domain));
	bool ok = ask(c, IPC_QUEUE_FLUSH_SITE, &b, &reply, &w, f);
	*n_r = ok ? wire_u64(&w) : 0;
	return ok;
}

bool ask_queue_id(const char *which, uint64_t *id_r, struct fault *f)
{
	*id_r = 0;
	return str_ieqc(str_from(which), "ALL") ||
	       id_parse(str_from(which), id_r) ||
	       fault_set(f, FAULT_PERM, 550, 5, 4, "not a queue id: %s", which);
}
