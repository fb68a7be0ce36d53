/*
 * error_codes.c - the table of error_code values
 *
 * Owns the list that callers may rely on: codes are only ever added, never renamed or given another
 * class. docs/errors.md shows the same rows; a unit test compares the two.
 *
 * Invariants: codes are unique; messages name no bank, URL, secret or value; "retryable" is only
 * said where a new payment with a new id cannot charge twice, so never for an outcome that is not
 * known.  A customer is never told that a card is reported lost or that fraud is suspected.
 */
#include "core/base/error_codes.h"

#include <string.h>

static const PgwErrorInfo errors[] = {
	/* Arguments at fault. Nothing was recorded or sent. */
	{"required", PGW_CLASS_VALIDATION, 400, false, "a required value is missing", "PW400", NULL},
	{"out_of_range", PGW_CLASS_VALIDATION, 400, false, "a value is out of range", "PW400", NULL},
	{"invalid_format", PGW_CLASS_VALIDATION, 400, false, "a value does not have the required form",
	 "PW400", NULL},
	{"too_long", PGW_CLASS_VALIDATION, 400, false, "a value is too long", "PW400", NULL},
	{"control_characters", PGW_CLASS_VALIDATION, 400, false, "a value contains control characters",
	 "PW400", NULL},
	{"unknown_value", PGW_CLASS_VALIDATION, 400, false, "a value is not one of those allowed",
	 "PW400", NULL},
	{"unknown_option", PGW_CLASS_VALIDATION, 400, false, "an option is not known", "PW400", NULL},
	{"volatile_id", PGW_CLASS_VALIDATION, 400, false,
	 "the id is computed anew for each of several equal calls", "PW400", NULL},
	{"conflicting_fields", PGW_CLASS_VALIDATION, 400, false, "arguments exclude each other",
	 "PW400", NULL},
	{"evidence_required", PGW_CLASS_VALIDATION, 400, false,
	 "this action needs evidence that is missing", "PW400", NULL},
	{"luhn_failed", PGW_CLASS_VALIDATION, 400, false, "the card number fails its check digit",
	 "PW400", "check_card"},
	{"card_expired", PGW_CLASS_VALIDATION, 400, false, "the card has expired", "PW400",
	 "check_card"},
	{"cvv_invalid", PGW_CLASS_VALIDATION, 400, false,
	 "the card security code does not have the right form", "PW400", "check_card"},
	{"card_number_in_stored_field", PGW_CLASS_VALIDATION, 400, false,
	 "a card number was given in a field that is not for card numbers", "PW400", NULL},
	{"card_literal", PGW_CLASS_VALIDATION, 400, false,
	 "card data stands in the text of a statement instead of a parameter", "PW400", NULL},
	{"card_parameters_logged", PGW_CLASS_VALIDATION, 400, false,
	 "the server would write bound parameters, and with them card data, to its log", "PW400", NULL},

	/*
	 * Declines: the issuer or the bank's rules said no. Returned as a row (payment `declined`), or
	 * raised with on_failure => 'raise'.
	 */
	{"declined", PGW_CLASS_BUSINESS, 422, false, "the payment was declined", "PW402", "declined"},
	{"insufficient_funds", PGW_CLASS_BUSINESS, 422, true, "the account does not have enough funds",
	 "PW402", "insufficient_funds"},
	{"do_not_honor", PGW_CLASS_BUSINESS, 422, false, "the issuer declined without giving a reason",
	 "PW402", "declined"},
	{"expired_card", PGW_CLASS_BUSINESS, 422, false, "the bank says that the card has expired",
	 "PW402", "use_other_card"},
	{"lost_or_stolen_card", PGW_CLASS_BUSINESS, 422, false, "the card cannot be used", "PW402",
	 "declined"},
	{"invalid_card", PGW_CLASS_BUSINESS, 422, false, "the bank does not accept this card or token",
	 "PW402", "use_other_card"},
	{"invalid_cvv", PGW_CLASS_BUSINESS, 422, false,
	 "the bank says that the card security code is wrong", "PW402", "check_card"},
	{"suspected_fraud", PGW_CLASS_BUSINESS, 422, false,
	 "the payment was declined for security reasons", "PW402", "declined"},
	{PGW_ACTION_REQUIRED, PGW_CLASS_BUSINESS, 422, false,
	 "the payment needs the cardholder's authentication, which is not possible here", "PW402",
	 "use_other_card"},
	{"limit_exceeded", PGW_CLASS_BUSINESS, 422, true, "a limit of the card or account is exceeded",
	 "PW402", "use_other_card"},
	{"card_not_supported", PGW_CLASS_BUSINESS, 422, false,
	 "the bank does not take this type of card", "PW402", "use_other_card"},
	{"currency_not_supported", PGW_CLASS_BUSINESS, 422, false,
	 "the card or account does not support the currency", "PW402", "use_other_card"},
	{"try_again_later", PGW_CLASS_BUSINESS, 422, true, "the issuer cannot decide now", "PW402",
	 "try_again"},

	/* Rules that the request breaks. Nothing was sent. */
	{"idempotency_mismatch", PGW_CLASS_BUSINESS, 422, false,
	 "the client_request_id was used before with other arguments", "PW422", NULL},
	{"unknown_merchant", PGW_CLASS_BUSINESS, 422, false, "there is no such merchant", "PW422",
	 NULL},
	{"merchant_disabled", PGW_CLASS_BUSINESS, 422, false, "the merchant is disabled", "PW422",
	 NULL},
	{"unknown_bank", PGW_CLASS_BUSINESS, 422, false, "there is no such bank", "PW422", NULL},
	{"bank_disabled", PGW_CLASS_BUSINESS, 422, false, "the bank is disabled", "PW422", NULL},
	{"live_bank_in_test_mode", PGW_CLASS_BUSINESS, 422, false,
	 "the bank is a real one, and only test banks may be used here", "PW422", NULL},
	{"no_bank_configured", PGW_CLASS_BUSINESS, 422, false, "no enabled bank can take this payment",
	 "PW422", NULL},
	{"bank_takes_no_cards", PGW_CLASS_BUSINESS, 422, false,
	 "the bank does not take card numbers, only tokens", "PW422", NULL},
	{"bank_takes_no_tokens", PGW_CLASS_BUSINESS, 422, false, "the bank does not take tokens",
	 "PW422", NULL},
	{"bank_cannot_capture_separately", PGW_CLASS_BUSINESS, 422, false,
	 "the bank cannot capture separately from authorizing", "PW422", NULL},
	{"bank_operation_not_supported", PGW_CLASS_BUSINESS, 422, false,
	 "the bank does not support this operation", "PW422", NULL},
	{"bank_currency_not_supported", PGW_CLASS_BUSINESS, 422, false,
	 "the bank does not take the currency", "PW422", NULL},
	{"amount_not_representable", PGW_CLASS_BUSINESS, 422, false,
	 "the amount cannot be expressed exactly in the bank's unit of the currency", "PW422", NULL},
	{"operation_not_allowed", PGW_CLASS_BUSINESS, 422, false,
	 "the payment's state does not allow this operation", "PW422", NULL},
	{"amount_exceeds_remaining", PGW_CLASS_BUSINESS, 422, false,
	 "the amount is more than what is left", "PW422", NULL},
	{"amount_disputed", PGW_CLASS_BUSINESS, 422, false,
	 "the card holder has the amount back already, by a dispute", "PW422", NULL},
	{"foreign_key_needs_cast", PGW_CLASS_BUSINESS, 422, false,
	 "a foreign key to a table of pgw must have columns of exactly the types that it refers to",
	 "PW422", NULL},
	{"code_of_others", PGW_CLASS_BUSINESS, 422, false,
	 "a function may not run on a table of pgw, as it would have more rights than its author",
	 "PW422", NULL},
	{"baseline_changed", PGW_CLASS_BUSINESS, 422, false,
	 "pgw's own objects stay as CREATE EXTENSION has made them", "PW422", NULL},
	{"four_eyes_required", PGW_CLASS_BUSINESS, 422, false, "another operator must do this", "PW422",
	 NULL},
	{"request_expired", PGW_CLASS_BUSINESS, 422, true, "the request was not sent before expires_at",
	 "PW422", "try_again"},
	{"superseded", PGW_CLASS_BUSINESS, 422, false,
	 "the payment goes on with an earlier attempt of the same client_request_id", "PW422", NULL},
	{"given_back", PGW_CLASS_BUSINESS, 422, true,
	 "the caller rolled back or the result could not be saved; the charge is given back", "PW422",
	 "try_again"},
	{"capture_refused", PGW_CLASS_BUSINESS, 422, false,
	 "the bank finally refused the capture; the authorization is voided", "PW422", "not_possible"},
	{"authorization_expired", PGW_CLASS_BUSINESS, 422, true,
	 "the authorization expired before it was captured", "PW422", "try_again"},
	{"payment_not_found", PGW_CLASS_BUSINESS, 404, false, "there is no such payment", "PW404",
	 NULL},
	{"transaction_not_found", PGW_CLASS_BUSINESS, 404, false, "there is no such transaction",
	 "PW404", NULL},
	{"event_consumer_not_found", PGW_CLASS_BUSINESS, 404, false,
	 "there is no such consumer of events", "PW404", NULL},
	{"event_consumer_exists", PGW_CLASS_BUSINESS, 422, false,
	 "there is a consumer of events of that name", "PW422", NULL},
	{"event_consumer_displaced", PGW_CLASS_BUSINESS, 422, false,
	 "the consumer's place in the events is that of another database or of a time before a restore",
	 "PW422", NULL},
	{"event_cursor_void", PGW_CLASS_BUSINESS, 422, false, "the cursor is not of what was read last",
	 "PW422", NULL},

	/*
	 * The bank, or the way to it. Returned as a row (payment `failed`), or raised with on_failure
	 * => 'raise'.
	 */
	{"bank_error", PGW_CLASS_EXTERNAL, 502, true, "the bank reported an error", "PW502",
	 "try_again"},
	{"bank_unavailable", PGW_CLASS_EXTERNAL, 502, true, "the bank cannot be reached", "PW502",
	 "try_again"},
	{"bank_rejected_request", PGW_CLASS_EXTERNAL, 502, false,
	 "the bank refused the form of the request", "PW502", "not_possible"},
	{"bank_credentials_rejected", PGW_CLASS_EXTERNAL, 502, true,
	 "the bank refused the configured credentials", "PW502", "try_again"},
	{"not_processed", PGW_CLASS_EXTERNAL, 502, true, "the bank did not process the request",
	 "PW502", "try_again"},
	{"outcome_unacceptable", PGW_CLASS_EXTERNAL, 502, false,
	 "the bank approved something other than what was asked for; it is given back", "PW502",
	 "not_possible"},
	{PGW_LIVEMODE_MISMATCH, PGW_CLASS_EXTERNAL, 502, false,
	 "the bank says that real money moves where it must not, or none where it should", "PW502",
	 "not_possible"},
	{"refund_refused", PGW_CLASS_EXTERNAL, 502, false, "the bank refused the refund", "PW502",
	 NULL},
	{PGW_REFUND_UNSETTLED, PGW_CLASS_EXTERNAL, 502, true,
	 "the bank refunds nothing of a charge that is not settled yet", "PW502", "try_again"},
	{PGW_VOID_SETTLED, PGW_CLASS_EXTERNAL, 502, false,
	 "the bank voids nothing that is settled already", "PW502", NULL},
	{"follow_up_impossible", PGW_CLASS_EXTERNAL, 502, false,
	 "what had to follow could not be asked of the bank; a person has to look", "PW502", NULL},
	{"refund_reversed", PGW_CLASS_EXTERNAL, 502, false, "the bank took the refund back", "PW502",
	 NULL},
	{"capture_reversed", PGW_CLASS_EXTERNAL, 502, false, "the bank took the capture back", "PW502",
	 NULL},

	/*
	 * No answer in time. The charge may stand: ask again with the same client_request_id, never
	 * with a new one.
	 */
	{"outcome_unknown", PGW_CLASS_TIMEOUT, 504, false, "the outcome at the bank is not known yet",
	 "PW504", "being_checked"},
	{"bank_pending", PGW_CLASS_TIMEOUT, 504, false,
	 "the bank has accepted the request but not decided yet", "PW504", "being_checked"},
	{"approval_incomplete", PGW_CLASS_TIMEOUT, 504, false,
	 "the bank approved without naming the charge; it is being found out", "PW504",
	 "being_checked"},
	{"bank_reference_taken", PGW_CLASS_TIMEOUT, 504, false,
	 "the bank named a charge, capture, void or refund that is another's; a person has to look",
	 "PW504", "being_checked"},
	{"wait_timeout", PGW_CLASS_TIMEOUT, 504, false, "the wait ended before the outcome was known",
	 "PW504", "being_checked"},

	/* pgw itself. */
	{"request_in_flight", PGW_CLASS_INFRASTRUCTURE, 409, false,
	 "a request with the same client_request_id is still in flight", "PW409", "being_checked"},
	{"worker_not_running", PGW_CLASS_INFRASTRUCTURE, 500, true,
	 "no pgw worker is running for this database", "PW500", "try_again"},
	{"worker_busy", PGW_CLASS_INFRASTRUCTURE, 500, true,
	 "the pgw worker did not send the request in time", "PW500", "try_again"},
	{"worker_paused", PGW_CLASS_INFRASTRUCTURE, 500, true, "the pgw worker is paused", "PW500",
	 "try_again"},
	{"not_preloaded", PGW_CLASS_INFRASTRUCTURE, 500, false,
	 "pgw is not in shared_preload_libraries", "PW500", NULL},
	{"version_mismatch", PGW_CLASS_INFRASTRUCTURE, 500, true,
	 "the library and the extension in this database have different versions", "PW500",
	 "try_again"},
	{"wrong_shard", PGW_CLASS_INFRASTRUCTURE, 421, false,
	 "the slot of this request is not at home in this database", "PW421", NULL},
	{"too_many_requests", PGW_CLASS_INFRASTRUCTURE, 429, true,
	 "the quota of this merchant or role is used up", "PW429", "try_again"},
	{"no_free_slot", PGW_CLASS_INFRASTRUCTURE, 500, true, "too many callers are waiting", "PW500",
	 "try_again"},
	{"secret_missing", PGW_CLASS_INFRASTRUCTURE, 500, false, "the bank's secret cannot be read",
	 "PW500", NULL},
	{"connector_invalid", PGW_CLASS_INFRASTRUCTURE, 500, false,
	 "the bank's connector cannot be used for this request", "PW500", NULL},
	{"extension_dropped", PGW_CLASS_INFRASTRUCTURE, 500, false,
	 "the extension was dropped while the caller waited", "PW500", NULL},
	{"not_recorded", PGW_CLASS_INFRASTRUCTURE, 500, true,
	 "the payment could not be written, so nothing was sent", "PW500", "try_again"},
	{"internal_error", PGW_CLASS_INFRASTRUCTURE, 500, false, "internal error", "PW500", NULL},
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
