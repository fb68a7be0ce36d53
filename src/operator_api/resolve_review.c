/*
 * resolve_review.c - pgw.resolve_review() and pgw.review_actions(): a person decides what the
 * machine cannot
 *
 * Owns: pgw.require_four_eyes.  What an action does is core/payment/review_rules.c's grid; this
 * carries it out on the attempt's row, in the operator's own transaction, and the worker goes on
 * from there once that has committed.
 *
 * Locks: the attempt's row, waited for, so of two operators the second sees what the first did;
 * then, for one action, the payments row.
 * Invariants: the state changes along one edge, with one event that says who, why and on what
 * evidence; nothing is sent from here; bank_key and its times stay, so whatever the worker sends
 * again it sends as before.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

#include "bank/bank_config.h"
#include "base/clock.h"
#include "base/json_writer.h"
#include "base/schedule.h"
#include "core/base/characters.h"
#include "core/base/error_codes.h"
#include "core/base/mutant.h"
#include "core/base/uuid7.h"
#include "core/card/card_text.h"
#include "core/payment/payment_amounts.h"
#include "core/payment/evidence_rules.h"
#include "core/payment/review_rules.h"
#include "database/column_values.h"
#include "exchange/commit_signal.h"
#include "operator_api/operator_note.h"
#include "operator_api/resolve_review.h"
#include "operator_api/review_proposals.h"
#include "outcome/event_members.h"
#include "outcome/record_decision.h"
#include "sql_function/calling_actor.h"
#include "sql_function/check_access.h"
#include "sql_function/arguments.h"
#include "sql_function/owner.h"
#include "sql_function/raise_error.h"
#include "sql_function/require_home.h"
#include "sql_function/require_version.h"
#include "store/bank_references.h"
#include "store/events.h"
#include "store/find_attempts.h"
#include "store/tables.h"

PG_FUNCTION_INFO_V1(pgw_resolve_review_1_0);
PG_FUNCTION_INFO_V1(pgw_review_actions_1_0);

#define MAX_NOTE_CHARS 2000
#define MAX_EVIDENCE_BYTES 16384
#define MAX_REFERENCE_BYTES 255

static bool require_four_eyes = false;

void
pgw_review_init(void)
{
	DefineCustomBoolVariable(
		"pgw.require_four_eyes",
		"Whether an action of pgw.resolve_review() takes effect only when a second role confirms it.",
		"A role is the one that the session was opened as (session_user).", &require_four_eyes,
		false, PGC_SIGHUP, 0, NULL, NULL, NULL);
}

bool
pgw_four_eyes(void)
{
	return require_four_eyes;
}

/* What the operator asks for, checked. */
typedef struct Order
{
	pg_uuid_t transaction_id;
	PgwReviewAction action;
	char *note;
	char *evidence;       /* JSON text, as jsonb writes it */
	char *bank_reference; /* from the evidence; NULL: none */
	PgwCallerSays says;
	PgwActor actor;
} Order;

/* The review that the attempt is in: its last ManualReviewRequired. */
typedef struct Review
{
	PgwState from;
	char *reason;  /* NULL: none */
	bool accepted; /* the bank has accepted it, and may still fail it */
} Review;

/* ---------------------------------------------------------------- arguments */

static void
fault(PgwJsonWriter *faults, const char *field, const char *code, const char *message)
{
	pgw_json_put_raw(faults, NULL, pgw_arg_fault(NULL, field, code, message));
}

static void
check_note(PgwJsonWriter *faults, const char *note)
{
	char *found;

	if (note == NULL || pgw_note_is_blank(note))
	{
		fault(faults, "note", "required", "must say why");
		return;
	}
	found = pgw_note_faults(NULL, note, MAX_NOTE_CHARS);
	if (found != NULL)
		pgw_json_put_raw(faults, NULL, found);
}

/* A string member of a JSON object; NULL: it has none. */
static char *
string_member(Jsonb *object, const char *name)
{
	JsonbValue v;

	if (!JB_ROOT_IS_OBJECT(object) ||
		getKeyJsonValueFromContainer(&object->root, name, strlen(name), &v) == NULL ||
		v.type != jbvString)
		return NULL;
	return pnstrdup(v.val.string.val, v.val.string.len);
}

