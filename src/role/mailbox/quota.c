/* SPDX-License-Identifier: ISC */
#include "role/mailbox/quota.h"

#include <stdio.h>

#include "base/must.h"
#include "codec/mail/date.h"
#include "codec/smtp/path.h"
#include "conf/match.h"
#include "conf/quota.h"
#include "role/mailbox/domain_quota.h"
#include "role/mailbox/indexer.h"
#include "role/mailbox/summary.h"
#include "store/metadata.h"

struct quotas {
	struct role *role;
	struct maps *maps; /* NULL: none */
	struct store_quota everyone;
	struct domains *domains;
	struct match_list *admins; /* NULL: nobody sets quotas of others */
};

/* What an administrator set stands among the annotations of the account, under
 * a name that no client can ask for (RFC 5464 4.1): it goes where they go, also
 * into a backup. */
static const char entry_name[] = "quota";

struct quotas *quotas_new(struct role *r)
{
	struct quotas *q = must_alloc(sizeof(*q));
	struct problems ignored = {.a = r->a};

	q->role = r;
	q->maps = maps_open(r->tables, r->conf, "mailbox_quota_maps",
		r->conf->mailbox_quota_maps, 0, &ignored);
	role_may_read_tables(r, r->conf->mailbox_quota_maps);
	q->domains = domains_new(r);
	role_may_read_tables(r, r->conf->imap_quota_admins);
	if (r->conf->imap_quota_admins.len > 0)
		q->admins = match_list_new(r->tables, r->conf,
			"imap_quota_admins", r->conf->imap_quota_admins,
			MATCH_NAMES, false, &ignored);
	/* postern check has refused what does not read. */
	quota_parse(r->conf->mailbox_quota, &q->everyone.bytes,
		&q->everyone.messages);
	return q;
}

bool quotas_any(const struct quotas *q)
{
	return q->maps != NULL || q->everyone.bytes > 0 ||
	       q->everyone.messages > 0 || q->admins != NULL;
}

bool quota_domain_room(struct mailbox_role *m, struct str address,
	uint64_t bytes, uint64_t messages, struct arena *a, struct fault *f)
{
	return domains_room(
		m->quotas->domains, m, address, bytes, messages, a, f);
}

void quota_domain_came(struct mailbox_role *m, struct str address,
	uint64_t bytes, uint64_t messages, struct arena *a)
{
	domains_came(m->quotas->domains, address, bytes, messages, a);
}

/* ---- set by an administrator: RFC 9208 4.1.3 ---- */

bool quota_any_admins(const struct quotas *q)
{
	return q->admins != NULL;
}

enum table_result quota_is_admin(const struct quotas *q, struct str login,
	struct arena *a, struct fault *f)
{
	return q->admins == NULL ? TABLE_NONE
				 : match_name(q->admins, login, a, f);
}

bool quota_set(struct mailbox_role *m, int64_t account,
	const struct store_quota *quota, struct fault *f)
{
	char value[48];
	struct store_entry e = {.name = str_from(entry_name)};

	snprintf(value, sizeof(value), "%llu %llu",
		(unsigned long long)quota->bytes,
		(unsigned long long)quota->messages);
	e.value = str_from(value);
	return store_metadata_set(m->store, account, 0, &e, 1, f);
}

struct set {
	struct store_quota *quota;
	bool found;
};

static void read_set(const struct store_entry *e, void *ctx)
{
	struct set *s = ctx;

	if (str_eqc(e->name, entry_name))
		s->found = quota_parse(
			e->value, &s->quota->bytes, &s->quota->messages);
}

/* ---- of an account ---- */

static bool from_tables(struct quotas *q, struct str address, struct arena *a,
	struct store_quota *quota_r, struct fault *f)
{
	struct address_keys keys = {
		.delimiter = q->role->conf->recipient_delimiter};
	struct str value, ext;

	*quota_r = q->everyone;
	if (q->maps == NULL)
		return true;
	switch (maps_lookup_address(
		q->maps, arena_lower(a, address), &keys, a, &value, &ext, f)) {
	case TABLE_FOUND:
		break;
	case TABLE_NONE:
		return true;
	case TABLE_ERROR:
		return false;
	}
	if (quota_parse(value, &quota_r->bytes, &quota_r->messages))
		return true;
	log_error("quota", log_s("address", address), log_s("value", value),
		log_z("problem", "not a quota: 10G, or 10G 100000"));
	*quota_r = q->everyone;
	return true;
}

bool quota_of(struct mailbox_role *m, int64_t account, struct str address,
	struct arena *a, struct store_quota *quota_r, struct fault *f)
{
	struct set s = {quota_r, false};

	if (m->quotas->admins != NULL &&
		!store_metadata(m->store, account, 0, read_set, &s, f))
		return false;
	return s.found || from_tables(m->quotas, address, a, quota_r, f);
}

