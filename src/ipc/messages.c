/* SPDX-License-Identifier: ISC */
#include "ipc/messages.h"

#include <sys/stat.h>

#include "codec/smtp/verp.h"

/* 2: with the content filter; 3: with priority and times; 4: the client; 5:
 * VERP
 */
enum { ENVELOPE_VERSION = 5, ENVELOPE_OLDEST = 1 };

void ipc_put_fault(struct buf *b, const struct fault *f)
{
	wire_put_u8(b, (uint8_t)f->class);
	wire_put_u32(b, (uint32_t)f->code);
	wire_put_u32(b, (uint32_t)f->subject);
	wire_put_u32(b, (uint32_t)f->detail);
	wire_put_str(b, str_from(f->text));
}

bool ipc_read_fault(struct str payload, struct fault *f)
{
	struct wire w = {.rest = payload};
	enum fault_class class =
		wire_u8(&w) == FAULT_PERM ? FAULT_PERM : FAULT_TEMP;
	int code = (int)wire_u32(&w);
	int subject = (int)wire_u32(&w);
	int detail = (int)wire_u32(&w);
	struct str text = wire_str(&w);

	if (!wire_ok(&w))
		return fault_set(
			f, FAULT_TEMP, 451, 3, 0, "another role sent nonsense");
	return fault_set(
		f, class, code, subject, detail, "%.*s", STR_ARG(text));
}

void text_put(struct buf *b, const struct text *text)
{
	wire_put_str(b, text->bytes);
}

bool text_read(struct wire *w, struct ipc_frame *frame, struct text *text_r)
{
	struct str bytes = wire_str(w);
	struct stat st;

	if (!wire_ok(w) || str_present(bytes) == (frame->fd >= 0))
		return false;
	if (str_present(bytes)) {
		*text_r = text_view(bytes);
		return true;
	}
	if (fstat(frame->fd, &st) != 0)
		return false;
	*text_r = text_file(frame->fd, (uint64_t)st.st_size);
	frame->fd = -1;
	return true;
}

struct str envelope_sender(
	const struct envelope *e, const struct recipient *r, struct arena *a)
{
	return str_present(e->verp)
		       ? verp_sender(e->verp, e->sender,
				 str_present(r->original) ? r->original
							  : r->address,
				 a)
		       : e->sender;
}

int64_t envelope_release(const struct envelope *e)
{
	return e->hold_until > e->arrival ? e->hold_until : e->arrival;
}

void envelope_put(struct buf *b, const struct envelope *e)
{
	wire_put_u8(b, ENVELOPE_VERSION);
	wire_put_u64(b, e->id);
	wire_put_u64(b, (uint64_t)e->arrival);
	wire_put_u32(b, e->flags);
	wire_put_u64(b, e->size);
	wire_put_str(b, e->sender);
	wire_put_str(b, e->envid);
	wire_put_str(b, e->login);
	wire_put_str(b, e->client);
	wire_put_str(b, e->filter);
	wire_put_u32(b, (uint32_t)e->priority);
	wire_put_u64(b, (uint64_t)e->hold_until);
	wire_put_u64(b, (uint64_t)e->deliver_by);
	wire_put_str(b, e->helo);
	wire_put_str(b, e->protocol);
	wire_put_str(b, e->sasl_method);
	wire_put_str(b, e->sasl_sender);
	wire_put_u32(b, e->port);
	wire_put_str(b, e->verp);
	wire_put_u32(b, e->n_rcpts);
	for (uint32_t i = 0; i < e->n_rcpts; i++) {
		wire_put_str(b, e->rcpts[i].address);
		wire_put_str(b, e->rcpts[i].original);
		wire_put_str(b, e->rcpts[i].orcpt);
		wire_put_u32(b, e->rcpts[i].notify);
	}
}

