/*
 * test_accepted.c - what the bank has accepted and may still fail: what is asked, what an answer
 * means, and a random walk beside a bank whose truth the rules must not belie
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "check_flow.h"
#include "core/payment/accepted_rules.h"
#include "core/payment/compensation_rules.h"
#include "core/payment/operation_events.h"
#include "core/payment/unknown_outcome_rules.h"

static const PgwCapabilities asks_refunds = {.lookup_refund = true,
											 .lookup_consistent_after_s = 60};
static const PgwCapabilities asks_charges = {.lookup = true,
											 .lookup_shows_captured = true,
											 .lookup_shows_refunded = true,
											 .lookup_shows_voided = true,
											 .lookup_consistent_after_s = 60};
static const PgwCapabilities asks_nothing = {.lookup_consistent_after_s = -1,
											 .accepted_final_after_s = 1000};

static PgwAcceptedStep
step(const PgwCapabilities *caps, PgwBankOp operation, int64_t age_s)
{
	PgwAcceptedFacts facts = {.operation = operation, .age_s = age_s, .deadline_s = 3600};

	return pgw_accepted_step(caps, &facts);
}

static void
what_is_asked(void **unused)
{
	static const PgwBankOp operations[] = {PGW_OP_CAPTURE, PGW_OP_VOID, PGW_OP_REFUND,
										   PGW_OP_REVERSE};

	(void) unused;
	for (int i = 0; i < 4; i++)
	{
		/* days are the bank's right, a month is not */
		assert_int_equal(step(&asks_charges, operations[i], 10 * 86400),
						 PGW_ACCEPTED_LOOKUP_CHARGE);
		assert_int_equal(step(&asks_charges, operations[i], PGW_PENDING_DEADLINE_S),
						 PGW_ACCEPTED_REVIEW);
		assert_int_equal(step(&asks_nothing, operations[i], 999), PGW_ACCEPTED_WAIT);
		assert_int_equal(step(&asks_nothing, operations[i], 1000), PGW_ACCEPTED_DONE);
	}
	assert_int_equal(step(&asks_refunds, PGW_OP_REFUND, 0), PGW_ACCEPTED_LOOKUP_REFUND);
	assert_int_equal(pgw_accepted_wait_s(&asks_nothing, 400), 600);
	/* nothing to wait for, and nothing to do: that is no busy loop */
	assert_int_equal(pgw_accepted_wait_s(&asks_charges, PGW_PENDING_DEADLINE_S),
					 PGW_ACCEPTED_PAUSE_S);
}

/* The answer to a look-up for a refund of 400 of 1000, of which nothing was refunded before. */
static PgwOperationNext
told(const PgwCapabilities *caps, PgwBankOp op, PgwOutcome outcome, int64_t refunded, bool counts)
{
	PgwAnswer a = {.outcome = outcome, .captured = 1000, .refunded = refunded};
	PgwOperationInput in = {.op = op,
							.operation = PGW_OP_REFUND,
							.asked_for = true,
							.answer = &a,
							.caps = caps,
							.not_found_counts = counts,
							.amount = 400,
							.currency = "EUR"};
	PgwOperationDecision d;

	pgw_accepted_result(&in, &d);
	return d.next;
}

static void
what_answers_mean(void **unused)
{
	static const PgwOutcome silent[] = {PGW_OUT_UNKNOWN,  PGW_OUT_PENDING,   PGW_OUT_REJECTED,
										PGW_OUT_ACCEPTED, PGW_OUT_NOT_FOUND, PGW_OUT_NOT_PROCESSED};
	PgwCapabilities not_said = asks_refunds;

	(void) unused;
	not_said.lookup_consistent_after_s = -1;
	for (int counts = 0; counts <= 1; counts++)
	{
		/* what is not shown is no failure, however late */
		for (int i = 0; i < 6; i++)
			assert_int_equal(told(&asks_refunds, PGW_OP_LOOKUP_REFUND, silent[i], -1, counts),
							 PGW_OPERATION_ACCEPTED);
		assert_int_equal(told(&asks_charges, PGW_OP_LOOKUP_CHARGE, PGW_OUT_APPROVED, 0, counts),
						 PGW_OPERATION_ACCEPTED);
		assert_int_equal(told(&asks_charges, PGW_OP_LOOKUP_CHARGE, PGW_OUT_APPROVED, 399, counts),
						 PGW_OPERATION_ACCEPTED);
		assert_int_equal(told(&asks_charges, PGW_OP_LOOKUP_CHARGE, PGW_OUT_APPROVED, 400, counts),
						 PGW_OPERATION_DONE);
		assert_int_equal(told(&asks_refunds, PGW_OP_LOOKUP_REFUND, PGW_OUT_APPROVED, -1, counts),
						 PGW_OPERATION_DONE);
		/* its failure is, if it cannot be of before the order */
		assert_int_equal(told(&asks_refunds, PGW_OP_LOOKUP_REFUND, PGW_OUT_DECLINED, -1, counts),
						 counts ? PGW_OPERATION_REFUSED : PGW_OPERATION_ACCEPTED);
		assert_int_equal(told(&not_said, PGW_OP_LOOKUP_REFUND, PGW_OUT_DECLINED, -1, counts),
						 PGW_OPERATION_REFUSED);
	}
	/* the bank has forgotten what it approved */
	assert_int_equal(told(&asks_charges, PGW_OP_LOOKUP_CHARGE, PGW_OUT_NOT_FOUND, -1, true),
					 PGW_OPERATION_STOP);
}

