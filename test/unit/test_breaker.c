/*
 * test_breaker.c - circuit breaker: every verdict and edge, as docs/breaker.md shows them, and each
 * trait by itself
 */
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cmocka_names.h"
#include "core/pacing/circuit_breaker.h"

#define COOLDOWN INT64_C(1000)
#define PROBE_TIMEOUT INT64_C(700)
#define LONGEST_COOLDOWN (COOLDOWN << PGW_BREAKER_MAX_DOUBLINGS)
#define START INT64_C(1000000)
#define HOUR INT64_C(3600000)
#define DAY INT64_C(86400000)
#define NVERDICTS 5

static const PgwBreakerConfig config = {
	.failures = 3, .cooldown_ms = COOLDOWN, .probe_timeout_ms = PROBE_TIMEOUT};
static const PgwBreakerPermit no_permit;

/*
 * Compares the table of docs/breaker.md that begins with this head with the rows that the test ran.
 */
static void
same_table(const char *head, const char *(*row)(size_t i), size_t nrows)
{
	const char *dir = getenv("PGW_SRCDIR");
	char path[1024];
	char line[1024];
	bool in_table = false;
	size_t i = 0;
	FILE *f;

	snprintf(path, sizeof(path), "%s/docs/breaker.md", dir ? dir : ".");
	f = fopen(path, "r");
	assert_non_null(f);
	while (fgets(line, sizeof(line), f) != NULL)
	{
		if (!in_table && strncmp(line, head, strlen(head)) == 0)
		{
			assert_non_null(fgets(line, sizeof(line), f));
			in_table = true;
			continue;
		}
		if (!in_table)
			continue;
		if (line[0] != '|')
			break;
		assert_true(i < nrows);
		assert_string_equal(line, row(i));
		i++;
	}
	fclose(f);
	assert_int_equal(i, nrows);
}

/* ---- what counts as what ---- */

static const struct
{
	const char *text; /* an outcome's name, or what the documentation says */
	PgwTransport transport;
	long http_status;
	PgwOutcome outcome;
	PgwCallVerdict verdict;
} verdicts[] = {
	{"nothing was sent", PGW_TRANSPORT_NEVER_SENT, 0, PGW_OUT_UNKNOWN, PGW_VERDICT_FAILURE},
	{"sent, perhaps; no whole answer", PGW_TRANSPORT_MAYBE_SENT, 0, PGW_OUT_UNKNOWN,
	 PGW_VERDICT_FAILURE},
	{"`approved`", PGW_TRANSPORT_ANSWERED, 200, PGW_OUT_APPROVED, PGW_VERDICT_SUCCESS},
	{"`declined`", PGW_TRANSPORT_ANSWERED, 402, PGW_OUT_DECLINED, PGW_VERDICT_SUCCESS},
	{"`requires_action`", PGW_TRANSPORT_ANSWERED, 200, PGW_OUT_REQUIRES_ACTION,
	 PGW_VERDICT_SUCCESS},
	{"`pending`", PGW_TRANSPORT_ANSWERED, 202, PGW_OUT_PENDING, PGW_VERDICT_SUCCESS},
	{"`rejected`", PGW_TRANSPORT_ANSWERED, 400, PGW_OUT_REJECTED, PGW_VERDICT_SUCCESS},
	{"`not_found`", PGW_TRANSPORT_ANSWERED, 404, PGW_OUT_NOT_FOUND, PGW_VERDICT_SUCCESS},
	{"`not_processed`", PGW_TRANSPORT_ANSWERED, 503, PGW_OUT_NOT_PROCESSED, PGW_VERDICT_FAILURE},
	{"`unknown`", PGW_TRANSPORT_ANSWERED, 500, PGW_OUT_UNKNOWN, PGW_VERDICT_FAILURE},
	{"`not_processed` with HTTP 429", PGW_TRANSPORT_ANSWERED, 429, PGW_OUT_NOT_PROCESSED,
	 PGW_VERDICT_NEUTRAL},
	{"`unknown` with HTTP 429", PGW_TRANSPORT_ANSWERED, 429, PGW_OUT_UNKNOWN, PGW_VERDICT_NEUTRAL},
};

#define NROWS_VERDICTS (sizeof(verdicts) / sizeof(verdicts[0]))

static const char *const verdict_names[NVERDICTS] = {"success", "failure", "neutral", "alive",
													 "unused"};

