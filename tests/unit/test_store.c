/* SPDX-License-Identifier: ISC */
/*
 * What store.h and acl.h promise, of the engine that this program is linked
 * with (tests/meson.build).  LASTS: it keeps things in files.  The numbers are
 * those of the invariants at the top of src/store/sqlite.c.
 */
#include "store/message.h"
#include "store/store.h"

#include <dirent.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/must.h"
#include "db/db.h"
#include "store/acl.h"
#include "store/keeping.h"
#include "store/undelete.h"
#include "sys/clock.h"
#include "tests/unit/test.h"

enum { ME = 7, OTHER = 8, LARGE = 200000 };

struct world {
	char dir[64];
	struct store *s;
	struct arena *a;
};

static struct world *begin(void)
{
	struct world *w = must_alloc(sizeof(*w));
	struct fault f;

	w->a = arena_new(SIZE_MAX);
	snprintf(w->dir, sizeof(w->dir), "/tmp/postern-store-XXXXXX");
	assert_non_null(mkdtemp(w->dir));
	w->s = store_open(w->dir, &(struct store_settings){.shards = 2}, &f);
	assert_non_null(w->s);
	return w;
}

static void again(struct world *w)
{
	struct fault f;

	if (!LASTS)
		return;
	store_close(w->s);
	w->s = store_open(w->dir, &(struct store_settings){.shards = 2}, &f);
	assert_non_null(w->s);
}

static void complain(const char *what, void *ctx UNUSED)
{
	print_error("%s\n", what);
}

/* Whatever was done, it is sound. */
static void end(struct world *w)
{
	struct store_verified v;
	char command[128];
	struct fault f;

	assert_int_equal(store_verify(w->dir, complain, NULL, &v, &f), LASTS);
	assert_int_equal(v.problems, 0);
	store_close(w->s);
	arena_free(w->a);
	snprintf(command, sizeof(command), "rm -rf %s", w->dir);
	assert_int_equal(system(command), 0);
	free(w);
}

/* ---- short forms ---- */

static struct store_mailbox box(
	struct world *w, int64_t account, const char *name)
{
	struct store_mailbox *v;
	struct fault f;
	size_t n;

	assert_true(store_mailboxes(w->s, account, w->a, &v, &n, NULL, &f));
	for (size_t i = 0; i < n; i++)
		if (str_eqc(v[i].name, name))
			return v[i];
	return (struct store_mailbox){0};
}

static struct store_target deliver(struct world *w, int64_t account,
	const char *mailbox, struct str body, struct store_new more)
{
	struct store_target t = {.account = account, .m = &more};

	more.mailbox = str_from(mailbox);
	more.body = body;
	store_deliver(w->s, &t, 1);
	t.m = NULL;
	return t;
}

static uint32_t put(struct world *w, const char *mailbox, const char *body)
{
	struct store_target t =
		deliver(w, ME, mailbox, str_from(body), (struct store_new){0});

	assert_true(t.ok);
	return t.uid;
}

struct listed {
	struct store_row v[4000];
	size_t n;
	struct arena *a;
};

static bool list_row(const struct store_row *row, void *ctx)
{
	struct listed *l = ctx;

	assert_true(l->n < ARRAY_LEN(l->v));
	l->v[l->n] = *row;
	l->v[l->n++].keywords = arena_str(l->a, row->keywords);
	return true;
}

static struct listed *rows(struct world *w, int64_t mailbox, uint64_t since)
{
	struct listed *l = arena_make(w->a, struct listed);
	struct fault f;

	l->a = w->a;
	assert_true(store_rows(w->s, ME, mailbox, since, 0, list_row, l, &f));
	for (size_t i = 1; i < l->n; i++)
		assert_true(l->v[i - 1].uid < l->v[i].uid);
	return l;
}

struct ended {
	uint32_t uid[4000];
	uint64_t modseq[4000];
	size_t n;
};

static void list_ended(uint32_t uid, uint64_t modseq, void *ctx)
{
	struct ended *e = ctx;

	assert_true(e->n < ARRAY_LEN(e->uid));
	assert_true(e->n == 0 || e->modseq[e->n - 1] <= modseq);
	e->uid[e->n] = uid;
	e->modseq[e->n++] = modseq;
}

static struct ended *vanished(struct world *w, int64_t mailbox, uint64_t since)
{
	struct ended *e = arena_make(w->a, struct ended);
	struct fault f;

	assert_true(
		store_vanished(w->s, ME, mailbox, since, list_ended, e, &f));
	return e;
}

static void expunge(struct world *w, int64_t mailbox, uint32_t uid)
{
	struct fault f;

	assert_true(store_expunge(w->s, ME, mailbox, &uid, 1, &f));
}

static bool change(struct world *w, enum store_change_kind what,
	const char *name, const char *to, struct fault *f)
{
	return store_change_mailbox(w->s, ME,
		&(struct store_change){.kind = what,
			.name = str_from(name),
			.to = str_from(to)},
		f);
}

static int body_files(struct world *w)
{
	int n = 0;

	for (unsigned i = 0; i < 2; i++) {
		char path[128];
		DIR *d;

		snprintf(path, sizeof(path), "%s/blobs.%u", w->dir, i);
		d = opendir(path);
		for (struct dirent *e; d != NULL && (e = readdir(d)) != NULL;)
			n += e->d_name[0] != '.';
		if (d != NULL)
			closedir(d);
	}
	return n;
}

