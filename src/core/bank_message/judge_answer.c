/*
 * judge_answer.c - judge a bank's answer by the compiled rules, and take its fields out
 *
 * Invariants: never fails and never guesses - what cannot be read whole, or what no rule matches,
 * is PGW_OUT_UNKNOWN; an outcome that says something happened (approved, declined, requires_action,
 * pending) or that nothing is there (not_found) needs a body that could be read; an answer that
 * names another reference than the question's is no answer to it, nor is one of the other mode,
 * unless it is to the charge itself; an amount is exact or amount_unreadable; nothing that repeats
 * the request's card or our key leaves this file (answer_echo.c).  Nothing here is kept.
 */
#include "core/bank_message/judge_answer.h"

#include <stdio.h>
#include <string.h>

#include "core/bank_message/answer_body.h"
#include "core/bank_message/answer_conditions.h"
#include "core/bank_message/answer_echo.h"
#include "core/bank_message/answer_fields.h"
#include "core/bank_message/answer_rules.h"
#include "core/bank_message/retry_after.h"
#include "core/base/error_codes.h"
#include "core/base/money.h"
#include "core/base/mutant.h"
#include "core/connector/compiled.h"

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
		   outcome == PGW_OUT_REQUIRES_ACTION || outcome == PGW_OUT_PENDING ||
		   outcome == PGW_OUT_ACCEPTED;
}

/*
 * A reference other than ours makes it the answer to another question, whatever it says.  A look-up
 * may come back with anything that the bank has (there are banks that ignore a parameter which they
 * do not know), so one that shows something must name ours; the answer to a request that does
 * something came on that request's own connection, and may leave it out.
 */
static bool
belongs(const PgwAnswerSpec *spec, const PgwQuestion *q, const PgwAnswerBody *doc,
		PgwOutcome outcome)
{
	const PgwFieldSource *source;
	const char *known = NULL;
	char text[1024];
	PgwJson v;

	if (PGW_MUTATED(REFERENCE_ECHO))
		return true;
	if (pgw_answer_field(spec, q, doc, PGW_FIELD_REFERENCE, &v))
		return pgw_answer_body_text(&v, text, sizeof(text), false) && is_ours(q, text);
	if (pgw_answer_field_is_cut_off(spec, q, doc, PGW_FIELD_REFERENCE))
		return false;
	/* a selection by it has looked at it */
	if (!is_lookup(q->op) || !shows_something(outcome) || spec->select.by_our_reference)
		return true;
	if (spec->has_field[PGW_FIELD_REFERENCE])
		return false;

	/*
	 * A bank that echoes no reference: then its own id of what is asked about, if we know it, has
	 * to be the same.
	 */
	if (q->op == PGW_OP_LOOKUP_CHARGE)
		known = q->bank_reference;
	else if (spec->by_own_id)
		known = q->operation_reference;
	if (known == NULL)
		return true;
	/* without either only where the connector admits that its bank names nothing */
	if ((source = pgw_answer_field(spec, q, doc, PGW_FIELD_BANK_REFERENCE, &v)) == NULL)
		return spec->not_echoed;
	return pgw_answer_id(source, &v, text, sizeof(text)) &&
		   (strcmp(text, known) == 0 || PGW_MUTATED(STRANGER_BY_ID));
}

/*
 * Where two payments may have one reference, it is the id that shows whose charge a look-up shows:
 * an id belongs to one payment (store/bank_references.c).
 */
static bool
lacks_its_id(const PgwConnector *c, const PgwQuestion *q, const PgwAnswer *a)
{
	bool by_id = c->lookup_by_id.present && q->bank_reference != NULL;

	return c->references.need_ids && !PGW_MUTATED(SHORT_REFERENCE) &&
		   q->op == PGW_OP_LOOKUP_CHARGE && !by_id && shows_something(a->outcome) &&
		   a->bank_reference[0] == '\0' && a->compared_reference[0] == '\0';
}

/* ---- real money, or a test? ---- */

/*
 * What the bank says of its own mode.  A value that nobody can read is neither: it may be the other
 * one, so what was done is as little known as with an amount that cannot be read.
 */
