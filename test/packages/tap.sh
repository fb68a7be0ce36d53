# tap.sh - TAP lines of a shell script.  Sourced.
n=0
t() # name, exit status
{
	n=$((n + 1))
	if [ "$2" -eq 0 ]; then echo "ok $n - $1"; else echo "not ok $n - $1"; fi
}
is() # value, expected, name
{
	[ "$1" = "$2" ]
	t "$3" $?
	[ "$1" = "$2" ] || printf '#   got: %s\n#   expected: %s\n' "$1" "$2"
}