static void expect_files(struct world *w, int n)
{
	assert_int_equal(body_files(w), LASTS ? n : 0);
}

/* ---- messages ---- */

static void a_message_is_what_was_given(void **state UNUSED)
{
	struct world *w = begin();
	struct strs words = {0};
	struct store_message m;
	struct fault f;

	strs_add(&words, w->a, STR("$Work"));
	strs_add(&words, w->a, STR("b"));
	struct store_target t = deliver(w, ME, "INBOX", STR("body\r\n"),
		(struct store_new){.flags = FLAG_SEEN | FLAG_FLAGGED,
			.keywords = words,
			.received = 1234567890,
			.stamp = -77,
			.prefix = STR("X: y\r\n"),
			.cache = STR("cache")});
	assert_true(t.ok && t.uid == 1);
	struct store_mailbox b = box(w, ME, "INBOX");
	assert_int_equal(t.mailbox, b.id);
	assert_int_equal(t.uidvalidity, b.uidvalidity);
	again(w);
	struct listed *l = rows(w, b.id, 0);
	assert_int_equal(l->n, 1);
	assert_int_equal(l->v[0].flags, FLAG_SEEN | FLAG_FLAGGED);
	assert_int_equal(l->v[0].received, 1234567890);
	assert_int_equal(l->v[0].size, 12);
	assert_int_equal(l->v[0].stamp, -77);
	assert_str(l->v[0].keywords, "$Work b");
	assert_true(store_message(
		w->s, ME, b.id, 1, STORE_BYTES | STORE_CACHE, &m, &f));
	assert_str(m.bytes, "X: y\r\nbody\r\n");
	assert_str(m.cache, "cache");
	assert_int_equal(m.blob, l->v[0].blob);
	store_message_fini(&m);
	assert_false(store_message(w->s, ME, b.id, 2, STORE_BYTES, &m, &f));
	assert_int_equal(f.class, FAULT_PERM);
	assert_false(store_message(w->s, OTHER, b.id, 1, STORE_BYTES, &m, &f));
	end(w);
}

struct glimpsed {
	uint32_t uid[8];
	struct str cache[8], head[8];
	size_t n;
	struct arena *a;
};

static void glimpse(const struct store_glimpse *g, void *ctx)
{
	struct glimpsed *l = ctx;

	assert_true(l->n < ARRAY_LEN(l->uid));
	l->uid[l->n] = g->uid;
	l->cache[l->n] = arena_str(l->a, g->cache);
	l->head[l->n++] = arena_concat(l->a, g->prefix, g->head);
}

/* From a row and from a file, with a blank line and without */
static void a_header_alone(void **state UNUSED)
{
	static const char start[] = "A: b\r\n\r\n";
	struct world *w = begin();
	char *bytes = must_alloc(LARGE);
	struct glimpsed l = {.a = w->a};
	struct store_message m;
	struct fault f;

	memset(bytes, 'x', LARGE);
	memcpy(bytes, start, sizeof(start) - 1);
	deliver(w, ME, "INBOX", STR("C: d\r\n\r\nbody\r\n"),
		(struct store_new){
			.prefix = STR("P: q\r\n"), .cache = STR("cache")});
	deliver(w, ME, "INBOX", str_of(bytes, LARGE), (struct store_new){0});
	deliver(w, ME, "INBOX", STR("no body"), (struct store_new){0});
	int64_t id = box(w, ME, "INBOX").id;
	static const char *const want[] = {
		"P: q\r\nC: d\r\n\r\n", start, "no body"};
	for (uint32_t i = 0; i < 3; i++) {
		assert_true(
			store_message(w->s, ME, id, i + 1, STORE_HEAD, &m, &f));
		assert_str(m.bytes, want[i]);
		store_message_fini(&m);
	}
	assert_true(store_glimpses(
		w->s, ME, id, 1, 3, STORE_CACHE | STORE_HEAD, glimpse, &l, &f));
	assert_int_equal(l.n, 3);
	for (uint32_t i = 0; i < 3; i++) {
		assert_int_equal(l.uid[i], i + 1);
		assert_str(l.head[i], want[i]);
	}
	assert_str(l.cache[0], "cache");
	l.n = 0;
	assert_true(store_glimpses(
		w->s, ME, id, 2, 2, STORE_CACHE, glimpse, &l, &f));
	assert_true(l.n == 1 && l.uid[0] == 2 && l.head[0].len == 0);
	free(bytes);
	end(w);
}

static void take_head(const struct store_glimpse *g, void *ctx)
{
	*(size_t *)ctx = g->head.len;
}

/* Wherever the blank line stands: parts of it are read until it is there. */
static void a_header_of_any_length(void **state UNUSED)
{
	struct world *w = begin();
	char *bytes = must_alloc(LARGE);
	struct fault f;
	uint32_t uid = 0;

	memset(bytes, 'x', LARGE);
	bytes[0] = 'A';
	bytes[1] = ':';
	int64_t id = box(w, ME, "INBOX").id;
	for (size_t border = 2048; border <= 32768; border *= 4)
		for (size_t head = border - 4; head <= border + 4; head++)
			for (size_t body = 0; body < 9; body += 4) {
				size_t got = 0;

				memcpy(bytes + head - 4, "\r\n\r\n", 4);
				deliver(w, ME, "INBOX",
					str_of(bytes, head + body),
					(struct store_new){0});
				memcpy(bytes + head - 4, "xxxx", 4);
				uid++;
				assert_true(store_glimpses(w->s, ME, id, uid,
					uid, STORE_HEAD, take_head, &got, &f));
				assert_int_equal(got, head);
			}
	free(bytes);
	end(w);
}

