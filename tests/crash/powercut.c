/* SPDX-License-Identifier: ISC */
/*
 * Cuts the power at the n-th write, sync, rename, link or unlink, for n = 1,
 * 2, ... until none is hit: of every message that the queue or the store
 * acknowledged, the body must be there afterwards, byte for byte.
 *
 * What is written but not synced is lost with the power: a shim VFS below
 * SQLite keeps such writes in memory until xSync and throws them away at the
 * cut; our own files (src/sys/file.c) are hooked.  Each round runs in a child.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/must.h"
#include "queue/queue.h"
#include "store/message.h"
#include "store/store.h"
#include "sys/clock.h"
#include "sys/file.h"

enum { MESSAGES = 6, BIG = 100000, ROUNDS_MAX = 2000 };

/* ---- the countdown ---- */

static long left = -1; /* operations until the cut; -1: never */
static int report_fd = -1;

static void operation(void)
{
	if (left > 0 && --left == 0)
		_exit(99); /* the power is gone: nothing more reaches the disk
			    */
}

static int hook(enum file_op op UNUSED)
{
	operation();
	return 0;
}

/* ---- a VFS whose unsynced writes live in memory ---- */

struct piece {
	sqlite3_int64 at;
	int len;
	char *bytes;
	struct piece *next;
};

struct shared { /* one per file name: all connections see the same */
	char *name;
	struct piece *first;
	struct piece **last;
	struct shared *next;
};

static struct shared *files;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static sqlite3_vfs *real_vfs;

struct file {
	sqlite3_file base;
	struct shared *shared; /* NULL: not kept back */
	sqlite3_file *real;
};

static struct file *of(sqlite3_file *f)
{
	union {
		sqlite3_file *base;
		struct file *file;
	} u = {.base = f};

	return u.file;
}

static struct shared *shared_of(const char *name)
{
	struct shared *s = files;

	while (s != NULL && strcmp(s->name, name) != 0)
		s = s->next;
	if (s == NULL) {
		s = must_alloc(sizeof(*s));
		s->name = must_strdup(name);
		s->last = &s->first;
		s->next = files;
		files = s;
	}
	return s;
}

static int x_close(sqlite3_file *f)
{
	struct file *x = of(f);
	int rc = x->real->pMethods != NULL ? x->real->pMethods->xClose(x->real)
					   : SQLITE_OK;

	free(x->real);
	return rc;
}

static int x_read(sqlite3_file *f, void *to, int n, sqlite3_int64 at)
{
	struct file *x = of(f);

	pthread_mutex_lock(&lock);
	int rc = x->real->pMethods->xRead(x->real, to, n, at);
	sqlite3_int64 end = 0;
	for (struct piece *p = x->shared->first; p != NULL; p = p->next) {
		sqlite3_int64 from = p->at > at ? p->at : at;
		sqlite3_int64 stop =
			p->at + p->len < at + n ? p->at + p->len : at + n;

		if (from < stop)
			memcpy((char *)to + (from - at),
				p->bytes + (from - p->at),
				(size_t)(stop - from));
		if (p->at + p->len > end)
			end = p->at + p->len;
	}
	pthread_mutex_unlock(&lock);
	return rc == SQLITE_IOERR_SHORT_READ && end >= at + n ? SQLITE_OK : rc;
}

static int x_write(sqlite3_file *f, const void *from, int n, sqlite3_int64 at)
{
	struct shared *s = of(f)->shared;
	struct piece *p = must_alloc(sizeof(*p));

	operation();
	p->at = at;
	p->len = n;
	p->bytes = must_alloc((unsigned long)n);
	memcpy(p->bytes, from, (size_t)n);
	pthread_mutex_lock(&lock);
	*s->last = p;
	s->last = &p->next;
	pthread_mutex_unlock(&lock);
	return SQLITE_OK;
}

static int flush(struct file *x)
{
	int rc = SQLITE_OK;

	for (struct piece *p = x->shared->first, *next; p != NULL; p = next) {
		next = p->next;
		if (rc == SQLITE_OK)
			rc = x->real->pMethods->xWrite(
				x->real, p->bytes, p->len, p->at);
		free(p->bytes);
		free(p);
	}
	x->shared->first = NULL;
	x->shared->last = &x->shared->first;
	return rc;
}

static int x_sync(sqlite3_file *f, int flags)
{
	struct file *x = of(f);

	operation();
	pthread_mutex_lock(&lock);
	int rc = flush(x);
	pthread_mutex_unlock(&lock);
	return rc == SQLITE_OK ? x->real->pMethods->xSync(x->real, flags) : rc;
}

static int x_truncate(sqlite3_file *f, sqlite3_int64 size)
{
	struct file *x = of(f);

	operation();
	pthread_mutex_lock(&lock);
	int rc = flush(x);
	if (rc == SQLITE_OK)
		rc = x->real->pMethods->xTruncate(x->real, size);
	pthread_mutex_unlock(&lock);
	return rc;
}

