/* SPDX-License-Identifier: ISC */
#include <idn2.h>

#include "base/utf8.h"
#include "net/resolver.h"

struct str resolver_ascii(struct str name, struct arena *a)
{
	char *out = NULL;

	if (utf8_is_ascii(name))
		return arena_lower(a, name);
	if (idn2_to_ascii_8z(arena_cstr(a, name), &out,
		    IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL) != IDN2_OK)
		return STR_NONE;
	struct str ascii = arena_lower(a, str_from(out));
	idn2_free(out);
	return ascii;
}
