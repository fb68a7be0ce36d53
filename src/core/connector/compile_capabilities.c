/*
 * compile_capabilities.c - compile a connector document: what the bank can do
 *
 * Invariant: the capabilities that follow from the operations present are derived here and nowhere
 * else.
 */
#include "core/connector/compiled.h"

#include <string.h>

#include "core/base/money.h"

/* A whole number for each of some currencies. */
static bool
compile_of_currencies(PgwCompile *cc, json_object *v, int64_t min, int64_t max, int *n,
					  PgwOfCurrency **list)
{
	if (!pgw_is_object(cc, v))
		return false;
	*list = pgw_arena(cc, (size_t) json_object_object_length(v), sizeof(PgwOfCurrency));
	if (*list == NULL)
		return false;
	json_object_object_foreach(v, key, value)
	{
		PgwOfCurrency *of = &(*list)[*n];
		int64_t number = json_object_get_int64(value);

		if (pgw_currency_find(key) == NULL)
			return pgw_fault_at(
				cc, key, "must be an ISO 4217 currency code in capital letters, such as \"ISK\"");
		if (!json_object_is_type(value, json_type_int) || number < min || number > max)
			return pgw_fault_at(cc, key, "must be a whole number from %lld to %lld",
								(long long) min, (long long) max);
		memcpy(of->currency, key, 4);
		of->n = number;
		(*n)++;
	}
	return true;
}

static bool
compile_exponents(PgwCompile *cc, json_object *v)
{
	PgwConnector *c = cc->connector;

	return compile_of_currencies(cc, v, 0, 4, &c->nexponents, &c->exponents);
}

/* Of three decimal places some banks want the last to be 0, of others none at all. */
static bool
compile_multiples(PgwCompile *cc, json_object *v)
{
	PgwConnector *c = cc->connector;

	return pgw_since_version(cc, 2, "\"amount_multiple\"") &&
		   compile_of_currencies(cc, v, 2, 1000000, &c->nmultiples, &c->multiples);
}

/* A list of brands, of those of which such cards are about. */
static bool
compile_unchecked(PgwCompile *cc, json_object *v)
{
	PgwCapabilities *caps = &cc->connector->caps;
	const char *unionpay = pgw_card_brand_name(PGW_BRAND_UNIONPAY);

	if (!pgw_since_version(cc, 2, "\"cards_without_check_digit\""))
		return false;
	if (!json_object_is_type(v, json_type_array) || json_object_array_length(v) == 0)
		return pgw_fault(cc, "must be a list of brands: [\"%s\"]", unionpay);
	for (size_t i = 0; i < json_object_array_length(v); i++)
	{
		json_object *brand = json_object_array_get_idx(v, i);

		if (!json_object_is_type(brand, json_type_string) ||
			strcmp(json_object_get_string(brand), unionpay) != 0)
		{
			(void) pgw_enter_index(cc, i);
			return pgw_fault(cc, "only \"%s\" has cards whose numbers have no check digit",
							 unionpay);
		}
	}
	caps->unchecked_unionpay = true;
	return caps->cards || pgw_fault(cc, "a bank that takes no cards takes none of these: set "
										"\"cards\" to true, or leave this out");
}

/* The bank never approves less than it was asked for: nothing else is worth saying. */
static bool
compile_partial_approval(PgwCompile *cc, json_object *v)
{
	cc->connector->caps.no_partial_approval =
		json_object_is_type(v, json_type_string) && strcmp(json_object_get_string(v), "never") == 0;
	return pgw_since_version(cc, 2, "\"partial_approval\"") &&
		   (cc->connector->caps.no_partial_approval || pgw_fault(cc, "must be \"never\""));
}

