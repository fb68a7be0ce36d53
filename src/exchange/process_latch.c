/*
 * process_latch.c - the latch of a process, by its number in shared memory
 *
 * Owns nothing.  In shared memory stands the number of a process, which stays valid to set a latch
 * with when that process has ended: then another one may wake for nothing.
 */
#include "postgres.h"

#include "storage/latch.h"
#include "storage/proc.h"

#include "base/compat.h"
#include "exchange/process_latch.h"

int
pgw_my_procno(void)
{
	return pgw_my_proc_number();
}

void
pgw_wake_procno(int procno)
{
	if (procno != PGW_NO_PROC)
		SetLatch(&ProcGlobal->allProcs[procno].procLatch);
}
