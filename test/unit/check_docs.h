/*
 * check_docs.h - tables in docs/ that show data of the core, compared line by line
 */
#ifndef CHECK_DOCS_H
#define CHECK_DOCS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MAX_REFUSALS 32

/* After the line that begins so. */
static inline FILE *
open_docs_at(const char *page, const char *beginning)
{
	const char *dir = getenv("PGW_SRCDIR");
	char path[1024];
	char line[1024];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", dir ? dir : ".", page);
	f = fopen(path, "r");
	assert_non_null(f);
	while (fgets(line, sizeof(line), f) != NULL)
	{
		if (strncmp(line, beginning, strlen(beginning)) == 0)
			return f;
	}
	fail_msg("%s has no line %s", page, beginning);
	return f;
}

/* After the table's header and the line below it. */
static inline FILE *
open_docs(const char *page, const char *header)
{
	FILE *f = open_docs_at(page, header);
	char line[1024];

	assert_non_null(fgets(line, sizeof(line), f)); /* |---| */
	return f;
}

static inline void
expect_line(FILE *f, const char *want)
{
	char line[1024];

	assert_non_null(fgets(line, sizeof(line), f));
	line[strcspn(line, "\n")] = '\0';
	assert_string_equal(line, want);
}

/* Of a text among those seen so far: 1, 2 ... */
static inline int
number_of(const char **refusals, int *n, const char *refusal)
{
	for (int i = 0; i < *n; i++)
	{
		if (strcmp(refusals[i], refusal) == 0)
			return i + 1;
	}
	assert_true(*n < MAX_REFUSALS);
	refusals[(*n)++] = refusal;
	return *n;
}

#endif
