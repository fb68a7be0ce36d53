/*
 * before_statement.h - what was wrong with pgw's own objects before the present utility statement
 */
#ifndef PGW_DDL_BEFORE_STATEMENT_H
#define PGW_DDL_BEFORE_STATEMENT_H

#include "postgres.h"

/* Where a utility statement has begun: in which transaction, and after which command of it. */
typedef struct PgwStatement
{
	LocalTransactionId transaction;
	CommandId command;
} PgwStatement;

/* The hook, around each utility statement; what it returns belongs to the statement around it. */
extern PgwStatement pgw_statement_begin(void);
extern void pgw_statement_end(PgwStatement outer);

#endif
