import java.io.InputStream;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.locks.LockSupport;

/**
 * Threads that wait long, each in a way of its own: platform threads, and with the argument `virtual` virtual ones. Each keeps its own book, of how often it has waited and how long that took, and
 * all of them are printed as JSON at the end: {"waits": {"name": {"count", "ns"}}}.
 */
public class LongWaits {
    static final int WAITS = 3;
    /** JDK 17 has who waits for a monitor look by itself, last after half a second: each stretch between counts as a wait of its own, of which the second one is as long. */
    static final long MILLIS = 1200;
    /** What is counted of these is every single stretch: there is to be one that is long. */
    static final long VIRTUAL_MILLIS = 600;
    static long millis = MILLIS;
    static final Map<String, String> BOOKS = new TreeMap<>();
    static final Object LOCK = new Object();
    static final Object CONDITION = new Object();

    interface Wait {
        void once(int number) throws Exception;
    }

    public static void main(String[] arguments) throws Exception {
        boolean virtual = arguments.length > 0 && arguments[0].equals("virtual");
        if (virtual) millis = VIRTUAL_MILLIS;
        List<Thread> threads = new ArrayList<>();
        threads.add(start("long-sleep", virtual, number -> inSleep()));
        threads.add(start("long-park", virtual, number -> inPark()));
        threads.add(start("long-wait", virtual, number -> inWait()));
        threads.add(start("long-monitor", virtual, number -> inMonitor()));
        if (virtual) threads.add(start("long-pinned", true, LongWaits::inInitialiser));
        else threads.add(start("long-read", false, number -> inRead()));
        for (Thread thread : threads) thread.join();
        System.out.println("{\"waits\":{" + String.join(",", BOOKS.values()) + "}}");
    }

    static Thread start(String name, boolean virtual, Wait wait) throws Exception {
        Runnable body = () -> {
            long sum = 0;
            try {
                for (int number = 0; number < WAITS; number++) {
                    long begin = System.nanoTime();
                    wait.once(number);
                    sum += System.nanoTime() - begin;
                }
            } catch (Exception e) {
                throw new AssertionError(e);
            }
            synchronized (BOOKS) {
                BOOKS.put(name, "\"" + name + "\":{\"count\":" + WAITS + ",\"ns\":" + sum + "}");
            }
        };
        if (!virtual) {
            Thread thread = new Thread(body, name);
            thread.start();
            return thread;
        }
        return startVirtual(name, body);
    }

    /** A virtual thread of this name, by a compiler that need not know of such threads. */
    static Thread startVirtual(String name, Runnable body) throws Exception {
        Object builder = Thread.class.getMethod("ofVirtual").invoke(null);
        Class<?> type = Class.forName("java.lang.Thread$Builder");
        builder = type.getMethod("name", String.class).invoke(builder, name);
        return (Thread) type.getMethod("start", Runnable.class).invoke(builder, body);
    }

    static void inSleep() throws Exception {
        Thread.sleep(millis);
    }

    static void inPark() {
        long end = System.nanoTime() + millis * 1_000_000;
        for (long left = millis * 1_000_000; left > 0; left = end - System.nanoTime()) LockSupport.parkNanos(LOCK, left);
    }

    static void inWait() throws Exception {
        synchronized (CONDITION) {
            CONDITION.wait(millis);
        }
    }

    /** Somebody else, a platform thread, has the monitor. */
    static void inMonitor() throws Exception {
        CountDownLatch isHeld = new CountDownLatch(1);
        Thread holder = new Thread(() -> {
            synchronized (LOCK) {
                isHeld.countDown();
                try { Thread.sleep(millis); } catch (InterruptedException e) { throw new AssertionError(e); }
            }
        }, "holder");
        holder.start();
        isHeld.await();
        synchronized (LOCK) { }
        holder.join();
    }

    static void inRead() throws Exception {
        try (ServerSocket server = new ServerSocket(0, 1, InetAddress.getLoopbackAddress());
             Socket client = new Socket(server.getInetAddress(), server.getLocalPort());
             Socket peer = server.accept()) {
            InputStream input = client.getInputStream();
            Thread writer = new Thread(() -> {
                try {
                    Thread.sleep(millis);
                    peer.getOutputStream().write(1);
                } catch (Exception e) {
                    throw new AssertionError(e);
                }
            }, "writer");
            writer.start();
            input.read();
            writer.join();
        }
    }

    /** A class's initialiser runs within the JVM's own code, which a virtual thread cannot leave. */
    static void inInitialiser(int number) throws Exception {
        Class.forName("LongWaits$Initialised" + number);
    }

    static class Initialised0 { static { sleepIn(); } }
    static class Initialised1 { static { sleepIn(); } }
    static class Initialised2 { static { sleepIn(); } }

    static void sleepIn() {
        try { inSleep(); } catch (Exception e) { throw new AssertionError(e); }
    }
}
