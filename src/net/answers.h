/* SPDX-License-Identifier: ISC */
#ifndef NET_ANSWERS_H
#define NET_ANSWERS_H

/*
 * answers: DNS answers that are still good, in front of libunbound, which sets
 * up a whole worker for each question, a cached one too: 300 us of CPU.
 *
 * Two generations: when the younger one is full the older one is dropped.
 * Thread-safe.
 */

#include "net/resolver.h"

struct dns_answer {
	enum dns_result kind; /* never TEMP */
	bool secure; /* DNSSEC protects it */
	struct str canonical; /* behind aliases; absent: not known */
	struct strs data; /* of the records, as they travel */
};

struct answers;
struct answers *answers_new(void);
void answers_free(struct answers *c);

/* The answer lives in the arena. */
bool answers_get(struct answers *c, struct str name, int type, struct arena *a,
	struct dns_answer *answer_r);
/* Copies it.  ttl_s: how long it is good; what is too large is not kept. */
void answers_put(struct answers *c, struct str name, int type,
	const struct dns_answer *answer, int ttl_s);

#endif
