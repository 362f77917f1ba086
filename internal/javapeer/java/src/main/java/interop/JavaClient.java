package interop;

import com.baidu.brpc.client.BrpcProxy;
import com.baidu.brpc.client.RpcClient;
import com.baidu.brpc.client.RpcClientOptions;
import com.baidu.brpc.client.channel.ChannelType;
import com.baidu.brpc.client.channel.Endpoint;
import com.baidu.brpc.protocol.Options;
import java.math.BigDecimal;
import java.math.BigInteger;
import java.util.Arrays;
import java.util.Collections;
import java.util.Date;
import java.util.HashMap;

/** JavaClient host:port name label conns delayMillis endpoint|list readTimeoutMillis workThreads. Name "-" means none. */
public class JavaClient extends Driver {
    private final Svc svc;

    JavaClient(Svc svc) {
        this.svc = svc;
    }

    public static void main(String[] args) throws Exception {
        RpcClientOptions o = new RpcClientOptions();
        o.setProtocolType(Options.ProtocolType.PROTOCOL_SERVER_PUSH_VALUE);
        int conns = Integer.parseInt(args[3]);
        o.setMinIdleConnections(conns);
        o.setMaxTotalConnections(conns);
        o.setChannelType(ChannelType.POOLED_CONNECTION);
        o.setReadTimeoutMillis(Integer.parseInt(args[6]));
        if (Integer.parseInt(args[7]) > 0) {
            o.setWorkThreadNum(Integer.parseInt(args[7]));
        }
        if (!args[1].equals("-")) {
            o.setClientName(args[1]);
        }
        String[] addr = args[0].split(":");
        RpcClient client = args[5].equals("list")
                ? new RpcClient("list://" + args[0], o)
                : new RpcClient(new Endpoint(addr[0], Integer.parseInt(addr[1])), o);
        Svc svc = BrpcProxy.getProxy(client, Svc.class);
        JavaClient driver = new JavaClient(svc);
        driver.print("0 ok connected");
        Thread.sleep(Integer.parseInt(args[4]));
        client.registerPushService(new PushImpl(args[2]));
        driver.print("0 ok ready");
        driver.loop();
    }

    Object run(String command, String[] a) throws Exception {
        switch (command) {
            case "hi":
                return svc.hi(a[0]);
            case "boom":
                return svc.boom(a[0]);
            case "nul":
                return svc.nul(a[0]);
            case "vo":
                svc.vo(a[0]);
                return "returned";
            case "add":
                return svc.add(Integer.parseInt(a[0]), Long.parseLong(a[1]));
            case "slow":
                return svc.slow(Integer.parseInt(a[0]));
            case "echoObject":
                return Samples.same(Samples.arrives(a[0]), svc.echoObject(Samples.get(a[0])));
            case "echoHolder":
                return Samples.same(Samples.holder(), svc.echoHolder(Samples.holder()));
            case "echoFixtures":
                return Samples.same(Samples.fixtures(), svc.echoFixtures(Samples.fixtures()));
            case "types":
                return svc.types(true, (byte) -5, (short) -300, '\u4e2d', -7, 1L << 40, 1.5f, -2.5, "t\u00e4", new byte[] {9},
                        new BigDecimal("1E+5"), new BigInteger("-129"), new Date(1234567890123L), Types.Color.BLUE,
                        new int[] {1, -1}, Arrays.asList("a", "b"), new HashMap<String, Integer>(Collections.singletonMap("k", 3)),
                        new Types.Base());
            case "samples":
                return String.join(" ", Samples.ALL.keySet());
            case "count":
                return SvcImpl.counted(a[0]);
            default:
                throw new IllegalArgumentException(command);
        }
    }
}
