/*
 * judge_given_answer.c - pgw.judge_answer(): what pgw would make of an answer that a bank gives
 *
 * Owns nothing, writes nothing, sends nothing: for whoever writes a connector, with an answer out
 * of the bank's manual.  What is handed in may hold a card number: it goes into the result as pgw
 * would keep it, which is not at all, and into no error and no log.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"

#include "base/json_writer.h"
#include "core/bank_message/header_text.h"
#include "core/bank_message/judge_answer.h"
#include "core/bank_message/key_refused.h"
#include "core/bank_message/list_pages.h"
#include "core/base/money.h"
#include "operator_api/tool_arguments.h"
#include "sql_function/arguments.h"
#include "sql_function/check_access.h"
#include "sql_function/raise_error.h"
#include "sql_function/require_version.h"

PG_FUNCTION_INFO_V1(pgw_judge_answer_1_0);

#define MAX_DOCUMENT_BYTES (1024 * 1024) /* more of an answer is not read from a bank either */

/* What the call says. */
typedef struct Given
{
	const PgwConnector *connector;
	PgwQuestion question;
	bool any_reference; /* none was said: as the answer has it */
	bool any_currency;  /* likewise */
	bool any_mode;
	PgwGivenAnswer answer;
} Given;

typedef struct Judged
{
	PgwAnswer answer;
	PgwWhy why;
	char reference[256]; /* of the answer, taken for ours */
	bool key_refused;
	bool next_page; /* it is a page of a list of which pgw would ask for the next */
	bool mode_said;
	bool live;
} Judged;

/* ---------------------------------------------------------------- arguments */

static void
read_headers(const char *text, PgwGivenAnswer *answer, char **faults)
{
	PgwBuf lines;
	const char *fault;
	char value[256];

	if (text == NULL)
		return;
	pgw_buf_init(&lines, 0);
	fault = pgw_header_text_read(text, &lines);
	if (pgw_header_text_find(&lines, "Retry-After", value, sizeof(value)))
		answer->retry_after = pstrdup(value);
	answer->headers = pnstrdup(lines.len > 0 ? lines.data : "", lines.len);
	pgw_buf_free(&lines);
	if (fault != NULL)
		*faults = pgw_arg_fault(*faults, "headers", "invalid_format", fault);
}

static int
read_status(FunctionCallInfo fcinfo, char **faults)
{
	bool isnull;
	Datum d = pgw_arg(fcinfo, "status", &isnull);
	int status = isnull ? 0 : DatumGetInt32(d);

	if (isnull || status < 100 || status > 599)
		*faults = pgw_arg_fault(
			*faults, "status", isnull ? "required" : "out_of_range",
			"must be the answer's HTTP status, from 100 to 599; a request without an answer is always unknown");
	return status;
}

static void
read_currency(FunctionCallInfo fcinfo, Given *given, char **faults)
{
	char *code = pgw_arg_text(fcinfo, "currency");
	const PgwCurrency *currency = pgw_currency_find(code != NULL ? code : "EUR");

	if (currency == NULL)
	{
		*faults = pgw_arg_fault(*faults, "currency", "unknown_value",
								"must be a currency of ISO 4217, such as EUR");
		return;
	}
	given->any_currency = code == NULL;
	given->question.currency = currency->code;
	given->question.iso_exponent = currency->exponent;
}

_Noreturn static void
refuse(const char *faults)
{
	pgw_raise_invalid(
		"the answer cannot be judged", pgw_json_array_of(faults),
		"Correct the arguments that DETAIL names. pgw.judge_answer(connector, operation, status, headers, body) takes an answer as the bank gives it; it stores and sends nothing.");
}

static void
read_given(FunctionCallInfo fcinfo, Given *given)
{
	char *connector = pgw_arg_text(fcinfo, "connector");
	char *operation = pgw_arg_text(fcinfo, "operation");
	char *headers = pgw_arg_text(fcinfo, "headers");
	char *faults = NULL;
	Datum livemode;
	int op;

	memset(given, 0, sizeof(*given));
	given->answer.body = pgw_arg_text(fcinfo, "body");
	given->answer.len = given->answer.body != NULL ? strlen(given->answer.body) : 0;
	pgw_tool_document("body", given->answer.body, MAX_DOCUMENT_BYTES, &faults);
	pgw_tool_document("headers", headers, MAX_DOCUMENT_BYTES, &faults);
	pgw_tool_document("connector", connector, MAX_DOCUMENT_BYTES, &faults);
	if (faults != NULL)
		refuse(faults);
	given->connector = pgw_tool_connector(connector, &faults);
	op = pgw_tool_operation(given->connector, operation, &faults);
	given->answer.status = read_status(fcinfo, &faults);
	read_headers(headers, &given->answer, &faults);
	read_currency(fcinfo, given, &faults);
	livemode = pgw_arg(fcinfo, "livemode", &given->any_mode);
	given->question.livemode = !given->any_mode && DatumGetBool(livemode);
	given->question.transaction_ref = pgw_arg_text(fcinfo, "transaction_ref");
	given->question.original_ref = pgw_arg_text(fcinfo, "original_ref");
	given->question.bank_reference = pgw_arg_text(fcinfo, "bank_reference");
	given->question.operation_reference = pgw_arg_text(fcinfo, "operation_reference");
	given->any_reference = given->question.transaction_ref == NULL &&
						   given->question.original_ref == NULL &&
						   given->question.bank_reference == NULL;
	if (faults != NULL)
		refuse(faults);
	given->question.op = (PgwBankOp) op;
}

