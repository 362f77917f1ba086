package interop;

import com.baidu.brpc.client.RpcCallback;
import java.util.concurrent.Future;

/** How a server calls its clients: the same methods, with the client's name first. */
public interface ServerPushApi extends PushApi {
    String pushHi(String client, String name);

    String pushBoom(String client, String text);

    String pushNul(String client, String text);

    void pushVo(String client, String text);

    long pushAdd(String client, int a, long b);

    String pushSlow(String client, int millis);

    String who(String client, String text);

    Object pushObject(String client, Object value);

    Types.Holder pushHolder(String client, Types.Holder holder);

    Types.Fixtures pushFixtures(String client, Types.Fixtures fixtures);

    Future<String> pushHi(String client, String name, RpcCallback<String> callback);
}
