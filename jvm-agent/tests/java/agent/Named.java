/** Virtual threads with names: one that is there before anybody records, and gives itself another name; one that is born later. By reflection: JDK 17 has none. */
class Named {
    private static volatile String next = "";
    private static volatile int turns;

    /** Returns when it runs. */
    static String older() throws Exception {
        start("older", () -> {
            while (true) {
                String name = next;
                if (!name.isEmpty()) {
                    next = "";
                    Thread.currentThread().setName(name);
                }
                turns++;
                nap();
            }
        });
        return turn();
    }

    static String rename() throws Exception {
        next = "renamed";
        start("younger", Named::nap);
        return turn();
    }

    /** Waits until the older one has left its carrier a few times. */
    private static String turn() {
        int until = turns + 5;
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

    private static void start(String name, Runnable body) throws Exception {
        Object builder = Thread.class.getMethod("ofVirtual").invoke(null);
        Class<?> type = Class.forName("java.lang.Thread$Builder");
        type.getMethod("name", String.class).invoke(builder, name);
        type.getMethod("start", Runnable.class).invoke(builder, body);
    }
}
