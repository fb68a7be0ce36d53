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
	[PGW_SECRET_BLANKS] =
		"the secret's file has blanks before or after the key: write the key alone",
	[PGW_SECRET_SEVERAL_LINES] = "the secret's file has several lines: write the key alone, in one",
	[PGW_SECRET_UNPRINTABLE] =
		"the secret's file has a byte in it that is not printable ASCII: write the key alone",
	[PGW_SECRET_NO_MEMORY] = "there is no memory for the secret",
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

PgwSecretFault
pgw_secret_check_content(const char *bytes, size_t len, size_t *key_len)
{
	*key_len = 0;
	if (len > PGW_SECRET_MAX)
		return PGW_SECRET_TOO_LONG;
	if (begins_with(bytes, len, "\xEF\xBB\xBF") || begins_with(bytes, len, "\xFF\xFE") ||
		begins_with(bytes, len, "\xFE\xFF"))
		return PGW_SECRET_BYTE_ORDER_MARK;
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
