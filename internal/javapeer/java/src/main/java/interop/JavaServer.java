package interop;

import com.baidu.brpc.client.RpcCallback;
import com.baidu.brpc.protocol.Options;
import com.baidu.brpc.server.BrpcPushProxy;
import com.baidu.brpc.server.ChannelManager;
import com.baidu.brpc.server.RpcServer;
import com.baidu.brpc.server.RpcServerOptions;
import java.lang.reflect.Field;
import java.net.ServerSocket;
import java.nio.file.Files;
import java.nio.file.Paths;
import java.util.Arrays;
import java.util.ConcurrentModificationException;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;

/** JavaServer idleSeconds workThreads: picks a port and prints it. */
public class JavaServer extends Driver {
    private final ServerPushApi api;

    JavaServer(ServerPushApi api) {
        this.api = api;
    }

    public static void main(String[] args) throws Exception {
        int port;
        try (ServerSocket s = new ServerSocket(0)) {
            port = s.getLocalPort();
        }
        RpcServerOptions o = new RpcServerOptions();
        o.setProtocolType(Options.ProtocolType.PROTOCOL_SERVER_PUSH_VALUE);
        o.setKeepAliveTime(Integer.parseInt(args[0]));
        if (Integer.parseInt(args[1]) > 0) {
            o.setWorkThreadNum(Integer.parseInt(args[1]));
        }
        RpcServer server = new RpcServer(port, o);
        server.registerService(new SvcImpl());
        ServerPushApi api = (ServerPushApi) BrpcPushProxy.getProxy(server, ServerPushApi.class);
        server.start();
        JavaServer driver = new JavaServer(api);
        driver.print("0 ok " + port);
        driver.loop();
    }

    Object run(String command, String[] a) throws Exception {
        switch (command) {
            case "pushHi":
                return api.pushHi(a[0], a[1]);
            case "apushHi":
                return async(a[0], a[1]);
            case "pushBoom":
                return api.pushBoom(a[0], a[1]);
            case "pushNul":
                return api.pushNul(a[0], a[1]);
            case "pushVo":
                api.pushVo(a[0], a[1]);
                return "returned";
            case "pushAdd":
                return api.pushAdd(a[0], Integer.parseInt(a[1]), Long.parseLong(a[2]));
            case "pushSlow":
                return api.pushSlow(a[0], Integer.parseInt(a[1]));
            case "who":
                return api.who(a[0], "x");
            case "pushObject":
                return Samples.same(Samples.arrives(a[1]), api.pushObject(a[0], Samples.get(a[1])));
            case "pushHolder":
                return Samples.same(Samples.holder(), api.pushHolder(a[0], Samples.holder()));
            case "pushFixtures":
                return Samples.same(Samples.fixtures(), api.pushFixtures(a[0], Samples.fixtures()));
            case "samples":
                return String.join(" ", Samples.ALL.keySet());
            case "count":
                return SvcImpl.counted(a[0]);
            case "map":
                return map();
            case "bench":
                return bench(a[0], Integer.parseInt(a[1]), Integer.parseInt(a[2]), Integer.parseInt(a[3]));
            case "memory":
                return memory();
            default:
                throw new IllegalArgumentException(command);
        }
    }

    private String async(String client, String name) throws Exception {
        final CompletableFuture<String> done = new CompletableFuture<String>();
        api.pushHi(client, name, new RpcCallback<String>() {
            public void success(String response) {
                done.complete(response);
            }

            public void fail(Throwable e) {
                done.completeExceptionally(e);
            }
        });
        return done.get(20, TimeUnit.SECONDS);
    }

    /**
     * The registry: how many connections each name has, live and dead. brpc-java keeps the
     * connections in a plain list, which may change while it is read; then it is read again.
     */
    private static String map() throws Exception {
        while (true) {
            try {
                return table();
            } catch (ConcurrentModificationException e) {
                Thread.yield();
            }
        }
    }

    private static String table() throws Exception {
        Object manager = ChannelManager.getInstance();
        Field inner = ChannelManager.class.getDeclaredField("innerStoreManager");
        inner.setAccessible(true);
        Object store = inner.get(manager);
        Map<String, String> out = new TreeMap<String, String>();
        for (Field f : store.getClass().getDeclaredFields()) {
            f.setAccessible(true);
            Object v = f.get(store);
            if (!(v instanceof Map)) {
                continue;
            }
            for (Map.Entry<?, ?> e : ((Map<?, ?>) v).entrySet()) {
                if (!(e.getValue() instanceof List)) {
                    continue;
                }
                int live = 0;
                int dead = 0;
                for (Object c : (List<?>) e.getValue()) {
                    if (c == null) {
                        throw new ConcurrentModificationException();
                    }
                    if (((io.netty.channel.Channel) c).isActive()) {
                        live++;
                    } else {
                        dead++;
                    }
                }
                out.put(String.valueOf(e.getKey()), live + "+" + dead);
            }
        }
        return out.toString();
    }

    /** Pushes a text of so many bytes from so many threads for so many seconds, and prints pushes per second and p50 in us. */
    private String bench(final String client, int callers, int seconds, int bytes) throws Exception {
        final String text = Samples.repeat(bytes);
        final long end = System.nanoTime() + seconds * 1000000000L;
        final AtomicInteger failed = new AtomicInteger();
        final long[][] samples = new long[callers][];
        final int[] counts = new int[callers];
        Thread[] threads = new Thread[callers];
        for (int i = 0; i < callers; i++) {
            final int n = i;
            samples[n] = new long[1 << 16];
            threads[n] = new Thread() {
                public void run() {
                    while (System.nanoTime() < end) {
                        long began = System.nanoTime();
                        try {
                            api.pushHi(client, text);
                        } catch (RuntimeException e) {
                            failed.incrementAndGet();
                        }
                        samples[n][counts[n]++ % samples[n].length] = System.nanoTime() - began;
                    }
                }
            };
        }
        long began = System.nanoTime();
        for (Thread t : threads) {
            t.start();
        }
        for (Thread t : threads) {
            t.join();
        }
        double took = (System.nanoTime() - began) / 1e9;
        int total = 0;
        int kept = 0;
        for (int i = 0; i < callers; i++) {
            total += counts[i];
            kept += Math.min(counts[i], samples[i].length);
        }
        long[] all = new long[kept];
        int at = 0;
        for (int i = 0; i < callers; i++) {
            int n = Math.min(counts[i], samples[i].length);
            System.arraycopy(samples[i], 0, all, at, n);
            at += n;
        }
        Arrays.sort(all);
        return (long) (total / took) + " " + all[all.length / 2] / 1000 + " " + failed.get();
    }

    /** Used heap after a collection, and resident memory, in bytes. */
    private static String memory() throws Exception {
        System.gc();
        Thread.sleep(200);
        System.gc();
        Runtime r = Runtime.getRuntime();
        long rss = 0;
        for (String line : Files.readAllLines(Paths.get("/proc/self/status"))) {
            if (line.startsWith("VmRSS:")) {
                rss = Long.parseLong(line.replaceAll("[^0-9]", "")) * 1024;
            }
        }
        return (r.totalMemory() - r.freeMemory()) + " " + rss;
    }
}