static void a_reading_sees_one_moment(void **state UNUSED)
{
	struct world *w = begin();
	struct store_message m;
	struct fault f;

	deliver(w, ME, "INBOX", STR("one\r\n"), (struct store_new){0});
	int64_t id = box(w, ME, "INBOX").id;
	struct store_reading *r = store_read_begin(w->s, ME, &f);
	assert_non_null(r);
	assert_true(store_read_message(r, id, 1, STORE_BYTES, &m, &f));
	assert_str(m.bytes, "one\r\n");
	store_message_fini(&m);
	deliver(w, ME, "INBOX", STR("two\r\n"), (struct store_new){0});
	expunge(w, id, 1);
	assert_true(store_read_message(r, id, 1, STORE_BYTES, &m, &f));
	assert_str(m.bytes, "one\r\n");
	store_message_fini(&m);
	assert_false(store_read_message(r, id, 2, STORE_BYTES, &m, &f));
	assert_int_equal(f.class, FAULT_PERM);
	store_read_end(r);
	r = store_read_begin(w->s, ME, &f);
	assert_false(store_read_message(r, id, 1, STORE_BYTES, &m, &f));
	assert_int_equal(f.class, FAULT_PERM);
	assert_true(store_read_message(r, id, 2, STORE_BYTES, &m, &f));
	store_message_fini(&m);
	store_read_end(r);
	end(w);
}

/* 2, 3 */
static void a_body_lives_as_long_as_somebody_has_it(void **state UNUSED)
{
	struct world *w = begin();
	char *bytes = must_alloc(LARGE);
	struct store_new one = {.mailbox = STR("INBOX"), .create = true};
	struct store_target t[3];
	uint32_t uid = 1, to, validity;
	struct fault f;

	memset(bytes, 'x', LARGE);
	one.body = str_of(bytes, LARGE);
	for (size_t i = 0; i < 3; i++)
		t[i] = (struct store_target){
			.account = i == 2 ? OTHER : ME, .m = &one};
	store_deliver(w->s, t, 3);
	assert_true(t[0].ok && t[1].ok && t[2].ok);
	expect_files(w, 2); /* one in each shard */
	struct store_mailbox b = box(w, ME, "INBOX");
	struct listed *l = rows(w, b.id, 0);
	assert_int_equal(l->n, 2);
	assert_int_equal(l->v[0].blob, l->v[1].blob);
	expunge(w, b.id, 1);
	expect_files(w, 2);
	uid = 2;
	assert_true(store_copy(w->s, ME, b.id, &uid, 1, STR("Trash"), false,
		NULL, &to, &validity, &f));
	expunge(w, b.id, 2);
	expect_files(w, 2);
	expunge(w, box(w, ME, "Trash").id, to);
	expect_files(w, 1);
	free(bytes);
	end(w);
}

/* 4, 7 */
static void numbers_are_given_once(void **state UNUSED)
{
	struct world *w = begin();
	struct fault f;

	assert_true(change(w, STORE_CREATE, "a", "", &f));
	for (uint32_t i = 1; i <= 5; i++)
		assert_int_equal(put(w, "a", "x"), i);
	struct store_mailbox b = box(w, ME, "a");
	for (uint32_t i = 1; i <= 5; i++)
		expunge(w, b.id, i);
	again(w);
	assert_int_equal(put(w, "a", "x"), 6);
	assert_int_equal(box(w, ME, "a").uidnext, 7);
	assert_true(change(w, STORE_DELETE, "a", "", &f));
	assert_true(change(w, STORE_CREATE, "a", "", &f));
	struct store_mailbox c = box(w, ME, "a");
	assert_true(c.id > b.id && c.uidvalidity > b.uidvalidity);
	assert_int_equal(put(w, "a", "x"), 1);
	/* What an import brings, where nothing was given yet */
	assert_true(change(w, STORE_CREATE, "b", "", &f));
	struct store_target t = deliver(w, ME, "b", STR("y"),
		(struct store_new){.uidvalidity = 77, .uid = 40, .msg = -5});
	assert_true(t.ok && t.uid == 40 && t.uidvalidity == 77);
	t = deliver(w, ME, "b", STR("y"),
		(struct store_new){.uidvalidity = 77, .uid = 40});
	assert_true(t.ok && t.uid == 0); /* the same */
	t = deliver(w, ME, "b", STR("other"),
		(struct store_new){.uidvalidity = 77, .uid = 40});
	assert_true(t.ok && t.uid == 41); /* another one */
	t = deliver(w, ME, "a", STR("y"),
		(struct store_new){.uidvalidity = 99, .uid = 50});
	assert_true(t.ok && t.uid == 2 && t.uidvalidity == c.uidvalidity);
	end(w);
}

