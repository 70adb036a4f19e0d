import java.util.ArrayList;
import java.util.List;

/**
 * Bodies that are hard to put probes into. What they do is printed; how often each is called is known to the test.
 * Nothing here needs more than Java 5, so that the same bytecode runs as an old class too.
 */
public final class Behaviour {
    public static void main(String[] args) throws Exception {
        System.out.println("factorial " + factorial(10) + " " + half(3) + " " + wide(7, 2.5) + " " + text(null));
        System.out.println("countdown " + countdown(5) + " " + countdown(0));
        for (int i = 0; i < 5; i++) {
            System.out.println("finally " + nested(i));
        }
        System.out.println("switches " + table(1) + table(9) + lookup(1000) + lookup(7) + strings("b") + strings("?"));
        System.out.println("deep " + caught(6));
        System.out.println("monitor " + monitor(new Object(), false) + monitor(new Object(), true));
        constructors();
        threads();
        System.out.println("initialised " + Initialised.NAMES + " " + uninitialised());
        System.out.println("forever " + untilThrown());
        Class.forName("PairProbe").getMethod("print").invoke(null);
    }

    static long factorial(int n) {
        return n == 0 ? 1 : n * factorial(n - 1);
    }

    static float half(int n) {
        return n / 2f;
    }

    static double wide(long a, double b) {
        long c = a << 33;
        return c / b;
    }

    static String text(Object o) {
        return o == null ? "none" : o.toString();
    }

    /** Jumps back to its first instruction. */
    static int countdown(int n) {
        while (n > 0) {
            n--;
        }
        return n;
    }

    static String nested(int n) {
        String log = "";
        try {
            try {
                if (n == 0) {
                    return log + "r";
                }
                fail(n);
                log += "n";
            } catch (IllegalStateException e) {
                log += "c";
                if (n == 3) {
                    return log + "R";
                }
            } finally {
                log += "f";
            }
            log += "a";
        } catch (IllegalArgumentException e) {
            log += "C";
        } finally {
            log += "F";
        }
        return log;
    }

    static void fail(int n) {
        switch (n) {
            case 2:
            case 3:
                throw new IllegalStateException();
            case 4:
                throw new IllegalArgumentException();
            default:
        }
    }

    static int table(int n) {
        switch (n) {
            case 0: return 10;
            case 1: return 11;
            case 2: n++;
            case 3: return n;
            default: return -1;
        }
    }

    static char lookup(int n) {
        switch (n) {
            case -5: return 'a';
            case 1000: return 'b';
            case 100000: return 'c';
            default: return 'd';
        }
    }

    static int strings(String s) {
        switch (s) {
            case "a": return 1;
            case "b": return 2;
            default: return 0;
        }
    }

    static String caught(int depth) {
        try {
            throwAt(depth);
            return "not";
        } catch (RuntimeException e) {
            return e.getMessage();
        }
    }

    static void throwAt(int depth) {
        if (depth == 0) {
            throw new RuntimeException("bottom");
        }
        throwAt(depth - 1);
    }

    static int monitor(Object lock, boolean bad) {
        try {
            synchronized (lock) {
                locked(bad);
                return 1;
            }
        } catch (IllegalStateException e) {
            return Thread.holdsLock(lock) ? 2 : 3;
        }
    }

    static synchronized void locked(boolean bad) {
        if (bad) {
            throw new IllegalStateException();
        }
    }

    static void constructors() {
        System.out.println("plain " + new Base(1).value + new Derived(true).value + new Derived(false).value);
        System.out.println("copy " + new Copy(4).value + new Copy().value);
        System.out.println("loop " + new Loop(3).value);
        for (int i = 0; i < 2; i++) {
            try {
                System.out.println(new Refuses(i == 0));
            } catch (IllegalStateException e) {
                System.out.println("refused " + i);
            }
        }
    }

    static class Initialised {
        static final List<String> NAMES = new ArrayList<String>();

        static {
            NAMES.add("once");
        }
    }

    static class Uninitialised {
        static final int NUMBER = Integer.parseInt("none");
    }

    static String uninitialised() {
        try {
            return "not " + Uninitialised.NUMBER;
        } catch (ExceptionInInitializerError expected) {
            return "failed";
        }
    }

    static class Base {
        final int value;

        Base(int value) {
            if (value < 0) {
                throw new IllegalStateException();
            }
            this.value = value;
        }
    }

    /** A jump and an object of another class before super(…). */
    static class Derived extends Base {
        Derived(boolean one) {
            super(one ? 1 : new ArrayList<Object>().size());
        }
    }

    /** An object of the superclass before super(…), and this(…). */
    static class Copy extends Base {
        Copy(int value) {
            super(new Base(value).value);
        }

        Copy() {
            this(6);
        }
    }

    /** The instruction after super(…) is jumped to. */
    static class Loop extends Base {
        Loop(int n) {
            super(n);
            while (n > 0) {
                n--;
            }
        }
    }

    /** Throws from its superclass's constructor, or after it through a handler of its own. */
    static class Refuses extends Base {
        Refuses(boolean early) {
            super(early ? -1 : 1);
            try {
                fail(2);
            } finally {
                locked(false);
            }
        }
    }

    static void threads() throws InterruptedException {
        final Counter counter = new Counter();
        List<Thread> threads = new ArrayList<Thread>();
        for (int i = 0; i < 4; i++) {
            Thread thread = new Thread() {
                @Override public void run() {
                    for (int k = 0; k < 1000; k++) {
                        try {
                            counter.add(k);
                        } catch (IllegalStateException e) {
                            counter.failed();
                        }
                    }
                }
            };
            threads.add(thread);
            thread.start();
        }
        for (Thread thread : threads) {
            thread.join();
        }
        System.out.println("threads " + counter.sum + " " + counter.failures);
    }

    static class Counter {
        long sum;
        int failures;

        synchronized long add(int n) {
            if (n % 10 == 3) {
                throw new IllegalStateException();
            }
            return sum += n;
        }

        synchronized void failed() {
            failures++;
        }
    }

    static int untilThrown() {
        int[] calls = new int[1];
        try {
            forever(calls);
        } catch (IllegalStateException e) {
            return calls[0];
        }
        return -1;
    }

    /** Has no return. */
    static void forever(int[] calls) {
        while (true) {
            fail(calls[0]++ % 5);
        }
    }
}