static void
take_mode(const PgwAnswerSpec *spec, const PgwQuestion *q, const PgwAnswerBody *doc, PgwAnswer *a)
{
	bool live = false;
	bool test = false;

	if (PGW_MUTATED(ANSWER_MODE) ||
		(!pgw_answer_says_mode(spec, q, doc, &live, &test) &&
		 !pgw_answer_field_is_cut_off(spec, q, doc, PGW_FIELD_LIVEMODE)))
		return;
	a->charge_state_unreadable |= !live && !test;
	a->other_mode = q->livemode ? test : live;
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
	else if (pgw_json_type(v) == PGW_JSON_STRING &&
			 pgw_answer_body_text(v, text, sizeof(text), false))
		good = (spec->decimal || strspn(text, "0123456789") == strlen(text)) &&
			   pgw_money_from_decimal(text, spec->decimal ? bank_exponent : 0, &amount);
	else
		good = false;
	return good && amount >= 0 && pgw_money_rescale(amount, bank_exponent, iso_exponent, result);
}

/* One element that cannot be read is not nothing: then there is no sum. */
static bool
add_up(const PgwAnswerSpec *spec, PgwSumElements *sum, int bank_exponent, int iso_exponent,
	   int64_t *result)
{
	PgwJson v;
	int64_t n;

	*result = 0;
	while (pgw_answer_next_of_sum(sum, &v))
	{
		if (!read_amount(spec, &v, bank_exponent, iso_exponent, &n) ||
			__builtin_add_overflow(*result, n, result))
			return false;
	}
	return sum->known;
}

/* Some amounts, less others: each must be there, and the difference cannot be negative. */
static bool
take_total(const PgwAnswerSpec *spec, const PgwAnswerBody *doc, const PgwFieldSource *source,
		   int bank_exponent, int iso_exponent, int64_t *result)
{
	*result = 0;
	for (int i = 0; i < source->ntotal + source->nless; i++)
	{
		PgwJson v;
		int64_t n;

		if (!pgw_answer_body_follow(doc, &source->parts[i], &v) ||
			!read_amount(spec, &v, bank_exponent, iso_exponent, &n) ||
			__builtin_add_overflow(*result, i < source->ntotal ? n : -n, result))
			return false;
	}
	return *result >= 0;
}

/* What banks write of what was not taken ("", "-", "n/a", "0,00") has no such digit. */
static bool
has_digits(const PgwJson *v)
{
	for (size_t i = 0; i < v->len; i++)
	{
		if (v->text[i] >= '1' && v->text[i] <= '9')
			return true;
	}
	return false;
}

/* The field is not there, and all the same something is said of it. */
static bool
is_unclear(const PgwAnswerSpec *spec, const PgwQuestion *q, const PgwAnswerBody *doc,
		   PgwAnswerField field)
{
	return pgw_answer_field_is_unforeseen(spec, q, doc, field) ||
		   pgw_answer_field_is_cut_off(spec, q, doc, field);
}

/* -1: not there, or not readable, which is told apart. */
static int64_t
take_shown_amount(const PgwAnswerSpec *spec, const PgwQuestion *q, const PgwAnswerBody *doc,
				  PgwAnswerField field, int bank_exponent, int iso_exponent, PgwAnswer *a)
{
	const PgwFieldSource *source;
	PgwJson v;
	int64_t n;

	source = pgw_answer_field(spec, q, doc, field, &v);
	if (source == NULL)
	{
		a->charge_state_unreadable |= is_unclear(spec, q, doc, field);
		return -1;
	}
	if (source->kind == PGW_SOURCE_SUM)
	{
		PgwSumElements sum = {.source = source, .question = q, .body = doc, .list = &v};

		if (add_up(spec, &sum, bank_exponent, iso_exponent, &n))
			return n;
	}
	else if (source->kind == PGW_SOURCE_TOTAL)
	{
		if (take_total(spec, doc, source, bank_exponent, iso_exponent, &n))
			return n;
	}
	else if (read_amount(spec, &v, bank_exponent, iso_exponent, &n))
		return n;
	a->charge_state_unreadable = true;
	a->captured_garbled |= !PGW_MUTATED(CAPTURED_GARBLED) && field == PGW_FIELD_CAPTURED &&
						   source->kind == PGW_SOURCE_PLACE && has_digits(&v);
	return -1;
}

