/*
 * utility_hook.c - the utility statements that pgw has to know about
 *
 * Owns: the ProcessUtility hook, and this session's wishes (what it has asked of which database's
 * worker).
 *
 *     DROP DATABASE, ALTER DATABASE ... RENAME / SET TABLESPACE, CREATE DATABASE ... TEMPLATE need
 *     a database without connections: its worker is asked to step
 *     aside, and the launcher starts none until the wish is released. DROP EXTENSION pgw, where it
 *     is allowed (drop_guard.c), would wait for callers that wait
 *     for the worker: they are failed at once, as are those who come while it runs. COMMIT
 *     PREPARED, ROLLBACK PREPARED end a transaction without any callback: the worker is told to
 *     look, and of a changed configuration or a new extension those are told whom the callbacks
 *     would have told.  ALTER EXTENSION pgw UPDATE: the worker is told to look whether its library
 *     serves the new version.  CREATE EXTENSION pgw: the first partitions of the events are made
 *     after it.
 *
 * A wish lasts until its transaction is over, because only then others see the new pg_database or
 * pg_extension; an error in the statement aborts the (sub)transaction, and so ends it.  A session
 * that dies aborts its transaction too. Only those who may run the command can send a worker away:
 * the rights are checked first, as the command itself does later.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_database.h"
#include "catalog/pg_extension.h"
#include "commands/dbcommands.h"
#include "commands/defrem.h"
#include "commands/extension.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "pgstat.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "tcop/utility.h"
#include "utils/acl.h"
#include "utils/guc.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "base/compat.h"
#include "core/base/mutant.h"
#include "database/extension_version.h"
#include "ddl/before_statement.h"
#include "ddl/drop_guard.h"
#include "ddl/extension_created.h"
#include "ddl/utility_hook.h"
#include "exchange/config_generation.h"
#include "exchange/exchange.h"
#include "exchange/signal_ring.h"
#include "exchange/unreplicated.h"
#include "exchange/worker_entries.h"

#define MAX_WISHES 16
#define STEP_ASIDE_MS 5000
#define POLL_MS 10

typedef enum PgwWishKind
{
	WISH_NONE = 0,
	WISH_EMPTY, /* the database without its worker */
	WISH_GONE,  /* the same, and at commit there is no such database */
	WISH_DROP_EXTENSION,
	WISH_UPDATE_EXTENSION /* at commit the worker is told to look at its version */
} PgwWishKind;

typedef struct PgwWish
{
	PgwWishKind kind;
	Oid dboid;
	SubTransactionId subid;
} PgwWish;

static ProcessUtility_hook_type prev_ProcessUtility = NULL;
static PgwWish wishes[MAX_WISHES];

/* ---------------------------------------------------------------- wishes */

static void
release_wish(PgwWish *wish, bool committed)
{
	PgwWish w = *wish;

	wish->kind = WISH_NONE;
	if (w.kind == WISH_DROP_EXTENSION)
		pgw_entry_drop_end(w.dboid);
	else if (w.kind == WISH_UPDATE_EXTENSION)
	{
		if (committed)
			pgw_exchange_bump_generation();
	}
	else if (w.kind != WISH_NONE)
		pgw_entry_unhold(w.dboid, committed && w.kind == WISH_GONE);
}

static void
release_all(bool committed)
{
	for (int i = 0; i < MAX_WISHES; i++)
		release_wish(&wishes[i], committed);
}

static void
wishes_at_xact_end(XactEvent event, void *arg)
{
	switch (event)
	{
		case XACT_EVENT_COMMIT:
			release_all(true);
			break;
		case XACT_EVENT_ABORT:
		case XACT_EVENT_PREPARE:
			release_all(false);
			break;
		default:
			break;
	}
}

/* Ids only grow, so those from here on are this subtransaction's and its children's. */
static void
wishes_at_subxact_end(SubXactEvent event, SubTransactionId mySubid, SubTransactionId parentSubid,
					  void *arg)
{
	if (event != SUBXACT_EVENT_ABORT_SUB)
		return;
	for (int i = 0; i < MAX_WISHES; i++)
	{
		if (wishes[i].kind != WISH_NONE && wishes[i].subid >= mySubid)
			release_wish(&wishes[i], false);
	}
}

static void
wishes_at_exit(int code, Datum arg)
{
	release_all(false);
}

/* What is asked of the worker from now on; false: there is nobody to ask. */
static bool
ask(PgwWishKind kind, Oid dboid)
{
	switch (kind)
	{
		case WISH_UPDATE_EXTENSION:
			return true;
		case WISH_DROP_EXTENSION:
			return pgw_entry_drop_begin(dboid);
		default:
			return pgw_entry_hold(dboid);
	}
}

/* false: nothing to wish, or too many already (the command then takes its chances). */
static bool
make_wish(PgwWishKind kind, Oid dboid)
{
	static bool registered = false;

	if (!registered)
	{
		RegisterXactCallback(wishes_at_xact_end, NULL);
		RegisterSubXactCallback(wishes_at_subxact_end, NULL);
		before_shmem_exit(wishes_at_exit, (Datum) 0);
		registered = true;
	}
	for (int i = 0; i < MAX_WISHES; i++)
	{
		PgwWish *wish = &wishes[i];

		if (wish->kind != WISH_NONE)
			continue;
		if (!ask(kind, dboid))
			return false;
		wish->kind = kind;
		wish->dboid = dboid;
		wish->subid = GetCurrentSubTransactionId();
		return true;
	}
	return false;
}