static const char *
verdict_row(size_t i)
{
	static char line[256];

	snprintf(line, sizeof(line), "| %s | %s |\n", verdicts[i].text,
			 verdict_names[verdicts[i].verdict]);
	return line;
}

static void
what_counts(void **state)
{
	char name[64];

	for (size_t i = 0; i < NROWS_VERDICTS; i++)
	{
		assert_int_equal(pgw_breaker_verdict(verdicts[i].transport, verdicts[i].http_status,
											 verdicts[i].outcome),
						 verdicts[i].verdict);
		if (verdicts[i].transport != PGW_TRANSPORT_ANSWERED)
			continue;
		snprintf(name, sizeof(name), "`%s`", pgw_outcome_name(verdicts[i].outcome));
		assert_memory_equal(verdicts[i].text, name, strlen(name));

		/*
		 * The status matters for nothing but 429, and there only where the answer itself cannot be
		 * trusted.
		 */
		for (long status = 100; status < 600; status++)
			if (verdicts[i].http_status != 429 &&
				(status != 429 || verdicts[i].verdict == PGW_VERDICT_SUCCESS))
				assert_int_equal(
					pgw_breaker_verdict(PGW_TRANSPORT_ANSWERED, status, verdicts[i].outcome),
					verdicts[i].verdict);
	}

	/* Without an answer there is nothing else to look at. */
	assert_int_equal(pgw_breaker_verdict(PGW_TRANSPORT_MAYBE_SENT, 429, PGW_OUT_APPROVED),
					 PGW_VERDICT_FAILURE);
	assert_int_equal(pgw_breaker_verdict(PGW_TRANSPORT_NEVER_SENT, 429, PGW_OUT_APPROVED),
					 PGW_VERDICT_FAILURE);
	same_table("| what came of the call |", verdict_row, NROWS_VERDICTS);
}

static void
groups(void **state)
{
	static const PgwBreakerGroup want[PGW_NOPS] = {
		[PGW_OP_CHARGE] = PGW_BREAKER_CHARGES,
		[PGW_OP_AUTHORIZE] = PGW_BREAKER_CHARGES,
		[PGW_OP_CAPTURE] = PGW_BREAKER_CAPTURES,
		[PGW_OP_VOID] = PGW_BREAKER_GIVE_BACKS,
		[PGW_OP_REFUND] = PGW_BREAKER_GIVE_BACKS,
		[PGW_OP_CANCEL] = PGW_BREAKER_GIVE_BACKS,
		[PGW_OP_LOOKUP_CHARGE] = PGW_BREAKER_LOOKUPS,
		[PGW_OP_LOOKUP_REFUND] = PGW_BREAKER_LOOKUPS,
		[PGW_OP_REVERSE] = PGW_BREAKER_GIVE_BACKS,
		[PGW_OP_PING] = PGW_BREAKER_LOOKUPS,
		[PGW_OP_VERIFY_NOTIFICATION] = PGW_BREAKER_NOTIFICATIONS,
	};

	for (int op = 0; op < PGW_NOPS; op++)
		assert_int_equal(pgw_breaker_group(op), want[op]);
	assert_string_equal(pgw_breaker_group_name(PGW_BREAKER_CHARGES), "charges");
	assert_string_equal(pgw_breaker_group_name(PGW_BREAKER_CAPTURES), "captures");
	assert_string_equal(pgw_breaker_group_name(PGW_BREAKER_GIVE_BACKS), "give_backs");
	assert_string_equal(pgw_breaker_group_name(PGW_BREAKER_LOOKUPS), "lookups");
	assert_string_equal(pgw_breaker_group_name(PGW_BREAKER_NOTIFICATIONS), "notifications");
	/* of an id that somebody has made up the bank may say anything */
	for (int status = 200; status < 600; status++)
		assert_int_equal(pgw_breaker_ask_verdict(PGW_TRANSPORT_ANSWERED, status),
						 status >= 500   ? PGW_VERDICT_FAILURE
						 : status == 429 ? PGW_VERDICT_NEUTRAL
										 : PGW_VERDICT_SUCCESS);
	assert_int_equal(pgw_breaker_ask_verdict(PGW_TRANSPORT_MAYBE_SENT, 200), PGW_VERDICT_FAILURE);
	assert_int_equal(pgw_breaker_ask_verdict(PGW_TRANSPORT_NEVER_SENT, 0), PGW_VERDICT_FAILURE);
	assert_string_equal(pgw_breaker_state_name(PGW_BREAKER_CLOSED), "closed");
	assert_string_equal(pgw_breaker_state_name(PGW_BREAKER_OPEN), "open");
	assert_string_equal(pgw_breaker_state_name(PGW_BREAKER_HALF_OPEN), "half_open");
}

