import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.atomic.AtomicLong;

/**
 * Calls that the program counts by itself: several threads, recursion, exceptions thrown through several frames. With the argument
 * "wait" it waits for a line on its standard input before it works and again before it ends, so that one can attach in between.
 */
public final class Calls {
    private static final int THREADS = 4;
    private static final int ROUNDS = 500;
    private static final int DEPTH = 12;

    private static final AtomicLong LEAF = new AtomicLong();
    private static final AtomicLong RECURSIVE = new AtomicLong();
    private static final AtomicLong THROWING = new AtomicLong();
    private static final AtomicLong THROUGH = new AtomicLong();
    private static final AtomicLong CONSTRUCTED = new AtomicLong();

    private Calls() {}

    public static void main(String[] arguments) throws Exception {
        boolean wait = arguments.length > 0 && arguments[0].equals("wait");
        if (wait) {
            awaitLine("ready");
        }
        List<Thread> threads = new ArrayList<>();
        for (int number = 0; number < THREADS; number++) {
            Thread thread = new Thread(Calls::work, "caller-" + number);
            thread.start();
            threads.add(thread);
        }
        for (Thread thread : threads) {
            thread.join();
        }
        System.out.println(counts());
        if (wait) {
            awaitLine("done");
        }
    }

    private static void awaitLine(String word) throws Exception {
        System.out.println(word);
        System.in.read();
    }

    private static void work() {
        for (int round = 0; round < ROUNDS; round++) {
            leaf(round);
            recursive(DEPTH);
            try {
                through(round);
            } catch (IllegalStateException expected) {
                // Thrown through two frames.
            }
            new Made(round);
        }
    }

    static int leaf(int value) {
        LEAF.incrementAndGet();
        return value * 31;
    }

    static int recursive(int depth) {
        RECURSIVE.incrementAndGet();
        return depth == 0 ? 0 : 1 + recursive(depth - 1);
    }

    static void through(int value) {
        THROUGH.incrementAndGet();
        throwing(value);
    }

    static void throwing(int value) {
        THROWING.incrementAndGet();
        if (value % 3 == 0) {
            throw new IllegalStateException("every third");
        }
    }

    static final class Made {
        final int value;

        Made(int value) {
            CONSTRUCTED.incrementAndGet();
            this.value = value;
        }
    }

    private static String counts() {
        Map<String, AtomicLong> counted = new TreeMap<>();
        counted.put("Calls.leaf", LEAF);
        counted.put("Calls.recursive", RECURSIVE);
        counted.put("Calls.through", THROUGH);
        counted.put("Calls.throwing", THROWING);
        counted.put("Calls$Made.<init>", CONSTRUCTED);
        StringBuilder json = new StringBuilder("{\"calls\": {");
        String separator = "";
        for (Map.Entry<String, AtomicLong> entry : counted.entrySet()) {
            json.append(separator).append('"').append(entry.getKey()).append("\": ").append(entry.getValue());
            separator = ", ";
        }
        return json.append("}}").toString();
    }
}
