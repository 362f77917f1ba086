package interop;

import java.math.BigDecimal;
import java.math.BigInteger;
import java.util.Date;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicInteger;

/** Serves Svc, and counts. */
public class SvcImpl implements Svc {
    static final Map<String, AtomicInteger> COUNTS = new ConcurrentHashMap<String, AtomicInteger>();

    static void count(String method) {
        COUNTS.putIfAbsent(method, new AtomicInteger());
        COUNTS.get(method).incrementAndGet();
    }

    static int counted(String method) {
        AtomicInteger n = COUNTS.get(method);
        return n == null ? 0 : n.get();
    }

    static void sleep(int millis) {
        try {
            Thread.sleep(millis);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }

    public String hi(String name) {
        count("hi");
        return "hi " + name;
    }

    public String boom(String text) {
        count("boom");
        throw new IllegalStateException(text);
    }

    public String nul(String text) {
        count("nul");
        return null;
    }

    public void vo(String text) {
        count("vo");
    }

    public long add(int a, long b) {
        count("add");
        return a + b;
    }

    public String slow(int millis) {
        count("slow");
        sleep(millis);
        return "slept";
    }

    public Object echoObject(Object value) {
        count("echoObject");
        return value;
    }

    public Types.Holder echoHolder(Types.Holder holder) {
        count("echoHolder");
        return holder;
    }

    public Types.Fixtures echoFixtures(Types.Fixtures fixtures) {
        count("echoFixtures");
        return fixtures;
    }

    public String zero() {
        count("zero");
        return "zero";
    }

    public String types(boolean z, byte b, short s, char c, int i, long j, float f, double d, String text, byte[] data,
            BigDecimal decimal, BigInteger integer, Date date, Types.Color color, int[] ints, List<String> list,
            Map<String, Integer> map, Types.Base base) {
        count("types");
        return Samples.text(new Object[] {z, b, s, c, i, j, f, d, text, data, decimal, integer, date, color, ints, list, map, base});
    }
}
