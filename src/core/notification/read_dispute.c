/*
 * read_dispute.c - what a notification says of a dispute
 *
 * Invariants: what is too long for its place, cannot be read, or holds a card's number is absent;
 * an amount stands beside its currency, or is none.
 */
#include "core/notification/read_dispute.h"

#include <string.h>
#include <time.h>

#include "core/bank_message/answer_conditions.h"
#include "core/bank_message/answer_fields.h"
#include "core/bank_message/judge_answer.h"
#include "core/notification/said_text.h"

/* ---- times ---- */

/* Two digits, and what stands behind them (0: anything); -1: none. */
static int
two(const char *s, char behind)
{
	if (s[0] < '0' || s[0] > '9' || s[1] < '0' || s[1] > '9' || (behind != 0 && s[2] != behind))
		return -1;
	return (s[0] - '0') * 10 + s[1] - '0';
}

/* "Z", "+01:00", "+0100"; false: neither */
static bool
read_offset(const char *s, int *seconds)
{
	int hours;
	int minutes;

	*seconds = 0;
	if (strcmp(s, "Z") == 0)
		return true;
	if ((s[0] != '+' && s[0] != '-') || (strlen(s) != 5 && strlen(s) != 6))
		return false;
	hours = two(s + 1, 0);
	minutes = strlen(s) == 6 ? (s[3] == ':' ? two(s + 4, 0) : -1) : two(s + 3, 0);
	*seconds = (hours * 60 + minutes) * 60 * (s[0] == '-' ? -1 : 1);
	return hours >= 0 && hours < 24 && minutes >= 0 && minutes < 60;
}

int64_t
pgw_iso_time_read(const char *s)
{
	struct tm tm = {0};
	int century;
	int year;
	int offset;
	int64_t t;

	if (strlen(s) < 20 || s[10] != 'T')
		return 0;
	century = two(s, 0);
	year = two(s + 2, '-');
	tm.tm_mon = two(s + 5, '-') - 1;
	tm.tm_mday = two(s + 8, 'T');
	tm.tm_hour = two(s + 11, ':');
	tm.tm_min = two(s + 14, ':');
	tm.tm_sec = two(s + 17, 0);
	if (century < 19 || year < 0 || tm.tm_mon < 0 || tm.tm_mon > 11 || tm.tm_mday < 1 ||
		tm.tm_mday > 31 || tm.tm_hour < 0 || tm.tm_hour > 23 || tm.tm_min < 0 || tm.tm_min > 59 ||
		tm.tm_sec < 0 || tm.tm_sec > 60)
		return 0;
	tm.tm_year = century * 100 + year - 1900;
	s += 19;
	if (*s == '.')
		s += 1 + strspn(s + 1, "0123456789");
	if (!read_offset(s, &offset))
		return 0;
	t = (int64_t) timegm(&tm) - offset;
	return t > 0 ? t : 0;
}

#define LATEST INT64_C(253402300799) /* of the year 9999 */

/* Unix seconds, or as ISO 8601 has it. */
static int64_t
read_time(const PgwAnswerBody *body, const PgwPointer *place)
{
	PgwJson v;
	char text[64];
	int64_t t;

	if (!pgw_answer_body_follow(body, place, &v))
		return 0;
	if (pgw_json_type(&v) == PGW_JSON_NUMBER)
		return pgw_json_integer(&v, 0, &t) && t > 0 && t <= LATEST ? t : 0;
	return pgw_answer_body_text(&v, text, sizeof(text), false) ? pgw_iso_time_read(text) : 0;
}

/* ---- money ---- */

/* Without its sign, if it has one; *below_zero is set then.  False: there is one, unreadable. */
static bool
read_money(const PgwConnector *c, const PgwAnswerSpec *spec, const PgwAnswerBody *body,
		   bool *below_zero, PgwSaidMoney *out)
{
	PgwQuestion nothing = {.op = PGW_OP_LOOKUP_CHARGE};
	PgwAnswer said = {.has_amount = false};

	pgw_answer_own_amount(c, spec, &nothing, body, below_zero, &said);
	out->there = said.has_amount && !said.amount_unreadable;
	out->amount = out->there ? said.amount : 0;
	if (out->there)
		memcpy(out->currency, said.currency, sizeof(out->currency));
	return !said.amount_unreadable;
}

/*
 * In the merchant's account: banks write what was taken with a sign, or without one.  What the sign
 * says otherwise than the step was not that step's.
 */
static void
read_moved(const PgwConnector *c, const PgwMovedSpec *spec, const PgwAnswerBody *body, bool taken,
		   PgwSaidDispute *out)
{
	bool below_zero = false;

	if (!spec->present)
		return;
	out->moved_unreadable = !read_money(c, &spec->amount, body, &below_zero, &out->moved);
	out->moved_backwards = below_zero && !taken;
	if (spec->has_fee)
		(void) read_money(c, &spec->fee, body, NULL, &out->fee);
}

/* ---- the dispute ---- */

static unsigned
steps_of(const PgwDisputeSpec *spec, const PgwAnswerBody *body)
{
	PgwQuestion nothing = {.op = PGW_OP_LOOKUP_CHARGE};

	for (int i = 0; i < spec->nrules; i++)
	{
		if (pgw_answer_conditions_hold(spec->rules[i].when, spec->rules[i].nwhen, &nothing, body))
			return spec->rules[i].steps;
	}
	return 0;
}

static bool
has(unsigned steps, bool (*moves)(PgwDisputeStep))
{
	for (int i = 0; i < PGW_NDISPUTE_STEPS; i++)
	{
		if ((steps & PGW_DISPUTE_BIT(i)) != 0 && moves((PgwDisputeStep) i))
			return true;
	}
	return false;
}

void
pgw_dispute_read(const PgwConnector *c, const PgwAnswerBody *body, char *bank_reference,
				 size_t bank_reference_size, char *reference, size_t reference_size,
				 PgwSaidDispute *out)
{
	const PgwDisputeSpec *spec = &c->notifications.disputes;

	memset(out, 0, sizeof(*out));
	out->steps = steps_of(spec, body);
	if (out->steps == 0)
		return;
	pgw_said_id(body, &spec->id, out->id, sizeof(out->id));
	pgw_said_field(&spec->said, body, PGW_FIELD_BANK_REFERENCE, bank_reference,
				   bank_reference_size);
	pgw_said_field(&spec->said, body, PGW_FIELD_REFERENCE, reference, reference_size);
	(void) read_money(c, &spec->said, body, NULL, &out->amount);
	if (has(out->steps, pgw_dispute_step_takes))
		read_moved(c, &spec->withdrawn, body, true, out);
	else if (has(out->steps, pgw_dispute_step_returns))
		read_moved(c, &spec->reinstated, body, false, out);
	if (spec->has_deadline)
		out->deadline = read_time(body, &spec->deadline);
	if (spec->has_reason)
		pgw_said_place(body, &spec->reason, out->reason, sizeof(out->reason));
}
