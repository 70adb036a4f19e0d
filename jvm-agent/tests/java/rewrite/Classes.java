import java.io.BufferedOutputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.lang.module.ModuleFinder;
import java.net.URI;
import java.nio.file.FileSystems;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Comparator;
import java.util.List;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import java.util.zip.ZipEntry;
import java.util.zip.ZipFile;

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
                dump(module, out);
            }
            for (int i = 1; i < args.length; i++) {
                dumpJar(args[i], out);
            }
        }
    }

    private static List<Path> list(Path directory) throws IOException {
        try (Stream<Path> entries = Files.list(directory)) {
            return entries.sorted().collect(Collectors.toList());
        }
    }

    private static void dump(Path module, DataOutputStream out) throws IOException {
        List<Path> classes;
        try (Stream<Path> all = Files.walk(module)) {
            classes = all.filter(path -> path.toString().endsWith(".class")).sorted().collect(Collectors.toList());
        }
        for (Path path : classes) {
            dump(module.getFileName().toString(), module.relativize(path).toString(), Files.readAllBytes(path), out);
        }
    }

    /** Not as a file system: a runtime may be without the module that makes one of it. */
    private static void dumpJar(String path, DataOutputStream out) throws IOException {
        try (ZipFile jar = new ZipFile(path)) {
            Stream<? extends ZipEntry> classes = jar.stream().filter(entry -> entry.getName().endsWith(".class"));
            for (ZipEntry entry : classes.sorted(Comparator.comparing(ZipEntry::getName)).collect(Collectors.toList())) {
                dump("", entry.getName(), jar.getInputStream(entry).readAllBytes(), out);
            }
        }
    }

    private static void dump(String module, String name, byte[] bytes, DataOutputStream out) throws IOException {
        if (name.startsWith("META-INF/") || name.equals("module-info.class")) {
            return;
        }
        out.writeUTF(module);
        out.writeUTF(name);
        out.writeInt(bytes.length);
        out.write(bytes);
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
