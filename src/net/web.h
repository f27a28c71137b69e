/* SPDX-License-Identifier: ISC */
#ifndef NET_WEB_H
#define NET_WEB_H

/*
 * web: one request to a web server, by libcurl.  Names are looked up by our
 * own resolver: a sandbox has no files for another.  No redirects, no proxy.
 *
 * Any thread, after web_init.
 */

#include "base/buf.h"
#include "net/resolver.h"

struct web_request {
	struct resolver *resolver;
	const char *url;
	const char *protocols; /* "https" or "http,https" */
	const char *ca_file, *ca_path; /* NULL: those of the system */
	const char *form; /* to POST; NULL: GET */
	const char *user, *password; /* NULL: none */
	int64_t connect_ms, total_ms;
};

void web_init(void); /* once, before the sandbox */

/* False: no answer.  body: its maximum is that of the answer, too. */
bool web_ask(const struct web_request *q, struct arena *a, struct buf *body,
	long *status_r, struct str *type_r, struct fault *f);

#endif
