/*
 * statements.h - SQL statements of the process's own, in the transaction that runs
 */
#ifndef PGW_DATABASE_STATEMENTS_H
#define PGW_DATABASE_STATEMENTS_H

/*
 * What SPI_execute() and its like need: SPI is connected, and they see what is committed now.  What
 * they give back is gone at the end, where an ERROR does not end it before.
 */
extern void pgw_statements_begin(void);
extern void pgw_statements_end(void);

#endif