/* ---- every edge ---- */

typedef enum Stage
{
	SOUND = 0,
	LAST_CHANCE, /* one failure short of the limit */
	TRIAL,
	OPEN,
	HALF_OPEN,
	NSTAGES
} Stage;

static const char *const stage_names[NSTAGES] = {"closed", "closed, one short of the limit",
												 "closed, on trial", "open", "half-open"};

typedef enum Happening
{
	REPORT, /* of a call that was allowed in this state */
	/* of one that was allowed in an earlier state, or made without asking */
	OLD_REPORT,
	EARLY_CALL, /* before the wait is over */
	DUE_CALL,
	RESTART,
	NHAPPENINGS
} Happening;

typedef enum Result
{
	QUIET,
	OPENED,
	STILL_OPEN,
	CLOSED_AGAIN, /* as PgwBreakerTransition */
	ALLOWED,
	REFUSED,
	PROBE
} Result;

static const char *const result_names[] = {
	"–", "opened", "still open", "closed again", "allowed", "refused", "allowed, as the probe"};

typedef enum Next
{
	AT_ONCE,
	AFTER_COOLDOWN,
	AFTER_DOUBLE,
	AFTER_PROBE,
	AS_BEFORE
} Next;

static const char *const next_names[] = {"at once", "after the cooldown",
										 "after the cooldown, doubled", "after the probe's timeout",
										 "as before"};

#define V(name) (1u << PGW_VERDICT_##name)
#define ANY ((1u << NVERDICTS) - 1)

static const struct
{
	Stage from;
	Happening happening;
	unsigned verdicts;
	const char *text;
	Stage to;
	Result result;
	Next next;
} edges[] = {
	{SOUND, DUE_CALL, 0, "a call", SOUND, ALLOWED, AT_ONCE},
	{SOUND, REPORT, V(SUCCESS) | V(NEUTRAL) | V(ALIVE) | V(UNUSED),
	 "success, neutral, alive, unused", SOUND, QUIET, AT_ONCE},
	{SOUND, REPORT, V(FAILURE), "failure", SOUND, QUIET, AT_ONCE},
	{SOUND, OLD_REPORT, ANY, "any report of an older call", SOUND, QUIET, AT_ONCE},
	{SOUND, RESTART, 0, "restart", SOUND, QUIET, AT_ONCE},

	{LAST_CHANCE, DUE_CALL, 0, "a call", LAST_CHANCE, ALLOWED, AT_ONCE},
	{LAST_CHANCE, REPORT, V(SUCCESS), "success", SOUND, QUIET, AT_ONCE},
	{LAST_CHANCE, REPORT, V(FAILURE), "failure", OPEN, OPENED, AFTER_COOLDOWN},
	{LAST_CHANCE, REPORT, V(NEUTRAL) | V(ALIVE) | V(UNUSED), "neutral, alive, unused", LAST_CHANCE,
	 QUIET, AT_ONCE},
	{LAST_CHANCE, OLD_REPORT, ANY, "any report of an older call", LAST_CHANCE, QUIET, AT_ONCE},
	{LAST_CHANCE, RESTART, 0, "restart", LAST_CHANCE, QUIET, AT_ONCE},

	{OPEN, EARLY_CALL, 0, "a call before the cooldown is over", OPEN, REFUSED, AS_BEFORE},
	{OPEN, DUE_CALL, 0, "a call after it", HALF_OPEN, PROBE, AFTER_PROBE},
	{OPEN, OLD_REPORT, ANY, "any report of an older call", OPEN, QUIET, AS_BEFORE},
	{OPEN, RESTART, 0, "restart", OPEN, QUIET, AS_BEFORE},

	{HALF_OPEN, EARLY_CALL, 0, "a call while the probe is out", HALF_OPEN, REFUSED, AS_BEFORE},
	{HALF_OPEN, DUE_CALL, 0, "a call when the probe is lost", HALF_OPEN, PROBE, AFTER_PROBE},
	{HALF_OPEN, REPORT, V(SUCCESS), "success", SOUND, CLOSED_AGAIN, AT_ONCE},
	{HALF_OPEN, REPORT, V(ALIVE), "alive", TRIAL, CLOSED_AGAIN, AT_ONCE},
	{HALF_OPEN, REPORT, V(FAILURE), "failure", OPEN, STILL_OPEN, AFTER_DOUBLE},
	{HALF_OPEN, REPORT, V(NEUTRAL), "neutral", OPEN, STILL_OPEN, AFTER_COOLDOWN},
	{HALF_OPEN, REPORT, V(UNUSED), "unused", OPEN, QUIET, AT_ONCE},
	{HALF_OPEN, OLD_REPORT, ANY, "any report of an older call", HALF_OPEN, QUIET, AS_BEFORE},
	{HALF_OPEN, RESTART, 0, "restart", OPEN, QUIET, AT_ONCE},

	{TRIAL, DUE_CALL, 0, "a call", TRIAL, ALLOWED, AT_ONCE},
	{TRIAL, REPORT, V(SUCCESS), "success", SOUND, QUIET, AT_ONCE},
	{TRIAL, REPORT, V(FAILURE), "failure", OPEN, OPENED, AFTER_DOUBLE},
	{TRIAL, REPORT, V(NEUTRAL) | V(ALIVE) | V(UNUSED), "neutral, alive, unused", TRIAL, QUIET,
	 AT_ONCE},
	{TRIAL, OLD_REPORT, ANY, "any report of an older call", TRIAL, QUIET, AT_ONCE},
	{TRIAL, RESTART, 0, "restart", TRIAL, QUIET, AT_ONCE},
};

