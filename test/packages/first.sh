#!/bin/bash
# README.md alone, on a bare Debian: its commands as they stand there, in their order, from apt to the first event history and the bank of one's own; and how long the
# first of that takes.  Root, in a chroot that is thrown away, one at a time: the server has its usual port. A bare Debian has no sudo, so what it does is done by a function.  Prints TAP.
cd "$(dirname "$0")/../.." || exit 1
. test/packages/tap.sh
work=$(mktemp -d)
chmod 755 "$work"
pg=$(test/lib/major.sh)

sudo()
{
	if [ "$1" = -u ]; then runuser -u "$2" -- "${@:3}"; else "$@"; fi
}

# A file for each block: its number, what its comment says, its text.  README's own 15 is the version of Debian 12.
perl -I test/lib -MPgwPages -e '
	my ($pg, $work) = @ARGV;
	my $n = 100;
	for my $b (blocks_of(do { local (@ARGV, $/) = "README.md"; <> }))
	{
		$b->{text} =~ s/^pg=15\b/pg=$pg/m;
		for ([ mark => $b->{mark} ], [ text => $b->{text} ]) { open my $f, ">", "$work/$n.$_->[0]" or die; print $f $_->[1] }
		$n++;
	}' "$pg" "$work"
restart=$(grep -o 'sudo pg_ctlcluster 15 main restart' README.md | sed "s/15/$pg/")

# the first lines that a result has and that are no ids or times: the names of the events
told() { sed -nE 's/^ +[0-9]+ \| (\w+) +\|.*/\1/p' "$1"; }

# What is typed meanwhile is on standard input.
run_shell() { bash -e -o pipefail -c "$(declare -f sudo); PS4='@@ \$EPOCHSECONDS '; set -x; $(cat "$1")" >"$work/said" 2>&1; }

run_sql() { sudo -u postgres psql -v ON_ERROR_STOP=1 -P pager=off <"$1" >"$work/said" 2>&1; }

began=$(date +%s)
for mark in "$work"/*.mark; do
	block=${mark%.mark} name="block $(basename "${mark%.mark}")"
	case $(cat "$mark") in
	*first.sh*)
		yes | run_shell "$block.text"
		status=$?
		# when each command began
		grep -E '^@@ [0-9]+ (apt|make|install)' "$work/said" | sed "s/^@@/# after $began, at/" | awk '{ $3 = $5 - $3 + 0 " s:"; $4 = $5 = ""; print }'
		(exit $status)
		;;
	'not run'*) continue ;;
	'run: conf') sed 's/^ *//' "$block.text" >>"/etc/postgresql/$pg/main/postgresql.conf" && eval "$restart" >"$work/said" 2>&1 ;;
	'run: shell') echo a-key | run_shell "$block.text" ;;
	'run: sql'*) run_sql "$block.text" ;;
	result)
		# what the worker does by and by: once more until it is there
		for _ in $(seq 100); do
			[ "$(told "$work/said")" != "$(told "$block.text")" ] || break
			run_sql "$last.text" && sleep 0.1
		done
		is "$(told "$work/said")" "$(told "$block.text")" "$name prints what stands there"
		[ -n "${seconds:-}" ] || { seconds=$(($(date +%s) - began)); times >"$work/times"; }
		continue
		;;
	esac
	status=$?
	last=$block
	t "$name: $(head -1 "$block.text")" $status
	[ $status -eq 0 ] || sed 's/^/# /' "$work/said" | tail -40
done
# of the processor, because this machine may have other work; what is downloaded and written comes on top
processor=$(tail -1 "$work/times" | awk -F '[ms ]+' '{ printf "%.0f", 60 * ($1 + $3) + $2 + $4 }')
echo "# from apt to the first event history: ${seconds:-?} s, of which the processor worked $processor s"
t 'three minutes are enough' $((processor >= 180))
pg_ctlcluster "$pg" main stop
echo "1..$n"
