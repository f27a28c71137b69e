/* SPDX-License-Identifier: ISC */
/* What is offered before and after login: RFC 2449 6, RFC 6856 3. */
#include "role/mailbox/pop3/pop3.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/must.h"

void pop3_put_capabilities(
	const struct mailbox_service *sv, struct stream *stream)
{
	stream_puts(stream,
		"TOP\r\nUIDL\r\nPIPELINING\r\nRESP-CODES\r\nAUTH-RESP-CODE\r\n"
		"UTF8\r\nLANG\r\nEXPIRE NEVER\r\n");
	if (sv->c->pop3d_login_delay > 0)
		stream_putf(stream, "LOGIN-DELAY %lld\r\n",
			(long long)sv->c->pop3d_login_delay);
}

void pop3_lang(struct stream *stream, struct str args)
{
	if (args.len == 0)
		stream_puts(
			stream, "+OK languages follow\r\nen English\r\n.\r\n");
	else if (str_eqc(args, "*") || str_ieqc(args, "en") ||
		 str_istarts(args, "en-"))
		stream_puts(stream, "+OK en English it is\r\n");
	else
		stream_puts(stream, "-ERR only en is spoken here\r\n");
}

/* ---- LOGIN-DELAY, RFC 2449 6.5 ---- */

enum { SLOTS = 65536 };

struct pop3_logins {
	pthread_mutex_t lock;
	/* By account, the newest wins a slot: a loser is let in too early. */
	struct {
		int64_t account;
		int64_t at;
	} slots[SLOTS];
};

struct pop3_logins *pop3_logins_new(void)
{
	struct pop3_logins *l = must_alloc(sizeof(*l));

	pthread_mutex_init(&l->lock, NULL);
	return l;
}

int64_t pop3_login_wait(const struct mailbox_service *sv, int64_t account)
{
	struct pop3_logins *l = sv->m->pop3_logins;
	size_t i = (uint64_t)account % SLOTS;
	int64_t now = clock_unix(), wait = 0;

	if (sv->c->pop3d_login_delay <= 0)
		return 0;
	pthread_mutex_lock(&l->lock);
	if (l->slots[i].account == account)
		wait = l->slots[i].at + sv->c->pop3d_login_delay - now;
	if (wait <= 0) {
		l->slots[i].account = account;
		l->slots[i].at = now;
	}
	pthread_mutex_unlock(&l->lock);
	return wait > 0 ? wait : 0;
}
