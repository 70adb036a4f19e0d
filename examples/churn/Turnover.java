import java.io.IOException;
import java.io.InputStream;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.util.ArrayDeque;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.locks.LockSupport;

/**
 * A JVM in which everything comes and goes, for as many milliseconds as it is told: threads, virtual threads where there are any, class loaders, exceptions,
 * stacks that overflow, memory that is not there, and exceptions through native frames. It counts its calls of {@link #work}, and prints the count at its end.
 */
public final class Turnover {
    private static final int THREADS = 30;
    private static final Object LOCK = new Object();
    private static final AtomicLong CALLS = new AtomicLong();
    private static long shared;

    private Turnover() {}

    public static void main(String[] arguments) throws Exception {
        long end = System.nanoTime() + Long.parseLong(arguments[0]) * 1_000_000;
        ArrayDeque<Thread> alive = new ArrayDeque<>();
        for (int born = 0; System.nanoTime() < end; born++) {
            alive.add(start(born));
            if (alive.size() >= THREADS) {
                alive.remove().join();
            }
            if (born % 10 == 0) {
                loadAnew();
            }
            if (born % 50 == 0) {
                overflow();
                noMemory();
                throughNative(born);
            }
            if (born % 1000 == 0) {
                overflowWithProbes();
            }
        }
        for (Thread thread : alive) {
            thread.join();
        }
        System.out.println("{\"calls\": " + CALLS.get() + "}");
    }

    /** Every third thread is virtual, where the JVM has such. */
    private static Thread start(int number) throws Exception {
        Runnable life = () -> live(number);
        if (number % 3 == 0 && VIRTUAL != null) {
            return (Thread) VIRTUAL.invoke(null, life);
        }
        Thread thread = new Thread(life, "short-" + number);
        thread.start();
        return thread;
    }

    private static final Method VIRTUAL = virtual();

    private static Method virtual() {
        try {
            return Thread.class.getMethod("startVirtualThread", Runnable.class);
        } catch (NoSuchMethodException none) {
            return null;
        }
    }

    private static void live(int number) {
        Thread.currentThread().setName("short-life-" + number);
        for (int turn = 0; turn < 20; turn++) {
            try {
                work(number + turn);
            } catch (IllegalStateException expected) {
                LockSupport.parkNanos(10_000);
            }
        }
    }

    /** What is counted. Every seventh call is left by an exception. */
    static void work(int number) {
        CALLS.incrementAndGet();
        synchronized (LOCK) {
            shared += number;
        }
        if (number % 5 == 0) {
            LockSupport.parkNanos(500_000);
        }
        if (number % 7 == 0) {
            throw new IllegalStateException("expected");
        }
    }

    private static int deep(int depth) {
        return deep(depth + 1) + 1;
    }

    private static void overflow() {
        try {
            deep(0);
        } catch (StackOverflowError expected) {
            shared++;
        }
    }

    /** As {@link #deep}, with a probe in each frame where the rules say so. */
    static int deepWithProbes(int depth) {
        return deepWithProbes(depth + 1) + 1;
    }

    private static void overflowWithProbes() {
        try {
            deepWithProbes(0);
        } catch (StackOverflowError expected) {
            shared++;
        }
    }

    /** More than any heap holds: the error comes at once, and to nobody else. */
    private static void noMemory() {
        try {
            shared += new long[Integer.MAX_VALUE].length;
        } catch (OutOfMemoryError expected) {
            shared++;
        }
    }

    /** A call by reflection has a native frame above it until it has been made some fifteen times; a class's initialiser always has. */
    private static void throughNative(int number) throws Exception {
        try {
            Turnover.class.getDeclaredMethod("throwing", int.class).invoke(null, number);
        } catch (InvocationTargetException expected) {
            shared++;
        }
        try {
            Class.forName("Turnover$Broken", true, new Loader());
        } catch (ExceptionInInitializerError | NoClassDefFoundError expected) {
            shared++;
        }
    }

    public static void throwing(int number) {
        throw new IllegalStateException("expected " + number);
    }

    /** A class that cannot be initialised. */
    public static final class Broken {
        static {
            throwing(-1);
        }
    }

    /** Loads {@link Loaded} by a loader of its own, which then is garbage. */
    private static void loadAnew() throws Exception {
        Runnable loaded = (Runnable) new Loader().findClass("Turnover$Loaded").getDeclaredConstructor().newInstance();
        loaded.run();
    }

    /** A class that is loaded again and again. */
    public static final class Loaded implements Runnable {
        @Override
        public void run() {
            Thread.onSpinWait();
        }
    }

    private static final class Loader extends ClassLoader {
        /** Its own one of the class that breaks each time. */
        @Override
        protected Class<?> loadClass(String name, boolean resolve) throws ClassNotFoundException {
            return name.equals("Turnover$Broken") ? findClass(name) : super.loadClass(name, resolve);
        }

        @Override
        public Class<?> findClass(String name) throws ClassNotFoundException {
            try (InputStream in = Turnover.class.getResourceAsStream("/" + name + ".class")) {
                byte[] bytes = in.readAllBytes();
                return defineClass(name, bytes, 0, bytes.length);
            } catch (IOException unreadable) {
                throw new ClassNotFoundException(name, unreadable);
            }
        }
    }
}