/*
 * Until the worker is out of the ProcArray. When it takes too long, the command says in its own
 * words who is in the way.
 */
static void
wait_until_empty(Oid dboid)
{
	TimestampTz deadline = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), STEP_ASIDE_MS);

	while (!pgw_entry_empty(dboid) && GetCurrentTimestamp() < deadline)
	{
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, POLL_MS,
						 PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
}

/* ---------------------------------------------------------------- whose worker, and may he */

static bool
owns_database(Oid dboid)
{
	return pgw_owns_database(dboid, GetUserId());
}

static bool
owns_extension(Oid extoid)
{
	return pgw_owns_extension(extoid, GetUserId());
}

/* CREATEDB, and the template is his or is marked as one. */
static bool
may_copy(Oid dboid)
{
	HeapTuple tuple;
	bool createdb = false;
	bool template = false;

	if (superuser())
		return true;
	tuple = SearchSysCache1(AUTHOID, ObjectIdGetDatum(GetUserId()));
	if (HeapTupleIsValid(tuple))
	{
		createdb = ((Form_pg_authid) GETSTRUCT(tuple))->rolcreatedb;
		ReleaseSysCache(tuple);
	}
	tuple = SearchSysCache1(DATABASEOID, ObjectIdGetDatum(dboid));
	if (HeapTupleIsValid(tuple))
	{
		template = ((Form_pg_database) GETSTRUCT(tuple))->datistemplate;
		ReleaseSysCache(tuple);
	}
	return createdb && (template || owns_database(dboid));
}

static Oid
template_of(const CreatedbStmt *stmt)
{
	const char *name = "template1";
	ListCell *lc;

	foreach (lc, stmt->options)
	{
		DefElem *option = (DefElem *) lfirst(lc);

		if (strcmp(option->defname, "template") == 0 && option->arg)
			name = defGetString(option);
	}
	return get_database_oid(name, true);
}

static bool
sets_tablespace(const AlterDatabaseStmt *stmt)
{
	ListCell *lc;

	foreach (lc, stmt->options)
	{
		if (strcmp(((DefElem *) lfirst(lc))->defname, "tablespace") == 0)
			return true;
	}
	return false;
}

static bool
drops_pgw(const DropStmt *stmt)
{
	ListCell *lc;
	Oid extoid;

	if (stmt->removeType != OBJECT_EXTENSION)
		return false;
	foreach (lc, stmt->objects)
	{
		if (strcmp(strVal(lfirst(lc)), "pgw") == 0)
		{
			extoid = get_extension_oid("pgw", true);
			return OidIsValid(extoid) && owns_extension(extoid);
		}
	}
	return false;
}

static bool
updates_pgw(Node *stmt)
{
	return IsA(stmt, AlterExtensionStmt) &&
		   strcmp(((AlterExtensionStmt *) stmt)->extname, "pgw") == 0;
}

/* What the statement needs of a worker, before it runs. */
static void
prepare_for(Node *stmt)
{
	Oid dboid = InvalidOid;
	bool allowed = true;
	PgwWishKind kind = WISH_EMPTY;

	switch (nodeTag(stmt))
	{
		case T_DropdbStmt:
			dboid = get_database_oid(((DropdbStmt *) stmt)->dbname, true);
			kind = WISH_GONE;
			allowed = OidIsValid(dboid) && dboid != MyDatabaseId && owns_database(dboid);
			break;
		case T_AlterDatabaseStmt:
			if (!sets_tablespace((AlterDatabaseStmt *) stmt))
				return;
			dboid = get_database_oid(((AlterDatabaseStmt *) stmt)->dbname, true);
			allowed = OidIsValid(dboid) && dboid != MyDatabaseId && owns_database(dboid);
			break;
		case T_RenameStmt:
			if (((RenameStmt *) stmt)->renameType != OBJECT_DATABASE)
				return;
			dboid = get_database_oid(((RenameStmt *) stmt)->subname, true);
			allowed = OidIsValid(dboid) && dboid != MyDatabaseId && owns_database(dboid);
			break;
		case T_CreatedbStmt:
			dboid = template_of((CreatedbStmt *) stmt);
			allowed = OidIsValid(dboid) && may_copy(dboid);
			break;
		case T_DropStmt:
			if (drops_pgw((DropStmt *) stmt))
			{
				/* first: callers are not failed for a statement that is refused */
				pgw_drop_check();
				(void) make_wish(WISH_DROP_EXTENSION, MyDatabaseId);
			}
			return;
		case T_AlterExtensionStmt:
			if (updates_pgw(stmt))
				(void) make_wish(WISH_UPDATE_EXTENSION, MyDatabaseId);
			return;
		default:
			return;
	}
	if (!OidIsValid(dboid) || !allowed)
		return;
	if (make_wish(kind, dboid))
		wait_until_empty(dboid);
}

