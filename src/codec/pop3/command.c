/* SPDX-License-Identifier: ISC */
#include "codec/pop3/command.h"

bool pop3_command_parse(struct str line, struct pop3_command *cmd_r)
{
	for (size_t i = 0; i < line.len; i++)
		if ((unsigned char)line.ptr[i] < 0x20 || line.ptr[i] == 0x7f)
			return false;
	struct str rest = line;
	struct str verb = str_cut(&rest, ' ');
	if (verb.len == 0)
		return false;
	cmd_r->verb = verb;
	cmd_r->args = str_present(rest) ? rest : str_of(line.ptr, 0);
	return true;
}

bool pop3_number(struct str s, uint32_t *value_r)
{
	uint64_t v;

	if (!str_u64(s, &v) || v > INT32_MAX)
		return false;
	*value_r = (uint32_t)v;
	return true;
}
