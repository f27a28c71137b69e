/* SPDX-License-Identifier: ISC */
/* smtp_header_checks and its kin: header_checks(5), for what goes out.  They
 * change or drop lines; who may have the mail was decided before. */
#include "policy/content.h"

#include "role/sender/sender.h"

bool sender_check_content(const struct sender_transport *t, const char *id,
	struct str *message, struct text *fresh, struct arena *a,
	struct fault *f)
{
	struct content_result r = {0};
	struct strs pieces;

	if (t->content == NULL)
		return true;
	if (!content_check(t->content, *message, a, &r, f))
		return false;
	for (size_t i = 0; i < r.log.n; i++)
		log_info("content", log_z("queue_id", id),
			log_s("action", r.log.v[i]));
	if (r.code > 0 || r.discard || r.hold || str_present(r.redirect) ||
		str_present(r.filter) || r.bcc.n > 0)
		log_warn("smtp_header_checks can change lines, nothing else",
			log_z("queue_id", id));
	if (r.edits == NULL)
		return true;
	content_apply(*message, r.edits, a, &pieces);
	*fresh = text_join(&pieces);
	*message = fresh->bytes;
	return true;
}