static void
check_evidence(PgwJsonWriter *faults, Jsonb *evidence, Order *order, bool needs_reference)
{
	if (!JB_ROOT_IS_OBJECT(evidence))
	{
		fault(faults, "evidence", "invalid_format", "must be a JSON object");
		return;
	}
	order->evidence = JsonbToCString(NULL, &evidence->root, VARSIZE(evidence));
	if (strlen(order->evidence) > MAX_EVIDENCE_BYTES)
		fault(faults, "evidence", "too_long", "must be at most 16384 bytes");
	if (strlen(order->evidence) <= PGW_MAX_SEARCHED_BYTES &&
		pgw_card_in_json(NULL, order->evidence, strlen(order->evidence)) != PGW_FOUND_NOTHING)
		fault(faults, "evidence", "card_number_in_stored_field", "must not contain a card number");
	if (!needs_reference)
		return;
	order->bank_reference = string_member(evidence, "bank_reference");
	if (order->bank_reference == NULL || pgw_note_is_blank(order->bank_reference))
		fault(faults, "evidence", "evidence_required",
			  "this action needs evidence.bank_reference, a string");
	else if (strlen(order->bank_reference) > MAX_REFERENCE_BYTES)
		fault(faults, "evidence", "too_long", "bank_reference must be at most 255 bytes");
	else if (pgw_has_control(order->bank_reference, ""))
		fault(faults, "evidence", "control_characters",
			  "bank_reference must not contain control characters");
}

static void
get_order(FunctionCallInfo fcinfo, Order *order)
{
	PgwJsonWriter faults;
	bool isnull;
	Datum d;
	char *options_faults;
	char *name = pgw_arg_text(fcinfo, "action");
	int action = pgw_review_action_parse(name);

	memset(order, 0, sizeof(*order));
	pgw_json_begin(&faults);
	d = pgw_arg(fcinfo, "transaction_id", &isnull);
	if (isnull)
		fault(&faults, "transaction_id", "required", "must not be null");
	else
		order->transaction_id = *DatumGetUUIDP(d);
	if (name == NULL)
		fault(&faults, "action", "required", "must not be null");
	else if (action < 0)
		fault(&faults, "action", "unknown_value",
			  "must be retry, mark_charged, mark_not_charged, mark_refunded or refund");
	order->action = (PgwReviewAction) Max(action, 0);
	order->note = pgw_arg_text(fcinfo, "note");
	check_note(&faults, order->note);
	d = pgw_arg(fcinfo, "evidence", &isnull);
	if (isnull)
		fault(&faults, "evidence", "required", "must not be null; leave it out when there is none");
	else
		check_evidence(&faults, DatumGetJsonbP(d), order,
					   action >= 0 && pgw_review_needs_reference(order->action));
	options_faults = pgw_operator_options(NULL, fcinfo, &order->says);
	if (options_faults != NULL)
		pgw_json_put_raw(&faults, NULL, options_faults);
	if (faults.text.len > 0)
		pgw_raise_faults(pgw_json_array_of(faults.text.data));
}

/* ---------------------------------------------------------------- is it allowed? */

static void
find_review(const PgwAttempt *attempt, Review *review)
{
	PgwEventRow *events;

	memset(review, 0, sizeof(*review));
	review->from = PGW_STATE_NONE;
	for (int i = pgw_store_events(&attempt->transaction_id, &events) - 1; i >= 0; i--)
	{
		if (strcmp(events[i].event_type, pgw_event_name(PGW_EV_MANUAL_REVIEW_REQUIRED)) != 0)
			continue;
		review->from = events[i].from;
		review->accepted = review->from == PGW_SAVED && attempt->accepted_at != 0;
		if (events[i].event_data != NULL)
			review->reason = string_member(events[i].event_data, "reason");
		return;
	}
}

static void
put_possible_actions(PgwJsonWriter *w, PgwKind kind, PgwState from)
{
	pgw_json_begin_array(w, "possible_actions");
	for (int i = 0; i < PGW_NREVIEW_ACTIONS; i++)
	{
		const PgwReviewCell *cell = pgw_review_cell(kind, from, (PgwReviewAction) i);

		if (cell != NULL && cell->to != PGW_STATE_NONE)
			pgw_json_put_string(w, NULL, pgw_review_action_name((PgwReviewAction) i));
	}
	pgw_json_end_array(w);
}

