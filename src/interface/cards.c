/*
 * cards.c - refusals that keep card data out of logs and statistics
 *
 * Owns: setting pgw.reject_card_literals.
 * The text of a statement reaches pg_stat_activity, pg_stat_statements and the log before our code runs, and bound parameters reach the
 * log where the server is set so: both are refused before anything else is done with the card, so that a developer meets it in the
 * first test, not in an audit.  No error shows the number, the statement or its context.
 */
#include "postgres.h"

#include <ctype.h>

#include "tcop/tcopprot.h"
#include "utils/guc.h"

#include "compat.h"
#include "interface/cards.h"
#include "interface/raise.h"

static bool reject_card_literals = true;

void
pgw_cards_init(void)
{
	DefineCustomBoolVariable("pgw.reject_card_literals",
							 "Refuses calls whose statement text holds their own card number.",
							 NULL, &reject_card_literals, true, PGC_SUSET, 0, NULL, NULL, NULL);
}

/* Does text hold these digits, with at most a single blank or hyphen between two of them? */
static bool
holds_digits(const char *text, const char *digits, size_t n)
{
	for (const char *start = text; *start != '\0'; start++)
	{
		const char *p = start;
		size_t		i = 0;

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
in_statement(const char *card_number)
{
	char		digits[20];
	size_t		n = 0;
	bool		found;

	if (debug_query_string == NULL)
		return false;
	for (const char *p = card_number; *p != '\0'; p++)
	{
		if (isdigit((unsigned char) *p))
		{
			if (n >= sizeof(digits) - 1)
				return false;	/* no card number; validation says so */
			digits[n++] = *p;
		}
	}
	found = n >= 12 && holds_digits(debug_query_string, digits, n);
	explicit_bzero(digits, sizeof(digits));
	return found;
}

const char *
pgw_cards_logging_setting(const char **hint)
{
	const char *auto_explain;

	*hint = "Set log_parameter_max_length = 0 (for this role or database, or in postgresql.conf), so that bound parameters stay out of the log.";
	if (log_parameter_max_length != 0)
	{
		if (log_statement == LOGSTMT_ALL || log_statement == LOGSTMT_MOD)
			return "log_statement";
		if (log_min_duration_statement >= 0)
			return "log_min_duration_statement";
		if (log_min_duration_sample >= 0 && log_statement_sample_rate > 0)
			return "log_min_duration_sample";
		if (log_xact_sample_rate > 0)
			return "log_transaction_sample_rate";
	}
	if (log_parameter_max_length_on_error != 0)
	{
		*hint = "Set log_parameter_max_length_on_error = 0.";
		return "log_parameter_max_length_on_error";
	}

	/* Trees hold the parameters as constants, whatever log_parameter_max_length says. */
	if (Debug_print_parse || Debug_print_rewritten || Debug_print_plan)
	{
		*hint = "Set debug_print_parse, debug_print_rewritten and debug_print_plan to off.";
		return "debug_print_plan";
	}
	auto_explain = GetConfigOption("auto_explain.log_min_duration", true, false);
	if (auto_explain != NULL && atoi(auto_explain) >= 0)
	{
		*hint = "Set auto_explain.log_min_duration = -1 for this role or database: plans show parameters as constants.";
		return "auto_explain.log_min_duration";
	}
	return NULL;
}

void
pgw_cards_refuse(const PgwRequest *req)
{
	const char *setting;
	const char *hint;

	if (req->card_number == NULL && req->card_cvv == NULL)
		return;
	if (reject_card_literals && req->card_number != NULL && in_statement(req->card_number))
		pgw_raise_invalid("the request is not valid", psprintf("[%s]", pgw_arg_fault(NULL, "card_number", "card_number_in_statement", NULL)),
						  "Bind the card number as a parameter ($1) with the extended query protocol, and see that the driver does not put it into the text. "
						  "The number has reached the server's statistics and possibly its log: remove it there.");
	setting = pgw_cards_logging_setting(&hint);
	if (setting != NULL)
		pgw_raise_invalid("the request is not valid",
						  psprintf("[%s]", pgw_arg_fault(NULL, req->card_number != NULL ? "card_number" : "card_cvv", "card_parameters_logged",
													 psprintf("the server would write bound parameters, and with them card data, to its log: %s", setting))),
						  hint);
}
