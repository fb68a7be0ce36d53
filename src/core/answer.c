/*
 * answer.c - judge a bank's answer by the compiled rules, and take its fields out
 *
 * Invariants: never fails and never guesses - what cannot be read whole, or what no rule matches, is PGW_OUT_UNKNOWN; an
 * outcome that says something happened (approved, declined, requires_action, pending) or that nothing is there (not_found)
 * needs a body that could be read; an amount is exact or amount_bad; a text too long for its field counts as absent, because
 * half a reference names something else.  Owns all its memory and frees it before returning.
 */
#include "core/connector_internal.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/errors.h"
#include "core/money.h"

/* ---- reading the body ---- */

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/*
 * json-c, even when strict, takes 'x' for a string, NaN, Infinity, 1., -01.5 and line ends inside strings.  This looks for
 * just these; everything else is left to json-c.
 */
bool
pgw_json_strict(const char *s, size_t len)
{
	bool		in_string = false;
	bool		in_number = false;

	for (size_t i = 0; i < len; i++)
	{
		char		next = i + 1 < len ? s[i + 1] : '\0';

		if (in_string)
		{
			if ((unsigned char) s[i] < 0x20)
				return false;
			if (s[i] == '\\')
				i++;
			else if (s[i] == '"')
				in_string = false;
			continue;
		}
		if (s[i] == '\'' || s[i] == 'N' || s[i] == 'I' || (s[i] == '.' && !is_digit(next)))
			return false;
		if (!in_number && s[i] == '0' && is_digit(next))
			return false;
		in_string = s[i] == '"';
		in_number = is_digit(s[i]) || s[i] == '.' || (in_number && (s[i] == 'e' || s[i] == 'E' || s[i] == '+' || s[i] == '-'));
	}
	return !in_string;
}

