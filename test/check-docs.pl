#!/usr/bin/perl
# What the pages name is there.  Prints what is not, one line each, and nothing when all is well.
#
#	- a file or folder in backticks exists, by its path or by its bare name; so does the file that a link leads to, and the heading
#	- a function in backticks, pgw_...(), a type Pgw... and a constant PGW_... is found in the sources
#	- on the pages that lead into the source (@guides), pictures are read as well, a function is defined in a file that is named
#	  on the same line, every single word in backticks is one of the sources, the script or the tests, what stands in brackets
#	  after a file is found in it (a type: is defined in it), and a test that is said to hold a page names that page
#	- a page begins with its title, and README.md leads to it
#	- each reason that an event can give is explained (docs/state-machine.md)
#	- each rule and each kind of alert has a row of docs/runbooks.md, and the rule leads to the part that has it
use strict;
use warnings;
use Cwd qw(abs_path);
use File::Basename qw(basename dirname);
use File::Find;

chdir dirname(abs_path($0)) . '/..' or die "no folder of the sources: $!";
my @guides = map { "docs/$_.md" } qw(design-map life-of-a-payment where-to-change);
# the server's, and what is built
my %not_ours = map { $_ => 1 } qw(postgresql.conf postgresql.auto.conf pg_hba.conf test/bank/pgw-bank);
my $faults = 0;
sub fault { my ($where, $text) = @_; print "$where: $text\n"; $faults++ }
sub slurp { my ($file) = @_; open my $f, '<', $file or die "$file: $!"; local $/; return scalar <$f> }

# ---- what there is

my (%file, %folder, %named, %text);
find({ no_chdir => 1, wanted => sub {
	s{^\./}{};
	return $File::Find::prune = 1 if m{^\.git$|/build$|^build$|^results$|^log$};
	if (-d) { $folder{$_} = 1 } else { $file{$_} = 1; push @{ $named{ basename($_) } }, $_ }
} }, '.');
my %source = map { $_ => slurp($_) } grep { m{^(src|test|sql|expected)/.*\.(c|h|pl|pm|sql|sh|awk|spec|out)$} || $_ eq 'pgw--1.0.sql' } keys %file;
my (%word, %defined);
for my $name (keys %source)
{
	$word{$_} = 1 for $source{$name} =~ /\w+/g;
	my $definition = $name =~ /^src\/.*\.c$/ ? qr/^(\w+)\(/m : $name =~ /\.p[lm]$/ ? qr/^sub (\w+)/m : next;
	$defined{$1}{$name} = 1 while $source{$name} =~ /$definition/g;
}

my $rules = 'docs/monitoring/pgw-rules.yml';
$word{$_} = 1 for slurp($rules) =~ /^\s*- alert: (\w+)/mg;

# ---- what is named

sub expand { my ($name) = @_; return $name =~ /^(.*)\{([^}]*)\}(.*)$/ ? map { "$1$_$3" } split /,/, $2 : $name }

