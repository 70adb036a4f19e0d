import java.lang.reflect.Method;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.ArrayBlockingQueue;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.ForkJoinPool;
import java.util.concurrent.RecursiveTask;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.ThreadPoolExecutor;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;

/**
 * Requests with keys that hand work over to other threads in every way there is. Counts them by itself, and prints what it counted as JSON: by kind of unit and key, how many there were
 * ("units") and how many tasks other threads than the unit's own ran for them ("elsewhere").
 */
public class Units {
    static final int ROUNDS = 40;
    static final Map<String, Integer> UNITS = new TreeMap<>(), ELSEWHERE = new TreeMap<>();
    static final AtomicInteger PENDING = new AtomicInteger();
    static final List<Thread> VIRTUAL = new ArrayList<>();
    static final ExecutorService POOL = Executors.newFixedThreadPool(2);
    static final ThreadPoolExecutor TINY = new ThreadPoolExecutor(1, 1, 1, TimeUnit.MINUTES, new ArrayBlockingQueue<>(1),
            new ThreadPoolExecutor.CallerRunsPolicy());
    static final ForkJoinPool FORKS = new ForkJoinPool(2);
    static final Method START_VIRTUAL = startVirtual();
    static volatile long sink;

    public static void main(String[] arguments) throws Exception {
        if (arguments.length > 0 && arguments[0].equals("wait")) {
            // The pools have worked before, and their workers wait for more.
            nobody();
            System.out.println("ready");
            System.in.read();
        }
        Thread[] threads = new Thread[3];
        for (int t = 0; t < threads.length; t++) {
            threads[t] = new Thread(Units::requests, "requests-" + t);
            threads[t].start();
        }
        for (Thread thread : threads) thread.join();
        while (PENDING.get() > 0) Thread.sleep(1);
        for (Thread thread : VIRTUAL) thread.join();
        for (ExecutorService pool : List.of(POOL, TINY, FORKS)) {
            pool.shutdown();
            pool.awaitTermination(1, TimeUnit.MINUTES);
        }
        System.out.println("{\"units\":" + json(UNITS) + ",\"elsewhere\":" + json(ELSEWHERE) + "}");
        if (arguments.length > 0) System.in.read();
    }

    static String json(Map<String, Integer> counts) {
        List<String> fields = new ArrayList<>();
        counts.forEach((key, count) -> fields.add("\"" + key + "\":" + count));
        return "{" + String.join(",", fields) + "}";
    }

    static void count(Map<String, Integer> counts, String unit) {
        synchronized (counts) {
            counts.merge(unit, 1, Integer::sum);
        }
    }

    /** A task of a unit that is under way on this thread, which counts itself where another one runs it. */
    static Runnable task(String unit, Runnable body) {
        return task(unit, Thread.currentThread(), body);
    }

    static Runnable task(String unit, Thread origin, Runnable body) {
        PENDING.incrementAndGet();
        return () -> {
            body.run();
            if (Thread.currentThread() != origin) count(ELSEWHERE, unit);
            PENDING.decrementAndGet();
        };
    }

    static void requests() {
        String longKey = "/long/" + "x".repeat(200);
        for (int i = 0; i < ROUNDS; i++) {
            pooled("/pool/" + i % 3);
            forked("/fork");
            future("/future");
            callerRuns("/caller");
            refused("/refused");
            nobody();
            alone((byte) 7, i % 4, longKey);
            recursive("/recursive", 3);
            job(1L << 40 | i % 5);
            small((short) (i % 2));
            keyless(null);
            try {
                thrown("/thrown");
            } catch (IllegalStateException expected) {
                sink++;
            }
            virtual("/virtual");
        }
    }

    /** Two tasks of a pool, of which one hands over a third. */
    static void pooled(String path) {
        String unit = "request " + path;
        count(UNITS, unit);
        POOL.execute(task(unit, () -> spin(200)));
        Thread origin = Thread.currentThread();
        POOL.submit(task(unit, () -> POOL.execute(task(unit, origin, () -> spin(100)))));
    }