/* 5, 8 */
static void modseq_only_grows(void **state UNUSED)
{
	struct world *w = begin();
	struct store_flags c = {.op = FLAGS_ADD, .flags = FLAG_SEEN};
	uint32_t uid = 2;
	struct fault f;

	for (int i = 0; i < 4; i++)
		put(w, "INBOX", "x");
	struct store_mailbox b = box(w, ME, "INBOX");
	uint64_t before = b.modseq;
	assert_true(before >= 1);
	assert_int_equal(rows(w, b.id, before)->n, 0);
	assert_true(store_flags(w->s, ME, b.id, &uid, 1, &c, &f));
	assert_true(c.modseq > before);
	assert_int_equal(box(w, ME, "INBOX").modseq, c.modseq);
	struct listed *l = rows(w, b.id, before);
	assert_true(l->n == 1 && l->v[0].uid == 2);
	assert_int_equal(l->v[0].modseq, c.modseq);
	/* Nothing to change changes nothing. */
	struct store_flags same = c;
	assert_true(store_flags(w->s, ME, b.id, &uid, 1, &same, &f));
	assert_int_equal(same.modseq, 0);
	expunge(w, b.id, 3);
	put(w, "INBOX", "new");
	l = rows(w, b.id, c.modseq);
	assert_true(l->n == 1 && l->v[0].uid == 5);
	struct ended *e = vanished(w, b.id, c.modseq);
	assert_true(e->n == 1 && e->uid[0] == 3 && e->modseq[0] > c.modseq);
	assert_int_equal(vanished(w, b.id, e->modseq[0])->n, 0);
	end(w);
}

static void flags_by_condition(void **state UNUSED)
{
	struct world *w = begin();
	uint32_t uids[] = {1, 2, 3};
	bool failed[3];
	struct strs words = {0};
	struct fault f;

	for (int i = 0; i < 3; i++)
		put(w, "INBOX", "x");
	struct store_mailbox b = box(w, ME, "INBOX");
	struct store_flags c = {.op = FLAGS_SET, .flags = FLAG_DRAFT};
	assert_true(store_flags(w->s, ME, b.id, uids + 1, 1, &c, &f));
	struct store_flags d = {.op = FLAGS_ADD,
		.flags = FLAG_SEEN,
		.conditional = true,
		.unchanged = c.modseq - 1,
		.failed = failed};
	assert_true(store_flags(w->s, ME, b.id, uids, 3, &d, &f));
	assert_true(!failed[0] && failed[1] && !failed[2]);
	strs_add(&words, w->a, STR("Work"));
	struct store_flags k = {.op = FLAGS_ADD, .keywords = words};
	assert_true(store_flags(w->s, ME, b.id, uids, 1, &k, &f));
	words.v[0] = STR("WORK"); /* the same word */
	assert_true(store_flags(w->s, ME, b.id, uids, 1, &k, &f));
	assert_int_equal(k.modseq, 0);
	struct store_flags kept = {.op = FLAGS_SET,
		.flags = FLAG_FLAGGED,
		.kept = FLAG_SEEN,
		.keywords_kept = true};
	assert_true(store_flags(w->s, ME, b.id, uids, 1, &kept, &f));
	struct listed *l = rows(w, b.id, 0);
	assert_int_equal(l->v[0].flags, FLAG_SEEN | FLAG_FLAGGED);
	assert_str(l->v[0].keywords, "Work");
	assert_int_equal(l->v[1].flags, FLAG_DRAFT);
	end(w);
}

static void one_is_found_by_its_name(void **state UNUSED)
{
	struct world *w = begin();
	struct store_mailbox b;
	struct fault f;

	/* The account is born by it. */
	assert_true(store_mailbox(
		w->s, ME, (struct store_which){.name = STR("Sent")}, &b, &f));
	assert_int_equal(b.role, ROLE_SENT);
	assert_true(b.subscribed && b.id == box(w, ME, "Sent").id);
	put(w, "Sent", "x");
	assert_true(store_mailbox(
		w->s, ME, (struct store_which){.name = STR("Sent")}, &b, &f));
	assert_int_equal(b.n_exists, 1);
	assert_true(store_mailbox(
		w->s, ME, (struct store_which){.name = STR("sent")}, &b, &f));
	assert_int_equal(b.id, 0);
	assert_true(store_mailbox(
		w->s, OTHER, (struct store_which){.name = STR("")}, &b, &f));
	assert_int_equal(b.id, 0);
	end(w);
}

struct birth {
	struct world *w;
	pthread_barrier_t go;
	int64_t account;
};

static void *first_mail(void *ctx)
{
	struct birth *b = ctx;
	struct store_new m = {
		.mailbox = STR("INBOX"), .create = true, .body = STR("x")};
	struct store_target t = {.account = b->account, .m = &m};

	pthread_barrier_wait(&b->go);
	store_deliver(b->w->s, &t, 1);
	return NULL;
}

static void spin(int64_t us)
{
	struct timespec t;
	int64_t end = 0;

	do {
		clock_gettime(CLOCK_MONOTONIC, &t);
		int64_t now = t.tv_sec * 1000000 + t.tv_nsec / 1000;
		if (end == 0)
			end = now + us;
		us = end - now;
	} while (us > 0);
}

