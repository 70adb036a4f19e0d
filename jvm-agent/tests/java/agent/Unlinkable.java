import java.io.InputStream;

/** A class that is loaded and cannot be linked: to verify it the JVM asks for a class that is not there. */
class Unlinkable {
    static Class<?> kept;

    static class Gone extends Unlinkable {}

    static class Half {
        static Unlinkable once() {
            return new Gone();
        }
    }

    static String load() throws Exception {
        byte[] bytes;
        try (InputStream file = Unlinkable.class.getResourceAsStream("Unlinkable$Half.class")) {
            bytes = file.readAllBytes();
        }
        ClassLoader loader = new ClassLoader(Unlinkable.class.getClassLoader()) {
            @Override
            protected Class<?> loadClass(String name, boolean resolve) throws ClassNotFoundException {
                if (name.equals("Unlinkable$Gone")) throw new ClassNotFoundException(name);
                return name.equals("Unlinkable$Half") ? defineClass(name, bytes, 0, bytes.length) : super.loadClass(name, resolve);
            }
        };
        kept = loader.loadClass("Unlinkable$Half");
        return "loaded=1";
    }
}