bool envelope_read(struct wire *w, struct arena *a, struct envelope *e_r)
{
	struct envelope e = {0};

	uint8_t version = wire_u8(w);
	if (version < ENVELOPE_OLDEST || version > ENVELOPE_VERSION)
		w->bad = true;
	e.id = wire_u64(w);
	e.arrival = (int64_t)wire_u64(w);
	e.flags = wire_u32(w);
	e.size = wire_u64(w);
	e.sender = wire_str(w);
	e.envid = wire_str(w);
	e.login = wire_str(w);
	e.client = wire_str(w);
	e.filter = version >= 2 ? wire_str(w) : STR_NONE;
	if (version >= 3) {
		e.priority = (int32_t)wire_u32(w);
		e.hold_until = (int64_t)wire_u64(w);
		e.deliver_by = (int64_t)wire_u64(w);
	}
	if (version >= 4) {
		e.helo = wire_str(w);
		e.protocol = wire_str(w);
		e.sasl_method = wire_str(w);
		e.sasl_sender = wire_str(w);
		e.port = wire_u32(w);
	}
	e.verp = version >= 5 ? wire_str(w) : STR_NONE;
	w->bad |= str_present(e.verp) && e.verp.len != 2;
	e.n_rcpts = wire_count(w, 16);
	e.rcpts = arena_alloc(a, e.n_rcpts * sizeof(*e.rcpts));
	for (uint32_t i = 0; i < e.n_rcpts; i++) {
		e.rcpts[i].address = wire_str(w);
		e.rcpts[i].original = wire_str(w);
		e.rcpts[i].orcpt = wire_str(w);
		e.rcpts[i].notify = wire_u32(w);
	}
	if (w->bad)
		return false;
	*e_r = e;
	return true;
}

void outcomes_put(struct buf *b, const struct outcomes *o)
{
	wire_put_u8(b, o->site_failed);
	wire_put_str(b, o->site);
	wire_put_str(b, o->source);
	wire_put_u32(b, o->n);
	for (uint32_t i = 0; i < o->n; i++) {
		wire_put_u32(b, o->v[i].n);
		wire_put_u8(b, (uint8_t)o->v[i].kind);
		wire_put_u32(b, (uint32_t)o->v[i].code);
		wire_put_u32(b, (uint32_t)o->v[i].subject);
		wire_put_u32(b, (uint32_t)o->v[i].detail);
		wire_put_str(b, o->v[i].text);
		wire_put_str(b, o->v[i].mta);
		wire_put_u8(b, o->v[i].by_unknown);
		wire_put_u8(b, o->v[i].relayed);
	}
}

bool outcomes_read(struct wire *w, struct arena *a, struct outcomes *o_r)
{
	struct outcomes o = {0};

	o.site_failed = wire_u8(w) != 0;
	o.site = wire_str(w);
	o.source = wire_str(w);
	o.n = wire_count(w, 26);
	o.v = arena_alloc(a, o.n * sizeof(*o.v));
	for (uint32_t i = 0; i < o.n; i++) {
		o.v[i].n = wire_u32(w);
		uint8_t kind = wire_u8(w);
		o.v[i].kind =
			kind <= BOUNCED ? (enum outcome_kind)kind : DEFERRED;
		o.v[i].code = (int)wire_u32(w);
		o.v[i].subject = (int)wire_u32(w);
		o.v[i].detail = (int)wire_u32(w);
		o.v[i].text = wire_str(w);
		o.v[i].mta = wire_str(w);
		o.v[i].by_unknown = wire_u8(w) != 0;
		o.v[i].relayed = wire_u8(w) != 0;
	}
	if (w->bad)
		return false;
	*o_r = o;
	return true;
}

void import_request_put(struct buf *b, const struct import_request *r)
{
	wire_put_str(b, r->account);
	wire_put_str(b, r->mailbox);
	wire_put_u8(b, r->subscribe);
	wire_put_u32(b, r->uidvalidity);
	wire_put_u32(b, r->n);
	for (uint32_t i = 0; i < r->n; i++) {
		wire_put_u32(b, r->v[i].flags);
		wire_put_str(b, r->v[i].keywords);
		wire_put_u64(b, (uint64_t)r->v[i].received);
		wire_put_u64(b, r->v[i].identity);
		wire_put_u32(b, r->v[i].uid);
		wire_put_u64(b, r->v[i].size);
	}
}

bool import_request_read(
	struct wire *w, struct arena *a, struct import_request *r_r)
{
	struct import_request r = {0};

	r.account = wire_str(w);
	r.mailbox = wire_str(w);
	r.subscribe = wire_u8(w) != 0;
	r.uidvalidity = wire_u32(w);
	r.n = wire_count(w, 36);
	r.v = arena_alloc(a, (r.n + 1) * sizeof(*r.v));
	for (uint32_t i = 0; i < r.n; i++) {
		r.v[i].flags = wire_u32(w);
		r.v[i].keywords = wire_str(w);
		r.v[i].received = (int64_t)wire_u64(w);
		r.v[i].identity = wire_u64(w);
		r.v[i].uid = wire_u32(w);
		r.v[i].size = wire_u64(w);
	}
	if (w->bad)
		return false;
	*r_r = r;
	return true;
}

