package com.baidu.brpc.example.push.push;

/** In Go it is the message PushResult. */
public class PushResult {
    private String result;

    public String getResult() {
        return result;
    }

    public void setResult(String result) {
        this.result = result;
    }
}
