package com.baidu.brpc.example.push.push;

/** How a Java server calls it: with the client's name first. */
public interface ServerSideUserPushApi extends UserPushApi {
    PushResult clientReceive(String clientName, String extra, PushData data);
}