/* below_zero: whether it was, and the amount without its sign; NULL: none may be. */
static void
take_amount(const PgwAnswerSpec *spec, const PgwQuestion *q, const PgwAnswerBody *doc,
			int bank_exponent, int iso_exponent, bool *below_zero, PgwAnswer *a)
{
	PgwJson v;

	if (pgw_answer_field(spec, q, doc, PGW_FIELD_AMOUNT, &v) == NULL)
	{
		a->amount_unreadable |= pgw_answer_field_is_cut_off(spec, q, doc, PGW_FIELD_AMOUNT);
		return;
	}
	if (below_zero != NULL && pgw_json_type(&v) == PGW_JSON_NUMBER && v.text[0] == '-')
	{
		*below_zero = true;
		v = (PgwJson){.text = v.text + 1, .len = v.len - 1};
	}
	a->has_amount = read_amount(spec, &v, bank_exponent, iso_exponent, &a->amount);
	if (!a->has_amount)
	{
		a->amount = 0;
		a->amount_unreadable = true;
	}
}

static void
take_currency(const PgwAnswerSpec *spec, const PgwQuestion *q, const PgwAnswerBody *doc,
			  PgwAnswer *a)
{
	PgwJson v;
	char text[8];
	bool good;

	if (pgw_answer_field(spec, q, doc, PGW_FIELD_CURRENCY, &v) == NULL)
	{
		if (pgw_answer_field_is_cut_off(spec, q, doc, PGW_FIELD_CURRENCY))
			a->currency_unreadable = a->amount_unreadable = true;
		return;
	}
	good = pgw_json_type(&v) == PGW_JSON_STRING &&
		   pgw_answer_body_text(&v, text, sizeof(text), false) && strlen(text) == 3;
	for (int i = 0; good && i < 3; i++)
	{
		if (text[i] >= 'a' && text[i] <= 'z')
			text[i] = (char) (text[i] - 'a' + 'A');
		good = text[i] >= 'A' && text[i] <= 'Z';
	}
	if (good)
		memcpy(a->currency, text, 4);
	else if (!PGW_MUTATED(CURRENCY_UNREADABLE))
		a->currency_unreadable = a->amount_unreadable = true; /* an amount of who knows what */
}

void
pgw_answer_own_amount(const PgwConnector *c, const PgwAnswerSpec *spec, const PgwQuestion *q,
					  const PgwAnswerBody *doc, bool *below_zero, PgwAnswer *a)
{
	const PgwCurrency *currency;
	PgwJson v;

	take_currency(spec, q, doc, a);
	currency = pgw_currency_find(a->currency);
	if (currency != NULL)
		take_amount(spec, q, doc, pgw_connector_exponent(c, a->currency, currency->exponent),
					currency->exponent, below_zero, a);
	else
		a->amount_unreadable |= pgw_answer_field(spec, q, doc, PGW_FIELD_AMOUNT, &v) != NULL ||
								pgw_answer_field_is_cut_off(spec, q, doc, PGW_FIELD_AMOUNT);
}

/* How its amounts are written follows from the currency that it names, else from the asked one. */
static void
take_amounts(const PgwConnector *c, const PgwAnswerSpec *spec, const PgwQuestion *q,
			 const PgwAnswerBody *doc, PgwAnswer *a)
{
	const PgwCurrency *named;
	int iso_exponent;
	int bank_exponent;
	PgwJson v;

	take_currency(spec, q, doc, a);
	named = PGW_MUTATED(ASKED_EXPONENT) ? NULL : pgw_currency_find(a->currency);
	iso_exponent = named != NULL ? named->exponent : q->iso_exponent;
	bank_exponent =
		pgw_connector_exponent(c, named != NULL ? named->code : q->currency, iso_exponent);
	take_amount(spec, q, doc, bank_exponent, iso_exponent, NULL, a);
	a->captured =
		take_shown_amount(spec, q, doc, PGW_FIELD_CAPTURED, bank_exponent, iso_exponent, a);
	a->refunded =
		take_shown_amount(spec, q, doc, PGW_FIELD_REFUNDED, bank_exponent, iso_exponent, a);
	if (pgw_answer_field(spec, q, doc, PGW_FIELD_VOIDED, &v))
	{
		a->has_voided = pgw_json_type(&v) == PGW_JSON_BOOLEAN;
		a->voided = a->has_voided && pgw_json_is_true(&v);
		a->charge_state_unreadable |= !a->has_voided;
	}
	/* a state that the connector does not know may hold anything */
	a->currency_unreadable |= pgw_answer_field_is_unforeseen(spec, q, doc, PGW_FIELD_CURRENCY);
	a->amount_unreadable |=
		pgw_answer_field_is_unforeseen(spec, q, doc, PGW_FIELD_AMOUNT) || a->currency_unreadable;
	a->charge_state_unreadable |= is_unclear(spec, q, doc, PGW_FIELD_VOIDED);
}

