package com.baidu.brpc.example.push.normal;

/** What a server serves. */
public interface EchoService {
    EchoResponse echo(EchoRequest request);
}