bool
pgw_compile_capabilities(PgwCompile *cc, json_object *v)
{
	static const char *const keys[] = {"idempotency",
									   "lookup_consistent_after_seconds",
									   "cards",
									   "tokens",
									   "token_objects",
									   "cards_without_check_digit",
									   "partial_approval",
									   "partial_capture",
									   "multiple_captures",
									   "partial_refund",
									   "authorization_lifetime_seconds",
									   "exponents",
									   "settles_after_seconds",
									   "amount_multiple",
									   "lookup_by_id_consistent_after_seconds",
									   "lookup_refund_consistent_after_seconds",
									   "accepted_final_after_seconds",
									   "pending_deadline_seconds",
									   NULL};
	PgwCapabilities *caps = &cc->connector->caps;
	json_object *part;

	caps->lookup_consistent_after_s = -1;
	caps->lookup_by_id_consistent_after_s = -1;
	cc->lookup_refund_consistent_after_s = -1;
	if (!pgw_is_object(cc, v) || !pgw_check_keys(cc, v, keys))
		return false;
	if ((part = pgw_member(v, "idempotency")) != NULL &&
		!pgw_compile_member(cc, "idempotency", part, pgw_compile_idempotency))
		return false;
	if (!pgw_read_int(cc, v, "lookup_consistent_after_seconds", 0, PGW_TEN_YEARS_S,
					  &caps->lookup_consistent_after_s) ||
		!pgw_read_int(cc, v, "lookup_by_id_consistent_after_seconds", 0, PGW_TEN_YEARS_S,
					  &caps->lookup_by_id_consistent_after_s) ||
		!pgw_read_int(cc, v, "lookup_refund_consistent_after_seconds", 0, PGW_TEN_YEARS_S,
					  &cc->lookup_refund_consistent_after_s) ||
		!pgw_read_bool(cc, v, "cards", &caps->cards) ||
		!pgw_read_bool(cc, v, "tokens", &caps->tokens) ||
		!pgw_read_bool(cc, v, "partial_capture", &caps->partial_capture) ||
		!pgw_read_bool(cc, v, "multiple_captures", &caps->multiple_captures) ||
		!pgw_read_bool(cc, v, "partial_refund", &caps->partial_refund) ||
		!pgw_read_int(cc, v, "authorization_lifetime_seconds", 1, PGW_TEN_YEARS_S,
					  &caps->authorization_lifetime_s))
		return false;
	if (pgw_member(v, "settles_after_seconds") != NULL &&
		(!pgw_since_version(cc, 2, "\"settles_after_seconds\"") ||
		 !pgw_read_int(cc, v, "settles_after_seconds", 1, PGW_TEN_YEARS_S, &caps->settles_after_s)))
		return false;
	if (pgw_member(v, "accepted_final_after_seconds") != NULL &&
		(!pgw_since_version(cc, 2, "\"accepted_final_after_seconds\"") ||
		 !pgw_read_int(cc, v, "accepted_final_after_seconds", 1, PGW_TEN_YEARS_S,
					   &caps->accepted_final_after_s)))
		return false;
	if (pgw_member(v, "token_objects") != NULL &&
		(!pgw_since_version(cc, 2, "\"token_objects\"") ||
		 !pgw_read_bool(cc, v, "token_objects", &caps->token_objects)))
		return false;
	if (pgw_member(v, "pending_deadline_seconds") != NULL &&
		(!pgw_since_version(cc, 2, "\"pending_deadline_seconds\"") ||
		 !pgw_read_int(cc, v, "pending_deadline_seconds", 1, PGW_TEN_YEARS_S,
					   &caps->pending_deadline_s)))
		return false;
	if (!caps->cards && !caps->tokens && !caps->token_objects)
		return pgw_fault(
			cc, "a bank takes something: set \"cards\", \"tokens\" or \"token_objects\" to true");
	if (json_object_object_get_ex(v, "partial_approval", &part) &&
		!pgw_compile_member(cc, "partial_approval", part, compile_partial_approval))
		return false;
	if ((part = pgw_member(v, "cards_without_check_digit")) != NULL &&
		!pgw_compile_member(cc, "cards_without_check_digit", part, compile_unchecked))
		return false;
	if ((part = pgw_member(v, "exponents")) != NULL &&
		!pgw_compile_member(cc, "exponents", part, compile_exponents))
		return false;
	return (part = pgw_member(v, "amount_multiple")) == NULL ||
		   pgw_compile_member(cc, "amount_multiple", part, compile_multiples);
}

/*
 * How soon a look-up counts where the charge's id is known.  A list of refunds may lag behind like
 * a search, unless the document says otherwise: one that is believed too early has a lost refund
 * made again.
 */
static bool
check_times(PgwCompile *cc)
{
	PgwConnector *c = cc->connector;
	PgwCapabilities *caps = &c->caps;
	int64_t *by_id = &caps->lookup_by_id_consistent_after_s;
	int64_t refunds = cc->lookup_refund_consistent_after_s;

	if (*by_id >= 0 && !c->lookup_by_id.present)
		return pgw_fault_at(cc, "lookup_by_id_consistent_after_seconds",
							"there is no operation \"lookup_by_id\"; leave this out or add it");
	if (refunds >= 0 && (*by_id < 0 || !caps->lookup_refund))
		return pgw_fault_at(
			cc, "lookup_refund_consistent_after_seconds",
			"it is for banks that have \"lookup_refund\" and say \"lookup_by_id_consistent_after_seconds\"; elsewhere \"lookup_consistent_after_seconds\" is that of refunds, too");
	if (*by_id < 0 || !caps->lookup_refund)
		return true;
	if (refunds < 0)
		refunds = caps->lookup_consistent_after_s;
	*by_id = refunds < 0 ? -1 : refunds > *by_id ? refunds : *by_id;
	return true;
}