#define NEDGES (sizeof(edges) / sizeof(edges[0]))

static const char *
edge_row(size_t i)
{
	static char line[512];

	snprintf(line, sizeof(line), "| %s | %s | %s | %s | %s |\n", stage_names[edges[i].from],
			 edges[i].text, stage_names[edges[i].to], result_names[edges[i].result],
			 next_names[edges[i].next]);
	return line;
}

static PgwBreaker
fresh(void)
{
	PgwBreaker b;

	memset(&b, 0, sizeof(b));
	pgw_breaker_restore(&b);
	return b;
}

static PgwBreakerPermit
allowed(PgwBreaker *b, int64_t now, bool probe)
{
	PgwBreakerPermit permit = no_permit;

	assert_true(pgw_breaker_allows(b, &config, now, &permit));
	assert_int_equal(permit.probe, probe);
	return permit;
}

static PgwBreakerTransition
report(PgwBreaker *b, int64_t now, PgwBreakerPermit permit, PgwCallVerdict verdict)
{
	return pgw_breaker_report(b, &config, now, &permit, verdict);
}

static PgwBreakerTransition
fail_one(PgwBreaker *b, int64_t now)
{
	return report(b, now, allowed(b, now, false), PGW_VERDICT_FAILURE);
}

/*
 * Brings a new breaker to a stage, a third of the wait gone where there is one; old: a permit of an
 * earlier state.
 */
static PgwBreaker
reach(Stage stage, int64_t *now, PgwBreakerPermit *permit, PgwBreakerPermit *old)
{
	PgwBreaker b = fresh();

	*now = START;
	*old = allowed(&b, *now, false);
	for (int i = 0; i < config.failures; i++)
		fail_one(&b, *now);
	if (stage == OPEN)
	{
		*now += COOLDOWN / 3;
		*permit = no_permit;
		return b;
	}
	*now += COOLDOWN;
	*permit = allowed(&b, *now, true);
	*now += PROBE_TIMEOUT / 3;
	if (stage == HALF_OPEN)
		return b;
	report(&b, *now, *permit, stage == TRIAL ? PGW_VERDICT_ALIVE : PGW_VERDICT_SUCCESS);
	*old = *permit;
	for (int i = 1; stage == LAST_CHANCE && i < config.failures; i++)
		fail_one(&b, *now);
	*permit = allowed(&b, *now, false);
	return b;
}

