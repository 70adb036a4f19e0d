import java.lang.management.ManagementFactory;
import java.lang.management.ThreadMXBean;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.CyclicBarrier;
import jdk.jfr.Event;
import jdk.jfr.Name;
import jdk.jfr.StackTrace;

/**
 * Bursts of calls of one small method in so many threads at once, with pauses in which a recorder can drain its rings; prints the median CPU time of a call.
 *
 * <pre>
 * java Hot bare THREADS
 * java Hot ticks THREADS LIBRARY        two native calls around each, which read the processor's clock
 * java Hot jfr THREADS                  an event of JFR's around each
 * java Hot left THREADS COMMAND...      as bare, after the command has come to its end; PID in it stands for this process
 * </pre>
 */
public final class Hot {
    private static final int CALLS = 100_000;
    private static final int BURSTS = 40;
    private static final int WARM_UP_BURSTS = 20;
    private static final int PAUSE_MS = 25;
    private static final ThreadMXBean TIMES = ManagementFactory.getThreadMXBean();

    @Name("plumb.Step")
    @StackTrace(false)
    static final class StepEvent extends Event {}

    private interface Burst {
        long run(long value);
    }

    private Hot() {}

    public static void main(String[] arguments) throws Exception {
        int threads = Integer.parseInt(arguments[1]);
        Burst burst = switch (arguments[0]) {
            case "ticks" -> {
                System.load(arguments[2]);
                yield Hot::burstWithTicks;
            }
            case "jfr" -> Hot::burstWithEvents;
            default -> Hot::burst;
        };
        if (arguments[0].equals("left")) {
            await(Arrays.asList(arguments).subList(2, arguments.length));
        }
        double[] nsPerCall = measure(burst, threads);
        Arrays.sort(nsPerCall);
        System.out.println("{\"ns_per_call\": " + nsPerCall[nsPerCall.length / 2] + ", \"ns_per_call_min\": " + nsPerCall[0] + "}");
    }

    /** Runs the command to its end, and calls meanwhile. */
    private static void await(List<String> command) throws Exception {
        String pid = String.valueOf(ProcessHandle.current().pid());
        String[] words = command.stream().map(word -> word.equals("PID") ? pid : word).toArray(String[]::new);
        Process process = new ProcessBuilder(words).redirectErrorStream(true).redirectOutput(ProcessBuilder.Redirect.DISCARD).start();
        long value = 1;
        while (process.isAlive()) {
            value = burst(value);
            Thread.sleep(PAUSE_MS);
        }
        if (process.waitFor() != 0 || value == 0) {
            throw new IllegalStateException(command + " failed");
        }
    }

    private static double[] measure(Burst burst, int threads) throws InterruptedException {
        double[] nsPerCall = new double[BURSTS * threads];
        CyclicBarrier together = new CyclicBarrier(threads);
        Thread[] all = new Thread[threads];
        for (int number = 0; number < threads; number++) {
            int first = number * BURSTS;
            all[number] = new Thread(() -> bursts(burst, together, nsPerCall, first), "hot-" + number);
            all[number].start();
        }
        for (Thread thread : all) {
            thread.join();
        }
        return nsPerCall;
    }

    private static void bursts(Burst burst, CyclicBarrier together, double[] nsPerCall, int first) {
        try {
            long value = first + 1;
            for (int number = -WARM_UP_BURSTS; number < BURSTS; number++) {
                together.await();
                long began = TIMES.getCurrentThreadCpuTime();
                value = burst.run(value);
                double ns = (double) (TIMES.getCurrentThreadCpuTime() - began) / CALLS;
                if (number >= 0) {
                    nsPerCall[first + number] = value == 0 ? 0 : ns;
                }
                Thread.sleep((long) PAUSE_MS * together.getParties());
            }
        } catch (Exception broken) {
            throw new IllegalStateException(broken);
        }
    }

    private static long burst(long value) {
        for (int call = 0; call < CALLS; call++) {
            value = step(value);
        }
        return value;
    }

    private static long burstWithTicks(long value) {
        for (int call = 0; call < CALLS; call++) {
            tick(1);
            value = step(value);
            tick(2);
        }
        return value;
    }

    private static long burstWithEvents(long value) {
        for (int call = 0; call < CALLS; call++) {
            value = stepWithEvent(value);
        }
        return value;
    }

    /** Reads the processor's clock: jvm-agent/examples/floor.rs. */
    private static native void tick(int id);

    static long step(long value) {
        value ^= value << 13;
        value ^= value >>> 7;
        return value ^ value << 17;
    }

    static long stepWithEvent(long value) {
        StepEvent event = new StepEvent();
        event.begin();
        long result = step(value);
        event.commit();
        return result;
    }
}
