/* SPDX-License-Identifier: ISC */
/* smtpd_reject_footer and its maps, smtpd_reject_filter_maps: postconf(5). */
#include <stdio.h>
#include <time.h>

#include "codec/postfix/expand.h"
#include "codec/smtp/path.h"
#include "role/smtpd/smtpd.h"

static struct str local_time(struct session *s)
{
	time_t now = (time_t)clock_unix();
	struct tm tm;
	char text[64];

	localtime_r(&now, &tm);
	strftime(text, sizeof(text), "%b %d %H:%M:%S", &tm);
	return arena_str(s->cmd_a, str_from(text));
}

static struct str part(struct str address, bool domain)
{
	struct str local, host;

	smtp_address_split(address, &local, &host);
	return domain ? host : local;
}

/* Bytes of a stranger cannot end a line of the reply. */
static struct str clean(struct session *s, struct str value)
{
	return expand_plain(characters_only(&s->sv->policy->expansion, value,
				    '_', s->cmd_a),
		s->cmd_a);
}

static struct str attribute(struct str name, void *ctx)
{
	struct session *s = ctx;
	struct str sender = s->tx.open ? s->tx.sender_said : STR("");
	struct str rcpt = str_present(s->rcpt_said) ? s->rcpt_said : STR("");
	const struct {
		const char *name;
		struct str value;
	} all[] = {{"client_address", s->client},
		{"client_name", s->client_name}, {"helo_name", s->helo},
		{"recipient", rcpt}, {"recipient_domain", part(rcpt, true)},
		{"recipient_name", part(rcpt, false)}, {"sender", sender},
		{"sender_domain", part(sender, true)},
		{"sender_name", part(sender, false)},
		{"sasl_username", s->login}, {"server_address", s->server},
		{"server_name", s->sv->c->myhostname}};

	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		if (str_eqc(name, all[i].name))
			return clean(s, str_present(all[i].value) ? all[i].value
								  : STR(""));
	if (str_eqc(name, "client"))
		return clean(s,
			arena_printf(s->cmd_a, "%.*s[%.*s]",
				STR_ARG(s->client_name), STR_ARG(s->client)));
	if (str_eqc(name, "client_port"))
		return arena_printf(s->cmd_a, "%u", s->client_port);
	if (str_eqc(name, "server_port"))
		return arena_printf(s->cmd_a, "%u", s->server_port);
	if (str_eqc(name, "localtime"))
		return local_time(s);
	return STR("");
}

/* "\\n" in the template begins a line; what else is no text goes. */
static struct str lines_of(struct session *s, struct str text)
{
	char *out = arena_alloc(s->cmd_a, text.len + 1);
	size_t n = 0;

	for (size_t i = 0; i < text.len; i++) {
		unsigned char c = (unsigned char)text.ptr[i];

		if (c == '\\' && i + 1 < text.len && text.ptr[i + 1] == 'n') {
			out[n++] = '\n';
			i++;
		} else if (c >= 0x20 && c < 0x7f) {
			out[n++] = (char)c;
		}
	}
	return str_of(out, n);
}

/* "550 5.1.1 text" in a table, both ways. */
void smtpd_reject_filter(struct session *s, int *code, char *text, size_t room)
{
	struct str key = arena_printf(s->cmd_a, "%d %s", *code, text), value;
	struct fault f;
	uint64_t fresh;

	enum table_result r =
		maps_lookup(s->sv->reject_filter, key, s->cmd_a, &value, &f);
	if (r == TABLE_ERROR)
		log_warn("lookup", log_z("of", "smtpd_reject_filter_maps"),
			log_fault(&f));
	if (r != TABLE_FOUND)
		return;
	struct str rest = value;
	if (!str_u64(str_word(&rest, " "), &fresh) || fresh < 400 ||
		fresh > 599) {
		log_warn("smtpd_reject_filter_maps", log_s("reply", key),
			log_s("value", value),
			log_z("problem", "not a reply of 4xx or 5xx"));
		return;
	}
	log_info("filtered", log_s("client", s->client), log_s("reply", key),
		log_s("becomes", value));
	*code = (int)fresh;
	snprintf(text, room, "%.*s", STR_ARG(str_trim(rest)));
}

struct str smtpd_reject_footer(struct session *s, int code, const char *text)
{
	struct str key = arena_printf(s->cmd_a, "%d %s", code, text);
	struct str value = s->sv->reject_footer, out;
	const char *why;
	struct fault f;

	maps_lookup(s->sv->reject_footer_maps, key, s->cmd_a, &value, &f);
	if (value.len == 0 ||
		!expand(value, attribute, s, s->cmd_a, &out, &why))
		return STR_NONE;
	return lines_of(s, out);
}
