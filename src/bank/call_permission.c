/*
 * call_permission.c - whether a bank may be called now: circuit breakers and retry budgets
 *
 * Owns: pgw.breaker_failures, pgw.breaker_cooldown, pgw.retry_budget, pgw.bank_shards; in the
 * worker, one breaker per bank and group of operations and one budget per bank.  The rules are
 * core/pacing's: circuit_breaker.c, retry_budget.c, and bank_share.c for what of it is this
 * shard's.
 *
 * Breakers are saved (pgw.bank_states) whenever they open or close, so that a restart does not
 * storm a bank that is down.  Budgets are not. A bank as it was (one version of it) has breakers of
 * its own, under the name that bank_versions.c gives it.  What is no bank's present name and was
 * not asked about for an hour is forgotten, here and in the table: if it is asked about again it
 * begins anew, as a bank that is up.
 *
 * An open breaker of charges is tried with a ping where the connector has one: nobody's payment is
 * the guinea pig.
 */
#include "postgres.h"

#include "utils/guc.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "bank/bank_config.h"
#include "bank/breaker_states.h"
#include "bank/call_permission.h"
#include "base/clock.h"
#include "core/pacing/bank_share.h"
#include "core/pacing/retry_budget.h"
#include "observe/alerts.h"

#define PROBE_MARGIN_MS 5000
#define FORGET_AFTER_MS (60 * 60 * 1000)

typedef struct BankHealth
{
	char name[64]; /* key */
	PgwBreaker breakers[PGW_BREAKER_NGROUPS];
	bool changed[PGW_BREAKER_NGROUPS]; /* since it was saved */
	PgwBudget budget;
	PgwBudget notified; /* of what notifications ask for: it takes nothing from the others */
	int64 asked_at;     /* in ms: the last look, or report */
} BankHealth;

static int breaker_failures = 5;
static int breaker_cooldown = 30;
static int retry_budget = 10;
static int bank_shards = 1;

static HTAB *banks = NULL;

