/*
 * bounded_call.c - a call of a client, which waits for nobody's lock beyond its time
 *
 * Before and after the tables of a payment (table_locks.c) a call opens many other relations: who
 * may pay, the merchants, the banks, their indexes, the server's catalogs.  Somebody's ALTER TABLE,
 * REINDEX or VACUUM FULL can have any of them.  So the limit is not that of each of these places:
 * it holds for all waits of the call, and its end is told here.
 *
 * Owns: until when the call that runs has time.  Calls nest: a trigger on pgw's tables may call.
 */
#include "postgres.h"

#include "access/xlog.h"
#include "miscadmin.h"
#include "utils/guc.h"
#include "utils/timestamp.h"

#include "client_api/bounded_call.h"
#include "client_api/pay_common.h"
#include "core/base/mutant.h"
#include "database/table_locks.h"
#include "database/wait_limit.h"
#include "exchange/write_failures.h"
#include "sql_function/raise_error.h"

/* For what follows an answer, which has come when the time is up: what it says must not get lost.
 */
#define AFTER_ANSWER_MS 2000

typedef struct BoundedCall
{
	TimestampTz deadline;
	bool answered;
} BoundedCall;

static BoundedCall running;

void
pgw_bounded_call_until(TimestampTz deadline)
{
	running.deadline = deadline;
	if (!PGW_MUTATED(CALL_DEADLINE))
		pgw_wait_limit_until(deadline);
}

void
pgw_bounded_call_answered(TimestampTz deadline)
{
	TimestampTz least = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), AFTER_ANSWER_MS);

	running.answered = true;
	pgw_bounded_call_until(Max(deadline, least));
}

TimestampTz
pgw_bounded_call_deadline(void)
{
	return running.deadline;
}

static void
raise_time_is_up(bool answered)
{
	if (answered)
		pgw_raise(
			"request_in_flight",
			pgw_detail(NULL, "reason", "the answer could not be saved: a table or row is locked"),
			"Ask again with the same client_request_id: what the bank has approved is given back otherwise.");
	pgw_table_raise_busy("a table of pgw, a catalog or a row that the call needs is locked");
}

/*
 * Does the error say that calls cannot write here?  Not what is the caller's own (what he asks for
 * is not valid or not his, he has cancelled it), nor what a retry ends; locks are watched by the
 * worker, what it could not write itself is counted there, and what pgw refuses is known.  Asked
 * before anything is cleaned up: so the user is still whom the call acted as.
 */
static bool
keeps_from_writing(int sqlstate, Oid caller)
{
	const char *text = unpack_sql_state(sqlstate);

	if (RecoveryInProgress() || strncmp(text, "PW", 2) == 0)
		return false;
	if (sqlstate == ERRCODE_READ_ONLY_SQL_TRANSACTION)
	{
		const char *from_the_start = GetConfigOptionResetString("default_transaction_read_only");

		return strcmp(from_the_start, "on") == 0;
	}
	if (sqlstate == ERRCODE_INSUFFICIENT_PRIVILEGE)
		return GetUserId() != caller;
	switch (ERRCODE_TO_CATEGORY(sqlstate))
	{
		case ERRCODE_OPERATOR_INTERVENTION:
		case ERRCODE_TRANSACTION_ROLLBACK:
			return false;
		default:
			return sqlstate != ERRCODE_LOCK_NOT_AVAILABLE;
	}
}

/* A call that writes has ended in an error. */
static void
note_failure(Oid caller)
{
	int sqlstate = geterrcode();

	if (keeps_from_writing(sqlstate, caller))
		pgw_write_failed(PGW_WRITE_CALL, sqlstate);
}

Datum
pgw_bounded_call(FunctionCallInfo fcinfo, bool writes, PGFunction call)
{
	Oid caller = GetUserId();
	BoundedCall outer = running;
	MemoryContext context = CurrentMemoryContext;
	XLogRecPtr written = XactLastRecEnd;
	PgwWaitLimit limit;
	Datum result;

	running = (BoundedCall){.deadline = pgw_pay_deadline(true, 0)};
	pgw_wait_limit_begin(&limit, PGW_MUTATED(CALL_DEADLINE) ? 0 : running.deadline);
	PG_TRY();
	{
		result = call(fcinfo);
	}
	PG_CATCH();
	{
		bool answered = running.answered;

		running = outer;
		pgw_wait_limit_end(&limit);
		if (writes)
			note_failure(caller);
		if (pgw_wait_limit_reached(&limit))
		{
			MemoryContextSwitchTo(context);
			FlushErrorState();
			raise_time_is_up(answered);
		}
		PG_RE_THROW();
	}
	PG_END_TRY();
	pgw_wait_limit_end(&limit);
	running = outer;
	/* a call that was answered from what stands in the tables says nothing of writing */
	if (writes && XactLastRecEnd != written)
		pgw_write_succeeded(PGW_WRITE_CALL);
	return result;
}
