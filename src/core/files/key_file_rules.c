/*
 * key_file_rules.c - what makes a file's content a key, and which file may hold one
 */
#include "core/files/key_file_rules.h"

#include <string.h>

static const char *const texts[PGW_NSECRET_FAULTS] = {
	[PGW_SECRET_FINE] = NULL,
	[PGW_SECRET_NO_NAME] = "the name of the secret is not a file name",
	[PGW_SECRET_NO_FILE] = "the secret's file does not exist",
	[PGW_SECRET_OUTSIDE] = "the secret's file is a symbolic link that leads out of pgw.secrets_dir",
	[PGW_SECRET_CANNOT_OPEN] = "the secret's file cannot be opened by the server's user",
	[PGW_SECRET_NOT_REGULAR] = "the secret is not a regular file",
	[PGW_SECRET_OTHER_OWNER] = "the secret's file belongs neither to the server's user nor to root",
	[PGW_SECRET_OPEN_TO_OTHERS] =
		"the secret's file is open to others: at most 0600 if it is the server's user's, 0640 if it is root's",
	[PGW_SECRET_EMPTY] = "the secret's file is empty",
	[PGW_SECRET_TOO_LONG] = "the secret's file is longer than 4095 bytes",
	[PGW_SECRET_BYTE_ORDER_MARK] =
		"the secret's file begins with a byte order mark: write it without",
	[PGW_SECRET_BLANKS] = "the secret's file has blanks before or after a key: write the key alone",
	[PGW_SECRET_SEVERAL_LINES] =
		"the secret's file has several lines: write the key alone, in one; lines name=value are for connectors that say {{secret.NAME}}",
	[PGW_SECRET_UNPRINTABLE] =
		"the secret's file has a byte in it that is not printable ASCII: write the key alone",
	[PGW_SECRET_NO_MEMORY] = "there is no memory for the secret",
	[PGW_SECRET_NO_NAMES] =
		"the secret's file has a line that is not name=value, as the connector's {{secret.NAME}} needs them; a comment begins with #",
	[PGW_SECRET_BAD_NAME] =
		"the secret's file has a name that is none: 1 to 63 letters, digits, _ and -, without blanks around it",
	[PGW_SECRET_NAME_TWICE] = "the secret's file has a name twice: which of the two is meant?",
	[PGW_SECRET_EMPTY_VALUE] = "the secret's file has a name without a value",
	[PGW_SECRET_TOO_MANY] = "the secret's file has more than 16 values",
	[PGW_SECRET_NAME_MISSING] =
		"the secret's file lacks a name that the connector asks for: the server's log says which",
};

const char *
pgw_secret_fault_text(PgwSecretFault fault)
{
	return fault < PGW_NSECRET_FAULTS ? texts[fault] : NULL;
}

PgwSecretFault
pgw_secret_check_file(bool regular, bool ours, bool roots, unsigned int mode)
{
	if (!regular)
		return PGW_SECRET_NOT_REGULAR;
	if (!ours && !roots)
		return PGW_SECRET_OTHER_OWNER;
	if ((mode & (roots ? 037 : 077)) != 0)
		return PGW_SECRET_OPEN_TO_OTHERS;
	return PGW_SECRET_FINE;
}

static bool
begins_with(const char *bytes, size_t len, const char *mark)
{
	return len >= strlen(mark) && memcmp(bytes, mark, strlen(mark)) == 0;
}

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static PgwSecretFault
check_size_and_mark(const char *bytes, size_t len)
{
	if (len > PGW_SECRET_MAX)
		return PGW_SECRET_TOO_LONG;
	if (begins_with(bytes, len, "\xEF\xBB\xBF") || begins_with(bytes, len, "\xFF\xFE") ||
		begins_with(bytes, len, "\xFE\xFF"))
		return PGW_SECRET_BYTE_ORDER_MARK;
	return PGW_SECRET_FINE;
}

