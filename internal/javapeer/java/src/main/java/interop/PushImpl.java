package interop;

/** Serves PushApi, and counts. */
public class PushImpl implements PushApi {
    private final String label;

    PushImpl(String label) {
        this.label = label;
    }

    public String pushHi(String name) {
        SvcImpl.count("pushHi");
        return "hi " + name;
    }

    public String pushBoom(String text) {
        SvcImpl.count("pushBoom");
        throw new IllegalStateException(text);
    }

    public String pushNul(String text) {
        SvcImpl.count("pushNul");
        return null;
    }

    public void pushVo(String text) {
        SvcImpl.count("pushVo");
    }

    public long pushAdd(int a, long b) {
        SvcImpl.count("pushAdd");
        return a + b;
    }

    public String pushSlow(int millis) {
        SvcImpl.count("pushSlow");
        SvcImpl.sleep(millis);
        return "slept";
    }

    public String who(String text) {
        SvcImpl.count("who");
        return label;
    }

    public Object pushObject(Object value) {
        SvcImpl.count("pushObject");
        return value;
    }

    public Types.Fixtures pushFixtures(Types.Fixtures fixtures) {
        SvcImpl.count("pushFixtures");
        return fixtures;
    }

    public Types.Holder pushHolder(Types.Holder holder) {
        SvcImpl.count("pushHolder");
        return holder;
    }
}
