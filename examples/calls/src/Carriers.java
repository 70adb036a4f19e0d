import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.locks.LockSupport;

/**
 * Virtual threads that may go on while others keep both carriers: such that parked, such that slept and are interrupted, and new ones. To be run with
 * -Djdk.virtualThreadScheduler.parallelism=2 and maxPoolSize=2. Each keeps its own book, of how long it has waited for something and how long for a carrier after that, and all of them are printed as
 * JSON at the end: {"name": {"waited_ns", "ready_ns"}}.
 */
public class Carriers {
    static final int CARRIERS = 2, EACH = 3;
    static final Map<String, String> BOOKS = new TreeMap<>();
    static final Object BLOCKER = new Object();
    static volatile boolean isOver;

    public static void main(String[] arguments) throws Exception {
        long[] mayGoOn = new long[EACH];
        CountDownLatch waiting = new CountDownLatch(2 * EACH);
        List<Thread> parked = new ArrayList<>(), sleeping = new ArrayList<>(), all = new ArrayList<>();
        for (int number = 0; number < EACH; number++) {
            int own = number;
            parked.add(LongWaits.startVirtual("parked-" + number, () -> waits("parked-" + own, waiting, mayGoOn, own)));
            sleeping.add(LongWaits.startVirtual("sleeping-" + number, () -> waits("sleeping-" + own, waiting, mayGoOn, own)));
        }
        waiting.await();
        AtomicInteger hogs = new AtomicInteger();
        for (int number = 0; number < CARRIERS; number++) all.add(LongWaits.startVirtual("hog-" + number, () -> hog(hogs)));
        // Whoever was about to wait has left its carrier by then.
        while (hogs.get() < CARRIERS) Thread.sleep(1);
        Thread.sleep(200);
        for (int number = 0; number < EACH; number++) {
            mayGoOn[number] = System.nanoTime();
            LockSupport.unpark(parked.get(number));
            sleeping.get(number).interrupt();
            String name = "new-" + number;
            long started = mayGoOn[number];
            all.add(LongWaits.startVirtual(name, () -> book(name, 0, System.nanoTime() - started)));
        }
        Thread.sleep(400);
        isOver = true;
        all.addAll(parked);
        all.addAll(sleeping);
        for (Thread thread : all) thread.join();
        List<String> fields = new ArrayList<>();
        BOOKS.forEach((name, book) -> fields.add("\"" + name + "\":" + book));
        System.out.println("{" + String.join(",", fields) + "}");
    }

    static void waits(String name, CountDownLatch waiting, long[] mayGoOn, int number) {
        waiting.countDown();
        long begin = System.nanoTime();
        if (name.startsWith("parked")) {
            while (mayGoOn[number] == 0) LockSupport.park(BLOCKER);
        } else {
            try {
                Thread.sleep(60_000);
                throw new AssertionError("nobody has interrupted it");
            } catch (InterruptedException e) {
                // As it should be.
            }
        }
        long end = System.nanoTime();
        book(name, mayGoOn[number] - begin, end - mayGoOn[number]);
    }

    static void hog(AtomicInteger hogs) {
        hogs.incrementAndGet();
        while (!isOver) Thread.onSpinWait();
    }

    static synchronized void book(String name, long waitedNs, long readyNs) {
        BOOKS.put(name, "{\"waited_ns\":" + waitedNs + ",\"ready_ns\":" + readyNs + "}");
    }
}
