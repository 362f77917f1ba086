package com.baidu.brpc.example.push.normal;

public class EchoResponse {
    private String message;

    public String getMessage() {
        return message;
    }

    public void setMessage(String message) {
        this.message = message;
    }
}
