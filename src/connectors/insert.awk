# insert.awk - put the built-in connectors into the extension's script: awk -f insert.awk *.json pgw--1.0.sql
#
# In the place of the script's one line with @connectors@ comes an INSERT for each document, under the name of its file.
# What would make a script that only looks right is an error: then nothing of what was printed may be used.

function fail(message)
{
	failed = 1
	print "insert.awk: " message | "cat >&2"
	exit 1
}

FILENAME ~ /\.json$/ {
	if (FNR == 1)
	{
		name = FILENAME
		sub(/.*\//, "", name)
		sub(/\.json$/, "", name)
		if (name !~ /^[a-z0-9_-]+$/)
			fail(FILENAME ": the name of a built-in connector has small letters, digits, - and _ only")
		names[++n] = name
	}
	if (index($0, "$connector$"))
		fail(FILENAME ":" FNR ": $connector$ ends the document in the script")
	document[n] = document[n] $0 "\n"
	next
}

/@connectors@/ {
	if (marks++)
		fail(FILENAME ":" FNR ": a second line with @connectors@")
	for (i = 1; i <= n; i++)
	{
		print "INSERT INTO pgw.connectors (name, builtin, created_at, definition)"
		print "VALUES ('" names[i] "', true, '2026-01-01 00:00:00+00', $connector$" document[i] "$connector$);"
	}
	next
}

{ print }

END {
	if (failed)
		exit 1
	for (i = 1; i < ARGC; i++)
		documents += ARGV[i] ~ /\.json$/
	if (marks != 1 || n == 0 || n != documents)
		fail("needs documents that are not empty, and a script with a line with @connectors@")
}
