import java.io.InputStream;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Executors;
import java.util.concurrent.locks.LockSupport;

/** Threads that wait long, each in its own way, until the next round; and some that wait for nothing, or whom nobody asked about. */
class Waits {
    static final Object LOCK = new Object();
    static final Object MONITOR = new Object();
    static final List<Thread> THREADS = new ArrayList<>();
    static Socket peer;
    static volatile int round;
    static volatile boolean held;
    static volatile int entered;
    static volatile long sink;

    interface Wait {
        void once() throws Exception;
    }

    /** Begins, or has all of them go on to their next wait. */
    static String next() throws Exception {
        if (THREADS.isEmpty()) begin();
        synchronized (LOCK) {
            round++;
            LOCK.notifyAll();
        }
        for (Thread thread : THREADS) {
            LockSupport.unpark(thread);
            if (thread.getName().endsWith("-sleep")) thread.interrupt();
        }
        peer.getOutputStream().write(1);
        while (entered != round) Thread.onSpinWait();
        return "round=" + round;
    }

    static void begin() throws Exception {
        ServerSocket server = new ServerSocket(0, 1, InetAddress.getLoopbackAddress());
        InputStream input = new Socket(server.getInetAddress(), server.getLocalPort()).getInputStream();
        peer = server.accept();
        start("holder", Waits::hold);
        while (!held) Thread.onSpinWait();
        start("long-park", Waits::inPark);
        start("long-sleep", Waits::inSleep);
        start("long-wait", Waits::inWait);
        start("long-monitor", Waits::inMonitor);
        start("long-read", () -> inRead(input));
        start("long-busy", () -> { sink++; });
        start("other-sleep", Waits::inSleep);
        Executors.newFixedThreadPool(1, body -> daemon("long-idle", body)).submit(() -> { sink++; }).get();
    }

    /** A virtual thread that waits for good. By reflection: JDK 17 has none. */
    static String virtual() throws Exception {
        Object builder = Thread.class.getMethod("ofVirtual").invoke(null);
        Class<?> type = Class.forName("java.lang.Thread$Builder");
        type.getMethod("name", String.class).invoke(builder, "long-virtual");
        Runnable body = () -> {
            while (true) LockSupport.park(LOCK);
        };
        type.getMethod("start", Runnable.class).invoke(builder, body);
        return "";
    }

    static void hold() {
        synchronized (MONITOR) {
            held = true;
            inPark();
            held = false;
        }
        while (entered != round) Thread.onSpinWait();
    }

    static void inMonitor() {
        while (!held) Thread.onSpinWait();
        synchronized (MONITOR) { entered = round; }
    }

    static void inPark() {
        for (int before = round; before == round; ) LockSupport.park(LOCK);
    }

    static void inSleep() {
        try { Thread.sleep(1_000_000); } catch (InterruptedException expected) { }
    }

    static void inWait() throws Exception {
        synchronized (LOCK) {
            for (int before = round; before == round; ) LOCK.wait();
        }
    }

    static void inRead(InputStream input) throws Exception {
        input.read();
    }

    static Thread daemon(String name, Runnable body) {
        Thread thread = new Thread(body, name);
        thread.setDaemon(true);
        return thread;
    }

    static void start(String name, Wait wait) {
        Thread thread = daemon(name, () -> {
            try {
                while (true) wait.once();
            } catch (Exception e) {
                throw new AssertionError(e);
            }
        });
        THREADS.add(thread);
        thread.start();
    }
}
