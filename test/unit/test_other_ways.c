/*
 * test_other_ways.c - giving back what is not settled yet: as a whole, by a void instead of a
 * refund and back, or after a time
 */
#include "check_flow.h"

#include <stdio.h>

#include "core/connector/connector.h"
#include "core/payment/compensation_rules.h"
#include "core/payment/operation_events.h"

#define AMOUNT 1000
#define SETTLES 86400

#define R PGW_RULED_OUT(PGW_OP_REFUND)
#define V PGW_RULED_OUT(PGW_OP_VOID)
#define W PGW_RULED_OUT(PGW_OP_REVERSE)

static const PgwCapabilities both = {
	.can_void = true, .can_refund = true, .lookup_consistent_after_s = -1};
static const PgwCapabilities reverses = {.can_void = true,
										 .can_refund = true,
										 .can_reverse = true,
										 .can_cancel = true,
										 .lookup_consistent_after_s = -1};

/* Which way comes next, of a charge that is captured, or not, with these ruled out. */
static void
ways(void **state)
{
	static const struct
	{
		const PgwCapabilities *caps;
		PgwToGiveBack what;
		PgwBankOp want;
	} cases[] = {
		{&both, {.captured = true}, PGW_OP_REFUND},
		{&both, {.captured = true, .ruled_out = R}, PGW_OP_VOID},
		{&both, {.captured = true, .ruled_out = R, .part = true}, PGW_OP_REFUND},
		{&both, {.captured = true, .ruled_out = R | V}, PGW_OP_REFUND},
		{&both, {.captured = false}, PGW_OP_VOID},
		{&both, {.captured = false, .ruled_out = V}, PGW_OP_REFUND},
		{&both, {.captured = false, .ruled_out = R | V}, PGW_OP_VOID},
		{&reverses, {.captured = true}, PGW_OP_REVERSE},
		{&reverses, {.captured = false}, PGW_OP_REVERSE},
		{&reverses, {.captured = true, .amount_in_doubt = true}, PGW_OP_REVERSE},
		/* the rest of a charge is no whole charge */
		{&reverses, {.captured = true, .part = true}, PGW_OP_REFUND},
		{&reverses, {.captured = true, .ruled_out = W}, PGW_OP_REFUND},
		{&reverses, {.captured = false, .ruled_out = W}, PGW_OP_VOID},
		{&reverses, {.captured = true, .amount_in_doubt = true, .ruled_out = W}, PGW_OP_CANCEL},
	};

	for (size_t i = 0; i < LENGTH(cases); i++)
	{
		PgwBankOp op = pgw_compensation_operation(cases[i].caps, &cases[i].what);

		if (op != cases[i].want)
			fail_msg("case %zu: %s", i, pgw_op_name(op));
	}
}

static PgwAnswer
no(const char *why)
{
	PgwAnswer a = answer(PGW_OUT_DECLINED);

	strcpy(a.error_code, why);
	return a;
}

/* ---- of a give-back ---- */

static PgwCompensationDecision
given_back(const PgwCapabilities *caps, PgwBankOp operation, int ruled_out, bool in_doubt,
		   int64_t age, const char *why)
{
	PgwAnswer a = no(why);
	PgwCompensationInput in = {.op = operation,
							   .operation = operation,
							   .captured = true,
							   .ruled_out = ruled_out,
							   .charge_age_s = age,
							   .in_doubt = in_doubt,
							   .answer = &a,
							   .caps = caps,
							   .keys_used = 1,
							   .max_keys = 3,
							   .amount = AMOUNT,
							   .currency = "EUR",
							   .charged = AMOUNT};
	PgwCompensationDecision d;

	pgw_compensation_result(&in, &d);
	assert_null(events_wrong(PGW_KIND_PAYMENT, PGW_REFUNDING, &d.decision));
	return d;
}

static void
is_turn(const PgwCompensationDecision *d, PgwBankOp to, int ruled_out)
{
	assert_int_equal(d->next, PGW_COMPENSATION_ANEW);
	assert_int_equal(d->operation, to);
	assert_int_equal(d->ruled_out, ruled_out);
	assert_int_equal(d->wait_s, 0);
}