/* Its first mail and its first client come at once. */
static void an_account_is_born_once(void **state UNUSED)
{
	struct world *w = begin();
	struct birth b = {.w = w};
	struct store_mailbox inbox;
	pthread_t thread;
	struct fault f;

	assert_int_equal(pthread_barrier_init(&b.go, NULL, 2), 0);
	for (b.account = 100; b.account < 900; b.account++) {
		pthread_create(&thread, NULL, first_mail, &b);
		pthread_barrier_wait(&b.go);
		/* At each moment of the delivery, sooner or later */
		spin(b.account - 100);
		assert_true(store_mailbox(w->s, b.account,
			(struct store_which){.name = STR("INBOX")}, &inbox,
			&f));
		assert_int_equal(inbox.id, 1);
		pthread_join(thread, NULL);
		assert_true(store_mailbox(w->s, b.account,
			(struct store_which){.name = STR("INBOX")}, &inbox,
			&f));
		assert_int_equal(inbox.n_exists, 1);
	}
	pthread_barrier_destroy(&b.go);
	end(w);
}

static uint32_t *many(struct world *w, const char *mailbox, uint32_t n)
{
	uint32_t *uids = arena_alloc(w->a, n * sizeof(*uids));
	struct store_target *t = arena_alloc(w->a, n * sizeof(*t));
	struct store_new *m = arena_make(w->a, struct store_new);

	*m = (struct store_new){
		.mailbox = str_from(mailbox), .body = STR("x\r\n")};
	for (uint32_t i = 0; i < n; i++)
		t[i] = (struct store_target){.account = ME, .m = m};
	store_deliver(w->s, t, n);
	for (uint32_t i = 0; i < n; i++) {
		assert_true(t[i].ok);
		uids[i] = t[i].uid;
	}
	return uids;
}

/* 1: in parts, and yet all or none */
static void many_are_copied_or_none(void **state UNUSED)
{
	enum { N = 2500 };
	struct world *w = begin();
	uint32_t *uids = many(w, "INBOX", N), to[N + 1], validity;
	struct store_quota quota = {.messages = 2 * N - 1};
	struct store_mailbox inbox = box(w, ME, "INBOX");
	struct fault f;

	assert_false(store_copy(w->s, ME, inbox.id, uids, N, STR("Trash"),
		false, &quota, to, &validity, &f));
	assert_int_equal(f.class, FAULT_PERM);
	assert_int_equal(f.subject, 2);
	assert_int_equal(box(w, ME, "Trash").n_exists, 0);
	assert_int_equal(to[0], 0);
	quota.messages++;
	assert_true(store_copy(w->s, ME, inbox.id, uids, N, STR("Trash"), false,
		&quota, to, &validity, &f));
	struct store_mailbox trash = box(w, ME, "Trash");
	assert_int_equal(trash.n_exists, N);
	assert_int_equal(trash.bytes, inbox.bytes);
	assert_int_equal(validity, trash.uidvalidity);
	for (uint32_t i = 1; i < N; i++)
		assert_true(to[i] == to[i - 1] + 1);
	/* A move goes beyond it, and what is gone is passed over. */
	uids[N / 2] = 1000000;
	assert_true(store_copy(w->s, ME, inbox.id, uids, N, STR("Archive"),
		true, &quota, to, &validity, &f));
	assert_int_equal(to[N / 2], 0);
	assert_int_equal(box(w, ME, "INBOX").n_exists, 1);
	assert_int_equal(box(w, ME, "Archive").n_exists, N - 1);
	assert_int_equal(vanished(w, inbox.id, inbox.modseq)->n, N - 1);
	end(w);
}

static void the_inbox_is_renamed(void **state UNUSED)
{
	enum { N = 2500 };
	struct world *w = begin();
	struct fault f;

	many(w, "INBOX", N);
	struct store_mailbox before = box(w, ME, "INBOX");
	assert_true(change(w, STORE_RENAME, "INBOX", "old/mail", &f));
	struct store_mailbox after = box(w, ME, "INBOX");
	assert_int_equal(after.id, before.id);
	assert_int_equal(after.n_exists, 0);
	assert_int_equal(after.uidnext, before.uidnext);
	assert_int_equal(box(w, ME, "old/mail").n_exists, N);
	assert_false(change(w, STORE_RENAME, "INBOX", "old/mail", &f));
	assert_int_equal(f.detail, 1);
	end(w);
}

/* 11: at once for all to see, whatever there is to clear, and when */
static void a_large_mailbox_is_deleted(void **state UNUSED)
{
	enum { N = 1500 };
	struct world *w = begin();
	char *bytes = must_alloc(LARGE);
	struct store_mailbox used;
	struct store_message m;
	uint32_t to, validity;
	struct fault f;

	for (int i = 0; i < 3; i++) {
		assert_true(change(w, STORE_CREATE, "a", "", &f));
		int64_t id = box(w, ME, "a").id;
		uint32_t *uids = many(w, "a", N);
		struct store_target t = deliver(w, ME, "a",
			str_of(bytes, LARGE), (struct store_new){0});
		assert_true(t.ok);
		expect_files(w, 1);
		assert_true(store_copy(w->s, ME, id, uids + 7, 1, STR("Trash"),
			false, NULL, &to, &validity, &f));
		expunge(w, id, uids[3]);
		assert_true(change(w, STORE_DELETE, "a", "", &f));
		assert_int_equal(box(w, ME, "a").id, 0);
		assert_true(store_mailbox(
			w->s, ME, (struct store_which){0}, &used, &f));
		assert_int_equal(
			used.n_exists, box(w, ME, "Trash").n_exists +
					       box(w, ME, "Drafts").n_exists);
		/* Closing in between, it goes on when the store opens. */
		again(w);
		again(w);
		assert_true(store_message(w->s, ME, box(w, ME, "Trash").id, to,
			STORE_BYTES, &m, &f));
		assert_str(m.bytes, "x\r\n");
		store_message_fini(&m);
		for (int round = 0; body_files(w) > 0; round++) {
			assert_true(round < 1000);
			put(w, "Drafts", "another one's");
			again(w);
		}
		assert_false(store_message(
			w->s, ME, id, uids[9], STORE_BYTES, &m, &f));
	}
	free(bytes);
	end(w);
}

