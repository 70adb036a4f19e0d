import java.lang.instrument.ClassFileTransformer;
import java.lang.instrument.Instrumentation;
import java.nio.charset.StandardCharsets;
import java.security.ProtectionDomain;

/** An agent of somebody else's, which transforms {@link Marked}: its word is another one then. */
public final class Marker {
    private static final byte[] BEFORE = "ORIGINAL".getBytes(StandardCharsets.US_ASCII);
    private static final byte[] AFTER = "REPLACED".getBytes(StandardCharsets.US_ASCII);
    private static Instrumentation instrumentation;

    private Marker() {}

    public static void premain(String arguments, Instrumentation given) {
        instrumentation = given;
        given.addTransformer(
                new ClassFileTransformer() {
                    @Override
                    public byte[] transform(ClassLoader loader, String name, Class<?> old, ProtectionDomain domain, byte[] file) {
                        return "Marked".equals(name) ? replaced(file) : null;
                    }
                },
                true);
    }

    /** Has its class transformed again. */
    public static void again() throws Exception {
        instrumentation.retransformClasses(Marked.class);
    }

    private static byte[] replaced(byte[] file) {
        byte[] changed = file.clone();
        for (int at = 0; at + BEFORE.length <= changed.length; at++) {
            if (java.util.Arrays.equals(changed, at, at + BEFORE.length, BEFORE, 0, BEFORE.length)) {
                System.arraycopy(AFTER, 0, changed, at, AFTER.length);
            }
        }
        return changed;
    }
}
