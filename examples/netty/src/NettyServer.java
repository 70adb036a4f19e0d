import io.netty.bootstrap.ServerBootstrap;
import io.netty.buffer.ByteBuf;
import io.netty.channel.Channel;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelInboundHandlerAdapter;
import io.netty.channel.ChannelInitializer;
import io.netty.channel.nio.NioEventLoopGroup;
import io.netty.channel.socket.nio.NioServerSocketChannel;
import io.netty.util.HashedWheelTimer;
import io.netty.util.concurrent.DefaultEventExecutorGroup;
import io.netty.util.concurrent.EventExecutorGroup;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;

/**
 * A server of Netty's whose requests, a byte each, are answered by a pool of its executors; it asks itself. Between two loads nobody wants anything for a while. Prints as JSON how many requests
 * there were, and when nobody wanted anything: {"requests", "quiet_from_ns", "quiet_to_ns"}.
 */
public class NettyServer {
    static final int CONNECTIONS = 4, REQUESTS = 25;
    static final AtomicInteger ANSWERED = new AtomicInteger();

    static class Answer extends ChannelInboundHandlerAdapter {
        @Override
        public void channelRead(ChannelHandlerContext context, Object message) {
            // One at a time: who asks waits for the answer.
            ANSWERED.addAndGet(((ByteBuf) message).readableBytes());
            context.writeAndFlush(message);
        }
    }

    public static void main(String[] arguments) throws Exception {
        NioEventLoopGroup acceptors = new NioEventLoopGroup(1), loops = new NioEventLoopGroup(2);
        EventExecutorGroup workers = new DefaultEventExecutorGroup(2);
        HashedWheelTimer timer = new HashedWheelTimer();
        timer.start();
        ServerBootstrap server = new ServerBootstrap().group(acceptors, loops).channel(NioServerSocketChannel.class).childHandler(new ChannelInitializer<Channel>() {
            @Override
            protected void initChannel(Channel channel) {
                channel.pipeline().addLast(workers, new Answer());
            }
        });
        Channel listener = server.bind(InetAddress.getLoopbackAddress(), 0).sync().channel();
        int port = ((InetSocketAddress) listener.localAddress()).getPort();
        Socket[] clients = new Socket[CONNECTIONS];
        for (int c = 0; c < CONNECTIONS; c++) clients[c] = new Socket(InetAddress.getLoopbackAddress(), port);
        ask(clients);
        Thread.sleep(200);
        long from = System.nanoTime();
        Thread.sleep(400);
        long to = System.nanoTime();
        ask(clients);
        for (Socket client : clients) client.close();
        timer.stop();
        for (EventExecutorGroup group : new EventExecutorGroup[] {acceptors, loops, workers}) group.shutdownGracefully(0, 10, TimeUnit.SECONDS).sync();
        System.out.println("{\"requests\":" + ANSWERED + ",\"quiet_from_ns\":" + from + ",\"quiet_to_ns\":" + to + "}");
    }

    static void ask(Socket[] clients) throws IOException {
        for (int request = 0; request < REQUESTS; request++) {
            for (Socket client : clients) client.getOutputStream().write(1);
            for (Socket client : clients) {
                if (client.getInputStream().read() != 1) throw new IOException("another answer");
            }
        }
    }
}
