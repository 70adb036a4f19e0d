import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CountDownLatch;

/** Does what it is told, a command a line, and says "done" with what it counted: the agent's tests hold records to that. */
public class Subject {
    static final Contended LOCK = new Contended();
    static volatile long sink;
    static volatile Object garbage;

    public static void main(String[] arguments) throws Exception {
        BufferedReader commands = new BufferedReader(new InputStreamReader(System.in));
        Thread idle = new Thread(Subject::idle, "a-thread-with-a-long-name-of-its-own");
        idle.setDaemon(true);
        idle.setPriority(7);
        idle.start();
        System.out.println("ready");
        for (String line = commands.readLine(); line != null && !line.equals("quit"); line = commands.readLine()) {
            String[] words = line.split(" ");
            System.out.println("done " + obey(words[0], words.length > 1 ? Integer.parseInt(words[1]) : 0));
        }
    }

    static String obey(String command, int count) throws Exception {
        switch (command) {
            case "work": return work(count);
            case "lock": return lock(count);
            case "wait": return waitAndNotify(count);
            case "gc": return gc(count);
            case "rename": return rename(count);
            case "load": return String.valueOf(Late.call(count));
            case "virtual": return virtual(count);
            case "park": return park(count);
            case "sleep": return sleep(count);
            case "pool": return pool(count);
            case "kin": return kin(count);
            case "timed": return timed(count);
            case "timedvirtual": return timedVirtual(count);
            case "spin": return spin(count);
            case "throw": return Counted.exceptions(count);
            case "allocate": return Counted.allocate(count);
            case "overflow": return Counted.overflow(count);
            case "keys": return Keyed.calls(count);
            case "fresh": return Fresh.load(count);
            case "callfresh": return Fresh.call();
            case "twins": return count == 0 ? Twins.loadFirst() : count == 1 ? Twins.begin() : Twins.finish();
            case "calltwin": return Twins.call(count == 1 ? Twins.first : Twins.second);
            case "unlinkable": return Unlinkable.load();
            case "waits": return Waits.next();
            case "virtualwait": return Waits.virtual();
            case "virtualname": return count == 1 ? Named.older() : Named.rename();
            case "broken": return Broken.load(count);
            case "manykeys": return Keyed.many(count);
            default: throw new IllegalArgumentException(command);
        }
    }

    /** Four threads; each calls `step` count times, of which every third is left by an exception, through `outer`. */
    static String work(int count) throws Exception {
        Thread[] threads = new Thread[4];
        long[] thrown = new long[threads.length];
        for (int i = 0; i < threads.length; i++) {
            int index = i;
            threads[i] = new Thread(() -> thrown[index] = calls(count), "worker-" + i);
            threads[i].start();
        }
        long sum = 0;
        for (int i = 0; i < threads.length; i++) {
            threads[i].join();
            sum += thrown[i];
        }
        return "calls=" + (long) count * threads.length + " thrown=" + sum;
    }

    static long calls(int count) {
        long thrown = 0;
        for (int i = 0; i < count; i++) {
            try {
                sink += Probed.outer(i);
            } catch (IllegalStateException expected) {
                thrown++;
            }
        }
        return thrown;
    }

    /** One thread holds the lock until `count` others are about to enter it. */
    static String lock(int count) throws Exception {
        List<Thread> threads = new ArrayList<>();
        synchronized (LOCK) {
            for (int i = 0; i < count; i++) {
                Thread thread = new Thread(() -> { synchronized (LOCK) { sink++; } }, "wants-lock-" + i);
                thread.start();
                threads.add(thread);
            }
            for (Thread thread : threads) {
                while (thread.getState() != Thread.State.BLOCKED) Thread.onSpinWait();
            }
        }
        for (Thread thread : threads) thread.join();
        return "contended=" + count;
    }

    static String waitAndNotify(int count) throws Exception {
        for (int i = 0; i < count; i++) {
            Object monitor = new Object();
            Thread waiter = new Thread(() -> {
                synchronized (monitor) {
                    try { monitor.wait(); } catch (InterruptedException e) { throw new AssertionError(e); }
                }
            }, "waiter-" + i);
            waiter.start();
            while (waiter.getState() != Thread.State.WAITING) Thread.onSpinWait();
            synchronized (monitor) { monitor.notify(); }
            waiter.join();
        }
        return "waits=" + count;
    }

    static String gc(int count) {
        for (int i = 0; i < count; i++) {
            garbage = new byte[1 << 20];
            System.gc();
        }
        return "collections=" + count;
    }

    /** A thread gets another name: by itself where the number is odd, else by us. */
    static String rename(int count) throws Exception {
        boolean byItself = count % 2 == 1;
        CountDownLatch named = new CountDownLatch(1);
        CountDownLatch end = new CountDownLatch(1);
        Thread thread = new Thread(() -> {
            if (byItself) Thread.currentThread().setName("renamed-to-" + count);
            named.countDown();
            try { end.await(); } catch (InterruptedException e) { throw new AssertionError(e); }
        }, "not-yet-renamed");
        thread.setDaemon(true);
        thread.start();
        named.await();
        if (!byItself) thread.setName("renamed-to-" + count);
        return "renamed";
    }

