/*
 * retry_budget.c - how many retries a bank may get
 *
 * Owns the arithmetic of the retry budget.
 *
 * Invariants:
 *     - 0 <= granted <= PGW_BUDGET_BURST_S * per_second tokens, 0 <= earned <=
 *       PGW_BUDGET_EARNED_LIMIT tokens.
 *     - Time adds to granted only, by no more than has passed; a clock that goes backwards adds
 *       nothing and takes nothing.
 *     - There is a token again within one second (where shards share the bank: as many seconds as
 *       there are), whatever happened before; and one more, for those that leave one, within
 *       another.
 */
#include "core/pacing/retry_budget.h"

#include "core/base/clamp.h"
#include "core/base/mutant.h"
#include "core/pacing/bank_share.h"

#define TOKEN 1000

/* Tokens per second are thousandths per millisecond. */
static int64_t
rate(const PgwBudgetConfig *cfg)
{
	return pgw_clamp(cfg->per_second, 1, 10000);
}

static int64_t
shards(const PgwBudgetConfig *cfg)
{
	return PGW_MUTATED(SHARD_SHARE) ? 1 : pgw_clamp(cfg->shards, 1, PGW_BANK_SHARDS_MAX);
}

/* Two at least, or those that leave one would never go. */
static int64_t
granted_limit(const PgwBudgetConfig *cfg)
{
	int64_t limit = rate(cfg) * PGW_BUDGET_BURST_S * TOKEN / shards(cfg);

	return limit > 2 * TOKEN ? limit : 2 * TOKEN;
}

/* now >= then; the difference of any two times fits an unsigned number. */
static uint64_t
elapsed(int64_t then, int64_t now)
{
	return (uint64_t) now - (uint64_t) then;
}

static void
advance(PgwBudget *b, const PgwBudgetConfig *cfg, int64_t now)
{
	uint64_t n = (uint64_t) shards(cfg);
	uint64_t passed;
	uint64_t halvings;

	if (now < b->granted_at)
		b->granted_at = now;
	if (now < b->halved_at)
		b->halved_at = now;

	/* a millisecond is this shard's once there was one for each */
	passed = elapsed(b->granted_at, now) / n;
	b->granted_at = now - (int64_t) (elapsed(b->granted_at, now) % n);
	if (passed > PGW_BUDGET_BURST_S * 1000)
		passed = PGW_BUDGET_BURST_S * 1000;
	b->granted = pgw_clamp(b->granted + (int64_t) passed * rate(cfg), 0, granted_limit(cfg));

	halvings = elapsed(b->halved_at, now) / PGW_BUDGET_HALF_LIFE_MS;
	b->halved_at = now - (int64_t) (elapsed(b->halved_at, now) % PGW_BUDGET_HALF_LIFE_MS);
	b->earned = halvings < 32 ? b->earned >> halvings : 0;
}

/*
 * A look-up and the request that its answer leads to are one retry and take one token between them:
 * the look-up, unless it is the first one and leaves as soon as its answer was lost.  One that was
 * put off does not leave alone: whatever the bank lost while it was left alone is looked up when it
 * is back, and sent again if it is not there.  What no bank has had is no retry however long it was
 * put off: nothing of it weighs on the bank yet, and a give-back must not wait behind look-ups.
 */
static bool
takes_token(const PgwRetryFacts *facts)
{
	if (facts->goes_on)
		return facts->token_owed && !PGW_MUTATED(TOKEN_OWED);
	return facts->tries > 0 || (facts->in_doubt && facts->put_off && !PGW_MUTATED(PUT_OFF_TOKEN));
}

PgwRetryKind
pgw_retry_kind(const PgwRetryFacts *facts)
{
	if (!takes_token(facts))
		return PGW_FIRST_TRY;
	return facts->give_back ? PGW_RETRY_GIVE_BACK : PGW_RETRY;
}

/*
 * All that wait for a token come for it at the same moment.  A customer's money must not be one
 * ticket in a thousand look-ups' draw.
 */
int
pgw_retry_leaves(PgwRetryKind kind)
{
	return kind == PGW_RETRY ? 1 : 0;
}

void
pgw_budget_init(PgwBudget *b, const PgwBudgetConfig *cfg, int64_t now_ms)
{
	b->granted = granted_limit(cfg);
	b->earned = 0;
	b->granted_at = b->halved_at = now_ms;
}

void
pgw_budget_success(PgwBudget *b, const PgwBudgetConfig *cfg, int64_t now_ms)
{
	advance(b, cfg, now_ms);
	b->earned = pgw_clamp(b->earned + pgw_clamp(cfg->success_percent, 0, 100) * TOKEN / 100, 0,
						  PGW_BUDGET_EARNED_LIMIT * TOKEN);
}

bool
pgw_budget_take(PgwBudget *b, const PgwBudgetConfig *cfg, int64_t now_ms)
{
	if (pgw_budget_wait_ms(b, cfg, now_ms) > 0)
		return false;

	/* What was earned is spent first: it is lost with time, the rest is not. */
	b->earned -= TOKEN;
	if (b->earned < 0)
	{
		b->granted += b->earned;
		b->earned = 0;
	}
	return true;
}

int64_t
pgw_budget_wait_ms(PgwBudget *b, const PgwBudgetConfig *cfg, int64_t now_ms)
{
	int64_t needed = TOKEN * (1 + pgw_clamp(cfg->leave, 0, 1));

	advance(b, cfg, now_ms);
	if (b->granted + b->earned >= needed)
		return 0;

	/* What is earned may be gone by then, so it does not shorten the wait. */
	return (needed - b->granted + rate(cfg) - 1) / rate(cfg) * shards(cfg) -
		   (now_ms - b->granted_at);
}
