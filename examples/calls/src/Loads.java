import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.lang.management.ManagementFactory;
import java.util.ArrayList;
import java.util.List;

/** Loads classes: on each line as many as it says, each by a loader of its own. Tells after each line, and at the end, how many the JVM has loaded so far. */
public final class Loads {
    private Loads() {}

    public static void main(String[] arguments) throws IOException, ClassNotFoundException {
        List<Class<?>> kept = new ArrayList<>();
        byte[] bytes;
        try (InputStream file = Loads.class.getResourceAsStream("Loads$Loaded.class")) {
            bytes = file.readAllBytes();
        }
        tell("ready");
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in));
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            for (int count = Integer.parseInt(line); count > 0; count--) {
                kept.add(new Loader(bytes).loadClass("Loads$Loaded"));
            }
            tell("loaded");
        }
        tell("end");
    }

    private static void tell(String when) {
        long classes = ManagementFactory.getClassLoadingMXBean().getTotalLoadedClassCount();
        System.out.println("{\"" + when + "\": " + classes + "}");
    }

    static final class Loaded {}

    private static final class Loader extends ClassLoader {
        private final byte[] bytes;

        Loader(byte[] bytes) {
            super(Loads.class.getClassLoader());
            this.bytes = bytes;
        }

        @Override
        protected Class<?> loadClass(String name, boolean resolve) throws ClassNotFoundException {
            return name.equals("Loads$Loaded") ? defineClass(name, bytes, 0, bytes.length) : super.loadClass(name, resolve);
        }
    }
}
