/*
 * documents.h - connectors that ship and those of the tests, read from the sources' folder
 * (PGW_SRCDIR, or relative to where the test is run); cmocka.h comes before
 *
 * Owns: the text of the document that was read last.
 */
#ifndef PGW_TEST_DOCUMENTS_H
#define PGW_TEST_DOCUMENTS_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/connector/connector.h"

static char document[65536];

static inline const char *
read_document(const char *path)
{
	const char *roots[] = {getenv("PGW_SRCDIR"), ".", "../..", "../../.."};
	char found[1024];

	for (size_t i = 0; i < sizeof(roots) / sizeof(roots[0]); i++)
	{
		FILE *f;
		size_t n;

		if (roots[i] == NULL)
			continue;
		snprintf(found, sizeof(found), "%s/%s", roots[i], path);
		if ((f = fopen(found, "r")) == NULL)
			continue;
		n = fread(document, 1, sizeof(document) - 1, f);
		document[n] = '\0';
		fclose(f);
		return document;
	}
	fail_msg("no %s", path);
	return NULL;
}

static inline PgwConnector *
compile(const char *text)
{
	PgwConnectorError fault;
	PgwConnector *c = pgw_connector_compile(text, strlen(text), &fault);

	if (c == NULL)
		fail_msg("%s: %s", fault.pointer, fault.message);
	return c;
}

#endif