static int x_size(sqlite3_file *f, sqlite3_int64 *size)
{
	struct file *x = of(f);

	pthread_mutex_lock(&lock);
	int rc = x->real->pMethods->xFileSize(x->real, size);
	for (struct piece *p = x->shared->first; p != NULL; p = p->next)
		if (p->at + p->len > *size)
			*size = p->at + p->len;
	pthread_mutex_unlock(&lock);
	return rc;
}

#define PASS(name, args, call)                                                 \
	static int name args                                                   \
	{                                                                      \
		sqlite3_file *r = of(f)->real;                                 \
		return r->pMethods->call;                                      \
	}
PASS(x_lock, (sqlite3_file * f, int l), xLock(r, l))
PASS(x_unlock, (sqlite3_file * f, int l), xUnlock(r, l))
PASS(x_check, (sqlite3_file * f, int *o), xCheckReservedLock(r, o))
PASS(x_control, (sqlite3_file * f, int op, void *arg), xFileControl(r, op, arg))
PASS(x_sector, (sqlite3_file * f), xSectorSize(r))
PASS(x_shm_map, (sqlite3_file * f, int p, int n, int e, void volatile **pp),
	xShmMap(r, p, n, e, pp))
PASS(x_shm_lock, (sqlite3_file * f, int o, int n, int g), xShmLock(r, o, n, g))
PASS(x_shm_unmap, (sqlite3_file * f, int d), xShmUnmap(r, d))

static void x_barrier(sqlite3_file *f)
{
	of(f)->real->pMethods->xShmBarrier(of(f)->real);
}

/* No power-safe overwrite, nothing atomic: the worst disk. */
static int x_device(sqlite3_file *f UNUSED)
{
	return 0;
}

static const sqlite3_io_methods methods = {2, x_close, x_read, x_write,
	x_truncate, x_sync, x_size, x_lock, x_unlock, x_check, x_control,
	x_sector, x_device, x_shm_map, x_shm_lock, x_barrier, x_shm_unmap, NULL,
	NULL};

static int x_open(sqlite3_vfs *vfs UNUSED, const char *name, sqlite3_file *f,
	int flags, int *out)
{
	struct file *x = of(f);

	x->real = must_alloc((unsigned long)real_vfs->szOsFile);
	int rc = real_vfs->xOpen(real_vfs, name, x->real, flags, out);
	if (rc != SQLITE_OK) {
		free(x->real);
		x->base.pMethods = NULL;
		return rc;
	}
	pthread_mutex_lock(&lock);
	x->shared = shared_of(name != NULL ? name : "");
	pthread_mutex_unlock(&lock);
	x->base.pMethods = &methods;
	return SQLITE_OK;
}

static void install_vfs(void)
{
	static sqlite3_vfs vfs;

	real_vfs = sqlite3_vfs_find(NULL);
	vfs = *real_vfs;
	vfs.szOsFile = sizeof(struct file);
	vfs.zName = "powercut";
	vfs.xOpen = x_open;
	must(sqlite3_vfs_register(&vfs, 1) == SQLITE_OK);
}

/* ---- what is tried ---- */

static size_t size_of(int i)
{
	return i % 2 == 0 ? 1000 : BIG;
}

static void fill(int i, char *bytes, size_t len)
{
	for (size_t k = 0; k < len; k++)
		bytes[k] = (char)('a' + (k * 7 + (size_t)i) % 26);
}

/* Tells the parent: this one was acknowledged. */
static void acknowledge(int64_t key)
{
	must(write(report_fd, &key, sizeof(key)) == (ssize_t)sizeof(key));
}

static void put_all(const char *dir)
{
	struct fault f;
	struct queue *q = queue_open(dir, &f);
	struct recipient to = {
		.address = STR("b@b.example"), .original = STR("b@b.example")};

	must(q != NULL);
	for (int i = 0; i < MESSAGES; i++) {
		size_t len = size_of(i);
		char *bytes = must_alloc(len);
		struct envelope env = {.id = (uint64_t)i + 1,
			.size = len,
			.sender = STR("a@a.example"),
			.rcpts = &to,
			.n_rcpts = 1};

		fill(i, bytes, len);
		/* As smtpd does: a nameless file when it is large. */
		struct text text = text_view(str_of(bytes, len));
		if (len > TEXT_MEMORY_MAX) {
			text = text_file(file_tmp(dir, &f), len);
			must(text.fd >= 0);
			must(file_write(text.fd, str_of(bytes, len), &f));
		}
		if (queue_put(q, &env, &text, &f))
			acknowledge(i);
		text_fini(&text);
		free(bytes);
	}
	queue_close(q);
}

