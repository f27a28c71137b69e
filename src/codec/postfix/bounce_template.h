/* SPDX-License-Identifier: ISC */
#ifndef CODEC_POSTFIX_BOUNCE_TEMPLATE_H
#define CODEC_POSTFIX_BOUNCE_TEMPLATE_H

/*
 * bounce_template: the file that bounce_template_file names, bounce(5):
 *
 *   failure_template = <<EOF
 *   Charset: utf-8
 *   From: MAILER-DAEMON (Mail Delivery System)
 *   Subject: Undelivered Mail Returned to Sender
 *   Postmaster-Subject: Postmaster Copy: Undelivered Mail
 *
 *   This is the mail system at host $myhostname.
 *   EOF
 *
 * Pure: nothing is expanded, views into the text.
 */

#include "base/arena.h"

enum bounce_kind {
	BOUNCE_FAILURE,
	BOUNCE_DELAY,
	BOUNCE_SUCCESS,
	BOUNCE_VERIFY,
	BOUNCE_KINDS
};

struct bounce_template {
	/* absent where the file does not say it */
	struct str charset, from, subject, postmaster_subject;
	struct str text; /* lines as in the file; absent: no such template */
	unsigned line; /* where it begins */
};

/* False: *line_r and *why_r say where and what is wrong. */
bool bounce_templates_parse(struct str text,
	struct bounce_template all_r[BOUNCE_KINDS], unsigned *line_r,
	const char **why_r);

#endif
