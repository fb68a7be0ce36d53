/*
 * card_refusals.c - refusals that keep card data out of logs and statistics
 *
 * Owns: setting pgw.reject_card_literals; the words of the refusals. The text of a statement
 * reaches pg_stat_activity, pg_stat_statements and the log before our code runs, and bound
 * parameters reach the log where the server is set so: both are refused before anything else is
 * done with the card, so that a developer meets it in the first test, not in an audit.  No error
 * shows the number, the statement or its context. card_literals.c looks at calls before they run;
 * here is the look at run time: does the number stand in the statement, or in what PL/pgSQL and its
 * like would write as the CONTEXT of an error (the texts of EXECUTE, at any nesting)?  That finds
 * what came through a function of the caller's own.
 */
#include "postgres.h"

#include <ctype.h>

#include "pgstat.h"
#include "tcop/tcopprot.h"
#include "utils/backend_status.h"
#include "utils/elog.h"
#include "utils/guc.h"

#include "base/compat.h"
#include "base/json_writer.h"
#include "card_guard/card_loggers.h"
#include "card_guard/card_refusals.h"
#include "card_guard/log_redaction.h"
#include "core/card/token_object.h"
#include "sql_function/raise_error.h"

static bool reject_card_literals = true;

void
pgw_cards_init(void)
{
	DefineCustomBoolVariable(
		"pgw.reject_card_literals",
		"Refuses calls whose card number, CVV or holder stands in the text of a statement.", NULL,
		&reject_card_literals, true, PGC_SUSET, 0, NULL, NULL, NULL);
}

/* What of a payment must not stand in the texts that the server may log. */
typedef struct Sought
{
	char digits[20]; /* of a card's number */
	size_t ndigits;
	const char *words[PGW_TOKEN_WORDS]; /* of a token that is an object */
	int nwords;
} Sought;

/* Does text hold these digits, with at most a single blank or hyphen between two of them? */
static bool
holds_digits(const char *text, const char *digits, size_t n)
{
	for (const char *start = text; *start != '\0'; start++)
	{
		const char *p = start;
		size_t i = 0;

		while (i < n && *p == digits[i])
		{
			i++;
			p++;
			if (i < n && (*p == ' ' || *p == '-') && isdigit((unsigned char) p[1]))
				p++;
		}
		if (i == n)
			return true;
	}
	return false;
}

static bool
holds(const char *text, const Sought *sought)
{
	if (sought->ndigits > 0 && holds_digits(text, sought->digits, sought->ndigits))
		return true;
	for (int i = 0; i < sought->nwords; i++)
	{
		if (strstr(text, sought->words[i]) != NULL)
			return true;
	}
	return false;
}

/* In the statement, or in the context of the call: a function's own statements stand there. */
static bool
in_texts(const Sought *sought)
{
	bool found = debug_query_string != NULL && holds(debug_query_string, sought);
	char *context = NULL;

	if (!found && error_context_stack != NULL && (context = GetErrorContextStack()) != NULL)
	{
		found = holds(context, sought);
		explicit_bzero(context, strlen(context));
		pfree(context);
	}
	return found;
}

static bool
number_in_texts(const char *card_number)
{
	Sought sought = {.ndigits = 0};
	bool found;

	for (const char *p = card_number; *p != '\0'; p++)
	{
		if (isdigit((unsigned char) *p))
		{
			if (sought.ndigits >= sizeof(sought.digits) - 1)
				return false; /* no card number; validation says so */
			sought.digits[sought.ndigits++] = *p;
		}
	}
	found = sought.ndigits >= 12 && in_texts(&sought);
	explicit_bzero(&sought, sizeof(sought));
	return found;
}

/* Does one of the object's longer strings stand there?  By that a literal of it is told. */
static bool
object_in_texts(const char *token)
{
	Size size = strlen(token) + 1;
	Sought sought = {.ndigits = 0};
	char *room;
	bool found;

	if (size > PGW_MAX_TOKEN_OBJECT_BYTES + 1)
		return false; /* validation says so */
	room = palloc(size);
	sought.nwords = pgw_token_object_words(token, room, size, sought.words, PGW_TOKEN_WORDS);
	found = in_texts(&sought);
	explicit_bzero(room, size);
	pfree(room);
	return found;
}

bool
pgw_cards_reject_literals(void)
{
	return reject_card_literals;
}

void
pgw_cards_refuse_literal(const char *faults)
{
	/*
	 * The statement stays there until the next one: others could read it, and a crash would log it.
	 */
	pgstat_report_activity(STATE_RUNNING, "(not shown by pgw: card data stood in the text)");

	/* errhidecontext() hides it from the log only. */
	error_context_stack = NULL;
	pgw_raise_invalid(
		"card data stands in the text of a statement", pgw_json_array_of(faults),
		"Send it as a parameter ($1) of the extended query protocol, and see that the driver does not put it into the text (docs/clients.md); inside of functions, "
		"pass it as a variable, with EXECUTE ... USING. Nothing was sent. The text may have reached the client's own logs, and the server's statistics: remove it there.");
}

void
pgw_cards_refuse_logging(const char *field)
{
	const char *hint;
	const char *setting = pgw_loggers_refused(&hint);

	if (setting == NULL)
		return;
	pgw_raise_invalid(
		"the request is not valid",
		pgw_json_array_of(pgw_arg_fault(
			NULL, field, "card_parameters_logged",
			psprintf(
				"the server would write bound parameters, and with them card data, to its log: %s",
				setting))),
		hint);
}

void
pgw_cards_refuse(const PgwPaymentArgs *args)
{
	bool object = pgw_token_is_object(args->token);

	if (args->card_number == NULL && args->card_cvv == NULL && !object)
		return;
	pgw_log_redaction_watch();
	if (reject_card_literals && object && object_in_texts(args->token))
		pgw_cards_refuse_literal(pgw_arg_fault(NULL, "token", "card_literal", NULL));
	if (reject_card_literals && args->card_number != NULL && number_in_texts(args->card_number))
		pgw_cards_refuse_literal(pgw_arg_fault(NULL, "card_number", "card_literal", NULL));
	pgw_cards_refuse_logging(args->card_number != NULL ? "card_number"
							 : args->card_cvv != NULL  ? "card_cvv"
													   : "token");
}
