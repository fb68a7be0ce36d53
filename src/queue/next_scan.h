/*
 * next_scan.h - when the tables are to be looked through for what is due
 */
#ifndef PGW_QUEUE_NEXT_SCAN_H
#define PGW_QUEUE_NEXT_SCAN_H

#include "postgres.h"
#include "datatype/timestamp.h"

/* Something in the tables is due then. */
extern void pgw_next_scan_wake(TimestampTz when);
/* ... or perhaps nothing in them says that it is due: all that is open is to be visited. */
extern void pgw_next_scan_full(TimestampTz when);
/* Is a scan due now? Then it is the asker's to make. *full is set if it has to be a full one. */
extern bool pgw_next_scan_due(TimestampTz now, bool *full);
extern TimestampTz pgw_next_scan_time(void); /* 0: none is planned */

#endif
