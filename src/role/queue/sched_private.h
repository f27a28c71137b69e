/* SPDX-License-Identifier: ISC */
#ifndef ROLE_QUEUE_SCHED_PRIVATE_H
#define ROLE_QUEUE_SCHED_PRIVATE_H

/* Shared by sched.c, dest.c, finish.c and list.c. */

#include <pthread.h>

#include "role/queue/sched.h"

enum item_state { ITEM_WAITING, ITEM_LINED, ITEM_LEASED, ITEM_DONE };

struct message;

/* One recipient of one message. */
struct item {
	struct message *m;
	uint32_t n;
	enum item_state state;
	int64_t due;
	int64_t tried; /* of the last try; 0: never */
	uint32_t attempts;
	char *reason; /* of the last deferral; NULL: none */
	struct dest *dest; /* while lined or leased */
	struct item *next; /* in the line */
};

struct message {
	struct arena *a; /* of the envelope */
	struct envelope env;
	bool hold;
	bool removed; /* by a person, while leased */
	bool expired; /* by a person: what is not delivered is given up */
	bool ending; /* its end is being written */
	struct item *items;
	uint32_t leased;
	struct message *next, *prev;
};

struct dest {
	struct str transport, nexthop; /* in its own memory, behind */
	enum agent_kind kind;
	struct item *first, *last;
	unsigned in_flight;
	struct site *site;
	int64_t limit, initial; /* deliveries at a time; at the beginning */
	int64_t recipient_limit;
	int64_t rate_delay, next_start; /* seconds between two deliveries */
	struct dest *next; /* all */
	char text[];
};

/* What answers at a destination, and at others with the same exchangers. */
struct site {
	struct str name; /* transport, and next hop or exchangers */
	unsigned in_flight;
	double window; /* deliveries at a time, as learned */
	bool steady; /* there was trouble: the window opens slowly */
	unsigned failures; /* in a row */
	int64_t closed_until; /* it does not answer */
	uint64_t good, bad;
	char *last; /* its last words; NULL: none */
	struct site *next; /* all */
	char text[];
};

struct agent {
	struct ipc_session *session;
	enum agent_kind kind;
	bool waiting;
	struct message *job; /* NULL: none */
	struct dest *dest;
	uint32_t *pick;
	uint32_t n_pick;
	struct agent *next;
};

struct sched {
	struct role *role;
	struct queue *queue;
	struct policy *policy;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	pthread_t timer;
	struct message *first, *last; /* oldest first */
	struct map *by_id;
	size_t n_messages;
	struct dest *dests;
	struct map *dest_by_key;
	struct site *sites;
	struct map *site_by_name;
	struct agent *agents;
	unsigned in_flight;
	int64_t next_due;
	sched_probe_f *on_probe;
	void *probe_ctx;
};

static inline bool is_probe(const struct message *m)
{
	return (m->env.flags & ENV_PROBE) != 0;
}

/* sched.c */
struct message *sched_find(struct sched *s, uint64_t id);
void sched_forget(struct sched *s, struct message *m); /* lock held */
void sched_dispatch(struct sched *s); /* lock held */
void sched_wake(struct sched *s, int64_t due); /* lock held */

/* dest.c; the lock is held by all of them. */
enum agent_kind dest_kind(const struct sched *s, struct str transport);
struct dest *dest_get(
	struct sched *s, struct str transport, struct str nexthop);
/* RFC 6710: behind all of its own priority, in front of all below it. */
void dest_line_up(struct dest *d, struct item *it);
void dest_unline(struct dest *d, struct item *it);
bool dest_may_start(const struct sched *s, const struct dest *d, int64_t now);
int64_t dest_opens(const struct dest *d); /* Unix seconds; not before */
void dest_started(struct sched *s, struct dest *d, int64_t now);
void dest_ended(struct sched *s, struct dest *d);
/* What a delivery says about the site. */
void dest_learn(struct sched *s, struct dest *d, const struct outcomes *o);

/* finish.c: outcomes become states, reports and the end of a message.
 * Called without the lock; the message is kept by its .leased. */
void sched_finish(struct sched *s, struct message *m, const struct outcomes *o);

#endif
