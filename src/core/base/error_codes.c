/*
 * error_codes.c - the table of error_code values
 *
 * Owns the list that callers may rely on: codes are only ever added, never renamed or given another
 * class. docs/errors.md shows the same rows; a unit test compares the two.
 *
 * Invariants: codes are unique; messages name no bank, URL, secret or value; "retryable" is only
 * said where a new payment with a new id cannot charge twice, so never for an outcome that is not
 * known.
 */
#include "core/base/error_codes.h"

#include <string.h>

static const PgwErrorInfo errors[] = {
	/* Arguments at fault. Nothing was recorded or sent. */
	{"required", PGW_CLASS_VALIDATION, 400, false, "a required value is missing", "PW400"},
	{"out_of_range", PGW_CLASS_VALIDATION, 400, false, "a value is out of range", "PW400"},
	{"invalid_format", PGW_CLASS_VALIDATION, 400, false, "a value does not have the required form",
	 "PW400"},
	{"too_long", PGW_CLASS_VALIDATION, 400, false, "a value is too long", "PW400"},
	{"control_characters", PGW_CLASS_VALIDATION, 400, false, "a value contains control characters",
	 "PW400"},
	{"unknown_value", PGW_CLASS_VALIDATION, 400, false, "a value is not one of those allowed",
	 "PW400"},
	{"unknown_option", PGW_CLASS_VALIDATION, 400, false, "an option is not known", "PW400"},
	{"volatile_id", PGW_CLASS_VALIDATION, 400, false,
	 "the id is computed anew for each of several equal calls", "PW400"},
	{"conflicting_fields", PGW_CLASS_VALIDATION, 400, false, "arguments exclude each other",
	 "PW400"},
	{"evidence_required", PGW_CLASS_VALIDATION, 400, false,
	 "this action needs evidence that is missing", "PW400"},
	{"luhn_failed", PGW_CLASS_VALIDATION, 400, false, "the card number fails its check digit",
	 "PW400"},
	{"card_expired", PGW_CLASS_VALIDATION, 400, false, "the card has expired", "PW400"},
	{"cvv_invalid", PGW_CLASS_VALIDATION, 400, false,
	 "the card security code does not have the right form", "PW400"},
	{"card_number_in_stored_field", PGW_CLASS_VALIDATION, 400, false,
	 "a card number was given in a field that is not for card numbers", "PW400"},
	{"card_literal", PGW_CLASS_VALIDATION, 400, false,
	 "card data stands in the text of a statement instead of a parameter", "PW400"},
	{"card_parameters_logged", PGW_CLASS_VALIDATION, 400, false,
	 "the server would write bound parameters, and with them card data, to its log", "PW400"},

	/*
	 * Declines: the issuer or the bank's rules said no. Returned as a row (payment `declined`), or
	 * raised with on_failure => 'raise'.
	 */
	{"declined", PGW_CLASS_BUSINESS, 422, false, "the payment was declined", "PW402"},
	{"insufficient_funds", PGW_CLASS_BUSINESS, 422, true, "the account does not have enough funds",
	 "PW402"},
	{"do_not_honor", PGW_CLASS_BUSINESS, 422, false, "the issuer declined without giving a reason",
	 "PW402"},
	{"expired_card", PGW_CLASS_BUSINESS, 422, false, "the bank says that the card has expired",
	 "PW402"},
	{"lost_or_stolen_card", PGW_CLASS_BUSINESS, 422, false, "the card cannot be used", "PW402"},
	{"invalid_card", PGW_CLASS_BUSINESS, 422, false, "the bank does not accept this card or token",
	 "PW402"},
	{"invalid_cvv", PGW_CLASS_BUSINESS, 422, false,
	 "the bank says that the card security code is wrong", "PW402"},
	{"suspected_fraud", PGW_CLASS_BUSINESS, 422, false,
	 "the payment was declined for security reasons", "PW402"},
	{"authentication_required", PGW_CLASS_BUSINESS, 422, false,
	 "the payment needs the cardholder's authentication, which is not possible here", "PW402"},
	{"limit_exceeded", PGW_CLASS_BUSINESS, 422, true, "a limit of the card or account is exceeded",
	 "PW402"},
	{"card_not_supported", PGW_CLASS_BUSINESS, 422, false,
	 "the bank does not take this type of card", "PW402"},
	{"currency_not_supported", PGW_CLASS_BUSINESS, 422, false,
	 "the card or account does not support the currency", "PW402"},
	{"try_again_later", PGW_CLASS_BUSINESS, 422, true, "the issuer cannot decide now", "PW402"},

	/* Rules that the request breaks. Nothing was sent. */
	{"idempotency_mismatch", PGW_CLASS_BUSINESS, 422, false,
	 "the client_request_id was used before with other arguments", "PW422"},
	{"unknown_merchant", PGW_CLASS_BUSINESS, 422, false, "there is no such merchant", "PW422"},
	{"merchant_disabled", PGW_CLASS_BUSINESS, 422, false, "the merchant is disabled", "PW422"},
	{"unknown_bank", PGW_CLASS_BUSINESS, 422, false, "there is no such bank", "PW422"},
	{"bank_disabled", PGW_CLASS_BUSINESS, 422, false, "the bank is disabled", "PW422"},
	{"live_bank_in_test_mode", PGW_CLASS_BUSINESS, 422, false,
	 "the bank is a real one, and only test banks may be used here", "PW422"},
	{"no_bank_configured", PGW_CLASS_BUSINESS, 422, false, "no enabled bank can take this payment",
	 "PW422"},
	{"bank_takes_no_cards", PGW_CLASS_BUSINESS, 422, false,
	 "the bank does not take card numbers, only tokens", "PW422"},
	{"bank_takes_no_tokens", PGW_CLASS_BUSINESS, 422, false, "the bank does not take tokens",
	 "PW422"},
	{"bank_cannot_capture_separately", PGW_CLASS_BUSINESS, 422, false,
	 "the bank cannot capture separately from authorizing", "PW422"},
	{"bank_operation_not_supported", PGW_CLASS_BUSINESS, 422, false,
	 "the bank does not support this operation", "PW422"},
	{"bank_currency_not_supported", PGW_CLASS_BUSINESS, 422, false,
	 "the bank does not take the currency", "PW422"},
	{"amount_not_representable", PGW_CLASS_BUSINESS, 422, false,
	 "the amount cannot be expressed exactly in the bank's unit of the currency", "PW422"},
	{"operation_not_allowed", PGW_CLASS_BUSINESS, 422, false,
	 "the payment's state does not allow this operation", "PW422"},
	{"amount_exceeds_remaining", PGW_CLASS_BUSINESS, 422, false,
	 "the amount is more than what is left", "PW422"},
	{"foreign_key_needs_cast", PGW_CLASS_BUSINESS, 422, false,
	 "a foreign key to a table of pgw must have columns of exactly the types that it refers to",
	 "PW422"},
	{"code_of_others", PGW_CLASS_BUSINESS, 422, false,
	 "a function may not run on a table of pgw, as it would have more rights than its author",
	 "PW422"},
	{"baseline_changed", PGW_CLASS_BUSINESS, 422, false,
	 "pgw's own objects stay as CREATE EXTENSION has made them", "PW422"},
	{"four_eyes_required", PGW_CLASS_BUSINESS, 422, false, "another operator must do this",
	 "PW422"},
	{"request_expired", PGW_CLASS_BUSINESS, 422, true, "the request was not sent before expires_at",
	 "PW422"},
	{"superseded", PGW_CLASS_BUSINESS, 422, false,
	 "the payment goes on with an earlier attempt of the same client_request_id", "PW422"},
	{"given_back", PGW_CLASS_BUSINESS, 422, true,
	 "the caller rolled back or the result could not be saved; the charge is given back", "PW422"},
	{"capture_refused", PGW_CLASS_BUSINESS, 422, false,
	 "the bank finally refused the capture; the authorization is voided", "PW422"},
	{"authorization_expired", PGW_CLASS_BUSINESS, 422, true,
	 "the authorization expired before it was captured", "PW422"},
	{"payment_not_found", PGW_CLASS_BUSINESS, 404, false, "there is no such payment", "PW404"},
	{"transaction_not_found", PGW_CLASS_BUSINESS, 404, false, "there is no such transaction",
	 "PW404"},

	/*
	 * The bank, or the way to it. Returned as a row (payment `failed`), or raised with on_failure
	 * => 'raise'.
	 */
	{"bank_error", PGW_CLASS_EXTERNAL, 502, true, "the bank reported an error", "PW502"},
	{"bank_unavailable", PGW_CLASS_EXTERNAL, 502, true, "the bank cannot be reached", "PW502"},
	{"bank_rejected_request", PGW_CLASS_EXTERNAL, 502, false,
	 "the bank refused the form of the request", "PW502"},
	{"bank_credentials_rejected", PGW_CLASS_EXTERNAL, 502, true,
	 "the bank refused the configured credentials", "PW502"},
	{"not_processed", PGW_CLASS_EXTERNAL, 502, true, "the bank did not process the request",
	 "PW502"},
	{"outcome_unacceptable", PGW_CLASS_EXTERNAL, 502, false,
	 "the bank approved something other than what was asked for; it is given back", "PW502"},
	{"refund_refused", PGW_CLASS_EXTERNAL, 502, false, "the bank refused the refund", "PW502"},
	{"follow_up_impossible", PGW_CLASS_EXTERNAL, 502, false,
	 "what had to follow could not be asked of the bank; a person has to look", "PW502"},
	{"refund_reversed", PGW_CLASS_EXTERNAL, 502, false, "the bank took the refund back", "PW502"},

	/*
	 * No answer in time. The charge may stand: ask again with the same client_request_id, never
	 * with a new one.
	 */
	{"outcome_unknown", PGW_CLASS_TIMEOUT, 504, false, "the outcome at the bank is not known yet",
	 "PW504"},
	{"bank_pending", PGW_CLASS_TIMEOUT, 504, false,
	 "the bank has accepted the request but not decided yet", "PW504"},
	{"approval_incomplete", PGW_CLASS_TIMEOUT, 504, false,
	 "the bank approved without naming the charge; it is being found out", "PW504"},
	{"bank_reference_taken", PGW_CLASS_TIMEOUT, 504, false,
	 "the bank named a charge that is another payment's; a person has to look", "PW504"},
	{"wait_timeout", PGW_CLASS_TIMEOUT, 504, false, "the wait ended before the outcome was known",
	 "PW504"},

	/* pgw itself. */
	{"request_in_flight", PGW_CLASS_INFRASTRUCTURE, 409, false,
	 "a request with the same client_request_id is still in flight", "PW409"},
	{"worker_not_running", PGW_CLASS_INFRASTRUCTURE, 500, true,
	 "no pgw worker is running for this database", "PW500"},
	{"worker_busy", PGW_CLASS_INFRASTRUCTURE, 500, true,
	 "the pgw worker did not send the request in time", "PW500"},
	{"worker_paused", PGW_CLASS_INFRASTRUCTURE, 500, true, "the pgw worker is paused", "PW500"},
	{"not_preloaded", PGW_CLASS_INFRASTRUCTURE, 500, false,
	 "pgw is not in shared_preload_libraries", "PW500"},
	{"version_mismatch", PGW_CLASS_INFRASTRUCTURE, 500, true,
	 "the library and the extension in this database have different versions", "PW500"},
	{"too_many_requests", PGW_CLASS_INFRASTRUCTURE, 429, true,
	 "the quota of this merchant or role is used up", "PW429"},
	{"no_free_slot", PGW_CLASS_INFRASTRUCTURE, 500, true, "too many callers are waiting", "PW500"},
	{"secret_missing", PGW_CLASS_INFRASTRUCTURE, 500, false, "the bank's secret cannot be read",
	 "PW500"},
	{"connector_invalid", PGW_CLASS_INFRASTRUCTURE, 500, false,
	 "the bank's connector cannot be used for this request", "PW500"},
	{"extension_dropped", PGW_CLASS_INFRASTRUCTURE, 500, false,
	 "the extension was dropped while the caller waited", "PW500"},
	{"internal_error", PGW_CLASS_INFRASTRUCTURE, 500, false, "internal error", "PW500"},
};

#define NERRORS (sizeof(errors) / sizeof(errors[0]))

const PgwErrorInfo *
pgw_error_table(size_t *n)
{
	*n = NERRORS;
	return errors;
}

const PgwErrorInfo *
pgw_error_find(const char *code)
{
	if (code != NULL)
	{
		for (size_t i = 0; i < NERRORS; i++)
		{
			if (strcmp(errors[i].code, code) == 0)
				return &errors[i];
		}
	}
	return NULL;
}

bool
pgw_error_is_decline(const char *code)
{
	const PgwErrorInfo *info = pgw_error_find(code);

	return info != NULL && strcmp(info->sqlstate, "PW402") == 0;
}

const char *
pgw_error_class_name(PgwErrorClass c)
{
	switch (c)
	{
		case PGW_CLASS_VALIDATION:
			return "validation";
		case PGW_CLASS_BUSINESS:
			return "business";
		case PGW_CLASS_EXTERNAL:
			return "external";
		case PGW_CLASS_INFRASTRUCTURE:
			return "infrastructure";
		case PGW_CLASS_TIMEOUT:
			return "timeout";
		case PGW_CLASS_NONE:
			break;
	}
	return NULL;
}