static void
refuse(const Order *order, const PgwAttempt *attempt, const Review *review, const char *hint)
{
	PgwJsonWriter w;
	char id[37];

	pgw_uuid_to_text(attempt->transaction_id.data, id);
	pgw_json_begin(&w);
	pgw_json_put_string(&w, "transaction_id", id);
	pgw_json_put_string(&w, "action", pgw_review_action_name(order->action));
	pgw_json_put_string(&w, "kind", pgw_kind_name(attempt->kind));
	pgw_json_put_string(&w, "transaction_status", pgw_state_name(attempt->status));
	if (review != NULL)
	{
		pgw_json_put_string(&w, "came_from", pgw_state_name(review->from));
		put_possible_actions(&w, attempt->kind, review->from);
	}
	pgw_raise("operation_not_allowed", w.text.data, hint);
}

/* In the account of the attempt's bank; claimed only when the action takes effect. */
static const char *
account_of(const PgwAttempt *attempt)
{
	PgwBank *bank;

	pgw_config_refresh(false);
	bank = pgw_config_bank_of(attempt->bank, attempt->bank_version, NULL);
	if (bank == NULL && attempt->bank_version != 0)
		/* whose ledger it is cannot be guessed */
		elog(ERROR, "version %d of bank \"%s\" is not in pgw.bank_versions", attempt->bank_version,
			 attempt->bank);
	return bank != NULL ? bank->account : attempt->bank != NULL ? attempt->bank : "";
}

static bool
belongs_to_another(const PgwAttempt *attempt, const char *bank_reference)
{
	return pgw_store_reference_owner(account_of(attempt), bank_reference,
									 &attempt->transaction_id) == PGW_OWNER_OTHER;
}

/*
 * From now on the charge is this attempt's; whoever is just writing that it is another's is waited
 * for.
 */
static void
claim_charge(const PgwAttempt *attempt, const Order *order, const Review *review)
{
	if (pgw_store_claim_reference(account_of(attempt), order->bank_reference,
								  &attempt->transaction_id, true) != PGW_OWNER_SELF)
		refuse(order, attempt, review,
			   "Another payment at this bank has this reference: look it up at the bank again.");
}

/* The bank says that it did it, and what it would count against has been used since. */
static bool
is_unclaimed(const Review *review)
{
	return review->from == PGW_FAILED && review->reason != NULL &&
		   strcmp(review->reason, PGW_EVIDENCE_UNCLAIMED) == 0;
}

static const PgwReviewCell *
check_allowed(const Order *order, const PgwAttempt *attempt, Review *review)
{
	const PgwReviewCell *cell;

	if (attempt->status != PGW_REQUIRES_MANUAL_REVIEW)
		refuse(order, attempt, NULL,
			   "It is not in manual review: pgw.manual_reviews lists what is.");
	find_review(attempt, review);
	cell = pgw_review_cell(attempt->kind, review->from, order->action);
	if (cell == NULL)
		elog(ERROR, "the events do not say which state the review came from");
	if (cell->to == PGW_STATE_NONE)
		refuse(order, attempt, review,
			   psprintf("%c%s.", pg_toupper((unsigned char) cell->refusal[0]), cell->refusal + 1));

	if (cell->to == PGW_COMPLETED && is_unclaimed(review))
		refuse(
			order, attempt, review,
			"More would be moved than the payment has: settle it with the bank, then mark_not_charged ends the review.");

	/* A charge is one attempt's: another's would be given back, or counted twice. */
	if (order->action == PGW_REVIEW_MARK_CHARGED && attempt->kind == PGW_KIND_PAYMENT &&
		cell->to == PGW_BANK_APPROVED)
	{
		Assert(order->bank_reference != NULL); /* check_evidence() has asked for it */
		if (attempt->bank_reference != NULL &&
			strcmp(attempt->bank_reference, order->bank_reference) != 0)
			refuse(
				order, attempt, review,
				"The bank has named another reference for this charge: see bank_reference in pgw.manual_reviews.");
		if (belongs_to_another(attempt, order->bank_reference))
			refuse(
				order, attempt, review,
				"Another payment at this bank has this reference: look it up at the bank again.");
	}
	return cell;
}

