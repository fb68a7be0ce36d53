# PgwFaultMatrix - every operation at every bank under every fault, counted at the banks' ledgers: what was asked for is done once, or not at all, or
# waits for a person where the bank offers no way to find out.
package PgwFaultMatrix;

use strict;
use warnings;
use Exporter 'import';
use PgwTest;
use PostgreSQL::Test::Utils;
use Test::More;

our @EXPORT = qw(matrix_banks kill_when_asked matrix_phase matrix_set matrix_report @FAULTS @OPERATIONS @UNSETTLED);

our @FAULTS = qw(500_before 500_after timeout_before timeout_after reset_before reset_after);
our @OPERATIONS = qw(charge authorize capture void refund give_back on_commit);

# At a bank that refunds nothing of what is not settled yet: the refund that is refused, and the void in its place.
our @UNSETTLED = qw(refund_refused refund_by_void back_refused back_by_void);

# Of each operation: how it is paid, what is asked for then, which request is struck, and how charge and payment stand when it is done, and when it is not.
my %PLAN = (
	charge => { strikes => 'charge', charge => '1000/0', status => 'captured' },
	authorize => { pay => { capture => 'manual' }, strikes => 'authorize', charge => '0/0', status => 'authorized' },
	capture => { pay => { capture => 'manual' }, then => 'capture', args => '600', strikes => 'capture', charge => '600/0', status => 'captured', undone => '0/0' },
	void => { pay => { capture => 'manual' }, then => 'void', strikes => 'void', charge => 'gone', status => 'voided', undone => '0/0' },
	refund => { then => 'refund', args => '400', strikes => 'refund', charge => '1000/400', status => 'partially_refunded', undone => '1000/0' },
	give_back => { rolled_back => 1, strikes => 'refund', charge => 'gone', status => '', undone => '1000/0' },
	on_commit => { pay => { capture => 'on_commit' }, strikes => 'capture', charge => '1000/0', status => 'captured', undone => '0/0' },
	refund_refused => { unsettled => 1, then => 'refund', args => '1000', strikes => 'refund', charge => 'gone', status => 'refunded', undone => '1000/0' },
	refund_by_void => { unsettled => 1, then => 'refund', args => '1000', strikes => 'void', charge => 'gone', status => 'refunded', undone => '1000/0' },
	back_refused => { unsettled => 1, rolled_back => 1, strikes => 'refund', charge => 'gone', status => '', undone => '1000/0' },
	back_by_void => { unsettled => 1, rolled_back => 1, strikes => 'void', charge => 'gone', status => '', undone => '1000/0' });

my ($node, %bank, %count);

