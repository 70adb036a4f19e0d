import jdk.jfr.Event;
import jdk.jfr.Name;
import jdk.jfr.StackTrace;

/** Bursts of calls of one small method, with pauses in which a recorder can drain its rings; prints the median time of a call. */
public final class Hot {
    private static final int CALLS = 100_000;
    private static final int BURSTS = 60;
    private static final int WARM_UP_BURSTS = 20;
    private static final int PAUSE_MS = 25;

    @Name("plumb.Step")
    @StackTrace(false)
    static final class StepEvent extends Event {}

    private Hot() {}

    public static void main(String[] arguments) throws InterruptedException {
        boolean jfr = arguments.length > 0 && arguments[0].equals("jfr");
        double[] nsPerCall = new double[BURSTS];
        long value = 1;
        for (int burst = -WARM_UP_BURSTS; burst < BURSTS; burst++) {
            long began = System.nanoTime();
            value = jfr ? burstWithEvents(value) : burst(value);
            double ns = (double) (System.nanoTime() - began) / CALLS;
            if (burst >= 0) {
                nsPerCall[burst] = ns;
            }
            Thread.sleep(PAUSE_MS);
        }
        java.util.Arrays.sort(nsPerCall);
        System.out.println("{\"ns_per_call\": " + nsPerCall[BURSTS / 2] + ", \"ns_per_call_min\": " + nsPerCall[0] + ", \"value\": " + value + "}");
    }

    private static long burst(long value) {
        for (int call = 0; call < CALLS; call++) {
            value = step(value);
        }
        return value;
    }

    private static long burstWithEvents(long value) {
        for (int call = 0; call < CALLS; call++) {
            value = stepWithEvent(value);
        }
        return value;
    }

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
