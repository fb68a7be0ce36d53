/*-------------------------------------------------------------------------
 *
 * state.c
 *		What the bank remembers: charges, later steps, keys, references.
 *
 * All of it lives in memory, under one lock.  Things that happen with time
 * (a pending charge that is decided, an authorization that expires) are
 * settled when they are looked at.
 *
 *-------------------------------------------------------------------------
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bank.h"

#define BUCKETS (1 << 18)
#define STEP_BUCKETS (1 << 16)

/* a counter by name: attempts per reference, and blocked references */
typedef struct Mark
{
	char *name;
	int count;
	struct Mark *next;
} Mark;

Settings settings;
Settings settings_at_start;
List charges;
List captures;
List refunds;
List voids;

static Charge *charges_by_ref[BUCKETS];
static Step *steps_by_ref[STEP_BUCKETS];
static KeyEntry *keys[BUCKETS];
static Mark *marks[STEP_BUCKETS];
static uint64_t random_state;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

void
state_lock(void)
{
	pthread_mutex_lock(&lock);
}

void
state_unlock(void)
{
	pthread_mutex_unlock(&lock);
}

static size_t
bucket(const char *s, size_t count)
{
	uint64_t h = hash_bytes(s, strlen(s), HASH_START);

	return (size_t) ((h ^ (h >> 32)) & (count - 1));
}

void
list_add(List *list, void *item)
{
	if (list->count == list->cap)
	{
		list->cap = list->cap ? list->cap * 2 : 1024;
		list->items = realloc(list->items, list->cap * sizeof(void *));
		if (list->items == NULL)
			abort();
	}
	list->items[list->count++] = item;
}

void
random_seed(uint64_t seed)
{
	random_state = seed;
}

