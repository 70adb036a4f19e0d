import java.io.BufferedReader;
import java.io.InputStreamReader;

/** Says a word for each line that it reads; at the line "again" the other agent transforms this class once more before. Ends with its input. */
public final class Marked {
    private Marked() {}

    public static void main(String[] arguments) throws Exception {
        System.out.println("ready");
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in));
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            if (line.equals("again")) {
                Marker.again();
            }
            System.out.println(word());
        }
    }

    static String word() {
        return "it says ORIGINAL";
    }
}
