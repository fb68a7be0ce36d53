/*
 * wipe_remains.c - card data that the server has of a call: overwritten before its memory is given
 * back
 *
 * A bound parameter is copied on its way to us: from the message into the portal, from there as a
 * constant into what the planner works on, and with the plan into the plan cache.  None of them may
 * be touched while the statement can still look at it (a second use of $1, the next row, the next
 * FETCH), and PostgreSQL frees them without wiping.  So each is overwritten by a callback of the
 * memory context that it lies in, which runs when that context is reset or deleted: nobody can look
 * at it from then on, whatever ends the statement.
 *
 * Owns nothing: the notes lie in the contexts that they are about.
 * Invariant: only what is known to be allocated by itself, in a context that is known, is ever
 * written to.  An argument's value as such is not: it may lie inside a table's page.
 *     - Text constants: planner and copyObject() allocate each value by itself (datumCopy()).
 *     - The parameters of a visible portal: Bind and cursors allocate them in the portal's own
 *       context.  (EXECUTE's portal is not visible; its values may be parts of others.)
 * Not reached: the message itself and the buffer that it was received in (docs/security.md says
 * what is to be done about them), variables of PL functions, values of expressions.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "tcop/pquery.h"
#include "utils/memutils.h"
#include "utils/portal.h"

#include "base/compat.h"
#include "core/base/mutant.h"
#include "sql_function/wipe_remains.h"

#define FREED_AT_MOST 8
#define FREED_LONGEST 8192 /* longer than any card data, and a token that is an object */

typedef struct Remains
{
	MemoryContextCallback callback;
	char *at;
	Size len;
} Remains;

static void
overwrite(void *arg)
{
	Remains *r = arg;

	if (!PGW_MUTATED(REMAINS))
		explicit_bzero(r->at, r->len);
}

static void
note(MemoryContext context, char *at, Size len)
{
	Remains *r = MemoryContextAlloc(context, sizeof(Remains));

	r->callback.func = overwrite;
	r->callback.arg = r;
	r->at = at;
	r->len = len;
	MemoryContextRegisterResetCallback(context, &r->callback);
}

static bool
is_text(Oid type)
{
	return type == TEXTOID || type == VARCHAROID || type == BPCHAROID;
}

static bool
is_noted(MemoryContext context, const char *at)
{
	for (MemoryContextCallback *c = context->reset_cbs; c != NULL; c = c->next)
	{
		if (c->func == overwrite && ((Remains *) c->arg)->at == at)
			return true;
	}
	return false;
}

/*
 * The length word stays: whoever walks over dead memory in a debugger is not led astray.  Once: a
 * cached plan that is executed a million times has the same constants each time, and would keep a
 * note of each.
 */
static void
note_text(MemoryContext context, Datum value)
{
	struct varlena *v = (struct varlena *) DatumGetPointer(value);

	if (!VARATT_IS_EXTERNAL(v) && !is_noted(context, VARDATA_ANY(v)))
		note(context, VARDATA_ANY(v), VARSIZE_ANY_EXHDR(v));
}

void
pgw_remains_copy(const char *s)
{
	if (s != NULL)
		note(CurrentMemoryContext, unconstify(char *, s), strlen(s));
}

void
pgw_remains_constants(const FuncExpr *call)
{
	ListCell *lc;

	foreach (lc, call->args)
	{
		const Const *c = lfirst(lc);

		if (IsA(c, Const) && !c->constisnull && is_text(c->consttype))
			note_text(GetMemoryChunkContext(DatumGetPointer(c->constvalue)), c->constvalue);
	}
}

/*
 * A value that came in binary, or in another encoding, was made of a copy beside it, which is freed
 * by now: what is allocated next of its size is that copy.
 */
static void
overwrite_freed(MemoryContext context, Size len)
{
	void *again[FREED_AT_MOST];

	if (len > FREED_LONGEST)
		return;
	for (int i = 0; i < FREED_AT_MOST; i++)
		again[i] = MemoryContextAllocZero(context, len);
	for (int i = 0; i < FREED_AT_MOST; i++)
		pfree(again[i]);
}

static void
note_parameters(Portal portal)
{
	ParamListInfo params = portal->portalParams;

	if (params == NULL || params->paramFetch != NULL || !portal->visible)
		return;
	for (int i = 0; i < params->numParams; i++)
	{
		if (params->params[i].isnull || !is_text(params->params[i].ptype))
			continue;
		note_text(portal->portalContext, params->params[i].value);
		overwrite_freed(portal->portalContext,
						VARSIZE_ANY_EXHDR(DatumGetPointer(params->params[i].value)) + 1);
	}
}

void
pgw_remains_call(FunctionCallInfo fcinfo)
{
	const FuncExpr *call = (const FuncExpr *) fcinfo->flinfo->fn_expr;

	if (call != NULL && IsA(call, FuncExpr))
		pgw_remains_constants(call);
	if (ActivePortal != NULL)
		note_parameters(ActivePortal);
}
