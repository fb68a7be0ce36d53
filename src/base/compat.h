/*
 * compat.h - what differs between PostgreSQL 15 and 19
 *
 * Owns nothing; every difference is named once here, so that no other file asks for the server's
 * version.
 */
#ifndef PGW_BASE_COMPAT_H
#define PGW_BASE_COMPAT_H

#include "postgres.h"
#include "access/tableam.h"
#include "executor/executor.h"
#include "nodes/makefuncs.h"
#include "nodes/parsenodes.h"
#include "parser/analyze.h"
#include "utils/guc.h"
#include "utils/guc_tables.h"
#include "utils/jsonb.h"
#include "utils/wait_event.h"

#if PG_VERSION_NUM >= 160000
#include "parser/parse_relation.h"
#include "varatt.h"
#endif
#if PG_VERSION_NUM >= 180000
#include "rewrite/rewriteHandler.h"
#endif

/* 16 added onlySummarizing, and 19 has flags. */
static inline List *
pgw_exec_insert_index_tuples(ResultRelInfo *rri, TupleTableSlot *slot, EState *estate,
							 bool no_dup_error, bool *conflict, List *arbiters)
{
#if PG_VERSION_NUM >= 190000
	return ExecInsertIndexTuples(rri, estate, no_dup_error ? EIIT_NO_DUPE_ERROR : 0, slot, arbiters,
								 conflict);
#elif PG_VERSION_NUM >= 160000
	return ExecInsertIndexTuples(rri, slot, estate, false, no_dup_error, conflict, arbiters, false);
#else
	return ExecInsertIndexTuples(rri, slot, estate, false, no_dup_error, conflict, arbiters);
#endif
}

/*
 * A new version of the row at that place, and its index entries.  16 made an enum of the flag for
 * these, 19 has flags.  It waits for who has the row: no server can be asked not to (heap_update()
 * asserts that it is not).
 */
static inline TM_Result
pgw_update_tuple(ResultRelInfo *rri, EState *estate, ItemPointer tid, TupleTableSlot *slot)
{
	TM_FailureData failure;
	LockTupleMode mode;
	TM_Result result;
#if PG_VERSION_NUM >= 160000
	TU_UpdateIndexes indexes = TU_None;
#else
	bool indexes = false;
#endif

	result =
		table_tuple_update(rri->ri_RelationDesc, tid, slot, estate->es_output_cid,
						   estate->es_snapshot, InvalidSnapshot, true, &failure, &mode, &indexes);
	if (result != TM_Ok || rri->ri_NumIndices == 0 || !indexes)
		return result;
#if PG_VERSION_NUM >= 190000
	(void) ExecInsertIndexTuples(
		rri, estate, EIIT_IS_UPDATE | (indexes == TU_Summarizing ? EIIT_ONLY_SUMMARIZING : 0), slot,
		NIL, NULL);
#elif PG_VERSION_NUM >= 160000
	(void) ExecInsertIndexTuples(rri, slot, estate, true, false, NULL, NIL,
								 indexes == TU_Summarizing);
#else
	(void) ExecInsertIndexTuples(rri, slot, estate, true, false, NULL, NIL);
#endif
	return result;
}

/* 16 added the list of result relations. */
static inline void
pgw_eval_plan_qual_init(EPQState *epq, EState *estate)
{
#if PG_VERSION_NUM >= 160000
	EvalPlanQualInit(epq, estate, NULL, NIL, -1, NIL);
#else
	EvalPlanQualInit(epq, estate, NULL, NIL, -1);
#endif
}

/*
 * The range table of a single relation; from 16 on the columns lie in a permission info, from 18 on
 * there are unpruned relations.
 */
