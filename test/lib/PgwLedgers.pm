# PgwLedgers - two bank simulators that are two ledgers, "old" and "new", and banks of pgw.banks that are moved from one to the other.
#
#   my $ledgers = PgwLedgers->new('name of the cluster');
#   $ledgers->add_bank('shop', request_timeout => '2s');     # at the old ledger; every column has a value that does
#   $ledgers->{node}, $ledgers->{old}, $ledgers->{new}
package PgwLedgers;

use strict;
use warnings;
use IO::Select;
use IO::Socket::INET;
use PgwSession;
use PgwTest;
use PostgreSQL::Test::Utils;
use Test::More;

sub new
{
	my ($class, $name) = @_;
	my $node = pgw_node($name, debug => 1,
		conf => "restart_after_crash = on\nfsync = off\npgw.compensation_delay = '50ms'\npgw.retry_base_delay = '100ms'\npgw.retry_max_delay = '1s'\n");
	my $self = bless { node => $node, old => bank_start(), new => bank_start('--seed', 2) }, $class;    # so that their ids differ
	pgw_setup($node, $self->{old});
	return $self;
}

sub sql { my ($self, $sql) = @_; return $self->{node}->safe_psql('postgres', $sql) }

# Text of a call.
sub pay
{
	my ($self, $id, %a) = @_;
	return 'SELECT status FROM ' . pay_sql('process_payment', client_request_id => $id, %a);
}

# Call process_payment(); the status of the payment.
sub paid { my ($self, $id, %a) = @_; return $self->sql($self->pay($id, %a)) }

sub add_bank
{
	my ($self, $name, %column) = @_;
	%column = (connector => 'json', base_url => $self->{old}{url}, secret => 'bank', request_timeout => '1s', priority => 500, %column);
	$self->sql("INSERT INTO pgw.banks (name, " . join(', ', sort keys %column) . ") VALUES ('$name', " . join(', ', map { "'$column{$_}'" } sort keys %column) . ')');
}

sub payment_status
{
	my ($self, $id) = @_;
	return $self->sql("SELECT status FROM pgw.payments WHERE client_request_id = '$id'");
}

# The number of charges for an id, at the old ledger and at the new one.
sub charge_counts
{
	my ($self, $id) = @_;
	return join ' ', map { scalar charges_of($self->{node}, $self->{$_}, $id) } 'old', 'new';
}

# The version of its bank that an attempt goes by.
sub version_of
{
	my ($self, $id) = @_;
	return $self->sql("SELECT bank_version FROM pgw.payment_transactions WHERE client_request_id = '$id'");
}

# Ask for a capture, void or refund of a payment; the state of the new attempt.
sub operation
{
	my ($self, $kind, $id, $payment) = @_;
	return $self->sql("SELECT o.transaction_status FROM pgw.find_payment('$payment') f, pgw.${kind}_payment(f.payment_id, '$id') o");
}

# Until the attempt is completed.
sub completes
{
	my ($self, $id) = @_;
	return $self->{node}->poll_query_until('postgres', "SELECT status = 'Completed' FROM pgw.payment_transactions WHERE client_request_id = '$id'");
}

# A charge that the old ledger has and nobody has heard of yet; meanwhile the configuration is changed by $sql, in a transaction that began before.
sub changed_meanwhile
{
	my ($self, $id, $sql, %a) = @_;
	my $administrator = PgwSession->new($self->{node});
	$administrator->query("BEGIN; $sql");
	my $caller = PgwSession->new($self->{node})->send($self->pay($id, token => 'tok_timeout_after', timeout => '30s', %a));
	wait_until(sub { charges_of($self->{node}, $self->{old}, $id) }, 20) or die "$id: never charged";
	$administrator->query('COMMIT');
	is($caller->wait, 'captured', "$id: found out, and paid");
	is($self->charge_counts($id), '1 0', "$id: one charge, where it was asked");
}

# An address that ends with its process: what comes there goes to the old ledger. { port, pid }
sub second_address
{
	my ($self) = @_;
	my $listener = IO::Socket::INET->new(Listen => 64, LocalAddr => '127.0.0.1', Proto => 'tcp') or die $!;
	my $pid = child_process(sub {
		my %peer;
		my $select = IO::Select->new($listener);
		while (1)
		{
			for my $socket ($select->can_read)
			{
				if ($socket == $listener)
				{
					my ($from, $to) = (scalar $listener->accept, IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $self->{old}{port}));
					@peer{ $from, $to } = ($to, $from);
					$select->add($from, $to);
				}
				elsif (sysread $socket, my $data, 65536) { syswrite $peer{$socket}, $data }
				else { $select->remove($socket, $peer{$socket}); close $_ for $peer{$socket}, $socket }
			}
		}
	});
	return { port => $listener->sockport, pid => $pid };
}

1;