static void
once_each_way(void **state)
{
	PgwCompensationDecision d;

	d = given_back(&both, PGW_OP_REFUND, 0, false, 0, PGW_REFUND_UNSETTLED);
	is_turn(&d, PGW_OP_VOID, R);
	d = given_back(&both, PGW_OP_VOID, R, false, 0, PGW_VOID_SETTLED);
	is_turn(&d, PGW_OP_REFUND, R | V);
	d = given_back(&both, PGW_OP_REFUND, R | V, false, 0, PGW_REFUND_UNSETTLED);
	is_turn(&d, PGW_OP_REFUND, R | V); /* tried again, as any that is refused */

	/* another no is no word on the charge's state */
	d = given_back(&both, PGW_OP_REFUND, 0, false, 0, "refund_refused");
	is_turn(&d, PGW_OP_REFUND, 0);
	d = given_back(&both, PGW_OP_VOID, 0, false, 0, PGW_REFUND_UNSETTLED);
	is_turn(&d, PGW_OP_VOID, 0);

	/* a reversal is refused for whatever: once */
	d = given_back(&reverses, PGW_OP_REVERSE, 0, false, 0, "");
	is_turn(&d, PGW_OP_REFUND, W);

	/* in doubt, and nothing could show what became of the first request */
	d = given_back(&both, PGW_OP_REFUND, 0, true, 0, PGW_REFUND_UNSETTLED);
	assert_int_equal(d.next, PGW_COMPENSATION_STOP);
	d = given_back(&reverses, PGW_OP_REVERSE, 0, true, 0, "");
	assert_int_equal(d.next, PGW_COMPENSATION_STOP);
	assert_string_equal(d.decision.reason, "repeat_refused");
}

/*
 * An authorization that has lapsed holds nobody's money.  What a void instead of a refund is to
 * undo has been captured, and cannot lapse.
 */
static void
lapsed(void **state)
{
	static const PgwCapabilities voids = {.can_void = true, .lookup_consistent_after_s = -1};
	static const char *const why = "authorization_expired";
	PgwCompensationDecision d = given_back(&both, PGW_OP_VOID, R, false, 0, why);

	assert_int_equal(d.next, PGW_COMPENSATION_ANEW);
	assert_int_equal(d.decision.state, PGW_REFUNDING);
	d = given_back(&voids, PGW_OP_VOID, 0, false, 0, why);
	assert_int_equal(d.next, PGW_COMPENSATION_ANEW);
	/* voided because the bank has shown an authorization where a charge was asked for */
	d = given_back(&both, PGW_OP_VOID, 0, false, 0, why);
	assert_int_equal(d.next, PGW_COMPENSATION_DONE);
}

/* A reversal that is refused may have been done all the same, where a look-up shows it: asked. */
static void
refused_reversal(void **state)
{
	PgwCapabilities caps = reverses;
	PgwCompensationDecision d;

	caps.lookup = caps.lookup_shows_captured = caps.lookup_shows_refunded = true;
	d = given_back(&caps, PGW_OP_REVERSE, 0, false, 0, "");
	is_turn(&d, PGW_OP_REFUND, W); /* what is voided is not shown: no look-up could tell */
	caps.lookup_shows_voided = true;
	d = given_back(&caps, PGW_OP_REVERSE, 0, false, 0, "");
	assert_int_equal(d.next, PGW_COMPENSATION_FIND_OUT);
	caps.lookup_consistent_after_s = 2;
	d = given_back(&caps, PGW_OP_REVERSE, 0, false, 0, "");
	is_turn(&d, PGW_OP_REFUND, W); /* after the look-up that comes before every new key */
}

/* What cannot be voided is refunded when it is settled. */
static void
waits(void **state)
{
	PgwCapabilities caps = both;
	PgwCompensationFacts facts = {.operation = PGW_OP_REFUND, .deadline_s = 3600};
	PgwCompensationDecision d;

	caps.settles_after_s = SETTLES;
	d = given_back(&caps, PGW_OP_REFUND, R | V, false, 60, PGW_REFUND_UNSETTLED);
	assert_int_equal(d.next, PGW_COMPENSATION_ANEW);
	assert_int_equal(d.operation, PGW_OP_REFUND);
	assert_int_equal(d.wait_s, SETTLES - 60);
	caps.can_void = false;
	d = given_back(&caps, PGW_OP_REFUND, 0, false, SETTLES - 1, PGW_REFUND_UNSETTLED);
	assert_int_equal(d.wait_s, 1);
	d = given_back(&caps, PGW_OP_REFUND, 0, false, SETTLES, PGW_REFUND_UNSETTLED);
	is_turn(&d, PGW_OP_REFUND, 0);

	/* and not overdue before */
	assert_true(pgw_compensation_overdue(&facts, 3600));
	facts.waits_s = SETTLES;
	assert_false(pgw_compensation_overdue(&facts, SETTLES));
	assert_true(pgw_compensation_overdue(&facts, SETTLES + 3600));
}

/* ---- of a refund that was asked for ---- */

typedef struct Asked
{
	PgwBankOp operation;
	bool whole;
	int ruled_out;
	int64_t age;
} Asked;

