/* SPDX-License-Identifier: ISC */
#include "role/smtpd/milters.h"

#include <stdlib.h>

#include "base/must.h"
#include "codec/mail/header.h"
#include "codec/postfix/lines.h"
#include "sys/file.h"

/* ---- macros ---- */

static struct str route_macro(
	struct session *s, struct str address, bool transport)
{
	struct route route;
	struct fault f;

	if (address.len == 0 || !policy_route(s->sv->policy, s->tx.sender,
					address, s->cmd_a, &route, &f))
		return STR_NONE;
	return transport ? route.transport : route.nexthop;
}

static struct str default_macro(const struct conf *c, struct str wanted)
{
	struct str rest = c->milter_macro_defaults, item, name, value;

	while (str_present(item = list_item(&rest)))
		if (assignment_parse(list_unbrace(item), &name, &value) ==
				ASSIGNMENT_OK &&
			str_eq(list_unbrace(name), wanted))
			return value;
	return STR_NONE;
}

static struct str present(struct str s)
{
	return s.len > 0 ? s : STR_NONE;
}

static struct str id_macro(struct session *s)
{
	char id[ID_TEXT];

	if (!s->tx.open)
		return STR_NONE;
	id_text(s->tx.id, id);
	return arena_str(s->cmd_a, str_from(id));
}

static struct str known_macro(struct session *s, struct str name)
{
	const struct conf *c = s->sv->c;
	struct arena *a = s->cmd_a;
	struct str rcpt = s->milter_rcpt;

	if (str_eqc(name, "i"))
		return id_macro(s);
	if (str_eqc(name, "j"))
		return c->myhostname;
	if (str_eqc(name, "v"))
		return c->milter_macro_v;
	if (str_eqc(name, "_"))
		return arena_printf(a, "%.*s [%.*s]", STR_ARG(s->client_name),
			STR_ARG(s->client));
	if (str_eqc(name, "daemon_name"))
		return c->milter_macro_daemon_name;
	if (str_eqc(name, "daemon_addr") || str_eqc(name, "if_addr"))
		return s->server;
	if (str_eqc(name, "daemon_port"))
		return arena_printf(a, "%u", s->server_port);
	if (str_eqc(name, "client_addr"))
		return s->client;
	if (str_eqc(name, "client_name"))
		return s->client_name;
	if (str_eqc(name, "client_ptr"))
		return s->reverse_name;
	if (str_eqc(name, "client_port"))
		return arena_printf(a, "%u", s->client_port);
	if (str_eqc(name, "tls_version"))
		return present(str_from(stream_tls_version(s->stream)));
	if (str_eqc(name, "cipher"))
		return present(str_from(stream_tls_cipher(s->stream)));
	if (str_eqc(name, "cipher_bits"))
		return stream_is_tls(s->stream)
			       ? arena_printf(
					 a, "%d", stream_tls_bits(s->stream))
			       : STR_NONE;
	if (str_eqc(name, "cert_subject"))
		return s->peer.trusted ? s->peer.subject : STR_NONE;
	if (str_eqc(name, "cert_issuer"))
		return s->peer.trusted ? s->peer.issuer : STR_NONE;
	if (str_eqc(name, "auth_type"))
		return s->sasl_method;
	if (str_eqc(name, "auth_authen"))
		return s->login;
	if (str_eqc(name, "mail_addr"))
		return s->tx.open ? s->tx.sender : STR_NONE;
	if (str_eqc(name, "mail_host"))
		return route_macro(s, s->tx.sender, false);
	if (str_eqc(name, "mail_mailer"))
		return route_macro(s, s->tx.sender, true);
	if (str_eqc(name, "rcpt_addr"))
		return rcpt;
	if (str_eqc(name, "rcpt_host"))
		return route_macro(s, rcpt, false);
	if (str_eqc(name, "rcpt_mailer"))
		return route_macro(s, rcpt, true);
	return STR_NONE;
}

static struct str macro(struct str name, void *ctx)
{
	struct session *s = ctx;
	struct str bare = list_unbrace(name);
	struct str value = known_macro(s, bare);

	return str_present(value) ? value : default_macro(s->sv->c, bare);
}

/* ---- the filters of a session ---- */

