package interop;

import java.math.BigDecimal;
import java.math.BigInteger;
import java.util.Date;
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