    /** As `work`, in a hundred virtual threads; each waits for a lock and sleeps between its calls. By reflection: JDK 17 has none. */
    static String virtual(int count) throws Exception {
        java.lang.reflect.Method start = Thread.class.getMethod("startVirtualThread", Runnable.class);
        List<Thread> threads = new ArrayList<>();
        Runnable body = () -> {
            for (int i = 0; i < count; i++) {
                calls(1);
                synchronized (LOCK) { sink++; }
                try { Thread.sleep(1); } catch (InterruptedException e) { throw new AssertionError(e); }
            }
        };
        for (int i = 0; i < 100; i++) threads.add((Thread) start.invoke(null, body));
        for (Thread thread : threads) thread.join();
        return "calls=" + count * 100;
    }

    /** Another thread parks `count` times: for a blocker, and, every second time, for the one that it has set itself. */
    static String park(int count) throws Exception {
        Thread thread = new Thread(() -> {
            for (int i = 0; i < count; i++) java.util.concurrent.locks.LockSupport.parkNanos(LOCK, 100_000);
        }, "parker");
        thread.start();
        thread.join();
        java.util.concurrent.ArrayBlockingQueue<Integer> queue = new java.util.concurrent.ArrayBlockingQueue<>(1);
        Thread taker = new Thread(() -> {
            try { for (int i = 0; i < count; i++) sink += queue.take(); } catch (InterruptedException e) { throw new AssertionError(e); }
        }, "taker");
        taker.start();
        for (int i = 0; i < count; i++) {
            while (taker.getState() != Thread.State.WAITING) Thread.onSpinWait();
            queue.put(i);
            while (!queue.isEmpty()) Thread.onSpinWait();
        }
        taker.join();
        return "parks=" + count;
    }

    /** The last one is ended by an interrupt. */
    static String sleep(int count) throws Exception {
        for (int i = 0; i < count; i++) {
            if (i == count - 1) Thread.currentThread().interrupt();
            try { Thread.sleep(1); } catch (InterruptedException expected) { sink++; }
        }
        return "sleeps=" + count;
    }

    /** A pool of one worker does `count` jobs. */
    static String pool(int count) throws Exception {
        java.util.concurrent.ExecutorService pool = java.util.concurrent.Executors.newFixedThreadPool(1);
        for (int i = 0; i < count; i++) pool.submit(() -> { sink++; }).get();
        pool.shutdown();
        if (!pool.awaitTermination(10, java.util.concurrent.TimeUnit.SECONDS)) throw new AssertionError("a worker stays");
        return "jobs=" + count;
    }

    /** Calls of which two last long; one of them is left by an exception. */
    static String timed(int count) {
        for (int i = 0; i < count; i++) {
            try { sink += Timed.outer(i); } catch (IllegalStateException expected) { sink++; }
        }
        return "calls=" + count;
    }

    /** As `timed`, at once in as many virtual threads, each of which leaves its carrier within its calls. */
    static String timedVirtual(int count) throws Exception {
        java.lang.reflect.Method start = Thread.class.getMethod("startVirtualThread", Runnable.class);
        List<Thread> threads = new ArrayList<>();
        for (int i = 0; i < count; i++) threads.add((Thread) start.invoke(null, (Runnable) () -> timed(4)));
        for (Thread thread : threads) thread.join();
        return "calls=" + 4 * count;
    }

    /** Classes that are loaded only now, of an interface and a base that are loaded with them. */
    static String kin(int count) {
        Shape shape = new Square();
        for (int i = 0; i < count; i++) sink += shape.area() + shape.edges();
        return "areas=" + count;
    }

    /** Calls for ever, in `count` threads. */
    static String spin(int count) {
        for (int i = 0; i < count; i++) {
            Thread thread = new Thread(() -> { while (true) calls(1000); }, "spinner-" + i);
            thread.setDaemon(true);
            thread.start();
        }
        return "spinning";
    }

    static void idle() {
        try { Thread.sleep(Long.MAX_VALUE); } catch (InterruptedException e) { throw new AssertionError(e); }
    }
}

class Contended {}

class Probed {
    static long outer(int i) {
        return step(i) + 1;
    }

    static long step(int i) {
        if (i % 3 == 2) throw new IllegalStateException();
        return i;
    }
}

/** Cannot be initialised; each loader that has tried keeps its own. */
class Broken {
    static final List<Class<?>> KEPT = new ArrayList<>();

    static class Fragile {
        static {
            if (sum(1, 2) == 3) throw new IllegalStateException("expected");
        }

        static int sum(int one, int other) {
            return one + other;
        }
    }

