/* SPDX-License-Identifier: ISC */
#include "codec/mail/date.h"

#include <time.h>

static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
static const char days[] = "SunMonTueWedThuFriSat";

/* Days since 1970-01-01 of a proleptic Gregorian date. */
static int64_t days_of(int64_t year, unsigned month, unsigned day)
{
	year -= month <= 2;
	int64_t era = (year >= 0 ? year : year - 399) / 400;
	unsigned yoe = (unsigned)(year - era * 400);
	unsigned doy =
		(153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
	unsigned doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;

	return era * 146097 + (int64_t)doe - 719468;
}

static struct tm broken(int64_t at)
{
	time_t t = (time_t)at;
	struct tm tm;

	if (gmtime_r(&t, &tm) == NULL) {
		t = 0;
		gmtime_r(&t, &tm);
	}
	return tm;
}

static void put_zone(int zone, struct buf *out)
{
	int m = zone < 0 ? -zone : zone;

	buf_putf(out, " %c%02d%02d", zone < 0 ? '-' : '+', m / 60, m % 60);
}

void mail_date_put(int64_t at, int zone_minutes, struct buf *out)
{
	struct tm tm = broken(at + (int64_t)zone_minutes * 60);

	buf_putf(out, "%.3s, %d %.3s %d %02d:%02d:%02d", days + tm.tm_wday * 3,
		tm.tm_mday, months + tm.tm_mon * 3, tm.tm_year + 1900,
		tm.tm_hour, tm.tm_min, tm.tm_sec);
	put_zone(zone_minutes, out);
}

void imap_date_put(int64_t at, struct buf *out)
{
	struct tm tm = broken(at);

	buf_putf(out, "%2d-%.3s-%04d %02d:%02d:%02d", tm.tm_mday,
		months + tm.tm_mon * 3, tm.tm_year + 1900, tm.tm_hour,
		tm.tm_min, tm.tm_sec);
	put_zone(0, out);
}

static bool month_of(struct str s, unsigned *month_r)
{
	for (unsigned i = 0; i < 12; i++)
		if (str_ieq(str_sub(s, 0, 3), str_of(months + i * 3, 3))) {
			*month_r = i + 1;
			return true;
		}
	return false;
}

static bool zone_of(struct str s, int *zone_r)
{
	static const struct {
		const char *name;
		int hours;
	} old[] = {{"EST", -5}, {"EDT", -4}, {"CST", -6}, {"CDT", -5},
		{"MST", -7}, {"MDT", -6}, {"PST", -8}, {"PDT", -7}};
	uint64_t v;

	if (s.len == 5 && (s.ptr[0] == '+' || s.ptr[0] == '-') &&
		str_u64(str_from_at(s, 1), &v) && v % 100 < 60 && v < 2400) {
		int m = (int)(v / 100 * 60 + v % 100);

		*zone_r = s.ptr[0] == '-' ? -m : m;
		return true;
	}
	*zone_r = 0;
	for (size_t i = 0; i < sizeof(old) / sizeof(old[0]); i++)
		if (str_ieqc(s, old[i].name))
			*zone_r = old[i].hours * 60;
	/* RFC 5322 4.3: unknown names mean -0000 */
	return s.len > 0 && ascii_is_alpha(s.ptr[0]);
}

/* hh:mm[:ss] */
static bool time_of(struct str s, int64_t *seconds_r)
{
	uint64_t h, m, sec = 0;
	struct str rest = s;
	struct str hour = str_cut(&rest, ':');
	struct str minute = str_cut(&rest, ':');

	if (!str_u64(hour, &h) || !str_u64(minute, &m) || h > 23 || m > 59)
		return false;
	if (str_present(rest) && (!str_u64(rest, &sec) || sec > 60))
		return false;
	*seconds_r = (int64_t)(h * 3600 + m * 60 + sec);
	return true;
}

static bool day_month_year(
	struct str d, struct str m, struct str y, int64_t *at_r)
{
	uint64_t day, year;
	unsigned month;

	if (!str_u64(d, &day) || day < 1 || day > 31 || !month_of(m, &month) ||
		!str_u64(y, &year) || year > 9999)
		return false;
	/* RFC 5322 4.3 obs-year */
	if (y.len == 2)
		year += year < 50 ? 2000 : 1900;
	else if (y.len == 3)
		year += 1900;
	*at_r = days_of((int64_t)year, month, (unsigned)day) * 86400;
	return true;
}

/* RFC 5322 4.3: comments anywhere, and blanks around the colons of the time.
 * What is longer than a date can be is cut. */
static struct str without_cfws(struct str in, char *out, size_t room)
{
	size_t n = 0;
	int depth = 0;

	for (size_t i = 0; i < in.len && n < room; i++) {
		char c = in.ptr[i];

		if (c == '\\' && depth > 0) {
			i++;
		} else if (c == '(') {
			depth++;
		} else if (c == ')' && depth > 0) {
			depth--;
			c = ' ';
		}
		if (depth > 0 || c == '(')
			continue;
		bool blank = c == ' ' || c == '\t' || c == '\r' || c == '\n';
		if (c == ':')
			while (n > 0 && out[n - 1] == ' ')
				n--;
		if (blank && n > 0 && out[n - 1] == ':')
			continue;
		out[n++] = blank ? ' ' : c;
	}
	return str_of(out, n);
}

bool mail_date_parse(struct str value, int64_t *at_r, int *zone_minutes_r)
{
	char plain[128];
	int64_t at, seconds;
	int zone = 0;

	value = without_cfws(value, plain, sizeof(plain));
	ptrdiff_t comma = str_find(value, ',');
	if (comma >= 0)
		value = str_from_at(value, (size_t)comma + 1);
	const char *blanks = " \t\r\n";
	struct str day = str_word(&value, blanks);
	if (day.len > 0 && ascii_is_alpha(day.ptr[0]))
		day = str_word(&value, blanks);
	struct str month = str_word(&value, blanks);
	struct str year = str_word(&value, blanks);
	struct str clock = str_word(&value, blanks);
	struct str zone_text = str_word(&value, blanks);
	if (!day_month_year(day, month, year, &at) || !time_of(clock, &seconds))
		return false;
	if (str_present(zone_text) && !zone_of(zone_text, &zone))
		zone = 0;
	*at_r = at + seconds - (int64_t)zone * 60;
	*zone_minutes_r = zone;
	return true;
}

bool imap_day_parse(struct str s, int64_t *at_r)
{
	struct str rest = s;
	struct str day = str_cut(&rest, '-');
	struct str month = str_cut(&rest, '-');

	return month.len == 3 && rest.len == 4 && day.len <= 2 &&
	       day_month_year(day, month, rest, at_r);
}

bool imap_date_parse(struct str s, int64_t *at_r)
{
	int64_t at, seconds;
	int zone;

	if (s.len > 0 && s.ptr[0] == ' ')
		s = str_from_at(s, 1);
	struct str date = str_cut(&s, ' ');
	struct str clock = str_cut(&s, ' ');
	if (!imap_day_parse(date, &at) || clock.len != 8 ||
		!time_of(clock, &seconds) || s.len != 5 || !zone_of(s, &zone))
		return false;
	*at_r = at + seconds - (int64_t)zone * 60;
	return true;
}

void internet_date_put(int64_t at, struct buf *out)
{
	struct tm tm = broken(at);

	buf_putf(out, "%04d-%02d-%02dT%02d:%02d:%02dZ", tm.tm_year + 1900,
		tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec);
}

/* "Z", "+hh:mm" or "-hh:mm" */
static bool internet_zone(struct str s, int64_t *seconds_r)
{
	uint64_t h, m;

	*seconds_r = 0;
	if (str_ieqc(s, "Z"))
		return true;
	if (s.len != 6 || (s.ptr[0] != '+' && s.ptr[0] != '-') ||
		s.ptr[3] != ':' || !str_u64(str_sub(s, 1, 2), &h) ||
		!str_u64(str_sub(s, 4, 2), &m) || h > 23 || m > 59)
		return false;
	*seconds_r = (int64_t)(h * 3600 + m * 60) * (s.ptr[0] == '-' ? -1 : 1);
	return true;
}

bool internet_date_parse(struct str s, int64_t *at_r)
{
	uint64_t year, month, day;
	int64_t seconds, zone;

	if (s.len < 20 || s.ptr[4] != '-' || s.ptr[7] != '-' ||
		ascii_upper(s.ptr[10]) != 'T' ||
		!str_u64(str_sub(s, 0, 4), &year) ||
		!str_u64(str_sub(s, 5, 2), &month) ||
		!str_u64(str_sub(s, 8, 2), &day) || month < 1 || month > 12 ||
		day < 1 || day > 31 || !time_of(str_sub(s, 11, 8), &seconds))
		return false;
	struct str rest = str_from_at(s, 19);
	if (rest.ptr[0] == '.') {
		size_t n = 1;

		while (n < rest.len && ascii_is_digit(rest.ptr[n]))
			n++;
		if (n == 1)
			return false;
		rest = str_from_at(rest, n);
	}
	if (!internet_zone(rest, &zone))
		return false;
	*at_r = days_of((int64_t)year, (unsigned)month, (unsigned)day) * 86400 +
		seconds - zone;
	return true;
}
