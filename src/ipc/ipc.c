/* SPDX-License-Identifier: ISC */
#include "ipc/ipc.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/must.h"
#include "ipc/messages.h"
#include "sys/clock.h"
#include "sys/file.h"
#include "sys/sock.h"
#include "sys/waiting.h"

enum { HEAD_BYTES = 8, ANSWER_BYTES = 1000, POOL_MAX = 128 };

void ipc_frame_init(struct ipc_frame *frame)
{
	*frame = (struct ipc_frame){.fd = -1};
	buf_init(&frame->payload, IPC_PAYLOAD_MAX);
}

void ipc_frame_fini(struct ipc_frame *frame)
{
	buf_fini(&frame->payload);
	fd_close(&frame->fd);
}

/* All of both parts, the descriptor with the first byte. */
static bool send_all(
	int sock, struct str head, struct str data, int fd, struct fault *f)
{
	while (head.len + data.len > 0) {
		union {
			struct cmsghdr head;
			char room[CMSG_SPACE(sizeof(int))];
		} control = {0};
		union {
			const char *in;
			void *out;
		} base[2] = {{.in = head.ptr}, {.in = data.ptr}};
		struct iovec iov[2] = {
			{base[0].out, head.len}, {base[1].out, data.len}};
		struct msghdr msg = {.msg_iov = iov, .msg_iovlen = 2};

		if (fd >= 0) {
			msg.msg_control = control.room;
			msg.msg_controllen = sizeof(control.room);
			struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
			c->cmsg_level = SOL_SOCKET;
			c->cmsg_type = SCM_RIGHTS;
			c->cmsg_len = CMSG_LEN(sizeof(int));
			memcpy(CMSG_DATA(c), &fd, sizeof(fd));
		}
		ssize_t n = sendmsg(sock, &msg, MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN) {
			struct pollfd p = {.fd = sock, .events = POLLOUT};

			if (waiting_poll(&p, 1, 10000) > 0)
				continue;
		}
		if (n < 0)
			return fault_sys(f, "send to another role");
		fd = -1;
		size_t of_head = (size_t)n < head.len ? (size_t)n : head.len;
		head = str_from_at(head, of_head);
		data = str_from_at(data, (size_t)n - of_head);
	}
	return true;
}

bool ipc_send(int sock, enum ipc_type type, struct str payload, int fd,
	struct fault *f)
{
	struct buf head CLEANUP(buf_fini);

	must(payload.len <= IPC_PAYLOAD_MAX);
	buf_init(&head, HEAD_BYTES);
	wire_put_u32(&head, (uint32_t)payload.len);
	wire_put_u32(&head, (uint32_t)type);
	return send_all(sock, buf_str(&head), payload, fd, f);
}

static bool wait_readable(int sock, int64_t deadline_ms, struct fault *f)
{
	for (;;) {
		struct pollfd p = {.fd = sock, .events = POLLIN};
		int64_t left =
			deadline_ms < 0 ? 60000 : deadline_ms - clock_mono_ms();

		if (left <= 0)
			return fault_set(f, FAULT_TEMP, 451, 3, 0,
				"another role does not answer");
		int n = waiting_poll(&p, 1, left > 60000 ? 60000 : (int)left);
		if (n > 0)
			return true;
		if (n < 0 && errno != EINTR)
			return fault_sys(f, "poll");
	}
}

/* Up to len bytes, at least one; takes a descriptor along.  0: failed. */
static size_t recv_some(int sock, char *to, size_t len, int64_t deadline_ms,
	int *fd, struct fault *f)
{
	for (;;) {
		union {
			struct cmsghdr head;
			char room[CMSG_SPACE(sizeof(int))];
		} control = {0};
		struct iovec iov = {to, len};
		struct msghdr msg = {.msg_iov = &iov,
			.msg_iovlen = 1,
			.msg_control = control.room,
			.msg_controllen = sizeof(control.room)};

		ssize_t n =
			recvmsg(sock, &msg, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN) {
			if (!wait_readable(sock, deadline_ms, f))
				return 0;
			continue;
		}
		if (n < 0) {
			fault_sys(f, "receive from another role");
			return 0;
		}
		if (n == 0) {
			fault_set(f, FAULT_TEMP, 451, 3, 0,
				"another role has gone; it is being restarted");
			return 0;
		}
		struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
		if (c != NULL && c->cmsg_type == SCM_RIGHTS) {
			fd_close(fd);
			memcpy(fd, CMSG_DATA(c), sizeof(*fd));
		}
		return (size_t)n;
	}
}

bool ipc_readable(int sock)
{
	struct pollfd p = {.fd = sock, .events = POLLIN};

	return poll(&p, 1, 0) > 0;
}

/* Until there are so many octets; takes more where there are, up to most. */
static bool recv_until(int sock, size_t least, size_t most, int64_t deadline_ms,
	struct ipc_frame *frame, struct fault *f)
{
	struct buf *b = &frame->payload;

