/* SPDX-License-Identifier: ISC */
#include "codec/imap/mailbox_name.h"

#include "base/buf.h"
#include "base/utf8.h"

static bool char_valid(unsigned char c)
{
	/* "%" and "*" are the wildcards of LIST. */
	return c >= 0x20 && c != 0x7f && c != '%' && c != '*';
}

static bool part_valid(struct str part)
{
	if (part.len == 0 || str_eqc(part, "..") || str_eqc(part, "."))
		return false;
	for (size_t i = 0; i < part.len; i++)
		if (!char_valid((unsigned char)part.ptr[i]))
			return false;
	return true;
}

bool imap_mailbox_name_valid(struct str name)
{
	if (name.len == 0 || name.len > MAILBOX_NAME_MAX)
		return false;
	while (str_present(name))
		if (!part_valid(str_cut(&name, '/')))
			return false;
	return true;
}

static void put_mended(struct str part, struct buf *out)
{
	if (part.len == 0 || str_eqc(part, "..") || str_eqc(part, ".")) {
		buf_putc(out, '_');
		return;
	}
	while (part.len > 0) {
		uint32_t c;
		size_t n = utf8_decode(part, &c);

		if (n == 0 || (n == 1 && !char_valid((unsigned char)c)))
			buf_putc(out, '_');
		else
			buf_put(out, str_sub(part, 0, n));
		part = str_from_at(part, n > 0 ? n : 1);
	}
}

struct str imap_mailbox_name_mended(struct str name, struct arena *a)
{
	struct buf b CLEANUP(buf_fini);
	struct str part = str_cut(&name, '/');

	buf_init(&b, 2 * (name.len + part.len) + 16);
	if (str_ieqc(part, "INBOX"))
		part = STR("INBOX");
	put_mended(part, &b);
	while (str_present(name)) {
		buf_putc(&b, '/');
		put_mended(str_cut(&name, '/'), &b);
	}
	while (b.len > 1 && !(imap_mailbox_name_valid(buf_str(&b)) &&
				    utf8_valid(buf_str(&b))))
		buf_truncate(&b, b.len - 1);
	return arena_str(a, buf_str(&b));
}
