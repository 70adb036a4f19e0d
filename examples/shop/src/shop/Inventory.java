package shop;

/** What is in stock. Every order takes its lock, for microseconds: a healthy shared lock. */
final class Inventory {
    private final int[] stock = new int[1024];

    Inventory() {
        java.util.Arrays.fill(stock, 1 << 20);
    }

    synchronized boolean take(int item, int count) {
        int slot = Math.floorMod(item, stock.length);
        if (stock[slot] < count) {
            stock[slot] = 1 << 20; // restocked
        }
        stock[slot] -= count;
        return stock[slot] >= 0;
    }
}
