/*
 * judge_answer.c - judge a bank's answer by the compiled rules, and take its fields out
 *
 * Invariants: never fails and never guesses - what cannot be read whole, or what no rule matches,
 * is PGW_OUT_UNKNOWN; an outcome that says something happened (approved, declined, requires_action,
 * pending) or that nothing is there (not_found) needs a body that could be read; an answer that
 * names another reference than the question's is no answer to it; an amount is exact or
 * amount_unreadable; a text too long for its field counts as absent, because half a reference names
 * something else; nothing that repeats the request's card or our key leaves this file.  Nothing
 * here is kept.
 */
#include "core/bank_message/judge_answer.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/bank_message/echo_memory.h"
#include "core/bank_message/retry_after.h"
#include "core/base/error_codes.h"
#include "core/base/money.h"
#include "core/base/mutant.h"
#include "core/connector/compiled.h"
#include "core/json/json_text.h"

/* ---- reading the body ---- */

/*
 * The whole body as one JSON object or array, and its members, if it is an object; without a value:
 * not readable.
 */
typedef struct Body
{
	PgwJson value;
	PgwJsonMembers members;
	const char *text; /* as it came; NULL: nothing came */
	size_t len;
} Body;

static void
parse_body(const char *text, size_t len, Body *body)
{
	body->text = text;
	body->len = len;
	if (text == NULL || len > PGW_ANSWER_MAX_BYTES ||
		pgw_json_read(text, len, PGW_ANSWER_MAX_NESTING, &body->value) != PGW_JSON_GOOD ||
		(pgw_json_type(&body->value) != PGW_JSON_OBJECT &&
		 pgw_json_type(&body->value) != PGW_JSON_ARRAY))
		body->value = (PgwJson){NULL, 0};
	pgw_json_members(&body->value, &body->members);
}

/* False: there is no such place. */
static bool
follow(const Body *doc, const PgwPointer *pointer, PgwJson *v)
{
	*v = doc->value;
	for (int i = 0; i < pointer->nsteps; i++)
	{
		const char *step = pointer->steps[i];
		PgwJson inner;

		if (pgw_json_type(v) == PGW_JSON_OBJECT)
		{
			if (!(i == 0 ? pgw_json_find(&doc->members, step, &inner)
						 : pgw_json_member(v, step, &inner)))
				return false;
		}
		else if (pgw_json_type(v) == PGW_JSON_ARRAY)
		{
			size_t len = strlen(step);

			if (len < 1 || len > 6 || strspn(step, "0123456789") != len ||
				(len > 1 && step[0] == '0') ||
				!pgw_json_element(v, (size_t) strtoul(step, NULL, 10), &inner))
				return false;
		}
		else
			return false;
		*v = inner;
	}
	return pgw_json_type(v) != PGW_JSON_NONE;
}

/* The field's value; false: the connector names none, it is not there, or it is null. */
static bool
find_field(const PgwAnswerSpec *spec, const Body *doc, PgwAnswerField field, PgwJson *v)
{
	return spec->has_field[field] && follow(doc, &spec->fields[field], v) &&
		   pgw_json_type(v) != PGW_JSON_NULL;
}

/* Digits that stand for a number are its text, too, however many: an id of 25 digits is one. */
static bool
is_text(const PgwJson *v)
{
	if (pgw_json_type(v) == PGW_JSON_STRING)
		return true;
	return pgw_json_type(v) == PGW_JSON_NUMBER && memchr(v->text, '.', v->len) == NULL &&
		   memchr(v->text, 'e', v->len) == NULL && memchr(v->text, 'E', v->len) == NULL;
}

/* A text field; whole numbers count as text. False when not fit to be kept. */
static bool
read_text(const PgwJson *v, char *dst, size_t size, bool cut)
{
	size_t len;

	dst[0] = '\0';
	if (!is_text(v))
		return false;
	len = pgw_json_text(v, dst, size);
	if (len >= size && !cut)
		len = 0;
	if (len >= size)
	{
		len = size - 1;
		while (len > 0 && ((unsigned char) dst[len] & 0xC0) == 0x80)
			len--; /* not inside a character */
	}
	for (size_t i = 0; i < len; i++)
	{
		if ((unsigned char) dst[i] < 0x20 || dst[i] == 0x7F)
			len = 0;
	}
	dst[len] = '\0';
	return len > 0;
}