static Stage
stage_of(const PgwBreaker *b)
{
	switch (b->state)
	{
		case PGW_BREAKER_OPEN:
			return OPEN;
		case PGW_BREAKER_HALF_OPEN:
			return HALF_OPEN;
		case PGW_BREAKER_CLOSED:
			break;
	}
	return b->openings > 0 ? TRIAL : b->failures == config.failures - 1 ? LAST_CHANCE : SOUND;
}

static Result
asked(PgwBreaker *b, int64_t now)
{
	PgwBreakerPermit permit = no_permit;

	if (!pgw_breaker_allows(b, &config, now, &permit))
	{
		assert_memory_equal(&permit, &no_permit, sizeof(permit));
		return REFUSED;
	}
	return permit.probe ? PROBE : ALLOWED;
}

static void
walk(size_t i, PgwCallVerdict verdict)
{
	static const int64_t waits[] = {[AT_ONCE] = 0,
									[AFTER_COOLDOWN] = COOLDOWN,
									[AFTER_DOUBLE] = 2 * COOLDOWN,
									[AFTER_PROBE] = PROBE_TIMEOUT};
	PgwBreakerPermit permit;
	PgwBreakerPermit old;
	int64_t now;
	PgwBreaker b = reach(edges[i].from, &now, &permit, &old);
	PgwBreaker before = b;
	int64_t left = pgw_breaker_wait_ms(&b, &config, now);
	Result result = QUIET;

	assert_int_equal(stage_of(&b), edges[i].from);
	switch (edges[i].happening)
	{
		case REPORT:
			result = (Result) report(&b, now, permit, verdict);
			break;
		case OLD_REPORT:
			assert_int_equal(report(&b, now, no_permit, verdict), PGW_BREAKER_NO_TRANSITION);
			result = (Result) report(&b, now, old, verdict);
			assert_memory_equal(&b, &before, sizeof(b));
			break;
		case EARLY_CALL:
			result = asked(&b, now + left - 1);
			assert_int_equal(pgw_breaker_wait_ms(&b, &config, now + left - 1), 1);
			break;
		case DUE_CALL:
			now += left;
			result = asked(&b, now);
			break;
		case RESTART:
			pgw_breaker_restore(&b);
			assert_int_equal(report(&b, now, permit, PGW_VERDICT_FAILURE),
							 PGW_BREAKER_NO_TRANSITION);
			break;
		case NHAPPENINGS:
			fail();
	}
	assert_int_equal(result, edges[i].result);
	assert_int_equal(stage_of(&b), edges[i].to);
	assert_int_equal(pgw_breaker_wait_ms(&b, &config, now),
					 edges[i].next == AS_BEFORE ? left : waits[edges[i].next]);
}

static void
every_edge(void **state)
{
	unsigned seen[NSTAGES][NHAPPENINGS] = {0};

	for (size_t i = 0; i < NEDGES; i++)
	{
		unsigned *mask = &seen[edges[i].from][edges[i].happening];
		unsigned these = edges[i].verdicts ? edges[i].verdicts : V(SUCCESS);

		assert_int_equal(*mask & these, 0);
		*mask |= these;
		for (int v = 0; v < NVERDICTS; v++)
			if (these & (1u << v))
				walk(i, (PgwCallVerdict) v);
	}

	/* Nothing that can happen in a state is missing. */
	for (int s = 0; s < NSTAGES; s++)
	{
		bool waits = s == OPEN || s == HALF_OPEN;

		assert_int_equal(seen[s][REPORT], s == OPEN ? 0 : ANY);
		assert_int_equal(seen[s][OLD_REPORT], ANY);
		assert_int_equal(seen[s][EARLY_CALL] != 0, waits);
		assert_int_not_equal(seen[s][DUE_CALL], 0);
		assert_int_not_equal(seen[s][RESTART], 0);
	}
	same_table("| state | what happens |", edge_row, NEDGES);
}

/* ---- single traits ---- */

