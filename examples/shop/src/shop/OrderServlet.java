package shop;

import jakarta.servlet.ServletException;
import jakarta.servlet.annotation.WebServlet;
import jakarta.servlet.http.HttpServlet;
import jakarta.servlet.http.HttpServletRequest;
import jakarta.servlet.http.HttpServletResponse;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.concurrent.atomic.AtomicLong;

/** {@code GET order?rounds=N&audit=on}: prices an order (CPU), takes it from the stock (lock), has it paid (socket), audits it. */
@WebServlet("/order")
public final class OrderServlet extends HttpServlet {
    private static final long serialVersionUID = 1;
    private static final int DEFAULT_ROUNDS = 200_000;

    private final transient Inventory inventory = new Inventory();
    private final transient AuditLog audit = new AuditLog();
    private final AtomicLong orders = new AtomicLong();
    private transient Bank bank;
    private transient ThreadLocal<Bank.Client> client;

    @Override
    public void init() throws ServletException {
        try {
            bank = new Bank();
        } catch (IOException cause) {
            throw new ServletException("the bank does not open", cause);
        }
        client = ThreadLocal.withInitial(this::connect);
    }

    @Override
    public void destroy() {
        try {
            bank.close();
        } catch (IOException ignored) {
            // Nothing is left to do for a server that goes down.
        }
    }

    @Override
    protected void doGet(HttpServletRequest request, HttpServletResponse response) throws IOException {
        long order = orders.incrementAndGet();
        long price = Pricing.price(order, rounds(request));
        boolean taken = inventory.take((int) order, 1);
        long receipt = client.get().pay(price);
        if ("on".equals(request.getParameter("audit"))) {
            audited(order);
        }
        response.setContentType("text/plain");
        response.getWriter().println("order " + order + (taken ? " taken" : " refused") + ", receipt " + receipt);
    }

    private void audited(long order) {
        try {
            audit.write(order);
        } catch (InterruptedException stop) {
            Thread.currentThread().interrupt();
        }
    }

    private static int rounds(HttpServletRequest request) {
        String rounds = request.getParameter("rounds");
        return rounds == null ? DEFAULT_ROUNDS : Math.min(Integer.parseInt(rounds), 100_000_000);
    }

    private Bank.Client connect() {
        try {
            return bank.connect();
        } catch (IOException cause) {
            throw new UncheckedIOException(cause);
        }
    }
}
