/* SPDX-License-Identifier: ISC */
#ifndef ROLE_QUEUE_SCHED_PRIVATE_H
#define ROLE_QUEUE_SCHED_PRIVATE_H

/* Shared by the files of the scheduler. */

#include <pthread.h>

#include "base/map.h"
#include "policy/sources.h"
#include "role/queue/calendar.h"
#include "role/queue/sched.h"

enum item_state { ITEM_WAITING, ITEM_LINED, ITEM_LEASED, ITEM_DONE };

struct message;

/* One recipient of one active message. */
struct item {
	struct message *m;
	uint32_t n;
	enum item_state state;
	int64_t due;
	int64_t tried; /* of the last try; 0: never */
	uint32_t attempts;
	char *reason; /* of the last deferral; NULL: none */
	struct str route; /* what decided it, for the log */
	struct line *line; /* while lined */
	struct item *next; /* in the line */
};

struct message {
	struct arena *a; /* of the envelope */
	struct envelope env;
	struct text text; /* in memory, or nothing */
	bool hold; /* by a person, while leased */
	bool removed; /* the same */
	bool expired; /* by a person: what is not delivered is given up */
	bool ending; /* its end is being written, or has been */
	struct item *items;
	bool at_once; /* a person wants it tried, due or not */
	uint32_t leased; /* who has it in hand: it stays where it is */
	uint32_t lined; /* recipients in lines */
};

/* What one sender has for one destination. */
struct line {
	struct str key; /* in its own memory, behind */
	struct dest *dest;
	struct item *first, *last;
	size_t n;
	/* Messages whose turn has not come: they are in the calendar too, where
	 * only the end of their time is looked at. */
	uint64_t *parked;
	size_t n_parked, parked_from, parked_cap;
	bool overdue; /* some of them are older than they may be */
	struct line *next, *prev; /* of the destination, a ring */
	const struct message *admitted; /* the last that found room */
	bool hungry; /* stands in the list of those to be filled up */
	struct line *next_hungry;
	char text[];
};

struct dest_list {
	struct dest *first, *last;
};

/* Of a transport, whatever the next hop: transport_rate_delay. */
struct rate {
	int64_t delay, next_start; /* seconds; Unix seconds */
};

struct dest {
	struct str transport, nexthop; /* in its own memory, behind */
	enum agent_kind kind;
	struct line *turn; /* whose turn it is; NULL: no lines */
	size_t n; /* items in all lines */
	size_t n_urgent; /* of a priority of their own */
	size_t n_parked;
	unsigned in_flight;
	struct site *site;
	int64_t limit, initial; /* deliveries at a time; at the beginning */
	int64_t recipient_limit;
	int64_t rate_delay, next_start; /* seconds between two deliveries */
	struct rate *rate; /* NULL: its transport has none */
	struct dest_list *list; /* ready, later, full; NULL: nothing to do */
	struct dest *next, *prev; /* in that list */
	struct dest *next_of_site, *prev_of_site;
	char text[];
};

/* What answers at a destination, and at others with the same exchangers. */
struct site {
	struct str name; /* transport, and next hop or exchangers */
	bool own; /* the name is a next hop's */
	char *moved_to; /* name of the site of its exchangers; NULL: itself */
	struct dest *dests;
	struct dest_list full; /* of them: they wait until it has room */
	unsigned in_flight;
	double window; /* deliveries at a time, as learned; 0: not begun */
	bool steady; /* there was trouble: the window opens slowly */
	unsigned failures; /* in a row */
	int64_t closed_until; /* it does not answer */
	uint64_t good, bad;
	char *last; /* its last words; NULL: none */
	int64_t used; /* Unix seconds */
	bool changed; /* since it was kept */
	struct site *next, *prev; /* all */
	char text[];
};

/* The three that agents are for; each has a bound of its own. */
enum pool {
	POOL_MAILBOX,
	POOL_SENDER, /* servers that answer */
	POOL_UNANSWERED, /* those that have not, or not the last time */
	POOLS
};