/* The whole body as one JSON object or array; NULL: not readable. */
static json_object *
parse_body(const char *body, size_t len)
{
	json_tokener *tokener;
	json_object *doc;

	if (body == NULL)
		return NULL;
	while (len > 0 && (body[len - 1] == ' ' || body[len - 1] == '\n' || body[len - 1] == '\r' || body[len - 1] == '\t'))
		len--;
	if (len == 0 || len > PGW_ANSWER_MAX_BYTES || !pgw_json_strict(body, len))
		return NULL;
	tokener = json_tokener_new_ex(PGW_ANSWER_MAX_NESTING);
	if (tokener == NULL)
		return NULL;
	json_tokener_set_flags(tokener, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
	doc = json_tokener_parse_ex(tokener, body, (int) len);
	if (json_tokener_get_error(tokener) != json_tokener_success || json_tokener_get_parse_end(tokener) != len ||
		(!json_object_is_type(doc, json_type_object) && !json_object_is_type(doc, json_type_array)))
	{
		json_object_put(doc);
		doc = NULL;
	}
	json_tokener_free(tokener);
	return doc;
}

/* False: there is no such place. *v is NULL for a JSON null. */
static bool
follow(json_object *doc, const PgwPointer *pointer, json_object **v)
{
	*v = doc;
	for (int i = 0; i < pointer->nsteps; i++)
	{
		const char *step = pointer->steps[i];

		if (json_object_is_type(*v, json_type_object))
		{
			if (!json_object_object_get_ex(*v, step, v))
				return false;
		}
		else if (json_object_is_type(*v, json_type_array))
		{
			size_t		len = strlen(step);
			size_t		index;

			if (len < 1 || len > 6 || strspn(step, "0123456789") != len || (len > 1 && step[0] == '0'))
				return false;
			index = (size_t) strtoul(step, NULL, 10);
			if (index >= json_object_array_length(*v))
				return false;
			*v = json_object_array_get_idx(*v, index);
		}
		else
			return false;
	}
	return true;
}

/* json-c clamps what does not fit. */
static bool
read_integer(json_object *v, int64_t *result)
{
	if (!json_object_is_type(v, json_type_int))
		return false;
	*result = json_object_get_int64(v);
	if (*result == INT64_MIN || (*result == INT64_MAX && json_object_get_uint64(v) != (uint64_t) INT64_MAX))
		return false;
	/* 9223372036854775807 itself is indistinguishable from a clamped value in some json-c versions */
	return *result != INT64_MAX;
}

/* A text field; whole numbers count as text. False when absent or not fit to be kept. */
static bool
read_text(json_object *v, char *dst, size_t size, bool cut)
{
	const char *s;
	size_t		len;
	int64_t		number;

	dst[0] = '\0';
	if (!json_object_is_type(v, json_type_string) && !read_integer(v, &number))
		return false;
	if ((s = json_object_get_string(v)) == NULL)
		return false;
	len = strlen(s);
	if (json_object_is_type(v, json_type_string) && len != (size_t) json_object_get_string_len(v))
		return false;
	if (len == 0 || (len >= size && !cut))
		return false;
	for (size_t i = 0; i < len; i++)
	{
		if ((unsigned char) s[i] < 0x20 || s[i] == 0x7F)
			return false;
	}
	if (len >= size)
	{
		len = size - 1;
		while (len > 0 && ((unsigned char) s[len] & 0xC0) == 0x80)
			len--;				/* not inside a character */
	}
	memcpy(dst, s, len);
	dst[len] = '\0';
	return true;
}

/* ---- rules ---- */

static bool
scalar_equals(const PgwScalar *scalar, json_object *v)
{
	int64_t		number;

	if (json_object_get_type(v) != scalar->type)
		return false;
	switch (scalar->type)
	{
		case json_type_null:
			return true;
		case json_type_boolean:
			return json_object_get_boolean(v) == (json_bool) scalar->number;
		case json_type_int:
			return read_integer(v, &number) && number == scalar->number;
		default:
			return strlen(scalar->text) == (size_t) json_object_get_string_len(v) &&
				strcmp(scalar->text, json_object_get_string(v)) == 0;
	}
}

static bool
condition_holds(const PgwCondition *cond, json_object *doc)
{
	json_object *v;
	bool		there = follow(doc, &cond->pointer, &v);

	if (cond->exists_test)
		return there == cond->exists;
	for (int i = 0; there && i < cond->nvalues; i++)
	{
		if (scalar_equals(&cond->values[i], v))
			return true;
	}
	return false;
}

static bool
rule_matches(const PgwRule *rule, PgwOp op, long status, json_object *doc)
{
	bool		status_fits = false;

	for (int i = 0; i < rule->nstatuses; i++)
		status_fits |= status >= rule->statuses[i].from && status <= rule->statuses[i].to;
	if (!status_fits)
		return false;
	if (doc == NULL)
		return rule->nconditions == 0 &&
			(rule->outcome == PGW_OUT_UNKNOWN || rule->outcome == PGW_OUT_REJECTED ||
			 rule->outcome == PGW_OUT_NOT_PROCESSED || op == PGW_OP_PING);
	for (int i = 0; i < rule->nconditions; i++)
	{
		if (!condition_holds(&rule->conditions[i], doc))
			return false;
	}
	return true;
}

/* ---- amounts ---- */

/* In the bank's exponent; only plain, whole and not negative. */
static bool
read_amount(const PgwAnswerSpec *spec, json_object *v, int bank_exponent, int iso_exponent, int64_t *result)
{
	int64_t		amount;
	const char *s;

	if (spec->decimal)
	{
		if (!json_object_is_type(v, json_type_string) && !json_object_is_type(v, json_type_int) &&
			!json_object_is_type(v, json_type_double))
			return false;
		if (json_object_is_type(v, json_type_int) && !read_integer(v, &amount))
			return false;
		/* for a JSON number this is its text as it stood in the body */
		s = json_object_get_string(v);
		if (s == NULL || (json_object_is_type(v, json_type_string) && strlen(s) != (size_t) json_object_get_string_len(v)) ||
			!pgw_money_from_decimal(s, bank_exponent, &amount))
			return false;
	}
	else if (json_object_is_type(v, json_type_string))
	{
		s = json_object_get_string(v);
		if (strspn(s, "0123456789") != (size_t) json_object_get_string_len(v) || !pgw_money_from_decimal(s, 0, &amount))
			return false;
	}
	else if (!read_integer(v, &amount))
		return false;
	return amount >= 0 && pgw_money_rescale(amount, bank_exponent, iso_exponent, result);
}

static void
take_amounts(const PgwAnswerSpec *spec, json_object *doc, int bank_exponent, int iso_exponent, PgwAnswer *a)
{
	json_object *v;
	char		text[8];
	int64_t		n;

	if (spec->has_field[PGW_FIELD_AMOUNT] && follow(doc, &spec->fields[PGW_FIELD_AMOUNT], &v) && v != NULL)
	{
		a->has_amount = read_amount(spec, v, bank_exponent, iso_exponent, &a->amount);
		a->amount_bad = !a->has_amount;
		if (!a->has_amount)
			a->amount = 0;
	}
	if (spec->has_field[PGW_FIELD_CURRENCY] && follow(doc, &spec->fields[PGW_FIELD_CURRENCY], &v) && v != NULL)
	{
		bool		good = json_object_is_type(v, json_type_string) && read_text(v, text, sizeof(text), false) && strlen(text) == 3;

		for (int i = 0; good && i < 3; i++)
		{
			if (text[i] >= 'a' && text[i] <= 'z')
				text[i] = (char) (text[i] - 'a' + 'A');
			good = text[i] >= 'A' && text[i] <= 'Z';
		}
		if (good)
			memcpy(a->currency, text, 4);
		else
			a->amount_bad = true;	/* an amount of who knows what */
	}
	if (spec->has_field[PGW_FIELD_CAPTURED] && follow(doc, &spec->fields[PGW_FIELD_CAPTURED], &v) &&
		read_amount(spec, v, bank_exponent, iso_exponent, &n))
		a->captured = n;
	if (spec->has_field[PGW_FIELD_REFUNDED] && follow(doc, &spec->fields[PGW_FIELD_REFUNDED], &v) &&
		read_amount(spec, v, bank_exponent, iso_exponent, &n))
		a->refunded = n;
	if (spec->has_field[PGW_FIELD_VOIDED] && follow(doc, &spec->fields[PGW_FIELD_VOIDED], &v))
		a->voided = json_object_is_type(v, json_type_boolean) && json_object_get_boolean(v);
}

/* ---- texts and error codes ---- */

static bool
take_text(const PgwAnswerSpec *spec, json_object *doc, PgwField field, char *dst, size_t size)
{
	json_object *v;

	if (!spec->has_field[field] || !follow(doc, &spec->fields[field], &v))
		return false;
	return read_text(v, dst, size, field == PGW_FIELD_BANK_CODE);
}

static void
take_texts(const PgwAnswerSpec *spec, json_object *doc, PgwAnswer *a)
{
	json_object *v;

	if (!take_text(spec, doc, PGW_FIELD_BANK_REFERENCE, a->bank_reference, sizeof(a->bank_reference)))
		a->bank_reference_bad = spec->has_field[PGW_FIELD_BANK_REFERENCE] && follow(doc, &spec->fields[PGW_FIELD_BANK_REFERENCE], &v);
	take_text(spec, doc, PGW_FIELD_AUTHORIZATION_CODE, a->authorization_code, sizeof(a->authorization_code));
	take_text(spec, doc, PGW_FIELD_BANK_CODE, a->bank_code, sizeof(a->bank_code));
	take_text(spec, doc, PGW_FIELD_CARD_BRAND, a->card_brand, sizeof(a->card_brand));
	if (take_text(spec, doc, PGW_FIELD_CARD_LAST4, a->card_last4, sizeof(a->card_last4)) &&
		strspn(a->card_last4, "0123456789") != 4)
		a->card_last4[0] = '\0';
}

/* Why it was refused, in our words. The default is for declines: what else went wrong has its own codes elsewhere. */
static void
map_error(const PgwAnswerSpec *spec, PgwAnswer *a)
{
	const char *code = NULL;

	if (a->outcome != PGW_OUT_DECLINED && a->outcome != PGW_OUT_REQUIRES_ACTION && a->outcome != PGW_OUT_REJECTED)
		return;
	for (int i = 0; code == NULL && i < spec->nerrors; i++)
	{
		if (strcmp(spec->errors[i].bank_code, a->bank_code) == 0)
			code = spec->errors[i].error_code;
	}
	if (code == NULL && a->outcome == PGW_OUT_DECLINED)
		code = spec->default_error;
	if (code == NULL && a->outcome == PGW_OUT_REQUIRES_ACTION)
		code = "authentication_required";
	if (code != NULL && strlen(code) < sizeof(a->error_code))
		memcpy(a->error_code, code, strlen(code) + 1);
}

/* ---- Retry-After ---- */

static int
two_digits(const char *s)
{
	if (s[0] < '0' || s[0] > '9' || s[1] < '0' || s[1] > '9')
		return -1;
	return (s[0] - '0') * 10 + s[1] - '0';
}

/* "Sun, 06 Nov 1994 08:49:37 GMT", the one form that servers may send; without strptime(), which obeys the locale. */
static int
seconds_until(const char *s)
{
	static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	struct tm	tm = {0};
	const char *month = NULL;
	int			century;
	int			year;
	time_t		then;
	time_t		now = time(NULL);

	if (strlen(s) != 29 || s[3] != ',' || s[4] != ' ' || s[7] != ' ' || s[11] != ' ' || s[16] != ' ' ||
		s[19] != ':' || s[22] != ':' || strcmp(s + 25, " GMT") != 0)
		return -1;
	for (int i = 0; i < 12; i++)
	{
		if (memcmp(months + i * 3, s + 8, 3) == 0)
		{
			month = months + i * 3;
			tm.tm_mon = i;
		}
	}
	century = two_digits(s + 12);
	year = two_digits(s + 14);
	tm.tm_mday = two_digits(s + 5);
	tm.tm_hour = two_digits(s + 17);
	tm.tm_min = two_digits(s + 20);
	tm.tm_sec = two_digits(s + 23);
	if (month == NULL || century < 19 || year < 0 || tm.tm_mday < 1 || tm.tm_mday > 31 || tm.tm_hour < 0 ||
		tm.tm_hour > 23 || tm.tm_min < 0 || tm.tm_min > 59 || tm.tm_sec < 0 || tm.tm_sec > 60)
		return -1;
	tm.tm_year = century * 100 + year - 1900;
	then = timegm(&tm);
	if (then <= now)
		return 0;
	return then - now > PGW_RETRY_AFTER_MAX_S ? PGW_RETRY_AFTER_MAX_S : (int) (then - now);
}

static int
read_retry_after(const char *s)
{
	int			seconds = 0;

	if (s == NULL)
		return -1;
	while (*s == ' ' || *s == '\t')
		s++;
	if (*s < '0' || *s > '9')
		return seconds_until(s);
	for (; *s >= '0' && *s <= '9'; s++)
	{
		if (seconds <= PGW_RETRY_AFTER_MAX_S)
			seconds = seconds * 10 + (*s - '0');
	}
	while (*s == ' ' || *s == '\t')
		s++;
	if (*s != '\0')
		return -1;
	return seconds > PGW_RETRY_AFTER_MAX_S ? PGW_RETRY_AFTER_MAX_S : seconds;
}

void
pgw_connector_judge(const PgwConnector *c, PgwOp op, long http_status, const char *retry_after, const char *body, size_t len,
					const char *currency, int iso_exponent, PgwAnswer *a)
{
	const PgwAnswerSpec *spec;
	json_object *doc;

	memset(a, 0, sizeof(*a));
	a->outcome = a->subject = PGW_OUT_UNKNOWN;
	a->captured = a->refunded = -1;
	a->retry_after_s = read_retry_after(retry_after);
	if (!pgw_connector_has(c, op))
		return;
	spec = &c->ops[op].answer;
	doc = parse_body(body, len);
	for (int i = 0; i < spec->nrules; i++)
	{
		if (rule_matches(&spec->rules[i], op, http_status, doc))
		{
			a->outcome = spec->rules[i].outcome;
			break;
		}
	}
	if (doc != NULL)
	{
		take_texts(spec, doc, a);
		take_amounts(spec, doc, pgw_connector_exponent(c, currency, iso_exponent), iso_exponent, a);
	}
	map_error(spec, a);
	if ((op == PGW_OP_LOOKUP_CHARGE || op == PGW_OP_LOOKUP_REFUND) &&
		(a->outcome == PGW_OUT_APPROVED || a->outcome == PGW_OUT_DECLINED || a->outcome == PGW_OUT_REQUIRES_ACTION ||
		 a->outcome == PGW_OUT_PENDING))
		a->subject = a->outcome;
	json_object_put(doc);
}
