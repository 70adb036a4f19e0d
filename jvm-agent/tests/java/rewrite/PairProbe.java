import java.util.ArrayDeque;
import java.util.Map;
import java.util.TreeMap;

/** Counts what the probes say, and checks that each end is the end of what began last in its thread. */
public final class PairProbe {
    private static final Map<Integer, long[]> COUNTS = new TreeMap<>();
    private static final ThreadLocal<ArrayDeque<Integer>> OPEN = ThreadLocal.withInitial(ArrayDeque::new);
    private static int mismatches;

    public static void enter(int id) {
        OPEN.get().push(id);
        count(id, 0);
    }

    public static void text(String text, int id) {
        enter(id);
    }

    public static void number(long number, int id) {
        enter(id);
    }

    public static void given(Object object, int id) {
        enter(id);
    }

    public static void exit(int id) {
        end(id, 1);
    }

    public static void thrown(int id) {
        end(id, 2);
    }

    private static void end(int id, int kind) {
        Integer open = OPEN.get().poll();
        if (open == null || open != id) {
            mismatch();
        }
        count(id, kind);
    }

    private static synchronized void mismatch() {
        mismatches++;
    }

    private static synchronized void count(int id, int kind) {
        COUNTS.computeIfAbsent(id, absent -> new long[3])[kind]++;
    }

    /** Prints a line for each probe: id, entered, returned, thrown out of. */
    public static synchronized void print() {
        COUNTS.forEach((id, n) -> System.out.println("probe " + id + " " + n[0] + " " + n[1] + " " + n[2]));
        System.out.println("mismatches " + mismatches);
    }
}