/* The first answer: an order for another amount is none of ours. */
static void
the_order(void **unused)
{
	PgwAnswer a = {.outcome = PGW_OUT_ACCEPTED,
				   .has_amount = true,
				   .amount = 400,
				   .captured = -1,
				   .refunded = -1};
	PgwOperationInput in = {.op = PGW_OP_REFUND,
							.operation = PGW_OP_REFUND,
							.asked_for = true,
							.answer = &a,
							.caps = &asks_refunds,
							.amount = 400,
							.currency = "EUR"};
	PgwOperationDecision r;
	PgwDecision d;

	(void) unused;
	pgw_operation_result(&in, &r);
	assert_int_equal(r.next, PGW_OPERATION_ACCEPTED);
	pgw_operation_decision(&r, PGW_CREATED, true, &d);
	assert_int_equal(d.state, PGW_SAVED);
	assert_int_equal(d.events[d.nevents - 1].type, PGW_EV_BANK_ACCEPTED);
	assert_null(events_wrong(PGW_KIND_REFUND, PGW_CREATED, &d));
	pgw_operation_decision(&r, PGW_BANK_UNKNOWN, false, &d);
	assert_int_equal(d.state, PGW_BANK_APPROVED);
	assert_true(d.save_later);
	pgw_operation_save(true, &d);
	assert_int_equal(d.state, PGW_SAVED);
	assert_null(events_wrong(PGW_KIND_REFUND, PGW_BANK_APPROVED, &d));
	a.amount = 401;
	pgw_operation_result(&in, &r);
	assert_int_equal(r.next, PGW_OPERATION_STOP);
}

/* Each end, of each kind, on an edge of the table. */
static void
ends(void **unused)
{
	static const PgwOperationNext nexts[] = {PGW_OPERATION_DONE, PGW_OPERATION_REFUSED,
											 PGW_OPERATION_STOP};

	(void) unused;
	for (int kind = PGW_KIND_PAYMENT; kind <= PGW_KIND_REFUND; kind++)
	{
		bool capture = kind == PGW_KIND_PAYMENT || kind == PGW_KIND_CAPTURE;

		for (int i = 0; i < 3; i++)
		{
			PgwOperationDecision r = {.next = nexts[i]};
			PgwDecision d;

			pgw_accepted_decision(&r, (PgwKind) kind, &d);
			assert_null(events_wrong((PgwKind) kind, PGW_SAVED, &d));
			assert_int_equal(d.state, i == 0              ? PGW_COMPLETED
									  : i == 2 || capture ? PGW_REQUIRES_MANUAL_REVIEW
														  : PGW_FAILED);
		}
	}
}

/*
 * A give-back that the bank has accepted, asked about at random times while the bank makes up its
 * mind, by look-ups that lag behind and fail: never is it taken for done, or sent again, before the
 * bank has done or failed it, and in the end it is.
 */