    static String load(int count) throws Exception {
        byte[] bytes = Broken.class.getResourceAsStream("Broken$Fragile.class").readAllBytes();
        for (int i = 0; i < count; i++) {
            ClassLoader loader = new ClassLoader(Broken.class.getClassLoader()) {
                @Override
                protected Class<?> loadClass(String name, boolean resolve) throws ClassNotFoundException {
                    return name.equals("Broken$Fragile") ? defineClass(name, bytes, 0, bytes.length) : super.loadClass(name, resolve);
                }
            };
            Class<?> kept = loader.loadClass("Broken$Fragile");
            try {
                Class.forName(kept.getName(), true, new ClassLoader(loader) {
                    @Override
                    protected Class<?> loadClass(String name, boolean resolve) throws ClassNotFoundException {
                        return name.equals("Broken$Fragile") ? kept : super.loadClass(name, resolve);
                    }
                });
                throw new AssertionError("it was initialised");
            } catch (ExceptionInInitializerError expected) {
                KEPT.add(kept);
            }
        }
        return "broken=" + KEPT.size();
    }
}

/** Loaded only when it is asked for. */
class Late {
    static int call(int count) {
        for (int i = 0; i < count; i++) once();
        return count;
    }

    static void once() {
        Subject.sink++;
    }
}

@java.lang.annotation.Retention(java.lang.annotation.RetentionPolicy.RUNTIME)
@interface Marked {}

interface Shape {
    long area();

    long edges();
}

abstract class Base implements Shape {
    @Marked
    public long edges() {
        return 4;
    }
}

class Square extends Base {
    public long area() {
        return 9;
    }
}

class Timed {
    static long outer(int i) {
        return inner(i, 3);
    }

    /** Calls itself; at the bottom two calls sleep, of which the second throws. */
    static long inner(int i, int deeper) {
        if (deeper > 0) return inner(i, deeper - 1);
        if (i < 2) {
            try { Thread.sleep(600); } catch (InterruptedException e) { throw new AssertionError(e); }
            if (i == 1) throw new IllegalStateException();
        }
        return i;
    }
}

/** Makes what is counted by place. */
class Counted {
    /** Each of four kinds of exception so often: one of its own, one by the JDK, one without a stack trace, one that fills its stack trace in a way of its own. */
    static String exceptions(int count) {
        int caught = 0;
        for (int i = 0; i < count; i++) {
            try { fail(); } catch (Failure expected) { caught++; }
            try { parse(); } catch (NumberFormatException expected) { caught++; }
            try { throw new Traceless(); } catch (Traceless expected) { caught++; }
            try { throw new NullPointerException(); } catch (NullPointerException expected) { caught++; }
        }
        return "exceptions=" + caught;
    }

    /** Goes down until the stack is full, so often; makes an exception on its way up, where there is hardly room for it. */
    static String overflow(int count) throws Exception {
        Thread thread = new Thread(null, () -> { for (int i = 0; i < count; i++) Subject.sink += dive(); }, "diver", 512 * 1024);
        thread.start();
        thread.join();
        return "overflows=" + count;
    }

    static long dive() {
        try {
            return dive() + 1;
        } catch (StackOverflowError full) {
            return new Exception("on the way up").getStackTrace().length;
        }
    }

    static void fail() { throw new Failure(new Built().failure); }

    static int parse() { return Integer.parseInt("none"); }

    /** So many MiB in arrays of a KiB. */
    static String allocate(int count) {
        for (int i = 0; i < count * 1024; i++) Subject.garbage = new byte[1024 - 16];
        return "allocated=" + count;
    }

    /** An object that is no exception and makes one when it is made. */
    static class Built {
        final Exception failure = new Exception("not thrown");
    }

    static class Failure extends IllegalStateException {
        Failure(Exception cause) { super(cause); }
    }

    static class Traceless extends RuntimeException {
        Traceless() { super("no trace", null, false, false); }
    }
}

/** Methods whose arguments are keys of units. */
class Keyed {
    static String calls(int count) throws InterruptedException {
        Thread[] threads = new Thread[4];
        for (int i = 0; i < threads.length; i++) {
            threads[i] = new Thread(() -> { for (int n = 0; n < count; n++) each(); });
            threads[i].start();
        }
        for (Thread thread : threads) thread.join();
        return "each=" + count * threads.length;
    }

    static void each() {
        text("/shop/\u00e9\ud834\udd1e");
        text("/" + "x".repeat(126) + "x\ud834\udd1e");
        text(null);
        text("");
        new Keyed().number(0L, "", -1);
        new Keyed().number(0L, "", 1L << 62);
        neither(1, new Object());
    }

    /** Each number twice. */
    static String many(int count) {
        for (int n = 0; n < 2 * count; n++) new Keyed().number(0L, "", n % count);
        return "numbers=" + count;
    }

    static void text(String text) {
        Subject.sink++;
    }

    void number(long other, String text, long number) {
        Subject.sink += number;
    }

    void number(long other, String text, int number) {
        Subject.sink += number;
    }

    static void neither(int number, Object object) {
        Subject.sink++;
    }
}
