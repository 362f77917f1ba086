package interop;

import com.dyuproject.protostuff.Tag;
import java.io.Serializable;
import java.math.BigDecimal;
import java.math.BigInteger;
import java.util.Collection;
import java.util.Date;
import java.util.EnumMap;
import java.util.EnumSet;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;

/** The classes that go over the wire. Their fields are numbered in this order. */
public class Types {
    public enum Color {
        RED, GREEN, BLUE
    }

    public static class Base {
        public int id = 7;
        public String name = "n";
    }

    public static class Child extends Base {
        public long big = -1;
        public Boolean flag;
        public boolean prim;
        public double d = 1.5;
        public Base nested;
    }

    public abstract static class Shape {
        public int a = 1;
    }

    public static class Circle extends Shape {
        public int radius;
    }

    public static class Square extends Shape {
        public int side;
    }

    /** Its name takes the place of the inherited one, and its number. */
    public static class Shadow extends Base {
        public String name = "shadow";
        public int z = 3;
    }

    public static class Tagged {
        @Tag(200)
        public int two = 2;
        @Tag(3)
        public int one = 1;
        @Tag(1)
        public String text = "t";
    }

    /** What the declared type of a field does to it. */
    public static class Bounded<T extends Number, L> {
        public T n;
        public List<L> list;
        public CharSequence chars;
        public Serializable serializable;
        public Comparable<?> comparable;
        public Throwable throwable;
        public Enum<?> any;
        public Map<Color, Base> colors;
        public Map<?, ?> raw;
        public HashMap<Integer, List<String>> lists;
        public Set<Long> longs;
        public Collection<Shape> shapes;
        public EnumSet<Color> set;
        public EnumMap<Color, Integer> map;
        public Map<String, Map<String, Integer>> maps;
        public List<? extends Base> wild;
        public Iterable<String> iterable;
        public List<byte[]> bytes;
        public List<Date> dates;
        public Integer nothing;
        public boolean no;
    }

    public static class Fixtures {
        public Child child;
        public Shadow shadow;
        public Tagged tagged;
        public Bounded<Integer, String> bounded;
    }

    public static class Holder {
        public Shape shape;
        public Object any;
        public Color color;
        public List<String> strings;
        public List<Base> bases;
        public Map<String, Integer> counts;
        public int[] ints;
        public byte[] bytes;
        public Date date;
        public BigDecimal decimal;
        public BigInteger integer;
        public char c;
        public short s;
        public byte b;
        public float f;
        public String[] names;
        public Number number;
        public Set<Color> colors;
        public Integer boxed;
        public Base base;
        public Map<String, Object> objects;
        public List<List<String>> nested;
    }
}