static inline void
pgw_init_range_table(EState *estate, RangeTblEntry *rte, Bitmapset *updated)
{
#if PG_VERSION_NUM >= 160000
	List *perminfos = NIL;

	addRTEPermissionInfo(&perminfos, rte)->updatedCols = updated;
#if PG_VERSION_NUM >= 180000
	ExecInitRangeTable(estate, list_make1(rte), perminfos, bms_make_singleton(1));
#else
	ExecInitRangeTable(estate, list_make1(rte), perminfos);
#endif
#else
	rte->updatedCols = updated;
	ExecInitRangeTable(estate, list_make1(rte));
#endif
}

/* The expressions of a table's CHECK constraints, prepared; 18 renamed the place. */
#if PG_VERSION_NUM >= 180000
#define pgw_check_exprs(rri) ((rri)->ri_CheckConstraintExprs)
#else
#define pgw_check_exprs(rri) ((rri)->ri_ConstraintExprs)
#endif

/*
 * 18 has CHECK constraints that are only written down, and columns that are computed where they are
 * read: what a constraint says of one is said of what it is computed from.
 */
#if PG_VERSION_NUM >= 180000
#define pgw_check_is_enforced(check) ((check)->ccenforced)
#define pgw_expand_generated(expr, rel) expand_generated_columns_in_expr(expr, rel, 1)
#else
#define pgw_check_is_enforced(check) true
#define pgw_expand_generated(expr, rel) ((Node *) (expr))
#endif

/* 18 added an instrumentation argument, 19 flags. */
#if PG_VERSION_NUM >= 190000
#define pgw_index_beginscan(heap, index, snapshot, nkeys) \
	index_beginscan(heap, index, snapshot, NULL, nkeys, 0, 0)
#elif PG_VERSION_NUM >= 180000
#define pgw_index_beginscan(heap, index, snapshot, nkeys) \
	index_beginscan(heap, index, snapshot, NULL, nkeys, 0)
#else
#define pgw_index_beginscan(heap, index, snapshot, nkeys) \
	index_beginscan(heap, index, snapshot, nkeys, 0)
#endif

/* 19 added flags. */
#if PG_VERSION_NUM >= 190000
#define pgw_table_beginscan(table, snapshot) table_beginscan(table, snapshot, 0, NULL, 0)
#else
#define pgw_table_beginscan(table, snapshot) table_beginscan(table, snapshot, 0, NULL)
#endif

/*
 * 18 took execute_once away from the executor's run: what a hook takes after the count, and passes
 * on.
 */
#if PG_VERSION_NUM >= 180000
#define PGW_RUN_ONCE_PARAM
#define PGW_RUN_ONCE
#else
#define PGW_RUN_ONCE_PARAM , bool execute_once
#define PGW_RUN_ONCE , execute_once
#endif

/* 19 tells a planner hook of EXPLAIN: what it takes at the end, and passes on. */
#if PG_VERSION_NUM >= 190000
#define PGW_EXPLAIN_PARAM , ExplainState *explain
#define PGW_EXPLAIN , explain
#else
#define PGW_EXPLAIN_PARAM
#define PGW_EXPLAIN
#endif

/* What a hook after parse analysis is given to read; 19 says that it is no more than that. */
#if PG_VERSION_NUM >= 190000
typedef const JumbleState PgwJumbleState;
#else
typedef JumbleState PgwJumbleState;
#endif

/* What a signal handler passes on; 19 says who has sent it, too. */
#if PG_VERSION_NUM >= 190000
#define PGW_SIGNAL_ARGUMENTS postgres_signal_arg, pg_siginfo
#else
#define PGW_SIGNAL_ARGUMENTS postgres_signal_arg
#define PG_SIG_IGN SIG_IGN
#endif

/* A jsonb under construction; 19 has the value that is done in the same place. */
#if PG_VERSION_NUM >= 190000
typedef JsonbInState PgwJsonbState;
#define pgw_push_jsonb(state, token, value) pushJsonbValue(state, token, value)
#else
typedef struct PgwJsonbState
{
	JsonbParseState *parse;
	JsonbValue *result;
} PgwJsonbState;