void
pgw_bank_health_init(void)
{
	DefineCustomIntVariable("pgw.breaker_failures",
							"After how many failures in a row a bank is left alone for a while.",
							NULL, &breaker_failures, 5, 1, 10000, PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomIntVariable(
		"pgw.breaker_cooldown",
		"How long a bank is left alone before it is tried again; doubled up to four times that while it stays down.",
		NULL, &breaker_cooldown, 30, 1, 3600, PGC_SIGHUP, GUC_UNIT_S, NULL, NULL, NULL);
	DefineCustomIntVariable(
		"pgw.retry_budget",
		"Retries that a bank may get, in percent of its recent successes; one a second comes on top.",
		NULL, &retry_budget, 10, 0, 100, PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomIntVariable(
		"pgw.bank_shards",
		"How many shards share the banks: each has its part of max_in_flight, of retries, and of the "
		"failures that open a breaker.",
		NULL, &bank_shards, 1, 1, PGW_BANK_SHARDS_MAX, PGC_SIGHUP, 0, NULL, NULL, NULL);
}

int
pgw_bank_shards(void)
{
	return bank_shards;
}

int
pgw_bank_share(int max_in_flight)
{
	return pgw_bank_share_in_flight(max_in_flight, bank_shards);
}

static int64
now_ms(void)
{
	return pgw_now() / 1000;
}

static PgwBudgetConfig
budget_config(PgwRetryKind kind)
{
	PgwBudgetConfig c = PGW_BUDGET_DEFAULT;

	c.success_percent = retry_budget;
	c.leave = pgw_retry_leaves(kind);
	c.shards = bank_shards;
	if (kind == PGW_RETRY_NOTIFIED)
		c.per_second = PGW_BUDGET_NOTIFIED_PER_SECOND;
	return c;
}

static PgwBreakerConfig
breaker_config(const char *bank)
{
	const PgwBank *b = pgw_config_bank(bank);
	PgwBreakerConfig c = {.failures = pgw_bank_share_failures(breaker_failures, bank_shards),
						  .cooldown_ms = (int64) breaker_cooldown * 1000};

	c.probe_timeout_ms =
		PROBE_MARGIN_MS +
		(b != NULL ? (int64) b->connect_timeout_ms + b->request_timeout_ms : 60000);
	return c;
}

static BankHealth *
find(const char *bank)
{
	char key[64];
	BankHealth *h;
	bool found;

	if (banks == NULL)
	{
		HASHCTL ctl;

		ctl.keysize = sizeof(key);
		ctl.entrysize = sizeof(BankHealth);
		ctl.hcxt = TopMemoryContext;
		banks = hash_create("pgw banks", 16, &ctl, HASH_ELEM | HASH_STRINGS | HASH_CONTEXT);
	}
	strlcpy(key, bank, sizeof(key));
	h = hash_search(banks, key, HASH_ENTER, &found);
	if (!found)
	{
		PgwBudgetConfig budget = budget_config(PGW_FIRST_TRY);
		PgwBudgetConfig notified = budget_config(PGW_RETRY_NOTIFIED);

		memset((char *) h + sizeof(h->name), 0, sizeof(BankHealth) - sizeof(h->name));
		for (int g = 0; g < PGW_BREAKER_NGROUPS; g++)
			pgw_breaker_restore(&h->breakers[g]);
		pgw_budget_init(&h->budget, &budget, now_ms());
		pgw_budget_init(&h->notified, &notified, now_ms());
	}
	h->asked_at = now_ms();
	return h;
}

static bool
has_ping(const char *bank)
{
	const PgwBank *b = pgw_config_bank(bank);

	return b != NULL && b->connector != NULL && pgw_connector_has(b->connector, PGW_OP_PING);
}

bool
pgw_bank_is_shut(const char *bank, PgwBankOp op)
{
	const BankHealth *h = find(bank);
	PgwBreakerGroup group = pgw_breaker_group(op);
	const PgwBreaker *b = &h->breakers[group];
	PgwBreakerConfig cfg;

	if (b->state == PGW_BREAKER_CLOSED)
		return false;
	if (group == PGW_BREAKER_CHARGES && has_ping(bank))
		return true;
	cfg = breaker_config(bank);
	return pgw_breaker_wait_ms(b, &cfg, now_ms()) > 0;
}

bool
pgw_bank_allows(const char *bank, PgwBankOp op, PgwRetryKind kind, PgwBreakerPermit *permit,
				TimestampTz *when)
{
	BankHealth *h = find(bank);
	PgwBreaker *b = &h->breakers[pgw_breaker_group(op)];
	PgwBreakerConfig cfg = breaker_config(bank);
	PgwBudgetConfig budget = budget_config(kind);
	PgwBudget *bucket = kind == PGW_RETRY_NOTIFIED ? &h->notified : &h->budget;
	int64 now = now_ms();
	int64 wait = kind != PGW_FIRST_TRY ? pgw_budget_wait_ms(bucket, &budget, now) : 0;

	/* In this order, so that nothing is taken in vain. */
	if (wait == 0)
	{
		if (!pgw_bank_is_shut(bank, op) && pgw_breaker_allows(b, &cfg, now, permit))
		{
			if (kind != PGW_FIRST_TRY)
				(void) pgw_budget_take(bucket, &budget, now);
			return true;
		}
		wait = pgw_breaker_wait_ms(b, &cfg, now);
	}
	*when = TimestampTzPlusMilliseconds(pgw_now(), Max(wait, 100));
	return false;
}

static void
tell(const char *bank, PgwBreakerGroup group, PgwBreakerTransition transition, const PgwBreaker *b)
{
	char message[256];
	char subject[128];

	snprintf(subject, sizeof(subject), "%s %s", bank, pgw_breaker_group_name(group));
	if (transition == PGW_BREAKER_OPENED)
	{
		snprintf(message, sizeof(message),
				 "bank \"%s\" is left alone for %d s: %d failures in a row (%s)", bank,
				 breaker_cooldown, breaker_config(bank).failures, pgw_breaker_group_name(group));
		pgw_alert("breaker_open", subject, bank, NULL, NULL, message);
	}
	else if (transition == PGW_BREAKER_CLOSED_AGAIN)
	{
		snprintf(message, sizeof(message), "bank \"%s\" is called again (%s)", bank,
				 pgw_breaker_group_name(group));
		pgw_alert("breaker_closed", subject, bank, NULL, NULL, message);
	}
}

void
pgw_bank_report(const char *bank, PgwBankOp op, const PgwBreakerPermit *permit,
				PgwCallVerdict verdict)
{
	BankHealth *h = find(bank);
	PgwBreakerGroup group = op == PGW_OP_PING ? PGW_BREAKER_CHARGES : pgw_breaker_group(op);
	PgwBreakerConfig cfg = breaker_config(bank);
	PgwBudgetConfig budget = budget_config(PGW_FIRST_TRY);
	PgwBreakerTransition transition =
		pgw_breaker_report(&h->breakers[group], &cfg, now_ms(), permit, verdict);

	/* what anybody can have asked for earns no retries */
	if (verdict == PGW_VERDICT_SUCCESS && op != PGW_OP_VERIFY_NOTIFICATION)
		pgw_budget_success(&h->budget, &budget, now_ms());
	if (transition == PGW_BREAKER_NO_TRANSITION)
		return;
	h->changed[group] = true;
	tell(h->name, group, transition, &h->breakers[group]);
}

/* ---------------------------------------------------------------- probes */

const char *
pgw_bank_to_probe(PgwBreakerPermit *permit)
{
	HASH_SEQ_STATUS seq;
	BankHealth *h;

	if (banks == NULL)
		return NULL;
	hash_seq_init(&seq, banks);
	while ((h = hash_seq_search(&seq)) != NULL)
	{
		PgwBreaker *b = &h->breakers[PGW_BREAKER_CHARGES];
		PgwBreakerConfig cfg;

		if (b->state == PGW_BREAKER_CLOSED || !has_ping(h->name))
			continue;
		cfg = breaker_config(h->name);
		if (pgw_breaker_allows(b, &cfg, now_ms(), permit))
		{
			hash_seq_term(&seq);
			return h->name;
		}
	}
	return NULL;
}

TimestampTz
pgw_bank_next_probe(void)
{
	HASH_SEQ_STATUS seq;
	BankHealth *h;
	int64 soonest = -1;

	if (banks == NULL)
		return 0;
	hash_seq_init(&seq, banks);
	while ((h = hash_seq_search(&seq)) != NULL)
	{
		const PgwBreaker *b = &h->breakers[PGW_BREAKER_CHARGES];
		PgwBreakerConfig cfg;
		int64 wait;

		if (b->state == PGW_BREAKER_CLOSED || !has_ping(h->name))
			continue;
		cfg = breaker_config(h->name);
		wait = pgw_breaker_wait_ms(b, &cfg, now_ms());
		if (soonest < 0 || wait < soonest)
			soonest = wait;
	}
	return soonest < 0 ? 0 : TimestampTzPlusMilliseconds(pgw_now(), soonest);
}

/* ---------------------------------------------------------------- over a restart, and no longer
 * than needed */

static bool
is_over(const BankHealth *h)
{
	int64 idle = now_ms() - h->asked_at;

	return pgw_config_bank(h->name) == NULL && (idle >= FORGET_AFTER_MS || idle < -FORGET_AFTER_MS);
}

void
pgw_bank_health_tidy(void)
{
	HASH_SEQ_STATUS seq;
	BankHealth *h;

	if (banks == NULL)
		return;
	pgw_breaker_states_forget(TimestampTzPlusMilliseconds(pgw_now(), -FORGET_AFTER_MS));
	hash_seq_init(&seq, banks);
	while ((h = hash_seq_search(&seq)) != NULL)
	{
		if (is_over(h))
			/* the one that was just returned may go */
			hash_search(banks, h->name, HASH_REMOVE, NULL);
	}
}

void
pgw_bank_health_start(void)
{
	PgwSavedBreaker *saved;
	int n = pgw_breaker_states_read(&saved);

	for (int i = 0; i < n; i++)
	{
		BankHealth *h = find(saved[i].bank);

		for (int g = 0; g < PGW_BREAKER_NGROUPS; g++)
		{
			PgwBreaker *b = &h->breakers[g];

			if (strcmp(saved[i].operation_group, pgw_breaker_group_name((PgwBreakerGroup) g)) != 0)
				continue;
			b->state = strcmp(saved[i].state, pgw_breaker_state_name(PGW_BREAKER_CLOSED)) == 0
						   ? PGW_BREAKER_CLOSED
						   : PGW_BREAKER_OPEN;
			b->failures = saved[i].failures;
			b->openings = saved[i].openings;
			b->opened_at = saved[i].opened_at / 1000;
			b->cooldown_from = saved[i].cooldown_from / 1000;
			pgw_breaker_restore(b);
		}
	}
}

bool
pgw_bank_health_changed(void)
{
	HASH_SEQ_STATUS seq;
	BankHealth *h;
	bool changed = false;

	if (banks == NULL)
		return false;
	hash_seq_init(&seq, banks);
	while ((h = hash_seq_search(&seq)) != NULL)
	{
		for (int g = 0; g < PGW_BREAKER_NGROUPS; g++)
			changed |= h->changed[g];
	}
	return changed;
}

void
pgw_bank_health_save(void)
{
	HASH_SEQ_STATUS seq;
	BankHealth *h;

	hash_seq_init(&seq, banks);
	while ((h = hash_seq_search(&seq)) != NULL)
	{
		for (int g = 0; g < PGW_BREAKER_NGROUPS; g++)
		{
			const PgwBreaker *b = &h->breakers[g];
			PgwSavedBreaker s = {.bank = h->name,
								 .operation_group = pgw_breaker_group_name((PgwBreakerGroup) g),
								 .state = pgw_breaker_state_name(b->state),
								 .failures = b->failures,
								 .openings = b->openings,
								 .opened_at = b->openings > 0 ? b->opened_at * 1000 : 0,
								 .cooldown_from = b->openings > 0 ? b->cooldown_from * 1000 : 0};

			if (h->changed[g])
				pgw_breaker_states_save(&s);
		}
	}
}

void
pgw_bank_health_saved(void)
{
	HASH_SEQ_STATUS seq;
	BankHealth *h;

	hash_seq_init(&seq, banks);
	while ((h = hash_seq_search(&seq)) != NULL)
		memset(h->changed, 0, sizeof(h->changed));
}