#if LASTS
static void a_deleted_mailbox_comes_back(void **state UNUSED)
{
	enum { N = 1500 };
	struct world *w = begin();
	uint64_t n = 0;
	struct fault f;

	store_close(w->s);
	w->s = store_open(
		w->dir, &(struct store_settings){.keep_removed_s = 3600}, &f);
	assert_non_null(w->s);
	assert_true(change(w, STORE_CREATE, "a", "", &f));
	many(w, "a", N);
	assert_true(change(w, STORE_DELETE, "a", "", &f));
	store_close(w->s); /* some of it is cleared, and kept */
	assert_true(store_undelete(w->dir, ME, 0, &n, &f));
	assert_int_equal(n, N);
	w->s = store_open(w->dir, &(struct store_settings){.shards = 2}, &f);
	assert_non_null(w->s);
	assert_int_equal(box(w, ME, "INBOX").n_exists, N);
	end(w);
}
#endif

static bool told(struct world *w, int64_t mailbox, uint32_t below)
{
	struct fault f;

	return store_change_mailbox(w->s, ME,
		&(struct store_change){
			.kind = STORE_TOLD, .mailbox = mailbox, .below = below},
		&f);
}

static uint64_t rows_told(struct world *w, const char *mailbox)
{
	return box(w, ME, mailbox).told_below;
}

static void what_clients_were_told(void **state UNUSED)
{
	struct world *w = begin();
	struct store_mailbox b = box(w, ME, "INBOX");

	assert_int_equal(b.told_below, 1);
	put(w, "INBOX", "x");
	assert_true(told(w, b.id, 2));
	assert_true(told(w, b.id, 1)); /* never back */
	again(w);
	assert_int_equal(rows_told(w, "INBOX"), 2);
	assert_int_equal(rows_told(w, "Trash"), 1);
	end(w);
}

/* 10 */
static void a_delivery_is_once(void **state UNUSED)
{
	struct world *w = begin();
	struct store_new one = {.msg = (int64_t)id_new()};
	struct store_target t = deliver(w, ME, "INBOX", STR("x"), one);

	assert_true(t.ok && t.uid == 1);
	t = deliver(w, ME, "INBOX", STR("x"), one);
	assert_true(t.ok && t.uid == 0);
	expunge(w, box(w, ME, "INBOX").id, 1);
	again(w);
	t = deliver(w, ME, "INBOX", STR("x"), one);
	assert_true(t.ok && t.uid == 0);
	t = deliver(w, ME, "Archive", STR("x"), one);
	assert_true(t.ok && t.uid == 1);
	/* Its mailbox has become full in between. */
	one.quota = (struct store_quota){0, 1};
	t = deliver(w, ME, "Archive", STR("x"), one);
	assert_true(t.ok && t.uid == 0);
	one.msg = (int64_t)id_new();
	t = deliver(w, ME, "Archive", STR("x"), one);
	assert_true(!t.ok && t.fault.subject == 2);
	assert_int_equal(box(w, ME, "Archive").n_exists, 1);
	end(w);
}

static void a_quota_is_all_or_nothing(void **state UNUSED)
{
	struct world *w = begin();
	struct store_new one = {.mailbox = STR("INBOX"),
		.create = true,
		.body = STR("0123456789"),
		.quota = {25, 0}};
	struct store_new free_one = one;
	struct store_target t[4];
	uint32_t uids[] = {1, 2}, to[2], validity;
	struct store_mailbox used;
	struct fault f;

	free_one.quota = (struct store_quota){0};
	for (size_t i = 0; i < 4; i++)
		t[i] = (struct store_target){.account = i < 3 ? ME : ME + 2,
			.m = i < 3 ? &one : &free_one};
	store_deliver(w->s, t, 4);
	for (size_t i = 0; i < 4; i++)
		if (t[i].account == ME)
			assert_true(!t[i].ok && t[i].fault.subject == 2);
		else
			assert_true(t[i].ok);
	put(w, "INBOX", "0123456789");
	put(w, "INBOX", "0123456789");
	struct store_mailbox b = box(w, ME, "INBOX");
	struct store_quota q = {35, 0};
	assert_false(store_copy(w->s, ME, b.id, uids, 2, STR("Trash"), false,
		&q, to, &validity, &f));
	assert_int_equal(f.subject, 2);
	assert_int_equal(box(w, ME, "Trash").n_exists, 0);
	assert_true(store_copy(w->s, ME, b.id, uids, 2, STR("Trash"), true, &q,
		to, &validity, &f)); /* a move needs no room */
	assert_true(
		store_mailbox(w->s, ME, (struct store_which){0}, &used, &f));
	assert_true(used.bytes == 20 && used.n_exists == 2);
	end(w);
}

