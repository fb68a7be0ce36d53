/*-------------------------------------------------------------------------
 *
 * notify.c
 *		What the bank says by itself: signed notifications of all that is
 *		decided, made of the ledger, and the ways in which they go wrong.
 *
 * Whoever delivers them takes what is due (GET /notifications), hands each to
 * the shop, and says which were taken (POST /control/taken): those are not
 * sent again, all others are.  What nobody of the bank has said, and what is
 * of another mode, is handed over once.
 *
 *-------------------------------------------------------------------------
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bank.h"

#define AT_ONCE 100 /* so many are handed over together, at most */

typedef struct Notification
{
	uint64_t number;
	const Charge *charge;
	char *body;
	int64_t due;
	int64_t held_until; /* or until a later one about the same charge was taken */
	uint64_t after;     /* not before that one was taken; 0: at any time */
	int again;          /* how often it comes after it was taken */
	bool once;
	bool forged;
	bool taken;
} Notification;

/* what is to be said of a charge or a step */
typedef struct Fact
{
	const Charge *charge;
	const char *about;
	const char *reference;
	int64_t amount;
	int64_t answered_at;
	bool good;
	Fault fault;
	const char *type; /* of a dispute; NULL: made of what it is about, and whether it is good */
	const char *more; /* ... and further members of the body */
} Fact;

static List told;
static size_t first_left; /* all before it were taken */

void
notify_reset(void)
{
	for (size_t i = 0; i < told.count; i++)
	{
		Notification *n = told.items[i];

		free(n->body);
		free(n);
	}
	free(told.items);
	memset(&told, 0, sizeof(told));
	first_left = 0;
}

/* That of the request that did it, that of its charge, or one by chance. */
static Fault
fault_of(const Fault *own, const Charge *c)
{
	if (fault_is_of_notification(own->kind) || own->kind == PGW_FAULT_NOTIFY_BEFORE)
		return *own;
	return fault_is_of_notification(c->fault.kind) ? c->fault : fault_of_notification();
}

/* The other mode than the bank's; one that says nothing of it moves real money. */
static const char *
other_mode(void)
{
	return settings.livemode != NULL && strcmp(settings.livemode, "false") == 0 ? "true" : "false";
}

static Notification *
add(const Fact *f, const char *id, bool good, int64_t amount, const char *livemode, int64_t due)
{
	static const char *const ends[2][2] = {{"declined", "approved"}, {"failed", "succeeded"}};
	Notification *n = xalloc(sizeof(Notification));
	Buf b = {0};

	buf_printf(&b, "{\"id\":\"%s\",\"type\":\"%s%s%s\",\"created\":%lld,", id,
			   f->type != NULL ? f->type : f->about, f->type != NULL ? "" : ".",
			   f->type != NULL ? "" : ends[strcmp(f->about, "charge") != 0][good],
			   (long long) time(NULL));
	if (livemode != NULL)
		buf_printf(&b, "\"livemode\":%s,", livemode);
	buf_printf(&b, "\"charge\":\"%s\",\"reference\":", f->charge->id);
	buf_json(&b, f->reference);
	buf_printf(&b, ",\"amount\":%lld,\"currency\":\"%s\"%s}", (long long) amount,
			   f->charge->currency, f->more != NULL ? f->more : "");
	n->charge = f->charge;
	n->body = b.data;
	n->due = due;
	n->number = told.count + 1;
	list_add(&told, n);
	return n;
}

/* One fact becomes one notification, or what its fault makes of it. */
static void
tell(const Fact *f, int64_t now)
{
	int64_t due = f->answered_at > now ? f->answered_at : now;
	int64_t amount = f->amount;
	uint64_t after = 0;
	char id[32];
	char other_id[32];
	Notification *n;

	snprintf(id, sizeof(id), "nt_%016llx", (unsigned long long) random_next());
	snprintf(other_id, sizeof(other_id), "nt_%016llx", (unsigned long long) random_next());
	switch (f->fault.kind)
	{
		case PGW_FAULT_NOTIFY_LATE:
			due += f->fault.arg;
			break;
		case PGW_FAULT_NOTIFY_BEFORE:
			due = now;
			break;
		case PGW_FAULT_NOTIFY_WRONG_AMOUNT:
			amount += 100;
			break;
		case PGW_FAULT_NOTIFY_FORGED:
			/* of the same identity: it must not take the place of the real one */
			n = add(f, id, !f->good, amount, settings.livemode, due);
			n->forged = n->once = true;
			break;
		case PGW_FAULT_NOTIFY_OTHER_MODE:
			add(f, id, !f->good, amount, other_mode(), due)->once = true;
			break;
		case PGW_FAULT_NOTIFY_SUCCESS_AFTER_FAILURE:
			if (f->good)
				after = add(f, other_id, false, amount, settings.livemode, due)->number;
			break;
		default:
			break;
	}
	n = add(f, id, f->good, amount, settings.livemode, due);
	n->after = after;
	n->again = f->fault.kind == PGW_FAULT_NOTIFY_TWICE;
	if (f->fault.kind == PGW_FAULT_NOTIFY_OUT_OF_ORDER)
		n->held_until = due + f->fault.arg;
}