/* ---------------------------------------------------------------- judging */

static void
judge(const Given *given, const PgwQuestion *question, Judged *judged)
{
	pgw_buf_free(&judged->why.passed_over);
	pgw_connector_explain(given->connector, question, &given->answer, &judged->answer,
						  &judged->why);
}

/* The bank says of itself in which mode it is: then one of the two is the other one. */
static void
judge_mode(Given *given, Judged *judged)
{
	PgwQuestion other = given->question;
	Judged there = {.mode_said = false};

	other.livemode = !other.livemode;
	judge(given, &other, &there);
	judged->mode_said = judged->answer.other_mode != there.answer.other_mode;
	judged->live = judged->answer.other_mode ? other.livemode : given->question.livemode;
	pgw_buf_free(&there.why.passed_over);
	if (given->any_mode && judged->answer.other_mode)
	{
		given->question = other;
		judge(given, &other, judged);
	}
}

/*
 * What the caller has not said of the question is as the answer has it: reference, currency and
 * mode are the payment's, and whoever judges an example has none.
 */
static void
judge_as_asked(Given *given, Judged *judged)
{
	PgwQuestion *q = &given->question;
	const PgwCurrency *currency;

	memset(judged, 0, sizeof(*judged));
	judge(given, q, judged);
	if (given->any_reference && judged->why.reference[0] != '\0')
	{
		strlcpy(judged->reference, judged->why.reference, sizeof(judged->reference));
		q->transaction_ref = q->original_ref = judged->reference;
		judge(given, q, judged);
	}
	judge_mode(given, judged);
	currency = given->any_currency ? pgw_currency_find(judged->answer.currency) : NULL;
	if (currency != NULL)
	{
		q->currency = currency->code;
		q->iso_exponent = currency->exponent;
		judge(given, q, judged);
	}
	if (judged->answer.next_page[0] != '\0')
	{
		/* one page of several says nothing alone */
		PgwPages pages = {.n = 0};

		(void) pgw_pages_add(&pages, &judged->answer);
		judged->why.by = PGW_DECIDED_BY_DOUBT;
		judged->why.pointer[0] = '\0';
		judged->next_page = true;
	}
	judged->key_refused = pgw_secret_refused(q->op, given->answer.status, &judged->answer);
}

/* ---------------------------------------------------------------- what is said of it */

static void
put_text(PgwJsonWriter *w, const char *name, const char *value)
{
	if (value[0] != '\0')
		pgw_json_put_string(w, name, value);
}

static char *
fields_of(const Judged *j)
{
	const PgwAnswer *a = &j->answer;
	PgwJsonWriter w;

	pgw_json_begin(&w);
	pgw_json_begin_object(&w, NULL);
	put_text(&w, "bank_reference", a->bank_reference);
	put_text(&w, "capture_reference", a->capture_reference);
	put_text(&w, "authorization_code", a->authorization_code);
	if (a->has_amount)
		pgw_json_put_int(&w, "amount", a->amount);
	put_text(&w, "currency", a->currency);
	put_text(&w, "bank_code", a->bank_code);
	put_text(&w, "error_code", a->error_code);
	if (a->captured >= 0)
		pgw_json_put_int(&w, "captured", a->captured);
	if (a->refunded >= 0)
		pgw_json_put_int(&w, "refunded", a->refunded);
	if (a->has_voided)
		pgw_json_put_bool(&w, "voided", a->voided);
	put_text(&w, "card_brand", a->card_brand);
	put_text(&w, "card_last4", a->card_last4);
	if (j->mode_said)
		pgw_json_put_bool(&w, "livemode", j->live);
	if (a->retry_after_s >= 0)
		pgw_json_put_int(&w, "retry_after_seconds", a->retry_after_s);
	pgw_json_end_object(&w);
	return w.text.data;
}

static void
say(StringInfo s, bool holds, const char *sentence)
{
	if (holds)
		appendStringInfo(s, "%s%s", s->len > 0 ? " " : "", sentence);
}

