/* SPDX-License-Identifier: ISC */
#ifndef POLICY_POLICY_SERVICE_H
#define POLICY_POLICY_SERVICE_H

/*
 * policy_service: the client of Postfix's policy delegation protocol
 * (SMTPD_POLICY_README): attributes go out, one action of access(5) comes
 * back.  Connections are kept between questions and shared by all threads.
 */

#include "conf/conf.h"

struct policy_service;

/*
 * spec: "inet:host:port", "unix:path" (relative to queue_directory), or
 * "{ endpoint, timeout=10s, default_action=DUNNO, policy_context=x }".
 * A name is looked up now.  A bad one is a problem of param; the result
 * answers with its default action then.  Lives as long as c.
 */
struct policy_service *policy_service_new(const struct conf *c,
	const char *param, struct str spec, struct problems *problems);

/*
 * attributes: "name=value\n" lines without the empty one.  The action is in
 * the arena.  A server that does not answer, or nonsense, gives the default
 * action and *why_r, for the log.
 */
struct str policy_service_ask(struct policy_service *s, struct str attributes,
	struct arena *a, const char **why_r);

#endif
