# report.sh - checks that look for lines which should not be there, told as TAP.  Sourced; needs `group`, the name before each check's, and
# `shown`, how many of the lines are shown.  Sets `n`, the checks so far, and `bad`, whether one has failed.
n=0 bad=0

report() # name, offending lines
{
	n=$((n + 1))
	if [ -z "$2" ]; then
		echo "ok $n - $group: $1"
	else
		bad=1
		echo "not ok $n - $group: $1"
		echo "$2" | head -"$shown" | sed 's/^/#   /'
	fi
}

skip() # name, reason
{
	n=$((n + 1))
	echo "ok $n - $group: $1 # SKIP $2"
}
