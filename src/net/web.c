/* SPDX-License-Identifier: ISC */
#include "net/web.h"

#include <curl/curl.h>

#include "base/must.h"
#include "sys/sock.h"
#include "sys/waiting.h"

void web_init(void)
{
	must(curl_global_init(CURL_GLOBAL_DEFAULT) == 0);
}

static size_t take(char *data, size_t size, size_t n, void *ctx)
{
	struct buf *b = ctx;

	buf_put_mem(b, data, size * n);
	return buf_over(b) ? 0 : size * n;
}

/* "host:port:address,address", for CURLOPT_RESOLVE */
static bool look_up(const struct web_request *q, struct arena *a,
	const char **entry_r, struct fault *f)
{
	CURLU *u = curl_url();
	char *host = NULL, *port = NULL;
	struct resolver_addrs addrs = {0};
	struct buf b CLEANUP(buf_fini);
	bool ok = curl_url_set(u, CURLUPART_URL, q->url, 0) == CURLUE_OK &&
		  curl_url_get(u, CURLUPART_HOST, &host, 0) == CURLUE_OK &&
		  curl_url_get(u, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) ==
			  CURLUE_OK;

	buf_init(&b, 8192);
	if (!ok)
		fault_set(f, FAULT_TEMP, 454, 3, 5, "\"%s\" is no URL", q->url);
	else if (q->resolver != NULL &&
		 resolver_host(q->resolver, str_from(host),
			 RESOLVER_V4 | RESOLVER_V6, a, &addrs, f) == DNS_TEMP)
		ok = false;
	if (ok)
		buf_putf(&b, "%s:%s:", host, port);
	for (size_t i = 0; ok && i < addrs.n; i++) {
		struct sock_addr addr;

		sock_addr_make(addrs.v[i].bytes, addrs.v[i].len, 0, &addr);
		buf_putf(&b, "%s%.*s", i > 0 ? "," : "",
			STR_ARG(sock_addr_text(&addr, a)));
	}
	*entry_r = addrs.n > 0 ? arena_cstr(a, buf_str(&b)) : NULL;
	curl_free(host);
	curl_free(port);
	curl_url_cleanup(u);
	return ok;
}

static void set_up(CURL *h, const struct web_request *q)
{
	curl_easy_setopt(h, CURLOPT_URL, q->url);
	curl_easy_setopt(h, CURLOPT_PROTOCOLS_STR, q->protocols);
	curl_easy_setopt(h, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(h, CURLOPT_PROXY, "");
	curl_easy_setopt(h, CURLOPT_CONNECTTIMEOUT_MS, (long)q->connect_ms);
	curl_easy_setopt(h, CURLOPT_TIMEOUT_MS, (long)q->total_ms);
	if (q->ca_file != NULL)
		curl_easy_setopt(h, CURLOPT_CAINFO, q->ca_file);
	if (q->ca_path != NULL)
		curl_easy_setopt(h, CURLOPT_CAPATH, q->ca_path);
	if (q->user != NULL) {
		curl_easy_setopt(h, CURLOPT_HTTPAUTH, (long)CURLAUTH_BASIC);
		curl_easy_setopt(h, CURLOPT_USERNAME, q->user);
		curl_easy_setopt(h, CURLOPT_PASSWORD, q->password);
	}
	if (q->form != NULL)
		curl_easy_setopt(h, CURLOPT_POSTFIELDS, q->form);
}

bool web_ask(const struct web_request *q, struct arena *a, struct buf *body,
	long *status_r, struct str *type_r, struct fault *f)
{
	char error[CURL_ERROR_SIZE] = "";
	const char *entry, *type = NULL;

	if (!look_up(q, a, &entry, f))
		return false;
	CURL *h = curl_easy_init();
	must(h != NULL);
	struct curl_slist *hosts =
		entry != NULL ? curl_slist_append(NULL, entry) : NULL;
	set_up(h, q);
	curl_easy_setopt(h, CURLOPT_ERRORBUFFER, error);
	curl_easy_setopt(h, CURLOPT_RESOLVE, hosts);
	curl_easy_setopt(h, CURLOPT_WRITEFUNCTION, take);
	curl_easy_setopt(h, CURLOPT_WRITEDATA, body);
	waiting_begin();
	CURLcode rc = curl_easy_perform(h);
	waiting_end();
	curl_easy_getinfo(h, CURLINFO_RESPONSE_CODE, status_r);
	curl_easy_getinfo(h, CURLINFO_CONTENT_TYPE, &type);
	*type_r = type != NULL ? arena_str(a, str_from(type)) : STR("");
	curl_easy_cleanup(h);
	curl_slist_free_all(hosts);
	return rc == CURLE_OK ||
	       fault_set(f, FAULT_TEMP, 454, 7, 0, "%s",
		       error[0] != '\0' ? error : curl_easy_strerror(rc));
}
