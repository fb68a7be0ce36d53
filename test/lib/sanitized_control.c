/*-------------------------------------------------------------------------
 *
 * sanitized_control.c
 *	  Two errors on purpose, for a server with sanitizers: a run without a
 *	  report says something only where these are reported.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"

PG_MODULE_MAGIC;

PG_FUNCTION_INFO_V1(read_beyond);
PG_FUNCTION_INFO_V1(shift_beyond);

/* One byte behind what malloc() gave. */
Datum
read_beyond(PG_FUNCTION_ARGS)
{
	char	   *volatile piece = calloc(8, 1);	/* volatile: else the compiler itself would see it */

	PG_RETURN_INT32(piece[8 + PG_GETARG_INT32(0)]);
}

/* A shift by more than an int has bits: what overflows is defined in the server's build (-fwrapv). */
Datum
shift_beyond(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT32(1 << (32 + PG_GETARG_INT32(0)));
}
