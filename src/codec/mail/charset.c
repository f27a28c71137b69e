/* SPDX-License-Identifier: ISC */
#include "codec/mail/charset.h"

#include <iconv.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"

static const uint16_t cp1252[32] = {0x20ac, 0x81, 0x201a, 0x192, 0x201e, 0x2026,
	0x2020, 0x2021, 0x2c6, 0x2030, 0x160, 0x2039, 0x152, 0x8d, 0x17d, 0x8f,
	0x90, 0x2018, 0x2019, 0x201c, 0x201d, 0x2022, 0x2013, 0x2014, 0x2dc,
	0x2122, 0x161, 0x203a, 0x153, 0x9d, 0x17e, 0x178};

static bool is_latin(struct str charset)
{
	return str_ieqc(charset, "iso-8859-1") ||
	       str_ieqc(charset, "windows-1252") ||
	       str_ieqc(charset, "iso-8859-15") || str_ieqc(charset, "latin1");
}

/* What iconv(3) is asked for; others are not decoded. */
static const char *const known[] = {"ISO-8859-2", "ISO-8859-3", "ISO-8859-4",
	"ISO-8859-5", "ISO-8859-6", "ISO-8859-7", "ISO-8859-8", "ISO-8859-9",
	"ISO-8859-10", "ISO-8859-11", "ISO-8859-13", "ISO-8859-14",
	"ISO-8859-16", "WINDOWS-1250", "WINDOWS-1251", "WINDOWS-1253",
	"WINDOWS-1254", "WINDOWS-1255", "WINDOWS-1256", "WINDOWS-1257",
	"WINDOWS-1258", "WINDOWS-874", "TIS-620", "KOI8-R", "KOI8-U", "GB2312",
	"GBK", "GB18030", "BIG5", "BIG5-HKSCS", "EUC-KR", "CP949", "EUC-JP",
	"SHIFT_JIS", "CP932", "ISO-2022-JP", "ISO-2022-JP-2", "ISO-2022-KR",
	"EUC-TW", "UTF-7", "UTF-16", "UTF-16LE", "UTF-16BE", "UTF-32", "IBM850",
	"IBM437", "MACINTOSH"};

static const struct {
	const char *name;
	const char *means;
} aliases[] = {{"ks_c_5601-1987", "CP949"}, {"ks_c_5601", "CP949"},
	{"gb_2312-80", "GB2312"}, {"x-gbk", "GBK"}, {"cp936", "GBK"},
	{"x-sjis", "CP932"}, {"sjis", "CP932"}, {"windows-31j", "CP932"},
	{"cp1250", "WINDOWS-1250"}, {"cp1251", "WINDOWS-1251"},
	{"big5-eten", "BIG5"}, {"unicode-1-1-utf-7", "UTF-7"},
	{"iso-8859-8-i", "ISO-8859-8"}, {"koi8-ru", "KOI8-U"}};

static const char *known_name(struct str charset)
{
	for (size_t i = 0; i < ARRAY_LEN(aliases); i++)
		if (str_ieqc(charset, aliases[i].name))
			return aliases[i].means;
	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		if (str_ieqc(charset, known[i]))
			return known[i];
	return NULL;
}

void charset_prepare(void)
{
	/* Kept open: an open converter keeps its module in memory, where
	 * iconv_open finds it again without a file. */
	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		(void)!iconv_open("UTF-8", known[i]);
}

/* A byte that is no character of the charset. */
static void put_replacement(struct buf *out)
{
	buf_puts(out, "\xef\xbf\xbd");
}

static void convert(iconv_t how, struct str in, struct buf *out)
{
	char *from = (char *)(uintptr_t)in.ptr;
	size_t left = in.len;

	while (left > 0 && !buf_over(out)) {
		char piece[1024];
		char *to = piece;
		size_t room = sizeof(piece);
		size_t before = left;
		size_t r = iconv(how, &from, &left, &to, &room);

		buf_put_mem(out, piece, sizeof(piece) - room);
		if (r != (size_t)-1 || left == 0)
			continue;
		/* Neither input nor output moved on: the byte is wrong. */
		if (left == before && room == sizeof(piece)) {
			put_replacement(out);
			from++;
			left--;
		}
	}
}

static bool by_iconv(struct str charset, struct str in, struct buf *out)
{
	const char *name = known_name(charset);
	iconv_t how = name != NULL ? iconv_open("UTF-8", name) : (iconv_t)-1;

	if (how == (iconv_t)-1)
		return false;
	convert(how, in, out);
	iconv_close(how);
	return true;
}

bool charset_to_utf8(struct str charset, struct str in, struct buf *out)
{
	if (charset.len == 0 || str_ieqc(charset, "utf-8") ||
		str_ieqc(charset, "utf8") || str_ieqc(charset, "us-ascii") ||
		str_ieqc(charset, "ascii")) {
		buf_put(out, in);
		return true;
	}
	if (!is_latin(charset))
		return by_iconv(charset, in, out);
	for (size_t i = 0; i < in.len; i++) {
		unsigned char b = (unsigned char)in.ptr[i];
		char utf8[4];
		uint32_t c = b >= 0x80 && b < 0xa0 ? cp1252[b - 0x80] : b;

		if (b == 0xa4 && str_ieqc(charset, "iso-8859-15"))
			c = 0x20ac;
		buf_put_mem(out, utf8, utf8_encode(c, utf8));
	}
	return true;
}
