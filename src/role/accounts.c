/* SPDX-License-Identifier: ISC */
#include "role/accounts.h"

#include <unistd.h>

#include "ipc/messages.h"

enum { AUTH_TIMEOUT_MS = 30000 };

static enum table_result ask(struct ipc_client *auth, struct str key,
	struct arena *a, struct str *value_r, struct fault *f)
{
	struct ipc_frame reply CLEANUP(ipc_frame_fini);
	struct buf b CLEANUP(buf_fini);

	ipc_frame_init(&reply);
	buf_init(&b, 4096);
	wire_put_str(&b, key);
	if (!ipc_call(auth, IPC_ACCOUNT, buf_str(&b), -1, AUTH_TIMEOUT_MS,
		    &reply, f))
		return TABLE_ERROR;
	struct wire w = {.rest = buf_str(&reply.payload)};
	bool found = wire_u8(&w) != 0;
	struct str value = wire_str(&w);
	if (!wire_ok(&w)) {
		fault_set(f, FAULT_TEMP, 451, 3, 0, "auth sent nonsense");
		return TABLE_ERROR;
	}
	if (found)
		*value_r = arena_str(a, value);
	return found ? TABLE_FOUND : TABLE_NONE;
}

enum table_result accounts_table_lookup(struct str key, struct arena *a,
	struct str *value_r, struct fault *f, void *ctx)
{
	struct accounts_directory *d = ctx;
	enum table_result r;
	uint64_t version;

	key = arena_lower(a, str_sub(key, 0, 2000));
	if (accounts_cache_get(d->cache, key, a, &r, value_r, &version))
		return r;
	r = ask(d->auth, key, a, value_r, f);
	if (r != TABLE_ERROR)
		accounts_cache_put(d->cache, key, r, *value_r, version);
	return r;
}

enum table_result accounts_id(struct accounts_directory *d, struct str address,
	struct arena *a, int64_t *id_r, struct fault *f)
{
	struct str value;
	enum table_result r = accounts_table_lookup(address, a, &value, f, d);

	if (r == TABLE_FOUND && !str_i64(value, id_r))
		r = TABLE_NONE;
	return r;
}

bool accounts_of(struct accounts_directory *d, struct str domain,
	struct arena *a, int64_t **ids_r, size_t *n_r, struct fault *f)
{
	struct ipc_frame reply CLEANUP(ipc_frame_fini);
	struct buf b CLEANUP(buf_fini);

	ipc_frame_init(&reply);
	buf_init(&b, 4096);
	wire_put_str(&b, domain);
	if (!ipc_call(d->auth, IPC_ACCOUNTS_OF, buf_str(&b), -1,
		    AUTH_TIMEOUT_MS, &reply, f))
		return false;
	struct wire w = {.rest = buf_str(&reply.payload)};
	*n_r = wire_count(&w, 8);
	*ids_r = arena_alloc(a, (*n_r + 1) * sizeof(**ids_r));
	for (size_t i = 0; i < *n_r; i++)
		(*ids_r)[i] = (int64_t)wire_u64(&w);
	return wire_ok(&w) ||
	       fault_set(f, FAULT_TEMP, 451, 3, 0, "auth sent nonsense");
}

bool accounts_spend(struct ipc_client *auth, int64_t account,
	const struct strs *recipients, const struct usage_limits *limits,
	struct usage_result *result_r, struct fault *f)
{
	struct ipc_frame reply CLEANUP(ipc_frame_fini);
	struct buf b CLEANUP(buf_fini);