/* ---------------------------------------------------------------- two pairs of eyes */

/*
 * true: somebody else has proposed the very same; else this is the proposal, or there is no leave.
 */
static bool
confirmed(const Order *order, const PgwAttempt *attempt, PgwProposal *proposal)
{
	const char *action = pgw_review_action_name(order->action);
	Oid session = GetSessionUserId();
	bool found = pgw_proposal_newest(&attempt->transaction_id, proposal) &&
				 proposal->step_order == attempt->step_order;
	bool same = found && strcmp(proposal->action, action) == 0 &&
				strcmp(proposal->evidence, order->evidence) == 0;

	if (same && proposal->proposed_by != session)
		return true;
	if (same)
		pgw_raise(
			"four_eyes_required", pgw_detail(NULL, "action", action),
			"The proposal was made by this session's role: another one must call with the same action and evidence.");

	proposal->proposal++;
	proposal->step_order = attempt->step_order;
	proposal->action = pstrdup(action);
	proposal->note = order->note;
	proposal->evidence = order->evidence;
	proposal->proposed_by = session;
	proposal->proposer = GetUserNameFromId(session, false);
	proposal->actor = pgw_actor_json(&order->actor);
	pgw_proposal_add(&attempt->transaction_id, proposal);
	ereport(
		NOTICE,
		(errmsg("%s is proposed%s, nothing has changed yet", action,
				found ? " instead of the former proposal" : ""),
		 errhint(
			 "It takes effect when a session of another role calls pgw.resolve_review() with the same action and evidence.")));
	return false;
}

/* ---------------------------------------------------------------- carrying it out */

static void
set_refunding(PgwAttempt *attempt, const Review *review, TimestampTz now)
{
	/* in doubt it is asked about anew; the age of the key has not changed */
	attempt->watch_until = now + pgw_unknown_deadline * USECS_PER_SEC;
	if (review->from != PGW_REFUNDING)
	{
		/*
		 * how to give it back is chosen by the worker, anew; a refund that the bank took back is
		 * not in doubt
		 */
		pgw_store_forget_refund_request(attempt);
		attempt->refund_operation = NULL;
	}
	else if (pgw_review_key_did_nothing(review->reason))
		pgw_store_forget_refund_request(attempt);
	attempt->refund_keys_used = attempt->refund_request.key != NULL ? 1 : 0;
	attempt->refund_ruled_out = 0;
	attempt->abandoned_at = 0;
	pgw_record_error(attempt, pgw_error_find("given_back"));
}

/*
 * The bank has said that it has the order: a retry looks it up, and never orders it once more.  A
 * give-back stays accepted; an operation is in doubt from here on, as one that is pending.
 */
static void
retry_or_end_accepted(PgwAttempt *attempt, const Order *order, const Review *review)
{
	bool retried = attempt->accepted_at != 0 && order->action == PGW_REVIEW_RETRY &&
				   !PGW_MUTATED(ACCEPTED_RETRIED);

	if (retried && review->from == PGW_REFUNDING && !pgw_review_key_did_nothing(review->reason))
		return;
	attempt->pending_at_bank |= retried;
	attempt->accepted_at = 0;
}