/* ---- texts and error codes ---- */

static bool
take_text(const PgwAnswerSpec *spec, const PgwQuestion *q, const PgwAnswerBody *doc,
		  PgwAnswerField field, char *dst, size_t size)
{
	PgwJson v;

	return pgw_answer_field(spec, q, doc, field, &v) &&
		   pgw_answer_body_text(&v, dst, size, field == PGW_FIELD_BANK_CODE);
}

/*
 * An id is taken whole or not at all: half an id, or what the bank writes where it has none, would
 * name something else.
 */
static bool
take_id(const PgwConnector *c, const PgwAnswerSpec *spec, const PgwQuestion *q,
		const PgwAnswerBody *doc, PgwAnswerField field, char *id, size_t size)
{
	PgwJson v;
	const PgwFieldSource *source = pgw_answer_field(spec, q, doc, field, &v);
	bool good =
		source != NULL && pgw_answer_id(source, &v, id, size) && id[strspn(id, " ")] != '\0';

	for (int i = 0; good && i < c->nnot_ids; i++)
		good = strcmp(id, c->not_ids[i]) != 0;
	if (!good)
		id[0] = '\0';
	return good;
}

static void
take_ids(const PgwConnector *c, const PgwAnswerSpec *spec, const PgwQuestion *q,
		 const PgwAnswerBody *doc, PgwAnswer *a)
{
	(void) take_id(c, spec, q, doc, PGW_FIELD_CAPTURE_REFERENCE, a->capture_reference,
				   sizeof(a->capture_reference));
	if (!take_id(c, spec, q, doc, PGW_FIELD_BANK_REFERENCE, a->bank_reference,
				 sizeof(a->bank_reference)))
		a->bank_reference_invalid = spec->has_field[PGW_FIELD_BANK_REFERENCE] &&
									pgw_answer_stands_there(spec, q, doc, PGW_FIELD_BANK_REFERENCE);
}

static void
take_texts(const PgwConnector *c, const PgwAnswerSpec *spec, const PgwQuestion *q,
		   const PgwAnswerBody *doc, PgwAnswer *a)
{
	take_ids(c, spec, q, doc, a);
	take_text(spec, q, doc, PGW_FIELD_AUTHORIZATION_CODE, a->authorization_code,
			  sizeof(a->authorization_code));
	take_text(spec, q, doc, PGW_FIELD_BANK_CODE, a->bank_code, sizeof(a->bank_code));
	take_text(spec, q, doc, PGW_FIELD_CARD_BRAND, a->card_brand, sizeof(a->card_brand));
	if (take_text(spec, q, doc, PGW_FIELD_CARD_LAST4, a->card_last4, sizeof(a->card_last4)) &&
		strspn(a->card_last4, "0123456789") != 4)
		a->card_last4[0] = '\0';
}

static void
set_error(const char *code, PgwAnswer *a)
{
	if (strlen(code) < sizeof(a->error_code))
		memcpy(a->error_code, code, strlen(code) + 1);
}

/*
 * Why it was refused, in our words. The default is for declines: what else went wrong has its own
 * codes elsewhere.
 */
static void
map_error(const PgwAnswerSpec *spec, PgwAnswer *a)
{
	const char *code = NULL;

	/* the rule itself has said it */
	if (a->error_code[0] != '\0')
		return;
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
	if (code != NULL)
		set_error(code, a);
}