struct agent {
	struct ipc_session *session;
	enum agent_kind kind;
	bool waiting;
	struct agent *next_waiting;
	struct message *job; /* NULL: none */
	struct dest *dest;
	enum pool pool;
	const struct source *source[2]; /* IPv4, IPv6; NULL: as configured */
	uint32_t *pick;
	uint32_t n_pick;
};

/* The addresses of one transport's configuration. */
struct source_group {
	const struct conf *conf;
	struct sources sources;
	struct source_group *next;
};

/* What an address has carried on a day, since 1970. */
struct carried {
	int64_t day;
	uint32_t n;
	bool changed; /* since it was kept */
};

enum { AGENT_KINDS = 2, LOOKERS = 4 };

struct sched {
	struct role *role;
	struct queue *queue;
	struct policy *policy, *probe_policy;
	const struct status_filters *filters;
	const struct bounce_template *bounces; /* BOUNCE_KINDS of them */
	pthread_mutex_t people; /* before .lock: invariant 4 */
	pthread_mutex_t lock;
	pthread_cond_t changed; /* something may be due */
	pthread_cond_t started; /* loaded */
	pthread_t loader, lookers[LOOKERS];
	bool loaded; /* all that is on disk is known */
	struct calendar *calendar;
	struct map *by_id; /* the active ones */
	size_t n_active;
	size_t text_bytes; /* of all of them */
	struct map *dest_by_key;
	struct map *rate_by_transport;
	struct map *line_by_key;
	struct map *site_by_name;
	struct site *sites;
	size_t n_sites;
	struct sites_file *sites_file;
	struct source_group *sources;
	struct map *carried; /* by address */
	struct dest_list ready[POOLS]; /* an agent may take from them */
	struct dest_list later; /* not before dest_opens() */
	struct line *hungry;
	struct agent *waiting[AGENT_KINDS]; /* the last that came first */
	unsigned in_flight[POOLS];
	/* For the end: jobs that agents have, or whose outcome is being taken;
	 * what is being written of outcomes.  calm: both went to 0. */
	unsigned in_hand, writing;
	bool ending; /* nothing is given out */
	pthread_cond_t calm;
	int64_t next_due;
	sched_probe_f *on_probe;
	void *probe_ctx;
};

static inline bool is_probe(const struct message *m)
{
	return (m->env.flags & ENV_PROBE) != 0;
}