PgwSecretFault
pgw_secret_check_content(const char *bytes, size_t len, size_t *key_len)
{
	PgwSecretFault fault = check_size_and_mark(bytes, len);

	*key_len = 0;
	if (fault != PGW_SECRET_FINE)
		return fault;
	while (len > 0 && (bytes[len - 1] == '\n' || bytes[len - 1] == '\r'))
		len--;
	if (len == 0)
		return PGW_SECRET_EMPTY;
	for (size_t i = 0; i < len; i++)
	{
		if (bytes[i] == '\n' || bytes[i] == '\r')
			return PGW_SECRET_SEVERAL_LINES;
		if (!is_blank(bytes[i]) && (bytes[i] < 0x21 || bytes[i] > 0x7e))
			return PGW_SECRET_UNPRINTABLE;
	}
	if (is_blank(bytes[0]) || is_blank(bytes[len - 1]))
		return PGW_SECRET_BLANKS;
	if (memchr(bytes, '\t', len) != NULL)
		return PGW_SECRET_UNPRINTABLE;
	*key_len = len;
	return PGW_SECRET_FINE;
}

/* ---- a file of name=value lines ---- */

/* One line that counts, NUL behind it. */
static PgwSecretFault
split_line(char *line, size_t len, PgwSecretValues *values)
{
	char *equals = memchr(line, '=', len);
	PgwSecretFault fault;
	size_t value_len;
	char *value;

	if (equals == NULL)
		return PGW_SECRET_NO_NAMES;
	if (!pgw_secret_name_good(line, (size_t) (equals - line)))
		return PGW_SECRET_BAD_NAME;
	if (values->n == PGW_SECRET_VALUES)
		return PGW_SECRET_TOO_MANY;
	*equals = '\0';
	if (pgw_secret_value(values, line) != NULL)
		return PGW_SECRET_NAME_TWICE;
	value = equals + 1;
	fault = pgw_secret_check_content(value, len - (size_t) (value - line), &value_len);
	if (fault != PGW_SECRET_FINE)
		return fault == PGW_SECRET_EMPTY ? PGW_SECRET_EMPTY_VALUE : fault;
	value[value_len] = '\0';
	values->values[values->n++] = (PgwSecretValue){line, value};
	return PGW_SECRET_FINE;
}

/* The same for a line that is a value. */
static PgwSecretFault
list_line(char *line, size_t len, PgwSecretValues *values)
{
	size_t value_len;
	PgwSecretFault fault = pgw_secret_check_content(line, len, &value_len);

	if (fault != PGW_SECRET_FINE)
		return fault;
	if (values->n == PGW_SECRET_VALUES)
		return PGW_SECRET_TOO_MANY;
	line[value_len] = '\0';
	values->values[values->n++] = (PgwSecretValue){"", line};
	return PGW_SECRET_FINE;
}

static PgwSecretFault
split(char *text, size_t len, PgwSecretValues *values,
	  PgwSecretFault (*take)(char *, size_t, PgwSecretValues *))
{
	PgwSecretFault fault = check_size_and_mark(text, len);

	values->n = 0;
	for (size_t at = 0; fault == PGW_SECRET_FINE && at < len;)
	{
		char *line = text + at;
		char *end = memchr(line, '\n', len - at);
		size_t line_len = end != NULL ? (size_t) (end - line) : len - at;

		at += line_len + 1;
		if (line_len > 0 && line[line_len - 1] == '\r')
			line_len--;
		line[line_len] = '\0';
		if (line_len > 0 && line[0] != '#')
			fault = take(line, line_len, values);
	}
	if (fault == PGW_SECRET_FINE && values->n == 0)
		fault = PGW_SECRET_EMPTY;
	if (fault != PGW_SECRET_FINE)
		values->n = 0;
	return fault;
}

PgwSecretFault
pgw_secret_split(char *text, size_t len, PgwSecretValues *values)
{
	return split(text, len, values, split_line);
}

PgwSecretFault
pgw_secret_list(char *text, size_t len, PgwSecretValues *values)
{
	return split(text, len, values, list_line);
}
