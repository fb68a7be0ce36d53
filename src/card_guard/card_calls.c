/*
 * card_calls.c - calls with card data in a text that nobody has analyzed
 *
 * Owns nothing.  Where a statement fails before it has a tree (argument_sources.c), all there is of
 * it is its text, which may be cut off anywhere and need not be SQL.  So this is no parser: it
 * knows words, literals, comments and brackets, and in doubt takes a value for a literal.  What is
 * bound ($1, with casts) is seen for what it is, so that ordinary statements stay in the log.  One
 * pass over the text, no memory.
 */
#include "postgres.h"

#include "card_guard/card_calls.h"

/* The arguments of process_payment() that hold card data, when they are not named. */
#define TOKEN_PLACE 3 /* where it is an object */
#define NUMBER_PLACE 4
#define CVV_PLACE 7
#define HOLDER_PLACE 8

/* Shorter numbers are months, lengths and small amounts. */
#define MIN_DIGITS 3

/* What one value is made of. */
typedef struct Value
{
	bool literal;
	bool object; /* a literal that begins as a JSON object does */
	bool name;   /* a column, a variable, a function */
	bool named;  /* it is given by name: card_cvv => … */
} Value;

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool
is_word_start(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
		   (unsigned char) c >= 0x80;
}

static bool
is_word(char c)
{
	return is_word_start(c) || is_digit(c) || c == '$';
}

static size_t
word_length(const char *text, size_t len)
{
	size_t n = 0;

	while (n < len && is_word(text[n]))
		n++;
	return n;
}

static bool
is_one_of(const char *word, size_t len, const char *const *names, size_t n)
{
	for (size_t i = 0; i < n; i++)
	{
		if (strlen(names[i]) == len && pg_strncasecmp(word, names[i], len) == 0)
			return true;
	}
	return false;
}

/* Those that pay come first. */
static const char *const functions[] = {"process_payment", "submit_payment", "process_payments",
										"judge_answer", "render_request"};

#define PAYING 3

static const char *
find_word(const char *text, size_t len, size_t nfunctions)
{
	for (size_t i = 0; i < len;)
	{
		size_t n = word_length(text + i, len - i);

		if (is_one_of(text + i, n, functions, nfunctions))
			return text + i;
		i += Max(n, 1);
	}
	return NULL;
}

const char *
pgw_find_call(const char *text, size_t len)
{
	return find_word(text, len, lengthof(functions));
}

/* ---------------------------------------------------------------- one value */

/* Behind the end of what begins at pos, which is `opening` bytes long; len: it has no end. */
static size_t
behind(const char *text, size_t len, size_t pos, size_t opening, const char *end, size_t end_len)
{
	const char *found = memmem(text + pos + opening, len - pos - opening, end, end_len);

	return found != NULL ? (size_t) (found - text) + end_len : len;
}

/* The length of $$ or $tag$ at text; 0: it is something else. */
static size_t
dollar_quote(const char *text, size_t len)
{
	size_t n = 1;

	while (n < len && is_word(text[n]) && text[n] != '$')
		n++;
	return n < len && text[n] == '$' && (n == 1 || !is_digit(text[1])) ? n + 1 : 0;
}

/* A word, or a number, at pos. */
static size_t
skip_word(const char *text, size_t len, size_t pos, Value *value)
{
	static const char *const no_value[] = {"null"};
	size_t n = word_length(text + pos, len - pos);
	size_t digits = 0;

	while (digits < n && is_digit(text[pos + digits]))
		digits++;
	if (digits > 0)
		value->literal = value->literal || digits >= MIN_DIGITS;
	else if (!is_one_of(text + pos, n, no_value, lengthof(no_value)) &&
			 !(pos >= 2 && text[pos - 1] == ':' && text[pos - 2] == ':'))
		value->name = true; /* neither NULL nor the type of a cast */
	return pos + n;
}

/* Behind the quote that is `opening` bytes long. */
static bool
begins_object(const char *text, size_t len, size_t opening)
{
	size_t at = opening;

	while (at < len &&
		   (text[at] == ' ' || text[at] == '\t' || text[at] == '\n' || text[at] == '\r'))
		at++;
	return at < len && text[at] == '{';
}

/* What begins at pos and is no bracket, comma or semicolon: behind its end. */
static size_t
skip_token(const char *text, size_t len, size_t pos, Value *value)
{
	const char *at = text + pos;
	size_t left = len - pos;
	size_t quote;

	if (at[0] == '\'')
	{
		/* An empty one says nothing; a doubled quote within begins the next piece. */
		value->object = value->object || begins_object(at, left, 1);
		value->literal = value->literal || left < 2 || at[1] != '\'' || (left > 2 && at[2] == '\'');
		return behind(text, len, pos, 1, "'", 1);
	}
	if (at[0] == '"')
	{
		value->name = true;
		return behind(text, len, pos, 1, "\"", 1);
	}
	if (at[0] == '$' && (quote = dollar_quote(at, left)) > 0)
	{
		value->literal = true;
		value->object = value->object || begins_object(at, left, quote);
		return behind(text, len, pos, quote, at, quote);
	}
	if (at[0] == '$')
		return pos + word_length(at, left); /* a parameter */
	if (left >= 2 && at[0] == '-' && at[1] == '-')
		return behind(text, len, pos, 2, "\n", 1);
	if (left >= 2 && at[0] == '/' && at[1] == '*')
		return behind(text, len, pos, 2, "*/", 2);
	if (left >= 2 && ((at[0] == '=' && at[1] == '>') || (at[0] == ':' && at[1] == '=')))
	{
		/* What was before was the name of the argument. */
		*value = (Value){.named = true};
		return pos + 2;
	}
	return is_word(at[0]) ? skip_word(text, len, pos, value) : pos + 1;
}

