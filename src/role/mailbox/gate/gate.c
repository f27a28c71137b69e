/* SPDX-License-Identifier: ISC */
#include "role/mailbox/gate/gate.h"

#include <stdlib.h>

#include "base/must.h"
#include "codec/mail/base64.h"
#include "codec/sasl/mechanisms.h"
#include "net/tls_binding.h"

enum { AUTH_LINE_MAX = 16384, HANDSHAKE_MS = 60000 };

static seat_idle_f idle;

struct gate *gate_of(struct seat *seat)
{
	union {
		struct seat *seat;
		struct gate *gate;
	} u = {.seat = seat};

	return u.gate;
}

static struct gate *gate_new(
	struct mailbox_service *sv, struct stream *stream, seat_serve_f *serve)
{
	struct gate *g = must_alloc(sizeof(*g));

	g->sv = sv;
	g->stream = stream;
	g->cmd_a = arena_new(1 << 20);
	g->seat.fd = stream_fd(stream);
	g->seat.serve = serve;
	g->seat.idle = idle;
	return g;
}

void gate_accepted(int fd, struct mailbox_service *sv, seat_serve_f *serve)
{
	struct gate *g;

	g = gate_new(sv, stream_new(fd, GATE_LINE_MAX * 2), serve);
	g->a = arena_new(65536);
	__atomic_add_fetch(&sv->m->role->slot->served, 1, __ATOMIC_RELAXED);
	crew_add(sv->m->role->crew, &g->seat);
}

void gate_again(struct crew *crew, struct mailbox_service *sv,
	struct stream *stream, struct arena *a, struct str client,
	seat_serve_f *serve)
{
	struct gate *g = gate_new(sv, stream, serve);

	stream_limit(stream, GATE_LINE_MAX * 2);
	g->a = a;
	g->client = client;
	g->greeted = true;
	crew_become(crew, &g->seat);
}

bool gate_may_login(const struct gate *g)
{
	return stream_is_tls(g->stream) || !g->sv->c->smtpd_tls_auth_only;
}

static bool allowed(const struct gate *g, const struct sasl_mechanism *m)
{
	struct sasl_session is = {.tls = stream_is_tls(g->stream),
		.tokens = g->sv->c->oauth2_introspection_url.len > 0};

	return gate_may_login(g) && sasl_possible(m, is);
}

const char *gate_mechanism(const struct gate *g, struct str name)
{
	const struct sasl_mechanism *m = sasl_mechanism_find(name);

	return m != NULL && allowed(g, m) ? m->name : NULL;
}

void gate_put_mechanisms(struct gate *g, const char *before, const char *behind)
{
	for (size_t i = 0; i < SASL_MECHANISMS; i++)
		if (allowed(g, &sasl_mechanisms[i]))
			stream_putf(g->stream, "%s%s%s", before,
				sasl_mechanisms[i].name, behind);
}

bool gate_begin(struct gate *g, bool wrapper)
{
	struct sock_addr peer;

	g->greeted = true;
	if (!sock_peer(stream_fd(g->stream), &peer))
		return false;
	g->client = sock_addr_text(&peer, g->a);
	log_info("connect", log_s("client", g->client),
		log_s("listener", g->sv->service->name));
	return !wrapper || gate_start_tls(g);
}

bool gate_start_tls(struct gate *g)
{
	struct fault f;

	g->handshake = false;
	stream_drop_input(g->stream);
	stream_deadline(g->stream, HANDSHAKE_MS);
	if (g->sv->tls == NULL)
		return false;
	if (stream_tls_accept(g->stream, tls_server_session(g->sv->tls), &f))
		return true;
	log_info("TLS failed", log_s("client", g->client), log_fault(&f));
	return false;
}

enum next gate_end(struct gate *g)
{
	crew_leave(&g->seat);
	stream_free(g->stream);
	arena_free(g->a);
	arena_free(g->cmd_a);
	free(g);
	return NEXT_CLOSE;
}