/* smtpd_milter_maps: DISABLE, or filters of the client's own. */
static const struct milter_list *own_list(struct session *s)
{
	struct problems problems = {.a = s->a};
	struct milter_list *own = arena_make(s->a, struct milter_list);
	struct str value;
	struct fault f;

	if (maps_lookup(s->sv->milter_maps, s->client, s->cmd_a, &value, &f) !=
		TABLE_FOUND)
		return &s->sv->milters;
	if (str_ieqc(str_trim(value), "DISABLE"))
		return own;
	*own = milter_list_parse(s->sv->c, "smtpd_milter_maps",
		arena_str(s->a, value), s->a, &problems);
	for (size_t i = 0; i < problems.n; i++)
		log_warn("smtpd_milter_maps", log_s("client", s->client),
			log_s("reason", problems.v[i].what));
	return own;
}

static void make(struct session *s)
{
	const struct milter_list *list;

	if (s->milters_known || smtpd_overrides(s, "no_milters"))
		return;
	s->milters_known = true;
	list = own_list(s);
	if (list->n == 0)
		return;
	s->milters = must_alloc((list->n + 1) * sizeof(*s->milters));
	for (size_t i = 0; i < list->n; i++)
		s->milters[i] = milter_new(&list->v[i], macro, s);
	s->milters[list->n] = NULL;
}

static struct milter **all(struct session *s)
{
	static struct milter *none[] = {NULL};

	return s->milters != NULL ? s->milters : none;
}

void milters_abort(struct session *s)
{
	for (struct milter **m = all(s); *m != NULL; m++)
		milter_abort(*m);
}

void milters_trim(struct session *s)
{
	for (struct milter **m = all(s); *m != NULL; m++)
		milter_trim(*m);
}

void milters_free(struct session *s)
{
	for (struct milter **m = all(s); *m != NULL; m++)
		milter_free(*m);
	free(s->milters);
	s->milters = NULL;
	s->milters_known = false;
}

bool milters_verdict(
	struct session *s, struct milter *m, const struct milter_verdict *v)
{
	struct str where = milter_def_of(m)->endpoint.text;

	if (milter_failed_now(m))
		log_warn("milter failed: its default action counts",
			log_s("milter", where), log_s("client", s->client));
	if (s->tx.open) {
		s->tx.hold |= v->quarantine;
		s->tx.discard |= v->kind == MILTER_DROP;
	} else {
		s->quarantine |= v->quarantine;
	}
	if (v->kind != MILTER_REFUSE)
		return false;
	log_info("milter reject", log_s("milter", where),
		log_z("stage", s->where), log_s("client", s->client),
		log_s("helo", s->helo), log_s("from", s->tx.sender_said),
		log_s("to", s->milter_rcpt), log_n("code", v->code),
		log_s("reply", v->text));
	s->closing |= v->end;
	return true;
}

static bool refuse(struct session *s, const struct milter_verdict *v)
{
	smtpd_refuse(s, v->code, "%.*s", STR_ARG(v->text));
	return true;
}

/* What is refused before MAIL is answered there, but for 421. */
static bool early(struct session *s, struct milter *m,
	const struct milter_verdict *v, struct str *refusal)
{
	if (!milters_verdict(s, m, v))
		return false;
	if (v->end)
		return refuse(s, v);
	if (refusal->len == 0)
		*refusal = arena_printf(
			s->a, "%d %.*s", v->code, STR_ARG(v->text));
	return false;
}

/* ---- events ---- */

bool milters_connect(struct session *s)
{
	struct milter_verdict v;

	make(s);
	for (struct milter **m = all(s); *m != NULL; m++) {
		v = milter_connect(*m, s->client_name,
			s->sv->service->local ? STR("127.0.0.1")
			: s->addr_len > 0     ? s->client
					      : STR(""),
			s->addr_len == 16, s->client_port, s->cmd_a);
		if (early(s, *m, &v, &s->connect_refusal))
			return true;
	}
	return false;
}

bool milters_helo(struct session *s)
{
	struct milter_verdict v;

	s->helo_refusal = STR_NONE;
	for (struct milter **m = all(s); *m != NULL; m++) {
		v = milter_helo(*m, s->helo, s->cmd_a);
		if (early(s, *m, &v, &s->helo_refusal))
			return true;
	}
	return false;
}

static bool was_refused(struct session *s, struct str refusal)
{
	uint64_t code = 550;

	if (refusal.len == 0)
		return false;
	str_u64(str_cut(&refusal, ' '), &code);
	smtpd_refuse(s, (int)code, "%.*s", STR_ARG(refusal));
	return true;
}

