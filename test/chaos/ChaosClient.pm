# ChaosClient - one client of the run: a correct application that carries out orders whatever happens to it.
#
# What makes it correct: after an error, a lost connection or a missing answer it repeats the SAME client_request_id with the same
# arguments until it has a final answer; it gives an order up only when it knows that nothing of it was committed.  Its own row in
# table orders is written in the transaction that pays, so that orders and payments can be compared afterwards.
#
# What follows the payment (captures, voids, refunds) goes the same way: the same id again until it is recorded.  An operation may be refused with PW422 only where
# another one was there first, or where the bank had refused something.
#
# It asks for each order with { ready => its number }, and reports {  id, merchant, end => committed | none | stuck, status, wrong => [...], counts => {...} }.
package ChaosClient;

use strict;
use warnings;
use JSON::PP;
use PgwSession;
use Time::HiRes qw(time usleep);

# What may happen to a correct client: everything else is a violation.
my %expected = map { $_ => 1 } qw(40001 40P01 57014 57P01 57P02 57P03 08000 08001 08003 08006 53300 PW409 PW500);


sub new
{
	my ($class, %o) = @_;
	return bless { %o, sessions => {}, prepared => [], count => {} }, $class;
}

# Card data must not be literals, and psql sends nothing else: they come out of a function, which drops the x between their parts.
our $spelt = q{CREATE FUNCTION spelt(v text) RETURNS text LANGUAGE plpgsql VOLATILE AS $$BEGIN RETURN replace(v, 'x', ''); END$$};