/* splitmix64 */
uint64_t
random_step(uint64_t *state)
{
	uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

uint64_t
random_next(void)
{
	return random_step(&random_state);
}

/* ---- charges ---- */

/* The id carries the position, so no index by id is needed. */
static void
make_id(char *id, size_t size, const char *prefix, size_t position)
{
	uint64_t chance = random_next();

	if (settings.numeric_ids)
		snprintf(id, size, "9%012llu%012llu",
				 (unsigned long long) (chance % UINT64_C(1000000000000)),
				 (unsigned long long) position);
	else
		snprintf(id, size, "%s_%08x%08x", prefix, (unsigned int) (chance & 0xffffffffU),
				 (unsigned int) position);
}

Charge *
charge_new(const char *reference, const char *id_prefix)
{
	Charge *c = xalloc(sizeof(Charge));
	size_t b = bucket(reference, BUCKETS);

	make_id(c->id, sizeof(c->id), id_prefix != NULL ? id_prefix : "ch", charges.count);
	c->reference = xstrdup(reference);
	c->created_at = now_ms();
	c->next_ref = charges_by_ref[b];
	charges_by_ref[b] = c;
	list_add(&charges, c);
	return c;
}

Charge *
charge_by_id(const char *id)
{
	const char *digits = strchr(id, '_');
	unsigned long position;
	char *end;

	if (strlen(id) == 25 && id[0] == '9')
		position = strtoul(id + 13, &end, 10);
	else if (digits != NULL && strlen(digits) == 17)
		position = strtoul(digits + 9, &end, 16);
	else
		return NULL;
	if (*end != '\0' || position >= charges.count ||
		strcmp(((Charge *) charges.items[position])->id, id) != 0)
		return NULL;
	return charges.items[position];
}

Charge *
charge_newest(void)
{
	return charges.count > 0 ? charges.items[charges.count - 1] : NULL;
}

/* Newest first; NULL as "after" starts. */
Charge *
charge_by_reference(const char *reference, Charge *after)
{
	Charge *c = after ? after->next_ref : charges_by_ref[bucket(reference, BUCKETS)];

	while (c != NULL && strcmp(c->reference, reference) != 0)
		c = c->next_ref;
	return c;
}

/* Let happen what time has brought. */
void
charge_settle(Charge *c, int64_t now)
{
	if (c->resolve_at == 0 || now < c->resolve_at)
		return;
	c->resolve_at = 0;
	charge_end(c, c->resolve_to);
}

/* What was pending is decided. */
void
charge_end(Charge *c, ChargeStatus status)
{
	c->status = status;
	if (c->status == CH_APPROVED)
	{
		c->authorized = c->amount;
		if (c->immediate)
			c->captured = c->amount;
	}
	else
		c->error = c->fault.kind == PGW_FAULT_DECLINE ? c->fault.code : "do_not_honor";
}

bool
charge_expired(const Charge *c, int64_t now)
{
	return c->expires_at != 0 && now >= c->expires_at;
}

/* What was done of these steps by then. */
static int64_t
sum_of_steps(const List *list, const Charge *c, int64_t then)
{
	int64_t sum = 0;

	for (size_t i = 0; i < list->count; i++)
	{
		const Step *s = list->items[i];

		if (s->charge == c && s->created_at <= then &&
			(s->status == RE_SUCCEEDED || (s->status == RE_PENDING && s->op == OP_REFUND)))
			sum += s->amount;
	}
	return sum;
}

/* The charge as it was then, for a look-up that lags behind; false: there was none. */
bool
charge_as_of(const Charge *c, int64_t then, Charge *copy)
{
	if (c->created_at > then)
		return false;
	*copy = *c;
	if (!c->immediate)
		copy->captured = sum_of_steps(&captures, c, then);
	copy->refunded = sum_of_steps(&refunds, c, then);
	copy->voided = c->voided && sum_of_steps(&voids, c, then) > 0;
	copy->closed = c->closed && copy->captured > 0;
	return true;
}

/* ---- captures, refunds, voids ---- */

Step *
step_new(Operation op, Charge *c, const char *reference)
{
	Step *s = xalloc(sizeof(Step));
	List *list = op == OP_CAPTURE ? &captures : op == OP_REFUND ? &refunds : &voids;

	make_id(s->id, sizeof(s->id),
			op == OP_CAPTURE  ? "cp"
			: op == OP_REFUND ? "re"
							  : "vo",
			list->count);
	s->op = op;
	s->charge = c;
	s->created_at = now_ms();
	if (reference != NULL)
	{
		size_t b = bucket(reference, STEP_BUCKETS);

		s->reference = xstrdup(reference);
		s->next_ref = steps_by_ref[b];
		steps_by_ref[b] = s;
	}
	list_add(list, s);
	return s;
}

/* The newest one that did not fail, else the newest one. */
Step *
step_by_reference(Operation op, const char *reference)
{
	Step *found = NULL;
	int64_t now = now_ms();

	for (Step *s = steps_by_ref[bucket(reference, STEP_BUCKETS)]; s != NULL; s = s->next_ref)
	{
		if (s->op != op || strcmp(s->reference, reference) != 0)
			continue;
		step_settle(s, now);
		if (s->status != RE_FAILED)
			return s;
		if (found == NULL)
			found = s;
	}
	return found;
}

void
step_settle(Step *s, int64_t now)
{
	if (s->resolve_at == 0 || now < s->resolve_at)
		return;
	s->resolve_at = 0;
	if (s->status == RE_PENDING)
		step_end(s, s->resolve_to == RE_FAILED ? "refund_refused" : NULL);
	else if (s->resolve_to == RE_FAILED)
	{
		s->status = RE_FAILED;
		s->error = "refund_reversed";
		s->charge->refunded -= s->amount;
	}
}

bool
bank_accepts(Operation op)
{
	return (settings.accepts & (1u << op)) != 0;
}

int64_t
accepted_until(int64_t now)
{
	long range = settings.accepted_max - settings.accepted_min + 1;

	if (settings.accepted_max == 0)
		return 0;
	return now + settings.accepted_min + (int64_t) (random_next() % (uint64_t) range);
}

int64_t
accepted_amount(const List *list, const Charge *c)
{
	int64_t sum = 0;

	for (size_t i = 0; i < list->count; i++)
	{
		const Step *s = list->items[i];

		if (s->charge == c && s->status == RE_PENDING)
			sum += s->amount;
	}
	return sum;
}

/* A capture or void counts when it is done; a refund counts until it has failed. */
void
step_end(Step *s, const char *error)
{
	bool done = error == NULL;

	if (s->status != RE_PENDING)
		return;
	s->status = done ? RE_SUCCEEDED : RE_FAILED;
	s->error = error;
	if (s->op == OP_REFUND && !done)
		s->charge->refunded -= s->amount;
	else if (s->op == OP_CAPTURE && done)
	{
		s->charge->captured += s->amount;
		s->charge->closed |= s->closes;
	}
	else if (s->op == OP_VOID && done)
		s->charge->voided = true;
}

/* ---- marks ---- */

static Mark *
mark_get(const char *name, bool create)
{
	size_t b = bucket(name, STEP_BUCKETS);
	Mark *m;

	for (m = marks[b]; m != NULL; m = m->next)
		if (strcmp(m->name, name) == 0)
			return m;
	if (!create)
		return NULL;
	m = xalloc(sizeof(Mark));
	m->name = xstrdup(name);
	m->next = marks[b];
	marks[b] = m;
	return m;
}

static Mark *
mark_of(const char *what, const char *reference, bool create)
{
	char name[256];

	snprintf(name, sizeof(name), "%s %s", what, reference);
	return mark_get(name, create);
}

bool
reference_blocked(const char *reference)
{
	return mark_of("blocked", reference, false) != NULL;
}

void
reference_block(const char *reference)
{
	(void) mark_of("blocked", reference, true);
}

/* How often this was counted before. */
int
count_attempt(const char *what, const char *reference)
{
	return mark_of(what, reference, true)->count++;
}

/* ---- idempotency keys ---- */

static void
key_free(KeyEntry *k)
{
	free(k->key);
	free(k->body);
	free(k);
}

void
key_remove(const char *key)
{
	KeyEntry **link = &keys[bucket(key, BUCKETS)];

	for (; *link != NULL; link = &(*link)->next)
	{
		KeyEntry *k = *link;

		if (strcmp(k->key, key) == 0)
		{
			*link = k->next;
			key_free(k);
			return;
		}
	}
}

/* A key past its lifetime is forgotten, but not while it is in flight. */
KeyEntry *
key_find(const char *key, int64_t now)
{
	KeyEntry *k = keys[bucket(key, BUCKETS)];

	while (k != NULL && strcmp(k->key, key) != 0)
		k = k->next;
	if (k != NULL && k->stored && now - k->created_at >= settings.key_lifetime)
	{
		key_remove(key);
		return NULL;
	}
	return k;
}

KeyEntry *
key_add(const char *key, uint64_t print, int64_t now)
{
	KeyEntry *k = xalloc(sizeof(KeyEntry));
	size_t b = bucket(key, BUCKETS);

	k->key = xstrdup(key);
	k->print = print;
	k->created_at = now;
	k->next = keys[b];
	keys[b] = k;
	return k;
}

/* ---- reset ---- */

static void
steps_free(List *list)
{
	for (size_t i = 0; i < list->count; i++)
	{
		Step *s = list->items[i];

		free(s->reference);
		free(s->key);
		json_object_put(s->metadata);
		free(s);
	}
	free(list->items);
	memset(list, 0, sizeof(*list));
}

/* Forget everything, and go back to the settings of the command line. */
void
state_reset(void)
{
	for (size_t i = 0; i < charges.count; i++)
	{
		Charge *c = charges.items[i];

		free(c->reference);
		free(c->key);
		free(c->merchant);
		free(c->merchant_reference);
		json_object_put(c->metadata);
		free(c);
	}
	free(charges.items);
	memset(&charges, 0, sizeof(charges));
	steps_free(&captures);
	steps_free(&refunds);
	steps_free(&voids);
	for (size_t i = 0; i < BUCKETS; i++)
	{
		while (keys[i] != NULL)
		{
			KeyEntry *k = keys[i];

			keys[i] = k->next;
			key_free(k);
		}
	}
	for (size_t i = 0; i < STEP_BUCKETS; i++)
	{
		while (marks[i] != NULL)
		{
			Mark *m = marks[i];

			marks[i] = m->next;
			free(m->name);
			free(m);
		}
	}
	memset(charges_by_ref, 0, sizeof(charges_by_ref));
	memset(steps_by_ref, 0, sizeof(steps_by_ref));
	settings = settings_at_start;
	random_seed(settings.seed);
	faults_reset();
	ledger_reset();
	notify_reset();
	disputes_reset();
}
