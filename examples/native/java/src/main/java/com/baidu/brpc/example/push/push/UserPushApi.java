package com.baidu.brpc.example.push.push;

/** What a client serves. In Go it is the service UserPushApi of userpush.proto. */
public interface UserPushApi {
    PushResult clientReceive(String extra, PushData data);
}