static inline int64_t min_i64(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

/* ---- sched.c ---- */

struct message *sched_find(struct sched *s, uint64_t id); /* lock held */
/* Among the active ones; lock held. */
void sched_enter(struct sched *s, struct message *m);
/* Out of memory, whatever becomes of it; lock held, nobody has it in hand. */
void sched_forget(struct sched *s, struct message *m);
/* It may have become idle: then it goes to the calendar.  Lock held. */
void sched_rest(struct sched *s, struct message *m);
void sched_wake(struct sched *s, int64_t due); /* lock held */
/* Fills up the lines of who has parked messages and room; lock held. */
void sched_hungry(struct sched *s, struct line *l);

/* ---- active.c: making messages active ---- */

/* From disk; NULL: there is nothing (more) to do.  Leased once, for the
 * caller; the people's lock is held, the other one is not. */
struct message *active_load(struct sched *s, const struct calendar_entry *e);
/* A fresh one; leased once. */
struct message *active_new(const struct envelope *env);
/* Lines up what is due; no lock is held, and the caller's lease ends. */
void active_schedule(struct sched *s, struct message *m);
/* The same with one that nobody knows yet: it is entered. */
void active_begin(struct sched *s, struct message *m);

/* The site does not answer: whoever stands in its lines waits on disk.  Lock
 * held; the destination may be gone then. */
void active_withdraw(struct sched *s, struct dest *d);
bool active_is_done(const struct message *m); /* each of its recipients */

/* ---- jobs.c ---- */

void jobs_dispatch(struct sched *s); /* lock held */

/* ---- line.c; the lock is held by all of them ---- */

/* The line of the sender at the destination, made when missing. */
struct line *line_get(struct sched *s, struct dest *d, struct str sender);
/* RFC 6710: behind all of its own priority, in front of all below it. */
void line_up(struct sched *s, struct line *l, struct item *it);
void line_leave(struct sched *s, struct item *it);
void line_park(struct line *l, uint64_t id);
/* The next parked one; 0: none. */
uint64_t line_unpark(struct line *l);
/* How many more messages it takes. */
size_t line_room(const struct line *l);
/* A line of the destination that has parked messages and room gets some. */
void line_feed(struct sched *s, struct dest *d);
/* Frees it, and the destination, when nothing is left in them. */
void line_drop(struct sched *s, struct line *l);
/* The line whose turn it is; it goes behind the others. */
struct line *line_next(struct dest *d);
/* One with somebody parked behind it, and not to be fed yet; NULL: none. */
struct line *line_parked(const struct dest *d);

/* ---- dest.c; the lock is held by all of them ---- */

enum agent_kind dest_kind(const struct sched *s, struct str transport);
struct dest *dest_get(
	struct sched *s, struct str transport, struct str nexthop);
void dest_drop(struct sched *s, struct dest *d); /* when nothing is left */
enum pool dest_pool(const struct dest *d);
/* Finds its place again after a change. */
void dest_put(struct sched *s, struct dest *d);
/* Does nobody start here because it does not answer? */
bool dest_is_closed(const struct dest *d, int64_t now);
int64_t dest_opens(const struct dest *d); /* Unix seconds; not before */
bool dest_is_full(const struct dest *d);
void dest_started(struct sched *s, struct dest *d, int64_t now);
void dest_ended(struct sched *s, struct dest *d, enum pool pool);
/* Those whose time has come; the next time that one opens, 0: none. */
int64_t dest_open_due(struct sched *s, int64_t now);

/* ---- site.c; the lock is held by all of them ---- */

struct site *site_get(struct sched *s, struct str name);
void site_free(struct sched *s, struct site *site); /* nobody uses it */
void site_join(struct dest *d); /* d->site */
void site_leave(struct dest *d);
/* Those that wait for it to have room, as far as it has. */
void site_has_room(struct sched *s, struct site *site);
/* What a delivery says about the site. */
void site_learn(struct sched *s, struct dest *d, const struct outcomes *o);
/* A person wants it tried. */
void site_open(struct sched *s, struct site *site);
void site_open_all(struct sched *s);

/* ---- source.c; the lock is held by all of them, but at the start ---- */

void source_load(struct sched *s);
/* For a delivery, one of each family: counted for it, until it is known which
 * was used. */
void source_take(struct sched *s, const struct dest *d, const struct message *m,
	const struct source *v[2]);
void source_used(
	struct sched *s, const struct source *const v[2], struct str address);
/* From what was kept. */
void source_carried(
	struct sched *s, struct str address, int64_t day, uint32_t n);

/* sites_file.c: what was learned is kept, and loaded; not flushed. */
struct sites_file *sites_file_open(
	struct sched *s, const char *dir, struct fault *f);
/* Writes what has changed and forgets what was not used for long.  No lock is
 * held. */
void sites_file_keep(struct sites_file *x, struct sched *s);

/* ---- finish.c ---- */

/* Outcomes become states, reports and the end of a message.  Called without
 * the lock; the caller's lease ends.  via: "transport:nexthop", or empty. */
void sched_finish(struct sched *s, struct message *m, const struct outcomes *o,
	struct str via);
/* When the sender is told of a delay, or a message is given up, next: Unix
 * seconds; of what is not tried. */
int64_t finish_event(const struct sched *s, const struct message *m);

/* Tells who waits for the end; the lock is held. */
void sched_calmed(struct sched *s);

#endif
