/* SPDX-License-Identifier: ISC */
/* Text sources of indexed tables, and the system's own accounts. */
#include <grp.h>
#include <pwd.h>
#include <string.h>

#include "codec/postfix/lines.h"
#include "conf/table_private.h"

static void complain(struct table_reader *r, enum problem_level level,
	unsigned line, struct str what)
{
	if (r->problems != NULL)
		problem_add(r->problems, level, r->file, line, what, STR_NONE);
}

void table_read_text(struct table_reader *r, struct str text, bool aliases)
{
	struct arena *a = r->content->a;
	struct logical_lines lines;
	struct logical_line line;

	logical_lines_init(&lines, text, a);
	while (logical_lines_next(&lines, &line)) {
		struct str key, value;
		const char *why;

		bool ok = !line.stray && table_entry_parse(line.text, aliases,
						 a, &key, &value, &why);
		if (!ok) {
			/* postmap warns and goes on; so do we. */
			complain(r, PROBLEM_WARNING, line.first,
				line.stray ? STR("continues nothing: skipped")
					   : str_from(why));
			continue;
		}
		if (why != NULL)
			complain(r, PROBLEM_WARNING, line.first, str_from(why));
		key = arena_lower(a, key);
		if (map_get(r->content->map, key) != NULL) {
			complain(r, PROBLEM_WARNING, line.first,
				arena_printf(a,
					"duplicate key %.*s: the first "
					"entry counts",
					STR_ARG(key)));
			continue;
		}
		struct str *copy = arena_make(a, struct str);
		*copy = arena_str(a, value);
		map_set(r->content->map, key, copy);
	}
}

static enum table_result unix_passwd(
	struct str key, struct arena *a, struct str *value_r, struct fault *f)
{
	char buffer[4096];
	struct passwd pw, *found = NULL;
	int error = getpwnam_r(
		arena_cstr(a, key), &pw, buffer, sizeof(buffer), &found);

	if (found != NULL) {
		*value_r = arena_printf(a, "%s:x:%u:%u:%s:%s:%s", pw.pw_name,
			pw.pw_uid, pw.pw_gid, pw.pw_gecos, pw.pw_dir,
			pw.pw_shell);
		return TABLE_FOUND;
	}
	if (error == 0)
		return TABLE_NONE;
	fault_set(f, FAULT_TEMP, 451, 3, 0, "unix:passwd.byname: %s",
		strerrordesc_np(error));
	return TABLE_ERROR;
}

static enum table_result unix_group(
	struct str key, struct arena *a, struct str *value_r, struct fault *f)
{
	char buffer[16384];
	struct group gr, *found = NULL;
	int error = getgrnam_r(
		arena_cstr(a, key), &gr, buffer, sizeof(buffer), &found);

	if (found != NULL) {
		*value_r = arena_printf(a, "%s:x:%u", gr.gr_name, gr.gr_gid);
		return TABLE_FOUND;
	}
	if (error == 0)
		return TABLE_NONE;
	fault_set(f, FAULT_TEMP, 451, 3, 0, "unix:group.byname: %s",
		strerrordesc_np(error));
	return TABLE_ERROR;
}

enum table_result table_unix(struct str name, struct str key, struct arena *a,
	struct str *value_r, struct fault *f)
{
	if (str_find(key, '\0') >= 0)
		return TABLE_NONE;
	return str_eqc(name, "group.byname") ? unix_group(key, a, value_r, f)
					     : unix_passwd(key, a, value_r, f);
}
