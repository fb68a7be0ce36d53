/*
 * tables.c - payments and attempts: find, lock, insert, update
 *
 * Owns: nothing.
 * Locks: those of row.c.
 */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/rel.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

#include "core/base/mutant.h"
#include "database/find_row.h"
#include "database/row.h"
#include "store/clock_set_back.h"
#include "store/event_data.h"
#include "store/events_internal.h"
#include "store/open_work.h"
#include "store/table_rows_internal.h"
#include "store/tables.h"

static PgwFind
find_id(PgwRel *r, PgwTable table, const pg_uuid_t *id)
{
	Datum key = UUIDPGetDatum(id);

	return pgw_row_find(r, pgw_store_id_index(table, RelationGetRelid(r->rel)), &key, 1,
						PGW_FIND_THOROUGH, NULL, NULL);
}

static bool
get_by_id(PgwTable table, const pg_uuid_t *id, void *out)
{
	PgwRel r;
	bool found;

	pgw_store_open(&r, table, false, false);
	found = find_id(&r, table, id) == PGW_FIND_ROW;
	if (found)
		pgw_store_read(&r, table, out);
	pgw_row_close(&r);
	return found;
}

bool
pgw_store_payment_by_id(const pg_uuid_t *payment_id, PgwPayment *out)
{
	return get_by_id(PGW_TABLE_PAYMENTS, payment_id, out);
}

bool
pgw_store_attempt_by_id(const pg_uuid_t *transaction_id, PgwAttempt *out)
{
	return get_by_id(PGW_TABLE_TRANSACTIONS, transaction_id, out);
}

static PgwFind
find_payment(const char *client_request_id, const char *merchant, int attempts, PgwPayment *out)
{
	Datum keys[2] = {CStringGetTextDatum(client_request_id), CStringGetTextDatum(merchant)};
	PgwRel r;
	PgwFind found;

	pgw_store_open(&r, PGW_TABLE_PAYMENTS, false, false);
	found = pgw_row_find(&r, pgw_store_claim_index(RelationGetRelid(r.rel)), keys, 2, attempts,
						 NULL, NULL);
	if (found == PGW_FIND_ROW)
		pgw_store_read(&r, PGW_TABLE_PAYMENTS, out);
	pgw_row_close(&r);
	return found;
}

bool
pgw_store_payment_by_request(const char *client_request_id, const char *merchant, PgwPayment *out)
{
	return find_payment(client_request_id, merchant, PGW_FIND_THOROUGH, out) == PGW_FIND_ROW;
}

PgwFind
pgw_store_payment_probe(const char *client_request_id, const char *merchant, PgwPayment *out)
{
	return find_payment(client_request_id, merchant, PGW_FIND_ONCE, out);
}

/* r->found := the row, if it still lies at that place: by now another one can. */
static bool
find_at(PgwRel *r, PgwTable table, const pg_uuid_t *id, const ItemPointerData *place)
{
	return place != NULL && pgw_row_fetch_from(r, place) &&
		   (pgw_store_has_id(r, table, id) || PGW_MUTATED(ROW_AT_PLACE));
}

/* take: it need not be locked where nobody has it. */
static bool
lock_by_id(PgwTable table, const pg_uuid_t *id, const ItemPointerData *place, bool wait, bool take,
		   void *out, bool *busy)
{
	PgwRel r;
	bool found;
	bool unlocked;
	bool is_busy = false;

	pgw_store_open(&r, table, true, false);
	found = find_at(&r, table, id, place) || find_id(&r, table, id) == PGW_FIND_ROW;
	unlocked = found && take && pgw_row_is_free(&r);
	if (found && !unlocked)
		found = pgw_row_lock(&r, wait, &is_busy);
	if (found)
	{
		PgwRowLocation *location = pgw_store_location(table, out);

		pgw_store_read(&r, table, out);
		location->held = true;
		location->unlocked = unlocked;
		location->waits = wait;
	}
	pgw_row_close(&r);
	if (busy != NULL)
		*busy = is_busy;
	return found;
}

