/*-------------------------------------------------------------------------
 *
 * faults.c
 *		Which fault a call gets by chance.  What it asks for by token, card
 *		number or amount: src/core/test_bank/test_tokens.c.
 *
 *-------------------------------------------------------------------------
 */
#include <stdlib.h>
#include <string.h>

#include "bank.h"

#define MAX_CHANCES 40

const char *const operation_names[OP_COUNT] = {"charge", "authorize", "capture", "void", "refund",
											   "lookup", "cancel",    "ping",    "other"};

typedef struct Chance
{
	Fault fault;
	double probability;
} Chance;

static const Fault no_fault = {PGW_FAULT_NONE, -1, NULL};
static Chance chances[MAX_CHANCES];
static int chance_count;
static uint64_t dice_state;
static uint64_t notify_dice; /* of notifications, so that how they are fetched disturbs nothing */
static bool chance_on[OP_COUNT];
static int64_t chance_times; /* how often something strikes still; -1: without end */

#define lengthof(a) ((int) (sizeof(a) / sizeof((a)[0])))

const char *
brand_of_card(const char *number)
{
	if (number[0] == '4')
		return "visa";
	if (number[0] == '5' || number[0] == '2')
		return "mastercard";
	if (number[0] == '3')
		return "amex";
	return "other";
}

/* Is the fault one that makes sense only for a new charge? */
static bool
only_for_charges(FaultKind kind)
{
	return kind == PGW_FAULT_DECLINE || kind == PGW_FAULT_AUTH_REQUIRED ||
		   kind == PGW_FAULT_CHARGE_PENDING_DONE || kind == PGW_FAULT_CHARGE_PENDING_FAIL ||
		   kind == PGW_FAULT_AUTH_EXPIRES;
}

/* Does it strike what the bank says by itself? */
bool
fault_is_of_notification(FaultKind kind)
{
	return kind >= PGW_FAULT_NOTIFY_LATE && kind <= PGW_FAULT_NOTIFY_SUCCESS_AFTER_FAILURE &&
		   kind != PGW_FAULT_NOTIFY_BEFORE;
}

/* One of those that strike notifications, or one of the others. */
static Fault
draw(uint64_t *state, bool of_notification)
{
	double dice = (double) (random_step(state) >> 11) / 9007199254740992.0;

	for (int i = 0; i < chance_count; i++)
	{
		if (fault_is_of_notification(chances[i].fault.kind) != of_notification)
			continue;
		dice -= chances[i].probability;
		if (dice < 0)
			return chances[i].fault;
	}
	return no_fault;
}

Fault
fault_by_chance(Operation op)
{
	Fault f;

	if (chance_count == 0 || !chance_on[op] || chance_times == 0)
		return no_fault;
	f = draw(&dice_state, false);
	if (op != OP_CHARGE && op != OP_AUTHORIZE && only_for_charges(f.kind))
		return no_fault;
	if (f.kind != PGW_FAULT_NONE && chance_times > 0)
		chance_times--;
	return f;
}

Fault
fault_of_notification(void)
{
	return draw(&notify_dice, true);
}

/* The dice have their own sequence, so that the ids do not disturb it. */
void
faults_seed(uint64_t seed)
{
	dice_state = seed;
	notify_dice = ~seed;
}

/* The order must not depend on the order in the JSON text. */
static int
compare_chances(const void *a, const void *b)
{
	const Chance *x = a;
	const Chance *y = b;

	if (x->fault.kind != y->fault.kind)
		return x->fault.kind < y->fault.kind ? -1 : 1;
	if (x->fault.arg != y->fault.arg)
		return x->fault.arg < y->fault.arg ? -1 : 1;
	if (x->fault.code == NULL || y->fault.code == NULL)
		return 0;
	return strcmp(x->fault.code, y->fault.code);
}

void
faults_reset(void)
{
	chance_count = 0;
	chance_times = -1;
	faults_seed(settings.seed);
	for (int op = 0; op < OP_COUNT; op++)
		chance_on[op] = (op != OP_LOOKUP && op != OP_PING && op != OP_OTHER);
}

/*
 * Read "probabilities" and "operations" of /control/faults.  Answers what is
 * wrong, or NULL.
 */
const char *
faults_configure(json_object *conf)
{
	json_object *value;

	faults_reset();
	if (json_object_object_get_ex(conf, "times", &value))
		chance_times = json_object_get_int64(value);
	if (json_object_object_get_ex(conf, "probabilities", &value))
	{
		double sums[2] = {0, 0}; /* of requests, of notifications */

		if (!json_object_is_type(value, json_type_object))
			return "probabilities must be an object";
		json_object_object_foreach(value, name, p)
		{
			if (strncmp(name, "tok_", 4) == 0)
				name += 4;
			if (chance_count == MAX_CHANCES ||
				!pgw_fault_by_name(name, &chances[chance_count].fault))
			{
				chance_count = 0;
				return "unknown fault in probabilities";
			}
			chances[chance_count].probability = json_object_get_double(p);
			sums[fault_is_of_notification(chances[chance_count].fault.kind)] +=
				chances[chance_count].probability;
			chance_count++;
		}
		if (sums[0] > 1.000001 || sums[1] > 1.000001)
		{
			chance_count = 0;
			return "the probabilities sum up to more than 1";
		}
		qsort(chances, (size_t) chance_count, sizeof(Chance), compare_chances);
	}
	if (json_object_object_get_ex(conf, "operations", &value))
	{
		if (!json_object_is_type(value, json_type_array))
			return "operations must be an array";
		for (int op = 0; op < OP_COUNT; op++)
		{
			chance_on[op] = false;
			for (size_t i = 0; i < json_object_array_length(value); i++)
				if (strcmp(json_object_get_string(json_object_array_get_idx(value, i)),
						   operation_names[op]) == 0)
					chance_on[op] = true;
		}
	}
	return NULL;
}