/* Indexed by PgwDecidedBy. */
static const char *const decided_by[] = {
	"This rule is the first that fits.",
	"No rule fits, so nothing is known.",
	"The whole list is there, and no element of it is the one asked for.",
	"There is no list, or it goes on elsewhere, or two of its elements could be the one asked for.",
	"A rule shows a charge in an answer that is no success, and so no list.",
	"It names another reference than the question's, or none, so nothing of it counts.",
	"It shows a charge without an id, and two payments may have one reference here (references), so nothing of it counts.",
	"It is of the other mode (livemode), so nothing of it counts.",
	"The connector has no such operation.",
};

/* Would a capture, void or refund need the id that this approval does not have? */
static bool
lacks_id(const Given *given, const PgwAnswer *a)
{
	PgwBankOp op = given->question.op;

	return (op == PGW_OP_CHARGE || op == PGW_OP_AUTHORIZE) && a->outcome == PGW_OUT_APPROVED &&
		   a->bank_reference[0] == '\0' &&
		   (pgw_connector_needs_bank_reference(given->connector, PGW_OP_CAPTURE) ||
			pgw_connector_needs_bank_reference(given->connector, PGW_OP_VOID) ||
			pgw_connector_needs_bank_reference(given->connector, PGW_OP_REFUND) ||
			pgw_connector_needs_bank_reference(given->connector, PGW_OP_REVERSE));
}

static char *
because(const Given *given, const Judged *j)
{
	const PgwAnswer *a = &j->answer;
	StringInfoData s;

	initStringInfo(&s);
	say(&s, true, decided_by[j->why.by]);
	say(&s, a->other_mode && j->why.by != PGW_DECIDED_BY_MODE,
		"It is of the other mode (livemode): the payment fails with livemode_mismatch, and what was charged there is given back.");
	say(&s, j->next_page, "pgw would ask for its next page.");
	say(&s, j->reference[0] != '\0',
		"The reference that it names is taken for ours, as the call names none.");
	say(&s, given->any_reference && j->reference[0] == '\0' && pgw_op_is_lookup(given->question.op),
		"The call names no reference: of a look-up give original_ref (ours of the charge) or transaction_ref (ours of the refund).");
	say(&s, !j->why.headers_readable,
		"A header that the connector reads comes twice, or cannot be read, so nothing of the answer counts.");
	say(&s, !j->why.readable && j->why.headers_readable && given->answer.len == 0,
		"It has no body, so only rules with \"body\": \"empty\", or without \"when\", can fit.");
	say(&s, !j->why.readable && j->why.headers_readable && given->answer.len > 0,
		"The body cannot be read as a whole, so only rules without \"when\" can fit.");
	say(&s, lacks_id(given, a),
		"It approves without a bank_reference, which what follows needs: pgw looks it up, else cancels it, else a person decides.");
	say(&s, a->bank_reference_invalid, "What stands where the bank's id should be is none.");
	say(&s, a->amount_unreadable,
		"Its amount or currency cannot be read: what it approves is given back.");
	say(&s, a->charge_state_unreadable,
		"One of captured, refunded, voided and livemode cannot be read: pgw takes it for unknown.");
	say(&s, a->echoed, "What looks like card data was left out of the fields.");
	say(&s, j->key_refused, "It counts as a refusal of our key.");
	return s.data;
}

/*
 * pgw.judge_answer(connector, operation, status, headers, body, transaction_ref, original_ref,
 * bank_reference, currency, livemode): outcome, fields, rule, because, passed_over.
 */
Datum
pgw_judge_answer_1_0(PG_FUNCTION_ARGS)
{
	Given given;
	Judged judged;
	TupleDesc desc;
	Datum values[5];
	bool nulls[5] = {false};
	char *passed_over;

	pgw_require(GetUserId(), "operator", NULL);
	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE ||
		desc->natts != lengthof(values))
		elog(ERROR, "unexpected result type of pgw.judge_answer()");
	pgw_require_version();
	pgw_config_refresh(false);
	read_given(fcinfo, &given);
	judge_as_asked(&given, &judged);
	passed_over =
		psprintf("[%s]", judged.why.passed_over.len > 0 ? judged.why.passed_over.data : "");
	pgw_buf_free(&judged.why.passed_over);

	values[0] = CStringGetTextDatum(judged.answer.key_word != PGW_KEY_UNSAID
										? pgw_key_word_name(judged.answer.key_word)
										: pgw_outcome_name(judged.answer.outcome));
	values[1] = DirectFunctionCall1(jsonb_in, CStringGetDatum(fields_of(&judged)));
	nulls[2] = judged.why.pointer[0] == '\0';
	values[2] = nulls[2] ? (Datum) 0 : CStringGetTextDatum(judged.why.pointer);
	values[3] = CStringGetTextDatum(because(&given, &judged));
	values[4] = DirectFunctionCall1(jsonb_in, CStringGetDatum(passed_over));
	return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls));
}