/* ---- the warning ---- */

static unsigned percent_of(
	const struct store_quota *q, uint64_t bytes, uint64_t messages)
{
	uint64_t a = q->bytes > 0 ? bytes / (q->bytes / 100 + 1) : 0;
	uint64_t b = q->messages > 0 ? messages * 100 / q->messages : 0;
	uint64_t p = a > b ? a : b;

	return p > 1000 ? 1000 : (unsigned)p;
}

/* The highest mark between before and now; 0: none was passed. */
static unsigned passed(struct str marks, unsigned before, unsigned now)
{
	struct str word;
	unsigned found = 0;
	uint64_t mark;

	while (str_present(word = str_word(&marks, ", \t")))
		if (str_u64(word, &mark) && before < mark && mark <= now &&
			mark > found)
			found = (unsigned)mark;
	return found;
}

static struct str warning(const struct conf *c, struct str address,
	unsigned percent, struct arena *a)
{
	struct buf b CLEANUP(buf_fini);
	bool german = str_ieqc(c->bounce_language, "de");
	char id[ID_TEXT];

	buf_init(&b, 65536);
	id_text(id_new(), id);
	buf_putf(&b, "From: Mail Delivery System <MAILER-DAEMON@%.*s>\r\n",
		STR_ARG(c->myhostname));
	buf_putf(&b,
		"To: %.*s\r\nSubject: %s %u%%%s\r\nDate: ", STR_ARG(address),
		german ? "Ihr Postfach ist zu" : "Your mailbox is", percent,
		german ? " voll" : " full");
	mail_date_put(clock_unix(), 0, &b);
	buf_putf(&b, "\r\nMessage-ID: <%s@%.*s>\r\nMIME-Version: 1.0\r\n", id,
		STR_ARG(c->myhostname));
	buf_puts(&b, "Content-Type: text/plain; charset=utf-8\r\n"
		     "Auto-Submitted: auto-generated\r\n\r\n");
	if (german)
		buf_putf(&b,
			"Ihr Postfach %.*s ist zu %u%% voll.\r\n"
			"Ist es ganz voll, wird neue Post abgewiesen und geht "
			"an den Absender zurück.\r\n"
			"Löschen Sie, was Sie nicht brauchen, und leeren Sie "
			"den Papierkorb.\r\n",
			STR_ARG(address), percent);
	else
		buf_putf(&b,
			"Your mailbox %.*s holds %u%% of what it may hold.\r\n"
			"When it is full, new mail is refused and goes back to "
			"who sent it.\r\n"
			"Delete what you do not need, and empty the Trash.\r\n",
			STR_ARG(address), percent);
	return arena_str(a, buf_str(&b));
}

/* On its way into the mailbox; who delivered does not wait for it. */
struct notice {
	struct mailbox_role *m;
	struct arena *a; /* holds this, too */
	struct str address;
	unsigned mark;
	struct store_new message;
	struct store_target target;
};

static void notified(void *ctx)
{
	struct notice *w = ctx;

	if (w->target.ok)
		log_info("quota", log_s("address", w->address),
			log_n("percent", (int64_t)w->mark));
	else
		log_warn("quota", log_s("address", w->address),
			log_fault(&w->target.fault));
	/* Who idles has heard of the delivery, and not of this. */
	bells_ring(w->m->bells, w->target.account);
	indexer_note(w->m->indexer, w->target.account);
	arena_free(w->a);
}

static struct notice *notice_new(struct str text)
{
	struct arena *a = arena_new(SIZE_MAX);
	struct notice *w = arena_make(a, struct notice);

	*w = (struct notice){.a = a};
	text = arena_str(a, text);
	w->message = (struct store_new){.mailbox = STR("INBOX"),
		.create = true,
		.received = clock_unix(),
		.body = text,
		.cache = summary_make(text, a)};
	w->message.stamp = summary_stamp(w->message.cache);
	w->target.m = &w->message;
	return w;
}

void quota_warn(struct mailbox_role *m, int64_t account, struct str address,
	const struct store_quota *quota, const struct store_mailbox *used,
	uint64_t added, struct arena *a)
{
	const struct conf *c = m->role->conf;
	unsigned now = percent_of(quota, used->bytes, used->n_exists);
	unsigned before =
		percent_of(quota, used->bytes - added, used->n_exists - 1);
	unsigned mark = passed(c->mailbox_quota_warning, before, now);

	if (mark == 0)
		return;
	struct notice *w = notice_new(warning(c, address, mark, a));
	w->m = m;
	w->address = arena_str(w->a, address);
	w->mark = mark;
	w->target.account = account;
	store_post(m->store, &w->target, 1, notified, w);
}
