package shop;

/**
 * The illness "a lock that every request wants": with auditing on, each order is written under one lock, which is held while the
 * record is signed (CPU) and flushed (a pause, as of a slow disk).
 */
final class AuditLog {
    /** As of a slow disk. */
    private static final long FLUSH_MS = 4;

    private long signature = 17;

    synchronized void write(long order) throws InterruptedException {
        signature = Pricing.mix(signature ^ order, 20_000);
        Thread.sleep(FLUSH_MS);
    }
}
