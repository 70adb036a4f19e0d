import java.util.concurrent.CountDownLatch;

/** So many threads at once, each of which calls {@link #work} so often while all of them are there; prints how many calls that were. */
public final class Crowd {
    private static volatile long shared;

    private Crowd() {}

    public static void main(String[] arguments) throws InterruptedException {
        int threads = Integer.parseInt(arguments[0]);
        int calls = Integer.parseInt(arguments[1]);
        CountDownLatch here = new CountDownLatch(threads);
        CountDownLatch done = new CountDownLatch(threads);
        Thread[] all = new Thread[threads];
        for (int number = 0; number < threads; number++) {
            all[number] = new Thread(null, () -> live(calls, here, done), "one-of-many-" + number, 128 << 10);
            all[number].start();
        }
        for (Thread thread : all) {
            thread.join();
        }
        System.out.println("{\"calls\": " + (long) threads * calls + "}");
    }

    private static void live(int calls, CountDownLatch here, CountDownLatch done) {
        try {
            here.countDown();
            here.await();
            for (int call = 0; call < calls; call++) {
                work(call);
            }
            done.countDown();
            done.await();
        } catch (InterruptedException unexpected) {
            throw new IllegalStateException(unexpected);
        }
    }

    static void work(int call) {
        shared = call;
    }
}