static inline void
pgw_push_jsonb(PgwJsonbState *state, JsonbIteratorToken token, JsonbValue *value)
{
	state->result = pushJsonbValue(&state->parse, token, value);
}
#endif

/* 17 can ask for stronger ones, too. */
#if PG_VERSION_NUM >= 170000
#define pgw_lock_held_by_me(tag, mode) LockHeldByMe(tag, mode, false)
#else
#define pgw_lock_held_by_me(tag, mode) LockHeldByMe(tag, mode)
#endif

/* 17 renamed the place. */
#if PG_VERSION_NUM >= 170000
#define pgw_oldest_clog_xid() (TransamVariables->oldestClogXid)
#else
#define pgw_oldest_clog_xid() (ShmemVariableCache->oldestClogXid)
#endif

/* 17 has a limit for whole transactions, too. */
#if PG_VERSION_NUM >= 170000
#define PGW_HAS_TRANSACTION_TIMEOUT
#endif

/* 17 moved both. */
#if PG_VERSION_NUM >= 170000
#define pgw_my_lxid() (MyProc->vxid.lxid)
#define pgw_my_proc_number() MyProcNumber
#else
#define pgw_my_lxid() (MyProc->lxid)
#define pgw_my_proc_number() (MyProc->pgprocno)
#endif

/* 17 lets an extension name what its processes wait for; before, all are "Extension". */
#if PG_VERSION_NUM >= 170000
#define pgw_new_wait_event(name) WaitEventExtensionNew(name)
#else
#define pgw_new_wait_event(name) PG_WAIT_EXTENSION
#endif

/* 16 has one function for all kinds of objects. */
#if PG_VERSION_NUM >= 160000
#define pgw_owns_database(oid, role) object_ownercheck(DatabaseRelationId, oid, role)
#define pgw_owns_extension(oid, role) object_ownercheck(ExtensionRelationId, oid, role)
#else
#define pgw_owns_database(oid, role) pg_database_ownercheck(oid, role)
#define pgw_owns_extension(oid, role) pg_extension_ownercheck(oid, role)
#endif

/* 18 can log what held it up. */
#if PG_VERSION_NUM >= 180000
#define pgw_conditional_xact_lock_table_wait(xid) ConditionalXactLockTableWait(xid, false)
#else
#define pgw_conditional_xact_lock_table_wait(xid) ConditionalXactLockTableWait(xid)
#endif

/* For the life of the process; 17 has resource owners for shorter ones. */
#if PG_VERSION_NUM >= 170000
#define pgw_create_wait_event_set(nevents) CreateWaitEventSet(NULL, nevents)
#else
#define pgw_create_wait_event_set(nevents) CreateWaitEventSet(TopMemoryContext, nevents)
#endif

/* The file that a setting comes from; NULL: from none. 16 replaced the list of all settings. */
static inline const char *
pgw_guc_sourcefile(const char *name)
{
#if PG_VERSION_NUM >= 160000
	struct config_generic *setting = find_option(name, false, true, 0);

	return setting != NULL ? setting->sourcefile : NULL;
#else
	struct config_generic **settings = get_guc_variables();
	int n = GetNumConfigOptions();

	for (int i = 0; i < n; i++)
	{
		if (strcmp(settings[i]->name, name) == 0)
			return settings[i]->sourcefile;
	}
	return NULL;
#endif
}

/* 18 gives the expressions of GROUP BY an entry in the range table; NIL: the entry is another. */
static inline List *
pgw_group_expressions(const RangeTblEntry *rte)
{
#if PG_VERSION_NUM >= 180000
	return rte->rtekind == RTE_GROUP ? rte->groupexprs : NIL;
#else
	return NIL;
#endif
}

/* 18 has the old row in RETURNING, too. */
static inline bool
pgw_is_old_row(const Var *var)
{
#if PG_VERSION_NUM >= 180000
	return var->varreturningtype == VAR_RETURNING_OLD;
#else
	return false;
#endif
}

#endif
