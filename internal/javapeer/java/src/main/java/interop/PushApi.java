package interop;

/** What clients serve. */
public interface PushApi {
    String pushHi(String name);

    String pushBoom(String text);

    String pushNul(String text);

    void pushVo(String text);

    long pushAdd(int a, long b);

    String pushSlow(int millis);

    String who(String text);

    Object pushObject(Object value);

    Types.Holder pushHolder(Types.Holder holder);

    Types.Fixtures pushFixtures(Types.Fixtures fixtures);
}
