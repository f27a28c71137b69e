/* SPDX-License-Identifier: ISC */
#include "cmd/queue_client.h"

#include "role/role.h"
#include "sys/file.h"

enum { LIST_MS = 60000, ACT_MS = 600000 };

static struct ipc_client *client(const struct conf *c)
{
	return ipc_client_new(role_socket_path(c, "queue", c->a).ptr, true);
}

const char *ask_queue_text(const json_t *j, const char *key)
{
	const char *s = json_string_value(json_object_get(j, key));

	return s != NULL ? s : "";
}

bool ask_queue_each(const struct conf *c, enum ipc_type what,
	void (*fn)(const json_t *m, void *ctx), void *ctx, struct fault *f)
{
	struct ipc_frame reply CLEANUP(ipc_frame_fini);
	struct ipc_client *queue = client(c);

	ipc_frame_init(&reply);
	int sock CLEANUP(fd_close) = ipc_client_take(queue, f);
	bool ok = sock >= 0 && ipc_send(sock, what, STR_NONE, -1, f);
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
	return ok;
}

bool ask_queue_act(const struct conf *c, enum queue_action action,
	const char *which, unsigned long long *n_r, struct fault *f)
{
	struct ipc_frame reply CLEANUP(ipc_frame_fini);
	struct ipc_client *queue = client(c);
	struct buf b CLEANUP(buf_fini);

	ipc_frame_init(&reply);
	buf_init(&b, 4096);
	wire_put_u8(&b, (uint8_t)action);
	wire_put_str(&b, str_from(which));
	bool ok = ipc_call(
		queue, IPC_QUEUE_ACT, buf_str(&b), -1, ACT_MS, &reply, f);
	struct wire w = {.rest = buf_str(&reply.payload)};
	*n_r = ok ? wire_u64(&w) : 0;
	ipc_client_free(queue);
	return ok;
}
