package interop;

import java.math.BigDecimal;
import java.math.BigInteger;
import java.util.Date;
import java.util.List;
import java.util.Map;

/** What the server serves. The Go side has the same as a gRPC service. */
public interface Svc {
    String hi(String name);

    String boom(String text);

    String nul(String text);

    void vo(String text);

    long add(int a, long b);

    String slow(int millis);

    Object echoObject(Object value);

    Types.Holder echoHolder(Types.Holder holder);

    Types.Fixtures echoFixtures(Types.Fixtures fixtures);

    String zero();

    String types(boolean z, byte b, short s, char c, int i, long j, float f, double d, String text, byte[] data,
            BigDecimal decimal, BigInteger integer, Date date, Types.Color color, int[] ints, List<String> list,
            Map<String, Integer> map, Types.Base base);
}