# The files that a word names: none when it names no file, undef when the file is not there.
sub files_of
{
	my ($where, $span) = @_;
	my @found;
	for my $name (expand($span))
	{
		next if $not_ours{$name};
		if ($name =~ m{^(?:src|test|sql|expected|docs)/[\w./*-]*$})
		{
			(my $plain = $name) =~ s{/$}{};
			my @there = $plain =~ /\*/ ? grep { -e } glob $plain : grep { $file{$_} || $folder{$_} } $plain;
			fault($where, "there is no $name") unless @there;
			push @found, @there;
		}
		elsif ($name =~ /^[\w-]+(?:\.\w+)*\.(?:c|h|pl|pm|sh|awk|spec|conf|md|tsv|sql)$/)
		{
			my @there = grep { !m{^expected/} } @{ $named{$name} // [] };
			fault($where, "there is no file called $name") unless @there;
			push @found, @there;
		}
	}
	return @found;
}

sub check_names
{
	my ($where, $guide, @spans) = @_;
	my @files = map { files_of($where, $_) } @spans;
	for my $span (@spans)
	{
		my ($function) = $span =~ /^(\w+)\(\)$/;
		if (defined $function && ($guide || $function =~ /^pgw_/))
		{
			my @in = keys %{ $defined{$function} // {} };
			next if $source{'pgw--1.0.sql'} =~ /^CREATE FUNCTION pgw\.$function\(/m;
			if (!@in) { fault($where, "$span is defined nowhere in src/") }
			elsif ($guide && !grep { my $f = $_; grep { $f eq $_ } @in } @files)
			{
				fault($where, "$span is defined in @in, which is not named on this line");
			}
		}
		elsif ($span =~ /^(?:Pgw[A-Z]\w*|PGW_\w+)$/ || ($guide && $span =~ /^\w+$/))
		{
			fault($where, "$span is found nowhere in the sources") unless $word{$span} || $span =~ /_$/;
		}
	}
}

my %anchors;
sub anchors_of
{
	my ($page) = @_;
	return $anchors{$page} //= { map { my $a = lc; $a =~ s/[^\w\s-]//g; $a =~ s/\s/-/g; $a => 1 } slurp($page) =~ /^#+ (.*?)\s*$/mg };
}

sub check_links
{
	my ($where, $page, $line) = @_;
	while ($line =~ /\]\(([^)#\s]*)(?:#([^)\s]*))?\)/g)
	{
		my ($to, $anchor) = ($1, $2);
		next if $to =~ /^\w+:/;
		my $path = $to eq '' ? $page : dirname($page) eq '.' ? $to : $to =~ m{^\.\./(.*)} ? $1 : dirname($page) . "/$to";
		if (!$file{$path}) { fault($where, "leads to $to, which is not there") }
		elsif (defined $anchor && !anchors_of($path)->{$anchor}) { fault($where, "leads to $to#$anchor, and there is no such heading") }
	}
}

# ---- the pages

my @pages = sort grep { m{^docs/[^/]*\.md$} } keys %file;
my $readme = slurp('README.md');
for my $page ('README.md', @pages)
{
	my $guide = grep { $_ eq $page } @guides;
	my ($n, $in_block) = (0, 0);
	for my $line (split /\n/, slurp($page))
	{
		my $where = "$page:" . ++$n;
		fault($where, 'a page begins with its title: # ...') if $n == 1 && $line !~ /^# \S/;
		if ($line =~ /^\s*```/) { $in_block = !$in_block; next }
		if ($in_block)
		{
			check_names($where, 1, $line =~ m{((?:src|test|sql|docs)/[\w./-]+|\w+(?:\.\w+)*\.(?:c|h|pl|sql)\b|\bpgw_\w+\(\))}g) if $guide;
			next;
		}
		check_names($where, $guide, $line =~ /`([^`]+)`/g);
		check_links($where, $page, $line);
		while ($guide && $line =~ /`(src\/[^`]+|pgw--1\.0\.sql)` \([^`()]*`(\w+)`/g)
		{
			my ($in, $what) = ($1, $2);
			my $there = $what =~ /^Pgw/ ? qr/^\} $what;/m : qr/\b$what\b/;
			fault($where, "$what is not in $in") unless ($source{$in} // '') =~ $there;
		}
		while ($guide && $line =~ /`(docs\/[^`]+)`, held by `([^`]+)`/g)
		{
			fault($where, "$2 does not look at $1") unless ($source{$2} // '') =~ /\Q$1\E/;
		}
	}
	fault('README.md', "does not lead to $page") unless $page eq 'README.md' || index($readme, "($page)") >= 0 || index($readme, "($page#") >= 0;
}
for my $guide (@guides)
{
	fault($guide, 'is not there') unless $file{$guide};
}
# ---- why a step was taken: event_data.reason

my $reasons = slurp('docs/state-machine.md') =~ /^## Reasons\n(.*?)^## /ms ? $1 : '';
my %explained = map { $_ => 1 } $reasons =~ /^\| `(\w+)`/mg;
my $giver = qr/find_out|lookup_inconclusive|stop|review|give_to_review|take|not_told|not_done|unacceptable|unknown|give_back|given_back|done|look_refusal_up|pgw_charge_late_review|pgw_answer_none_because/;
my %given;
for my $name (grep { m{^src/(?:core/payment|core/bank_message|attempt)/.*\.[ch]$} } keys %source)
{
	$given{$_} = $name for $source{$name} =~ /\breason = "(\w+)"/g, $source{$name} =~ /\b$giver\((?:[^;"{]*"\w+")*?[^;"{]*"([a-z_]+)"[^;"{]*\);/g;
}
fault($given{$_}, "the reason $_ is not explained in docs/state-machine.md") for grep { !$explained{$_} } sort keys %given;
fault('docs/state-machine.md', "nothing gives the reason $_") for grep { !$word{$_} } sort keys %explained;

# ---- what to do about an alert

my $runbooks = 'docs/runbooks.md';
my %row;
for my $part (split /^(?=## )/m, slurp($runbooks))
{
	my ($anchor) = map { my $a = lc; $a =~ s/[^\w\s-]//g; $a =~ s/\s/-/g; $a } $part =~ /^## (.*)$/m or next;
	for my $names ($part =~ /^\| (`[^|]*) \|/mg)
	{
		$row{$_} = $anchor for $names =~ /`(\w+)`/g;
	}
}
my ($kinds) = slurp('src/observe/alerts.h') =~ /PGW_ALERT_KINDS.*?"\{([\w,]+)\}"/s;
fault($runbooks, "says nothing of the alert $_") for grep { !$row{$_} } split /,/, $kinds // '';
my %rule = slurp($rules) =~ /^\s*- alert: (\w+)\n(?:(?!\s*- ).*\n)*?\s*runbook_url: (\S+)$/mg;
fault($rules, "$_ has no runbook") for grep { !$rule{$_} } slurp($rules) =~ /^\s*- alert: (\w+)$/mg;
for (sort keys %rule)
{
	fault($runbooks, "says nothing of the rule $_") unless $row{$_};
	fault($rules, "$_ leads to $rule{$_}, where nothing is said of it") unless !$row{$_} || $rule{$_} eq "$runbooks#$row{$_}";
}
fault($runbooks, "speaks of $_, which is neither a rule nor a kind of alert") for grep { my $n = $_; !$rule{$n} && !grep { $_ eq $n } split /,/, $kinds } sort keys %row;

exit($faults ? 1 : 0);
