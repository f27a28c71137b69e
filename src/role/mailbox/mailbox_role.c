/* SPDX-License-Identifier: ISC */
/* The mailbox role: owner of the store's files. */
#include "base/must.h"
#include "codec/mail/charset.h"
#include "role/ipc_server.h"
#include "role/mailbox/gate/gate.h"
#include "role/mailbox/imap/box.h"
#include "role/mailbox/indexer.h"
#include "role/mailbox/pop3/pop3.h"
#include "role/mailbox/quota.h"

enum {
	AGENTS = 32,
	FRAME_BYTES = 8184, /* of most mail; 8 KiB with the head */
};

/* A delivery that is asked for, until it is answered. */
struct asked {
	struct ipc_session *s;
	struct arena *a; /* holds this, too */
	struct buf payload; /* what envelope and text lean on */
	struct text text;
	struct envelope e;
	struct outcomes o;
};

static void delivered(void *ctx)
{
	struct asked *x = ctx;
	struct buf b CLEANUP(buf_fini);

	buf_init(&b, IPC_PAYLOAD_MAX);
	outcomes_put(&b, &x->o);
	ipc_answer(x->s, IPC_OK, buf_str(&b), -1);
	ipc_paid(x->s);
	text_fini(&x->text);
	buf_fini(&x->payload);
	arena_free(x->a);
}

/* No thread waits for the disk: who commits answers. */
static bool handle_deliver(struct ipc_session *s, struct ipc_frame *frame)
{
	struct arena *a = arena_new(SIZE_MAX);
	struct asked *x = arena_make(a, struct asked);
	struct wire w = {.rest = buf_str(&frame->payload)};

	*x = (struct asked){.s = s, .a = a, .text = {.fd = -1}};
	if (!envelope_read(&w, a, &x->e) || !text_read(&w, frame, &x->text)) {
		arena_free(a);
		return false;
	}
	x->payload = frame->payload;
	buf_init(&frame->payload, IPC_PAYLOAD_MAX);
	uint32_t *all = arena_alloc(a, (x->e.n_rcpts + 1) * sizeof(*all));
	for (uint32_t i = 0; i < x->e.n_rcpts; i++)
		all[i] = i;
	x->o.v = arena_alloc(a, (x->e.n_rcpts + 1) * sizeof(*x->o.v));
	ipc_owe(s);
	mailbox_post(s->role_ctx, &x->e, all, x->e.n_rcpts, &x->text, a, &x->o,
		delivered, x);
	return true;
}

/* Is there room?  The answer of one moment: delivery looks again. */
static bool handle_room(
	struct ipc_session *s, struct ipc_frame *frame, struct arena *a)
{
	struct wire w = {.rest = buf_str(&frame->payload)};
	struct str address = wire_str(&w);
	uint64_t bytes = wire_u64(&w);
	char room;
	bool full;
	struct fault f;

	if (!wire_ok(&w))
		return false;
	if (!mailbox_is_full(s->role_ctx, address, bytes, a, &full, &f))
		return ipc_answer_fault(s, &f);
	room = !full;
	return ipc_answer(s, IPC_OK, str_of(&room, 1), -1);
}

static bool handle_import(
	struct ipc_session *s, struct ipc_frame *frame, struct arena *a)
{
	struct wire w = {.rest = buf_str(&frame->payload)};
	struct buf b CLEANUP(buf_fini);
	struct import_request r;
	struct import_done done;
	struct fault f;

	if (!import_request_read(&w, a, &r))
		return false;
	if (!mailbox_import(s->role_ctx, &r, frame->fd, a, &done, &f))
		return ipc_answer_fault(s, &f);
	buf_init(&b, 64);
	wire_put_u32(&b, done.added);
	wire_put_u32(&b, done.same_uid);
	return ipc_answer(s, IPC_OK, buf_str(&b), -1);
}

static bool handle(struct ipc_session *s, struct ipc_frame *frame)
{
	if (frame->type == IPC_DELIVER)
		return handle_deliver(s, frame);
	struct arena *a CLEANUP(arena_freep) = arena_new(SIZE_MAX);
	if (frame->type == IPC_IMPORT)
		return handle_import(s, frame, a);
	return frame->type == IPC_MAILBOX_ROOM && handle_room(s, frame, a);
}