static bool
get_attempt(const pg_uuid_t *transaction_id, const ItemPointerData *place, bool wait, bool take,
			PgwAttempt *out, bool *busy)
{
	if (!lock_by_id(PGW_TABLE_TRANSACTIONS, transaction_id, place, wait, take, out, busy))
		return false;
	out->without_row = pgw_store_has_no_row(out);
	pgw_store_take_back_times_of(out, GetCurrentTimestamp());
	return true;
}

bool
pgw_store_lock_attempt_at(const pg_uuid_t *transaction_id, const ItemPointerData *place, bool wait,
						  PgwAttempt *out, bool *busy)
{
	return get_attempt(transaction_id, place, wait, false, out, busy);
}

bool
pgw_store_take_attempt_at(const pg_uuid_t *transaction_id, const ItemPointerData *place, bool wait,
						  PgwAttempt *out, bool *busy)
{
	return get_attempt(transaction_id, place, wait, true, out, busy);
}

bool
pgw_store_lock_attempt(const pg_uuid_t *transaction_id, bool wait, PgwAttempt *out, bool *busy)
{
	return pgw_store_lock_attempt_at(transaction_id, NULL, wait, out, busy);
}

bool
pgw_store_take_payment(const pg_uuid_t *payment_id, PgwPayment *out, bool *busy)
{
	return lock_by_id(PGW_TABLE_PAYMENTS, payment_id, NULL, false, true, out, busy);
}

bool
pgw_store_lock_payment(const pg_uuid_t *payment_id, bool wait, PgwPayment *out, bool *busy)
{
	return lock_by_id(PGW_TABLE_PAYMENTS, payment_id, NULL, wait, false, out, busy);
}

void
pgw_store_insert_attempt(PgwAttempt *attempt)
{
	PgwRel r;

	attempt->updated_at = GetCurrentTimestamp();
	if (attempt->created_at == 0)
		attempt->created_at = attempt->updated_at;
	pgw_store_open(&r, PGW_TABLE_TRANSACTIONS, true, false);
	pgw_store_fill(&r, PGW_TABLE_TRANSACTIONS, attempt);
	pgw_row_insert(&r);
	attempt->place = (PgwRowLocation){.tid = r.slot->tts_tid, .held = true};
	pgw_row_close(&r);
	pgw_store_list_open_work(attempt, true);
}

/*
 * r->found := the row that is to be updated, locked.  What this transaction has locked or written
 * lies where that was, as nobody else can have changed it; unless a trigger of this transaction's
 * has, and then it is looked for.
 */
static void
reach(PgwRel *r, PgwTable table, const pg_uuid_t *id, PgwRowLocation *place)
{
	bool busy;

	if (place->held && pgw_row_fetch(r, &place->tid))
		return;
	if (find_id(r, table, id) != PGW_FIND_ROW || !pgw_row_lock(r, true, &busy))
		elog(ERROR, "the row of pgw.%s to update is gone", pgw_store_table_name(table));
}

/* What was taken without a lock is somebody else's by now. */
static void
overtaken(PgwRowLocation *place)
{
	place->overtaken = true;
	if (!place->waits)
		ereport(ERROR,
				(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
				 errmsg("pgw: a row was changed after it was read; the work is done later")));
}

/*
 * r->found := the row at this place, which was taken without a lock.  An update waits for who has
 * the row.  So who is not to wait looks again whether somebody has it: then only somebody of this
 * very moment is waited for, and lock_timeout bounds that.
 */
static bool
reach_taken(PgwRel *r, PgwTable table, const pg_uuid_t *id, PgwRowLocation *place)
{
	if (PGW_MUTATED(OVERTAKEN))
	{
		reach(r, table, id, &(PgwRowLocation){.held = false});
		return true;
	}
	return pgw_row_fetch(r, &place->tid) && pgw_store_has_id(r, table, id) &&
		   (place->waits || pgw_row_is_free(r) || PGW_MUTATED(UPDATE_WAITS));
}

