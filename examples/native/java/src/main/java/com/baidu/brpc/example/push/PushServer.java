package com.baidu.brpc.example.push;

import com.baidu.brpc.example.push.normal.EchoRequest;
import com.baidu.brpc.example.push.normal.EchoResponse;
import com.baidu.brpc.example.push.normal.EchoService;
import com.baidu.brpc.example.push.push.PushData;
import com.baidu.brpc.example.push.push.ServerSideUserPushApi;
import com.baidu.brpc.protocol.Options;
import com.baidu.brpc.server.BrpcPushProxy;
import com.baidu.brpc.server.RpcServer;
import com.baidu.brpc.server.RpcServerOptions;

/** A server: it answers echo, and pushes to a client every two seconds. */
public class PushServer {
    public static class Echo implements EchoService {
        public EchoResponse echo(EchoRequest request) {
            EchoResponse response = new EchoResponse();
            response.setMessage(request.getMessage());
            return response;
        }
    }

    public static void main(String[] args) throws InterruptedException {
        RpcServerOptions options = new RpcServerOptions();
        options.setProtocolType(Options.ProtocolType.PROTOCOL_SERVER_PUSH_VALUE);
        RpcServer server = new RpcServer(Integer.parseInt(args[0]), options);
        server.registerService(new Echo());
        ServerSideUserPushApi push = (ServerSideUserPushApi) BrpcPushProxy.getProxy(server, ServerSideUserPushApi.class);
        server.start();
        System.out.println("listening on " + args[0]);
        for (int i = 1;; i++) {
            PushData data = new PushData();
            data.setData("push " + i);
            try {
                System.out.println(push.clientReceive(args[1], "from Java", data).getResult());
            } catch (RuntimeException e) {
                System.out.println("push failed: client " + args[1] + " is not connected, or has not answered");
            }
            Thread.sleep(2000);
        }
    }
}