void job_put(struct buf *b, const struct job *j)
{
	envelope_put(b, &j->env);
	wire_put_u32(b, j->n_pick);
	for (uint32_t i = 0; i < j->n_pick; i++)
		wire_put_u32(b, j->pick[i]);
	wire_put_str(b, j->transport);
	wire_put_str(b, j->nexthop);
	wire_put_u8(b, j->more);
	wire_put_u32(b, j->patience);
	wire_put_str(b, j->text);
	for (int six = 0; six < 2; six++) {
		wire_put_str(b, j->source[six]);
		wire_put_str(b, j->helo[six]);
	}
}

bool job_read(struct wire *w, struct arena *a, struct job *j_r)
{
	struct job j = {0};

	if (!envelope_read(w, a, &j.env))
		return false;
	j.n_pick = wire_count(w, 4);
	j.pick = arena_alloc(a, j.n_pick * sizeof(*j.pick));
	for (uint32_t i = 0; i < j.n_pick; i++) {
		j.pick[i] = wire_u32(w);
		if (j.pick[i] >= j.env.n_rcpts)
			w->bad = true;
	}
	j.transport = wire_str(w);
	j.nexthop = wire_str(w);
	j.more = wire_u8(w) != 0;
	j.patience = wire_u32(w);
	j.text = wire_str(w);
	for (int six = 0; six < 2; six++) {
		j.source[six] = wire_str(w);
		j.helo[six] = wire_str(w);
	}
	if (!wire_ok(w))
		return false;
	*j_r = j;
	return true;
}

void local_request_put(struct buf *b, const struct local_request *r)
{
	wire_put_u8(b, (uint8_t)r->action);
	wire_put_str(b, r->user);
	wire_put_str(b, r->target);
	wire_put_str(b, r->prefix);
	wire_put_str(b, r->sender);
	wire_put_str(b, r->recipient);
	wire_put_str(b, r->original);
	wire_put_str(b, r->extension);
	wire_put_str(b, r->client);
	wire_put_str(b, r->login);
	wire_put_str(b, r->helo);
	wire_put_str(b, r->protocol);
	wire_put_str(b, r->sasl_method);
	wire_put_str(b, r->sasl_sender);
	wire_put_u32(b, r->port);
	wire_put_str(b, r->queue_id);
	wire_put_str(b, r->nexthop);
	wire_put_u32(b, r->n_rcpts);
	for (uint32_t i = 0; i < r->n_rcpts; i++) {
		wire_put_str(b, r->rcpts[i].address);
		wire_put_str(b, r->rcpts[i].original);
		wire_put_str(b, r->rcpts[i].user);
		wire_put_str(b, r->rcpts[i].extension);
	}
}

bool local_request_read(
	struct wire *w, struct arena *a, struct local_request *r_r)
{
	struct local_request r = {0};
	uint8_t action = wire_u8(w);

	if (action > LOCAL_FORWARD)
		w->bad = true;
	r.action = (enum local_action)action;
	r.user = wire_str(w);
	r.target = wire_str(w);
	r.prefix = wire_str(w);
	r.sender = wire_str(w);
	r.recipient = wire_str(w);
	r.original = wire_str(w);
	r.extension = wire_str(w);
	r.client = wire_str(w);
	r.login = wire_str(w);
	r.helo = wire_str(w);
	r.protocol = wire_str(w);
	r.sasl_method = wire_str(w);
	r.sasl_sender = wire_str(w);
	r.port = wire_u32(w);
	r.queue_id = wire_str(w);
	r.nexthop = wire_str(w);
	r.n_rcpts = wire_count(w, 16);
	r.rcpts = arena_alloc(a, r.n_rcpts * sizeof(*r.rcpts));
	for (uint32_t i = 0; i < r.n_rcpts; i++) {
		r.rcpts[i].address = wire_str(w);
		r.rcpts[i].original = wire_str(w);
		r.rcpts[i].user = wire_str(w);
		r.rcpts[i].extension = wire_str(w);
	}
	if (!wire_ok(w))
		return false;
	*r_r = r;
	return true;
}

