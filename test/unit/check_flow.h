/*
 * check_flow.h - what must hold for any decision of the core, whatever led to it
 */
#ifndef CHECK_FLOW_H
#define CHECK_FLOW_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core/payment/charge_rules.h"

#define LENGTH(a) (sizeof(a) / sizeof((a)[0]))

/* The tests over whole products say which combination it was; describe() is made only then. */
#define CHECK(condition, description) \
	do \
	{ \
		if (!(condition)) \
			fail_msg("not so: %s, for %s", #condition, description); \
	} while (0)

/* In an initializer of capabilities: the bank honours the key of every operation that long. */
#define KEYS(seconds) .keys = {[0 ... PGW_NOPS - 1] = {.honoured = true, .lifetime_s = (seconds)}}

static inline void
set_keys(PgwCapabilities *caps, bool honoured, int64_t lifetime_s)
{
	for (int i = 0; i < PGW_NOPS; i++)
	{
		caps->keys[i].honoured = honoured;
		caps->keys[i].lifetime_s = lifetime_s;
	}
}

static inline PgwAnswer
answer(PgwOutcome outcome)
{
	PgwAnswer a;

	memset(&a, 0, sizeof(a));
	a.outcome = outcome;
	a.captured = a.refunded = a.retry_after_s = -1;
	return a;
}

/*
 * NULL, or what is wrong with the events: they fit, each stands on a legal edge, and they lead from
 * one state to the other.
 */
static inline const char *
events_wrong(PgwKind kind, PgwState from, const PgwDecision *d)
{
	if (d->nevents < 1 || d->nevents > PGW_DECISION_MAX_EVENTS)
		return "number of events";
	if (d->events[0].from != from)
		return "first event does not start at the state";
	for (int i = 0; i < d->nevents; i++)
	{
		const PgwDecisionEvent *e = &d->events[i];
		const PgwDecisionEvent *before = i > 0 ? &d->events[i - 1] : NULL;

		if (!pgw_event_legal(kind, e->from, e->to, e->type))
			return "illegal edge";
		if (before != NULL && e->from != before->to &&
			!(e->from == before->from && e->to == before->to))
			return "events do not follow on each other";
	}
	if (d->events[d->nevents - 1].to != d->state)
		return "last event does not lead to the state";
	if (d->keep_error && d->error != NULL)
		return "an error that is to be kept, and another";
	return NULL;
}

/* want: types, -1 ends. */
static inline bool
events_are(const PgwDecision *d, const int *want)
{
	int n = 0;

	for (; want[n] >= 0; n++)
	{
		if (n >= d->nevents || (int) d->events[n].type != want[n])
			return false;
	}
	return n == d->nevents;
}

static inline bool
has_event(const PgwDecision *d, PgwEventType type)
{
	for (int i = 0; i < d->nevents; i++)
	{
		if (d->events[i].type == type)
			return true;
	}
	return false;
}

#define EVENTS(...) ((const int[]){__VA_ARGS__, -1})

static inline bool
same_text(const char *a, const char *b)
{
	return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

#endif
