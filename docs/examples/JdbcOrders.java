// An order and its payment with JDBC: paid, declined, again after a serialization failure, submitted, refunded.
// Needs a database with pgw, and PGHOST, PGPORT, PGDATABASE, PGUSER in the environment; run it with
//     java -cp /usr/share/java/postgresql.jar docs/examples/JdbcOrders.java
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.ResultSetMetaData;
import java.sql.SQLException;
import java.util.HashMap;
import java.util.Map;
import java.util.Set;
import java.util.UUID;

public class JdbcOrders {
    static final int TRIES = 5;
    static final Set<String> AGAIN = Set.of("40001", "40P01");

    static Map<String, Object> one(Connection db, String sql, Object... values) throws SQLException {
        try (PreparedStatement s = db.prepareStatement(sql)) {
            for (int i = 0; i < values.length; i++)
                s.setObject(i + 1, values[i]);
            try (ResultSet rows = s.executeQuery()) {
                Map<String, Object> row = new HashMap<>();
                ResultSetMetaData columns = rows.getMetaData();
                rows.next();
                for (int i = 1; i <= columns.getColumnCount(); i++)
                    row.put(columns.getColumnName(i), rows.getObject(i));
                return row;
            }
        }
    }

    // The order and its payment, or neither. The id comes from the order, before the first try: whatever happens, one charge at most.
    static Map<String, Object> placeOrder(Connection db, UUID order, long amount, String token) throws SQLException {
        for (int attempt = 1; ; attempt++) {
            db.setAutoCommit(false);
            db.setTransactionIsolation(Connection.TRANSACTION_SERIALIZABLE);
            try {
                Map<String, Object> pay = one(db, "SELECT * FROM pgw.process_payment(?, ?, 'EUR', ?)", "order-" + order, amount, token);
                if ("captured".equals(pay.get("status")))
                    try (PreparedStatement s = db.prepareStatement("INSERT INTO orders (id, amount, payment_id) VALUES (?, ?, ?)")) {
                        s.setObject(1, order);
                        s.setLong(2, amount);
                        s.setObject(3, pay.get("payment_id"));
                        s.executeUpdate();
                    }
                db.commit();
                return pay;
            } catch (SQLException e) {
                db.rollback();
                if (!AGAIN.contains(e.getSQLState()) || attempt == TRIES)
                    throw e;
            } finally {
                db.setAutoCommit(true);
            }
        }
    }

    public static void main(String[] args) throws SQLException {
        Map<String, String> env = System.getenv();
        String url = "jdbc:postgresql://" + env.get("PGHOST") + ":" + env.get("PGPORT") + "/" + env.get("PGDATABASE") + "?user=" + env.get("PGUSER");
        try (Connection db = DriverManager.getConnection(url)) {
            db.createStatement().execute("CREATE TABLE IF NOT EXISTS orders (id uuid PRIMARY KEY, amount bigint NOT NULL, payment_id uuid REFERENCES pgw.payments (payment_id))");

            UUID order = UUID.randomUUID();
            Map<String, Object> paid = placeOrder(db, order, 4990, "tok_ok");
            System.out.println("order: " + paid.get("status"));
            // a web server that does not know whether it was heard asks again: the same payment, not a second one
            System.out.println("again: " + one(db, "SELECT replayed FROM pgw.process_payment(?, 4990, 'EUR', 'tok_ok')", "order-" + order).get("replayed"));

            Map<String, Object> declined = placeOrder(db, UUID.randomUUID(), 4990, "tok_decline_insufficient_funds");
            // JDBC has no JSON: let the server take it apart
            Object key = one(db, "SELECT ?::jsonb ->> 'customer_message_key' AS key", declined.get("details").toString()).get("key");
            System.out.println("declined: " + declined.get("error_code") + " - tell the customer: " + key);

            // in a job: recorded with the order, sent after the commit
            Map<String, Object> late = one(db, "SELECT * FROM pgw.submit_payment(?, 1500, 'EUR', 'tok_ok')", "order-" + UUID.randomUUID());
            System.out.println("submitted: " + late.get("status"));
            System.out.println("then: " + one(db, "SELECT * FROM pgw.wait_for_payment(?)", late.get("payment_id")).get("status"));

            one(db, "SELECT pgw.refund_payment(?, ?, 1000, ?)", paid.get("payment_id"), "return-" + order, "one piece came back");
            System.out.println("refund: " + one(db, "SELECT * FROM pgw.wait_for_payment(?)", paid.get("payment_id")).get("status"));
        }
    }
}
