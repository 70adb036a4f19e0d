import java.util.ArrayDeque;

/** Makes garbage, so that the JVM collects: its GC log says for how long. */
public final class Churn {
    private static final int KEPT = 600_000;
    private static final int MADE = 6_000_000;
    private static final int BYTES = 128;

    private Churn() {}

    public static void main(String[] arguments) {
        ArrayDeque<byte[]> kept = new ArrayDeque<>();
        long sum = 0;
        for (int made = 0; made < MADE; made++) {
            kept.add(new byte[BYTES]);
            if (kept.size() > KEPT) {
                sum += kept.remove().length;
            }
        }
        System.out.println("{\"bytes\": " + sum + "}");
    }
}
