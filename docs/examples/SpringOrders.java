// An order and its payment with Spring's JdbcTemplate and TransactionTemplate: paid, declined, again after a serialization failure, submitted, refunded.
// Needs a database with pgw, and PGHOST, PGPORT, PGDATABASE, PGUSER in the environment. The method of a service with
// @Transactional(propagation = REQUIRES_NEW, isolation = SERIALIZABLE) is the same; the loop has to be outside of it.
import java.util.Map;
import java.util.UUID;
import org.postgresql.ds.PGSimpleDataSource;
import org.springframework.dao.ConcurrencyFailureException;
import org.springframework.jdbc.core.JdbcTemplate;
import org.springframework.jdbc.datasource.DataSourceTransactionManager;
import org.springframework.transaction.TransactionDefinition;
import org.springframework.transaction.support.TransactionTemplate;

public class SpringOrders {
    static final int TRIES = 5;
    static JdbcTemplate db;
    static TransactionTemplate own;

    // The order and its payment, or neither. The id comes from the order, before the first try: whatever happens, one charge at most.
    static Map<String, Object> placeOrder(UUID order, long amount, String token) {
        for (int attempt = 1; ; attempt++) {
            try {
                return own.execute(transaction -> {
                    Map<String, Object> pay = db.queryForMap("SELECT *, details ->> 'customer_message_key' AS message FROM pgw.process_payment(?, ?, 'EUR', ?)",
                        "order-" + order, amount, token);
                    if ("captured".equals(pay.get("status")))
                        db.update("INSERT INTO orders (id, amount, payment_id) VALUES (?, ?, ?)", order, amount, pay.get("payment_id"));
                    return pay;
                });
            } catch (ConcurrencyFailureException e) {    // 40001 and 40P01, in Spring's words
                if (attempt == TRIES)
                    throw e;
            }
        }
    }

    public static void main(String[] args) {
        Map<String, String> env = System.getenv();
        PGSimpleDataSource source = new PGSimpleDataSource();
        source.setServerNames(new String[] {env.get("PGHOST")});
        source.setPortNumbers(new int[] {Integer.parseInt(env.get("PGPORT"))});
        source.setDatabaseName(env.get("PGDATABASE"));
        source.setUser(env.get("PGUSER"));
        db = new JdbcTemplate(source);
        own = new TransactionTemplate(new DataSourceTransactionManager(source));
        own.setIsolationLevel(TransactionDefinition.ISOLATION_SERIALIZABLE);
        // a transaction of its own, whatever the caller is in: what the caller does later cannot give the charge back
        own.setPropagationBehavior(TransactionDefinition.PROPAGATION_REQUIRES_NEW);
        db.execute("CREATE TABLE IF NOT EXISTS orders (id uuid PRIMARY KEY, amount bigint NOT NULL, payment_id uuid REFERENCES pgw.payments (payment_id))");

        UUID order = UUID.randomUUID();
        Map<String, Object> paid = placeOrder(order, 4990, "tok_ok");
        System.out.println("order: " + paid.get("status"));
        // a web server that does not know whether it was heard asks again: the same payment, not a second one
        System.out.println("again: " + db.queryForObject("SELECT replayed FROM pgw.process_payment(?, 4990, 'EUR', 'tok_ok')", Boolean.class, "order-" + order));

        Map<String, Object> declined = placeOrder(UUID.randomUUID(), 4990, "tok_decline_insufficient_funds");
        System.out.println("declined: " + declined.get("error_code") + " - tell the customer: " + declined.get("message"));

        // in a job: recorded with the order, sent after the commit
        Map<String, Object> late = db.queryForMap("SELECT * FROM pgw.submit_payment(?, 1500, 'EUR', 'tok_ok')", "order-" + UUID.randomUUID());
        System.out.println("submitted: " + late.get("status"));
        System.out.println("then: " + db.queryForMap("SELECT * FROM pgw.wait_for_payment(?)", late.get("payment_id")).get("status"));

        db.queryForMap("SELECT pgw.refund_payment(?, ?, 1000, ?)", paid.get("payment_id"), "return-" + order, "one piece came back");
        System.out.println("refund: " + db.queryForMap("SELECT * FROM pgw.wait_for_payment(?)", paid.get("payment_id")).get("status"));
    }
}
