import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.concurrent.locks.ReentrantLock;

/**
 * Threads that queue for one lock: the auditor keeps it long, workers shortly. With the argument `monitor` it is a Java monitor, else a ReentrantLock. Each wait and each hold is in a book, and printed as JSON
 * is what comes of it: {"waited_ns": what workers waited, "for_auditor_ns": while the auditor had the lock}.
 */
public class Queues {
    static final long NANOS = 2_000_000_000L;
    static final int WORKERS = 5;
    static final ReentrantLock LOCK = new ReentrantLock();
    static final List<long[]> HOLDS = new ArrayList<>();
    static final List<long[]> WAITS = new ArrayList<>();

    public static void main(String[] arguments) throws Exception {
        boolean monitor = arguments.length > 0 && arguments[0].equals("monitor");
        long end = System.nanoTime() + NANOS;
        List<Thread> threads = new ArrayList<>();
        for (int number = 0; number <= WORKERS; number++) {
            boolean audits = number == 0;
            Thread thread = new Thread(() -> work(monitor, audits, end), audits ? "auditor" : "worker-" + number);
            thread.start();
            threads.add(thread);
        }
        for (Thread thread : threads) thread.join();
        long waited = 0, forAuditor = 0;
        for (long[] wait : WAITS) {
            waited += wait[1] - wait[0];
            for (long[] hold : HOLDS) forAuditor += Math.max(0, Math.min(wait[1], hold[1]) - Math.max(wait[0], hold[0]));
        }
        System.out.println("{\"waited_ns\":" + waited + ",\"for_auditor_ns\":" + forAuditor + "}");
    }

    static void work(boolean monitor, boolean audits, long end) {
        // Into its own book: another lock would be one more to queue for.
        List<long[]> holds = new ArrayList<>(), waits = new ArrayList<>();
        try {
            while (System.nanoTime() < end) {
                long wanted = System.nanoTime();
                long[] hold = locked(monitor, () -> hold(audits));
                holds.add(hold);
                waits.add(new long[] {wanted, hold[0]});
                Thread.sleep(audits ? 5 : 3);
            }
        } catch (Exception e) {
            throw new AssertionError(e);
        }
        synchronized (HOLDS) {
            if (audits) HOLDS.addAll(holds);
            else WAITS.addAll(waits);
        }
    }

    static long[] locked(boolean monitor, Callable<long[]> body) throws Exception {
        if (monitor) {
            synchronized (LOCK) {
                return body.call();
            }
        }
        LOCK.lock();
        try {
            return body.call();
        } finally {
            LOCK.unlock();
        }
    }

    static long[] hold(boolean audits) throws InterruptedException {
        long begin = System.nanoTime();
        Thread.sleep(audits ? 20 : 1);
        return new long[] {begin, System.nanoTime()};
    }
}
