/*
 * choose_bank.c - which bank takes a payment: the first by priority that can, and the next one
 * after it.  Real and test banks never stand in for each other.
 *
 * Owns: nothing.  It asks the configuration in use (bank_config.c).
 */
#include "postgres.h"

#include "lib/stringinfo.h"
#include "utils/guc.h"

#include "bank/bank_config.h"
#include "bank/choose_bank.h"
#include "core/base/error_codes.h"
#include "core/base/money.h"
#include "core/base/mutant.h"
#include "core/card/card_checks.h"
#include "core/card/token_object.h"

bool pgw_test_mode = false;

void
pgw_choose_bank_init(void)
{
	DefineCustomBoolVariable("pgw.test_mode",
							 "Payments go to banks for tests only (pgw.banks.livemode is false).",
							 "A superuser sets it for a database or for a role that logs in.",
							 &pgw_test_mode, false, PGC_SUSET, 0, NULL, NULL, NULL);
}

static bool
takes_currency(const PgwBank *b, const char *currency)
{
	if (b->currencies == NULL)
		return true;
	for (char **c = b->currencies; *c != NULL; c++)
	{
		if (strcmp(*c, currency) == 0)
			return true;
	}
	return false;
}

bool
pgw_config_takes_amount(const PgwBank *b, int64 amount, const char *currency)
{
	const PgwCurrency *c = pgw_currency_find(currency);
	int64_t converted;

	return c != NULL &&
		   pgw_connector_amount(b->connector, currency, c->exponent, amount, &converted);
}

/* What would have been refused before, were there no cards without a check digit. */
static bool
is_unchecked(const char *number)
{
	size_t len = number != NULL ? strlen(number) : 0;

	return pgw_card_may_lack_check_digit(number, len) && !pgw_luhn_ok(number, len);
}

PgwMeans
pgw_means_of(const char *token, const char *card_number)
{
	if (token == NULL || *token == '\0')
		return is_unchecked(card_number) ? PGW_BY_UNCHECKED_CARD : PGW_BY_CARD;
	if (pgw_token_is_object(token))
		return PGW_BY_TOKEN_OBJECT;
	return is_unchecked(token) ? PGW_BY_UNCHECKED_TOKEN : PGW_BY_TOKEN;
}

static bool
by_card(PgwMeans means)
{
	return means == PGW_BY_CARD || means == PGW_BY_UNCHECKED_CARD;
}

/* NULL: it takes the request; else the code that says why not. */
static const char *
refusal(const PgwBank *b, int64 amount, const char *currency, PgwMeans means,
		PgwCaptureMode capture)
{
	const PgwCapabilities *can;

	if (!b->enabled)
		return "bank_disabled";
	if (b->connector == NULL)
		return "connector_invalid";
	can = pgw_connector_capabilities(b->connector);
	if (means == PGW_BY_UNCHECKED_CARD && !can->unchecked_unionpay)
		return "luhn_failed";
	/* tokens are stored; one that looks so is none where such cards are taken */
	if (means == PGW_BY_UNCHECKED_TOKEN && can->unchecked_unionpay && !PGW_MUTATED(UNCHECKED_TOKEN))
		return "card_number_in_stored_field";
	if (means == PGW_BY_CARD && !can->cards)
		return "bank_takes_no_cards";
	if (!by_card(means) && !can->tokens && (means != PGW_BY_TOKEN_OBJECT || !can->token_objects))
		return "bank_takes_no_tokens";
	if (!takes_currency(b, currency))
		return "bank_currency_not_supported";
	if (!pgw_config_takes_amount(b, amount, currency))
		return "amount_not_representable";
	if (capture != PGW_CAPTURE_IMMEDIATE && !can->separate_capture)
		return "bank_cannot_capture_separately";
	if (capture == PGW_CAPTURE_IMMEDIATE && !pgw_connector_has(b->connector, PGW_OP_CHARGE))
		return "bank_operation_not_supported";
	return NULL;
}

PgwBank *
pgw_config_route(const char *named, int64 amount, const char *currency, PgwMeans means,
				 PgwCaptureMode capture, const char **error_code, char **detail)
{
	const char *first = NULL;
	StringInfoData why;
	PgwBank *b;
	/*
	 * Where there is a real bank, or was one, a test bank has only payments that name it: a shop
	 * that closes its bank, or deletes its row, would give its goods away.
	 */
	bool no_test = named == NULL && !pgw_test_mode && pgw_config_has_real_bank();

	*error_code = NULL;
	*detail = NULL;
	initStringInfo(&why);
	for (int i = 0; (b = pgw_config_nth(i)) != NULL; i++)
	{
		const char *code;

		if ((named != NULL && strcmp(named, b->name) != 0) || (no_test && !b->livemode))
			continue;
		if (named == NULL && (!b->enabled || (pgw_test_mode && b->livemode)))
			continue; /* not a candidate at all */
		code = pgw_test_mode && b->livemode ? "live_bank_in_test_mode"
											: refusal(b, amount, currency, means, capture);
		if (code == NULL)
			return b;
		if (first == NULL)
			first = code;
		appendStringInfo(&why, "%sBank \"%s\": %s.", why.len > 0 ? " " : "", b->name,
						 pgw_error_find(code)->message);
	}
	if (first == NULL)
	{
		first = named != NULL ? "unknown_bank" : "no_bank_configured";
		if (named != NULL)
			appendStringInfo(&why, "Bank \"%s\" is not in pgw.banks.", named);
		else
			appendStringInfoString(
				&why, no_test ? "No row of pgw.banks is enabled; test banks have to be named."
					  : pgw_test_mode ? "No test bank is enabled, and pgw.test_mode is on."
									  : "No row of pgw.banks is enabled.");
	}
	*error_code = first;
	*detail = why.data;
	return NULL;
}

PgwBank *
pgw_config_next_bank(const PgwBank *after, int64 amount, const char *currency, PgwMeans means,
					 PgwCaptureMode capture)
{
	bool passed = false;
	PgwBank *b;

	for (int i = 0; (b = pgw_config_nth(i)) != NULL; i++)
	{
		if (!passed)
		{
			passed = strcmp(b->name, after->name) == 0;
			continue;
		}
		if (b->livemode != after->livemode || refusal(b, amount, currency, means, capture) != NULL)
			continue;
		/* a token means something only where it was made, and where its maker says */
		if (!by_card(means) && (after->token_scope == NULL || b->token_scope == NULL ||
								strcmp(after->token_scope, b->token_scope) != 0))
			continue;
		return b;
	}
	return NULL;
}