static void
failures_in_a_row(void **state)
{
	PgwBreaker b = fresh();
	PgwBreakerPermit calls[10];

	/* A success in between begins the row anew; what is neutral neither counts nor breaks it. */
	for (int round = 0; round < 20; round++)
	{
		assert_int_equal(fail_one(&b, START), PGW_BREAKER_NO_TRANSITION);
		report(&b, START, allowed(&b, START, false), PGW_VERDICT_NEUTRAL);
		assert_int_equal(fail_one(&b, START), PGW_BREAKER_NO_TRANSITION);
		report(&b, START, allowed(&b, START, false), PGW_VERDICT_SUCCESS);
	}

	/*
	 * Of ten that left together, three open it, once; when it has closed again the others still
	 * have no say.
	 */
	for (int i = 0; i < 10; i++)
		calls[i] = allowed(&b, START, false);
	for (int i = 0; i < 5; i++)
		assert_int_equal(report(&b, START + i, calls[i], PGW_VERDICT_FAILURE),
						 i == 2 ? PGW_BREAKER_OPENED : PGW_BREAKER_NO_TRANSITION);
	assert_int_equal(b.opened_at, START + 2);
	report(&b, START + 2 * COOLDOWN, allowed(&b, START + 2 * COOLDOWN, true), PGW_VERDICT_SUCCESS);
	for (int i = 5; i < 10; i++)
		assert_int_equal(report(&b, START + 2 * COOLDOWN, calls[i], PGW_VERDICT_FAILURE),
						 PGW_BREAKER_NO_TRANSITION);
	assert_int_equal(b.state, PGW_BREAKER_CLOSED);
	assert_int_equal(b.failures, 0);
}

static void
cooldown_doubles(void **state)
{
	static const int64_t want[] = {1, 2, 4, 4, 4, 4};
	PgwBreaker b = fresh();
	int64_t now = START;

	for (int i = 0; i < config.failures; i++)
		fail_one(&b, now);
	for (int i = 0; i < 6; i++)
	{
		assert_int_equal(pgw_breaker_wait_ms(&b, &config, now), want[i] * COOLDOWN);
		now += want[i] * COOLDOWN;
		report(&b, now, allowed(&b, now, true), PGW_VERDICT_FAILURE);
	}
	assert_int_equal(b.opened_at, START);

	/* "Not now" waits as long again. */
	now += LONGEST_COOLDOWN;
	report(&b, now, allowed(&b, now, true), PGW_VERDICT_NEUTRAL);
	assert_int_equal(pgw_breaker_wait_ms(&b, &config, now), LONGEST_COOLDOWN);

	/* A ping that succeeds does not make it forget; a charge that does makes it. */
	now += LONGEST_COOLDOWN;
	report(&b, now, allowed(&b, now, true), PGW_VERDICT_ALIVE);
	assert_int_equal(fail_one(&b, now), PGW_BREAKER_OPENED);
	assert_int_equal(pgw_breaker_wait_ms(&b, &config, now), LONGEST_COOLDOWN);
	assert_int_equal(b.opened_at, START);
	now += LONGEST_COOLDOWN;
	report(&b, now, allowed(&b, now, true), PGW_VERDICT_SUCCESS);
	for (int i = 0; i < config.failures; i++)
		assert_int_equal(fail_one(&b, now),
						 i == config.failures - 1 ? PGW_BREAKER_OPENED : PGW_BREAKER_NO_TRANSITION);
	assert_int_equal(pgw_breaker_wait_ms(&b, &config, now), COOLDOWN);
	assert_int_equal(b.opened_at, now);
}

/* The answer to a probe that was given up says nothing, whenever it comes. */
static void
lost_probe(void **state)
{
	PgwBreakerPermit first;
	PgwBreakerPermit second;
	PgwBreakerPermit old;
	int64_t now;
	PgwBreaker b = reach(HALF_OPEN, &now, &first, &old);

	now += pgw_breaker_wait_ms(&b, &config, now);
	second = allowed(&b, now, true);
	assert_int_equal(report(&b, now, first, PGW_VERDICT_SUCCESS), PGW_BREAKER_NO_TRANSITION);
	assert_int_equal(report(&b, now, first, PGW_VERDICT_FAILURE), PGW_BREAKER_NO_TRANSITION);
	assert_int_equal(b.state, PGW_BREAKER_HALF_OPEN);
	assert_int_equal(report(&b, now, second, PGW_VERDICT_SUCCESS), PGW_BREAKER_CLOSED_AGAIN);

	/* Reported late, but before anyone asked: it is still the one. */
	b = reach(HALF_OPEN, &now, &first, &old);
	assert_int_equal(report(&b, now + HOUR, first, PGW_VERDICT_SUCCESS), PGW_BREAKER_CLOSED_AGAIN);
}

