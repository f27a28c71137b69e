/* SPDX-License-Identifier: ISC */
#include "tests/unit/test.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/must.h"
#include "ipc/ipc.h"

enum { LIKELY = 1000, LARGE = 300000, MS = 30000 };

struct pair {
	int to;
	int from;
};

static struct pair pair_new(void)
{
	int fds[2];

	assert_int_equal(
		0, socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds));
	return (struct pair){fds[0], fds[1]};
}

static void pair_free(struct pair *p)
{
	close(p->to);
	close(p->from);
}

static void send_frame(int to, struct str payload, int fd)
{
	struct fault f;

	assert_true(ipc_send(to, IPC_OK, payload, fd, &f));
}

static struct str letters(char *room, size_t n)
{
	for (size_t i = 0; i < n; i++)
		room[i] = (char)('a' + i % 26);
	return str_of(room, n);
}

struct job {
	int to;
	size_t len;
};

static void *send_large(void *ctx)
{
	struct job *job = ctx;
	char *room = must_alloc_raw(job->len);

	send_frame(job->to, letters(room, job->len), -1);
	free(room);
	return NULL;
}

/* Shorter than what is likely, as long, longer, and much longer: more than the
 * socket takes at once. */
static void sizes(void **state UNUSED)
{
	static const size_t lens[] = {
		0, 1, LIKELY - 1, LIKELY, LIKELY + 1, LARGE};
	struct pair p CLEANUP(pair_free) = pair_new();
	struct ipc_frame frame CLEANUP(ipc_frame_fini);
	char *want = must_alloc_raw(LARGE);
	struct fault f;

	ipc_frame_init(&frame);
	letters(want, LARGE);
	for (size_t i = 0; i < ARRAY_LEN(lens) * 2; i++) {
		struct job job = {p.to, lens[i / 2]};
		pthread_t t;

		assert_int_equal(0, pthread_create(&t, NULL, send_large, &job));
		assert_true(ipc_recv_only(
			p.from, i % 2 == 0 ? LIKELY : 0, MS, &frame, &f));
		pthread_join(t, NULL);
		assert_int_equal(IPC_OK, frame.type);
		assert_true(
			str_eq(buf_str(&frame.payload), str_of(want, job.len)));
	}
	free(want);
}

struct frame_bytes {
	char v[64];
	size_t n;
};

/* What a frame is on the wire. */
static struct frame_bytes bytes_of(const char *payload)
{
	struct pair p CLEANUP(pair_free) = pair_new();
	struct frame_bytes b = {.n = 0};

	send_frame(p.to, str_from(payload), -1);
	b.n = (size_t)read(p.from, b.v, sizeof(b.v));
	return b;
}

struct drip {
	int to;
	struct frame_bytes bytes;
};

static void *send_drip(void *ctx)
{
	struct drip *d = ctx;

	for (size_t i = 0; i < d->bytes.n; i++)
		assert_int_equal(1, write(d->to, d->bytes.v + i, 1));
	return NULL;
}

static void byte_by_byte(void **state UNUSED)
{
	struct pair p CLEANUP(pair_free) = pair_new();
	struct ipc_frame frame CLEANUP(ipc_frame_fini);
	struct drip d = {p.to, bytes_of("slowly")};
	struct fault f;
	pthread_t t;

	ipc_frame_init(&frame);
	assert_int_equal(0, pthread_create(&t, NULL, send_drip, &d));
	assert_true(ipc_recv_only(p.from, LIKELY, MS, &frame, &f));
	pthread_join(t, NULL);
	assert_str(buf_str(&frame.payload), "slowly");
}

/* Frames that follow one another are told apart; where none may follow, the
 * second one is nonsense, and not lost in silence. */
static void two_frames(void **state UNUSED)
{
	struct pair p CLEANUP(pair_free) = pair_new();
	struct ipc_frame frame CLEANUP(ipc_frame_fini);
	struct fault f;

	ipc_frame_init(&frame);
	send_frame(p.to, STR("one"), -1);
	send_frame(p.to, STR("two"), -1);
	assert_true(ipc_recv(p.from, MS, &frame, &f));
	assert_str(buf_str(&frame.payload), "one");
	assert_true(ipc_recv(p.from, MS, &frame, &f));
	assert_str(buf_str(&frame.payload), "two");
	send_frame(p.to, STR("one"), -1);
	send_frame(p.to, STR("two"), -1);
	assert_false(ipc_recv_only(p.from, LIKELY, MS, &frame, &f));
	assert_non_null(strstr(f.text, "nonsense"));
}

static void cut_short(void **state UNUSED)
{
	struct frame_bytes b = bytes_of("never all of it");

	for (size_t n = 0; n < b.n; n++) {
		struct pair p CLEANUP(pair_free) = pair_new();
		struct ipc_frame frame CLEANUP(ipc_frame_fini);
		struct fault f;

		ipc_frame_init(&frame);
		assert_int_equal(n, n > 0 ? write(p.to, b.v, n) : 0);
		shutdown(p.to, SHUT_WR);
		assert_false(ipc_recv_only(p.from, LIKELY, MS, &frame, &f));
		assert_non_null(strstr(f.text, "has gone"));
	}
}

static void too_long(void **state UNUSED)
{
	struct pair p CLEANUP(pair_free) = pair_new();
	struct ipc_frame frame CLEANUP(ipc_frame_fini);
	struct fault f;

	ipc_frame_init(&frame);
	assert_int_equal(8, write(p.to, "\xff\xff\xff\xff\x01\0\0\0", 8));
	assert_false(ipc_recv_only(p.from, LIKELY, MS, &frame, &f));
	assert_non_null(strstr(f.text, "nonsense"));
}

/* A descriptor comes along, with a small frame and a large one. */
static void descriptor(void **state UNUSED)
{
	struct pair p CLEANUP(pair_free) = pair_new();
	struct ipc_frame frame CLEANUP(ipc_frame_fini);
	char room[LIKELY * 4], byte;
	struct fault f;

	ipc_frame_init(&frame);
	for (size_t len = 1; len <= sizeof(room); len += sizeof(room) - 1) {
		int fds[2];

		assert_int_equal(0, pipe2(fds, O_CLOEXEC));
		send_frame(p.to, letters(room, len), fds[0]);
		close(fds[0]);
		assert_true(ipc_recv_only(p.from, LIKELY, MS, &frame, &f));
		assert_int_equal(1, write(fds[1], "x", 1));
		assert_int_equal(1, read(frame.fd, &byte, 1));
		assert_int_equal(len, frame.payload.len);
		close(fds[1]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(sizes),
		cmocka_unit_test(byte_by_byte), cmocka_unit_test(two_frames),
		cmocka_unit_test(cut_short), cmocka_unit_test(too_long),
		cmocka_unit_test(descriptor)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
