/*
 * compile_quoted.h - the connector of a test, from a document that is written with ' for ";
 * cmocka.h comes before
 *
 * Owns: the connector, one at a time, and what was wrong with the last document.
 */
#ifndef PGW_TEST_COMPILE_QUOTED_H
#define PGW_TEST_COMPILE_QUOTED_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>

#include "core/connector/connector.h"
#include "quotes.h"

static PgwConnector *connector;
static PgwConnectorError err;

/* As of printf(); false: the document is refused, and err says why. */
__attribute__((format(printf, 1, 2))) static inline bool
compile_quoted(const char *format, ...)
{
	char document[8192];
	va_list args;
	int len;

	va_start(args, format);
	len = vsnprintf(document, sizeof(document), format, args);
	va_end(args);
	assert_true(len >= 0 && len < (int) sizeof(document));
	with_quotes(document);
	pgw_connector_free(connector);
	connector = pgw_connector_compile(document, (size_t) len, &err);
	return connector != NULL;
}

/* ... which is a fault of the test. */
#define COMPILED(compiled) \
	do \
	{ \
		if (!(compiled)) \
			fail_msg("at %s: %s", err.pointer, err.message); \
	} while (0)

/* The teardown of a group. */
static inline int
forget_connector(void **state)
{
	(void) state;
	pgw_connector_free(connector);
	connector = NULL;
	return 0;
}

#endif