static void auth_put(struct buf *b, const struct dmarc_auth *a)
{
	wire_put_str(b, a->domain);
	wire_put_str(b, a->selector);
	wire_put_str(b, a->scope);
	wire_put_str(b, a->result);
}

static struct dmarc_auth auth_read(struct wire *w)
{
	struct dmarc_auth a;

	a.domain = wire_str(w);
	a.selector = wire_str(w);
	a.scope = wire_str(w);
	a.result = wire_str(w);
	return a;
}

void dmarc_row_put(struct buf *b, const struct dmarc_row *r)
{
	wire_put_str(b, r->source_ip);
	wire_put_str(b, r->disposition);
	wire_put_str(b, r->dkim);
	wire_put_str(b, r->spf);
	wire_put_str(b, r->reason);
	wire_put_str(b, r->comment);
	wire_put_str(b, r->header_from);
	wire_put_str(b, r->envelope_from);
	auth_put(b, &r->spf_auth);
	wire_put_u8(b, (uint8_t)r->n_dkims);
	for (size_t i = 0; i < r->n_dkims; i++)
		auth_put(b, &r->dkims[i]);
}

bool dmarc_row_read(struct wire *w, struct dmarc_row *r_r)
{
	*r_r = (struct dmarc_row){0};
	r_r->source_ip = wire_str(w);
	r_r->disposition = wire_str(w);
	r_r->dkim = wire_str(w);
	r_r->spf = wire_str(w);
	r_r->reason = wire_str(w);
	r_r->comment = wire_str(w);
	r_r->header_from = wire_str(w);
	r_r->envelope_from = wire_str(w);
	r_r->spf_auth = auth_read(w);
	r_r->n_dkims = wire_u8(w);
	if (r_r->n_dkims > DMARC_REPORT_AUTHS_MAX)
		w->bad = true;
	for (size_t i = 0; i < r_r->n_dkims && !w->bad; i++)
		r_r->dkims[i] = auth_read(w);
	return !w->bad;
}

static void seen_put(struct buf *b, const struct dmarc_seen *s)
{
	wire_put_str(b, s->domain);
	wire_put_str(b, s->record);
	dmarc_row_put(b, &s->row);
}

static bool seen_read(struct wire *w, struct dmarc_seen *s_r)
{
	s_r->domain = wire_str(w);
	s_r->record = wire_str(w);
	return dmarc_row_read(w, &s_r->row);
}

void dmarc_seen_put(struct buf *b, const struct dmarc_seen *s)
{
	seen_put(b, s);
}

bool dmarc_seen_read(struct wire *w, struct dmarc_seen *s_r)
{
	return seen_read(w, s_r) && wire_ok(w);
}

void dmarc_failed_put(struct buf *b, const struct dmarc_failed *d)
{
	seen_put(b, &d->seen);
	wire_put_str(b, d->results);
	wire_put_str(b, d->sender);
	wire_put_str(b, d->head);
}

bool dmarc_failed_read(struct wire *w, struct dmarc_failed *d_r)
{
	bool ok = seen_read(w, &d_r->seen);

	d_r->results = wire_str(w);
	d_r->sender = wire_str(w);
	d_r->head = wire_str(w);
	return ok && wire_ok(w);
}

void tls_row_put(struct buf *b, const struct tls_row *r)
{
	wire_put_str(b, r->policy_type);
	wire_put_str(b, r->policy);
	wire_put_str(b, r->patterns);
	wire_put_str(b, r->result);
	wire_put_str(b, r->sending_ip);
	wire_put_str(b, r->mx);
	wire_put_str(b, r->receiving_ip);
	wire_put_str(b, r->reason);
}

bool tls_row_read(struct wire *w, struct tls_row *r_r)
{
	r_r->policy_type = wire_str(w);
	r_r->policy = wire_str(w);
	r_r->patterns = wire_str(w);
	r_r->result = wire_str(w);
	r_r->sending_ip = wire_str(w);
	r_r->mx = wire_str(w);
	r_r->receiving_ip = wire_str(w);
	r_r->reason = wire_str(w);
	return wire_ok(w);
}

void tls_seen_put(struct buf *b, const struct tls_seen *s)
{
	wire_put_str(b, s->domain);
	wire_put_str(b, s->record);
	tls_row_put(b, &s->row);
}

bool tls_seen_read(struct wire *w, struct tls_seen *s_r)
{
	s_r->domain = wire_str(w);
	s_r->record = wire_str(w);
	return tls_row_read(w, &s_r->row);
}
