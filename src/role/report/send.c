/* SPDX-License-Identifier: ISC */
/* A report on its way: a mail with one attachment, from the null sender, to be
 * signed.  RFC 9990 3, RFC 8460 5.3 */
#include "codec/mail/base64.h"
#include "codec/mail/date.h"
#include "codec/mail/dmarc.h"
#include "codec/smtp/command.h"
#include "policy/dmarc_rua.h"
#include "role/report/report.h"
#include "sys/clock.h"
#include "sys/file.h"

enum { PUT_TIMEOUT_MS = 60000, MAIL_MAX = 48 << 20 };

size_t report_leave_out(struct dmarc_rua *to, size_t n, uint64_t size)
{
	size_t kept = 0;

	for (size_t i = 0; i < n; i++)
		if (to[i].max_bytes == 0 || size <= to[i].max_bytes)
			to[kept++] = to[i];
	return kept;
}

void report_put_head(const struct report_role *r, const struct dmarc_rua *to,
	size_t n, struct buf *out)
{
	const struct conf *c = r->role->conf;
	int64_t now = clock_unix();

	buf_puts(out, "Date: ");
	mail_date_put(now, clock_zone_minutes(now), out);
	buf_putf(out,
		"\r\nFrom: %.*s\r\nTo: ", STR_ARG(c->dmarc_report_address));
	for (size_t i = 0; i < n; i++)
		buf_putf(out, "%s<%.*s>", i > 0 ? ",\r\n\t" : "",
			STR_ARG(to[i].address));
	buf_puts(out, "\r\nAuto-Submitted: auto-generated\r\n"
		      "MIME-Version: 1.0\r\n");
}

static void put_mail(const struct report_role *r, const struct report_mail *m,
	const struct dmarc_rua *to, size_t n_to, struct str packed,
	struct buf *out)
{
	const struct conf *c = r->role->conf;
	char boundary[ID_TEXT];

	id_text(id_new(), boundary);
	report_put_head(r, to, n_to, out);
	buf_putf(out,
		"Subject: Report Domain: %.*s\r\n\tSubmitter: %.*s\r\n\t"
		"Report-ID: <%.*s>\r\nMessage-ID: <%.*s@%.*s>\r\n%.*s",
		STR_ARG(m->domain), STR_ARG(c->myhostname), STR_ARG(m->id),
		STR_ARG(m->id), STR_ARG(c->myhostname), STR_ARG(m->extra));
	buf_putf(out,
		"Content-Type: %s; boundary=\"=_%s\"\r\n\r\n"
		"--=_%s\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\n"
		"This is %s of %.*s.\r\n--=_%s\r\nContent-Type: %s\r\n"
		"Content-Transfer-Encoding: base64\r\n"
		"Content-Disposition: attachment;\r\n\t"
		"filename=\"%.*s!%.*s!%lld!%lld.%s\"\r\n\r\n",
		m->content_type, boundary, boundary, m->words,
		STR_ARG(m->domain), boundary, m->part_type,
		STR_ARG(c->myhostname), STR_ARG(m->domain), (long long)m->begin,
		(long long)m->end, m->ending);
	base64_encode_lines(packed, out);
	buf_putf(out, "--=_%s--\r\n", boundary);
}

bool report_put(struct report_role *r, const struct dmarc_rua *to, size_t n_to,
	struct str mail, uint64_t *id_r, struct fault *f)
{
	struct recipient rcpts[DMARC_RUA_MAX];
	struct ipc_frame reply CLEANUP(ipc_frame_fini);
	struct buf b CLEANUP(buf_fini);
	struct text text = text_view(mail);
	int fd CLEANUP(fd_close) = -1;

	ipc_frame_init(&reply);
	buf_init(&b, IPC_PAYLOAD_MAX);
	for (size_t i = 0; i < n_to; i++)
		rcpts[i] = (struct recipient){.address = to[i].address,
			.original = to[i].address,
			.notify = SMTP_NOTIFY_NEVER};
	/* The null sender: nobody answers a report.  RFC 8460 3: what tells of
	 * trouble with TLS must not be kept by it. */
	struct envelope env = {.id = id_new(),
		.arrival = clock_unix(),
		.flags = ENV_SIGN | ENV_TLS_OPTIONAL,
		.size = mail.len,
		.sender = STR(""),
		.client = STR("report"),
		.rcpts = rcpts,
		.n_rcpts = (uint32_t)n_to};
	*id_r = env.id;
	if (text.size > TEXT_MEMORY_MAX) {
		fd = text_descriptor(&text, f);
		if (fd < 0)
			return false;
		text.bytes = STR_NONE;
	}
	envelope_put(&b, &env);
	text_put(&b, &text);
	return ipc_call(r->role->queue, IPC_QUEUE_PUT, buf_str(&b), fd,
		PUT_TIMEOUT_MS, &reply, f);
}

bool report_send(struct report_role *r, const struct report_mail *m,
	const struct dmarc_rua *to, size_t n_to, struct str packed,
	struct fault *f)
{
	struct buf mail CLEANUP(buf_fini);
	char id[ID_TEXT];
	uint64_t queued;

	buf_init(&mail, MAIL_MAX);
	put_mail(r, m, to, n_to, packed, &mail);
	if (!report_put(r, to, n_to, buf_str(&mail), &queued, f))
		return false;
	id_text(queued, id);
	log_info("report", log_z("queue_id", id), log_s("domain", m->domain),
		log_z("ending", m->ending), log_s("to", to[0].address));
	return true;
}
