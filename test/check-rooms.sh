#!/bin/sh
# Which room (folder) of src/ may use which: test/rooms.conf.  Prints what is against it, one line each, and nothing when all is well.
#
#	- a file includes headers of its own room, and of those that the list names for it
#	- a header called ..._internal.h is for its own room
#	- what a header declares is defined in its own room, so that an include is all that one room can know of another
#	- no two modules bear one name, so that a comment or a log line that names a file names one
#
# A seam in the list is what is still to be mended; one that is mended must be taken off the list.
cd "$(dirname "$0")/.." || exit 1
faults=$(awk '
function room(p,  n, a) { n = split(p, a, "/"); return n == 1 ? "top" : a[1] == "core" ? a[1] "/" a[2] : a[1] }
function fault(what, text) { if (what in seam) mended[what] = 1; else print text }
FILENAME == "test/rooms.conf" {
	if ($1 == "seam:") { sub(/^seam: */, ""); seam[$0] = 1 }
	else if (NF && $1 !~ /^#/) {
		n = split($0, h, ":"); r = h[1]; known[r] = 1; m = split(h[2], u, " ")
		for (i = 1; i <= m; i++) { may[r, u[i]] = 1; if (!(u[i] in known)) print FILENAME ":" FNR ": " r " uses " u[i] ", which is not above it in the list" }
	}
	next
}
FNR == 1 {
	file = FILENAME; sub(/^src\//, "", file); mine = room(file)
	module = file; sub(/\.[ch]$/, "", module); name = module; sub(/.*\//, "", name)
	if (!(mine in known)) print FILENAME ": " mine " is no room of test/rooms.conf"
	if (name in named && named[name] != module) print FILENAME ": there is a " named[name] " already"
	named[name] = module
}
/^#include "[a-z0-9_\/]+\.h"/ {
	split($0, q, "\""); other = room(q[2])
	if (q[2] !~ /\// || other == mine || !(other in known)) next
	if (!((mine, other) in may) || q[2] ~ /_internal\.h$/)
		fault(file " includes " q[2], FILENAME ":" FNR ": includes " q[2] ", and " mine " may not use " (q[2] ~ /_internal\.h$/ ? "what is internal to " : "") other)
}
file ~ /\.c$/ && match($0, /^pgw_[a-z0-9_]+\(/) { defined[substr($0, 1, RLENGTH - 1)] = mine }
file ~ /\.h$/ && /^extern / && match($0, /pgw_[a-z0-9_]+\(/) { n_declared++; declared[n_declared] = substr($0, RSTART, RLENGTH - 1); header[n_declared] = file; place[n_declared] = FILENAME ":" FNR }
END {
	for (i = 1; i <= n_declared; i++) {
		f = declared[i]
		if (f in defined && defined[f] != room(header[i]))
			fault(header[i] " declares for " defined[f], place[i] ": declares " f "(), which is defined in " defined[f])
	}
	for (s in seam) if (!(s in mended)) print "test/rooms.conf: no longer a seam: " s
}
' test/rooms.conf $(find src -name '*.[ch]' | sort))
[ -z "$faults" ] || echo "$faults"
[ -z "$faults" ]