static PgwOperationDecision
asked_for(const PgwCapabilities *caps, const Asked *asked, PgwBankOp op, const char *refusal,
		  PgwAnswer a)
{
	PgwOperationInput in = {.op = op,
							.operation = asked->operation,
							.of_refund = asked->operation != PGW_OP_REFUND,
							.whole = asked->whole,
							.ruled_out = asked->ruled_out,
							.charge_age_s = asked->age,
							.asked_for = true,
							.in_doubt = op == PGW_OP_LOOKUP_CHARGE,
							.refusal = refusal,
							.answer = &a,
							.caps = caps,
							.not_found_counts = true,
							.amount = AMOUNT,
							.currency = "EUR"};
	PgwOperationDecision r;
	PgwDecision d;

	pgw_operation_result(&in, &r);
	pgw_operation_decision(&r, PGW_CREATED, true, &d);
	assert_null(events_wrong(PGW_KIND_REFUND, PGW_CREATED, &d));
	pgw_operation_decision(&r, PGW_BANK_UNKNOWN, true, &d);
	assert_null(events_wrong(PGW_KIND_REFUND, PGW_BANK_UNKNOWN, &d));
	return r;
}

static void
requested(void **state)
{
	static const struct
	{
		Asked asked;
		const char *why;
		PgwOperationNext next;
		PgwBankOp operation;
		int ruled_out;
		int64_t wait_s;
	} cases[] = {
		{{PGW_OP_REFUND, true, 0, 0},
		 PGW_REFUND_UNSETTLED,
		 PGW_OPERATION_OTHERWISE,
		 PGW_OP_VOID,
		 R,
		 0},
		{{PGW_OP_VOID, true, R, 0},
		 PGW_VOID_SETTLED,
		 PGW_OPERATION_OTHERWISE,
		 PGW_OP_REFUND,
		 R | V,
		 0},
		{{PGW_OP_REFUND, true, R | V, 9},
		 PGW_REFUND_UNSETTLED,
		 PGW_OPERATION_OTHERWISE,
		 PGW_OP_REFUND,
		 R | V,
		 SETTLES - 9},
		{{PGW_OP_REFUND, true, R | V, SETTLES},
		 PGW_REFUND_UNSETTLED,
		 PGW_OPERATION_REFUSED,
		 PGW_NOPS,
		 0,
		 0},
		/* a part waits, and a void would undo all of it */
		{{PGW_OP_REFUND, false, 0, 9},
		 PGW_REFUND_UNSETTLED,
		 PGW_OPERATION_OTHERWISE,
		 PGW_OP_REFUND,
		 0,
		 SETTLES - 9},
		{{PGW_OP_REFUND, false, 0, SETTLES},
		 PGW_REFUND_UNSETTLED,
		 PGW_OPERATION_REFUSED,
		 PGW_NOPS,
		 0,
		 0},
		{{PGW_OP_REFUND, true, 0, 0}, "refund_refused", PGW_OPERATION_REFUSED, PGW_NOPS, 0, 0},
		{{PGW_OP_VOID, true, R, 0}, "operation_not_allowed", PGW_OPERATION_REFUSED, PGW_NOPS, 0, 0},
		/* the authorization of what is captured may have lapsed: that gives nothing back */
		{{PGW_OP_VOID, true, R, 0}, "authorization_expired", PGW_OPERATION_REFUSED, PGW_NOPS, 0, 0},
	};
	PgwCapabilities caps = both;

	caps.settles_after_s = SETTLES;
	for (size_t i = 0; i < LENGTH(cases); i++)
	{
		PgwOperationDecision r =
			asked_for(&caps, &cases[i].asked, cases[i].asked.operation, NULL, no(cases[i].why));

		if (r.next != cases[i].next)
			fail_msg("case %zu: next %d", i, (int) r.next);
		if (r.next != PGW_OPERATION_OTHERWISE)
			continue;
		assert_int_equal(r.operation, cases[i].operation);
		assert_int_equal(r.ruled_out, cases[i].ruled_out);
		assert_int_equal(r.wait_s, cases[i].wait_s);
	}
	caps.settles_after_s = 0; /* not said: nobody knows how long to wait */
	assert_int_equal(
		asked_for(&caps, &cases[4].asked, PGW_OP_REFUND, NULL, no(PGW_REFUND_UNSETTLED)).next,
		PGW_OPERATION_REFUSED);
}

/* Where there is a look-up, it comes first; and it tells a void that refunds from one that does
 * not. */