/* Nothing of it is kept: it is somebody else's.  But that it repeats the card is not forgotten. */
static void
drop_answer(PgwAnswer *a)
{
	int retry_after_s = a->retry_after_s;
	bool card_echoed = a->card_echoed;
	bool other_mode = a->other_mode;
	int http_status = a->http_status;

	explicit_bzero(a, sizeof(*a));
	a->outcome = PGW_OUT_UNKNOWN;
	a->http_status = http_status;
	a->captured = a->refunded = -1;
	a->retry_after_s = retry_after_s;
	a->echoed = a->card_echoed = card_echoed;
	a->other_reference = true;
	a->other_mode = other_mode;
}

static bool
is_success(long http_status)
{
	return http_status >= 200 && http_status <= 299;
}

/*
 * Only a successful answer is a list, of which the element that was asked for takes the place of
 * the whole; and where the connector says what success looks like (there are banks that say 200 of
 * errors, too, with an empty list), only one that looks so.  Anything else, and what cannot be
 * read, is left to the rules as it is.
 */
static bool
is_list(const PgwSelect *select, const PgwQuestion *q, long http_status, const PgwAnswerBody *doc)
{
	return select->present && is_success(http_status) &&
		   pgw_json_type(&doc->value) != PGW_JSON_NONE &&
		   (pgw_answer_conditions_hold(select->when, select->nwhen, q, doc) ||
			PGW_MUTATED(SELECT_WHEN));
}

/* Where in the document it was decided, for whoever asks. */
static void
decided(PgwWhy *why, PgwDecidedBy by, const PgwAnswerSpec *spec, const char *part)
{
	if (why == NULL)
		return;
	why->by = by;
	why->pointer[0] = '\0';
	if (part != NULL)
		snprintf(why->pointer, sizeof(why->pointer), "%s%s", spec->pointer, part);
}

static void
judge_by_rules(const PgwAnswerSpec *spec, const PgwQuestion *q, long http_status,
			   const PgwAnswerBody *doc, bool list, PgwAnswer *a, PgwWhy *why)
{
	int rule = pgw_answer_first_rule(spec, q, http_status, doc, why);
	char part[32];

	if (rule < 0)
	{
		decided(why, PGW_DECIDED_BY_NO_RULE, spec, NULL);
		return;
	}
	snprintf(part, sizeof(part), "/rules/%d", rule);
	decided(why, PGW_DECIDED_BY_RULE, spec, part);
	a->outcome = spec->rules[rule].outcome;
	a->key_word = spec->rules[rule].key_word;
	if (spec->rules[rule].error_code != NULL)
		set_error(spec->rules[rule].error_code, a);

	/* where the answer is a list, an error is about the question, not about a charge */
	if (spec->select.present && !list && shows_something(a->outcome))
	{
		decided(why, PGW_DECIDED_BY_ERROR, spec, part);
		a->outcome = PGW_OUT_UNKNOWN;
	}
}

static void
judge_outcome(const PgwAnswerSpec *spec, const PgwQuestion *q, long http_status, PgwAnswerBody *doc,
			  PgwAnswer *a, PgwWhy *why)
{
	bool list = is_list(&spec->select, q, http_status, doc);
	PgwAnswerBody whole = *doc;
	PgwPicked picked =
		list ? pgw_answer_pick(&spec->select, q, &whole, doc, a->next_page) : PGW_PICKED_ONE;

	a->of_list = list && picked != PGW_PICKED_DOUBT;
	a->element = list && picked == PGW_PICKED_ONE;
	if (picked == PGW_PICKED_ONE)
	{
		judge_by_rules(spec, q, http_status, doc, list, a, why);
		return;
	}
	/* nothing of a list is taken for a field of what is not, or not surely, in it */
	pgw_answer_body_make_unreadable(doc);
	if (picked == PGW_PICKED_NONE)
		a->outcome = PGW_OUT_NOT_FOUND;
	decided(why, picked == PGW_PICKED_NONE ? PGW_DECIDED_BY_ABSENCE : PGW_DECIDED_BY_DOUBT, spec,
			"/select");
}

