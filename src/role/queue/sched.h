/* SPDX-License-Identifier: ISC */
#ifndef ROLE_QUEUE_SCHED_H
#define ROLE_QUEUE_SCHED_H

/*
 * sched: which recipient is delivered to when, and by whom.
 *
 * A message is active, that is in memory with a recipient in a line or in the
 * hands of an agent, or it is on disk and its id stands in the calendar.  What
 * is active is bounded (qmgr_message_active_limit), and so is each line: a
 * mailing of 100,000 leaves room for the mail of others.
 *
 * A line belongs to one destination (transport and next hop) and one sender;
 * senders take turns in front of a destination, destinations before the
 * agents.  Agents (sender, mailbox) ask for work and wait; what an agent had in
 * its hands when it died is given out again.
 *
 * Invariants
 * 1. A recipient of an active message is in exactly one state: waiting for its
 *    time, in one line, leased to one agent, or done.
 * 2. A message that is neither held nor corrupt is active, or in the calendar,
 *    or both (where an active one has a recipient that waits).
 * 3. A message leaves both only after the queue's transaction that ends it.
 * 4. Memory is under one lock, and nobody waits for the disk or for tables
 *    while holding it.  Who changes on disk what is not active, and who makes
 *    it active, holds the other one, sched_people_lock, first.
 */

#include "queue/queue.h"
#include "role/ipc_server.h"
#include "role/role.h"

struct sched;
struct status_filters;
struct bounce_template;

/* probes: the policy by which address probes go. */
struct sched *sched_new(struct role *r, struct queue *q, struct policy *p,
	struct policy *probes, const struct status_filters *filters,
	const struct bounce_template *bounces);
/* Starts the thread that loads what is on disk and looks at what is due. */
bool sched_start(struct sched *s, const char *dir, struct fault *f);

/* Gives nothing out any more; what agents have in hand comes back and is on
 * disk then, where that does not take longer.  Else it would be done again. */
void sched_end(struct sched *s, int64_t wait_s);
/* Keeps what was learned of sites; for the end. */
void sched_keep(struct sched *s);

/* What becomes of probes (ENV_PROBE). */
typedef void sched_probe_f(
	struct str address, const struct outcome_of *o, void *ctx);
void sched_on_probe(struct sched *s, sched_probe_f *fn, void *ctx);

/* A message that is on disk by now, or a probe.  text: kept with it while it
 * is active, as far as there is room; absent: not known. */
void sched_add(struct sched *s, const struct envelope *env, struct str text);

/* An agent waits for work; the JOB frame is sent when there is some. */
void sched_agent_wait(
	struct sched *s, struct ipc_session *agent, enum agent_kind kind);
/* What the agent holds, for JOB_BODY; 0: nothing. */
uint64_t sched_agent_job(struct sched *s, struct ipc_session *agent);
/* It waits for the next one then. */
void sched_agent_done(
	struct sched *s, struct ipc_session *agent, const struct outcomes *o);
void sched_agent_gone(struct sched *s, struct ipc_session *agent);

/* ---- what people ask ---- */

typedef bool sched_row_f(struct str json, void *ctx);

/* One JSON object per message that is like that, oldest first; false: the disk
 * could not be read. */
bool sched_list(struct sched *s, const struct queue_request *r,
	sched_row_f *row, void *ctx, struct fault *f);
/* One JSON object per site that mail was sent to, or waits for. */
void sched_sites(struct sched *s, sched_row_f *row, void *ctx);
/* Does it to all that are like that; *n_r: to how many, *busy_r: how many an
 * agent has in its hands, so that they stay as they are. */
bool sched_act(struct sched *s, const struct queue_request *r, uint64_t *n_r,
	uint64_t *busy_r, struct fault *f);
/* The recipients of a domain are due now; "@" in front: and of all below it.
 * Returns the messages. */
uint64_t sched_flush_site(struct sched *s, struct str site);

#endif
