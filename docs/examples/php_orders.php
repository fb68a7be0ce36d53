<?php
// An order and its payment with PHP's PDO: paid, declined, again after a serialization failure, submitted, refunded.
// Needs a database with pgw, and PGDATABASE and the like in the environment.
const TRIES = 5;

function one(PDO $db, string $sql, array $values): array
{
	$statement = $db->prepare($sql);
	$statement->execute($values);
	return $statement->fetch(PDO::FETCH_ASSOC);
}

// The order and its payment, or neither. The id comes from the order, before the first try: whatever happens, one charge at most.
function place_order(PDO $db, string $order, int $amount, string $token): array
{
	for ($attempt = 1; ; $attempt++) {
		try {
			$db->beginTransaction();
			$db->exec('SET TRANSACTION ISOLATION LEVEL SERIALIZABLE');
			$pay = one($db, "SELECT * FROM pgw.process_payment(?, ?, 'EUR', ?)", ["order-$order", $amount, $token]);
			if ($pay['status'] === 'captured')
				$db->prepare('INSERT INTO orders (id, amount, payment_id) VALUES (?, ?, ?)')->execute([$order, $amount, $pay['payment_id']]);
			$db->commit();
			return $pay;
		} catch (PDOException $e) {
			if ($db->inTransaction())
				$db->rollBack();
			if (!in_array($e->getCode(), ['40001', '40P01'], true) || $attempt === TRIES)
				throw $e;
		}
	}
}

function new_id(): string
{
	$hex = bin2hex(random_bytes(16));
	return preg_replace('/^(.{8})(.{4}).(.{3}).(.{3})(.{12})$/', '$1-$2-4$3-8$4-$5', $hex);
}

$db = new PDO('pgsql:host=' . getenv('PGHOST') . ';port=' . getenv('PGPORT') . ';dbname=' . getenv('PGDATABASE') . ';user=' . getenv('PGUSER'), null, null,
	[PDO::ATTR_ERRMODE => PDO::ERRMODE_EXCEPTION]);
$db->exec('CREATE TABLE IF NOT EXISTS orders (id uuid PRIMARY KEY, amount bigint NOT NULL, payment_id uuid REFERENCES pgw.payments (payment_id))');

$order = new_id();
$paid = place_order($db, $order, 4990, 'tok_ok');
print "order: {$paid['status']}\n";
// a web server that does not know whether it was heard asks again: the same payment, not a second one
print 'again: ' . json_encode(one($db, "SELECT replayed FROM pgw.process_payment(?, 4990, 'EUR', 'tok_ok')", ["order-$order"])['replayed']) . "\n";

$declined = place_order($db, new_id(), 4990, 'tok_decline_insufficient_funds');
print "declined: {$declined['error_code']} - tell the customer: " . json_decode($declined['details'])->customer_message_key . "\n";

// in a job: recorded with the order, sent after the commit
$late = one($db, "SELECT * FROM pgw.submit_payment(?, 1500, 'EUR', 'tok_ok')", ['order-' . new_id()]);
print "submitted: {$late['status']}\n";
print 'then: ' . one($db, 'SELECT * FROM pgw.wait_for_payment(?)', [$late['payment_id']])['status'] . "\n";

one($db, 'SELECT pgw.refund_payment(?, ?, 1000, ?)', [$paid['payment_id'], "return-$order", 'one piece came back']);
print 'refund: ' . one($db, 'SELECT * FROM pgw.wait_for_payment(?)', [$paid['payment_id']])['status'] . "\n";