/* ---- mailboxes ---- */

static void names(void **state UNUSED)
{
	struct world *w = begin();
	struct store_mailbox *v;
	size_t n;
	struct strs subscribed;
	struct fault f;

	assert_true(change(w, STORE_CREATE, "a/b/c", "", &f));
	assert_true(box(w, ME, "a").id != 0 && box(w, ME, "a/b").id != 0);
	assert_false(change(w, STORE_CREATE, "a/b", "", &f));
	assert_int_equal(f.detail, 1);
	assert_false(change(w, STORE_DELETE, "none", "", &f));
	assert_int_equal(f.detail, 2);
	assert_false(store_change_mailbox(w->s, ME,
		&(struct store_change){.kind = STORE_CREATE,
			.name = STR("second sent"),
			.role = ROLE_SENT},
		&f));
	assert_int_equal(f.detail, 4);
	int64_t id = box(w, ME, "a/b/c").id;
	put(w, "a/b/c", "x");
	assert_true(change(w, STORE_RENAME, "a", "z/y", &f));
	assert_int_equal(box(w, ME, "z/y/b/c").id, id);
	assert_int_equal(box(w, ME, "a").id, 0);
	assert_int_equal(rows(w, id, 0)->n, 1);
	/* INBOX stays, what is in it goes. */
	put(w, "INBOX", "1");
	id = box(w, ME, "INBOX").id;
	assert_true(change(w, STORE_RENAME, "INBOX", "old", &f));
	assert_int_equal(box(w, ME, "INBOX").id, id);
	assert_int_equal(box(w, ME, "INBOX").n_exists, 0);
	assert_int_equal(box(w, ME, "old").n_exists, 1);
	assert_true(change(w, STORE_SUBSCRIBE, "old", "", &f));
	assert_true(change(w, STORE_DELETE, "old", "", &f));
	assert_true(store_mailboxes(w->s, ME, w->a, &v, &n, &subscribed, &f));
	assert_true(strs_has(&subscribed, STR("old")));
	end(w);
}

static void rights_go_with_the_mailbox(void **state UNUSED)
{
	struct world *w = begin();
	struct store_acl one = {.grantee = OTHER, .name = STR("o@x")}, *v;
	struct strs owners;
	struct fault f;
	size_t n;

	assert_true(change(w, STORE_CREATE, "a", "", &f));
	one.mailbox = box(w, ME, "a").id;
	one.rights = RIGHT_LOOKUP | RIGHT_READ;
	assert_true(store_acl_set(w->s, ME, &one, &f));
	assert_true(store_note_sharer(w->s, OTHER, STR("me@x"), true, &f));
	assert_true(store_note_sharer(w->s, OTHER, STR("me@x"), true, &f));
	assert_true(change(w, STORE_CREATE, "a/b", "", &f));
	again(w);
	assert_true(store_acls(w->s, ME, 0, w->a, &v, &n, &f));
	assert_true(n == 2 && v[0].rights == one.rights &&
		    v[1].mailbox == box(w, ME, "a/b").id);
	assert_true(store_sharers(w->s, OTHER, w->a, &owners, &f));
	assert_true(owners.n == 1 && str_eqc(owners.v[0], "me@x"));
	assert_true(change(w, STORE_DELETE, "a/b", "", &f));
	one.rights = 0;
	assert_true(store_acl_set(w->s, ME, &one, &f));
	assert_true(store_acls(w->s, ME, 0, w->a, &v, &n, &f));
	assert_int_equal(n, 0);
	one.mailbox = 12345;
	assert_false(store_acl_set(w->s, ME, &one, &f));
	assert_int_equal(f.detail, 2);
	end(w);
}

#if LASTS
/* A writer for two CPUs; what is decided stays. */
static void a_store_suits_the_machine(void **state UNUSED)
{
	struct world *w = begin();
	char dir[80], path[128];
	long half = sysconf(_SC_NPROCESSORS_ONLN) / 2;
	long want = half < 1 ? 1 : half < 4 ? half : 4;
	struct fault f;

	snprintf(dir, sizeof(dir), "%s/own", w->dir);
	for (unsigned shards = 0; shards < 8; shards += 7) {
		struct store *s = store_open(
			dir, &(struct store_settings){.shards = shards}, &f);

		assert_non_null(s);
		store_close(s);
		snprintf(path, sizeof(path), "%s/mail.%ld.db", dir, want - 1);
		assert_int_equal(access(path, F_OK), 0);
		snprintf(path, sizeof(path), "%s/mail.%ld.db", dir, want);
		assert_int_equal(access(path, F_OK), -1);
	}
	end(w);
}

static void a_copy_that_is_only_read(void **state UNUSED)
{
	struct world *w = begin();
	struct store_mailbox *v;
	struct fault f;
	size_t n;

	put(w, "INBOX", "x");
	struct store *r = store_open(
		w->dir, &(struct store_settings){.only_read = true}, &f);
	assert_non_null(r);
	assert_true(store_mailboxes(r, ME, w->a, &v, &n, NULL, &f) && n == 6);
	assert_true(
		store_mailboxes(r, OTHER, w->a, &v, &n, NULL, &f) && n == 0);
	store_close(r);
	assert_null(store_open("/tmp/postern-no-such-store",
		&(struct store_settings){.only_read = true}, &f));
	assert_int_equal(f.class, FAULT_PERM);
	end(w);
}
#endif