/* What the next step needs; the row is written with the event. */
static void
prepare(PgwAttempt *attempt, const Order *order, const Review *review, PgwState to)
{
	TimestampTz now = pgw_now();

	Assert(attempt->status == PGW_REQUIRES_MANUAL_REVIEW); /* check_allowed() has seen to it */
	/* in doubt from here on, as any other, or over; but what could not be saved is saved as it is
	 */
	if (review->from != PGW_BANK_APPROVED || to != PGW_BANK_APPROVED)
		retry_or_end_accepted(attempt, order, review);
	attempt->step_tries = 0;
	attempt->cancelled_at = 0;
	attempt->next_step_at = now;
	attempt->watch_until = 0;
	switch (to)
	{
		case PGW_BANK_UNKNOWN:
		case PGW_SAVED:
			/* when it was last asked stays: when "not found" begins to count has not changed */
			attempt->watch_until = now + pgw_unknown_deadline * USECS_PER_SEC;
			break;
		case PGW_BANK_APPROVED:
			if (order->bank_reference != NULL)
				attempt->bank_reference = order->bank_reference;
			attempt->abandoned_at = 0;
			attempt->next_step_at = 0; /* the caller's decision is awaited, not a time */
			pgw_record_error(attempt, NULL);
			break;
		case PGW_FAILED:
			/*
			 * The operator may be wrong: a charge that turns up is given back. But one that he has
			 * already looked at is not shown again.
			 */
			if (attempt->kind == PGW_KIND_PAYMENT &&
				!(review->from == PGW_FAILED && order->action == PGW_REVIEW_MARK_NOT_CHARGED))
				attempt->watch_until = now + PGW_WATCH_MS * 1000;
			else
				attempt->next_step_at = 0;
			pgw_record_error(attempt, pgw_error_find("not_processed"));
			break;
		case PGW_REFUNDING:
			set_refunding(attempt, review, now);
			break;
		case PGW_REFUNDED:
			pgw_record_error(attempt, pgw_error_find("given_back"));
			break;
		case PGW_COMPLETED:
			attempt->next_step_at = 0;
			pgw_record_error(attempt, NULL);
			break;
		default:
			break;
	}
}

/*
 * false: what the decision means for the payments row is written by the worker, when it has saved
 * or given back.
 */
static bool
decides_payment(const PgwAttempt *attempt, const Review *review, PgwPaymentAmounts *s)
{
	if (review->accepted)
		pgw_payment_operation_no_longer_accepted(
			attempt->kind == PGW_KIND_PAYMENT ? PGW_KIND_CAPTURE : attempt->kind, attempt->amount,
			s);
	if (attempt->kind != PGW_KIND_PAYMENT)
	{
		/* a second success of the same money: nothing is held for it */
		if (is_unclaimed(review))
			return false;
		if (attempt->status == PGW_FAILED)
			pgw_payment_operation_undone(attempt->kind, attempt->amount, s);
		else if (attempt->status == PGW_COMPLETED)
			pgw_payment_operation_done(
				attempt->kind, attempt->amount,
				attempt->final_capture ||
					(attempt->kind == PGW_KIND_CAPTURE && pgw_store_closed_by_another(attempt)),
				s);
		return attempt->status == PGW_FAILED || attempt->status == PGW_COMPLETED ||
			   review->accepted;
	}
	if (attempt->status == PGW_SAVED)
		return review->accepted;
	/* the capture that was to follow the commit is done, or never will be */
	if (attempt->status == PGW_COMPLETED)
		pgw_payment_operation_done(PGW_KIND_CAPTURE, s->reserved, true, s);
	else
		*s = (PgwPaymentAmounts){.status = PGW_PAY_FAILED};
	return true;
}

static void
write_payment(const PgwAttempt *attempt, const Review *review)
{
	PgwPayment p;
	PgwPaymentAmounts s;

	if (!pgw_store_lock_payment(&attempt->payment_id, true, &p, NULL))
		return; /* of a caller that has rolled back */
	pgw_store_get_amounts(&p, &s);
	if (!decides_payment(attempt, review, &s))
		return;
	pgw_store_set_amounts(&p, &s);
	pgw_store_update_payment(&p);
}

static void
record(PgwAttempt *attempt, const Order *order, const Review *review, PgwState to,
	   const PgwProposal *proposal)
{
	PgwEventMembers members = {.n = 0};
	PgwEvent event = {.type = PGW_EV_MANUAL_REVIEW_RESOLVED, .from = attempt->status, .to = to};

	pgw_event_members_add_string(&members, "action", pgw_review_action_name(order->action));
	pgw_event_members_add_string(&members, "came_from", pgw_state_name(review->from));
	pgw_event_members_add_actor(&members, &order->actor);
	pgw_event_members_add_string(&members, "note", order->note);
	pgw_event_members_add(&members, (PgwEventMember){"evidence", PGW_MEMBER_JSON, order->evidence});
	if (proposal != NULL)
	{
		pgw_event_members_add_string(&members, "proposed_by", proposal->proposer);
		pgw_event_members_add(&members,
							  (PgwEventMember){"proposer", PGW_MEMBER_JSON, proposal->actor});
		pgw_event_members_add_string(&members, "proposal_note", proposal->note);
	}
	pgw_event_members_into(&members, &event);
	pgw_store_advance(attempt, false, &event, 1);
}