/* An answer to another question says nothing to this one. */
static void
judge_whose(const PgwConnector *c, const PgwAnswerSpec *spec, const PgwQuestion *q,
			const PgwAnswerBody *doc, PgwAnswer *a, PgwWhy *why)
{
	bool ours = belongs(spec, q, doc, a->outcome);
	bool nobodys = ours && lacks_its_id(c, q, a);

	if (ours && !nobodys && (!a->other_mode || q->op == PGW_OP_CHARGE || q->op == PGW_OP_AUTHORIZE))
		return;
	if (nobodys)
		decided(why, PGW_DECIDED_BY_NO_ID, spec, "/fields/bank_reference");
	else if (ours)
		decided(why, PGW_DECIDED_BY_MODE, spec, "/fields/livemode");
	else
	{
		decided(why, PGW_DECIDED_BY_REFERENCE, spec,
				spec->has_field[PGW_FIELD_REFERENCE] ? "/fields/reference" : "");
		if (why != NULL)
			(void) take_text(spec, q, doc, PGW_FIELD_REFERENCE, why->reference,
							 sizeof(why->reference));
	}
	drop_answer(a);
}

/* With its headers: of one that has some that cannot be read nothing is known either. */
static void
read_answer(const PgwConnector *c, const PgwAnswerSpec *spec, const PgwGivenAnswer *given,
			PgwAnswerHeaders *headers, PgwAnswerBody *doc)
{
	pgw_answer_body_read(given->body, given->len, spec->form, doc);
	if (pgw_answer_headers_read(c, spec->headers, given->headers, headers))
		doc->headers = headers;
	else
		pgw_answer_body_make_unreadable(doc);
}

static void
judge(const PgwConnector *c, const PgwQuestion *question, const PgwGivenAnswer *given, PgwAnswer *a,
	  PgwWhy *why)
{
	char references[2][PGW_REFERENCE_SIZE];
	PgwQuestion as_told = *question;
	const PgwQuestion *q = &as_told;
	const PgwAnswerSpec *spec;
	PgwAnswerHeaders headers;
	PgwAnswerBody doc;

	memset(a, 0, sizeof(*a));
	a->outcome = PGW_OUT_UNKNOWN;
	a->http_status = (int) given->status;
	a->captured = a->refunded = -1;
	a->retry_after_s = pgw_retry_after_read(given->retry_after, PGW_RETRY_AFTER_MAX_S);
	if (!pgw_connector_has(c, q->op))
		return;
	/* the bank names what it was told */
	as_told.transaction_ref = pgw_connector_reference(c, q->transaction_ref, references[0]);
	as_told.original_ref = pgw_connector_reference(c, q->original_ref, references[1]);
	spec = &pgw_compiled_op(c, q->op, q->bank_reference)->answer;
	read_answer(c, spec, given, &headers, &doc);
	if (why != NULL)
	{
		why->readable = pgw_json_type(&doc.value) != PGW_JSON_NONE;
		why->headers_readable = doc.headers != NULL;
	}
	judge_outcome(spec, q, given->status, &doc, a, why);
	take_texts(c, spec, q, &doc, a);
	take_amounts(c, spec, q, &doc, a);
	map_error(spec, a);
	take_mode(spec, q, &doc, a);
	pgw_answer_leave_out_echo(q, spec, c->caps.unchecked_unionpay, &doc, a);
	judge_whose(c, spec, q, &doc, a, why);
	pgw_answer_body_end(&doc);
	pgw_answer_headers_end(&headers);
}

void
pgw_connector_judge(const PgwConnector *c, const PgwQuestion *q, const PgwGivenAnswer *given,
					PgwAnswer *a)
{
	judge(c, q, given, a, NULL);
}

void
pgw_connector_explain(const PgwConnector *c, const PgwQuestion *q, const PgwGivenAnswer *given,
					  PgwAnswer *a, PgwWhy *why)
{
	memset(why, 0, sizeof(*why));
	pgw_buf_init(&why->passed_over, 0);
	why->by = PGW_DECIDED_BY_NO_OPERATION;
	why->headers_readable = true;
	judge(c, q, given, a, why);
}