/* ---- against a model ---- */

enum { STEPS = 1500, MODEL_MAX = 3000 };

struct model {
	struct {
		uint32_t flags;
		bool exists;
	} v[MODEL_MAX]; /* by UID */
	uint32_t next;
};

static uint32_t random_uid(const struct model *m)
{
	return (uint32_t)(random_u64() % m->next) + 1;
}

static void model_flags(struct world *w, struct model *m, int64_t mailbox,
	enum store_flag_op op)
{
	uint32_t uid = random_uid(m), bits = random_u64() & FLAG_SYSTEM;
	struct store_flags c = {.op = op, .flags = bits};
	struct fault f;

	assert_true(store_flags(w->s, ME, mailbox, &uid, 1, &c, &f));
	uint32_t *have = &m->v[uid].flags;
	*have = op == FLAGS_SET   ? bits
		: op == FLAGS_ADD ? *have | bits
				  : *have & ~bits;
}

static void model_step(struct world *w, struct model *m, int64_t mailbox)
{
	uint64_t what = random_u64() % 8;

	if (what < 3 && m->next < MODEL_MAX - 1) {
		uint32_t flags = random_u64() & FLAG_SYSTEM;
		struct store_target t = deliver(w, ME, "INBOX", STR("x"),
			(struct store_new){.flags = flags});

		assert_int_equal(t.uid, m->next);
		m->v[m->next].flags = flags;
		m->v[m->next++].exists = true;
	} else if (what == 3) {
		uint32_t uid = random_uid(m);

		expunge(w, mailbox, uid);
		m->v[uid].exists = false;
	} else {
		model_flags(w, m, mailbox, (enum store_flag_op)(what % 3));
	}
}

/* 6, 9, and the rows themselves */
static void compare(struct world *w, const struct model *m, int64_t mailbox)
{
	struct listed *l = rows(w, mailbox, 0);
	struct store_mailbox b;
	uint64_t unseen = 0, deleted = 0, want_below = 0;
	uint32_t first = 0;
	size_t n = 0;
	struct fault f;

	for (uint32_t i = 1; i < m->next; i++) {
		if (!m->v[i].exists)
			continue;
		assert_int_equal(l->v[n].uid, i);
		assert_int_equal(l->v[n++].flags, m->v[i].flags);
		deleted += (m->v[i].flags & FLAG_DELETED) != 0;
		if ((m->v[i].flags & FLAG_SEEN) != 0)
			continue;
		unseen++;
		if (first == 0) {
			first = i;
			want_below = n - 1;
		}
	}
	assert_int_equal(l->n, n);
	assert_true(store_mailbox(w->s, ME,
		(struct store_which){.id = mailbox, .also = STORE_FIRST_UNSEEN},
		&b, &f));
	assert_int_equal(b.n_exists, n);
	assert_int_equal(b.n_unseen, unseen);
	assert_int_equal(b.n_deleted, deleted);
	assert_int_equal(b.bytes, n);
	assert_int_equal(b.uidnext, m->next);
	assert_int_equal(b.first_unseen, first);
	if (first != 0)
		assert_int_equal(b.before_unseen, want_below);
}

static void it_is_as_the_model_says(void **state UNUSED)
{
	struct world *w = begin();
	struct model *m = must_alloc(sizeof(*m));
	int64_t mailbox = box(w, ME, "INBOX").id;

	m->next = 1;
	for (int i = 0; i < STEPS; i++) {
		model_step(w, m, mailbox);
		if (i % 100 == 0)
			compare(w, m, mailbox);
		if (i % 500 == 499)
			again(w);
		arena_reset(w->a);
	}
	compare(w, m, mailbox);
	free(m);
	end(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_message_is_what_was_given),
		cmocka_unit_test(a_header_alone),
		cmocka_unit_test(a_reading_sees_one_moment),
		cmocka_unit_test(a_header_of_any_length),
		cmocka_unit_test(a_body_lives_as_long_as_somebody_has_it),
		cmocka_unit_test(numbers_are_given_once),
		cmocka_unit_test(modseq_only_grows),
		cmocka_unit_test(flags_by_condition),
		cmocka_unit_test(a_delivery_is_once),
		cmocka_unit_test(a_quota_is_all_or_nothing),
		cmocka_unit_test(names),
		cmocka_unit_test(rights_go_with_the_mailbox),
		cmocka_unit_test(one_is_found_by_its_name),
		cmocka_unit_test(an_account_is_born_once),
		cmocka_unit_test(many_are_copied_or_none),
		cmocka_unit_test(the_inbox_is_renamed),
		cmocka_unit_test(a_large_mailbox_is_deleted),
		cmocka_unit_test(what_clients_were_told),
		cmocka_unit_test(it_is_as_the_model_says),
#if LASTS
		cmocka_unit_test(a_deleted_mailbox_comes_back),
		cmocka_unit_test(a_copy_that_is_only_read),
		cmocka_unit_test(a_store_suits_the_machine),
#endif
	};

	db_configure();
	return cmocka_run_group_tests_name(
		LASTS ? "sqlite" : "mem", tests, NULL, NULL);
}