static struct mailbox_service *service_new(
	struct mailbox_role *m, struct service *service)
{
	struct role *r = m->role;
	struct mailbox_service *sv = arena_make(r->a, struct mailbox_service);
	const struct conf *c = service->conf;
	bool imap = service->kind == SERVICE_IMAPD;
	struct str own =
		imap ? c->imapd_tls_chain_files : c->pop3d_tls_chain_files;
	struct tls_files files = {
		.chain_files = own.len > 0 ? own : c->smtpd_tls_chain_files,
		.cert_file = c->smtpd_tls_cert_file,
		.key_file = c->smtpd_tls_key_file,
		.ec_cert_file = c->smtpd_tls_eccert_file,
		.ec_key_file = c->smtpd_tls_eckey_file,
		.protocols = c->smtpd_tls_mandatory_protocols,
		.options = tls_options_smtpd(c, true),
		.sni_maps = role_sni_maps(r, c),
		.alpn = imap ? "imap" : "pop3"};
	struct fault f;

	sv->m = m;
	sv->service = service;
	sv->c = c;
	role_may_read_dir(r, files.chain_files);
	role_may_read_dir(r, files.cert_file);
	role_may_read_dir(r, files.key_file);
	role_may_read_dir(r, files.ec_cert_file);
	role_may_read_dir(r, files.ec_key_file);
	if (files.chain_files.len > 0 ||
		(files.cert_file.len > 0 &&
			!str_eqc(files.cert_file, "none"))) {
		sv->tls = tls_server_new(&files, &f);
		if (sv->tls == NULL)
			role_die(r, &f);
	}
	return sv;
}

int role_mailbox(struct role *r)
{
	static const struct ipc_handlers handlers = {
		.frame = handle, .likely_bytes = FRAME_BYTES};
	struct mailbox_role *m = arena_make(r->a, struct mailbox_role);
	struct mailbox_service *services[ROLE_LISTENERS_MAX];
	const struct conf *c = r->conf;
	struct problems ignored = {.a = r->a};
	const struct str lists[] = {c->alias_maps, c->mailbox_transport_maps,
		c->fallback_transport_maps, c->virtual_mailbox_maps,
		c->mydestination, c->virtual_alias_domains,
		c->virtual_mailbox_domains, c->relay_domains,
		c->imap_acl_groups_maps};
	struct fault f;

	m->role = r;
	m->bells = bells_new();
	m->policy = policy_new(c, r->tables, NULL, &ignored);
	for (size_t i = 0; i < ARRAY_LEN(lists); i++)
		role_may_read_tables(r, lists[i]);
	for (unsigned i = 0; i < r->n_listeners; i++)
		services[i] = service_new(m, r->listeners[i].service);
	m->quotas = quotas_new(r);
	m->acl_groups = maps_open(r->tables, c, "imap_acl_groups_maps",
		c->imap_acl_groups_maps, 0, &ignored);
	role_may_write(r, c->mail_storage_directory);
	charset_prepare();
	/* Before the first thread: a sandbox holds the threads born in it. */
	role_sandbox(r, false);
	m->store = store_open(arena_cstr(r->a, c->mail_storage_directory),
		&(struct store_settings){
			.shards = (unsigned)c->mail_storage_shards,
			.keep_removed_s = c->mailbox_undelete_time,
			.mailboxes_max = c->imap_mailbox_limit},
		&f);
	if (m->store == NULL)
		role_die(r, &f);
	m->boxes = boxes_new(m->store);
	m->indexer = indexer_new(m->store, c);
	m->pop3_logins = pop3_logins_new();
	r->crew = crew_new((unsigned)c->mailbox_threads);
	ipc_serve(r->crew, r->ipc_fd, &handlers, m);
	agent_start(r, AGENT_MAILBOX, AGENTS, mailbox_job, m);
	for (unsigned i = 0; i < r->n_listeners; i++)
		crew_listen(r->crew, r->listeners[i].fd,
			r->listeners[i].service->kind == SERVICE_IMAPD
				? gate_accepted_imap
				: gate_accepted_pop3,
			services[i]);
	int rc = role_run(r, 500);
	return rc;
}