    /** A tree of tasks, some of them stolen; waits for all. */
    static void forked(String path) {
        count(UNITS, "request " + path);
        sink += FORKS.invoke(new Sum(0, 64));
    }

    static class Sum extends RecursiveTask<Long> {
        final int from, to;

        Sum(int from, int to) {
            this.from = from;
            this.to = to;
        }

        @Override
        protected Long compute() {
            if (to - from < 8) return spin(50);
            Sum left = new Sum(from, (from + to) / 2), right = new Sum((from + to) / 2, to);
            invokeAll(left, right);
            return left.join() + right.join();
        }
    }

    /** Stages that run in different pools; nobody waits. */
    static void future(String path) {
        String unit = "request " + path;
        count(UNITS, unit);
        Runnable first = task(unit, () -> spin(100)), second = task(unit, () -> spin(100)), third = task(unit, () -> spin(50));
        CompletableFuture.runAsync(first, POOL).thenRunAsync(second, FORKS).thenRunAsync(third, POOL);
    }

    /** More tasks than the pool takes: the rest runs here. */
    static void callerRuns(String path) {
        String unit = "request " + path;
        count(UNITS, unit);
        for (int i = 0; i < 4; i++) TINY.execute(task(unit, () -> spin(100)));
    }

    static void refused(String path) {
        count(UNITS, "request " + path);
        ThreadPoolExecutor closed = new ThreadPoolExecutor(1, 1, 1, TimeUnit.SECONDS, new ArrayBlockingQueue<>(1));
        closed.shutdown();
        try {
            // An object of its own: of one that several requests hand over nobody could tell whose it is.
            closed.execute(() -> sink += path.length());
        } catch (RejectedExecutionException expected) {
            sink++;
        }
    }

    /** Work of no unit, in the same pools. */
    static void nobody() {
        POOL.execute(() -> spin(50));
        FORKS.execute(() -> spin(50));
    }

    /** Its key is its last argument, and too long. */
    static void alone(byte small, long wide, String path) {
        count(UNITS, "request " + path.substring(0, 128) + "…");
        spin(10);
    }

    /** Calls of one unit in one another: one unit. */
    static void recursive(String path, int depth) {
        String unit = "request " + path;
        if (depth == 3) count(UNITS, unit);
        if (depth > 0) recursive(path, depth - 1);
        if (depth == 0) POOL.execute(task(unit, () -> recursive(path, -1)));
    }

    static void job(long number) {
        count(UNITS, "job " + number);
        spin(10);
    }

    static void small(short number) {
        count(UNITS, "job " + number);
    }

    static void keyless(String path) {
        count(UNITS, "request");
    }

    static void thrown(String path) {
        String unit = "request " + path;
        count(UNITS, unit);
        POOL.execute(task(unit, () -> spin(20)));
        throw new IllegalStateException();
    }

    /** A virtual thread, which changes its carrier, or may. */
    static void virtual(String path) {
        String unit = "request " + path;
        count(UNITS, unit);
        if (START_VIRTUAL == null) return;
        try {
            Thread thread = (Thread) START_VIRTUAL.invoke(null, task(unit, () -> {
                spin(50);
                sleep();
                POOL.execute(task(unit, () -> spin(20)));
            }));
            synchronized (VIRTUAL) {
                VIRTUAL.add(thread);
            }
        } catch (ReflectiveOperationException e) {
            throw new AssertionError(e);
        }
    }

    static Method startVirtual() {
        try {
            return Thread.class.getMethod("startVirtualThread", Runnable.class);
        } catch (NoSuchMethodException old) {
            return null;
        }
    }

    static void sleep() {
        try {
            Thread.sleep(1);
        } catch (InterruptedException e) {
            throw new AssertionError(e);
        }
    }

    static long spin(int microseconds) {
        long end = System.nanoTime() + microseconds * 1000L;
        long turns = 0;
        while (System.nanoTime() < end) turns++;
        return turns;
    }
}
