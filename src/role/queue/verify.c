/* SPDX-License-Identifier: ISC */
#include "role/queue/verify.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/map.h"
#include "base/must.h"
#include "base/utf8.h"
#include "codec/smtp/command.h"
#include "db/db.h"
#include "policy/verify_sender.h"
#include "sys/clock.h"
#include "sys/waiting.h"

enum { PENDING_MAX = 5000, SWEEP_S = 43200 };

static const char schema_1[] =
	"CREATE TABLE answers(address TEXT PRIMARY KEY, status INT NOT NULL,"
	" at INT NOT NULL, text TEXT NOT NULL) WITHOUT ROWID";
static const char *const schema[] = {schema_1};

/* A probe that is under way. */
struct pending {
	unsigned refs; /* the probe, and who waits */
	bool done;
	enum verify_status status;
	char *text;
};

struct verify {
	struct role *role;
	struct sched *sched;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct db *db;
	struct map *pending;
	int64_t swept;
};

struct verify *verify_new(
	struct role *r, struct sched *s, const char *dir, struct fault *f)
{
	struct verify *v = must_alloc(sizeof(*v));
	pthread_condattr_t attr;
	char path[4096];

	snprintf(path, sizeof(path), "%s/verify.db", dir);
	v->db = db_open(path, DB_LOOSE, f);
	if (v->db == NULL || !db_schema(v->db, schema, ARRAY_LEN(schema), f)) {
		db_close(v->db);
		free(v);
		return NULL;
	}
	v->role = r;
	v->sched = s;
	pthread_mutex_init(&v->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&v->changed, &attr);
	pthread_condattr_destroy(&attr);
	v->pending = map_new();
	return v;
}

/* ---- what is known; under the lock ---- */

struct answer {
	enum verify_status status;
	struct str text;
	int64_t age;
};

static bool known(
	struct verify *v, struct str address, struct arena *a, struct answer *r)
{
	struct fault f;
	sqlite3_stmt *s = db_query(v->db, &f,
		"SELECT status, at, text FROM answers WHERE address=?", "t",
		address);

	if (db_step(v->db, s, &f) <= 0)
		return false;
	*r = (struct answer){
		db_int(s, 0) == VERIFY_OK ? VERIFY_OK : VERIFY_REJECT,
		arena_str(a, db_text(s, 2)), clock_unix() - db_int(s, 1)};
	db_reset(s);
	return true;
}

static void sweep(struct verify *v, int64_t now)
{
	const struct conf *c = v->role->conf;
	struct fault f;

	if (now - v->swept < SWEEP_S)
		return;
	v->swept = now;
	if (!db_run(v->db, &f,
		    "DELETE FROM answers WHERE at < CASE status WHEN 0 THEN ?"
		    " ELSE ? END",
		    "ii", now - c->address_verify_positive_expire_time,
		    now - c->address_verify_negative_expire_time))
		log_warn("verify.db", log_fault(&f));
}

static void keep(struct verify *v, struct str address,
	enum verify_status status, struct str text)
{
	const struct conf *c = v->role->conf;
	int64_t now = clock_unix();
	struct fault f;

	/* "Later" is no answer that is worth keeping. */
	if (status != VERIFY_OK &&
		(status != VERIFY_REJECT || !c->address_verify_negative_cache))
		return;
	sweep(v, now);
	if (!db_run(v->db, &f,
		    "INSERT OR REPLACE INTO answers(address, status, at, text)"
		    " VALUES(?,?,?,?)",
		    "tiit", address, (int64_t)(status == VERIFY_REJECT), now,
		    text))
		log_warn("verify.db", log_fault(&f));
}

static void release(struct pending *p)
{
	if (--p->refs > 0)
		return;
	free(p->text);
	free(p);
}

/* ---- probes ---- */

/* postconf(5) smtputf8_autodetect_classes */
static uint32_t utf8_flag(const struct verify *v, struct str address)
{
	struct str classes = v->role->conf->smtputf8_autodetect_classes;

	return !utf8_is_ascii(address) &&
			       (conf_option_has(classes, "verify") ||
				       conf_option_has(classes, "all"))
		       ? ENV_UTF8
		       : 0u;
}

