/*
 * drop_guard.h - the records of payments are not deleted without a word
 */
#ifndef PGW_DDL_DROP_GUARD_H
#define PGW_DDL_DROP_GUARD_H

/* _PG_init, in every process that loads the library: the setting and the hook */
extern void pgw_drop_init(void);

/*
 * Raises when the extension must not be dropped as the tables are now. Others may still change
 * that: the hook looks again, under the locks.
 */
extern void pgw_drop_check(void);

#endif