static void
give_backs(void **unused)
{
	(void) unused;
	srand(7);
	for (int run = 0; run < 2000; run++)
	{
		int64_t settled_at = rand() % 5000;
		bool done = rand() % 2 == 0;
		bool ended = false;

		for (int64_t now = 0; now < 20000 && !ended; now += 1 + rand() % 300)
		{
			/* how it stood up to a minute ago, if that was after the order */
			int64_t seen = now - rand() % 61;
			PgwAnswer a = {.outcome = seen < 0            ? PGW_OUT_NOT_FOUND
									  : seen < settled_at ? PGW_OUT_PENDING
									  : done              ? PGW_OUT_APPROVED
														  : PGW_OUT_DECLINED,
						   .captured = -1,
						   .refunded = -1};
			PgwCompensationInput in = {.op = PGW_OP_LOOKUP_REFUND,
									   .operation = PGW_OP_REFUND,
									   .captured = true,
									   .accepted = true,
									   .transport = rand() % 5 == 0 ? PGW_TRANSPORT_MAYBE_SENT
																	: PGW_TRANSPORT_ANSWERED,
									   .answer = &a,
									   .caps = &asks_refunds,
									   .keys_used = 1,
									   .max_keys = 10,
									   .not_found_counts = now >= 60,
									   .amount = 1000,
									   .currency = "EUR",
									   .charged = 1000};
			PgwCompensationDecision d;

			if (rand() % 7 == 0)
				a.outcome = PGW_OUT_UNKNOWN;
			pgw_compensation_result(&in, &d);
			ended = d.next != PGW_COMPENSATION_ACCEPTED;
			if (!ended)
			{
				assert_int_equal(d.decision.nevents, 0);
				continue;
			}
			assert_true(now >= settled_at);
			assert_int_equal(d.next, done ? PGW_COMPENSATION_DONE : PGW_COMPENSATION_ANEW);
			assert_null(events_wrong(PGW_KIND_PAYMENT, PGW_REFUNDING, &d.decision));
		}
		assert_true(ended);
	}
}

/*
 * A refund's answer is lost, at a bank that would only accept it, and the charge does not show it,
 * late as it is: it is not ordered once more under another key.  Nor is its give-back.
 */
static void
lost_orders(void **unused)
{
	PgwCapabilities caps = asks_charges;
	PgwAnswer a = {
		.outcome = PGW_OUT_APPROVED, .captured = 1000, .refunded = 0, .has_voided = true};
	PgwOperationInput in = {.op = PGW_OP_LOOKUP_CHARGE,
							.operation = PGW_OP_REFUND,
							.asked_for = true,
							.in_doubt = true,
							.answer = &a,
							.caps = &caps,
							.not_found_counts = true,
							.amount = 400,
							.currency = "EUR"};
	PgwCompensationInput back = {.op = PGW_OP_LOOKUP_CHARGE,
								 .operation = PGW_OP_REFUND,
								 .captured = true,
								 .in_doubt = true,
								 .answer = &a,
								 .caps = &caps,
								 .keys_used = 1,
								 .max_keys = 10,
								 .not_found_counts = true,
								 .amount = 1000,
								 .currency = "EUR",
								 .charged = 1000};

	(void) unused;
	caps.can_refund = caps.can_void = true;
	for (int accepts = 0; accepts <= 1; accepts++)
	{
		for (int spent = 0; spent <= 1; spent++)
		{
			bool held = accepts && spent;
			PgwOperationDecision d;
			PgwCompensationDecision b;

			caps.accepts[PGW_OP_REFUND] = accepts;
			in.key_is_spent = back.key_is_spent = spent;
			pgw_operation_result(&in, &d);
			assert_int_equal(d.next, held ? PGW_OPERATION_FIND_OUT : PGW_OPERATION_AT_ONCE);
			assert_false(d.pending);
			pgw_compensation_result(&back, &b);
			assert_int_equal(b.next, held ? PGW_COMPENSATION_FIND_OUT : PGW_COMPENSATION_AGAIN);
			assert_false(b.lookup_inconclusive);
		}
	}
	/* what is left after somebody gave back a part would be another request */
	a.refunded = 300;
	for (int accepts = 0; accepts <= 1; accepts++)
	{
		PgwCompensationDecision b;

		caps.accepts[PGW_OP_REFUND] = accepts;
		back.key_is_spent = false;
		pgw_compensation_result(&back, &b);
		assert_int_equal(b.next, accepts ? PGW_COMPENSATION_FIND_OUT : PGW_COMPENSATION_ANEW);
	}
	/* a void does no harm twice; a capture only where there can be two */
	for (int op = 0; op < PGW_NOPS; op++)
		caps.accepts[op] = true;
	assert_false(pgw_capabilities_may_hold_order(&caps, PGW_OP_VOID));
	assert_false(pgw_capabilities_may_hold_order(&caps, PGW_OP_CAPTURE));
	caps.multiple_captures = true;
	assert_true(pgw_capabilities_may_hold_order(&caps, PGW_OP_CAPTURE));
	assert_true(pgw_capabilities_may_hold_order(&caps, PGW_OP_REVERSE));
}

