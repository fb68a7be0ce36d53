/*
 * process_latch.h - the latch of a process, by its number in shared memory
 */
#ifndef PGW_EXCHANGE_PROCESS_LATCH_H
#define PGW_EXCHANGE_PROCESS_LATCH_H

#include "postgres.h"

#define PGW_NO_PROC (-1)

extern int pgw_my_procno(void);
/* Where it counts after the lock is released: whoever wakes would run into it.  PGW_NO_PROC:
 * nobody. */
extern void pgw_wake_procno(int procno);

#endif
