package com.baidu.brpc.example.push.push;

/** In Go it is the message PushData. */
public class PushData {
    private String data;

    public String getData() {
        return data;
    }

    public void setData(String data) {
        this.data = data;
    }
}