/*
 * A refund has a look-up of its own, by an id that nobody has heard: that the charge shows it is no
 * proof that it is done, as the bank may only have accepted it, and fail it after that.
 */
static void
shown_without_its_id(void **unused)
{
	PgwCapabilities all = asks_charges;
	PgwCapabilities caps;
	PgwAnswer a = {
		.outcome = PGW_OUT_APPROVED, .captured = 1000, .refunded = 1000, .has_voided = true};
	PgwOperationInput in = {.op = PGW_OP_LOOKUP_CHARGE,
							.operation = PGW_OP_REFUND,
							.asked_for = true,
							.in_doubt = true,
							.answer = &a,
							.caps = &caps,
							.not_found_counts = true,
							.amount = 1000,
							.currency = "EUR",
							.charged = 1000,
							.taken = 1000};
	PgwCompensationInput back = {.op = PGW_OP_LOOKUP_CHARGE,
								 .operation = PGW_OP_REFUND,
								 .captured = true,
								 .answer = &a,
								 .caps = &caps,
								 .keys_used = 1,
								 .max_keys = 10,
								 .not_found_counts = true,
								 .amount = 1000,
								 .currency = "EUR",
								 .charged = 1000};

	(void) unused;
	all.can_refund = all.can_void = all.lookup_refund = true;
	for (int i = 0; i < 8; i++)
	{
		bool open = (i & 3) == 3;
		PgwOperationDecision d;
		PgwCompensationDecision b;

		all.lookup_refund_needs_id = (i & 1) != 0;
		all.accepts[PGW_OP_REFUND] = (i & 2) != 0;
		pgw_capabilities_without_own_id(&all, &caps);
		in.refusal = (i & 4) != 0 ? "refund_refused" : NULL;
		pgw_operation_result(&in, &d);
		assert_int_equal(d.next, open ? PGW_OPERATION_ACCEPTED : PGW_OPERATION_DONE);
		pgw_accepted_result(&in, &d);
		assert_int_equal(d.next, open ? PGW_OPERATION_ACCEPTED : PGW_OPERATION_DONE);
		back.in_doubt = (i & 4) == 0;
		back.accepted = false;
		pgw_compensation_result(&back, &b);
		assert_int_equal(b.next, open ? PGW_COMPENSATION_ACCEPTED : PGW_COMPENSATION_DONE);
		assert_null(events_wrong(PGW_KIND_PAYMENT, PGW_REFUNDING, &b.decision));
		back.accepted = true;
		pgw_compensation_result(&back, &b);
		assert_int_equal(b.next, open ? PGW_COMPENSATION_ACCEPTED : PGW_COMPENSATION_DONE);
		assert_int_equal(b.decision.nevents, open ? 0 : 1);
	}
	/* it is asked about for a month, unless the connector says when what nobody can ask is done */
	assert_int_equal(step(&caps, PGW_OP_REFUND, 10 * 86400), PGW_ACCEPTED_LOOKUP_CHARGE);
	assert_int_equal(step(&caps, PGW_OP_REFUND, PGW_PENDING_DEADLINE_S), PGW_ACCEPTED_REVIEW);
	caps.accepted_final_after_s = 1000;
	assert_int_equal(step(&caps, PGW_OP_REFUND, 999), PGW_ACCEPTED_WAIT);
	assert_int_equal(step(&caps, PGW_OP_REFUND, 1000), PGW_ACCEPTED_DONE);
	/* a charge that is voided is undone, whoever did it, and keeps nothing of the customer's */
	a.voided = true;
	for (int accepted = 0; accepted <= 1; accepted++)
	{
		PgwOperationDecision d;
		PgwCompensationDecision b;

		(accepted ? pgw_accepted_result : pgw_operation_result)(&in, &d);
		assert_int_equal(d.next, PGW_OPERATION_DONE);
		back.accepted = accepted;
		pgw_compensation_result(&back, &b);
		assert_int_equal(b.next, PGW_COMPENSATION_DONE);
	}
	/* with its id it is asked about itself */
	assert_int_equal(step(&all, PGW_OP_REFUND, 0), PGW_ACCEPTED_LOOKUP_REFUND);
}

/* ---- the language ---- */

#define REFUND \
	"\"refund\":{\"method\":\"POST\",\"path\":\"/f/{{original_ref}}\",\"answer\":{\"rules\":[{\"status\":200,\"outcome\":\"approved\"}]}},"