	if (!buf_reserve(b, most - b->len))
		return fault_set(f, FAULT_TEMP, 451, 3, 0, "frame too large");
	while (b->len < least) {
		size_t n = recv_some(sock, b->data + b->len, most - b->len,
			deadline_ms, &frame->fd, f);
		if (n == 0)
			return false;
		b->len += n;
	}
	return true;
}

/* ahead: so much of the payload is asked for together with the head; more than
 * the frame is not there. */
static bool recv_frame(int sock, size_t ahead, int64_t timeout_ms,
	struct ipc_frame *frame, struct fault *f)
{
	int64_t deadline_ms =
		timeout_ms < 0 ? -1 : clock_mono_ms() + timeout_ms;
	struct buf *b = &frame->payload;

	fd_close(&frame->fd);
	buf_reset(b);
	if (!recv_until(sock, HEAD_BYTES, HEAD_BYTES + ahead, deadline_ms,
		    frame, f))
		return false;
	struct wire w = {.rest = str_of(b->data, HEAD_BYTES)};
	uint32_t len = wire_u32(&w);
	frame->type = (enum ipc_type)wire_u32(&w);
	buf_consume(b, HEAD_BYTES);
	if (len > IPC_PAYLOAD_MAX || b->len > len)
		return fault_set(
			f, FAULT_TEMP, 451, 3, 0, "another role sent nonsense");
	return recv_until(sock, len, len, deadline_ms, frame, f);
}

bool ipc_recv(
	int sock, int64_t timeout_ms, struct ipc_frame *frame, struct fault *f)
{
	return recv_frame(sock, 0, timeout_ms, frame, f);
}

bool ipc_recv_only(int sock, size_t likely_bytes, int64_t timeout_ms,
	struct ipc_frame *frame, struct fault *f)
{
	return recv_frame(sock, likely_bytes, timeout_ms, frame, f);
}

/* ---- client side ---- */

struct ipc_client {
	pthread_mutex_t lock;
	char *path;
	bool keep;
	int pool[POOL_MAX];
	size_t n;
};

struct ipc_client *ipc_client_new(const char *socket_path, bool keep)
{
	struct ipc_client *c = must_alloc(sizeof(*c));

	pthread_mutex_init(&c->lock, NULL);
	c->path = must_strdup(socket_path);
	c->keep = keep;
	return c;
}

void ipc_client_free(struct ipc_client *c)
{
	if (c == NULL)
		return;
	for (size_t i = 0; i < c->n; i++)
		close(c->pool[i]);
	pthread_mutex_destroy(&c->lock);
	free(c->path);
	free(c);
}

/* A kept connection that says something, or nothing for ever, is dead. */
static bool is_alive(int sock)
{
	char byte;

	return recv(sock, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 &&
	       errno == EAGAIN;
}

int ipc_client_take(struct ipc_client *c, struct fault *f)
{
	for (;;) {
		int sock = -1;

		pthread_mutex_lock(&c->lock);
		if (c->n > 0)
			sock = c->pool[--c->n];
		pthread_mutex_unlock(&c->lock);
		if (sock < 0)
			return sock_unix_connect(c->path, f);
		if (is_alive(sock))
			return sock;
		close(sock);
	}
}

void ipc_client_give(struct ipc_client *c, int sock)
{
	pthread_mutex_lock(&c->lock);
	bool keep = c->keep && c->n < POOL_MAX;
	if (keep)
		c->pool[c->n++] = sock;
	pthread_mutex_unlock(&c->lock);
	if (!keep)
		close(sock);
}

int ipc_ask(struct ipc_client *c, enum ipc_type type, struct str payload,
	int fd, struct fault *f)
{
	int sock = ipc_client_take(c, f);

	if (sock >= 0 && !ipc_send(sock, type, payload, fd, f))
		fd_close(&sock);
	return sock;
}

bool ipc_answered(struct ipc_client *c, int sock, int64_t timeout_ms,
	struct ipc_frame *reply, struct fault *f)
{
	if (!ipc_recv_only(sock, ANSWER_BYTES, timeout_ms, reply, f)) {
		close(sock);
		return false;
	}
	ipc_client_give(c, sock);
	return reply->type != IPC_NO ||
	       ipc_read_fault(buf_str(&reply->payload), f);
}

bool ipc_call(struct ipc_client *c, enum ipc_type type, struct str payload,
	int fd, int64_t timeout_ms, struct ipc_frame *reply, struct fault *f)
{
	int64_t deadline_ms =
		timeout_ms < 0 ? -1 : clock_mono_ms() + timeout_ms;
	int sock CLEANUP(fd_close) = ipc_ask(c, type, payload, fd, f);

	/* An answer is never there at once: first wait, then read. */
	if (sock < 0 || !wait_readable(sock, deadline_ms, f))
		return false;
	int answered = sock;
	sock = -1;
	return ipc_answered(c, answered, timeout_ms, reply, f);
}
