# ChaosOperations - what follows a payment of the run: captures, voids and refunds, in the ways that the plan names, until each is recorded or refused.
package ChaosOperations;

use strict;
use warnings;
use parent 'ChaosPayment';
use Time::HiRes qw(time usleep);

sub operation
{
	my ($o, $step, %a) = @_;
	my $kind = $a{kind} // $step->{kind};
	my @args = ("'$o->{payment_id}'", "'" . ($a{id} // $step->{id}) . "'");
	push @args, 'amount => ' . $step->{amount} if $kind ne 'void' && defined $step->{amount};
	push @args, 'final => false' if $kind eq 'capture' && $step->{more};
	return "SELECT transaction_status, error_code FROM pgw.${kind}_payment(" . join(', ', @args) . ')';
}

# The payment once nothing of it is under way; empty when that takes long (in doubt, at a bank that tells nothing).
sub payment_at_rest
{
	my ($self, $o) = @_;
	for (1 .. 12)
	{
		if ($self->run(1, "SELECT status, authorized_amount, captured_amount, refunded_amount, refund_pending_amount, transaction_status FROM pgw.wait_for_payment('$o->{payment_id}', '2s')"))
		{
			my %p;
			@p{qw(status authorized captured refunded pending attempt)} = $self->row(1);
			my $under_way = $self->run(1, "SELECT count(*) FROM pgw.payment_transactions WHERE payment_id = '$o->{payment_id}' AND status IN ('Created', 'BankApproved', 'Saved', 'Refunding', 'BankUnknown')") ? ($self->row(1))[0] : 1;
			return \%p if !$under_way;
			return undef if $o->{bank};    # what is in doubt there waits for a person
		}
		usleep(20_000);
	}
	return undef;
}

# Once, in the way that the plan names. true: it is recorded, as far as the client knows.
sub try_operation
{
	my ($self, $o, $step) = @_;
	my $shape = $step->{shape};
	my $sql = operation($o, $step);
	my %may = (may => 'PW422');
	my $undo = sub {
		my $state = $self->{state};
		$self->run(1, 'ROLLBACK') if $state ne '08006';
		$self->{state} = $state;
		return 0;
	};

	if ($shape eq 'tx' || $shape eq 'two_phase')
	{
		my $gid = "$step->{id}-" . ++$self->{gids};
		$self->run(1, 'BEGIN ISOLATION LEVEL ' . $o->{isolation}) or return $undo->();
		$self->run(1, 'UPDATE stock SET n = n - 1 WHERE k = 3') or return $undo->() if $shape eq 'tx';
		$self->run(1, $sql, %may) or return $undo->();
		return $self->run(1, 'COMMIT') || $undo->() if $shape eq 'tx';
		if (!$self->run(1, "PREPARE TRANSACTION '$gid'"))
		{
			return $undo->() if $self->{state} ne '08006';
			$self->until_run(1, "SELECT count(*) FROM pg_prepared_xacts WHERE gid = '$gid'");
			return 0 unless ($self->row(1))[0];
		}
		$self->end_prepared_transaction('COMMIT', $gid);
		return 1;
	}
	if ($shape eq 'rollback')
	{
		$step->{shape} = 'plain';
		$self->run(1, $_, %may) or return $undo->() for 'BEGIN ISOLATION LEVEL ' . $o->{isolation}, $sql, 'ROLLBACK';
		return 0;
	}
	if ($shape eq 'savepoint')
	{
		$self->run(1, $_, %may) or return $undo->() for 'BEGIN ISOLATION LEVEL ' . $o->{isolation}, 'SAVEPOINT s', $sql, 'ROLLBACK TO s', $sql;
		return $self->run(1, 'COMMIT') || $undo->();
	}
	if ($shape eq 'twice' || $shape eq 'race')
	{
		my $other = $shape eq 'twice' ? $sql : operation($o, $step, id => "$step->{id}-race", kind => $step->{kind} eq 'capture' ? 'void' : $step->{kind} eq 'void' ? 'capture' : 'refund');
		$self->session(2)->send($other);
		my $ok = $self->run(1, $sql, %may);
		my $state = $self->{state};
		$self->finish(2, %may);
		$self->{state} = $state;
		return $ok;
	}
	return $self->run(1, $sql, %may);
}

# Each operation of the plan, until it is recorded or refused.
sub follow
{
	my ($self, $o) = @_;
	for my $step (@{ $o->{follow} })
	{
		my $p = $self->payment_at_rest($o) or return;
		my $left = $step->{kind} eq 'refund' ? $p->{captured} - $p->{refunded} - $p->{pending} : $p->{authorized} - $p->{captured};
		$step->{amount} = $step->{share} < 1 ? int($left * $step->{share}) || 1 : undef;
		my $raced = $step->{shape} eq 'race';
		my $recorded = 0;
		while (!$recorded)
		{
			die "an operation was not recorded\n" if time > $self->{end};
			$recorded = $self->try_operation($o, $step);
			last if $recorded || $self->{state} eq 'PW422';
			$step->{shape} = 'plain' if $step->{shape} eq 'race';
			usleep(1000 * (5 + $o->{delay_ms}));
		}
		$self->count("operations: $step->{kind}" . ($recorded ? '' : ', refused'));
		push @{ $self->{operations} }, [ $step->{kind}, $step->{id}, $recorded ? 'committed' : 'refused' ];
		next if $recorded || $raced;

		# refused without a rival: only where the payment has come to something that the bank decided, or an earlier capture or void that an operator has yet
		# to decide still claims the authorization
		$self->run(1, "SELECT p.status, count(*) FILTER (WHERE t.kind <> 'refund' AND t.status = 'RequiresManualReview'),
				string_agg(concat_ws(' ', t.kind, t.client_request_id, t.status), '; ' ORDER BY t.created_at)
			FROM pgw.payments p JOIN pgw.payment_transactions t USING (payment_id) WHERE payment_id = '$o->{payment_id}' GROUP BY p.status") or next;
		my ($status, $in_review, $attempts) = $self->row(1);
		my $allowed = $step->{kind} eq 'capture' ? $in_review || $status !~ /^(authorized|partially_captured)$/
		  : $step->{kind} eq 'void' ? $in_review || $status ne 'authorized'
		  : $status !~ /captured$|^partially_refunded$/ || $self->{refusal} =~ /by a dispute/;
		$self->wrong("$step->{kind} $step->{id} was refused, but the payment is $status: $self->{refusal}; attempts: $attempts") unless $allowed || $left <= 0;
	}
	return;
}

1;
