import java.util.concurrent.CountDownLatch;

/** Virtual threads with names: one that is there before anybody records, and gives itself another name; one that sleeps all that time; one that was made by then and is born later; one that is made later. By reflection: JDK 17 has none. */
class Named {
    private static volatile String next = "";
    private static volatile int turns;
    private static final CountDownLatch WAKE = new CountDownLatch(1);
    private static Thread late;
    private static Thread sleeper;

    /** Returns when it runs. */
    static String older() throws Exception {
        late = unstarted("late", Named::nap);
        unstarted("older", () -> {
            while (true) {
                String name = next;
                if (!name.isEmpty()) {
                    next = "";
                    Thread.currentThread().setName(name);
                }
                turns++;
                nap();
            }
        }).start();
        sleeper = unstarted("sleeper", () -> {
            try {
                WAKE.await();
            } catch (InterruptedException interrupted) {
                throw new IllegalStateException(interrupted);
            }
        });
        sleeper.start();
        while (sleeper.getState() != Thread.State.WAITING) nap();
        return turn();
    }

    static String rename() throws Exception {
        if (late.getState() == Thread.State.NEW) late.start();
        late.join();
        WAKE.countDown();
        sleeper.join();
        next = "renamed";
        unstarted("younger", Named::nap).start();
        return turn();
    }

    /** Waits until the older one has left its carrier some times, for longer than a rename may take to be told. */
    private static String turn() {
        int until = turns + 50;
        while (turns < until) nap();
        return "";
    }

    private static void nap() {
        try {
            Thread.sleep(2);
        } catch (InterruptedException interrupted) {
            throw new IllegalStateException(interrupted);
        }
    }

    private static Thread unstarted(String name, Runnable body) throws Exception {
        Object builder = Thread.class.getMethod("ofVirtual").invoke(null);
        Class<?> type = Class.forName("java.lang.Thread$Builder");
        type.getMethod("name", String.class).invoke(builder, name);
        return (Thread) type.getMethod("unstarted", Runnable.class).invoke(builder, body);
    }
}
