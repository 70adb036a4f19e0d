package shop;

import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;

/** The other side of a socket: a payment service on the loopback interface that thinks for some milliseconds before it answers. */
final class Bank implements AutoCloseable {
    private static final long THINK_MS = 4;

    private final ServerSocket listener;

    Bank() throws IOException {
        listener = new ServerSocket(0, 64, InetAddress.getLoopbackAddress());
        start("bank-accept", this::accept);
    }

    /** A connection for one request thread. */
    Client connect() throws IOException {
        return new Client(new Socket(listener.getInetAddress(), listener.getLocalPort()));
    }

    @Override
    public void close() throws IOException {
        listener.close();
    }

    private void accept() {
        try {
            for (int number = 1; ; number++) {
                Socket socket = listener.accept();
                start("bank-" + number, () -> serve(socket));
            }
        } catch (IOException closed) {
            // The shop is going down.
        }
    }

    private static void serve(Socket socket) {
        try (socket; DataInputStream in = new DataInputStream(socket.getInputStream())) {
            socket.setTcpNoDelay(true);
            DataOutputStream out = new DataOutputStream(socket.getOutputStream());
            while (true) {
                long amount = in.readLong();
                Thread.sleep(THINK_MS);
                out.writeLong(amount ^ 1);
            }
        } catch (IOException | InterruptedException gone) {
            // The request thread's connection has ended.
        }
    }

    private static void start(String name, Runnable work) {
        Thread thread = new Thread(work, name);
        thread.setDaemon(true);
        thread.start();
    }

    /** One request thread's connection. */
    static final class Client {
        private final DataInputStream in;
        private final DataOutputStream out;

        private Client(Socket socket) throws IOException {
            socket.setTcpNoDelay(true);
            in = new DataInputStream(socket.getInputStream());
            out = new DataOutputStream(socket.getOutputStream());
        }

        /** Blocks in a socket read until the bank has answered. */
        long pay(long amount) throws IOException {
            out.writeLong(amount);
            return in.readLong();
        }
    }
}
