/**
 * An order that does not come to its end: a thread waits for a monitor that its holder gives back when a line comes in. Prints "ready" when it waits, and "done" when it had it.
 */
public class Hangs {
    static final Object LOCK = new Object();

    public static void main(String[] arguments) throws Exception {
        Thread customer = new Thread(Hangs::order, "customer");
        System.out.println("begin");
        System.in.read();
        synchronized (LOCK) {
            customer.start();
            while (customer.getState() != Thread.State.BLOCKED) Thread.sleep(1);
            System.out.println("ready");
            System.in.read();
        }
        customer.join();
        System.out.println("done");
    }

    static void order() {
        synchronized (LOCK) { }
    }
}
