/* SPDX-License-Identifier: ISC */
#ifndef POLICY_RESTRICT_PRIVATE_H
#define POLICY_RESTRICT_PRIVATE_H

/* Shared by the parts of policy/restrict.h. */

#include "policy/policy_service.h"
#include "policy/restrict.h"

enum outcome { OUT_DUNNO, OUT_PERMIT, OUT_REJECT };

struct rule; /* one parsed restriction */
typedef enum outcome restriction_f(
	struct check *c, const struct rule *rule, struct decision *d);

struct restriction_def {
	const char *name;
	restriction_f *fn;
	const char *arg; /* what follows the name; NULL: nothing */
	bool relay_guard; /* counts as a destination check */
};

struct rule {
	const struct restriction_def *def;
	struct str arg;
	struct maps *maps; /* check_*_access */
	struct policy_service *service; /* check_policy_service */
	const struct rule *class; /* a restriction class */
	size_t n_class;
};

/* Each has its line in restrict.def, which declares it and puts it into the
 * table. */
#define RULE(name)                                                             \
	enum outcome rule_##name(struct check *c UNUSED,                       \
		const struct rule *rule UNUSED, struct decision *d UNUSED)
#define RESTRICTION(name, fn, arg, relay_guard) restriction_f fn;
#include "policy/restrict.def"
#undef RESTRICTION

/* Which fact of the session an access map is asked for. */
enum subject {
	SUBJECT_CLIENT,
	SUBJECT_HELO,
	SUBJECT_SENDER,
	SUBJECT_RECIPIENT,
	SUBJECT_LOGIN,
	SUBJECT_CCERT,
	SUBJECT_REVERSE, /* the client by its PTR name */
	SUBJECT_ETRN,
};

/* What a reply is about that has no subject of its own: the newest fact. */
enum subject restrict_subject(const struct check *c);
/* Fills the decision: "<what>: <label> rejected: why", RFC 3463 code. */
enum outcome restrict_reject(struct check *c, struct decision *d, int64_t code,
	const char *enhanced, enum subject subject, const char *why, ...)
	PRINTF_LIKE(6, 7);
enum outcome restrict_temp(
	struct check *c, struct decision *d, const struct fault *f);
/* Keeps a 4xx that counts when the list would permit. */
enum outcome restrict_defer_if_permit(struct check *c, struct decision *d);
/* The same, or at once where the action is "defer": *_tempfail_action. */
enum outcome restrict_nobody_knows(
	struct check *c, struct decision *d, struct str action);

/* restrict_rbl_reply.c: what a DNS list knows, and the refusal for it */
struct rbl_listing {
	struct str spec; /* as it was written: "zone=127.0.0.2" */
	struct str list; /* the zone */
	const char *class; /* "Client host" */
	struct str what; /* the client, the address */
	struct str why; /* the list's words; empty without */
};
enum outcome restrict_rbl_reply(
	struct check *c, const struct rbl_listing *l, struct decision *d);
/* restrict_access.c */
/* Does what one right-hand side of access(5) says. */
enum outcome restrict_action(struct check *c, struct str action,
	enum subject subject, struct decision *d);
/* restrict_rules.c: do we relay or deliver for the recipient's domain? */
bool restrict_is_auth_destination(struct check *c);
/* Does the local part say a way that the mail is to take (user%host, user@host,
 * with bang: host!user), and is the client not let say so? */
bool restrict_is_routed(const struct check *c, struct str local, bool bang);
/* restrict.c: runs a list */
enum outcome restrict_run(struct check *c, const struct rule *rules, size_t n,
	struct decision *d);
struct restrictions *policy_restrictions(const struct policy *p);
/* An action word that is itself a restriction or class ("permit"). */
enum outcome restrict_run_text(
	struct check *c, struct str text, struct decision *d);

#endif
