# pgw-report: the page is in the file as a whole or the file is what it was, whatever goes wrong; what is asked for by options is what is on it, and each failure
# says what it is, by a sentence and by its exit status.
use strict;
use warnings;
use lib 'test/lib';
use PgwSession;
use PgwTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $bin = $ENV{PGW_INST} . `$ENV{PGW_PG_CONFIG} --bindir` =~ s/\s+$//r . '/pgw-report';
my $dir = PostgreSQL::Test::Utils::tempdir();
my $node = pgw_node('report', conf => "fsync = off\n");
my $bank = bank_start();
pgw_setup($node, $bank);
@ENV{qw(PGHOST PGPORT PGDATABASE)} = ($node->host, $node->port, 'postgres');

# Its exit status, and what it said: on standard output, as an error.
sub report
{
	my @args = @_;
	my ($out, $err) = ('', '');
	IPC::Run::run([ $bin, @args ], '<', \undef, '>', \$out, '2>', \$err);
	return ($? >> 8, $out, $err);
}

sub sql { return $node->safe_psql('postgres', $_[0]) }
sub mode_of { return sprintf '%o', (stat $_[0])[2] & 07777 }
sub pay { my ($id, %a) = @_; return sql('SELECT status FROM ' . pay_sql('process_payment', client_request_id => $id, %a)) }
sub attempts { my ($html) = @_; return $html =~ /<ul class="figures" id="totals">.*?<strong>(\d+)/s ? $1 : 'no figures' }

# Nothing else is in the folder but these.
sub only { my ($what, @files) = @_; opendir my $d, $dir or die $!; is(join(' ', sort grep { !/^\.\.?$/ } readdir $d), join(' ', sort @files), $what) }

pay('one');
pay('two', token => 'tok_decline_lost_card');
sql("INSERT INTO pgw.merchants (merchant) VALUES ('it''s \\ :a')");
pay('three', merchant => "it's \\ :a");

# ---------------------------------------------------------------- the file

my $file = "$dir/it's a page.html";
my ($status, $out, $err) = report($file);
is("$status$out$err", 0, 'from the environment alone, without a word');
my $page = slurp_file($file);
is(attempts($page), 3, 'the page of the database');
like($page, qr{</html>\n\z}, 'to its end');
is(mode_of($file), '600', 'which its owner alone can read');
my $inode = (stat $file)[1];
open my $reader, '<', $file or die $!;
is((report('--mode=640', $file))[0], 0, 'and once more');
is(mode_of($file), '640', 'with the mode that was asked for');
is(do { local $/; <$reader> }, $page, 'who reads the old one reads it to its end: it was replaced by a rename');
isnt((stat $file)[1], $inode, 'by another file');
chdir $dir or die $!;
is((report('-m', '0644', 'here'))[0], 0, 'in the folder where one is');
is(mode_of('here'), '644', 'whatever the umask is');
unlink 'here';
is((report('--last', '1 h', '--', '-m'))[0], 0, 'also one whose name is an option');
like(slurp_file('-m'), qr{</html>\n\z}, 'which is a page');
unlink './-m';
($status, $out) = report('-');
is($status . ($out =~ /<!DOCTYPE html>.*<\/html>\n\z/s), '01', 'on standard output');

# ---------------------------------------------------------------- what is asked for

