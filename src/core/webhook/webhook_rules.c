/*
 * webhook_rules.c - what an answer to a webhook means, when it is sent again, and how much an
 * endpoint is sent at a time
 */
#include "core/webhook/webhook_rules.h"

#define SECOND INT64_C(1000)
#define MINUTE (60 * SECOND)
#define HOUR (60 * MINUTE)

/* After the first attempt, the second ... */
static const int64_t delays[PGW_WEBHOOK_ATTEMPTS - 1] = {5 * SECOND, 5 * MINUTE, 30 * MINUTE,
														 2 * HOUR,   5 * HOUR,   10 * HOUR,
														 14 * HOUR,  20 * HOUR,  24 * HOUR};

PgwWebhookNext
pgw_webhook_judge(long status, int attempts)
{
	if (status >= 200 && status <= 299)
		return PGW_WEBHOOK_DELIVERED;
	if (status == 410)
		return PGW_WEBHOOK_GONE;
	return attempts >= PGW_WEBHOOK_ATTEMPTS ? PGW_WEBHOOK_GIVEN_UP : PGW_WEBHOOK_AGAIN;
}

/* 80 to 120 percent. */
static int64_t
spread(int64_t ms, double random)
{
	if (!(random >= 0 && random < 1))
		random = 0.5;
	return (int64_t) ((double) ms * (0.8 + 0.4 * random));
}

static int64_t
asked_for(int retry_after_s)
{
	if (retry_after_s <= 0)
		return 0;
	return (retry_after_s < PGW_WEBHOOK_RETRY_AFTER_S ? retry_after_s : PGW_WEBHOOK_RETRY_AFTER_S) *
		   SECOND;
}

int64_t
pgw_webhook_delay_ms(int attempts, int retry_after_s, double random)
{
	int n = attempts < 1                          ? 1
			: attempts > PGW_WEBHOOK_ATTEMPTS - 1 ? PGW_WEBHOOK_ATTEMPTS - 1
												  : attempts;
	int64_t delay = spread(delays[n - 1], random);
	int64_t wanted = asked_for(retry_after_s);

	return delay > wanted ? delay : wanted;
}

void
pgw_webhook_succeeded(PgwWebhookHealth *h)
{
	*h = (PgwWebhookHealth){0};
}

void
pgw_webhook_failed(PgwWebhookHealth *h, int64_t now, int retry_after_s, double random)
{
	int64_t rest = asked_for(retry_after_s);

	if (h->failures < PGW_WEBHOOK_TRIAL_AFTER + 30)
		h->failures++;
	/* a clock that was set back does not make it fail for less than nothing */
	if (h->failing_since == 0 || h->failing_since > now)
		h->failing_since = now;
	if (h->failures >= PGW_WEBHOOK_TRIAL_AFTER)
	{
		int64_t own = PGW_WEBHOOK_LONGEST_REST_MS;

		if (h->failures - PGW_WEBHOOK_TRIAL_AFTER < 6)
			own = (5 * SECOND) << (h->failures - PGW_WEBHOOK_TRIAL_AFTER);
		own = spread(own, random);
		if (rest < own)
			rest = own;
	}
	if (rest > 0)
		h->rest_until = now + rest;
}

int
pgw_webhook_places(const PgwWebhookHealth *h, int64_t now, int in_flight, int max_in_flight)
{
	int most = h->failures >= PGW_WEBHOOK_TRIAL_AFTER ? 1 : max_in_flight;
	/* later than it can have been put: by a clock that was set back since */
	bool rests = h->rest_until > now && h->rest_until <= now + PGW_WEBHOOK_RETRY_AFTER_S * SECOND;

	return rests || in_flight >= most ? 0 : most - in_flight;
}

bool
pgw_webhook_failed_for(const PgwWebhookHealth *h, int64_t now, int64_t after_ms)
{
	return h->failing_since != 0 && h->failing_since <= now && now - h->failing_since >= after_ms;
}