static PgwConnector *
compile(int version, const char *capability, const char *operation, const char *more,
		PgwConnectorError *err)
{
	char text[2048];

	snprintf(
		text, sizeof(text),
		"{\"v\":%d,\"capabilities\":{\"tokens\":true%s},\"operations\":{"
		"\"charge\":{\"method\":\"POST\",\"path\":\"/c\",\"body\":{\"t\":\"{{token}}\"},\"answer\":{"
		"\"rules\":[{\"status\":200,\"outcome\":\"approved\"}]}},"
		"%s"
		"\"%s\":{\"method\":\"POST\",\"path\":\"/r/{{original_ref}}/{{transaction_ref}}\",\"answer\":{"
		"\"rules\":[{\"status\":202,\"outcome\":\"accepted\"}]}}%s}%s}",
		version, capability, strcmp(operation, "refund") == 0 ? "" : REFUND, operation,
		*more == ',' ? more : "", *more == ',' ? "" : more);
	return pgw_connector_compile(text, strlen(text), err);
}

#define FINAL ",\"accepted_final_after_seconds\":86400"
#define LOOKUP \
	",\"lookup_refund\":{\"method\":\"GET\",\"path\":\"/r/{{transaction_ref}}\",\"answer\":{\"rules\":[{\"status\":200,\"outcome\":\"approved\"}],\"reference_echoed\":false}}"

/* Beside the operations. */
#define TELLS(about) \
	" ,\"notifications\":{\"signature\":{\"scheme\":\"hmac_fields\",\"at\":\"/s\",\"fields\":[\"/r\",\"/o\",\"/v\",\"/c\",\"/e\"]," \
	"\"separator\":\":\",\"as\":\"hex\"},\"fields\":{\"reference\":\"/r\",\"bank_reference\":\"/o\",\"amount\":\"/v\",\"currency\":\"/c\"}," \
	"\"evidence\":[{\"when\":{\"/e\":\"x\"},\"about\":\"" about "\",\"outcome\":\"approved\"}]}"

static void
language(void **unused)
{
	PgwQuestion q = {.op = PGW_OP_REVERSE, .original_ref = "o", .currency = "EUR"};
	PgwConnectorError err;
	PgwConnector *c = compile(2, FINAL, "reverse", "", &err);
	PgwAnswer a;

	(void) unused;
	assert_non_null(c);
	assert_int_equal(pgw_connector_capabilities(c)->accepted_final_after_s, 86400);
	assert_true(pgw_connector_capabilities(c)->accepts[PGW_OP_REVERSE]);
	assert_false(pgw_connector_capabilities(c)->accepts[PGW_OP_REFUND]);
	pgw_connector_judge(c, &q, &(PgwGivenAnswer){.status = 202, .body = "{}", .len = 2}, &a);
	assert_int_equal(a.outcome, PGW_OUT_ACCEPTED);
	pgw_connector_free(c);

	/* nothing could tell, and it is not said when that is the end */
	assert_null(compile(2, "", "void", "", &err));
	assert_string_equal(err.pointer, "/capabilities/accepted_final_after_seconds");
	assert_non_null(strstr(err.message, "no look-up shows what becomes of it"));
	/* a look-up of refunds shows no reversal */
	assert_null(compile(2, "", "reverse", LOOKUP, &err));
	/* where one shows it there is nothing to assume */
	c = compile(2, "", "refund", LOOKUP, &err);
	assert_non_null(c);
	pgw_connector_free(c);
	assert_null(compile(2, FINAL, "refund", LOOKUP, &err));
	assert_non_null(strstr(err.message, "has no use"));
	/* a look-up or cancellation accepts nothing */
	assert_null(compile(2, FINAL, "cancel", "", &err));
	assert_non_null(strstr(err.message, "says \"pending\""));
	/* what the bank tells by itself of charges says nothing of a void */
	assert_null(compile(2, "", "void", TELLS("charge"), &err));
	assert_string_equal(err.pointer, "/capabilities/accepted_final_after_seconds");
	c = compile(2, "", "void", TELLS("void"), &err);
	if (c == NULL)
		fail_msg("%s: %s", err.pointer, err.message);
	pgw_connector_free(c);
	assert_null(compile(1, "", "void", "", &err));
	assert_non_null(strstr(err.message, "needs version 2"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_asked),
		cmocka_unit_test(what_answers_mean),
		cmocka_unit_test(the_order),
		cmocka_unit_test(ends),
		cmocka_unit_test(give_backs),
		cmocka_unit_test(lost_orders),
		cmocka_unit_test(shown_without_its_id),
		cmocka_unit_test(language),
	};

	return cmocka_run_group_tests_name("accepted", tests, NULL, NULL);
}
