# The blocks of README.md and of the pages that users copy from run as they are printed, and print what the page says; see PgwPages. Beside
# the server's folder nothing of the system is touched, so two things are not as printed: sudo is left out, and /etc/pgw/secrets is
# the cluster's own folder. What apt and make install is tried in chroots, by test/packages/.
use strict;
use warnings;
use lib 'test/lib';
use PgwPages;
use PgwTest;
use PostgreSQL::Test::Utils;
use Test::More;

my %pages = map { $_ => slurp_file($_) } qw(README.md docs/testing-your-app.md docs/clients.md docs/sql-reference.md docs/connectors.md docs/runbooks.md);
my $node = pgw_node('pages', start => 0, conf => "fsync = off\n");
my $secrets = $node->basedir . '/secrets';

# From the lines that README.md gives for postgresql.conf, and not from the tests' own.
my ($conf) = map { $_->{text} } grep { ($_->{mark} // '') eq 'run: conf' } blocks_of($pages{'README.md'});
my $own = slurp_file($node->data_dir . '/postgresql.conf');
unlink $node->data_dir . '/postgresql.conf';
append_to_file($node->data_dir . '/postgresql.conf', $own =~ s/^(?:shared_preload_libraries|log_parameter_max_length).*\n//mgr . $conf);
$node->start;

sub psql
{
	my ($db, $sql) = @_;
	my $ran = IPC::Run::run([ 'psql', '-Xq', '-v', 'ON_ERROR_STOP=1', '-P', 'pager=off', '-h', $node->host, '-p', $node->port, '-d', $db ],
		'<', \$sql, '>', \my $out, '2>', \my $err, IPC::Run::timeout(120));
	return ($ran ? '' : $err || 'failed', $out);
}

sub shell
{
	my ($command) = @_;
	$command =~ s/\bsudo (?:-u \w+ )?//g;
	$command =~ s{/etc/pgw/secrets}{$secrets}g;
	my $key = "a-key\n";
	my $ran = IPC::Run::run([ 'sh', '-e', '-c', $command ], '<', \$key, '>', \my $out, '2>', \my $err);
	return $ran ? '' : $err || 'failed';
}

# What is wrong with a block, '' if nothing; $result is the block that follows when it is one of what is printed.
sub fault_of
{
	my ($db, $block, $result) = @_;
	my $mark = $block->{mark} // return 'no comment says whether it is run';
	return shell($block->{text}) if $mark eq 'run: shell';
	my ($until, $given) = $mark =~ /^run: sql(, until the result)?(?:, given: (.*))?$/ or return "what is '$mark'?";
	if (defined $given)
	{
		for my $statement (split /; /, $given) { my ($fault) = psql($db, $statement); return "$statement: $fault" if $fault }
	}
	my ($fault, $out);
	my $fine = sub {
		($fault, $out) = psql($db, $block->{text});
		return $fault || !$result || printed($out) eq printed($result->{text});
	};
	return $fault if wait_until($fine, $until ? 30 : 0);
	return "it prints\n$out";
}

# [ place, fault ] of each block of a page's text, in the page's own database.
my %there;
sub faults_of
{
	my ($name, $text) = @_;
	my $db = lc $name =~ s/\W/_/gr;
	if (!$there{$db}++)
	{
		$node->safe_psql('postgres', "CREATE DATABASE $db");
		$node->safe_psql($db, 'CREATE EXTENSION pgw') unless $text =~ /CREATE EXTENSION pgw;/;
	}
	my @blocks = blocks_of($text);
	my @faults;
	while (my $block = shift @blocks)
	{
		next if ($block->{mark} // '') =~ /^not run: \S|^run: conf$/;
		my $result = @blocks && ($blocks[0]{mark} // '') eq 'result' ? shift @blocks : undef;
		push @faults, [ "$name:$block->{line}", fault_of($db, $block, $result) ];
	}
	return @faults;
}

for my $name (sort keys %pages)
{
	is($_->[1], '', "$_->[0]: the block runs as printed") for faults_of($name, $pages{$name});
}
is(slurp_file("$secrets/acme-key"), "a-key\n", 'the key is where README.md puts it');
is((stat "$secrets/acme-key")[2] & 0777, 0600, 'for the server alone');

# A page that somebody breaks is noticed: a name, a result, a comment.
my $little = "<!-- run: sql -->\n\n    SELECT status\n        FROM pgw.process_payment('x', 1, 'EUR', 'tok_ok');\n\n"
  . "<!-- result -->\n\n      status\n    ----------\n     captured\n    (1 row)\n";
sub faults { return join '|', map { $_->[1] } faults_of('broken', $_[0]) }
is(faults($little), '', 'a page that is right');
like(faults($little =~ s/process_payment/process_paymint/r), qr/function pgw\.process_paymint.* does not exist/, 'a block that does not run is noticed');
like(faults($little =~ s/'x', 1, 'EUR', 'tok_ok/'y', 1, 'EUR', 'tok_decline_fraud/r), qr/^it prints\n.*declined/s, 'one that prints something else, too');
like(faults($little =~ s/<!-- run.*\n//r), qr/no comment says/, 'one that nobody runs');
like(faults($little =~ s/<!-- result -->\n\K.*//sr), qr/a comment before no block/, 'and a result that is not there');
$node->stop;
done_testing();