bool milters_mail(struct session *s, struct str address)
{
	struct milter_verdict v;

	if (was_refused(s, s->connect_refusal) ||
		was_refused(s, s->helo_refusal))
		return true;
	s->tx.hold |= s->quarantine;
	for (struct milter **m = all(s); *m != NULL; m++) {
		v = milter_mail(*m, address, s->cmd_a);
		if (milters_verdict(s, *m, &v))
			return refuse(s, &v);
	}
	return false;
}

bool milters_rcpt(struct session *s, struct str address)
{
	struct milter_verdict v;
	bool refused = false;

	s->milter_rcpt = address;
	for (struct milter **m = all(s); *m != NULL && !refused; m++) {
		v = milter_rcpt(*m, address, s->cmd_a);
		refused = milters_verdict(s, *m, &v) && refuse(s, &v);
	}
	s->milter_rcpt = STR_NONE;
	return refused;
}

bool milters_data(struct session *s)
{
	struct milter_verdict v;

	for (struct milter **m = all(s); *m != NULL; m++) {
		v = milter_data(*m, s->cmd_a);
		if (milters_verdict(s, *m, &v))
			return refuse(s, &v);
	}
	return false;
}

bool milters_unknown(struct session *s, struct str line)
{
	struct milter_verdict v;

	for (struct milter **m = all(s); *m != NULL; m++) {
		v = milter_unknown(*m, line, s->cmd_a);
		if (milters_verdict(s, *m, &v))
			return refuse(s, &v);
	}
	return false;
}

/* ---- the message ---- */

/* The value with the blank behind the colon, its last line end cut. */
static struct str raw_value(const struct mail_field *field)
{
	ptrdiff_t colon = str_find(field->whole, ':');
	struct str v = str_from_at(field->whole, (size_t)colon + 1);

	while (str_ends(v, "\n") || str_ends(v, "\r"))
		v.len--;
	return v;
}

/* Our own Received stands behind the PREPENDed lines: no filter sees it. */
static bool is_own(
	const struct session *s, const struct mail_field *field, size_t index)
{
	return index == s->tx.prepend.n && str_ieqc(field->name, "Received");
}

static struct milter_verdict tell_message(
	struct session *s, struct milter *m, struct str message)
{
	struct milter_verdict v = {.kind = MILTER_GO_ON};
	struct str head, body, rest;
	struct mail_field field;

	mail_split(message, &head, &body);
	rest = head;
	for (size_t i = 0;
		mail_field_next(&rest, &field) && v.kind == MILTER_GO_ON; i++)
		if (!is_own(s, &field, i))
			v = milter_header(
				m, field.name, raw_value(&field), s->cmd_a);
	if (v.kind == MILTER_GO_ON)
		v = milter_eoh(m, s->cmd_a);
	if (v.kind == MILTER_GO_ON)
		v = milter_body(m, body, s->cmd_a);
	return v;
}

static size_t body_limit(const struct conf *c)
{
	return c->message_size_limit > 0
		       ? (size_t)c->message_size_limit + (1 << 20)
		       : (size_t)1 << 30;
}

static bool one(struct session *s, struct milter *m, struct text *text,
	bool *refused_r, struct fault *f)
{
	struct milter_change *changes = NULL;
	struct milter_verdict v;
	struct file_map map CLEANUP(file_unmap) = {0};

	if (!text_map(text, &map, f))
		return false;
	v = tell_message(s, m, map.bytes);
	if (v.kind == MILTER_GO_ON && !s->tx.discard)
		v = milter_eom(m, body_limit(s->sv->c), s->cmd_a, &changes);
	if (milters_verdict(s, m, &v))
		*refused_r = refuse(s, &v);
	return *refused_r || changes == NULL ||
	       milters_change(s, m, changes, text, f);
}

bool milters_message(
	struct session *s, struct text *text, bool *refused_r, struct fault *f)
{
	*refused_r = false;
	for (struct milter **m = all(s);
		*m != NULL && !*refused_r && !s->tx.discard; m++)
		if (!one(s, *m, text, refused_r, f))
			return false;
	/* All is said, and nobody is left: the message has come to its end. */
	s->tx.discard |= !*refused_r && s->tx.n_rcpts == 0;
	return true;
}