Datum
pgw_resolve_review_1_0(PG_FUNCTION_ARGS)
{
	Order order;
	Review review;
	PgwAttempt attempt;
	PgwProposal proposal;
	const PgwReviewCell *cell;
	Oid caller;
	int sec_context;
	bool two = require_four_eyes;

	PreventCommandIfReadOnly("pgw.resolve_review()");
	PreventCommandDuringRecovery("pgw.resolve_review()");
	PreventCommandIfParallelMode("pgw.resolve_review()");
	get_order(fcinfo, &order);
	pgw_require(GetUserId(), "operator", NULL);
	pgw_require_version();
	pgw_actor_calling(&order.actor, GetUserId(), &order.says, NULL);
	pgw_become_owner(&caller, &sec_context);
	pgw_require_home_of_id(&order.transaction_id);
	pgw_hold_home_of_id(&order.transaction_id);

	/*
	 * Another merchant's transaction is no transaction: its id is not confirmed, nor its row
	 * locked.
	 */
	if (!pgw_store_attempt_by_id(&order.transaction_id, &attempt) ||
		!pgw_caller_may(caller, "operator", attempt.merchant) ||
		!pgw_store_lock_attempt(&order.transaction_id, true, &attempt, NULL))
	{
		char id[37];

		pgw_uuid_to_text(order.transaction_id.data, id);
		pgw_raise("transaction_not_found", pgw_detail(NULL, "transaction_id", id), NULL);
	}
	cell = check_allowed(&order, &attempt, &review);
	if (!two || confirmed(&order, &attempt, &proposal))
	{
		if (order.action == PGW_REVIEW_MARK_CHARGED && attempt.kind == PGW_KIND_PAYMENT &&
			cell->to == PGW_BANK_APPROVED)
			claim_charge(&attempt, &order, &review);
		prepare(&attempt, &order, &review, cell->to);
		record(&attempt, &order, &review, cell->to, two ? &proposal : NULL);
		if (attempt.kind != PGW_KIND_PAYMENT || review.from == PGW_SAVED)
			write_payment(&attempt, &review);

		/* Once this has committed, and not before, the worker goes on, and tells the listeners. */
		pgw_commit_signal_add(&attempt.transaction_id, PGW_COMMIT_SIGNAL_PROCESS);
	}
	ForceSyncCommit();
	pgw_become_caller(caller, sec_context);
	return pgw_row_from_string(get_func_rettype(fcinfo->flinfo->fn_oid),
							   pgw_state_name(attempt.status));
}

/* What the grid allows, for pgw.manual_reviews. */
Datum
pgw_review_actions_1_0(PG_FUNCTION_ARGS)
{
	Datum names[PGW_NREVIEW_ACTIONS];
	int n = 0;
	PgwKind kind;
	PgwState from;

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		PG_RETURN_NULL();
	kind = (PgwKind) pgw_kind_parse(
		pgw_row_to_string(get_fn_expr_argtype(fcinfo->flinfo, 0), PG_GETARG_DATUM(0)));
	from = pgw_state_parse(
		pgw_row_to_string(get_fn_expr_argtype(fcinfo->flinfo, 1), PG_GETARG_DATUM(1)));
	for (int i = 0; i < PGW_NREVIEW_ACTIONS; i++)
	{
		const PgwReviewCell *cell = pgw_review_cell(kind, from, (PgwReviewAction) i);

		if (cell != NULL && cell->to != PGW_STATE_NONE)
			names[n++] = CStringGetTextDatum(pgw_review_action_name((PgwReviewAction) i));
	}
	PG_RETURN_ARRAYTYPE_P(construct_array(names, n, TEXTOID, -1, false, TYPALIGN_INT));
}
