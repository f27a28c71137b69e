/* SPDX-License-Identifier: ISC */
#ifndef ROLE_MAILBOX_MAILBOX_H
#define ROLE_MAILBOX_MAILBOX_H

/*
 * mailbox: the role that owns the store: delivers into it, and serves IMAP
 * and POP3 from it.
 */

#include "net/stream.h"
#include "net/tls.h"
#include "role/agent.h"
#include "store/store.h"
#include "sys/clock.h"

struct bells;
struct boxes;
struct quotas;
struct pop3_logins;
struct indexer;

struct mailbox_role {
	struct role *role;
	struct store *store;
	struct policy *policy;
	struct bells *bells;
	struct boxes *boxes;
	struct quotas *quotas;
	struct maps *acl_groups; /* NULL: none */
	struct pop3_logins *pop3_logins;
	struct indexer *indexer; /* NULL: none */
};

struct mailbox_service {
	struct mailbox_role *m;
	struct service *service;
	const struct conf *c;
	struct tls_server *tls; /* NULL: no certificate */
};

/* ---- bells.c: who wants to hear of an account's changes ---- */

struct bell {
	int64_t account;
	struct seat *seat;
	struct bell *next;
};
struct bells *bells_new(void);
void bells_add(struct bells *b, struct bell *bell); /* the caller's memory */
void bells_remove(struct bells *b, struct bell *bell);
void bells_ring(struct bells *b, int64_t account);

/* ---- deliver.c ---- */

/* Into the store, for those of e whose index stands in pick. */
void mailbox_deliver(struct mailbox_role *m, const struct envelope *e,
	const uint32_t *pick, uint32_t n, const struct text *body,
	struct arena *a, struct outcomes *o);
/* The same for who does not wait: all that is given stays until done, which is
 * called as by store_post. */
void mailbox_post(struct mailbox_role *m, const struct envelope *e,
	const uint32_t *pick, uint32_t n, const struct text *body,
	struct arena *a, struct outcomes *o, store_done_f *done, void *ctx);
/* Is there no room for so many bytes?  An address without an account has no
 * quota. */
bool mailbox_is_full(struct mailbox_role *m, struct str address, uint64_t bytes,
	struct arena *a, bool *full_r, struct fault *f);
agent_deliver_f mailbox_job;

/* ---- import.c ---- */

struct import_done {
	uint32_t added; /* the others were there already */
	uint32_t same_uid; /* of those, with the UID they had */
};
/* All messages of the request, or none.  Quotas do not count: whoever runs the
 * server asks for it. */
bool mailbox_import(struct mailbox_role *m, const struct import_request *r,
	int fd, struct arena *a, struct import_done *done, struct fault *f);

/* local.c: aliases and the system's own users */
/* pipe.c: pipe(8), by a child of master. */
void mailbox_pipe(struct mailbox_role *m, const struct job *job,
	const struct text *body, struct arena *a, struct outcomes *o);
void mailbox_local(struct mailbox_role *m, const struct job *job,
	const struct text *body, struct arena *a, struct outcomes *o);

/* Header lines of a delivery: Return-Path (RFC 5321 4.4), X-Original-To
 * (enable_original_recipient), Delivered-To. */
struct str mailbox_prefix(const struct conf *c, const struct envelope *e,
	const struct recipient *r, bool delivered_to, struct arena *a);

#endif
