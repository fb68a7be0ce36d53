/*-------------------------------------------------------------------------
 *
 * faults.c
 *		Which fault a call asks for: by token, card number, amount or chance.
 *
 * Every fault has one name.  A token is "tok_" and the name; card numbers and
 * reserved amounts stand for tokens.
 *
 *-------------------------------------------------------------------------
 */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "bank.h"

#define MAX_CHANCES 40
#define RESERVED_AMOUNT INT64_C(9990000)

typedef enum Number
{
	NUM_NO,
	NUM_MAY,
	NUM_MUST
} Number;

static const struct
{
	const char *name;
	FaultKind kind;
	Number number;
	const char *code;
} fault_names[] = {{"ok", F_NONE, NUM_NO, NULL},
				   {"decline_insufficient_funds", F_DECLINE, NUM_NO, "insufficient_funds"},
				   {"decline_do_not_honor", F_DECLINE, NUM_NO, "do_not_honor"},
				   {"decline_lost_card", F_DECLINE, NUM_NO, "lost_card"},
				   {"decline_expired_card", F_DECLINE, NUM_NO, "expired_card"},
				   {"decline_fraud", F_DECLINE, NUM_NO, "fraud"},
				   {"auth_required", F_AUTH_REQUIRED, NUM_NO, "authentication_required"},
				   {"500_before", F_500_BEFORE, NUM_MAY, NULL},
				   {"500_after", F_500_AFTER, NUM_NO, NULL},
				   {"timeout_before", F_TIMEOUT_BEFORE, NUM_MAY, NULL},
				   {"timeout_after", F_TIMEOUT_AFTER, NUM_NO, NULL},
				   {"slow", F_SLOW, NUM_MUST, NULL},
				   {"late", F_LATE, NUM_MUST, NULL},
				   {"reset_before", F_RESET_BEFORE, NUM_MAY, NULL},
				   {"reset_after", F_RESET_AFTER, NUM_NO, NULL},
				   {"close_headers", F_CLOSE_HEADERS, NUM_NO, NULL},
				   {"truncated", F_TRUNCATED, NUM_NO, NULL},
				   {"huge", F_HUGE, NUM_NO, NULL},
				   {"not_json", F_NOT_JSON, NUM_NO, NULL},
				   {"empty", F_EMPTY, NUM_NO, NULL},
				   {"wrong_amount", F_WRONG_AMOUNT, NUM_NO, NULL},
				   {"wrong_currency", F_WRONG_CURRENCY, NUM_NO, NULL},
				   {"other_answer", F_OTHER_ANSWER, NUM_NO, NULL},
				   {"no_ids", F_NO_IDS, NUM_NO, NULL},
				   {"double_keys", F_DOUBLE_KEYS, NUM_NO, NULL},
				   {"429", F_429, NUM_MAY, NULL},
				   {"503", F_503, NUM_MAY, NULL},
				   {"charge_pending_done", F_CHARGE_PENDING_DONE, NUM_MUST, NULL},
				   {"charge_pending_fail", F_CHARGE_PENDING_FAIL, NUM_MUST, NULL},
				   {"refund_pending_done", F_REFUND_PENDING_DONE, NUM_MUST, NULL},
				   {"refund_pending_fail", F_REFUND_PENDING_FAIL, NUM_MUST, NULL},
				   {"refund_fail", F_REFUND_FAIL, NUM_MAY, NULL},
				   {"refund_timeout_after", F_REFUND_TIMEOUT_AFTER, NUM_NO, NULL},
				   {"refund_later_reversed", F_REFUND_LATER_REVERSED, NUM_MUST, NULL},
				   {"capture_fail", F_CAPTURE_FAIL, NUM_NO, NULL},
				   {"capture_timeout_after", F_CAPTURE_TIMEOUT_AFTER, NUM_NO, NULL},
				   {"void_fail", F_VOID_FAIL, NUM_NO, NULL},
				   {"void_timeout_after", F_VOID_TIMEOUT_AFTER, NUM_NO, NULL},
				   {"auth_expires", F_AUTH_EXPIRES, NUM_MUST, NULL}};

static const struct
{
	const char *number;
	const char *token;
} cards[] = {{"4242424242424242", "tok_ok"},
			 {"4111111111111111", "tok_ok"},
			 {"5555555555554444", "tok_ok"},
			 {"378282246310005", "tok_ok"},
			 {"4000000000000002", "tok_decline_do_not_honor"},
			 {"4000000000009995", "tok_decline_insufficient_funds"},
			 {"4000000000000069", "tok_decline_expired_card"},
			 {"4000000000009987", "tok_decline_lost_card"},
			 {"4100000000000019", "tok_decline_fraud"},
			 {"4000002500003155", "tok_auth_required"},
			 {"4000000000000119", "tok_500_before"},
			 {"4000000000000259", "tok_500_after"},
			 {"4000000000000341", "tok_timeout_after"},
			 {"4000000000000077", "tok_timeout_before"},
			 {"4000000000000101", "tok_reset_after"},
			 {"4000000000000127", "tok_503"}};

