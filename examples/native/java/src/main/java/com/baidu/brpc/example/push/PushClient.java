package com.baidu.brpc.example.push;

import com.baidu.brpc.client.BrpcProxy;
import com.baidu.brpc.client.RpcClient;
import com.baidu.brpc.client.RpcClientOptions;
import com.baidu.brpc.example.push.normal.EchoRequest;
import com.baidu.brpc.example.push.normal.EchoService;
import com.baidu.brpc.example.push.push.PushData;
import com.baidu.brpc.example.push.push.PushResult;
import com.baidu.brpc.example.push.push.UserPushApi;
import com.baidu.brpc.protocol.Options;

/** A client: it calls the server every two seconds, and prints what the server pushes. */
public class PushClient {
    public static class Receiver implements UserPushApi {
        private final String name;

        Receiver(String name) {
            this.name = name;
        }

        public PushResult clientReceive(String extra, PushData data) {
            System.out.println(name + " got a push: " + extra + " " + data.getData());
            PushResult result = new PushResult();
            result.setResult(name + " (Java) has " + data.getData());
            return result;
        }
    }

    public static void main(String[] args) throws InterruptedException {
        RpcClientOptions options = new RpcClientOptions();
        options.setProtocolType(Options.ProtocolType.PROTOCOL_SERVER_PUSH_VALUE);
        options.setClientName(args[1]);
        // A naming URL, not an Endpoint: only then does brpc-java connect again by itself.
        RpcClient client = new RpcClient("list://" + args[0], options);
        EchoService echo = BrpcProxy.getProxy(client, EchoService.class); // this connects
        client.registerPushService(new Receiver(args[1]));
        EchoRequest request = new EchoRequest();
        request.setMessage("hello from " + args[1]);
        while (true) {
            try {
                System.out.println("echo: " + echo.echo(request).getMessage());
            } catch (RuntimeException e) {
                System.out.println("echo failed: " + e.getMessage());
            }
            Thread.sleep(2000);
        }
    }
}