/* ---------------------------------------------------------------- CREATE EXTENSION */

/* Which makes pgw where there was none, and is no part of a restore. */
static bool
creates_pgw(Node *stmt)
{
	return IsA(stmt, CreateExtensionStmt) && check_function_bodies &&
		   strcmp(((CreateExtensionStmt *) stmt)->extname, "pgw") == 0 &&
		   !OidIsValid(get_extension_oid("pgw", true));
}

/*
 * Payments work at once, so the events' first partitions have to be there at once.  They are no
 * members of the extension, and cannot be made by its script.
 */
static void
make_first_partitions(void)
{
	CommandCounterIncrement();
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	PushActiveSnapshot(GetTransactionSnapshot());
	if (SPI_execute("SELECT pgw.ensure_event_partitions()", false, 0) != SPI_OK_SELECT)
		elog(ERROR, "the creation of event partitions failed");
	PopActiveSnapshot();
	SPI_finish();
}

/* ---------------------------------------------------------------- the hook */

static bool
ends_prepared(Node *stmt)
{
	return IsA(stmt, TransactionStmt) &&
		   (((TransactionStmt *) stmt)->kind == TRANS_STMT_COMMIT_PREPARED ||
			((TransactionStmt *) stmt)->kind == TRANS_STMT_ROLLBACK_PREPARED);
}

static void
run_statement(PlannedStmt *pstmt, const char *queryString, bool readOnlyTree,
			  ProcessUtilityContext context, ParamListInfo params, QueryEnvironment *queryEnv,
			  DestReceiver *dest, QueryCompletion *qc)
{
	PgwStatement outer = pgw_statement_begin();

	PG_TRY();
	{
		if (prev_ProcessUtility)
			prev_ProcessUtility(pstmt, queryString, readOnlyTree, context, params, queryEnv, dest,
								qc);
		else
			standard_ProcessUtility(pstmt, queryString, readOnlyTree, context, params, queryEnv,
									dest, qc);
	}
	PG_FINALLY();
	{
		pgw_statement_end(outer);
	}
	PG_END_TRY();
}

static void
run_and_tell(PlannedStmt *pstmt, const char *queryString, bool readOnlyTree,
			 ProcessUtilityContext context, ParamListInfo params, QueryEnvironment *queryEnv,
			 DestReceiver *dest, QueryCompletion *qc)
{
	Node *stmt = pstmt->utilityStmt;
	/* now: a procedure's COMMIT may free the tree */
	bool prepared = ends_prepared(stmt);
	bool creates;
	bool updates = IsTransactionState() && updates_pgw(stmt);

	/*
	 * Outside a transaction (after a failure, ROLLBACK only) there are no catalogs to look into. An
	 * error releases the wish: see above.
	 */
	if (IsTransactionState() && pgw_exchange_available())
		prepare_for(stmt);
	creates = IsTransactionState() && creates_pgw(stmt);

	run_statement(pstmt, queryString, readOnlyTree, context, params, queryEnv, dest, qc);

	if (creates)
		make_first_partitions();
	if (updates && !PGW_MUTATED(VERSION_REMEMBERED))
		pgw_version_has_changed();
	if (prepared)
	{
		pgw_unreplicated_note(XactLastRecEnd);
		(void) pgw_exchange_rescan(MyDatabaseId);
	}
}

/*
 * COMMIT PREPARED of what may have changed the configuration: as config_rules.c does at the commit
 * of a transaction that has.  It may have created the extension, too.
 */
static void
end_prepared_change(PlannedStmt *pstmt, const char *queryString, bool readOnlyTree,
					ProcessUtilityContext context, ParamListInfo params, QueryEnvironment *queryEnv,
					DestReceiver *dest, QueryCompletion *qc)
{
	pgw_exchange_begin_config_change();
	PG_TRY();
	{
		run_and_tell(pstmt, queryString, readOnlyTree, context, params, queryEnv, dest, qc);
		pgw_exchange_bump_generation();
	}
	PG_FINALLY();
	{
		pgw_exchange_end_config_change();
	}
	PG_END_TRY();
	pgw_ask_for_worker();
}

static void
pgw_process_utility(PlannedStmt *pstmt, const char *queryString, bool readOnlyTree,
					ProcessUtilityContext context, ParamListInfo params, QueryEnvironment *queryEnv,
					DestReceiver *dest, QueryCompletion *qc)
{
	if (ends_prepared(pstmt->utilityStmt) && IsTransactionState() && pgw_exchange_available() &&
		pgw_exchange_prepared_change() && !PGW_MUTATED(PREPARED_CHANGE))
		end_prepared_change(pstmt, queryString, readOnlyTree, context, params, queryEnv, dest, qc);
	else
		run_and_tell(pstmt, queryString, readOnlyTree, context, params, queryEnv, dest, qc);
}

void
pgw_utility_init(void)
{
	if (!process_shared_preload_libraries_in_progress || IsBinaryUpgrade)
		return;
	prev_ProcessUtility = ProcessUtility_hook;
	ProcessUtility_hook = pgw_process_utility;
}