/*
 * What the bank has accepted is found out by a look-up.  Where none shows it, nothing ever would:
 * the document has to say how long after that it counts as done.
 */
static bool
check_accepted(PgwCompile *cc)
{
	PgwCapabilities *caps = &cc->connector->caps;
	bool unseen = false;

	for (int op = 0; op < PGW_NOPS; op++)
	{
		if (!caps->accepts[op] || pgw_capabilities_shows(caps, (PgwBankOp) op))
			continue;
		unseen = true;
		/* where its notifications are the bank's word on it, silence is for a person */
		if (caps->accepted_final_after_s == 0 && !caps->tells[op])
			return pgw_fault_at(
				cc, "accepted_final_after_seconds",
				"missing: a rule of \"%s\" says \"accepted\", and no look-up shows what becomes of it; say how long after that it counts as done",
				pgw_op_name((PgwBankOp) op));
	}
	return unseen || caps->accepted_final_after_s == 0 ||
		   pgw_fault_at(
			   cc, "accepted_final_after_seconds",
			   "has no use: there is nothing that the bank says \"accepted\" of and no look-up shows");
}

/*
 * A document that does not say when a look-up shows a charge does not say either when a
 * cancellation finds it.
 */
#define CANCEL_AFTER_S (5 * 60)

static void
set_cancellation(PgwConnector *c)
{
	PgwCapabilities *caps = &c->caps;

	caps->can_cancel = c->ops[PGW_OP_CANCEL].present;
	caps->cancels_twice = caps->can_cancel && !c->ops[PGW_OP_CANCEL].settles;
	caps->cancel_after_s =
		caps->lookup_consistent_after_s >= 0 ? caps->lookup_consistent_after_s : CANCEL_AFTER_S;
}

bool
pgw_check_capabilities(PgwCompile *cc)
{
	PgwConnector *c = cc->connector;
	PgwCapabilities *caps = &c->caps;

	caps->lookup = c->ops[PGW_OP_LOOKUP_CHARGE].present;
	caps->lookup_refund = c->ops[PGW_OP_LOOKUP_REFUND].present;
	caps->lookup_refund_needs_id =
		pgw_connector_needs(c, PGW_OP_LOOKUP_REFUND, "operation_reference");
	caps->lookup_needs_id = pgw_connector_needs_bank_reference(c, PGW_OP_LOOKUP_CHARGE);
	caps->lookup_shows_captured = c->ops[PGW_OP_LOOKUP_CHARGE].answer.has_field[PGW_FIELD_CAPTURED];
	caps->lookup_shows_refunded = c->ops[PGW_OP_LOOKUP_CHARGE].answer.has_field[PGW_FIELD_REFUNDED];
	caps->lookup_shows_voided = c->ops[PGW_OP_LOOKUP_CHARGE].answer.has_field[PGW_FIELD_VOIDED];
	caps->separate_capture = c->ops[PGW_OP_AUTHORIZE].present && c->ops[PGW_OP_CAPTURE].present;
	caps->can_void = c->ops[PGW_OP_VOID].present;
	caps->can_refund = c->ops[PGW_OP_REFUND].present;
	set_cancellation(c);
	caps->can_reverse = c->ops[PGW_OP_REVERSE].present;
	if (caps->lookup_consistent_after_s >= 0 && !caps->lookup && !caps->lookup_refund)
		return pgw_fault_at(
			cc, "lookup_consistent_after_seconds",
			"there is no look-up operation; leave this out or add \"lookup_charge\"");
	if (!check_times(cc) || !check_accepted(cc))
		return false;
	if ((caps->partial_capture || caps->multiple_captures) && !caps->separate_capture)
		return pgw_fault_at(cc, caps->partial_capture ? "partial_capture" : "multiple_captures",
							"there is no operation \"capture\"; set this to false or add it");
	if (caps->partial_refund && !caps->can_refund)
		return pgw_fault_at(cc, "partial_refund",
							"there is no operation \"refund\"; set this to false or add it");
	return true;
}
