/* SPDX-License-Identifier: ISC */
#ifndef IPC_IPC_H
#define IPC_IPC_H

/*
 * ipc: how roles talk: a Unix stream socket per conversation, frames of type
 * and payload, at most one descriptor with a frame.
 *
 * Every message there is stands in this list; the payload of each is
 * described beside it and read and written by ipc/messages.h.
 */

#include <pthread.h>

#include "base/buf.h"
#include "base/fault.h"

enum ipc_type {
	/* answers */
	IPC_OK = 1, /* depends on the request */
	IPC_NO, /* fault */
	IPC_MORE, /* str: a SASL challenge, or one of many rows */

	/* to auth */
	IPC_AUTH_START = 20, /* str mechanism, initial, client; TLS */
	IPC_AUTH_STEP, /* str response */
	IPC_ACCOUNT, /* str key -> OK u8 found, str value */
	IPC_ACCOUNTS_OF, /* str domain -> OK u32 count, u64 id ... */
	IPC_ACCOUNT_SPEND, /* id, limits, recipients -> OK u8, count, first */

	/* to queue */
	IPC_QUEUE_PUT = 40, /* envelope, text -> OK */
	IPC_JOB_NEXT, /* u8 agent kind -> JOB, some time later */
	IPC_JOB, /* job */
	IPC_JOB_BODY, /* -> OK text */
	IPC_JOB_DONE, /* results -> JOB, some time later */
	IPC_QUEUE_LIST, /* queue_request -> MORE str json ..., OK */
	IPC_QUEUE_SHOW, /* str id -> OK text */
	IPC_QUEUE_ACT, /* queue_request -> OK u64 count, u64 busy */

	IPC_VERIFY, /* str address, u32 wait ms -> OK u8 status, str text */
	IPC_QUEUE_SITES, /* -> MORE str json ..., OK */
	IPC_QUEUE_FLUSH_SITE, /* str domain -> OK u64 count */

	/* to mailbox */
	IPC_DELIVER = 60, /* envelope, text -> OK results */
	IPC_MAILBOX_ROOM, /* str address, u64 bytes -> OK u8 */
	IPC_IMPORT, /* import_request, descriptor -> OK u32 added, u32 kept */

	/* to report */
	IPC_DMARC_SEEN = 70, /* dmarc_seen -> OK */
	IPC_DMARC_FAILED, /* dmarc_failed -> OK */
	IPC_TLS_SEEN, /* tls_seen -> OK */

	/* to master */
	IPC_STATUS = 80, /* -> OK str json */
	IPC_LOCAL, /* local delivery, descriptor -> OK result */
};

enum { IPC_PAYLOAD_MAX = 16 << 20 };

struct ipc_frame {
	enum ipc_type type;
	struct buf payload;
	int fd; /* -1: none; the receiver owns it */
};

void ipc_frame_init(struct ipc_frame *frame);
void ipc_frame_fini(struct ipc_frame *frame); /* also for CLEANUP */

/* fd: descriptor to pass, -1 for none; stays the caller's. */
bool ipc_send(int sock, enum ipc_type type, struct str payload, int fd,
	struct fault *f);
/* Is there a frame, or its beginning, or the end?  Does not wait. */
bool ipc_readable(int sock);
/* timeout_ms < 0: wait for ever.  False at the end of the stream too. */
bool ipc_recv(
	int sock, int64_t timeout_ms, struct ipc_frame *frame, struct fault *f);
/* The same where nothing follows before we answer: a payload of up to
 * likely_bytes takes one system call.  What does follow is nonsense. */
bool ipc_recv_only(int sock, size_t likely_bytes, int64_t timeout_ms,
	struct ipc_frame *frame, struct fault *f);

/* ---- client side ---- */

/* Connections to one role, kept between calls; any thread. */
struct ipc_client;
/* keep: the role answers many requests on one connection (master does not:
 * a child of it answers and ends). */
struct ipc_client *ipc_client_new(const char *socket_path, bool keep);
void ipc_client_free(struct ipc_client *c);

/*
 * One request, one answer.  A role that was restarted in between gives a
 * temporary fault: the request may or may not have been carried out.
 * An IPC_NO answer becomes the fault, too.
 */
bool ipc_call(struct ipc_client *c, enum ipc_type type, struct str payload,
	int fd, int64_t timeout_ms, struct ipc_frame *reply, struct fault *f);

/*
 * ipc_call in two halves, for who has something else to do while the other role
 * works.  The first sends the request and returns the connection, -1 with the
 * fault; it is readable when the answer has begun to come.  The second waits
 * for what is left of it, at most timeout_ms, and takes the connection back.
 * Who does not want the answer closes it.
 */
int ipc_ask(struct ipc_client *c, enum ipc_type type, struct str payload,
	int fd, struct fault *f);
bool ipc_answered(struct ipc_client *c, int sock, int64_t timeout_ms,
	struct ipc_frame *reply, struct fault *f);

/* A conversation of several frames: take a connection, give it back only
 * when it is at a boundary; else close it. */
int ipc_client_take(struct ipc_client *c, struct fault *f);
void ipc_client_give(struct ipc_client *c, int sock);

#endif