/* cents of the reserved range 99,900.00 to 99,900.99 */
static const struct
{
	int cents;
	const char *token;
} amounts[] = {{1, "tok_decline_insufficient_funds"},
			   {2, "tok_decline_do_not_honor"},
			   {3, "tok_decline_lost_card"},
			   {4, "tok_decline_expired_card"},
			   {5, "tok_decline_fraud"},
			   {6, "tok_auth_required"},
			   {10, "tok_500_before"},
			   {11, "tok_500_after"},
			   {12, "tok_timeout_before"},
			   {13, "tok_timeout_after"},
			   {14, "tok_reset_before"},
			   {15, "tok_reset_after"},
			   {16, "tok_close_headers"},
			   {17, "tok_truncated"},
			   {18, "tok_huge"},
			   {19, "tok_not_json"},
			   {20, "tok_empty"},
			   {21, "tok_wrong_amount"},
			   {22, "tok_wrong_currency"},
			   {23, "tok_429"},
			   {24, "tok_503"},
			   {30, "tok_slow_500"},
			   {31, "tok_charge_pending_done_500"},
			   {32, "tok_charge_pending_fail_500"},
			   {40, "tok_refund_fail"},
			   {41, "tok_refund_pending_done_500"},
			   {42, "tok_refund_pending_fail_500"},
			   {43, "tok_refund_timeout_after"},
			   {44, "tok_capture_fail"},
			   {45, "tok_void_fail"},
			   {46, "tok_auth_expires_500"}};

const char *const operation_names[OP_COUNT] = {"charge", "authorize", "capture", "void", "refund",
											   "lookup", "cancel",    "ping",    "other"};

typedef struct Chance
{
	Fault fault;
	double probability;
} Chance;

static Chance chances[MAX_CHANCES];
static int chance_count;
static uint64_t dice_state;
static bool chance_on[OP_COUNT];

#define lengthof(a) ((int) (sizeof(a) / sizeof((a)[0])))

/* Find a fault by its name, with the number that may or must follow it. */
bool
fault_by_name(const char *name, Fault *fault)
{
	for (int i = 0; i < lengthof(fault_names); i++)
	{
		size_t len = strlen(fault_names[i].name);
		const char *rest = name + len;
		long arg = -1;

		if (strncmp(name, fault_names[i].name, len) != 0)
			continue;
		if (*rest == '\0')
		{
			if (fault_names[i].number == NUM_MUST)
				continue;
		}
		else
		{
			char *end;

			if (fault_names[i].number == NUM_NO || rest[0] != '_' ||
				!isdigit((unsigned char) rest[1]) || strlen(rest) > 9)
				continue;
			arg = strtol(rest + 1, &end, 10);
			if (*end != '\0')
				continue;
		}
		fault->kind = fault_names[i].kind;
		fault->arg = arg;
		fault->code = fault_names[i].code;
		return true;
	}
	return false;
}

bool
fault_by_token(const char *token, Fault *fault)
{
	return strncmp(token, "tok_", 4) == 0 && fault_by_name(token + 4, fault);
}

/* The token a card number stands for, or NULL. */
const char *
token_of_card(const char *number)
{
	for (int i = 0; i < lengthof(cards); i++)
		if (strcmp(cards[i].number, number) == 0)
			return cards[i].token;
	return NULL;
}

/* The token a reserved amount stands for, or NULL. */
const char *
token_of_amount(int64_t amount)
{
	if (amount < RESERVED_AMOUNT || amount > RESERVED_AMOUNT + 99)
		return NULL;
	for (int i = 0; i < lengthof(amounts); i++)
		if (amounts[i].cents == (int) (amount - RESERVED_AMOUNT))
			return amounts[i].token;
	return NULL;
}

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

/* Does the fault strike before anything is done? */
bool
fault_is_before(FaultKind kind)
{
	return kind == F_500_BEFORE || kind == F_TIMEOUT_BEFORE || kind == F_RESET_BEFORE ||
		   kind == F_429 || kind == F_503;
}

/* Is the fault one that makes sense only for a new charge? */
static bool
only_for_charges(FaultKind kind)
{
	return kind == F_DECLINE || kind == F_AUTH_REQUIRED || kind == F_CHARGE_PENDING_DONE ||
		   kind == F_CHARGE_PENDING_FAIL || kind == F_AUTH_EXPIRES;
}

Fault
fault_by_chance(Operation op)
{
	Fault none = {F_NONE, -1, NULL};
	double dice;

	if (chance_count == 0 || !chance_on[op])
		return none;
	dice = (double) (random_step(&dice_state) >> 11) / 9007199254740992.0;
	for (int i = 0; i < chance_count; i++)
	{
		dice -= chances[i].probability;
		if (dice >= 0)
			continue;
		if (op != OP_CHARGE && op != OP_AUTHORIZE && only_for_charges(chances[i].fault.kind))
			return none;
		return chances[i].fault;
	}
	return none;
}

/* The dice have their own sequence, so that the ids do not disturb it. */
void
faults_seed(uint64_t seed)
{
	dice_state = seed;
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
	dice_state = settings.seed;
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
	if (json_object_object_get_ex(conf, "probabilities", &value))
	{
		double sum = 0;

		if (!json_object_is_type(value, json_type_object))
			return "probabilities must be an object";
		json_object_object_foreach(value, name, p)
		{
			if (strncmp(name, "tok_", 4) == 0)
				name += 4;
			if (chance_count == MAX_CHANCES || !fault_by_name(name, &chances[chance_count].fault))
			{
				chance_count = 0;
				return "unknown fault in probabilities";
			}
			chances[chance_count].probability = json_object_get_double(p);
			sum += chances[chance_count++].probability;
		}
		if (sum > 1.000001)
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
