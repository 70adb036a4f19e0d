package java.lang;

/** The test breaks its bytecode, to see that the verifier is awake. */
final class PlumbBreak {
    static int zero() {
        return 0;
    }
}
