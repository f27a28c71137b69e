/* SPDX-License-Identifier: ISC */
#ifndef ROLE_QUEUE_SCHED_H
#define ROLE_QUEUE_SCHED_H

/*
 * sched: which recipient is delivered to when, and by whom.
 *
 * Each recipient has its own timer; each destination (transport and next hop)
 * its own line and limit.  Agents (sender, mailbox) ask for work and wait;
 * what an agent had in its hands when it died is given out again.
 *
 * Invariants
 * 1. A recipient is in exactly one state: waiting for its time, in the line
 *    of one destination, leased to one agent, or done.
 * 2. A message leaves memory only after the queue's transaction that ends it.
 * 3. Everything here is under one lock; mail never waits for the disk while
 *    holding it (a person's hold or delete does).
 */

#include "queue/queue.h"
#include "role/ipc_server.h"
#include "role/role.h"

struct sched;

struct sched *sched_new(struct role *r, struct queue *q, struct policy *p);
/* Loads what is on disk and starts the timer thread. */
bool sched_start(struct sched *s, struct fault *f);

/* What becomes of probes (ENV_PROBE). */
typedef void sched_probe_f(
	struct str address, const struct outcome_of *o, void *ctx);
void sched_on_probe(struct sched *s, sched_probe_f *fn, void *ctx);

/* A message that is on disk by now, or a probe. */
void sched_add(struct sched *s, const struct envelope *env);

/* An agent waits for work; the JOB frame is sent when there is some. */
void sched_agent_wait(
	struct sched *s, struct ipc_session *agent, enum agent_kind kind);
/* What the agent holds, for JOB_BODY; 0: nothing. */
uint64_t sched_agent_job(struct sched *s, struct ipc_session *agent);
bool sched_agent_probes(struct sched *s, struct ipc_session *agent);
void sched_agent_done(
	struct sched *s, struct ipc_session *agent, const struct outcomes *o);
void sched_agent_gone(struct sched *s, struct ipc_session *agent);

/* ---- what people ask ---- */

/* One JSON object per message, id_filter 0: all. */
void sched_list(struct sched *s, uint64_t id_filter,
	bool (*row)(struct str json, void *ctx), void *ctx);
/* One JSON object per site that mail was sent to, or waits for. */
void sched_sites(
	struct sched *s, bool (*row)(struct str json, void *ctx), void *ctx);
/* id 0: all.  Returns how many messages it touched. */
uint64_t sched_act(struct sched *s, enum queue_action action, uint64_t id);
/* The recipients of a domain are due now; "@" in front: and of all below it.
 * Returns the messages. */
uint64_t sched_flush_site(struct sched *s, struct str site);

#endif
