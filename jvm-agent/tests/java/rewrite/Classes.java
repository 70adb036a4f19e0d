import java.io.BufferedOutputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.lang.module.ModuleFinder;
import java.net.URI;
import java.nio.file.FileSystem;
import java.nio.file.FileSystems;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/**
 * Hands out the classes of this runtime and of jars, and links classes.
 *
 * <pre>
 * Classes image         prints which runtime this is
 * Classes dump JAR...   to standard output: for each class its module ("" for jars), its path, its bytes
 * Classes link FILE     links each class named in FILE, prints what could not be linked and a count of each outcome
 * </pre>
 */
public final class Classes {
    public static void main(String[] args) throws Exception {
        switch (args[0]) {
            case "image":
                System.out.println("jdk " + System.getProperty("java.runtime.version") + ", " + ModuleFinder.ofSystem().findAll().size() + " modules");
                break;
            case "dump":
                dump(args);
                break;
            default:
                link(Files.readAllLines(Path.of(args[1])));
        }
    }

    private static void dump(String[] args) throws IOException {
        try (DataOutputStream out = new DataOutputStream(new BufferedOutputStream(System.out, 1 << 20))) {
            Path modules = FileSystems.getFileSystem(URI.create("jrt:/")).getPath("/modules");
            for (Path module : list(modules)) {
                dump(module.getFileName().toString(), module, out);
            }
            for (int i = 1; i < args.length; i++) {
                try (FileSystem jar = FileSystems.newFileSystem(Path.of(args[i]), (ClassLoader) null)) {
                    dump("", jar.getPath("/"), out);
                }
            }
        }
    }

    private static List<Path> list(Path directory) throws IOException {
        try (Stream<Path> entries = Files.list(directory)) {
            return entries.sorted().collect(Collectors.toList());
        }
    }

    private static void dump(String module, Path root, DataOutputStream out) throws IOException {
        List<Path> classes;
        try (Stream<Path> all = Files.walk(root)) {
            classes = all.filter(path -> path.toString().endsWith(".class")).sorted().collect(Collectors.toList());
        }
        for (Path path : classes) {
            String name = root.relativize(path).toString();
            if (name.startsWith("META-INF/") || name.equals("module-info.class")) {
                continue;
            }
            byte[] bytes = Files.readAllBytes(path);
            out.writeUTF(module);
            out.writeUTF(name);
            out.writeInt(bytes.length);
            out.write(bytes);
        }
    }

    private static void link(List<String> names) {
        ClassLoader loader = ClassLoader.getSystemClassLoader();
        int linked = 0;
        int refused = 0;
        int unresolved = 0;
        for (String name : names) {
            try {
                Class<?> found = Class.forName(name, false, loader);
                linked++;
                // Asking for members links, and so verifies, but does not initialise.
                found.getDeclaredConstructors();
            } catch (VerifyError | ClassFormatError error) {
                refused++;
                linked--;
                System.out.println("refused " + name + " " + error.toString().replace('\n', ' '));
            } catch (LinkageError | ClassNotFoundException error) {
                // A class that it names is not here (optional parts of servers): linking may have come before or not.
                unresolved++;
                linked--;
                System.out.println("unresolved " + name + " " + error.toString().replace('\n', ' '));
            }
        }
        System.out.println("linked=" + linked + " refused=" + refused + " unresolved=" + unresolved);
    }
}