static void send_probe(struct verify *v, struct str address)
{
	struct arena *a CLEANUP(arena_freep) = arena_new(65536);
	struct recipient to = {.address = address,
		.original = address,
		.notify = SMTP_NOTIFY_NEVER};
	struct envelope env = {.id = id_new(),
		.arrival = clock_unix(),
		.flags = ENV_PROBE | utf8_flag(v, to.address),
		.sender = verify_sender(v->role->conf, clock_unix(), a),
		.client = STR("verify"),
		.rcpts = &to,
		.n_rcpts = 1};

	sched_add(v->sched, &env, STR(""));
}

/* Under the lock, which is given away while the probe is sent.  The caller
 * releases it; NULL: there are too many. */
static struct pending *probe(struct verify *v, struct str address)
{
	struct pending *p = map_get(v->pending, address);

	if (p == NULL && map_count(v->pending) >= PENDING_MAX)
		return NULL;
	if (p != NULL) {
		p->refs++;
		return p;
	}
	p = must_alloc(sizeof(*p));
	p->refs = 2; /* the probe's and the caller's */
	map_set(v->pending, address, p);
	pthread_mutex_unlock(&v->lock);
	send_probe(v, address);
	pthread_mutex_lock(&v->lock);
	return p;
}

void verify_done(
	struct verify *v, struct str address, const struct outcome_of *o)
{
	struct arena *a CLEANUP(arena_freep) = arena_new(SIZE_MAX);
	struct str key = arena_lower(a, address);
	enum verify_status status = o->kind == DELIVERED ? VERIFY_OK
				    : o->kind == BOUNCED ? VERIFY_REJECT
							 : VERIFY_TEMP;

	pthread_mutex_lock(&v->lock);
	keep(v, key, status, o->text);
	struct pending *p = map_remove(v->pending, key);
	if (p != NULL) {
		p->done = true;
		p->status = status;
		p->text = str_heap(o->text);
		pthread_cond_broadcast(&v->changed);
		release(p);
	}
	pthread_mutex_unlock(&v->lock);
}

/* Under the lock. */
static enum verify_status await(struct verify *v, struct pending *p,
	int64_t wait_ms, struct arena *a, struct str *text_r)
{
	struct timespec until;
	enum verify_status status = VERIFY_PENDING;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += wait_ms / 1000;
	until.tv_nsec += wait_ms % 1000 * 1000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000;
	}
	waiting_begin();
	while (!p->done && pthread_cond_timedwait(
				   &v->changed, &v->lock, &until) != ETIMEDOUT)
		;
	waiting_end();
	if (p->done) {
		status = p->status;
		*text_r = arena_str(a, str_from(p->text));
	}
	return status;
}

enum verify_status verify_ask(struct verify *v, struct str address,
	int64_t wait_ms, struct arena *a, struct str *text_r)
{
	const struct conf *c = v->role->conf;
	struct str key = arena_lower(a, address);
	enum verify_status status = VERIFY_PENDING;
	struct answer old;

	*text_r = STR("Address verification in progress");
	pthread_mutex_lock(&v->lock);
	bool have = known(v, key, a, &old);
	bool good = have && old.status == VERIFY_OK;
	bool valid = have &&
		     old.age < (good ? c->address_verify_positive_expire_time
				     : c->address_verify_negative_expire_time);
	bool fresh = valid &&
		     old.age < (good ? c->address_verify_positive_refresh_time
				     : c->address_verify_negative_refresh_time);
	struct pending *p = fresh ? NULL : probe(v, key);
	if (valid) {
		status = old.status;
		*text_r = old.text;
	} else if (p != NULL) {
		status = await(v, p, wait_ms, a, text_r);
	}
	if (p != NULL)
		release(p);
	pthread_mutex_unlock(&v->lock);
	return status;
}