sub literal { my ($v) = @_; return "'" . $v =~ s/'/''/gr . "'" }

sub call
{
	my ($o, $function, %a) = @_;
	my %arg = (client_request_id => $o->{id}, currency => $o->{currency}, capture => $o->{capture}, merchant => $o->{merchant}, reference => "order $o->{id}");
	$arg{token} = $o->{token} if $o->{token};
	$arg{bank} = $o->{bank} if $o->{bank};
	$arg{timeout} = ($a{timeout} // 2500) . ' ms' if $function eq 'process';
	my $args = join ', ', 'amount => ' . ($a{amount} // $o->{amount}), map { "$_ => " . literal($arg{$_}) } sort keys %arg;
	$args .= sprintf(", card_number => spelt('%s'), card_expiry_month => 12, card_expiry_year => 2039, card_cvv => spelt('%s'), card_holder => spelt('A. HOLDER')",
		$o->{card} =~ s/\./x/gr, $o->{card} =~ /^37/ ? '1234' : '123') if $o->{card};
	return "pgw.${function}_payment($args)";
}

sub count { my ($self, $what) = @_; $self->{count}{$what}++; return }

sub wrong
{
	my ($self, $text) = @_;
	push @{ $self->{wrong} }, $text;
	return;
}

# ---- sessions

# Connected; 1 is the client's own, 2 that of whoever else takes part.
sub session
{
	my ($self, $n) = @_;
	while (1)
	{
		my $s = $self->{sessions}{$n} //= PgwSession->new($self->{server}, name => "client $self->{n}");
		return $s if $s->state ne '08006' && $s->backend ne '';
		$self->lost($n);
		die "no connection\n" if time > $self->{end};
		usleep(30_000);
	}
}

sub lost
{
	my ($self, $n) = @_;
	delete $self->{sessions}{$n};
	return;
}

# One statement; true when it went well.  Counts what went wrong, and says so when that must not happen.
sub run
{
	my ($self, $n, $sql, %o) = @_;
	$self->session($n)->send($sql);
	return $self->finish($n, %o);
}

sub finish
{
	my ($self, $n, %o) = @_;
	my $s = $self->{sessions}{$n};
	$s->wait(60);
	my $state = $s->state;
	$state = '08006' if $state ne '00000' && $s->err =~ /connection to server was lost|server closed the connection|terminating connection/;
	$self->{state} = $state;
	return 1 if $state eq '00000';
	$self->{refusal} = $s->err =~ s/\s+/ /gr if $state eq 'PW422';
	$self->count($state);
	$self->wrong("$state: " . substr($s->err =~ s/\n.*//sr, 0, 300) . " [" . substr($s->{sql}, 0, 200) . "]") unless $expected{$state} || ($o{may} // '') eq $state;
	$self->lost($n) if $state eq '08006';
	return 0;
}

sub row { my ($self, $n) = @_; return split /\|/, ($self->{sessions}{$n}{out} =~ /^([^\n]*)/)[0] // '', -1 }

# ---- transactions

sub insert_order
{
	my ($o, $payment_id, $status) = @_;
	return sprintf "INSERT INTO orders (merchant, client_request_id, payment_id, status) VALUES ('%s', '%s', %s, '%s')
		ON CONFLICT (merchant, client_request_id) DO UPDATE SET payment_id = coalesce(excluded.payment_id, orders.payment_id), status = excluded.status",
	  $o->{merchant}, $o->{id}, $payment_id ? "'$payment_id'" : 'NULL', $status;
}

sub update_order
{
	my ($o, $payment_id, $status) = @_;
	return "UPDATE orders SET payment_id = '$payment_id', status = '$status' WHERE merchant = '$o->{merchant}' AND client_request_id = '$o->{id}'";
}

# Pay in autocommit, the order's row in the same statement.  (committed, status) or (error)
sub auto
{
	my ($self, $n, $o, %a) = @_;
	my $call = call($o, $a{function} // $o->{function}, %a);
	$self->session($n)->send("WITH p AS MATERIALIZED (SELECT * FROM $call)
		INSERT INTO orders (merchant, client_request_id, payment_id, status) SELECT '$o->{merchant}', p.client_request_id, p.payment_id, p.status::text FROM p
		ON CONFLICT (merchant, client_request_id) DO UPDATE SET payment_id = excluded.payment_id, status = excluded.status RETURNING status, payment_id");
	return $a{begun} ? () : $self->auto_finish($n, $o);
}

sub auto_finish
{
	my ($self, $n, $o) = @_;
	$self->finish($n) or return 'error';
	my ($status, $payment_id) = $self->row($n);
	$o->{payment_id} = $payment_id;
	return ('committed', $status);
}

# BEGIN, the order, the payment, and the end that is asked for: COMMIT, ROLLBACK, PREPARE.
# ('committed', status), ('rolled back'), ('prepared', status), ('error'): surely not committed, ('unknown'): lost at COMMIT
sub transaction
{
	my ($self, $o, %a) = @_;
	my $pay = 'SELECT status, payment_id FROM ' . call($o, $o->{function}, timeout => $a{timeout});
	my $undo = sub { $self->run(1, 'ROLLBACK') if $self->{state} ne '08006'; return 'error' };

	$self->run(1, 'BEGIN ISOLATION LEVEL ' . ($a{isolation} // $o->{isolation})) or return 'error';
	if ($a{conflict}) { $self->run(1, "SELECT n FROM stock WHERE k = $a{conflict}") or return $undo->() }
	if ($a{before}) { $self->run(1, $_) or return $undo->() for @{ $a{before} } }
	if (!$a{pay_first}) { $self->run(1, insert_order($o, undef, 'new')) or return $undo->() }
	$self->session(1)->send($a{per_column} ? $pay =~ s/^SELECT status, payment_id FROM (.*)$/SELECT ($1).*/sr : $pay);
	$a{during}->() if $a{during};
	$self->finish(1) or return $undo->();
	my @row = $self->row(1);
	my ($status, $payment_id) = $a{per_column} ? @row[ 3, 0 ] : @row;
	$o->{payment_id} = $payment_id;
	if ($a{after}) { $self->run(1, $_) or return $undo->() for @{ $a{after} } }
	$self->run(1, $a{pay_first} ? insert_order($o, $payment_id, $status) : update_order($o, $payment_id, $status)) or return $undo->();
	if ($a{conflict}) { $self->run(1, "UPDATE stock SET n = n - 1 WHERE k = $a{conflict}") or return $undo->() }

	my $how = $a{end} // 'COMMIT';
	if (!$self->run(1, $how))
	{
		return 'unknown' if $self->{state} eq '08006' && $how ne 'ROLLBACK';
		return $how eq 'ROLLBACK' ? 'rolled back' : $undo->();
	}
	return $how eq 'COMMIT' ? ('committed', $status) : $how eq 'ROLLBACK' ? 'rolled back' : ('prepared', $status);
}

# ---- after something went wrong, and to the end

# The same call until its answer is final.  A submit that is on its way is waited for.
sub until_final
{
	my ($self, $o, $n) = @_;
	$n //= 1;
	while (time < $self->{end})
	{
		my ($end, $status) = $self->auto($n, $o);
		if ($end eq 'committed')
		{
			return $status if $status ne 'pending';
			return $status if $o->{function} eq 'submit' && !$o->{waits};
			$self->run($n, "SELECT status FROM pgw.wait_for_payment('$o->{payment_id}', '2s')");
			next;
		}
		usleep(1000 * (5 + $o->{delay_ms}));    # a client backs off
	}
	die "no final answer\n";
}

sub kill_client { my ($self) = @_; kill 'KILL', $self->{sessions}{1}{pid}; return }

# During a call: wait the moment that the plan names, then strike from the other session.
sub strike
{
	my ($self, $o, $function) = @_;
	usleep(1000 * $o->{delay_ms});
	$self->run(2, "SELECT $function(" . $self->{sessions}{1}->backend . ')');
	return;
}

sub first_attempt
{
	my ($self, $o) = @_;
	my $shape = $o->{shape};
	my $savepoint = call($o, $o->{function});

	return $self->auto(1, $o) if $shape eq 'auto' || $shape eq 'mismatch';
	return $self->transaction($o) if $shape eq 'tx';
	return $self->transaction($o, pay_first => 1) if $shape eq 'pay_first';
	return $self->transaction($o, conflict => 1 + $o->{amount} % 2) if $shape eq 'conflict';
	return $self->transaction($o, end => 'ROLLBACK') if $shape =~ /^rollback/;
	return $self->transaction($o, per_column => 1) if $shape eq 'per_column';
	return $self->transaction($o, before => [ 'SET LOCAL statement_timeout = ' . (5 + $o->{delay_ms}) ], after => ['SET LOCAL statement_timeout = 0'], pay_first => 1)
	  if $shape eq 'statement_timeout';
	return $self->transaction($o, timeout => $o->{delay_ms}) if $shape eq 'short_wait';
	return $self->transaction($o, timeout => $o->{delay_ms}, end => 'ROLLBACK') if $shape eq 'short_wait_rollback';
	return $self->transaction($o, during => sub { usleep(1000 * $o->{delay_ms}); $self->kill_client }) if $shape eq 'client_gone';
	return $self->transaction($o, during => sub { $self->strike($o, 'pg_cancel_backend') }) if $shape eq 'cancel';
	return $self->transaction($o, during => sub { $self->strike($o, 'pg_terminate_backend') }) if $shape eq 'terminate';
	return $self->savepoint($o) if $shape =~ /^savepoint/;
	return $self->exception($o) if $shape =~ /^exception/;
	return $self->two_phase($o) if $shape =~ /^two_phase/;
	return $self->duplicate($o) if $shape =~ /^duplicate/;
	return $self->cross($o) if $shape eq 'cross';
	die "unknown shape $shape";
}

# ROLLBACK TO: without the order, or again in the same transaction.
sub savepoint
{
	my ($self, $o) = @_;
	my $undo = sub { $self->run(1, 'ROLLBACK') if $self->{state} ne '08006'; return 'error' };
	$self->run(1, 'BEGIN ISOLATION LEVEL ' . $o->{isolation}) or return 'error';
	for my $sql ('SAVEPOINT s', insert_order($o, undef, 'new'), 'SELECT status FROM ' . call($o, $o->{function}), 'ROLLBACK TO s')
	{
		$self->run(1, $sql) or return $undo->();
	}
	my $status = 'none';
	if ($o->{shape} eq 'savepoint_retry')
	{
		$self->run(1, 'SELECT status, payment_id FROM ' . call($o, $o->{function})) or return $undo->();
		($status, $o->{payment_id}) = $self->row(1);
		$self->run(1, insert_order($o, $o->{payment_id}, $status)) or return $undo->();
	}
	$self->run(1, "UPDATE stock SET n = n - 1 WHERE k = 3") or return $undo->();
	if (!$self->run(1, 'COMMIT')) { return $self->{state} eq '08006' && $status ne 'none' ? 'unknown' : $undo->() }
	return $status eq 'none' ? 'rolled back' : ('committed', $status);
}

sub exception
{
	my ($self, $o) = @_;
	my $sql = insert_order($o, undef, 'new');
	my $call = call($o, $o->{function});
	$self->run(1, "DO \$\$ BEGIN BEGIN $sql; PERFORM $call; RAISE EXCEPTION 'undone' USING ERRCODE = 'P0001'; EXCEPTION WHEN SQLSTATE 'P0001' THEN NULL; END; END \$\$")
	  or return 'error';
	return $o->{shape} eq 'exception_retry' ? $self->transaction($o) : 'rolled back';
}

# ---- prepared transactions

sub two_phase
{
	my ($self, $o) = @_;
	my $gid = "$o->{id}-" . ++$self->{gids};
	my ($end, $status) = $self->transaction($o, end => "PREPARE TRANSACTION '$gid'");
	return $end if $end eq 'error';
	if ($end eq 'unknown')
	{
		$self->until_run(1, "SELECT count(*) FROM pg_prepared_xacts WHERE gid = '$gid'");
		return 'error' unless ($self->row(1))[0];
	}
	$self->count('prepared');

	# nobody else gets in between
	if ($o->{delay_ms} % 3 == 0 && $self->run(2, 'SELECT status FROM ' . call($o, 'process', timeout => 60)))
	{
		$self->wrong("a second call got an answer while the first one's transaction was prepared: $self->{sessions}{2}{out}");
	}
	push @{ $self->{prepared} }, { gid => $gid, order => $o, left => $o->{orders_later} };
	return 'prepared';
}

sub until_run
{
	my ($self, $n, $sql) = @_;
	while (!$self->run($n, $sql))
	{
		die "no answer to $sql\n" if time > $self->{end};
		usleep(20_000);
	}
	return;
}

sub end_prepared
{
	my ($self, $p) = @_;
	my $o = $p->{order};
	my $verb = $o->{shape} eq 'two_phase_commit' ? 'COMMIT' : 'ROLLBACK';
	$self->end_gid($verb, $p->{gid}, $o->{other_session} ? 2 : 1);
	return 'none' if $o->{shape} eq 'two_phase_rollback';
	return $self->finish_order($o, $self->until_final($o));
}

# ---- two clients

# Both at once; the second waits for the first one's end, and then replays or takes over.
sub duplicate
{
	my ($self, $o) = @_;
	my $commits = $o->{shape} eq 'duplicate';
	my $second = 0;
	my ($end, $status) = $self->transaction($o, pay_first => 1, end => $commits ? 'COMMIT' : 'ROLLBACK',
		during => sub { $self->auto(2, $o, function => $o->{other_function}, begun => 1, timeout => 5000); $second = 1 });
	if ($second)
	{
		my ($end2) = $self->auto_finish(2, $o);
		$self->count('duplicate answered') if $end2 eq 'committed';
	}
	return ('committed', $status) if $end eq 'committed';
	return 'unknown';
}

sub cross
{
	my ($self, $o) = @_;
	my $p = $o->{peer};
	my @begin = ('BEGIN ISOLATION LEVEL ' . $o->{isolation});
	my $ok = 1;
	my %pay = map { $_->{id} => 'SELECT status, payment_id FROM ' . call($_, 'process') } $o, $p;
	for ([ 1, @begin, $pay{ $o->{id} } ], [ 2, @begin, $pay{ $p->{id} } ])
	{
		my ($n, @sql) = @$_;
		$ok &&= $self->run($n, $_) for @sql;
	}
	if ($ok)
	{
		$self->session(1)->send($pay{ $p->{id} });
		$self->session(2)->send($pay{ $o->{id} });
		$self->finish($_) for 1, 2;
	}
	for my $n (1, 2)
	{
		my $s = $self->{sessions}{$n} or next;
		my $good = $ok && $s->state eq '00000';
		$good &&= $self->run($n, insert_order($_, undef, 'new')) for $o, $p;
		$self->run($n, $good ? 'COMMIT' : 'ROLLBACK') if $self->{sessions}{$n};
	}
	return 'unknown';
}

# ---- what follows a payment

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
sub settled
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
		$self->end_gid('COMMIT', $gid);
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

sub end_gid
{
	my ($self, $verb, $gid, $n) = @_;
	my $tried = 0;
	while (!$self->run($n // 1, "$verb PREPARED '$gid'", may => $tried ? '42704' : ''))
	{
		last if $self->{state} eq '42704';
		$tried = 1;
		die "cannot end prepared transaction $gid\n" if time > $self->{end};
		usleep(20_000);
	}
	return;
}

# Each operation of the plan, until it is recorded or refused.
sub follow
{
	my ($self, $o) = @_;
	for my $step (@{ $o->{follow} })
	{
		my $p = $self->settled($o) or return;
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
		  : $status !~ /captured$|^partially_refunded$/;
		$self->wrong("$step->{kind} $step->{id} was refused, but the payment is $status: $self->{refusal}; attempts: $attempts") unless $allowed || $left <= 0;
	}
	return;
}

# ---- an order from beginning to end

sub drive
{
	my ($self, $o) = @_;
	my ($end, $status) = $self->first_attempt($o);
	return ('prepared') if $end eq 'prepared';
	return ('none') if $o->{gives_up} && ($end eq 'rolled back' || ($end eq 'error' && $o->{shape} !~ /^(auto|mismatch|exception_retry|duplicate)/));
	return $self->after($o, $end, $status);
}

sub after
{
	my ($self, $o, $end, $status) = @_;
	$self->count('retried') if $end ne 'committed';
	$status = $self->until_final($o) if $end ne 'committed' || $status eq 'pending' && ($o->{function} eq 'process' || $o->{waits});
	if ($o->{shape} eq 'mismatch')
	{
		my $answered = $self->run(1, 'SELECT status FROM ' . call($o, $o->{function}, amount => $o->{amount} + 1), may => 'PW422');
		$self->wrong("another amount under the same id was not refused: $self->{state}") if $answered || ($self->{state} ne 'PW422' && !$expected{ $self->{state} });
	}
	if ($o->{peer})
	{
		my $peer = $self->until_final($o->{peer});
		$self->report($o->{peer}, 'committed', $peer);
	}
	return $self->finish_order($o, $status);
}

# What was taken may change after the client's last look: by its operations, or the capture after its commit.
sub finish_order
{
	my ($self, $o, $status) = @_;
	return ('committed', $status) if $status eq 'pending' || $status !~ /^(authorized|captured)$/;
	$self->follow($o) if @{ $o->{follow} };
	return ('committed', @{ $o->{follow} } || $o->{capture} eq 'on_commit' ? 'taken' : $status);
}

sub report
{
	my ($self, $o, $end, $status) = @_;
	my %r = (id => $o->{id}, merchant => $o->{merchant}, shape => $o->{shape}, end => $end, status => $status // '', wrong => $self->{wrong}, count => $self->{count},
		operations => $self->{operations} // []);
	$self->{wrong} = [];
	$self->{operations} = [];
	$self->{count} = {};
	syswrite $self->{out}, $self->{json}->encode(\%r) . "\n";
	return;
}

# Carry something out, and report it unless it is to go on later.
sub guarded
{
	my ($self, $o, $what) = @_;
	$self->{end} = time + $self->{patience};
	my ($end, $status) = eval { $what->() };
	if (my $e = $@)
	{
		$self->wrong("stuck: $e");
		($end, $status) = ('stuck', '');
		$self->lost($_) for 1, 2;
	}
	$self->report($o, $end, $status) unless $end eq 'prepared';
	return;
}

# The next order, from the driver; none: the end.
sub next_order
{
	my ($self) = @_;
	my $in = $self->{in};
	syswrite $self->{out}, $self->{json}->encode({ ready => $self->{n} }) . "\n";
	my $n = <$in> // die "the driver is gone\n";
	return $n >= 0 ? $self->{orders}[$n] : undef;
}

sub work
{
	my ($self) = @_;
	$self->{json} = JSON::PP->new->canonical;
	$self->{wrong} = [];
	my $o;
	do
	{
		$o = $self->next_order;
		my @due = grep { !$o || $_->{left}-- <= 0 } @{ $self->{prepared} };
		for my $p (@due)
		{
			$self->{prepared} = [ grep { $_ != $p } @{ $self->{prepared} } ];
			$self->guarded($p->{order}, sub { $self->end_prepared($p) });
		}
		$self->guarded($o, sub { $self->drive($o) }) if $o;
	} while $o;
	return;
}

1;