	ipc_frame_init(&reply);
	buf_init(&b, IPC_PAYLOAD_MAX);
	wire_put_u64(&b, (uint64_t)account);
	wire_put_u64(&b, (uint64_t)limits->messages);
	wire_put_u64(&b, (uint64_t)limits->recipients);
	wire_put_u64(&b, (uint64_t)limits->new_recipients);
	wire_put_u32(&b, (uint32_t)recipients->n);
	for (size_t i = 0; i < recipients->n; i++)
		wire_put_str(&b, recipients->v[i]);
	if (!ipc_call(auth, IPC_ACCOUNT_SPEND, buf_str(&b), -1, AUTH_TIMEOUT_MS,
		    &reply, f))
		return false;
	struct wire w = {.rest = buf_str(&reply.payload)};
	uint8_t over = wire_u8(&w);
	result_r->over = over <= USAGE_NEW_RECIPIENTS ? (enum usage_over)over
						      : USAGE_WITHIN;
	result_r->count = (int64_t)wire_u64(&w);
	result_r->first = wire_u8(&w) != 0;
	return wire_ok(&w) ||
	       fault_set(f, FAULT_TEMP, 451, 3, 0, "auth sent nonsense");
}

void auth_talk_init(
	struct auth_talk *t, struct ipc_client *auth, struct arena *a)
{
	*t = (struct auth_talk){.auth = auth, .sock = -1, .a = a};
}

void auth_talk_fini(struct auth_talk *t)
{
	/* One that the client broke off, auth forgets with it. */
	if (t->sock >= 0 && t->over)
		ipc_client_give(t->auth, t->sock);
	else if (t->sock >= 0)
		close(t->sock);
	t->sock = -1;
}

static enum auth_result exchange(struct auth_talk *t, enum ipc_type type,
	struct str payload, struct str *text_r, struct str *login_r,
	int64_t *id_r, struct fault *f)
{
	struct ipc_frame reply CLEANUP(ipc_frame_fini);

	ipc_frame_init(&reply);
	t->over = false;
	if (!ipc_send(t->sock, type, payload, -1, f) ||
		!ipc_recv(t->sock, AUTH_TIMEOUT_MS, &reply, f))
		return AUTH_TEMP;
	struct wire w = {.rest = buf_str(&reply.payload)};
	t->over = reply.type != IPC_MORE;
	if (reply.type == IPC_MORE) {
		*text_r = arena_str(t->a, wire_str(&w));
		return AUTH_CONTINUE;
	}
	if (reply.type == IPC_OK) {
		*login_r = arena_str(t->a, wire_str(&w));
		*id_r = (int64_t)wire_u64(&w);
		*text_r = arena_str(t->a, wire_str(&w));
		return wire_ok(&w) ? AUTH_DONE : AUTH_TEMP;
	}
	ipc_read_fault(buf_str(&reply.payload), f);
	if (f->class == FAULT_TEMP)
		return AUTH_TEMP;
	return f->code == 501 ? AUTH_BROKEN : AUTH_REFUSED;
}

enum auth_result auth_start(struct auth_talk *t, const char *mechanism,
	struct str initial, struct str client,
	const struct auth_binding *binding, struct str *text_r,
	struct str *login_r, int64_t *id_r, struct fault *f)
{
	struct buf b CLEANUP(buf_fini);

	auth_talk_fini(t);
	t->sock = ipc_client_take(t->auth, f);
	if (t->sock < 0)
		return AUTH_TEMP;
	buf_init(&b, 65536);
	wire_put_str(&b, str_from(mechanism));
	wire_put_str(&b, initial);
	wire_put_str(&b, client);
	wire_put_str(&b, binding != NULL ? binding->exporter : STR_NONE);
	wire_put_str(&b, binding != NULL ? binding->end_point : STR_NONE);
	wire_put_u8(&b, binding != NULL && binding->offered);
	wire_put_str(&b, binding != NULL ? binding->certificate : STR_NONE);
	return exchange(
		t, IPC_AUTH_START, buf_str(&b), text_r, login_r, id_r, f);
}

enum auth_result auth_step(struct auth_talk *t, struct str response,
	struct str *text_r, struct str *login_r, int64_t *id_r, struct fault *f)
{
	struct buf b CLEANUP(buf_fini);

	buf_init(&b, 65536);
	wire_put_str(&b, response);
	return exchange(
		t, IPC_AUTH_STEP, buf_str(&b), text_r, login_r, id_r, f);
}
