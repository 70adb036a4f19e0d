import com.sun.management.HotSpotDiagnosticMXBean;
import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import java.nio.file.Path;
import javax.management.MBeanServer;
import javax.management.ObjectName;

/** Makes the JVM stop all its threads, for one reason after the other, while one of them computes. The first argument is a directory for a heap dump. */
public class Halts {
    private static volatile boolean over;
    private static volatile long sink;

    public static void main(String[] arguments) throws Exception {
        Thread spinner = new Thread(Halts::spin, "spinner");
        spinner.setDaemon(true);
        spinner.start();
        MBeanServer server = ManagementFactory.getPlatformMBeanServer();
        ObjectName commands = new ObjectName("com.sun.management:type=DiagnosticCommand");
        Object[] none = {new String[0]};
        String[] signature = {String[].class.getName()};
        Path dump = Path.of(arguments[0], "heap.hprof");
        for (int round = 0; round < 5; round++) {
            System.gc();
            Thread.getAllStackTraces();
            ManagementFactory.getThreadMXBean().findDeadlockedThreads();
            server.invoke(commands, "threadPrint", none, signature);
            server.invoke(commands, "gcClassHistogram", none, signature);
        }
        ManagementFactory.getPlatformMXBean(HotSpotDiagnosticMXBean.class).dumpHeap(dump.toString(), true);
        Files.delete(dump);
        over = true;
        spinner.join();
        System.out.println("halted " + sink);
    }

    private static void spin() {
        long sum = 0;
        while (!over) {
            sum += sum * 31 + 7;
        }
        sink = sum;
    }
}
