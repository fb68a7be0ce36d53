// The cases of make check-clients with JDBC; argument "simple": with preferQueryMode=simple, which writes the parameters into the statement.
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.util.Arrays;
import java.util.Map;
import java.util.LinkedHashMap;
import java.util.stream.Collectors;
import org.postgresql.PGConnection;
import org.postgresql.PGNotification;
import org.postgresql.util.PSQLException;

public class JdbcCases {
    static final Map<String, String> ENV = System.getenv();
    static final String RUN = ENV.get("RUN");
    static final String CARD = "4242".repeat(4);
    static final String PAY = "SELECT * FROM pgw.process_payment(?, ?, ?, ?)";
    static final String WITH_CARD = "SELECT * FROM pgw.process_payment(?, 4990, 'EUR', card_number => ?, card_expiry_month => 12, card_expiry_year => 2039, card_cvv => ?)";
    static final String[] TYPES = {"payment_id", "status", "amount", "details", "created_at", "replayed"};
    static String mode = "extended";

    interface Case { String run(Connection c) throws SQLException; }

    // server-side prepared statements do not outlive a transaction behind a pooler
    static Connection connected() throws SQLException {
        return DriverManager.getConnection("jdbc:postgresql://127.0.0.1:" + ENV.get("PGPORT") + "/" + ENV.get("PGDATABASE") + "?user=" + ENV.get("PGUSER")
            + "&prepareThreshold=0&preferQueryMode=" + mode);
    }

    // The columns of the one row, as objects.
    static Object[] row(Connection c, String sql, String[] columns, Object... values) throws SQLException {
        try (PreparedStatement s = c.prepareStatement(sql)) {
            for (int i = 0; i < values.length; i++)
                s.setObject(i + 1, values[i]);
            try (ResultSet r = s.executeQuery()) {
                r.next();
                Object[] row = new Object[columns.length];
                for (int i = 0; i < columns.length; i++)
                    row[i] = r.getObject(columns[i]);
                return row;
            }
        }
    }

    static Object value(Connection c, String sql, String column, Object... values) throws SQLException {
        return row(c, sql, new String[] {column}, values)[0];
    }

    static Object[] pay(Connection c, String name, String token, String... columns) throws SQLException {
        return row(c, PAY, columns, RUN + "-" + name, 4990, "EUR", token);
    }

    static void take(Connection c) throws SQLException {
        try (PreparedStatement s = c.prepareStatement("UPDATE stock SET n = n - 1 WHERE run = ?")) {
            s.setString(1, RUN);
            s.executeUpdate();
        }
    }

    static String serialization(Connection c) throws SQLException {
        try (Connection other = connected()) {
            for (int attempt = 1; ; attempt++) {
                try {
                    c.setAutoCommit(false);
                    c.createStatement().execute("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE");
                    value(c, "SELECT n FROM stock WHERE run = ?", "n", RUN);
                    Object status = pay(c, "40001", "tok_ok", "status")[0];
                    if (attempt == 1)
                        take(other);
                    take(c);
                    c.commit();
                    return status + " at " + attempt;
                } catch (SQLException e) {
                    if (!"40001".equals(e.getSQLState()) || attempt == 3)
                        throw e;
                    c.rollback();
                }
            }
        }
    }

    // As listeners do, it waits without a statement of its own; another connection pays.
    static String notify(Connection c) throws SQLException {
        c.createStatement().execute("LISTEN pgw_payments");
        String id;
        try (Connection other = connected()) {
            Object payment = value(other, "SELECT * FROM pgw.submit_payment(?, ?, ?, ?)", "payment_id", RUN + "-notify", 4990, "EUR", "tok_ok");
            value(other, "SELECT * FROM pgw.wait_for_payment(?)", "status", payment);
            id = payment.toString();
        }
        while (true) {
            PGNotification[] heard = c.unwrap(PGConnection.class).getNotifications(1000 * Integer.parseInt(ENV.get("LISTEN_SECONDS")));
            if (heard == null || heard.length == 0)
                return "lost";
            if (Arrays.stream(heard).anyMatch(n -> n.getParameter().contains(id)))
                return "heard";
        }
    }

    static String refund(Connection c) throws SQLException {
        Object id = pay(c, "refund", "tok_ok", "payment_id")[0];
        value(c, "SELECT status FROM pgw.refund_payment(?, ?)", "status", id, RUN + "-back");
        return (String) value(c, "SELECT * FROM pgw.wait_for_payment(?)", "status", id);
    }

    static String error(SQLException e) {
        String state = e.getSQLState();
        if (!state.startsWith("PW"))
            return state;
        String detail = ((PSQLException) e).getServerErrorMessage().getDetail();
        return state + (detail != null && (detail.startsWith("[") || detail.startsWith("{")) ? " DETAIL" : " no DETAIL");
    }

    public static void main(String[] args) throws SQLException {
        if (args.length > 0)
            mode = args[0];
        Map<String, Case> cases = new LinkedHashMap<>();
        cases.put("token", c -> (String) pay(c, "token", "tok_ok", "status")[0]);
        cases.put("card_bound", c -> (String) value(c, WITH_CARD, "status", RUN + "-card", CARD, "123"));
        cases.put("card_interpolated", c -> {
            String sql = String.format(WITH_CARD.replace("?", "'%s'"), RUN + "-literal", CARD, "123");
            return (String) value(c, sql, "status");
        });
        cases.put("decline_row", c -> Arrays.stream(pay(c, "no", "tok_decline_insufficient_funds", "status", "error_code")).map(Object::toString).collect(Collectors.joining(" ")));
        cases.put("decline_raise", c -> (String) value(c, PAY.substring(0, PAY.length() - 1) + ", on_failure => 'raise')", "status", RUN + "-raise", 4990, "EUR", "tok_decline_do_not_honor"));
        cases.put("pw400", c -> (String) value(c, PAY, "status", RUN + "-bad", 0, "EUR", "tok_ok"));
        cases.put("serialization", JdbcCases::serialization);
        cases.put("notify", JdbcCases::notify);
        cases.put("refund", JdbcCases::refund);
        cases.put("types", c -> Arrays.stream(pay(c, "token", "tok_ok", TYPES)).map(v -> v.getClass().getSimpleName()).collect(Collectors.joining(" ")));
        for (Map.Entry<String, Case> each : cases.entrySet()) {
            String result;
            try (Connection c = connected()) {
                try {
                    result = each.getValue().run(c);
                } catch (SQLException e) {
                    result = error(e);
                }
            }
            System.out.println(each.getKey() + "\t" + result);
        }
    }
}