sub page { my @args = @_; my ($s, $o, $e) = report(@args, '-'); is("$s$e", 0, "@args"); return $o }
is(attempts(page('--merchant', q(it's \ :a))), 1, 'of one merchant, whatever his name is');
is(attempts(page('--until', sql("SELECT now() - interval '1 h'"))), 0, 'until a time');
is(attempts(page('--last', '1 h')), 3, 'of the last hour');
is(attempts(page('--last=1 h', '--until=' . sql("SELECT now() + interval '2 h'"))), 0, 'or of the hour before that time');
is(attempts(page('--since=' . sql("SELECT created_at FROM pgw.payments WHERE client_request_id = 'two'"))), 2, 'since a time');
like(page('--livemode', 'false'), qr/Tests: no money moves/, 'tests');
sql("CREATE ROLE eye LOGIN; SELECT pgw.grant_access('eye', 'monitor'); CREATE ROLE nobody LOGIN");
like(page('-U', 'eye', '-d', 'postgres', '-h', $node->host, '-p', $node->port), qr/Made for the level monitor/, 'as another role');
like(page('--dbname=host=' . $node->host . ' user=eye dbname=postgres'), qr/Made for the level monitor/, 'by a connection string');

# ---------------------------------------------------------------- failures

$page = slurp_file($file);
sql('CREATE DATABASE other');
my @failures = (
	[ 4, qr/permission denied for pgw.*grant_access/s, '-U', 'nobody' ], [ 4, qr/the extension pgw is not in database "other".*-d/s, '-d', 'other' ],
	[ 4, qr/permission denied for payments of merchant "x"/, '-U', 'eye', '--merchant', 'x' ], [ 4, qr/"no man's time"/, '--since', q(no man's time) ],
	[ 4, qr/must be before until/, '--until', '2026-01-01', '--since', '2026-01-02' ],
	[ 3, qr/failed: /, '-h', "$dir/nowhere" ], [ 3, qr/database "absent" does not exist/, '-d', 'absent' ],
	[ 2, qr/there is no option --colour/, '--colour' ], [ 2, qr/--last and --since/, '--last', '1 h', '--since', 'now' ], [ 2, qr/--livemode is true or false/, '--livemode=maybe' ],
	[ 2, qr/--mode is octal/, '-m', '9' ], [ 2, qr/would let everybody write/, '-m', '666' ], [ 2, qr/--timeout is a number/, '--timeout', '1 day' ], [ 2, qr/--merchant needs a value/, '--merchant=' ],
	[ 2, qr/one file at a time/, 'second' ], [ 2, qr/one file at a time/, '--', '--last' ]);
for (@failures)
{
	my ($expected, $like, @args) = @$_;
	($status, $out, $err) = report(@args, $file);
	is($status, $expected, "@args: $expected");
	like($err, $like, 'and says why');
	is(join('|', grep { !/^pgw-report: / || /psql:/ } split /\n/, $out . $err), '', 'in its own name');
}
for ([], ['--last'])
{
	is((report(@$_))[0], 2, "nothing but '@$_'");
}
# It looks into a catalog that somebody has locked: until its time is over, or it is ended meanwhile.
my $s = PgwSession->new($node);
$s->run('BEGIN; LOCK TABLE pg_catalog.pg_extension IN ACCESS EXCLUSIVE MODE');
($status, $out, $err) = report('--timeout', 1, $file);
is($status, 4, 'no longer than it may');
like($err, qr/statement timeout/, 'and says so');
my ($ended, $said) = ('', '');
my $run = IPC::Run::start([ $bin, $file ], '<', \undef, '>', \$ended, '2>', \$said);
ok(wait_until(sub { sql("SELECT count(*) FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE NOT l.granted AND a.application_name = 'pgw-report'") eq '1' }, 60), 'it waits');
$run->signal('TERM');
$s->run('ROLLBACK');
$run->finish;
is($run->full_result >> 8, 1, 'ended');
my @no_room = ([ 'a file of a page', 'ulimit -f 8; exec "$@"', $file ], [ 'standard output', 'exec "$@" >/dev/full', '-' ]);
for (@no_room)
{
	my ($what, $shell, $to) = @$_;
	IPC::Run::run([ 'sh', '-c', $shell, 'sh', $bin, $to ], '<', \undef, '>', \$out, '2>', \$err);
	is($? >> 8, 1, "when not all of the page can be written: $what");
	like($err, qr/^pgw-report: could not print result table: (File too large|No space left on device)$/, 'which it says');
}
# A reader that has seen enough, as head has: no word, and the end that SIGPIPE makes, as of cat. Where the signal is ignored, it is an error of writing, as there.
for ([ 'a reader that went', '', qr/^141\n\z/ ], [ 'where SIGPIPE is ignored', "trap '' PIPE; ", qr/^pgw-report: could not print result table: Broken pipe\n1\n\z/ ])
{
	my ($what, $before, $like) = @$_;
	local $SIG{PIPE} = 'DEFAULT';    # the library of tests ignores it, which programs inherit
	IPC::Run::run([ 'sh', '-c', $before . '{ "$@"; echo $? >&2; } | :', 'sh', $bin, '-' ], '<', \undef, '>', \$out, '2>', \$err);
	like($err, $like, "$what: what it says, and its status");
}
is(slurp_file($file), $page, 'whatever happened, the file is as it was');
only('and no piece of a page is left', "it's a page.html");

mkdir 'folder' or die $!;
mkdir 'closed', 0500 or die $!;
for ([ 'folder', qr/folder is a folder/ ], [ 'absent/file', qr{there is no folder absent/} ], [ 'closed/file', qr{no file can be made in closed/} ], [ '/dev/null', qr{/dev/null is no file} ])
{
	($status, $out, $err) = report($_->[0]);
	is($status, 1, "$_->[0]: 1");
	like($err, $_->[1], 'and says why');
}
for my $option ('--help', '--version')
{
	($status, $out, $err) = report($option);
	is("$status$err", 0, $option);
	like($out, qr/pgw-report (1\.0\.0|writes how)/, 'says it');
}
{
	local $ENV{PATH} = $dir;
	($status, $out, $err) = report($file);
}
is($status, 3, 'without psql');
like($err, qr/there is no psql/, 'that is what it says');

done_testing();
