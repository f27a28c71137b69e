/* SPDX-License-Identifier: ISC */
#include "tests/fuzz/fuzz.h"

#include "base/arena.h"
#include "codec/smtp/command.h"
#include "codec/smtp/verp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena *a = arena_new(SIZE_MAX);
	struct str in = str_of(data, size);

	struct smtp_command cmd;
	struct smtp_mail mail;
	struct smtp_rcpt rcpt;
	struct smtp_refusal why;
	uint64_t octets;
	bool last;

	if (smtp_command_parse(in, &cmd)) {
		if (smtp_mail_parse(cmd.args, ~0u, ~0u, a, &mail, &why))
			verp_sender(STR("+="), mail.from.whole, in, a);
		smtp_bdat_parse(cmd.args, &octets, &last);
		smtp_rcpt_parse(cmd.args, true, 0, a, &rcpt, &why);
	}
	arena_free(a);
	return 0;
}