# A bank's answer that a charge is not settled, for the connector's rules.
sub unsettled_rule
{
	my ($b) = @_;
	return $b->{unsettled} ? "jsonb_set(jsonb_insert(definition::jsonb, '{operations,refund,answer,rules,0}', '{\"status\": [402, 409], \"when\": $b->{unsettled}, \"outcome\": \"refund_refused_unsettled\"}'), '{v}', '2')"
	  : %{ $b->{capabilities} // {} } ? 'definition::jsonb'
	  : 'definition'; # as it is: its order may matter
}

# name => { connector, root, capabilities (those of the connector that are changed), blind (nothing can be found out), asks (operations at which its API, by the fault,
# offers no way), operations (those that it has, if not all), unsettled (what it says when it refunds nothing of what is not settled), row (more of its row), tells (what it says by itself, while it is waited for) }:
# a simulator for each, and a cluster.
sub matrix_banks
{
	my (%banks) = @_;
	$node = pgw_node('matrix', conf => "restart_after_crash = on\nfsync = off\nautovacuum = off\npgw.compensation_delay = '50ms'\npgw.retry_base_delay = '100ms'\npgw.retry_max_delay = '500ms'\n"
		  . "pgw.retry_budget = 100\npgw.unknown_deadline = '30s'\n");
	pgw_setup($node);
	my $formbank = slurp_file('test/connectors/formbank.json');
	$node->safe_psql('postgres', "INSERT INTO pgw.connectors (name, definition) VALUES ('formbank', \$json\$$formbank\$json\$)");
	for my $name (sort keys %banks)
	{
		my $b = $bank{$name} = { %{ $banks{$name} }, name => $name, sim => bank_start() };
		my $changes = join '', map { ", '{capabilities,$_}', '$b->{capabilities}{$_}')" } sort keys %{ $b->{capabilities} };
		my $calls = 'jsonb_set(' x keys %{ $b->{capabilities} };
		$node->safe_psql('postgres', "INSERT INTO pgw.connectors (name, definition) SELECT 'm_$name', $calls@{[ unsettled_rule($b) ]}$changes FROM pgw.connectors WHERE name = '$b->{connector}';
			INSERT INTO pgw.banks (name, connector, base_url, secret, livemode, request_timeout) VALUES ('$name', 'm_$name', '$b->{sim}{url}" . ($b->{root} // '') . "', 'bank', false, '1s')");
		my %row = $b->{row} ? $b->{row}->($node, $b->{sim}) : ();
		$node->safe_psql('postgres', "UPDATE pgw.banks SET $_ = '$row{$_}' WHERE name = '$name'") for sort keys %row;
		bank_control($b->{sim}, settings => { unsettled => \1 }) if $b->{unsettled};
	}
	return $node;
}

sub matrix_set { my ($what, $body) = @_; bank_control($_->{sim}, $what, $body) for values %bank; return }

sub sql { return $node->safe_psql('postgres', $_[0]) }

sub pay
{
	my ($name, $id, %a) = @_;
	return 'SELECT status FROM ' . pay_sql('process_payment', bank => $name, client_request_id => $id, amount => 1000, timeout => '5s', %a);
}

sub at_rest
{
	return 1 if wait_until(sub { tell_all(); my ($rc, $out) = $node->psql('postgres', "SELECT 1 FROM pgw.payment_transactions WHERE status IN ('Created', 'BankApproved', 'Saved', 'Refunding', 'BankUnknown') LIMIT 1"); $rc == 0 && $out eq '' }, 90);
	diag('not at rest: ' . sql("SELECT string_agg(client_request_id || ' ' || status, ', ') FROM pgw.payment_transactions WHERE status IN ('Created', 'BankApproved', 'Saved', 'Refunding', 'BankUnknown')"));
	return 0;
}

# What the banks say by themselves; a server that comes up again may not hear it yet.
sub tell_all { eval { $_->{tells}->($node, $_->{name}, $_->{sim}) } for grep { $_->{tells} } values %bank; return }

# The charges that a bank has approved for a request id: captured/refunded of each that it keeps, "gone" of the others.
sub charge_stands
{
	my ($b, $id) = @_;
	my @c = charges_of($node, $b->{sim}, $id);
	my @kept = grep { !$_->{voided} && ($_->{captured} == 0 ? !$_->{expired} : $_->{refunded} < $_->{captured}) } @c;
	return @kept ? join ' ', map { "$_->{captured}/$_->{refunded}" } @kept : @c ? 'gone' : 'none';
}

sub judge
{
	my ($b, $phase, $op, $plan, $id, $fault) = @_;
	my $reviews = sql("SELECT count(*) FROM pgw.payment_transactions WHERE (client_request_id = '$id' OR client_request_id = '$id-then') AND status = 'RequiresManualReview'");
	my $stands = charge_stands($b, $id);
	my $status = sql("SELECT coalesce((SELECT status::text FROM pgw.payments WHERE client_request_id = '$id'), '')");
	# an error before anything was done is remembered with its key: the charge has not come to be, and its payment has failed
	my $done = $stands eq $plan->{charge} && $status eq $plan->{status} || !exists $plan->{undone} && $fault eq '500_before' && "$stands $status" eq 'none failed';
	# where a person is asked, it has been done once or not at all
	my $open = $reviews == 1 && grep { $stands eq $_ } $plan->{charge}, $plan->{undone} // 'none';
	my $wanted = $b->{blind} || (grep { $_ eq $op } @{ $b->{asks}{$fault} // [] }) ? $open : $done && $reviews == 0;
	$count{ $b->{name} }{cases}++;
	$count{ $b->{name} }{reviews} += $reviews;
	$count{ $b->{name} }{double}++ if $stands =~ / / || $stands =~ m{/(\d+)} && $1 > ($op eq 'refund' ? 400 : 0);
	$count{ $b->{name} }{orphan}++ if $stands ne 'gone' && $stands ne 'none' && $status eq '' && !$reviews;
	ok($wanted, "$b->{name}: $phase") or diag("charge $stands, payment '$status', $reviews in review: " . events($node, $id) . ' | ' . events($node, "$id-then"));
}

# A caller that waits for its charge is gone with the server: what was charged is given back.
sub without_caller
{
	my ($plan) = @_;
	return $plan->{strikes} =~ /^(?:charge|authorize)$/ ? { %$plan, charge => 'gone', status => '', undone => $plan->{charge} } : $plan;
}

sub has_operation { my ($b, $op) = @_; return !$b->{operations} || grep { $_ eq $op } @{ $b->{operations} } }

# One operation under one fault, at all banks at the same time.  during: what happens while it is under way, by the bank's name.
sub matrix_phase
{
	my ($op, $fault, %o) = @_;
	my $plan = $PLAN{$op};
	my $phase = "$op, " . ($o{name} // $fault);
	my %id = map { $_ => "$_ $phase" } keys %bank;
	my %strike = (probabilities => { $fault => 1 }, operations => [ $plan->{strikes} ], times => 1);
	my @names = grep { !$bank{$_}{unsettled} == !$plan->{unsettled} && (!$o{only} || $o{only}{$_}) && has_operation($bank{$_}, $op) } sort keys %bank;

	if ($plan->{then})
	{
		sql(pay($_, $id{$_}, %{ $plan->{pay} // {} })) for @names;
	}
	bank_control($bank{$_}{sim}, 'faults', \%strike) for @names;
	my %before = map { $_ => newest($bank{$_}) } @names;
	my @sessions;
	for my $name (@names)
	{
		my $id = $id{$name};
		my $call = $plan->{then} ? "SELECT o.status FROM pgw.find_payment('$id') f, pgw.$plan->{then}_payment(f.payment_id, '$id-then'" . ($plan->{args} ? ", $plan->{args}" : '') . ') o'
		  : $plan->{rolled_back} ? 'BEGIN; ' . pay($name, $id) . '; ROLLBACK' : pay($name, $id, %{ $plan->{pay} // {} });
		push @sessions, psql_start($node, $call) for 1 .. ($o{callers} // 1);
	}
	$o{during}->(sub { !grep { !is_asked($bank{$_}, $plan->{strikes}, $before{$_}) } @names }) if $o{during};
	$_->{h}->finish for @sessions;
	my $rest = at_rest();
	bank_control($bank{$_}{sim}, 'faults', {}) for @names;
	ok(0, "$phase: at rest") unless $rest;
	judge($bank{$_}, $phase, $op, $o{during} ? without_caller($plan) : $plan, $id{$_}, $fault) for @names;
	return;
}

# The number of the bank's newest request; has it got one of that operation since?
sub newest { my ($b) = @_; my ($last) = @{ bank_log($b->{sim}, 1) }; return $last ? $last->{number} : 0 }
sub is_asked { my ($b, $operation, $before) = @_; return scalar grep { $_->{operation} eq $operation && $_->{number} > $before } @{ bank_log($b->{sim}, 20) } }

# kill -9 of the worker when every bank has got the request, and is slow to answer.
sub kill_when_asked
{
	my ($all_asked) = @_;
	wait_until($all_asked, 20) or fail('every bank was asked');
	crash($node, sql("SELECT pid FROM pg_stat_activity WHERE backend_type = 'pgw worker'"));
	return;
}

# At the end: what the tables say of themselves, and the counts.
sub matrix_report
{
	is(sql('SELECT count(*) FROM pgw.check_consistency()'), 0, 'the records agree with themselves');
	for my $name (sort keys %bank)
	{
		my $c = $count{$name};
		my @line = map { ($c->{$_} // 0) . " $_" } qw(cases double orphan reviews);
		diag("$name: " . join ', ', @line);
		is(($c->{double} // 0) + ($c->{orphan} // 0), 0, "$name: nothing double, nothing orphaned");
	}
	return;
}

1;