/* r->found becomes what stands in the struct.  false: it was overtaken. */
static bool
write_row(PgwRel *r, PgwTable table, const void *row, const PgwRowLocation *place)
{
	pgw_store_fill(r, table, row);
	if (table == PGW_TABLE_TRANSACTIONS)
		pgw_store_check_transition(r, row);
	if (place->unlocked && !PGW_MUTATED(OVERTAKEN))
		return pgw_row_update_free(r);
	pgw_row_update(r);
	return true;
}

static void
update(PgwTable table, const pg_uuid_t *id, void *row)
{
	PgwRowLocation *place = pgw_store_location(table, row);
	bool written;
	PgwRel r;

	pgw_store_open(&r, table, true, false);
	if (!place->unlocked)
		reach(&r, table, id, place);
	written =
		(!place->unlocked || reach_taken(&r, table, id, place)) && write_row(&r, table, row, place);
	if (written)
		*place = (PgwRowLocation){.tid = r.slot->tts_tid, .held = true};
	pgw_row_close(&r);
	if (!written)
		overtaken(place);
}

bool
pgw_store_hold_attempt(PgwAttempt *attempt)
{
	PgwRowLocation *place = &attempt->place;
	bool busy;
	bool same;
	PgwRel r;

	if (!place->unlocked)
		return !place->overtaken;
	pgw_store_open(&r, PGW_TABLE_TRANSACTIONS, true, false);
	same = pgw_row_fetch(&r, &place->tid) && pgw_row_lock(&r, place->waits, &busy) &&
		   ItemPointerEquals(&r.found->tts_tid, &place->tid);
	pgw_row_close(&r);
	if (same)
		place->unlocked = false;
	else
		overtaken(place);
	return same;
}

void
pgw_store_update_payment(PgwPayment *p)
{
	p->updated_at = GetCurrentTimestamp();
	update(PGW_TABLE_PAYMENTS, &p->payment_id, p);
}

void
pgw_store_update_attempt(PgwAttempt *attempt)
{
	Assert(attempt->requests_sent == attempt->told_requests_sent &&
		   (attempt->requests_sent == 0 || pgw_event_bank_is_told(attempt)));
	attempt->updated_at = GetCurrentTimestamp();
	update(PGW_TABLE_TRANSACTIONS, &attempt->transaction_id, attempt);
	if (attempt->place.overtaken)
		return;
	attempt->times_moved = false;
	pgw_store_list_open_work(attempt, false);
}

void
pgw_store_relist(PgwAttempt *attempt)
{
	if (attempt->times_moved)
		pgw_store_update_attempt(attempt); /* a row tells its attempt's times */
	else if (!attempt->listed)
		pgw_store_list_open_work(attempt, false);
}

void
pgw_store_forget_refund_request(PgwAttempt *attempt)
{
	attempt->refund_request.key = NULL;
	attempt->refund_request.key_used_at = attempt->refund_request.asked_at = 0;
	attempt->refund_reference = NULL;
	attempt->pending_at_bank = false;
}

void
pgw_store_check(void)
{
	pgw_store_check_rows();
	pgw_store_check_events();
}

void
pgw_store_get_amounts(const PgwPayment *p, PgwPaymentAmounts *s)
{
	s->status = p->status;
	s->authorized = p->authorized_amount;
	s->captured = p->captured_amount;
	s->capture_pending = p->capture_pending_amount;
	s->reserved = p->reserved_amount;
	s->refunded = p->refunded_amount;
	s->refund_pending = p->refund_pending_amount;
	s->bank_captured = p->bank_captured_amount;
	s->bank_refunded = p->bank_refunded_amount;
	s->disputed = p->disputed_amount;
}

void
pgw_store_set_amounts(PgwPayment *p, const PgwPaymentAmounts *s)
{
	p->status = s->status;
	p->authorized_amount = s->authorized;
	p->captured_amount = s->captured;
	p->capture_pending_amount = s->capture_pending;
	p->reserved_amount = s->reserved;
	p->refunded_amount = s->refunded;
	p->refund_pending_amount = s->refund_pending;
	p->bank_captured_amount = s->bank_captured;
	p->bank_refunded_amount = s->bank_refunded;
	p->disputed_amount = s->disputed;
}
