/*-------------------------------------------------------------------------
 *
 * disputes.c
 *		Disputes of charges: what each has taken and given back, and the
 *		notifications that tell of its steps.
 *
 * Nobody can ask about them.  A test makes them step by step (POST
 * /control/dispute); or, with the setting "disputes", a share of the charges
 * that were captured gets one by chance, whose steps are told in any order.
 *
 *-------------------------------------------------------------------------
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bank.h"

enum
{
	INQUIRY,
	OPENED,
	WITHDRAWN,
	REINSTATED,
	WON,
	LOST,
	CLOSED,
	NSTEPS
};

static const char *const step_names[NSTEPS] = {"inquiry", "opened", "withdrawn", "reinstated",
											   "won",     "lost",   "closed"};

typedef struct Dispute
{
	char id[48];
	const Charge *charge;
	unsigned steps;
	int64_t amount; /* disputed, in minor units of the currency */
	char currency[8];
	int64_t withdrawn;
	int64_t reinstated;
} Dispute;

static List disputes;
static uint64_t dice; /* of its own, so that how notifications are fetched disturbs nothing */

void
disputes_reset(void)
{
	for (size_t i = 0; i < disputes.count; i++)
		free(disputes.items[i]);
	free(disputes.items);
	memset(&disputes, 0, sizeof(disputes));
	dice = settings.seed;
}

static Dispute *
dispute_of(const Charge *c, const char *id)
{
	char own[48];
	Dispute *d;

	if (id == NULL)
	{
		snprintf(own, sizeof(own), "dp_%s", c->id);
		id = own;
	}
	for (size_t i = 0; i < disputes.count; i++)
	{
		d = disputes.items[i];
		if (strcmp(d->id, id) == 0)
			return d;
	}
	d = xalloc(sizeof(Dispute));
	snprintf(d->id, sizeof(d->id), "%s", id);
	d->charge = c;
	d->amount = c->captured;
	snprintf(d->currency, sizeof(d->currency), "%s", c->currency);
	list_add(&disputes, d);
	return d;
}

/* What the notification has beside what each has; moved: of the merchant's account, or NULL. */
static void
say(const Dispute *d, int step, json_object *moved, int64_t due)
{
	char type[32];
	Buf more = {0};

	snprintf(type, sizeof(type), "dispute.%s", step_names[step]);
	buf_puts(&more, ",\"dispute\":{\"id\":");
	buf_json(&more, d->id);
	buf_printf(&more,
			   ",\"amount\":%lld,\"currency\":\"%s\",\"reason\":\"fraudulent\","
			   "\"respond_by\":\"2031-01-02T03:04:05Z\"",
			   (long long) d->amount, d->currency);
	if (moved != NULL)
		buf_printf(&more, ",\"moved\":%s", json_object_to_json_string(moved));
	buf_puts(&more, "}");
	notify_dispute(d->charge, type, d->amount, more.data, due);
	buf_free(&more);
}

static void
take_step(Dispute *d, int step, json_object *moved, int64_t due)
{
	if ((d->steps & (1u << step)) == 0 && step == WITHDRAWN)
		d->withdrawn += d->amount;
	if ((d->steps & (1u << step)) == 0 && step == REINSTATED)
		d->reinstated += d->amount;
	d->steps |= 1u << step;
	say(d, step, moved, due);
}

static int
step_of(json_object *conf)
{
	json_object *v;
	int step = NSTEPS;

	if (json_object_object_get_ex(conf, "step", &v) && json_object_get_string(v) != NULL)
	{
		step = 0;
		while (step < NSTEPS && strcmp(step_names[step], json_object_get_string(v)) != 0)
			step++;
	}
	return step;
}

/* {"charge": id, "step", "dispute", "amount", "currency", "moved": {...}} */
const char *
disputes_control(json_object *conf)
{
	json_object *v;
	json_object *moved = NULL;
	Charge *c;
	Dispute *d;
	int step = step_of(conf);

	if (step == NSTEPS)
		return "step must be inquiry, opened, withdrawn, reinstated, won, lost or closed";
	if (!json_object_object_get_ex(conf, "charge", &v) || json_object_get_string(v) == NULL ||
		(c = charge_by_id(json_object_get_string(v))) == NULL)
		return "there is no such charge";
	d = dispute_of(c, json_object_object_get_ex(conf, "dispute", &v) ? json_object_get_string(v)
																	 : NULL);
	if (json_object_object_get_ex(conf, "amount", &v))
		d->amount = json_object_get_int64(v);
	if (json_object_object_get_ex(conf, "currency", &v))
		snprintf(d->currency, sizeof(d->currency), "%s", json_object_get_string(v));
	json_object_object_get_ex(conf, "moved", &moved);
	take_step(d, step, moved, now_ms());
	return NULL;
}

static double
chance(void)
{
	return (double) (random_step(&dice) >> 11) / (double) (UINT64_C(1) << 53);
}

/* At any time in the next half second, so that they come in any order. */
static int64_t
sometime(int64_t now)
{
	return now + (int64_t) (chance() * 500);
}

static void
dispute_by_chance(Charge *c, int64_t now)
{
	static const int ends[][3] = {{INQUIRY, CLOSED, NSTEPS},
								  {OPENED, WITHDRAWN, LOST},
								  {WITHDRAWN, LOST, NSTEPS},
								  {WITHDRAWN, REINSTATED, WON}};
	int which = (int) (random_step(&dice) % 4);
	Dispute *d = dispute_of(c, NULL);

	/* a part, at times */
	if (chance() < 0.5 && c->captured > 1)
		d->amount = 1 + (int64_t) (chance() * (double) (c->captured - 1));
	for (int i = 0; i < 3 && ends[which][i] != NSTEPS; i++)
	{
		take_step(d, ends[which][i], NULL, sometime(now));
		if (chance() < 0.25) /* told twice, as of two events */
			say(d, ends[which][i], NULL, sometime(now));
	}
}

/* Each charge has its chance once, when it is captured. */
void
disputes_draw(int64_t now)
{
	for (size_t i = 0; settings.disputes > 0 && i < charges.count; i++)
	{
		Charge *c = charges.items[i];

		if (c->had_chance || c->captured == 0 || strcmp(c->dialect, "reference") != 0)
			continue;
		c->had_chance = true;
		if (chance() < settings.disputes)
			dispute_by_chance(c, now);
	}
}

void
disputes_put(Buf *b)
{
	for (size_t i = 0; i < disputes.count; i++)
	{
		const Dispute *d = disputes.items[i];

		buf_printf(b, "%s\n{\"id\":", i ? "," : "");
		buf_json(b, d->id);
		buf_printf(b,
				   ",\"charge\":\"%s\",\"charge_reference\":\"%s\",\"amount\":%lld,"
				   "\"currency\":\"%s\",\"withdrawn\":%lld,\"reinstated\":%lld,\"steps\":[",
				   d->charge->id, d->charge->reference, (long long) d->amount, d->currency,
				   (long long) d->withdrawn, (long long) d->reinstated);
		for (int s = 0, n = 0; s < NSTEPS; s++)
		{
			if ((d->steps & (1u << s)) != 0)
				buf_printf(b, "%s\"%s\"", n++ ? "," : "", step_names[s]);
		}
		buf_puts(b, "]}");
	}
}