/* From pos to the comma or bracket that ends the value, or to the end of the text. */
static size_t
read_value(const char *text, size_t len, size_t pos, Value *value)
{
	int depth = 0;

	while (pos < len)
	{
		char c = text[pos];

		if ((c == ')' || c == ']') && depth-- == 0)
			break;
		if ((c == ',' || c == ';') && depth == 0)
			break;
		depth += c == '(' || c == '[';
		pos =
			strchr(",;()[]", c) != NULL && c != '\0' ? pos + 1 : skip_token(text, len, pos, value);
	}
	return pos;
}

static bool
has_any_literal(const char *text, size_t len)
{
	Value value = {0};

	for (size_t pos = 0; pos < len && !value.literal;)
		pos = read_value(text, len, pos, &value) + 1;
	return value.literal;
}

/* ---------------------------------------------------------------- card data */

static bool
has_part(const char *word, size_t len, const char *part)
{
	size_t n = strlen(part);

	for (size_t i = 0; i + n <= len; i++)
	{
		if (pg_strncasecmp(word + i, part, n) == 0)
			return true;
	}
	return false;
}

/* A name for card data, also one that is misspelt: then there is no such function. */
static bool
is_card_name(const char *word, size_t len)
{
	return (has_part(word, Min(len, 4), "card") && !has_part(word, Min(len, 8), "card_exp")) ||
		   has_part(word, len, "cvv") || has_part(word, len, "cvc") ||
		   has_part(word, len, "holder");
}

static bool
is_our_name(const char *word, size_t len)
{
	static const char *const names[] = {"card_number", "card_cvv", "card_holder"};

	return is_one_of(word, len, names, lengthof(names));
}

static bool
is_token_name(const char *word, size_t len)
{
	static const char *const names[] = {"token"};

	return is_one_of(word, len, names, lengthof(names));
}

static size_t
skip_blanks(const char *text, size_t len, size_t pos)
{
	while (pos < len && (text[pos] == '"' || text[pos] == ' ' || text[pos] == '\t' ||
						 text[pos] == '\n' || text[pos] == '\r'))
		pos++;
	return pos;
}

/* All arguments with a name for card data, wherever they stand: literal and name of any of them. */
static Value
by_name(const char *text, size_t len)
{
	Value found = {0};

	for (size_t pos = 0; pos < len && !found.literal;)
	{
		size_t n = word_length(text + pos, len - pos);
		bool card = n > 0 && is_card_name(text + pos, n);
		bool ours = n > 0 && is_our_name(text + pos, n);
		bool token = n > 0 && is_token_name(text + pos, n);
		size_t next = skip_blanks(text, len, pos + n);
		Value value = {0};

		pos += Max(n, 1);
		if ((card || token) && next + 1 < len &&
			(memcmp(text + next, "=>", 2) == 0 || memcmp(text + next, ":=", 2) == 0))
		{
			pos = read_value(text, len, next + 2, &value);
			found.literal = token ? value.object : value.literal;
			found.name = found.name || (card && value.name);
		}
		else if (ours)
			found.name = true;
	}
	return found;
}

/* The same for arguments of functions that pay, which are known by their places. */
static Value
by_place(const char *text, size_t len)
{
	Value found = {0};
	size_t pos = 0;
	const char *call;

	while (!found.literal && (call = find_word(text + pos, len - pos, PAYING)) != NULL)
	{
		pos = (size_t) (call - text);
		pos = skip_blanks(text, len, pos + word_length(call, len - pos));
		if (pos >= len || text[pos] != '(')
			continue;
		for (int place = 0; pos < len && (place == 0 || text[pos] == ','); place++)
		{
			Value value = {0};

			pos = read_value(text, len, pos + 1, &value);
			if (!value.named && place == TOKEN_PLACE)
				found.literal = found.literal || value.object;
			if (!value.named &&
				(place == NUMBER_PLACE || place == CVV_PLACE || place == HOLDER_PLACE))
			{
				found.literal = found.literal || value.literal;
				found.name = found.name || value.name;
			}
		}
	}
	return found;
}

bool
pgw_call_has_literal(const char *text, size_t len, bool names_count)
{
	Value named;
	Value placed;

	if (pgw_find_call(text, len) == NULL)
		return false;
	named = by_name(text, len);
	placed = by_place(text, len);
	return named.literal || placed.literal ||
		   (names_count && (named.name || placed.name) && has_any_literal(text, len));
}