/* ---- rules ---- */

static bool
scalar_equals(const PgwScalar *scalar, const PgwJson *v)
{
	char text[256];
	size_t len;
	int64_t number;

	switch (scalar->type)
	{
		case json_type_null:
			return pgw_json_type(v) == PGW_JSON_NULL;
		case json_type_boolean:
			return pgw_json_type(v) == PGW_JSON_BOOLEAN &&
				   pgw_json_is_true(v) == (scalar->number != 0);
		case json_type_int:
			return pgw_json_integer(v, 0, &number) && number == scalar->number;
		default:
			if (pgw_json_type(v) != PGW_JSON_STRING)
				return false;
			len = pgw_json_text(v, text, sizeof(text));
			return len <= sizeof(text) && len == strlen(scalar->text) &&
				   memcmp(text, scalar->text, len) == 0;
	}
}

static bool
condition_holds(const PgwCondition *cond, const Body *doc)
{
	PgwJson v;
	bool there = follow(doc, &cond->pointer, &v);

	if (cond->exists_test)
		return there == cond->exists;
	for (int i = 0; there && i < cond->nvalues; i++)
	{
		if (scalar_equals(&cond->values[i], &v))
			return true;
	}
	return false;
}

static bool
rule_matches(const PgwRule *rule, PgwBankOp op, long status, const Body *doc)
{
	bool status_fits = false;

	for (int i = 0; i < rule->nstatuses; i++)
		status_fits |= status >= rule->statuses[i].from && status <= rule->statuses[i].to;
	if (!status_fits)
		return false;
	if (pgw_json_type(&doc->value) == PGW_JSON_NONE)
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

/* ---- does it belong to the question? ---- */

/* One that the bank was given, perhaps with something of its own or the connector's around it. */
static bool
holds_reference(const char *text, const char *reference)
{
	return reference != NULL && *reference != '\0' && strcasestr(text, reference) != NULL;
}

/* What of the request's references an answer to this operation may name. */
static bool
is_ours(const PgwQuestion *q, const char *text)
{
	switch (q->op)
	{
		case PGW_OP_CHARGE:
		case PGW_OP_AUTHORIZE:
		case PGW_OP_LOOKUP_REFUND:
			return holds_reference(text, q->transaction_ref);
		case PGW_OP_LOOKUP_CHARGE:
			return holds_reference(text, q->original_ref);
		default:
			return holds_reference(text, q->transaction_ref) ||
				   holds_reference(text, q->original_ref);
	}
}

static bool
is_lookup(PgwBankOp op)
{
	return op == PGW_OP_LOOKUP_CHARGE || op == PGW_OP_LOOKUP_REFUND;
}

/* Does it say how a charge or refund stands? */
static bool
shows_something(PgwOutcome outcome)
{
	return outcome == PGW_OUT_APPROVED || outcome == PGW_OUT_DECLINED ||
		   outcome == PGW_OUT_REQUIRES_ACTION || outcome == PGW_OUT_PENDING;
}

/*
 * A reference other than ours makes it the answer to another question, whatever it says.  A look-up
 * may come back with anything that the bank has (there are banks that ignore a parameter which they
 * do not know), so one that shows something must name ours; the answer to a request that does
 * something came on that request's own connection, and may leave it out.
 */
static bool
belongs(const PgwAnswerSpec *spec, const PgwQuestion *q, const Body *doc, PgwOutcome outcome)
{
	char text[1024];
	PgwJson v;

	if (PGW_MUTATED(REFERENCE_ECHO))
		return true;
	if (find_field(spec, doc, PGW_FIELD_REFERENCE, &v))
		return read_text(&v, text, sizeof(text), false) && is_ours(q, text);
	if (!is_lookup(q->op) || !shows_something(outcome))
		return true;
	if (spec->has_field[PGW_FIELD_REFERENCE])
		return false;

	/*
	 * A bank that echoes no reference: then its own id of the charge, if we know it, has to be the
	 * same.
	 */
	if (q->op != PGW_OP_LOOKUP_CHARGE || q->bank_reference == NULL ||
		!find_field(spec, doc, PGW_FIELD_BANK_REFERENCE, &v))
		return true;
	return read_text(&v, text, sizeof(text), false) && strcmp(text, q->bank_reference) == 0;
}

/* ---- amounts ---- */

/* In the bank's exponent; only plain, whole and not negative. */
static bool
read_amount(const PgwAnswerSpec *spec, const PgwJson *v, int bank_exponent, int iso_exponent,
			int64_t *result)
{
	int64_t amount = 0;
	char text[64];
	bool good;

	/* a number counts by its value, 5000.0 and 5E+3 alike; a text by how it is written */
	if (pgw_json_type(v) == PGW_JSON_NUMBER)
		good = pgw_json_integer(v, spec->decimal ? bank_exponent : 0, &amount);
	else if (pgw_json_type(v) == PGW_JSON_STRING && read_text(v, text, sizeof(text), false))
		good = (spec->decimal || strspn(text, "0123456789") == strlen(text)) &&
			   pgw_money_from_decimal(text, spec->decimal ? bank_exponent : 0, &amount);
	else
		good = false;
	return good && amount >= 0 && pgw_money_rescale(amount, bank_exponent, iso_exponent, result);
}

/* -1: not there, or not readable, which is told apart. */
static int64_t
take_shown_amount(const PgwAnswerSpec *spec, const Body *doc, PgwAnswerField field,
				  int bank_exponent, int iso_exponent, PgwAnswer *a)
{
	PgwJson v;
	int64_t n;

	if (!find_field(spec, doc, field, &v))
		return -1;
	if (read_amount(spec, &v, bank_exponent, iso_exponent, &n))
		return n;
	a->charge_state_unreadable = true;
	return -1;
}

static void
take_amounts(const PgwAnswerSpec *spec, const Body *doc, int bank_exponent, int iso_exponent,
			 PgwAnswer *a)
{
	PgwJson v;
	char text[8];

	if (find_field(spec, doc, PGW_FIELD_AMOUNT, &v))
	{
		a->has_amount = read_amount(spec, &v, bank_exponent, iso_exponent, &a->amount);
		a->amount_unreadable = !a->has_amount;
		if (!a->has_amount)
			a->amount = 0;
	}
	if (find_field(spec, doc, PGW_FIELD_CURRENCY, &v))
	{
		bool good = pgw_json_type(&v) == PGW_JSON_STRING &&
					read_text(&v, text, sizeof(text), false) && strlen(text) == 3;

		for (int i = 0; good && i < 3; i++)
		{
			if (text[i] >= 'a' && text[i] <= 'z')
				text[i] = (char) (text[i] - 'a' + 'A');
			good = text[i] >= 'A' && text[i] <= 'Z';
		}
		if (good)
			memcpy(a->currency, text, 4);
		else
			a->amount_unreadable = true; /* an amount of who knows what */
	}
	a->captured = take_shown_amount(spec, doc, PGW_FIELD_CAPTURED, bank_exponent, iso_exponent, a);
	a->refunded = take_shown_amount(spec, doc, PGW_FIELD_REFUNDED, bank_exponent, iso_exponent, a);
	if (find_field(spec, doc, PGW_FIELD_VOIDED, &v))
	{
		a->has_voided = pgw_json_type(&v) == PGW_JSON_BOOLEAN;
		a->voided = a->has_voided && pgw_json_is_true(&v);
		a->charge_state_unreadable |= !a->has_voided;
	}
}

/* ---- texts and error codes ---- */

static bool
take_text(const PgwAnswerSpec *spec, const Body *doc, PgwAnswerField field, char *dst, size_t size)
{
	PgwJson v;

	return find_field(spec, doc, field, &v) &&
		   read_text(&v, dst, size, field == PGW_FIELD_BANK_CODE);
}

/*
 * An id is taken whole or not at all: half an id, or what the bank writes where it has none, would
 * name something else.
 */
static void
take_bank_reference(const PgwConnector *c, const PgwAnswerSpec *spec, const Body *doc, PgwAnswer *a)
{
	bool good = take_text(spec, doc, PGW_FIELD_BANK_REFERENCE, a->bank_reference,
						  sizeof(a->bank_reference)) &&
				a->bank_reference[strspn(a->bank_reference, " ")] != '\0';
	PgwJson v;

	for (int i = 0; good && i < c->nnot_ids; i++)
		good = strcmp(a->bank_reference, c->not_ids[i]) != 0;
	if (good)
		return;
	a->bank_reference[0] = '\0';
	a->bank_reference_invalid = spec->has_field[PGW_FIELD_BANK_REFERENCE] &&
								follow(doc, &spec->fields[PGW_FIELD_BANK_REFERENCE], &v);
}

static void
take_texts(const PgwConnector *c, const PgwAnswerSpec *spec, const Body *doc, PgwAnswer *a)
{
	take_bank_reference(c, spec, doc, a);
	take_text(spec, doc, PGW_FIELD_AUTHORIZATION_CODE, a->authorization_code,
			  sizeof(a->authorization_code));
	take_text(spec, doc, PGW_FIELD_BANK_CODE, a->bank_code, sizeof(a->bank_code));
	take_text(spec, doc, PGW_FIELD_CARD_BRAND, a->card_brand, sizeof(a->card_brand));
	if (take_text(spec, doc, PGW_FIELD_CARD_LAST4, a->card_last4, sizeof(a->card_last4)) &&
		strspn(a->card_last4, "0123456789") != 4)
		a->card_last4[0] = '\0';
}

/*
 * Why it was refused, in our words. The default is for declines: what else went wrong has its own
 * codes elsewhere.
 */
static void
map_error(const PgwAnswerSpec *spec, PgwAnswer *a)
{
	const char *code = NULL;

	if (a->outcome != PGW_OUT_DECLINED && a->outcome != PGW_OUT_REQUIRES_ACTION &&
		a->outcome != PGW_OUT_REJECTED)
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

/* ---- what it repeats of ours ---- */

#define ECHO_BYTES \
	4096 /* of a text that is kept in part: what is further on does not reach into the part */
#define BODY_BYTES 32768 /* of an answer that are searched for what must be remembered */

/* What an answer must not repeat. */
typedef struct Echo
{
	PgwSought sought;
	PgwEchoMemory memory;
} Echo;

/* Does the text repeat anything?  Notes whether that would be seen in a later answer, too. */
static bool
repeats(const Echo *echo, PgwTextKind kind, const char *text, size_t len, PgwAnswer *a)
{
	if (pgw_card_in_text(&echo->sought, kind, text, len) == PGW_FOUND_NOTHING)
		return false;
	a->echoed = true;
	a->card_echoed |= pgw_echo_memory_in_text(&echo->memory, kind, text, len);
	return true;
}

/*
 * The whole text as the bank sent it, because the part of it that is kept may hold all digits of a
 * number but the last.
 */
static void
hide_text(const Echo *echo, const PgwAnswerSpec *spec, const Body *doc, PgwAnswerField field,
		  char *dst, size_t size, PgwAnswer *a)
{
	char text[ECHO_BYTES];
	size_t len;
	PgwJson v;

	if (dst[0] == '\0' || !find_field(spec, doc, field, &v))
		return;
	len = pgw_json_text(&v, text, sizeof(text));
	if (repeats(echo, PGW_TEXT_VALUE, text, len < sizeof(text) ? len : sizeof(text), a))
		explicit_bzero(dst, size);
	explicit_bzero(text, sizeof(text));
}

/* No amount has so many digits; a card number has. */
static bool
hides_card(const Echo *echo, int64_t amount, PgwAnswer *a)
{
	char digits[24];

	snprintf(digits, sizeof(digits), "%" PRId64, amount);
	return repeats(echo, PGW_TEXT_ID, digits, strlen(digits), a);
}

static void
drop_amount(PgwAnswer *a)
{
	a->has_amount = false;
	a->amount_unreadable = true;
	a->amount = 0;
}

static void
hide_amounts(const Echo *echo, PgwAnswer *a)
{
	if (a->has_amount && hides_card(echo, a->amount, a))
		drop_amount(a);
	if (hides_card(echo, a->captured, a))
		a->captured = -1;
	if (hides_card(echo, a->refunded, a))
		a->refunded = -1;
}

static void
blank_out(char *text, const char *reference)
{
	char *at = reference != NULL && *reference != '\0' ? strcasestr(text, reference) : NULL;

	if (at != NULL)
		memset(at, ' ', strlen(reference));
}

/*
 * In one of the connector's fields, whatever stands there: too long, of another type, or not kept
 * at all.  In an amount the digits of the security code are an amount; around our reference they
 * are not.
 */
static bool
field_says_it(const PgwEchoMemory *memory, const PgwQuestion *q, PgwAnswerField field,
			  const PgwJson *v)
{
	PgwTextKind kind =
		field == PGW_FIELD_AMOUNT || field == PGW_FIELD_CAPTURED || field == PGW_FIELD_REFUNDED
			? PGW_TEXT_ID
			: PGW_TEXT_VALUE;
	char text[ECHO_BYTES + 1];
	size_t len;
	bool found;

	if (pgw_json_type(v) != PGW_JSON_STRING)
		return pgw_echo_memory_in_json(memory, kind, v->text,
									   v->len < ECHO_BYTES ? v->len : ECHO_BYTES);
	len = pgw_json_text(v, text, sizeof(text));
	if (len > ECHO_BYTES)
		len = ECHO_BYTES;
	text[len] = '\0';
	blank_out(text, q->transaction_ref);
	blank_out(text, q->original_ref);
	found = pgw_echo_memory_in_text(memory, kind, text, len);
	explicit_bzero(text, sizeof(text));
	return found;
}

/*
 * Anywhere in the answer, also where nothing is kept of it.  Outside of the connector's fields the
 * security code counts only beside a word for it, because other codes have three digits, too, and
 * names do not count: many banks show the holder of a payment in a place of its own.
 */
static bool
body_says_it(const PgwEchoMemory *memory, const Body *doc)
{
	size_t len = doc->len < BODY_BYTES ? doc->len : BODY_BYTES;
	PgwEchoMemory no_names = *memory;

	memset(no_names.gone.words, 0, sizeof(no_names.gone.words));
	return pgw_echo_memory_in_json(&no_names, PGW_TEXT_ID, doc->text, len) ||
		   (pgw_json_type(&doc->value) == PGW_JSON_NONE &&
			pgw_echo_memory_in_text(memory, PGW_TEXT_ID, doc->text, len));
}

/* What no later answer would be seen to repeat is looked for in the whole of this one. */
static void
remember(const PgwEchoMemory *memory, const PgwQuestion *q, const PgwAnswerSpec *spec,
		 const Body *doc, PgwAnswer *a)
{
	PgwJson v;

	if (!memory->needed || PGW_MUTATED(ECHO_UNKEPT))
		return;
	for (int i = 0; i < PGW_NFIELDS && !a->card_echoed; i++)
		a->card_echoed = find_field(spec, doc, (PgwAnswerField) i, &v) &&
						 field_says_it(memory, q, (PgwAnswerField) i, &v);
	if (!a->card_echoed && doc->text != NULL)
		a->card_echoed = body_says_it(memory, doc);
	a->echoed |= a->card_echoed;
}

/*
 * An id that repeats what it must not is none: the approval is found out, given back or reviewed as
 * one without an id.  Banks' ids are often long numbers, of which some look like a card's; so a
 * look-alike counts there only if it ends like the card that was charged.
 */
static void
hide_echo(const PgwQuestion *q, const PgwAnswerSpec *spec, const Body *doc, PgwAnswer *a)
{
	Echo of_text = {.sought = q->sought != NULL ? *q->sought : (PgwSought){NULL}};
	Echo of_id = of_text;
	char last4[5];

	if (PGW_MUTATED(ECHO))
		return;
	memcpy(last4, a->card_last4, sizeof(last4)); /* may be hidden itself */
	if (of_id.sought.last4 == NULL || of_id.sought.last4[0] == '\0')
		of_id.sought.last4 = last4;
	of_text.sought.last4 = NULL;
	pgw_echo_memory_begin(&of_id.memory, q->sought, q->sought_later, of_id.sought.last4);
	of_text.memory = of_id.memory;
	hide_text(&of_id, spec, doc, PGW_FIELD_BANK_REFERENCE, a->bank_reference,
			  sizeof(a->bank_reference), a);
	a->bank_reference_invalid |= a->echoed;
	hide_text(&of_text, spec, doc, PGW_FIELD_AUTHORIZATION_CODE, a->authorization_code,
			  sizeof(a->authorization_code), a);
	hide_text(&of_text, spec, doc, PGW_FIELD_BANK_CODE, a->bank_code, sizeof(a->bank_code), a);
	hide_text(&of_text, spec, doc, PGW_FIELD_CARD_BRAND, a->card_brand, sizeof(a->card_brand), a);
	hide_text(&of_text, spec, doc, PGW_FIELD_CARD_LAST4, a->card_last4, sizeof(a->card_last4), a);
	hide_amounts(&of_text, a);
	remember(&of_id.memory, q, spec, doc, a);
}

#define CARD_AMOUNT INT64_C(1000000000000) /* thirteen digits: no card number has fewer */

/*
 * An earlier answer about this charge repeated the card, in a way that cannot be seen any more: no
 * text of this one is kept, nor an amount that could be a card number.  Its id serves only to see
 * whose charge it is about.
 */
static void
keep_no_texts(PgwAnswer *a)
{
	if (PGW_MUTATED(CARD_ECHOED))
		return;
	if (a->bank_reference[0] != '\0')
	{
		memcpy(a->compared_reference, a->bank_reference, sizeof(a->compared_reference));
		a->bank_reference_invalid = true;
	}
	explicit_bzero(a->bank_reference, sizeof(a->bank_reference));
	explicit_bzero(a->authorization_code, sizeof(a->authorization_code));
	explicit_bzero(a->bank_code, sizeof(a->bank_code));
	explicit_bzero(a->card_brand, sizeof(a->card_brand));
	explicit_bzero(a->card_last4, sizeof(a->card_last4));
	if (a->has_amount && a->amount >= CARD_AMOUNT)
		drop_amount(a);
	if (a->captured >= CARD_AMOUNT)
		a->captured = -1;
	if (a->refunded >= CARD_AMOUNT)
		a->refunded = -1;
}

/* Nothing of it is kept: it is somebody else's.  But that it repeats the card is not forgotten. */
static void
drop_answer(PgwAnswer *a)
{
	int retry_after_s = a->retry_after_s;
	bool card_echoed = a->card_echoed;

	explicit_bzero(a, sizeof(*a));
	a->outcome = PGW_OUT_UNKNOWN;
	a->captured = a->refunded = -1;
	a->retry_after_s = retry_after_s;
	a->echoed = a->card_echoed = card_echoed;
	a->other_reference = true;
}

void
pgw_connector_judge(const PgwConnector *c, const PgwQuestion *q, long http_status,
					const char *retry_after, const char *body, size_t len, PgwAnswer *a)
{
	const PgwAnswerSpec *spec;
	Body doc;

	memset(a, 0, sizeof(*a));
	a->outcome = PGW_OUT_UNKNOWN;
	a->captured = a->refunded = -1;
	a->retry_after_s = pgw_retry_after_read(retry_after);
	if (!pgw_connector_has(c, q->op))
		return;
	spec = &c->ops[q->op].answer;
	parse_body(body, len, &doc);
	for (int i = 0; i < spec->nrules; i++)
	{
		if (rule_matches(&spec->rules[i], q->op, http_status, &doc))
		{
			a->outcome = spec->rules[i].outcome;
			break;
		}
	}
	take_texts(c, spec, &doc, a);
	take_amounts(spec, &doc, pgw_connector_exponent(c, q->currency, q->iso_exponent),
				 q->iso_exponent, a);
	map_error(spec, a);
	hide_echo(q, spec, &doc, a);
	if (q->card_echoed)
		keep_no_texts(a);
	if (!belongs(spec, q, &doc, a->outcome))
		drop_answer(a);
}
