/** Loaded under many names, see `Fresh.load`. */
public class Fresh0000 {
    static volatile long sink;

    public static void once() {
        sink++;
    }
}