static void deliver_all(const char *dir)
{
	struct fault f;
	struct store *s =
		store_open(dir, &(struct store_settings){.shards = 2}, &f);

	must(s != NULL);
	for (int i = 0; i < MESSAGES; i++) {
		size_t len = size_of(i);
		char *bytes = must_alloc(len);
		struct store_new m = {.mailbox = STR("INBOX"),
			.create = true,
			.msg = i + 1,
			.body = str_of(bytes, len)};

		fill(i, bytes, len);
		struct store_target t = {.account = 1 + i % 2, .m = &m};
		store_deliver(s, &t, 1);
		if (t.ok)
			acknowledge((int64_t)t.uid << 8 | i);
		free(bytes);
	}
	store_close(s);
}

/* ---- after the cut, with the plain VFS ---- */

static void same(int i, struct str got)
{
	size_t len = size_of(i);
	char *want = must_alloc(len);

	fill(i, want, len);
	if (!str_eq(got, str_of(want, len))) {
		fprintf(stderr, "message %d is damaged\n", i);
		exit(1);
	}
	free(want);
}

static void check_queue(const char *dir, const int64_t *acked, size_t n)
{
	struct fault f;
	struct queue *q = queue_open(dir, &f);

	if (q == NULL) {
		fprintf(stderr, "the queue does not open: %s\n", f.text);
		exit(1);
	}
	for (size_t i = 0; i < n; i++) {
		struct file_map map = {0};
		struct text text;

		if (!queue_text(q, (uint64_t)acked[i] + 1, &text, &f) ||
			!text_map(&text, &map, &f)) {
			fprintf(stderr,
				"acknowledged message %lld is gone: %s\n",
				(long long)acked[i], f.text);
			exit(1);
		}
		same((int)acked[i], map.bytes);
		file_unmap(&map);
		text_fini(&text);
	}
	queue_close(q);
}

static void check_store(const char *dir, const int64_t *acked, size_t n)
{
	struct arena *a = arena_new(SIZE_MAX);
	struct fault f;
	struct store *s =
		store_open(dir, &(struct store_settings){.shards = 2}, &f);

	if (s == NULL) {
		fprintf(stderr, "the store does not open: %s\n", f.text);
		exit(1);
	}
	for (size_t i = 0; i < n; i++) {
		struct store_mailbox *boxes;
		struct store_message m;
		size_t n_boxes, inbox = 0;
		int which = (int)(acked[i] & 0xff);
		int64_t account = 1 + which % 2;

		must(store_mailboxes(
			s, account, a, &boxes, &n_boxes, NULL, &f));
		while (!str_eqc(boxes[inbox].name, "INBOX"))
			inbox++;
		if (!store_message(s, account, boxes[inbox].id,
			    (uint32_t)(acked[i] >> 8), STORE_BYTES, &m, &f)) {
			fprintf(stderr, "acknowledged mail %d is gone: %s\n",
				which, f.text);
			exit(1);
		}
		same(which, m.bytes);
		store_message_fini(&m);
	}
	arena_free(a);
	store_close(s);
}

/* ---- rounds ---- */

static bool round_hit(const char *dir, long n, void (*act)(const char *dir),
	void (*check)(const char *dir, const int64_t *acked, size_t n))
{
	int64_t acked[MESSAGES];
	size_t count = 0;
	int pipes[2], status;

	must(pipe(pipes) == 0);
	pid_t child = fork();
	if (child == 0) {
		install_vfs();
		file_set_hook(hook);
		report_fd = pipes[1];
		left = n;
		act(dir);
		_exit(0);
	}
	close(pipes[1]);
	while (count < MESSAGES &&
		read(pipes[0], &acked[count], sizeof(acked[0])) ==
			(ssize_t)sizeof(acked[0]))
		count++;
	close(pipes[0]);
	must(waitpid(child, &status, 0) == child);
	must(WIFEXITED(status) &&
		(WEXITSTATUS(status) == 99 || WEXITSTATUS(status) == 0));
	bool hit = WEXITSTATUS(status) == 99;
	must(hit || count == MESSAGES);
	pid_t reader = fork();
	if (reader == 0) {
		check(dir, acked, count);
		_exit(0);
	}
	must(waitpid(reader, &status, 0) == reader);
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
		fprintf(stderr, "cut at operation %ld\n", n);
		exit(1);
	}
	return hit;
}

static void rounds(const char *name, void (*act)(const char *dir),
	void (*check)(const char *dir, const int64_t *acked, size_t n))
{
	char base[] = "/tmp/postern-cut-XXXXXX";
	char dir[128], command[200];
	long n = 1;
	bool hit = true;

	must(mkdtemp(base) != NULL);
	for (; hit && n < ROUNDS_MAX; n++) {
		snprintf(dir, sizeof(dir), "%s/%ld", base, n);
		must(mkdir(dir, 0700) == 0);
		hit = round_hit(dir, n, act, check);
	}
	must(!hit);
	snprintf(command, sizeof(command), "rm -rf %s", base);
	must(system(command) == 0);
	printf("%s: the power was cut at each of %ld operations\n", name,
		n - 2);
}

int main(void)
{
	rounds("queue", put_all, check_queue);
	rounds("store", deliver_all, check_store);
	return 0;
}