static void
looked_up(void **state)
{
	static const Asked refund = {PGW_OP_REFUND, true, 0, 0};
	static const Asked release = {PGW_OP_VOID, true, R, 0};
	PgwCapabilities caps = both;
	PgwAnswer a = answer(PGW_OUT_APPROVED);
	PgwOperationDecision r;
	PgwOperationFacts facts = {.operation = PGW_OP_VOID, .of_refund = true, .deadline_s = 3600};
	const char *reason;

	caps.lookup = caps.lookup_shows_captured = caps.lookup_shows_refunded = true;
	caps.lookup_shows_voided = true;
	caps.lookup_consistent_after_s = 2;
	r = asked_for(&caps, &refund, PGW_OP_REFUND, NULL, no(PGW_REFUND_UNSETTLED));
	assert_int_equal(r.next, PGW_OPERATION_FIND_OUT);
	a.captured = AMOUNT;
	a.refunded = 0;
	a.has_voided = true;
	r = asked_for(&caps, &refund, PGW_OP_LOOKUP_CHARGE, PGW_REFUND_UNSETTLED, a);
	assert_int_equal(r.next, PGW_OPERATION_OTHERWISE);
	assert_int_equal(r.operation, PGW_OP_VOID);

	/* its answer was lost: captured, and not voided, is not done, and no reason to give it up */
	r = asked_for(&caps, &release, PGW_OP_LOOKUP_CHARGE, NULL, a);
	assert_int_equal(r.next, PGW_OPERATION_AT_ONCE);
	a.voided = true;
	r = asked_for(&caps, &release, PGW_OP_LOOKUP_CHARGE, NULL, a);
	assert_int_equal(r.next, PGW_OPERATION_DONE);
	a.voided = false;
	a.refunded = AMOUNT;
	r = asked_for(&caps, &release, PGW_OP_LOOKUP_CHARGE, NULL, a);
	assert_int_equal(r.next, PGW_OPERATION_DONE);

	/* a look-up that leaves out one of the two does not tell */
	assert_int_equal(pgw_operation_step(&caps, &facts, &reason), PGW_OPERATION_LOOKUP_CHARGE);
	caps.lookup_shows_refunded = false;
	assert_int_equal(pgw_operation_step(&caps, &facts, &reason), PGW_OPERATION_REVIEW);
	/* what was never sent is in no doubt */
	facts.unsent = true;
	assert_int_equal(pgw_operation_step(&caps, &facts, &reason), PGW_OPERATION_SEND);
}

/* ---- the language ---- */

static PgwConnector *
compile(int version, const char *operation, const char *rule, PgwConnectorError *err)
{
	char text[2048];

	snprintf(
		text, sizeof(text),
		"{\"v\":%d,\"capabilities\":{\"tokens\":true%s},\"operations\":{"
		"\"charge\":{\"method\":\"POST\",\"path\":\"/c\",\"body\":{\"t\":\"{{token}}\"},\"answer\":{"
		"\"rules\":[{\"status\":200,\"outcome\":\"approved\"}]}},"
		"\"%s\":{\"method\":\"POST\",\"path\":\"/r/{{original_ref}}\",\"answer\":{\"rules\":[%s]}}}}",
		version, version > 1 ? ",\"settles_after_seconds\":7200" : "", operation, rule);
	return pgw_connector_compile(text, strlen(text), err);
}

#define UNSETTLED "{\"status\":422,\"outcome\":\"refund_refused_unsettled\"}"
#define SETTLED "{\"status\":422,\"outcome\":\"void_refused_settled\"}"

static void
language(void **state)
{
	PgwQuestion q = {.op = PGW_OP_REFUND, .original_ref = "o", .currency = "EUR"};
	PgwConnectorError err;
	PgwConnector *c = compile(2, "refund", UNSETTLED, &err);
	PgwAnswer a;

	assert_non_null(c);
	assert_int_equal(pgw_connector_capabilities(c)->settles_after_s, 7200);
	pgw_connector_judge(c, &q, &(PgwGivenAnswer){.status = 422, .body = "{}", .len = 2}, &a);
	assert_int_equal(a.outcome, PGW_OUT_DECLINED);
	assert_string_equal(a.error_code, PGW_REFUND_UNSETTLED);
	pgw_connector_free(c);

	c = compile(2, "reverse", "{\"status\":200,\"outcome\":\"approved\"}", &err);
	assert_non_null(c);
	assert_true(pgw_connector_capabilities(c)->can_reverse);
	pgw_connector_free(c);

	assert_null(compile(2, "void", UNSETTLED, &err));
	assert_non_null(strstr(err.message, "for \"refund\" only"));
	assert_null(compile(2, "refund", SETTLED, &err));
	assert_null(compile(1, "refund", UNSETTLED, &err));
	assert_non_null(strstr(err.message, "needs version 2"));
	assert_null(compile(1, "reverse", "{\"status\":200,\"outcome\":\"approved\"}", &err));
	assert_non_null(strstr(err.message, "needs version 2"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ways),      cmocka_unit_test(once_each_way),
		cmocka_unit_test(lapsed),    cmocka_unit_test(refused_reversal),
		cmocka_unit_test(waits),     cmocka_unit_test(requested),
		cmocka_unit_test(looked_up), cmocka_unit_test(language),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