static void
saved_and_read_back(void **state)
{
	for (int stage = 0; stage < NSTAGES; stage++)
	{
		PgwBreakerPermit permit;
		PgwBreakerPermit old;
		int64_t now;
		PgwBreaker b = reach((Stage) stage, &now, &permit, &old);
		PgwBreaker back = {.state = b.state,
						   .failures = b.failures,
						   .openings = b.openings,
						   .opened_at = b.opened_at,
						   .cooldown_from = b.cooldown_from};

		pgw_breaker_restore(&back);
		pgw_breaker_restore(&b);
		assert_int_equal(stage_of(&back), stage_of(&b));
		assert_int_equal(back.failures, b.failures);
		assert_int_equal(back.openings, b.openings);
		assert_int_equal(pgw_breaker_wait_ms(&back, &config, now),
						 pgw_breaker_wait_ms(&b, &config, now));
	}
}

static void
nonsense(void **state)
{
	static const int ints[] = {INT_MIN, -1, 0, 1, 2, 3, 1000, INT_MAX};
	static const int64_t times[] = {INT64_MIN, -1, 0, START, INT64_MAX};
	const int nints = sizeof(ints) / sizeof(ints[0]);
	const int ntimes = sizeof(times) / sizeof(times[0]);

	for (int i = 0; i < nints * nints * nints; i++)
		for (int t = 0; t < ntimes * ntimes * ntimes; t++)
		{
			PgwBreakerConfig odd = {.failures = ints[i % nints],
									.cooldown_ms = times[t % ntimes],
									.probe_timeout_ms = times[t % ntimes]};
			PgwBreaker b = {.state = (PgwBreakerState) ints[i / nints % nints],
							.failures = ints[i / nints / nints],
							.openings = ints[i % nints],
							.opened_at = times[t % ntimes],
							.cooldown_from = times[t / ntimes % ntimes],
							.epoch = times[t / ntimes % ntimes]};
			int64_t now = times[t / ntimes / ntimes];
			PgwBreakerPermit permit;

			pgw_breaker_restore(&b);
			assert_true(b.state == PGW_BREAKER_CLOSED || b.state == PGW_BREAKER_OPEN);
			assert_int_in_range(b.openings, b.state == PGW_BREAKER_OPEN,
								PGW_BREAKER_MAX_DOUBLINGS + 1);
			assert_true(b.failures >= 0 && b.epoch > 0);
			assert_true(pgw_breaker_wait_ms(&b, &odd, now) >= 0);
			if (pgw_breaker_allows(&b, &odd, now, &permit))
				pgw_breaker_report(&b, &odd, now, &permit, PGW_VERDICT_FAILURE);
		}

	/* A limit below 1 is 1. */
	for (int limit = -1; limit <= 1; limit++)
	{
		PgwBreakerConfig least = {
			.failures = limit == -1 ? INT_MIN : limit, .cooldown_ms = -5, .probe_timeout_ms = -5};
		PgwBreaker b = fresh();
		PgwBreakerPermit permit = allowed(&b, START, false);

		assert_int_equal(pgw_breaker_report(&b, &least, START, &permit, PGW_VERDICT_FAILURE),
						 PGW_BREAKER_OPENED);

		/* No cooldown and no timeout: still one probe at a time. */
		assert_true(pgw_breaker_allows(&b, &least, START, &permit));
		assert_false(pgw_breaker_allows(&b, &least, START, &permit));
	}
}

static void
clock_jumps(void **state)
{
	PgwBreakerPermit permit;
	PgwBreakerPermit old;
	int64_t now;
	PgwBreaker b = reach(OPEN, &now, &permit, &old);

	/* Three days on: one probe, not one for every cooldown that seems to have passed. */
	allowed(&b, now + 3 * DAY, true);
	assert_int_equal(asked(&b, now + 3 * DAY), REFUSED);

	/* An hour back: the wait begins anew, once. */
	b = reach(OPEN, &now, &permit, &old);
	assert_int_equal(pgw_breaker_wait_ms(&b, &config, now - HOUR), COOLDOWN);
	assert_int_equal(asked(&b, now - HOUR), REFUSED);
	assert_int_equal(asked(&b, now - HOUR + COOLDOWN - 1), REFUSED);
	assert_int_equal(asked(&b, now - HOUR + COOLDOWN), PROBE);

	b = reach(HALF_OPEN, &now, &permit, &old);
	assert_int_equal(asked(&b, now - HOUR), REFUSED);
	assert_int_equal(asked(&b, now - HOUR + PROBE_TIMEOUT - 1), REFUSED);
	assert_int_equal(asked(&b, now - HOUR + PROBE_TIMEOUT), PROBE);
}