static void
tell_charge(Charge *c, int64_t now)
{
	Fact f = {c, "charge", c->reference, c->amount, c->answered_at, false, {0}, NULL, NULL};

	charge_settle(c, now);
	if (c->told == (int) c->status + 1 || strcmp(c->dialect, "reference") != 0 ||
		(c->status != CH_APPROVED && c->status != CH_DECLINED))
		return;
	c->told = (int) c->status + 1;
	f.good = c->status == CH_APPROVED;
	f.fault = fault_of(&c->fault, c);
	tell(&f, now);
}

static void
tell_step(Step *s, int64_t now)
{
	Fact f = {s->charge,
			  operation_names[s->op],
			  s->reference,
			  s->amount,
			  s->answered_at,
			  false,
			  {0},
			  NULL,
			  NULL};

	step_settle(s, now);
	if (s->told == (int) s->status + 1 || s->status == RE_PENDING ||
		strcmp(s->charge->dialect, "reference") != 0)
		return;
	s->told = (int) s->status + 1;
	f.good = s->status == RE_SUCCEEDED;
	f.fault = fault_of(&s->fault, s->charge);
	tell(&f, now);
}

void
notify_dispute(const Charge *c, const char *type, int64_t amount, const char *more, int64_t due)
{
	Fact f = {.charge = c,
			  .about = "dispute",
			  .reference = c->reference,
			  .amount = amount,
			  .answered_at = due,
			  .type = type,
			  .more = more,
			  .fault = fault_of_notification()};

	/* what says otherwise of itself has nothing to say here */
	if (f.fault.kind == PGW_FAULT_NOTIFY_SUCCESS_AFTER_FAILURE)
		f.fault.kind = PGW_FAULT_NOTIFY_TWICE;
	tell(&f, now_ms());
}

/* Make notifications of all that was decided and not told so far. */
static void
look_at_ledger(int64_t now)
{
	static List *const lists[] = {&captures, &refunds, &voids};

	for (size_t i = 0; i < charges.count; i++)
		tell_charge(charges.items[i], now);
	for (int l = 0; l < 3; l++)
		for (size_t i = 0; i < lists[l]->count; i++)
			tell_step(lists[l]->items[i], now);
	disputes_draw(now);
}

static bool
is_due(const Notification *n, int64_t now)
{
	if (n->taken || n->due > now || n->held_until > now)
		return false;
	return n->after == 0 || ((Notification *) told.items[n->after - 1])->taken;
}

/* Signed when it is sent, each time anew, as Stripe's are: the time, a point and the body. */
static void
put_signature(Buf *b, const Notification *n)
{
	static const char forger[] = "nobody's";
	const char *key = n->forged ? forger : settings.notifies;
	unsigned char mac[PGW_SHA2_MAX];
	long long at = (long long) time(NULL);
	Buf text = {0};
	size_t len;

	buf_printf(&text, "%lld.%s", at, n->body);
	len = pgw_hmac(PGW_SHA256, key, strlen(key), text.data, text.len, mac);
	buf_printf(b, "t=%lld,v1=", at);
	for (size_t i = 0; i < len; i++)
		buf_printf(b, "%02x", mac[i]);
	buf_free(&text);
}

static void
put_due(Buf *b, int64_t now, int limit)
{
	int count = 0;

	while (first_left < told.count && ((Notification *) told.items[first_left])->taken)
		first_left++;
	buf_puts(b, "{\"notifications\":[");
	for (size_t i = first_left; i < told.count && count < limit; i++)
	{
		Notification *n = told.items[i];

		if (!is_due(n, now))
			continue;
		buf_printf(b, "%s\n{\"number\":%llu,\"headers\":{\"Notification-Signature\":\"",
				   count++ ? "," : "", (unsigned long long) n->number);
		put_signature(b, n);
		buf_puts(b, "\"},\"body\":");
		buf_json(b, n->body);
		buf_puts(b, "}");
		n->taken = n->once;
	}
	buf_printf(b, "\n],\"left\":%s}\n", first_left < told.count ? "true" : "false");
}

void
notify_handle(Request *req)
{
	const char *limit =
		MHD_lookup_connection_value(req->connection, MHD_GET_ARGUMENT_KIND, "limit");
	int64_t now = now_ms();

	req->status = 200;
	req->answered = true;
	if (strcmp(req->method, "GET") != 0)
	{
		answer_error(req, 405, "method_not_allowed", "only GET");
		return;
	}
	if (settings.notifies[0] != '\0')
		look_at_ledger(now);
	put_due(&req->out, now, limit != NULL && atoi(limit) < AT_ONCE ? atoi(limit) : AT_ONCE);
}

static void
take(Notification *n)
{
	/* what was held back to come after this one is late enough now */
	for (size_t i = first_left; i + 1 < n->number; i++)
	{
		Notification *earlier = told.items[i];

		if (earlier->charge == n->charge)
			earlier->held_until = 0;
	}
	if (n->again > 0)
		n->again--;
	else
		n->taken = true;
}

const char *
notify_taken(json_object *conf)
{
	json_object *numbers;

	if (!json_object_object_get_ex(conf, "numbers", &numbers) ||
		!json_object_is_type(numbers, json_type_array))
		return "numbers must be an array";
	for (size_t i = 0; i < json_object_array_length(numbers); i++)
	{
		int64_t number = json_object_get_int64(json_object_array_get_idx(numbers, i));

		if (number < 1 || number > (int64_t) told.count)
			return "no such notification";
		take(told.items[number - 1]);
	}
	return NULL;
}