enum next gate_park(struct gate *g, int64_t timeout_ms)
{
	if (g->delay_ms > 0) {
		g->seat.deadline_ms = clock_mono_ms() + g->delay_ms;
		g->delay_ms = 0;
		return NEXT_SLEEP;
	}
	stream_deadline(g->stream, timeout_ms);
	if (!stream_flush(g->stream) || g->closing)
		return gate_end(g);
	if (g->handshake && !gate_start_tls(g))
		return gate_end(g);
	g->seat.deadline_ms = clock_mono_ms() + timeout_ms;
	return NEXT_PARK;
}

static void idle(struct seat *seat)
{
	stream_trim(gate_of(seat)->stream);
}

static void note(struct gate *g, enum auth_result r, struct str login,
	int64_t id, const struct fault *f)
{
	if (r == AUTH_DONE) {
		g->login = arena_str(g->a, login);
		g->account = id;
		log_info("login", log_s("client", g->client),
			log_s("login", g->login),
			log_s("listener", g->sv->service->name));
	} else if (r == AUTH_TEMP) {
		log_warn("AUTH failed", log_s("client", g->client),
			log_fault(f));
	} else if (r == AUTH_REFUSED) {
		g->delay_ms += g->sv->c->login_failure_delay * 1000;
		if (++g->failures >= GATE_FAILURES_MAX)
			g->closing = true;
	}
}

enum auth_result gate_password(
	struct gate *g, struct str user, struct str password)
{
	struct auth_talk talk;
	struct str text, login = STR_NONE;
	int64_t id = 0;
	struct fault f;
	struct str message = arena_printf(g->cmd_a, "%c%.*s%c%.*s", 0,
		STR_ARG(user), 0, STR_ARG(password));

	auth_talk_init(&talk, g->sv->m->role->auth, g->cmd_a);
	enum auth_result r = auth_start(&talk, "PLAIN", message, g->client,
		NULL, &text, &login, &id, &f);
	auth_talk_fini(&talk);
	if (r == AUTH_BROKEN)
		r = AUTH_REFUSED;
	note(g, r, login, id, &f);
	return r;
}

/* One answer of the client; *bad_r: "*" or no base64 */
static bool read_answer(struct gate *g, struct str *answer_r, bool *bad_r)
{
	struct str line;

	*bad_r = false;
	stream_deadline(g->stream, HANDSHAKE_MS);
	if (!stream_flush(g->stream))
		return false;
	enum line_result r =
		stream_line(g->stream, AUTH_LINE_MAX, false, &line);
	if (r == LINE_TOO_LONG) {
		*bad_r = true;
		return true;
	}
	if (r != LINE_OK)
		return false;
	*bad_r = str_eqc(line, "*") || !base64_decode(line, g->cmd_a, answer_r);
	return true;
}

bool gate_sasl(struct gate *g, const char *mechanism, struct str initial,
	enum auth_result *r)
{
	struct auth_talk talk;
	struct str text = STR_NONE, login = STR_NONE, answer;
	int64_t id = 0;
	struct fault f;
	bool alive = true, bad = false;

	auth_talk_init(&talk, g->sv->m->role->auth, g->cmd_a);
	struct tls_binding tls =
		tls_binding_of(stream_ssl(g->stream), g->cmd_a);
	struct auth_binding binding = {tls.exporter, tls.end_point,
		stream_is_tls(g->stream), STR_NONE};
	*r = auth_start(&talk, mechanism, initial, g->client, &binding, &text,
		&login, &id, &f);
	for (int round = 0; round < 8 && alive; round++) {
		bool last = *r == AUTH_DONE && str_present(text);

		if (*r != AUTH_CONTINUE && !last)
			break;
		stream_putf(g->stream, "+ %.*s\r\n",
			STR_ARG(base64_encode_a(text, g->cmd_a)));
		alive = read_answer(g, &answer, &bad);
		if (bad)
			*r = AUTH_BROKEN;
		if (!alive || bad || last)
			break;
		*r = auth_step(&talk, answer, &text, &login, &id, &f);
	}
	auth_talk_fini(&talk);
	if (alive)
		note(g, *r, login, id, &f);
	return alive;
}