/* ---- one payment ---- */

static PgwBreakerTransition
fails(PgwBreaker *b, int64_t now, uint64_t who)
{
	PgwBreakerPermit permit = no_permit;

	assert_true(pgw_breaker_allows(b, &config, now, &permit));
	permit.payment = who;
	return report(b, now, permit, PGW_VERDICT_FAILURE);
}

/*
 * What one payment meets again and again is not held against the bank: it counts once, until a
 * success.
 */
static void
one_payment_counts_once(void **state)
{
	PgwBreaker b = fresh();

	for (int i = 0; i < 100; i++)
		assert_int_equal(fails(&b, START, 7), PGW_BREAKER_NO_TRANSITION);
	assert_int_equal(b.failures, 1);
	assert_int_equal(fails(&b, START, 8), PGW_BREAKER_NO_TRANSITION);
	for (int i = 0; i < 100; i++)
		assert_int_equal(fails(&b, START, 7 + i % 2), PGW_BREAKER_NO_TRANSITION);
	assert_int_equal(fails(&b, START, 9), PGW_BREAKER_OPENED);

	/* as the probe it says nothing new either: no longer a cooldown */
	assert_int_equal(fails(&b, START + COOLDOWN, 7), PGW_BREAKER_STILL_OPEN);
	assert_int_equal(pgw_breaker_wait_ms(&b, &config, START + COOLDOWN), COOLDOWN);
	/* and another's failure does */
	assert_int_equal(fails(&b, START + 2 * COOLDOWN, 10), PGW_BREAKER_STILL_OPEN);
	assert_int_equal(pgw_breaker_wait_ms(&b, &config, START + 2 * COOLDOWN), 2 * COOLDOWN);

	/* on trial the payments that opened it do not open it again */
	assert_int_equal(report(&b, START + 4 * COOLDOWN, allowed(&b, START + 4 * COOLDOWN, true),
							PGW_VERDICT_ALIVE),
					 PGW_BREAKER_CLOSED_AGAIN);
	assert_int_equal(fails(&b, START + 4 * COOLDOWN, 7), PGW_BREAKER_NO_TRANSITION);
	assert_int_equal(b.state, PGW_BREAKER_CLOSED);
	assert_int_equal(fails(&b, START + 4 * COOLDOWN, 11), PGW_BREAKER_OPENED);

	/* a success forgives */
	b = fresh();
	assert_int_equal(fails(&b, START, 7), PGW_BREAKER_NO_TRANSITION);
	report(&b, START, allowed(&b, START, false), PGW_VERDICT_SUCCESS);
	assert_int_equal(fails(&b, START, 7), PGW_BREAKER_NO_TRANSITION);
	assert_int_equal(b.failures, 1);
}

/* A limit beyond what is remembered is reached all the same, by as many payments. */
static void
many_payments_open_it(void **state)
{
	static const PgwBreakerConfig patient = {.failures = 3 * PGW_BREAKER_REMEMBERED,
											 .cooldown_ms = COOLDOWN,
											 .probe_timeout_ms = PROBE_TIMEOUT};
	PgwBreaker b = fresh();

	for (int i = 1; i <= patient.failures; i++)
	{
		PgwBreakerPermit permit = no_permit;

		assert_true(pgw_breaker_allows(&b, &patient, START, &permit));
		permit.payment = (uint64_t) i;
		assert_int_equal(pgw_breaker_report(&b, &patient, START, &permit, PGW_VERDICT_FAILURE),
						 i == patient.failures ? PGW_BREAKER_OPENED : PGW_BREAKER_NO_TRANSITION);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_payment_counts_once),
		cmocka_unit_test(many_payments_open_it),
		cmocka_unit_test(what_counts),
		cmocka_unit_test(groups),
		cmocka_unit_test(every_edge),
		cmocka_unit_test(failures_in_a_row),
		cmocka_unit_test(cooldown_doubles),
		cmocka_unit_test(lost_probe),
		cmocka_unit_test(saved_and_read_back),
		cmocka_unit_test(nonsense),
		cmocka_unit_test(clock_jumps),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
