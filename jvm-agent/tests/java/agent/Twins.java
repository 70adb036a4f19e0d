import java.io.InputStream;
import java.util.concurrent.CountDownLatch;

/** A class in two loaders, of which the second takes long: it is asked for the base class when the class file has been read, and waits. */
class Twins extends ClassLoader {
    static final CountDownLatch ASKED = new CountDownLatch(1);
    static final CountDownLatch GO_ON = new CountDownLatch(1);
    static Class<?> first;
    static volatile Class<?> second;

    final boolean isSlow;

    Twins(boolean isSlow) {
        super(Twins.class.getClassLoader());
        this.isSlow = isSlow;
    }

    public static class Base {}

    public static class Twin extends Base {
        static volatile long sink;

        public static void once() {
            sink++;
        }
    }

    @Override
    protected Class<?> loadClass(String name, boolean resolve) throws ClassNotFoundException {
        if (name.equals("Twins$Base") && isSlow) {
            ASKED.countDown();
            try { GO_ON.await(); } catch (InterruptedException e) { throw new AssertionError(e); }
        }
        if (!name.equals("Twins$Twin")) return super.loadClass(name, resolve);
        try (InputStream file = Twins.class.getResourceAsStream("Twins$Twin.class")) {
            byte[] bytes = file.readAllBytes();
            return defineClass(name, bytes, 0, bytes.length);
        } catch (java.io.IOException e) {
            throw new AssertionError(e);
        }
    }

    /** Loads the first alone. */
    static String loadFirst() throws Exception {
        first = new Twins(false).loadClass("Twins$Twin");
        return "classes=1";
    }

    /** Loads the first, if it is not there yet, and the second as far as its base. */
    static String begin() throws Exception {
        if (first == null) loadFirst();
        Thread thread = new Thread(() -> {
            try {
                second = new Twins(true).loadClass("Twins$Twin");
            } catch (ClassNotFoundException e) {
                throw new AssertionError(e);
            }
        }, "slow-loader");
        thread.start();
        ASKED.await();
        return "classes=1";
    }

    /** Lets the second be loaded. */
    static String finish() throws Exception {
        GO_ON.countDown();
        while (second == null) Thread.onSpinWait();
        return "classes=2";
    }

    static String call(Class<?> twin) throws Exception {
        twin.getMethod("once").invoke(null);
        return "calls=1";
    }
}
